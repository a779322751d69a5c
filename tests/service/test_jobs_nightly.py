"""The nightly report: the documented example, who is told what, completion, failures of one (HO-13..HO-17, HO-21, II.b)."""

from __future__ import annotations

import datetime as dt

import pytest
from holdout_rows import START, add_exposures, add_outcomes, add_units
from test_experiments import HOLDOUT

from fairtrial.errors import UsageError
from fairtrial.service.incrementality import compute_experiment_results, get_experiment_time_series, run_nightly_report
from fairtrial.service.jobs.nightly import shown_p
from fairtrial.storage.tables import (
    Alert,
    AuditEntry,
    Experiment,
    ExperimentAssignment,
    ExperimentLook,
    ExperimentOutcome,
    ExperimentResult,
)

DAY = dt.timedelta(days=1)
NIGHT = dt.datetime(2026, 3, 15, 2, tzinfo=dt.UTC)
PATH = "/api/experiments/nightly-report"


def make(service, experiment: int, *, name: str, channel: str, arms: tuple[int, int], won: tuple[int, int], values=(0.0, 0.0), **fields):
    """A running holdout with so many profiles and converters in treatment and control."""
    made = service.post("/api/experiments", {**HOLDOUT, "name": name, "channel": channel, **fields}).json()
    assert made["id"] == experiment, made
    assert service.post(f"/api/experiments/{experiment}/status", {"status": "running"}).status_code == 200
    groups = []
    with service.database.writing() as session:
        for group, n, converters, value in zip(("treatment", "control"), arms, won, values, strict=True):
            names = add_units(session, experiment, group, n)
            add_outcomes(session, experiment, names[:converters], at=START + DAY, value=value)
            groups.append(names)
    return groups


def report(service, as_of: dt.datetime = NIGHT, **kwargs):
    service.clock.now = max(service.clock.now, as_of)
    return service.post(PATH, {"as_of_date": as_of.isoformat()}, **kwargs)


def alerts_of(service, **query) -> list[dict]:
    return service.get("/api/v1/alerts", params=query).json()["items"]


@pytest.fixture
def example(stored_service):
    """Experiments 2 and 3 of the documented example; 1 is a draft."""
    stored_service.post("/api/experiments", HOLDOUT)
    make(stored_service, 2, name="Push holdout Q1 2026", channel="push", arms=(8000, 2000), won=(600, 100), values=(50.0, 42.0))
    make(stored_service, 3, name="SMS holdout", channel="sms", arms=(4, 1), won=(1, 0), values=(10.0, 0.0))
    return stored_service


def test_the_documented_report(example):
    """HO-15, HO-16, HO-17: the example to the digits shown, with its exact texts."""
    body = report(example).json()
    assert body["as_of_date"] == "2026-03-15T02:00:00Z"
    second, third = body["experiments"]
    assert [second[name] for name in ("id", "name", "channel", "status")] == [2, "Push holdout Q1 2026", "push", "running"]
    results = second["results"]
    assert (results["experiment_id"], results["status"], results["insufficient_data"]) == (2, "running", False)
    assert results["treatment"] == {
        "n": 8000,
        "conversions": 600,
        "conversion_rate": 0.075,
        "total_value": 30000.0,
        "value_per_profile": 3.75,
    }
    assert results["control"] == {"n": 2000, "conversions": 100, "conversion_rate": 0.05, "total_value": 4200.0, "value_per_profile": 2.1}
    rounded = {
        "uplift_abs": 0.025,
        "uplift_rel": 0.5,
        "ci_low": 0.013213,
        "ci_high": 0.035631,
        "always_valid_p": 0.001395,
        "uplift_rel_ci_low": 0.220809,
        "uplift_rel_ci_high": 0.843041,
    }
    for name, value in rounded.items():
        assert results[name] == pytest.approx(value, abs=6e-7), name
    assert results["p_value"] == pytest.approx(0.0000888, abs=5e-8)
    assert (third["id"], third["results"]["uplift_abs"], third["results"]["p_value"]) == (3, None, None)
    assert (third["results"]["insufficient_data"], third["results"]["reason"]) == (True, "fewer than 10 profiles in a group")
    first, last = body["alerts"]
    assert first["message"] == "Experiment 'Push holdout Q1 2026' shows significant positive uplift (p=0.0014)"
    assert (first["experiment_id"], first["severity"], first["p_kind"]) == (2, "success", "always_valid")
    assert first["p_value"] == pytest.approx(0.001395, abs=5e-7)
    assert last == {
        "experiment_id": 3,
        "message": "Experiment 'SMS holdout' has insufficient data for uplift estimation",
        "severity": "info",
        "p_value": None,
        "p_kind": None,
    }


def test_the_same_night_again_stores_and_tells_nothing_twice(example):
    first = report(example).json()
    again = report(example).json()
    assert again == first
    assert [alert["severity"] for alert in alerts_of(example)] == ["info", "success"]
    with example.database.reading() as session:
        assert session.query(ExperimentLook).count() == 1
    next_night = report(example, NIGHT + DAY).json()
    assert [alert["severity"] for alert in next_night["alerts"]] == ["success", "info"], "the report says how it stands"
    assert len(alerts_of(example)) == 2, "people are told once"


def test_a_look_back_stores_nothing_over_what_is_newer(example):
    """An earlier moment reads what was there then, and leaves the latest results and looks alone."""
    report(example)
    with example.database.writing() as session:
        add_units(session, 3, "treatment", 500, assigned_at=NIGHT - DAY, prefix="late")
        add_units(session, 3, "control", 500, assigned_at=NIGHT + DAY, prefix="later")
    before = report(example, NIGHT - 2 * DAY).json()
    assert before["experiments"][1]["results"]["treatment"]["n"] == 4
    now = report(example, NIGHT).json()["experiments"][1]["results"]
    assert (now["treatment"]["n"], now["control"]["n"]) == (504, 1), "a unit that came later is not in yet"
    with example.database.reading() as session:
        assert {row.computed_at for row in session.query(ExperimentResult)} == {NIGHT}


def test_exposures_and_outcomes_that_came_later_are_not_read(example):
    with example.database.writing() as session:
        add_exposures(session, 2, ["c00000"], at=NIGHT + dt.timedelta(seconds=1))
        add_outcomes(session, 2, [f"c{i:05d}" for i in range(500, 900)], at=NIGHT + dt.timedelta(seconds=1))
    results = report(example).json()["experiments"][0]["results"]
    assert (results["contamination_rate"], results["control"]["conversions"]) == (0.0, 100)


def test_a_loss_is_a_warning(stored_service):
    """HO-17."""
    make(stored_service, 1, name='O\'Hare "ü" 用户 <b>', channel="email", arms=(8000, 2000), won=(400, 150))
    (alert,) = report(stored_service).json()["alerts"]
    assert alert["severity"] == "warning"
    assert alert["message"].startswith("Experiment 'O'Hare \"ü\" 用户 <b>' shows significant negative uplift (p=")
    assert alerts_of(stored_service, severity="warning", experiment=1)[0]["message"] == alert["message"]


def test_a_small_fixed_p_before_the_plan_is_complete_is_no_claim(stored_service):
    """II.b, II.c: peeking. The fixed p is below alpha, the always-valid one is not, and the plan is not complete."""
    make(stored_service, 1, name="Peek", channel="email", arms=(8000, 2000), won=(480, 95))
    body = report(stored_service).json()
    results = body["experiments"][0]["results"]
    assert results["p_value"] < 0.05 < results["always_valid_p"]
    assert results["plan"]["complete"] is False
    assert body["alerts"] == []


def test_the_fixed_test_speaks_at_its_first_complete_read_alone(stored_service):
    """HO-17, HO-42: sequential stopping. Later complete reads are looks at a test of one look."""
    fields = {"treatment_rate": 0.8, "baseline_rate_estimate": 0.2, "mde_target": 0.05}
    treated, held = make(stored_service, 1, name="Fixed", channel="email", arms=(2400, 600), won=(500, 120), **fields)
    assert report(stored_service).json()["alerts"] == [], "3,000 of 3,479 profiles are there"
    with stored_service.database.writing() as session:
        add_units(session, 1, "treatment", 480, assigned_at=NIGHT, prefix="more")
        add_units(session, 1, "control", 120, assigned_at=NIGHT, prefix="more")
        add_outcomes(session, 1, treated[500:700], at=NIGHT + dt.timedelta(hours=1))
        add_outcomes(session, 1, held[120:142], at=NIGHT + dt.timedelta(hours=1))
    first = report(stored_service, NIGHT + DAY).json()
    results = first["experiments"][0]["results"]
    assert results["plan"] == {"planned_total": 3479, "observed_total": 3600, "complete": True}
    assert results["p_value"] < 0.05 < results["always_valid_p"]
    (alert,) = first["alerts"]
    assert (alert["severity"], alert["p_kind"], alert["p_value"]) == ("success", "fixed", results["p_value"])
    assert report(stored_service, NIGHT + DAY).json()["alerts"] == first["alerts"], "the same read again"
    second = report(stored_service, NIGHT + 2 * DAY).json()
    assert second["experiments"][0]["results"]["p_value"] < 0.05
    assert second["alerts"] == [], "a second look is none"
    with stored_service.database.reading() as session:
        kept = session.query(ExperimentResult).one().first_complete_json
    assert (kept["as_of"], kept["p_value"]) == ("2026-03-16T02:00:00Z", results["p_value"])


def test_after_the_window_comes_the_final_report_and_it_is_completed(stored_service):
    """II.b: the end and the conversion window have passed. The fixed test is read there at last."""
    end = dt.datetime(2026, 3, 31, 23, 59, 59, tzinfo=dt.UTC)
    make(stored_service, 1, name="Ends", channel="sms", arms=(8000, 2000), won=(480, 95))
    assert report(stored_service, end).json()["completed"] == []
    waiting = report(stored_service, end + 3 * DAY).json()
    assert (waiting["experiments"], waiting["completed"]) == ([], [])
    assert waiting["skipped"][0]["reason"] == "it has ended and waits for conversions until 2026-04-03T23:59:59Z"
    last = report(stored_service, end + 3 * DAY + dt.timedelta(seconds=1)).json()
    assert (last["completed"], last["experiments"][0]["final"], last["experiments"][0]["status"]) == ([1], True, "completed")
    (alert,) = last["alerts"]
    assert (alert["severity"], alert["p_kind"]) == ("success", "fixed")
    assert alert["p_value"] == last["experiments"][0]["results"]["p_value"]
    assert stored_service.get("/api/experiments/1").json()["status"] == "completed"
    assert report(stored_service, end + 9 * DAY).json()["experiments"] == []
    with stored_service.database.reading() as session:
        done = session.query(AuditEntry).filter(AuditEntry.action == "experiment.completed").one()
        assert done.actor.startswith("key:")


def test_what_has_not_begun_or_is_measured_elsewhere_is_left_out_and_said(stored_service):
    make(stored_service, 1, name="Later", channel="email", arms=(20, 20), won=(1, 1), start_at="2026-03-20T00:00:00Z")
    spec = {
        "key": "latency",
        "arms": ["control", "treatment"],
        "metrics": [{"key": "seconds", "kind": "mean", "role": "primary", "direction": "decrease"}],
    }
    made = stored_service.post("/api/experiments", {"spec": spec})
    assert made.status_code == 201, made.text
    assert stored_service.post("/api/experiments/2/status", {"status": "running"}).status_code == 200
    body = report(stored_service).json()
    assert (body["experiments"], body["alerts"]) == ([], [])
    assert [left["id"] for left in body["skipped"]] == [1, 2]
    assert body["skipped"][0]["reason"] == "it starts at 2026-03-20T00:00:00Z"


def test_a_sample_ratio_mismatch_is_an_error_and_no_claim(stored_service):
    """II.b: no success and no warning where the groups are not what was planned."""
    make(stored_service, 1, name="Broken", channel="email", arms=(7600, 2400), won=(700, 100))
    body = report(stored_service).json()
    (alert,) = body["alerts"]
    assert alert["severity"] == "error"
    assert alert["message"].startswith("Experiment 'Broken' failed: sample ratio mismatch (p=")
    assert body["experiments"][0]["results"]["always_valid_p"] < 0.05, "it would have been a claim"


@pytest.mark.parametrize("broken", [{"not": "a spec"}, {}])
def test_one_that_fails_is_an_alert_and_the_others_go_on(example, broken):
    """HO-17: error = computation failure."""
    make(example, 4, name="Fine", channel="email", arms=(800, 200), won=(45, 8))
    with example.database.writing() as session:
        session.get(Experiment, 2).spec_json = broken
    answer = report(example)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert [(entry["id"], entry["results"] is None) for entry in body["experiments"]] == [(2, True), (3, False), (4, False)]
    errors = [alert for alert in body["alerts"] if alert["severity"] == "error"]
    assert len(errors) == 1
    assert errors[0]["message"].startswith("Experiment 'Push holdout Q1 2026' failed: ")
    assert "Traceback" not in errors[0]["message"]


def test_a_failure_half_way_leaves_nothing_of_its_experiment(stored_service):
    """A final report that fails does not complete the experiment."""
    make(stored_service, 1, name="Half", channel="sms", arms=(80, 20), won=(4, 1), end_at="2026-03-02T00:00:00Z")
    with stored_service.database.writing() as session:
        session.add(ExperimentLook(experiment_id=1, version=1, as_of=START + DAY, scorecard_json={"no": "scorecard"}))
    body = report(stored_service).json()
    assert [alert["severity"] for alert in body["alerts"]] == ["error"]
    assert body["completed"] == []
    assert stored_service.get("/api/experiments/1").json()["status"] == "running"


def test_a_direction_that_was_proven_is_not_turned_round(stored_service):
    """The running p proves an effect on one side; when the estimate crosses to the other, that side is not claimed."""
    treated, held = make(stored_service, 1, name="Turns", channel="email", arms=(8000, 2000), won=(600, 100))
    assert report(stored_service).json()["alerts"][0]["severity"] == "success"
    with stored_service.database.writing() as session:
        add_outcomes(session, 1, held[100:220], at=NIGHT + dt.timedelta(hours=1))
    turned = report(stored_service, NIGHT + DAY).json()
    results = turned["experiments"][0]["results"]
    assert results["uplift_abs"] < 0
    assert results["always_valid_p"] < 0.05
    assert turned["alerts"] == []
    del treated


def test_who_may_ask_and_for_which_moment(stored_service):
    """HO-15, G-6, G-7."""
    assert stored_service.post(PATH, {}, role="ANALYST").status_code == 403
    assert stored_service.post(PATH, {}, role=None).status_code == 401
    assert stored_service.call("POST", PATH).json()["as_of_date"] == "2026-03-01T00:00:00Z", "without a body: now"
    for wrong in ("2026-03-01T00:00:01Z", "tomorrow", "0001-01-01T00:00:00Z", 1e300, True, {"a": 1}):
        answer = stored_service.post(PATH, {"as_of_date": wrong})
        assert answer.status_code == 422, wrong
    assert stored_service.post(PATH, {"as_of": "2026-01-01"}).status_code == 422
    assert stored_service.post(PATH, {"as_of_date": "2026-02-28T03:00:00+02:00"}).json()["as_of_date"] == "2026-02-28T01:00:00Z"
    assert stored_service.get("/api/v1/alerts", params={"experiment": 77}).status_code == 404
    assert stored_service.get("/api/v1/alerts", params={"severity": "loud"}).status_code == 422


def test_the_library_makes_the_same_report_in_one_session(example):
    """HO-21: `run_nightly_report(db, as_of_date)`; one failure is undone alone."""
    make(example, 4, name="Broken", channel="email", arms=(800, 200), won=(45, 8))
    with example.database.writing() as session:
        session.get(Experiment, 4).spec_json = {}
    with example.database.writing() as session:
        made = run_nightly_report(db=session, as_of_date=NIGHT, now=NIGHT)
    assert [alert["severity"] for alert in made["alerts"]] == ["success", "info", "error"]
    over_http = report(example).json()
    assert over_http["alerts"] == made["alerts"]
    with example.database.reading() as session:
        assert session.query(Alert).count() == 3
    with example.database.writing() as session:
        assert run_nightly_report(session, dt.date(2026, 3, 16))["as_of_date"] == "2026-03-16T00:00:00Z"
    with pytest.raises(UsageError), example.database.reading() as session:
        run_nightly_report(session, dt.date(1, 1, 1))


def test_results_and_series_from_python(example):
    """HO-20, HO-21."""
    with example.database.reading() as session:
        results = compute_experiment_results(session, 2, min_sample_size=10)
        assert results["uplift_abs"] == pytest.approx(0.025)
        assert compute_experiment_results(db=session, experiment_id=2, min_sample_size=3000)["insufficient_data"] is True
        frame = get_experiment_time_series(db=session, experiment_id=2, freq="D")
        assert list(frame.columns)[:2] == ["date", "treatment_n"]
        assert frame.iloc[-1]["treatment_conversions"] == 600
        assert list(get_experiment_time_series(session, 1, "W").columns) == list(frame.columns)
        with pytest.raises(UsageError):
            get_experiment_time_series(session, 2, "M")
        with pytest.raises(UsageError):
            compute_experiment_results(session, 2, min_sample_size=0)


def test_a_p_in_a_sentence_is_never_nought_by_rounding():
    assert [shown_p(p) for p in (0.001395, 0.0001, 0.00009, 1.8e-6, 0.0455, 1.0, None)] == [
        "0.0014",
        "0.0001",
        "9.0e-05",
        "1.8e-06",
        "0.0455",
        "1.0000",
        "not computed",
    ]


def test_backfilled_units_count_as_of_any_night(stored_service):
    """II.b: assignments recorded after the end count from the start, so a look back sees them."""
    stored_service.post("/api/experiments", HOLDOUT)
    stored_service.post("/api/experiments/1/status", {"status": "running"})
    with stored_service.database.writing() as session:
        for group, n, won in (("treatment", 80, 9), ("control", 20, 2)):
            names = add_units(session, 1, group, n, assigned_at=START + 90 * DAY)
            add_outcomes(session, 1, names[:won], at=START + DAY)
        assert session.query(ExperimentAssignment).count() == 100
        assert session.query(ExperimentOutcome).count() == 11
    stored_service.clock.now = START + 91 * DAY
    results = report(stored_service).json()["experiments"][0]["results"]
    assert (results["treatment"]["n"], results["control"]["conversions"], results["backfilled_assignments"]) == (80, 2, 100)
