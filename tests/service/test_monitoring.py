"""Sizes, the any-time look, the next shares and CUPED over HTTP: the documented figures on both stores (IN-30..IN-33)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from holdout_rows import START, add_outcomes, add_units
from running_service import MARCH
from test_experiments import HOLDOUT
from test_jobs_nightly import DAY

from fairtrial.storage.tables import Profile

E = "/api/v1/experiments/exp-e-uuid"


def make(service, *, n=(0, 0), converters=(0, 0), **fields) -> dict[str, list[str]]:
    """A running holdout, exp-e-uuid, with that many (control, treatment)."""
    asked = {**HOLDOUT, "key": "exp-e-uuid", "treatment_rate": 0.5, "end_at": "2026-03-29T00:00:00Z", **fields}
    answer = service.post("/api/experiments", asked)
    assert answer.status_code == 201, answer.text
    assert service.post("/api/experiments/exp-e-uuid/status", {"status": "running"}).status_code == 200
    names: dict[str, list[str]] = {}
    with service.database.writing() as session:
        for group, units, won in zip(("control", "treatment"), n, converters, strict=True):
            names[group] = add_units(session, 1, group, units)
            add_outcomes(session, 1, names[group][:won], at=START + DAY, value=3.0)
    return names


def test_the_sizes_of_the_worked_example(stored_service):
    """IN-30, G-11: 5100 and 4900 at 50/50."""
    make(stored_service, n=(5100, 4900))
    body = stored_service.get(f"{E}/srm").json()
    assert body["p_value"] == pytest.approx(0.0455, abs=5e-6)
    assert body["chi_square"] == pytest.approx(4.0)
    del body["p_value"], body["chi_square"]
    assert body.pop("always_valid_p") == pytest.approx(0.520232, abs=5e-7)
    assert body == {
        "experiment_id": "exp-e-uuid",
        "counts": {"treatment": 4900, "control": 5100},
        "expected_shares": {"treatment": 0.5, "control": 0.5},
        "df": 1,
        "threshold": 0.001,
        "status": "ok",
        "reason": "sizes agree with the plan",
    }


@pytest.mark.parametrize(("n", "rate", "status"), [((290, 710), 0.8, "mismatch"), ((460, 540), 0.5, "ok"), ((450, 550), 0.5, "warning")])
def test_sizes_off_the_plan(service, n, rate, status):
    """IN-30, G-11: below p = .001 a mismatch, below .01 a warning."""
    make(service, n=n, treatment_rate=rate)
    assert service.get(f"{E}/srm").json()["status"] == status


def test_sizes_of_nobody_are_skipped_and_say_so(service):
    """IN-30, G-5."""
    make(service)
    body = service.get(f"{E}/srm").json()
    assert (body["status"], body["p_value"], body["reason"]) == ("skipped", None, "there are no units to compare")
    assert body["counts"] == {"treatment": 0, "control": 0}


def test_the_any_time_look_of_the_worked_example(stored_service):
    """IN-31, G-13: 200/2000 against 260/2000, mde .01."""
    make(stored_service, n=(2000, 2000), converters=(200, 260))
    stored_service.clock.move(days=9)
    body = stored_service.get(f"{E}/sequential").json()
    figures = {
        "estimate": 0.03,
        "variance": 0.00010155,
        "tau2": 0.0001,
        "likelihood_ratio": 6.397293,
        "boundary": 20.0,
        "ci_low": -0.006968,
        "ci_high": 0.066968,
    }
    for name, value in figures.items():
        assert body[name] == pytest.approx(value, abs=6e-7), name
    assert body["always_valid_p"] == pytest.approx(0.1563, abs=5e-5)
    assert body["log_likelihood_ratio"] == pytest.approx(math.log(6.397293), abs=1e-6)
    assert (body["evidence_strength"], body["crossed"], body["futility"]) == ("moderate", False, None)
    assert body["long_running_risk"] == {"level": "none", "days_running": 9, "max_days": 28}
    assert (body["experiment_id"], body["method"], body["unavailable_reason"]) == ("exp-e-uuid", "msprt_normal", None)


@pytest.mark.parametrize(("won", "strength"), [(200, "none"), (240, "weak"), (260, "moderate"), (300, "strong")])
def test_the_strength_of_evidence_by_the_likelihood_ratio(service, won, strength):
    """IN-31: < 1 none, < 3 weak, < 1 / alpha moderate, else strong."""
    make(service, n=(2000, 2000), converters=(200, won))
    body = service.get(f"{E}/sequential").json()
    assert body["evidence_strength"] == strength
    assert body["crossed"] == (strength == "strong") == (body["always_valid_p"] <= 0.05)


def test_the_any_time_p_never_rises_over_the_looks(service):
    """IN-31: the running minimum over stored looks; asking stores none."""
    names = make(service, n=(2000, 2000), converters=(200, 280))
    service.clock.move(days=3)
    first = service.get(f"{E}/sequential").json()["always_valid_p"]
    assert service.post(f"{E}/looks").status_code == 201
    with service.database.writing() as session:
        add_outcomes(session, 1, names["control"][200:300], at=START + 2 * DAY, value=1.0)
    body = service.get(f"{E}/sequential").json()
    assert body["likelihood_ratio"] < 1.0
    assert body["always_valid_p"] == first


def test_a_look_at_values_is_tuned_by_their_spread(service):
    """IN-31, G-13: other metrics than rates take 0.2 pooled standard deviations where no effect was planned."""
    make(service, n=(500, 500), converters=(100, 140))
    body = service.get(f"{E}/sequential", params={"metric": "value"}).json()
    control, treated = np.r_[np.full(100, 3.0), np.zeros(400)], np.r_[np.full(140, 3.0), np.zeros(360)]
    pooled = (control.var(ddof=1) + treated.var(ddof=1)) / 2
    assert body["tau2"] == pytest.approx(0.04 * pooled)
    assert body["variance"] == pytest.approx((control.var(ddof=1) + treated.var(ddof=1)) / 500)
    assert body["estimate"] == pytest.approx(treated.mean() - control.mean())


def test_no_look_without_units_or_without_converters(service):
    """IN-31, G-5: null and why."""
    make(service, n=(100, 0))
    body = service.get(f"{E}/sequential").json()
    assert (body["always_valid_p"], body["crossed"], body["unavailable_reason"]) == (None, None, "empty_arm")
    with service.database.writing() as session:
        add_units(session, 1, "treatment", 100)
    body = service.get(f"{E}/sequential").json()
    assert (body["likelihood_ratio"], body["evidence_strength"], body["unavailable_reason"]) == (None, None, "no_variance")


@pytest.mark.parametrize(("days", "level"), [(28, "none"), (29, "medium"), (57, "high")])
def test_late_is_not_futile(service, days, level):
    """IN-31: how long it runs is said apart from what it shows."""
    make(service, n=(2000, 2000), converters=(200, 260))
    service.clock.move(days=days)
    body = service.get(f"{E}/sequential").json()
    assert body["long_running_risk"] == {"level": level, "days_running": days, "max_days": 28.0}
    assert body["futility"] is None


def test_a_draft_is_not_running(service):
    service.post("/api/experiments", {**HOLDOUT, "key": "exp-e-uuid"})
    assert service.get(f"{E}/sequential").json()["long_running_risk"]["days_running"] is None


def test_the_next_shares_of_the_worked_example(stored_service):
    """IN-32: beta posteriors (5, 15) and (8, 12), floor .1."""
    make(stored_service, n=(18, 18), converters=(4, 7))
    body = stored_service.get(f"{E}/allocation").json()
    assert body["weights"] == pytest.approx({"control": 0.218118, "treatment": 0.781882}, abs=6e-7)
    assert (body["experiment_id"], body["algorithm"], body["floor"], body["seed"]) == ("exp-e-uuid", "thompson_sampling", 0.1, 42)


@pytest.mark.parametrize(
    ("algorithm", "params", "weights"),
    [
        ("ucb1", {}, {"control": 0.1, "treatment": 0.9}),
        ("epsilon_greedy", {"floor": 0}, {"control": 0.05, "treatment": 0.95}),
        ("epsilon_greedy", {"floor": 0, "epsilon": 0.4}, {"control": 0.2, "treatment": 0.8}),
        ("fixed", {}, {"control": 0.5, "treatment": 0.5}),
        ("thompson_sampling", {"floor": 0.5}, {"control": 0.5, "treatment": 0.5}),
    ],
)
def test_the_next_shares_by_algorithm(service, algorithm, params, weights):
    """IN-32: they sum to 1 and keep the floor; the same question has the same answer."""
    make(service, n=(18, 18), converters=(4, 7))
    asked = {"algorithm": algorithm, **params}
    body = service.get(f"{E}/allocation", params=asked).json()
    assert body["weights"] == pytest.approx(weights)
    assert math.fsum(body["weights"].values()) == pytest.approx(1.0, abs=1e-12)
    assert min(body["weights"].values()) >= body["floor"] - 1e-12
    assert service.get(f"{E}/allocation", params=asked).json() == body


def test_shares_before_anybody_came_are_even_and_a_floor_too_high_is_refused(service):
    """IN-32."""
    make(service)
    assert service.get(f"{E}/allocation").json()["weights"] == pytest.approx({"control": 0.5, "treatment": 0.5})
    assert service.get(f"{E}/allocation", params={"floor": 0.6}).status_code == 422
    assert service.get(f"{E}/allocation", params={"algorithm": "exp3"}).status_code == 422


def pairs(rng: np.random.Generator, mean: tuple[float, float], var: tuple[float, float], cov: float, n: int) -> np.ndarray:
    """n pairs with exactly these sample moments."""
    drawn = rng.standard_normal((n, 2))
    drawn -= drawn.mean(axis=0)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(drawn.T)), drawn.T)
    return (np.linalg.cholesky(np.array([[var[0], cov], [cov, var[1]]])) @ white).T + mean


def with_pairs(service, *, known: int = 1000) -> None:
    names = make(service, n=(1000, 1000))
    rng = np.random.default_rng(5)
    given = {"control": ((10.0, 9.9), (25.0, 16.0), 12.0), "treatment": ((10.5, 10.1), (26.0, 16.0), 12.2)}
    for group, moments in given.items():
        rows = pairs(rng, *moments, 1000).tolist()
        with service.database.writing() as session:
            for place, (name, (after, before)) in enumerate(zip(names[group], rows, strict=True)):
                add_outcomes(session, 1, [name], at=START + DAY, value=after)
                known_before = {"pre_period_value": before} if place < known else {"pre_period_value": "unknown"}
                session.merge(Profile(id=name, attributes_json=known_before, updated_at=MARCH))


def test_cuped_of_the_worked_example(stored_service):
    """IN-33: theta .75625, and the adjusted effect with its p."""
    with_pairs(stored_service)
    body = stored_service.get(f"{E}/cuped", params={"metric": "value"}).json()
    assert (body["experiment_id"], body["covariate"], body["unavailable_reason"]) == ("exp-e-uuid", "pre_period_value", None)
    assert (body["theta"], body["coverage"]) == (pytest.approx(0.75625), 1.0)
    assert body["variance_reduction"] == pytest.approx(0.358848, abs=6e-7)
    for name, effect, error, p in (("raw", 0.5, 0.225832, 0.02694), ("adjusted", 0.34875, 0.180828, 0.05392)):
        assert body[name]["effect"] == pytest.approx(effect), name
        assert body[name]["std_error"] == pytest.approx(error, abs=6e-7), name
        assert body[name]["p_value"] == pytest.approx(p, abs=5e-6), name
        assert body[name]["ci_low"] < effect < body[name]["ci_high"], name


def test_coverage_counts_who_has_a_value(stored_service):
    """IN-33: an attribute that is no number is none; those without are set to the mean, which saves less."""
    with_pairs(stored_service, known=250)
    body = stored_service.get(f"{E}/cuped", params={"metric": "value"}).json()
    assert body["coverage"] == 0.25
    assert 0.02 < body["variance_reduction"] < 0.358848 / 2
    assert body["raw"]["effect"] == pytest.approx(0.5)


def test_no_cuped_without_the_covariate_or_the_units(service):
    """IN-33, G-5."""
    make(service, n=(100, 0))
    assert service.get(f"{E}/cuped").json()["unavailable_reason"] == "empty_arm"
    with service.database.writing() as session:
        treated = add_units(session, 1, "treatment", 100)
    assert service.get(f"{E}/cuped").json()["unavailable_reason"] == "no_variance"
    with service.database.writing() as session:
        add_outcomes(session, 1, treated[:30], at=START + DAY, value=2.0)
    body = service.get(f"{E}/cuped", params={"covariate": "age"}).json()
    assert (body["coverage"], body["adjusted"], body["unavailable_reason"]) == (0.0, None, "no_covariate")
    assert (body["metric"], body["raw"]["effect"]) == ("converted", pytest.approx(0.3))


def test_a_covariate_that_says_nothing_may_cost_a_little(service):
    """IN-33: the reduction may be negative; it is shown as it is."""
    names = make(service, n=(40, 40), converters=(10, 15))
    rng = np.random.default_rng(1)
    with service.database.writing() as session:
        session.add_all(Profile(id=name, age=float(rng.integers(20, 60)), updated_at=MARCH) for group in names.values() for name in group)
    body = service.get(f"{E}/cuped", params={"covariate": "age"}).json()
    assert abs(body["variance_reduction"]) < 0.1


@pytest.mark.parametrize("read", ["srm", "sequential", "allocation", "cuped"])
def test_who_may_read_and_what_is_unknown(service, read):
    """G-7: reads are a VIEWER's; 404 for an unknown id."""
    make(service)
    assert service.get(f"{E}/{read}", role=None).status_code == 401
    assert service.get(f"{E}/{read}", role="VIEWER").status_code == 200
    answer = service.get(f"/api/v1/experiments/nowhere/{read}")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_experiment")
    if read in {"sequential", "cuped"}:
        assert service.get(f"{E}/{read}", params={"treatment": "control"}).status_code == 422
