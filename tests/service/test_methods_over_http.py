"""Every method that an experiment may ask for gives its results through the service (HO-42)."""

from __future__ import annotations

import numpy as np
import pytest
from holdout_rows import START, add_outcomes, add_units
from test_experiments import HOLDOUT
from test_jobs_nightly import DAY, make

from fairtrial.stats import CoMoments, cuped_test
from fairtrial.storage.tables import Profile

PUSH = {"arms": (8000, 2000), "won": (600, 100), "values": (50.0, 42.0)}


@pytest.mark.parametrize(
    ("rule", "test", "p"),
    [
        ("fixed_horizon", "two_proportion_z_pooled", 0.0000888),
        ("always_valid", "msprt", 0.001395),
        ("group_sequential", "two_proportion_z_pooled", None),
        ("hybrid", "two_proportion_z_pooled", None),
        ("bayesian", "beta_binomial", None),
    ],
)
def test_the_stop_rule_of_the_form_is_the_method_of_the_results(service, rule, test, p):
    """HO-02, HO-42: sequential stopping and Bayesian; the counts are those of the documented push holdout."""
    make(service, 1, name="Push", channel="push", stop_rule=rule, **PUSH)
    body = service.get("/api/experiments/1/results").json()
    card = service.get("/api/experiments/1/scorecard").json()
    assert (body["test"], card["error_control"]) == (test, "fixed" if rule == "fixed_horizon" else rule)
    if p is not None:
        assert body["p_value"] == pytest.approx(p, rel=1e-3)
    if rule == "bayesian":
        assert (body["p_value"], body["significant"]) == (None, None)
        assert body["belief"]["chance_to_win"] > 0.999
        assert 0 <= body["belief"]["expected_loss"] < 1e-4
    else:
        assert body["belief"] is None
        assert body["significant"] is True
    if rule in {"group_sequential", "hybrid"}:
        assert body["p_value"] > 0.0000888, "an early look spends a part of alpha"
        assert body["ci_low"] < 0.013213
        assert body["ci_high"] > 0.035631


def with_covariate(service, *, known: float = 1.0, **fields):
    """600 profiles whose value follows what they were worth before; returns group, covariate and outcome of each."""
    service.post("/api/experiments", {**HOLDOUT, "treatment_rate": 0.5, **fields})
    service.post("/api/experiments/1/status", {"status": "running"})
    rng = np.random.default_rng(3)
    rows = []
    with service.database.writing() as session:
        for group in ("treatment", "control"):
            for name in add_units(session, 1, group, 300):
                ltv = float(rng.gamma(2.0, 50.0))
                value = round(ltv + float(rng.normal(20.0 if group == "treatment" else 10.0, 15.0)), 2) if rng.random() < 0.7 else 0.0
                has = rng.random() < known
                if has:
                    session.add(Profile(id=name, age=None, ltv=ltv))
                if value != 0.0:
                    add_outcomes(session, 1, [name], at=START + DAY, value=value)
                rows.append((group, ltv if has else None, value))
    return rows


@pytest.mark.parametrize("known", [1.0, 0.8])
def test_cuped_is_that_of_the_library_on_the_same_rows(stored_service, known):
    """HO-42: `covariate` in the form; a profile of whom nothing is known is set to the mean of the others."""
    rows = with_covariate(stored_service, known=known, covariate="ltv")
    mean = np.mean([x for _, x, _ in rows if x is not None])
    arms = {
        arm: np.array([[value, mean if x is None else x] for group, x, value in rows if group == arm]) for arm in ("control", "treatment")
    }
    body = stored_service.get("/api/experiments/1/results").json()
    expected = cuped_test(CoMoments.from_values(arms["control"]), CoMoments.from_values(arms["treatment"]))
    uplift = body["value_uplift"]
    assert (uplift["difference"], uplift["p_value"]) == (pytest.approx(expected.effect), pytest.approx(expected.p_value))
    assert (uplift["ci_low"], uplift["ci_high"]) == (pytest.approx(expected.interval.low), pytest.approx(expected.interval.high))
    hits = {arm: np.column_stack([table[:, 0] != 0, table[:, 1]]) for arm, table in arms.items()}
    rates = cuped_test(CoMoments.from_values(hits["control"]), CoMoments.from_values(hits["treatment"]))
    assert (body["uplift_abs"], body["p_value"]) == (pytest.approx(rates.effect), pytest.approx(rates.p_value))
    assert body["variance_reduction"] == pytest.approx(rates.variance_reduction)
    assert body["test"] == rates.method


def test_a_covariate_that_nobody_has_gives_a_reason_not_a_number(service):
    """HO-42, G-5."""
    with_covariate(service, covariate="age")
    body = service.get("/api/experiments/1/results").json()
    assert (body["uplift_abs"], body["p_value"], body["variance_reduction"]) == (None, None, None)
    assert body["reason"] == "No assigned profile has a value of age, for which converted is adjusted."


def test_a_covariate_that_the_service_does_not_hold_is_refused(service):
    metric = {"key": "value", "kind": "mean", "covariate": "visits"}
    arms = [{"key": "control", "allocation": 0.5}, {"key": "treatment", "allocation": 0.5}]
    made = service.post(
        "/api/v1/experiments", {"spec": {"key": "own", "kind": "ab_test", "arms": arms, "metrics": [{**metric, "role": "primary"}]}}
    )
    assert made.status_code == 201, made.text
    refused = service.get("/api/v1/experiments/own/results")
    assert (refused.status_code, refused.json()["code"]) == (422, "usage")
    assert "['age', 'ltv', 'pre_period_value'], got ['visits']" in refused.json()["detail"]


def test_a_duplicate_keeps_the_covariate(service):
    service.post("/api/experiments", {**HOLDOUT, "covariate": "ltv"})
    assert service.post("/api/experiments/1/duplicate", {"name": "Again"}).status_code == 201
    assert service.get("/api/experiments/2").json()["setup"]["covariate"] == "ltv"
