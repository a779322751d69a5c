"""Interactions over HTTP: the documented figures on both stores, roles, unknown ids, a store that fails (Part I)."""

from __future__ import annotations

import datetime as dt
import itertools
import random

import numpy as np
import pytest
from holdout_rows import START, add_outcomes, add_units, mark
from pair_scene import ARMS, crossed, put, run_experiment, the_pair, third_experiment

from fairtrial.diagnostics.pair_analysis import analyze_pair
from fairtrial.service.interactions.cells import all_cells, concurrent, load
from fairtrial.storage.experiments import running_experiments
from fairtrial.storage.tables import Experiment, ExperimentAssignment, ExperimentOutcome, ForcedVariant, LayerSlots

BASE = "/api/v1/interactions"
PAIR = f"{BASE}/exp-a-uuid/exp-b-uuid"
DAY = dt.timedelta(days=1)
HIGH = "High user overlap detected. Consider using mutual exclusion groups."
RUN_PAIR = "Run pairwise interaction analysis to check for effect contamination."
PATHS = ("scan", "exp-a-uuid/exp-b-uuid", "exp-a-uuid/exp-b-uuid/novelty", "scans", "exp-a-uuid/exp-b-uuid/trend")


def ask(service, path: str, role: str = "DEVELOPER", **kwargs):
    return service.get(path, role=role, **kwargs)


def parts(body: dict, expected: dict) -> dict:
    return {name: body[name] for name in expected}


def test_the_scan_of_the_examples(stored_service):
    """IN-01..IN-03, IN-10..IN-12, IN-14, IN-34, I.b: corrected over the rows of all pairs; exclusion groups are listed, not tested."""
    the_pair(stored_service)
    third_experiment(stored_service)
    group = stored_service.post("/api/v1/mutual-exclusion-groups", {"name": "checkout-page"}).json()["id"]
    with stored_service.database.writing() as session:  # units came before the group, as after a migration from elsewhere
        for number, low in ((2, 0), (3, 5000)):
            session.add(LayerSlots(layer_id=group, experiment_id=number, low=low, high=low + 5000, taken_at=START))
    body = ask(stored_service, f"{BASE}/scan").json()
    top = {"total_active_experiments": 3, "pairs_analyzed": 3, "high_risk_pairs": 1, "correction_method": "benjamini-hochberg"}
    assert parts(body, top) == top
    first, second, third = body["results"]
    expected = {
        "experiment_a_id": "exp-a-uuid",
        "experiment_b_id": "exp-b-uuid",
        "overlap_band": "high",
        "shared_users": 8000,
        "has_significant_overlap": True,
        "has_interaction": True,
        "unavailable_reason": None,
        "mutual_exclusion_group_id": None,
        "overall_risk": "high",
        "recommendations": [HIGH, RUN_PAIR],
    }
    assert parts(first, expected) == expected
    assert first["min_corrected_p_value"] == pytest.approx(0.00725, abs=5e-6)
    shares = [first[name] for name in ("overlap_coefficient", "share_of_a", "share_of_b")]
    assert shares == pytest.approx([0.739987, 0.851064, 0.850069], abs=6e-7)
    expected = {
        "experiment_b_id": "exp-c-uuid",
        "overlap_band": "low",
        "shared_users": 2000,
        "has_significant_overlap": False,
        "has_interaction": False,
        "unavailable_reason": None,
        "overall_risk": "medium",
        "recommendations": [RUN_PAIR],
    }
    assert parts(second, expected) == expected
    assert second["min_corrected_p_value"] == pytest.approx(0.8292, abs=5e-5)
    assert [second[name] for name in ("overlap_coefficient", "share_of_a", "share_of_b")] == pytest.approx(
        [0.16129, 0.212766, 0.4], abs=6e-7
    )
    expected = {
        "experiment_a_id": "exp-b-uuid",
        "experiment_b_id": "exp-c-uuid",
        "has_interaction": None,
        "min_corrected_p_value": None,
        "unavailable_reason": "mutual_exclusion_group",
        "mutual_exclusion_group_id": group,
        "overall_risk": "low",
    }
    assert parts(third, expected) == expected


def test_the_pair_of_the_examples(stored_service):
    """IN-04..IN-08, IN-25, IN-27..IN-29, IN-34."""
    the_pair(stored_service)
    answer = ask(stored_service, PAIR)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    expected = {
        "experiment_a_id": "exp-a-uuid",
        "experiment_b_id": "exp-b-uuid",
        "overlap_band": "high",
        "shared_users": 8000,
        "has_significant_overlap": True,
        "mutual_exclusion_group_id": None,
        "min_users_per_cell": 100,
        "min_expected_per_cell": 25,
        "overall_risk": "high",
        "recommendations": [
            "Interaction detected: consider pausing one experiment.",
            "Add these experiments to a mutual exclusion group for future runs.",
        ],
    }
    assert parts(body, expected) == expected
    short = body["interaction_result"]
    assert (short["has_interaction"], short["scale"], short["unavailable_reason"]) == (True, "absolute", None)
    assert short["warning_message"] == "Significant interaction detected. Results from both experiments may be unreliable."
    assert (short["p_value"], short["interaction_effect_size"]) == (pytest.approx(0.003625, abs=5e-7), pytest.approx(0.05))
    assert [row["tested_experiment_id"] for row in body["tests"]] == ["exp-a-uuid", "exp-b-uuid"]
    row = body["tests"][0]
    assert (row["treatment"], row["by_experiment_id"], row["df"], row["confidence_level"]) == ("treatment", "exp-b-uuid", 1, 0.95)
    assert row["statistic"] == pytest.approx(8.462833, abs=6e-7)
    assert row["p_value"] == pytest.approx(0.003625, abs=5e-7) == row["corrected_p_value"]
    assert row["arms"] == [
        {"arm": "control", "n_control": 2000, "n_treatment": 2000, "conversions_control": 200, "conversions_treatment": 300}
        | {"rate_control": 0.1, "rate_treatment": 0.15, "effect": pytest.approx(0.05), "relative_lift": pytest.approx(0.5)},
        {"arm": "treatment", "n_control": 2000, "n_treatment": 2000, "conversions_control": 400, "conversions_treatment": 600}
        | {"rate_control": 0.2, "rate_treatment": 0.3, "effect": pytest.approx(0.1), "relative_lift": pytest.approx(0.5)},
    ]
    sutva, other = body["sutva_result"], body["sutva_result_b"]
    assert (sutva["controls_exposed"], sutva["controls_assigned"], sutva["has_violation"]) == (47, 4700, False)
    assert [sutva[name] for name in ("contamination_rate", "ci_low", "ci_high")] == pytest.approx([0.01, 0.007529, 0.013272], abs=6e-7)
    assert (other["controls_exposed"], other["controls_assigned"], other["warning_message"]) == (33, 4706, None)
    assert [other[name] for name in ("contamination_rate", "ci_low", "ci_high")] == pytest.approx([0.007012, 0.004998, 0.009831], abs=6e-7)
    assert [found["is_dependent"] for found in body["assignment_dependence"]] == [False, False]
    assert body["novelty_result"]["unavailable_reason"] == "too_few_days"


def test_experiments_of_two_groups_may_meet_and_are_tested(service):
    """IN-17, IN-26: only one group that both are in keeps them apart."""
    the_pair(service)
    groups = [service.post("/api/v1/mutual-exclusion-groups", {"name": name}).json()["id"] for name in ("first", "second")]
    with service.database.writing() as session:
        for number, group in enumerate(groups, start=1):
            session.add(LayerSlots(layer_id=group, experiment_id=number, low=0, high=10_000, taken_at=START))
    body = ask(service, PAIR).json()
    assert (body["mutual_exclusion_group_id"], body["interaction_result"]["has_interaction"]) == (None, True)


def test_the_order_of_a_pair_is_the_order_asked_for(service):
    """IN-04: and ids serve as well as keys (G-8)."""
    the_pair(service)
    body = ask(service, f"{BASE}/2/1").json()
    assert (body["experiment_a_id"], body["share_of_a"]) == ("exp-b-uuid", pytest.approx(0.850069, abs=6e-7))
    assert body["sutva_result"]["controls_exposed"] == 33
    assert body["interaction_result"]["p_value"] == pytest.approx(0.003625, abs=5e-7)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("role", ["VIEWER", "ANALYST"])
def test_interactions_are_a_developers(service, path, role):
    """IN-15, IN-16: the documented body, before anything is looked up."""
    answer = ask(service, f"{BASE}/{path}", role=role)
    assert answer.status_code == 403
    body = answer.json()
    assert parts(body, {"code": 0, "detail": 0, "hint": 0}) == {
        "code": "role_too_low",
        "detail": f"Interaction endpoints need role DEVELOPER, got {role}.",
        "hint": "Ask an ADMIN for the role.",
    }
    assert service.get(f"{BASE}/{path}", role=None).status_code == 401


@pytest.mark.parametrize("role", ["DEVELOPER", "ADMIN"])
def test_a_developer_and_an_admin_may_ask(service, role):
    """IN-15; a scan of nothing is a scan."""
    body = ask(service, f"{BASE}/scan", role=role).json()
    assert (body["total_active_experiments"], body["pairs_analyzed"], body["high_risk_pairs"], body["results"]) == (0, 0, 0, [])


@pytest.mark.parametrize("tail", ["", "/novelty", "/trend"])
def test_unknown_ids_and_one_id_twice(service, tail):
    """IN-23."""
    run_experiment(service, "one")
    for pair in ("one/nobody", "nobody/one", "1/99"):
        answer = ask(service, f"{BASE}/{pair}{tail}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_experiment"), pair
    for pair in ("one/one", "1/one"):
        answer = ask(service, f"{BASE}/{pair}{tail}")
        assert (answer.status_code, answer.json()["detail"]) == (422, "Two different experiments are compared, got 'one' twice.")


@pytest.mark.parametrize("path", PATHS)
def test_a_store_that_fails_is_an_error_never_nobody(service, tmp_path, path):
    """IN-23, I.c: every page of the database's file but the first is overwritten, as by a broken disk."""
    the_pair(service)
    assert ask(service, f"{BASE}/{path}").status_code == 200
    service.database.close()  # what was written is in the file now
    file = tmp_path / "service.db"
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    (tmp_path / "service.db-wal").unlink(missing_ok=True)
    answer = ask(service, f"{BASE}/{path}")
    assert (answer.status_code, answer.json()["code"]) == (503, "storage")
    assert answer.headers["retry-after"] == "1"


def test_any_status_for_a_pair_but_running_alone_for_a_scan(service):
    """IN-01, IN-24."""
    the_pair(service)
    run_experiment(service, "exp-c-uuid")
    service.clock.move(days=3)
    for status in ("stopped", "decided", "archived"):
        assert service.post("/api/v1/experiments/1/status", {"status": status}, role="ADMIN").status_code == 200
        body = ask(service, PAIR).json()
        assert body["interaction_result"]["p_value"] == pytest.approx(0.003625, abs=5e-7)
    scan = ask(service, f"{BASE}/scan").json()
    assert [(row["experiment_a_id"], row["experiment_b_id"]) for row in scan["results"]] == [("exp-b-uuid", "exp-c-uuid")]
    assert (scan["results"][0]["overlap_coefficient"], scan["results"][0]["unavailable_reason"]) == (0.0, "no_shared_users")


def test_drafts_without_units_have_no_overlap_to_speak_of(service):
    """IN-10, IN-24: null and `no_users`, where both sets are empty."""
    for key in ("one", "two"):
        run_experiment(service, key)
    body = ask(service, f"{BASE}/one/two").json()
    assert (body["overlap_coefficient"], body["shared_users"], body["overall_risk"]) == (None, 0, "low")
    assert body["interaction_result"]["has_interaction"] is None
    assert body["sutva_result"]["unavailable_reason"] == "no_exposure_log"
    (entry,) = ask(service, f"{BASE}/scan").json()["results"]
    assert (entry["overlap_coefficient"], entry["unavailable_reason"]) == (None, "no_users")


def test_who_was_forced_or_only_exposed_is_in_no_set(service):
    """G-10: the sets of units are those of the results."""
    the_pair(service)
    with service.database.writing() as session:
        put(session, 1, {"lazy": "treatment"}, set())
        session.query(ExperimentAssignment).filter_by(profile_id="lazy").update({"source": "exposure"})
        session.add(ForcedVariant(experiment_id=1, unit="ab-cc-00000", arm="treatment", created_by="test", created_at=START))
    body = ask(service, PAIR).json()
    assert body["shared_users"] == 7999
    arm = body["tests"][0]["arms"][0]
    assert (arm["n_control"], arm["conversions_control"]) == (1999, 199)


def test_outcomes_outside_the_window_do_not_count(service):
    """II.b: as in the results of each experiment."""
    the_pair(service)
    with service.database.writing() as session:
        add_outcomes(session, 1, ["ab-cc-01999"], at=START - DAY, value=5.0)
    assert ask(service, PAIR).json()["tests"][0]["arms"][0]["conversions_control"] == 200


def test_two_experiments_one_after_the_other_are_not_tested(service):
    """Not at the same time: no interaction can be."""
    the_pair(service)
    service.clock.move(days=3)
    service.post("/api/v1/experiments/1/status", {"status": "stopped"})
    with service.database.writing() as session:
        session.query(Experiment).filter_by(id=2).update({"start_at": START + 5 * DAY, "started_at": START + 5 * DAY})
    body = ask(service, PAIR).json()
    assert (body["interaction_result"]["has_interaction"], body["interaction_result"]["unavailable_reason"]) == (None, "not_concurrent")
    assert body["recommendations"][:2] == [HIGH, "Interaction not tested: not_concurrent."]


def test_when_experiments_are_at_the_same_time():
    one = Experiment(start_at=START, started_at=START, end_at=START + 9 * DAY, ended_at=START + 4 * DAY)
    draft = Experiment(start_at=START + 90 * DAY)
    assert concurrent(one, draft)
    assert concurrent(one, Experiment(start_at=START + 3 * DAY, started_at=START + 3 * DAY))
    assert not concurrent(one, Experiment(start_at=START + 4 * DAY, started_at=START + 4 * DAY))
    assert not concurrent(Experiment(start_at=None, started_at=START + 5 * DAY), one)


def test_what_is_declared_about_the_arms_raises_the_risk(service):
    """I.b: `shared_resource` of the policy is a violation, and with overlap a high risk."""
    numbers = [run_experiment(service, "one", policy={"shared_resource": True}), run_experiment(service, "two")]
    one, two, won = crossed("u", 500, dict.fromkeys(itertools.product(ARMS, ARMS), 50))
    with service.database.writing() as session:
        put(session, numbers[0], one, won)
        put(session, numbers[1], two, won)
    body = ask(service, f"{BASE}/one/two").json()
    sutva = body["sutva_result"]
    assert (sutva["has_violation"], sutva["contamination_rate"], sutva["unavailable_reason"]) == (True, None, "no_exposure_log")
    assert sutva["declared"] == ["shared_resource"]
    assert body["overall_risk"] == "high"
    assert body["recommendations"][-1] == "Control users of one show treatment exposure: its effect is likely biased."


def with_days(service, key: str, rates: list[float], *, n: int = 4000, since: dt.datetime = START) -> None:
    """An experiment whose treatment converts with 10% plus rates[d] on day d of its units, the control with 10%."""
    number = run_experiment(service, key)
    with service.database.writing() as session:
        for group, extra in (("control", [0.0] * len(rates)), ("treatment", rates)):
            names = add_units(session, number, group, n, assigned_at=since, prefix=key)
            for day, more in enumerate(extra):
                won = random.Random(f"{key}{group}{day}").sample(names, round(n * (0.1 + more)))
                add_outcomes(session, number, won, at=since + day * DAY + DAY / 2, value=float(day + 1))


def test_an_effect_that_fades_is_seen_day_by_day(stored_service):
    """IN-06, IN-09, IN-22: effects of each day alone, of units whose day is over."""
    with_days(stored_service, "fades", [0.1, 0.08, 0.06, 0.04, 0.02, 0.01, 0.0, 0.0])
    with_days(stored_service, "stays", [0.05] * 8)
    stored_service.clock.now = START + 8 * DAY
    body = ask(stored_service, f"{BASE}/fades/stays/novelty").json()
    fades, stays = body["novelty_result"], body["novelty_result_b"]
    assert [day["effect"] for day in fades["trajectory"]] == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02, 0.01, 0.0, 0.0], abs=1e-12)
    assert fades["trajectory"][0]["std_error"] == pytest.approx(np.sqrt((0.2 * 0.8 + 0.1 * 0.9) / 3999))
    assert (fades["has_novelty"], stays["has_novelty"]) == (True, False)
    assert (fades["axis"], fades["scale"], fades["treatment"], fades["metric"]) == ("assignment_day", "absolute", "treatment", "converted")
    assert fades["total_decline"] > 0.9
    assert (fades["trend"], stays["trend"], stays["correlated_days"]) == ("fades", "steady", True)
    assert stays["slope"] == pytest.approx(0.0, abs=1e-9)
    pair = ask(stored_service, f"{BASE}/fades/stays").json()
    assert pair["recommendations"] == ["Novelty effect detected in fades: extend the experiment window before deciding."]
    assert pair["overall_risk"] == "medium", "something was found, and nobody is shared"
    assert "trajectory" not in pair["novelty_result"]
    stored_service.clock.now = START + 6 * DAY
    few = ask(stored_service, f"{BASE}/fades/stays/novelty").json()["novelty_result"]
    assert (few["has_novelty"], few["unavailable_reason"], len(few["trajectory"])) == (None, "too_few_days", 6)
    assert few["recommendation"] == "Novelty was not tested: it needs 7 days of effects or more, there are 6."


def test_a_day_counts_once_it_is_over_for_a_unit(stored_service):
    """Units that came later are in the days that they have lived: none is half there."""
    number = run_experiment(stored_service, "late")
    run_experiment(stored_service, "other")
    with stored_service.database.writing() as session:
        for group in ARMS:
            early = add_units(session, number, group, 200, assigned_at=START, prefix="early")
            late = add_units(session, number, group, 300, assigned_at=START + 2 * DAY + DAY / 4, prefix="late")
            add_outcomes(session, number, early[:40] + late[:100], at=START + 2 * DAY + DAY / 2)  # day 2 of some, day 0 of others
            add_outcomes(session, number, early[:10], at=START + DAY / 3)
            new = add_units(session, number, group, 400, assigned_at=START + 3 * DAY, prefix="new")  # no day of theirs is over
            add_outcomes(session, number, new[:200] + early[:90], at=START + 3 * DAY + DAY / 4)  # nor is day 3 of the early ones
            add_outcomes(session, number, late[:60], at=START + 3 * DAY + DAY / 3)  # nor day 1 of the late ones
    stored_service.clock.now = START + 3 * DAY + DAY / 2
    days = ask(stored_service, f"{BASE}/late/other/novelty").json()["novelty_result"]["trajectory"]
    assert [day["day"] for day in days] == [0, 2], "on day 1 nobody converts"
    for day, converted, n in zip(days, (110, 40), (500, 200), strict=True):
        share = converted / n
        assert day["std_error"] == pytest.approx(np.sqrt(2 * share * (1 - share) / (n - 1)))


def test_values_fade_as_rates_do(service):
    """IN-09: an experiment whose primary metric is the value; zeros of those who did not convert are in the mean."""
    with_days(service, "money", [0.05] * 8)
    run_experiment(service, "other")
    with service.database.writing() as session:
        row = session.get(Experiment, 1)
        spec = dict(row.spec_json)
        spec["metrics"] = [{**metric, "role": "primary" if metric["key"] == "value" else "secondary"} for metric in spec["metrics"]]
        row.spec_json = spec
    service.clock.now = START + 8 * DAY
    body = ask(service, f"{BASE}/money/other/novelty").json()["novelty_result"]
    assert body["metric"] == "value"
    assert [day["effect"] for day in body["trajectory"]] == pytest.approx([0.05 * (day + 1) for day in range(8)])
    treated, control = np.r_[np.full(600, 3.0), np.zeros(3400)], np.r_[np.full(400, 3.0), np.zeros(3600)]
    error = np.sqrt((treated.var(ddof=1) + control.var(ddof=1)) / 4000)
    assert body["trajectory"][2]["std_error"] == pytest.approx(error)


def test_all_pairs_agree_with_sets_counted_one_by_one(service):
    """I.b: read once, and the same cells as sets of Python give; three arms, some units in many experiments, some in none."""
    rng = random.Random(4)
    people = [f"p{number}" for number in range(600)]
    groups: list[dict[str, str]] = []
    converted: list[set[str]] = []
    for number in range(5):
        identity = run_experiment(service, f"exp-{number}")
        arms = {unit: rng.choice(ARMS) for unit in rng.sample(people, rng.randrange(0, 600))}
        won = {unit for unit in arms if rng.random() < 0.3}
        groups.append(arms)
        converted.append(won)
        with service.database.writing() as session:
            put(session, identity, arms, won)
    with service.database.reading() as session:
        cells = all_cells(load(session, running_experiments(session)))
    for found, (i, j) in zip(cells, itertools.combinations(range(5), 2), strict=True):
        for (x, arm_a), (y, arm_b) in itertools.product(enumerate(found.a.arms), enumerate(found.b.arms)):
            both = {unit for unit, arm in groups[i].items() if arm == arm_a and groups[j].get(unit) == arm_b}
            assert found.n[x, y] == len(both)
            assert found.outcome_a.successes[x, y] == len(both & converted[i])
            assert found.outcome_b.successes[x, y] == len(both & converted[j])
        assert found.a.n == len(groups[i])


def test_values_in_the_cells_keep_their_digits(service):
    """A mean about 1e9 with a spread of 1: sums about a constant, not raw squares."""
    numbers = [run_experiment(service, key) for key in ("one", "two")]
    rng = np.random.default_rng(2)
    one, two, _ = crossed("u", 150, dict.fromkeys(itertools.product(ARMS, ARMS), 150))
    values = {unit: 1e9 + float(rng.normal()) for unit in one}
    with service.database.writing() as session:
        put(session, numbers[0], one, set())
        put(session, numbers[1], two, set())
        session.add_all(
            ExperimentOutcome(experiment_id=1, profile_id=unit, conversion_ts=START + DAY, value=value, dedupe_key=mark(unit))
            for unit, value in values.items()
        )
        row = session.get(Experiment, 1)
        spec = dict(row.spec_json)
        spec["metrics"] = [{**metric, "role": "primary" if metric["key"] == "value" else "secondary"} for metric in spec["metrics"]]
        row.spec_json = spec
    with service.database.reading() as session:
        (cells,) = all_cells(load(session, running_experiments(session)))
    place = cells.a.arms.index("control"), cells.b.arms.index("treatment")
    mine = np.array([values[unit] for unit, arm in one.items() if arm == "control" and two[unit] == "treatment"])
    assert cells.outcome_a.mean[place] == pytest.approx(mine.mean(), rel=1e-12)
    assert cells.outcome_a.m2[place] == pytest.approx(((mine - mine.mean()) ** 2).sum(), rel=1e-6)
    assert analyze_pair(cells).tests[0].method == "hc3_z"


def test_scan_is_no_experiment(service):
    """G-8: the fixed path is never taken for an id, also where an experiment has that key."""
    run_experiment(service, "scan")
    run_experiment(service, "novelty")
    assert "results" in ask(service, f"{BASE}/scan").json()
    assert ask(service, f"{BASE}/scan/novelty").json()["experiment_a_id"] == "scan"
