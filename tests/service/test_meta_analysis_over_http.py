"""Several holdouts as one, over HTTP (HO-42), and groups that were drawn after the fact (HO-12, II.c)."""

from __future__ import annotations

import math

import pytest
from holdout_rows import START, add_outcomes, add_units
from test_jobs_nightly import DAY, NIGHT, make, report
from test_planning_over_http import touch

from fairtrial.stats.meta_analysis import meta_analysis
from fairtrial.storage.tables import ExperimentAssignment

PATH = "/api/v1/experiments/meta-analysis"
COUNTS = (((800, 200), (45, 8)), ((8000, 2000), (600, 100)), ((4000, 1000), (240, 55)))
FIELDS = (
    "measure",
    "alpha",
    "tau2_method",
    "interval_method",
    "k",
    "fixed",
    "random",
    "heterogeneity",
    "prediction",
    "reason",
    "experiments",
    "left_out",
)


def with_three(service):
    for place, (arms, won) in enumerate(COUNTS, start=1):
        make(service, place, name=f"Mail {place}", channel="email", arms=arms, won=won, values=(10.0, 8.0))
    return service


@pytest.fixture
def three(service):
    return with_three(service)


def pool(service, **body):
    return service.post(PATH, body, role="ANALYST")


def test_three_holdouts_are_pooled_as_by_hand(stored_service):
    """HO-42: difference of rates, unpooled standard errors, REML and Hartung-Knapp."""
    body = pool(with_three(stored_service), experiment_ids=[1, 2, 3]).json()
    assert [name for name in FIELDS if name not in body] == []
    effects, errors = [], []
    for (n1, n0), (x1, x0) in COUNTS:
        p1, p0 = x1 / n1, x0 / n0
        effects.append(p1 - p0)
        errors.append(math.sqrt(p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0))
    expected = meta_analysis(effects, errors)
    assert (body["k"], body["reason"], body["left_out"]) == (3, None, [])
    for name, pooled in (("fixed", expected.fixed), ("random", expected.random)):
        assert body[name]["effect"] == pytest.approx(pooled.effect)
        assert (body[name]["ci_low"], body[name]["ci_high"]) == (pytest.approx(pooled.interval.low), pytest.approx(pooled.interval.high))
        assert (body[name]["p_value"], body[name]["std_error"]) == (pytest.approx(pooled.p_value), pytest.approx(pooled.std_error))
    assert (body["fixed"]["df"], body["random"]["df"]) == (None, 2)
    assert body["heterogeneity"]["q"] == pytest.approx(expected.heterogeneity.q)
    assert (body["heterogeneity"]["tau2"], body["heterogeneity"]["i_squared"]) == (
        pytest.approx(expected.tau2),
        pytest.approx(expected.i_squared),
    )
    assert body["prediction"] == pytest.approx([expected.prediction.low, expected.prediction.high])
    assert [one["effect"] for one in body["experiments"]] == pytest.approx(effects)
    assert [one["weight_random"] for one in body["experiments"]] == pytest.approx(expected.random.weights)
    assert [(one["n"], one["source"]) for one in body["experiments"]] == [(1000, "counted"), (10000, "counted"), (5000, "counted")]
    assert body["notes"] == ["3 of the experiments still run: choosing the moment by what is seen here inflates the error rate."]


def test_the_ratio_of_rates_is_pooled_on_its_logarithm(three):
    body = pool(three, experiment_ids=[1, 2, 3], measure="uplift_rel", tau2_method="dersimonian_laird").json()
    logs = [math.log(x1 / n1 / (x0 / n0)) for (n1, n0), (x1, x0) in COUNTS]
    errors = [math.sqrt(1 / x1 - 1 / n1 + 1 / x0 - 1 / n0) for (n1, n0), (x1, x0) in COUNTS]
    expected = meta_analysis(logs, errors, tau2_method="dersimonian_laird")
    assert body["random"]["effect"] == pytest.approx(math.expm1(expected.random.effect))
    assert body["random"]["ci_high"] == pytest.approx(math.expm1(expected.random.interval.high))
    assert [one["effect"] for one in body["experiments"]] == pytest.approx([0.40625, 0.5, 240 / 4000 / 0.055 - 1])


def test_the_value_per_profile_has_the_error_of_welch(three):
    body = pool(three, experiment_ids=[1, 2], measure="value_per_profile").json()
    for one in body["experiments"]:
        own = three.get(f"/api/experiments/{one['experiment_id']}/results").json()["value_uplift"]
        assert one["effect"] == pytest.approx(own["difference"])
        assert (own["ci_high"] - own["ci_low"]) / 2 / one["std_error"] == pytest.approx(1.96, abs=0.02)
    assert body["prediction"] is None
    assert body["notes"][-1] == "A prediction interval needs 3 experiments."


def test_what_would_mislead_is_left_out_by_name(three):
    """HO-42, G-5: too few, a ratio mismatch; one experiment left is no meta-analysis."""
    make(three, 4, name="Small", channel="sms", arms=(4, 1), won=(1, 0))
    make(three, 5, name="Skewed", channel="sms", arms=(500, 500), won=(50, 40))
    key = three.get("/api/experiments/1").json()["key"]
    body = pool(three, experiment_ids=[key, 1, 4, 5]).json()
    assert (body["k"], body["fixed"], body["random"], body["heterogeneity"]) == (1, None, None, None)
    assert body["reason"] == "fewer than 2 experiments can be pooled"
    reasons = {one["experiment_id"]: one["reason"] for one in body["left_out"]}
    assert reasons[4] == "fewer than 10 profiles in a group"
    assert reasons[5].startswith("sample ratio mismatch (p=")


def test_stored_results_stand_in_for_rows_that_are_gone(three):
    report(three)
    before = pool(three, experiment_ids=[1, 2, 3]).json()
    with three.database.writing() as session:
        session.query(ExperimentAssignment).filter(ExperimentAssignment.experiment_id == 1).delete()
    after = pool(three, experiment_ids=[1, 2, 3]).json()
    assert after["random"] == before["random"]
    assert [one["source"] for one in after["experiments"]] == ["stored", "counted", "counted"]
    gone = pool(three, experiment_ids=[1, 2, 3], measure="value_per_profile").json()["left_out"]
    assert gone[0]["reason"] == "its rows are no longer stored, so the spread of its values is not known"


def test_who_may_ask_and_what_is_refused(service):
    make(service, 1, name="One", channel="email", arms=(20, 20), won=(2, 1))
    assert service.post(PATH, {"experiment_ids": [1]}, role="VIEWER").status_code == 403
    assert pool(service, experiment_ids=[1, 99]).json()["code"] == "unknown_experiment"
    for body in (
        {"experiment_ids": []},
        {"experiment_ids": [1], "measure": "odds"},
        {"experiment_ids": [1], "alpha": 1},
        {"experiment_ids": [True]},
        {},
    ):
        assert pool(service, **body).status_code == 422, body


def test_groups_drawn_after_the_end_show_no_effect(stored_service):
    """HO-12, HO-17, II.c: the result says so, no alert praises it, no meta-analysis pools it."""
    make(stored_service, 1, name="Honest", channel="email", arms=(8000, 2000), won=(600, 100))
    end = {"start_at": "2026-03-01T00:00:00Z", "end_at": "2026-03-10T00:00:00Z", "treatment_rate": 0.5}
    stored_service.post("/api/experiments", {"name": "After", "channel": "sms", "conversion_key": "purchase", **end})
    stored_service.post("/api/experiments/2/status", {"status": "running"})
    touch(stored_service, [f"p{i}" for i in range(400)], channel="sms", when="2026-03-02T00:00:00")
    stored_service.clock.now = NIGHT
    period = {"channel": "sms", "start_date": "2026-03-01", "end_date": "2026-03-10", "treatment_rate": 0.5}
    assert stored_service.post("/api/experiments/2/auto-assign", period).json()["total"] == 400
    with stored_service.database.writing() as session:
        treated = session.query(ExperimentAssignment.profile_id).filter_by(experiment_id=2, group="treatment").all()
        add_outcomes(session, 2, [name for (name,) in treated[:150]], at=START + DAY)
    results = stored_service.get("/api/experiments/2/results").json()
    assert (results["causal"], results["backfilled_assignments"]) == (False, 400)
    assert results["causal_reason"] == "groups were drawn after the end from profiles already treated: an A/A check, not an effect"
    assert results["p_value"] < 1e-9
    told = report(stored_service).json()
    assert [one["id"] for one in told["experiments"]] == [1, 2]
    assert [alert["experiment_id"] for alert in told["alerts"]] == [1]
    assert pool(stored_service, experiment_ids=[1, 2]).json()["left_out"][0]["reason"] == results["causal_reason"]
    assert stored_service.get("/api/experiments/1/results").json()["causal"] is True


def test_units_assigned_before_the_end_keep_their_effect(service):
    """HO-12: profiles touched before may seed a holdout; what they do after the draw counts and is causal."""
    make(service, 1, name="Seeded", channel="email", arms=(0, 0), won=(0, 0))
    with service.database.writing() as session:
        add_units(session, 1, "treatment", 80, source="auto")
        held = add_units(session, 1, "control", 20, source="auto")
        add_outcomes(session, 1, held[:3], at=START + DAY)
    assert service.get("/api/experiments/1/results").json()["causal"] is True
