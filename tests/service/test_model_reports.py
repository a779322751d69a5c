"""Reports, guardrails and the watch over model experiments, over HTTP, by job and as functions (ML-15, ML-17, ML-19, ML-36)."""

import datetime as dt

import pytest
from gateway_scene import CHALLENGER, CHAMPION, NAME, spec

from fairtrial.errors import UsageError
from fairtrial.service.jobs.runner import JobRunner
from fairtrial.service.jobs.tasks import find_task
from fairtrial.service.models.monitor import check_all
from fairtrial.service.monitoring import load_recent_experiment_data, monitor_experiment_health, send_alert, stop_experiment
from fairtrial.service.notifications.alerts import NOBODY
from fairtrial.service.settings import Settings
from fairtrial.storage.predictions import store_labels, store_predictions
from fairtrial.storage.tables import Alert

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NOWHERE = {CHAMPION: "http://127.0.0.1:9", CHALLENGER: "http://127.0.0.1:9"}
QUARTER = {"stages": [{"name": "canary", "kind": "canary", "share": 0.25, "gate": "approval"}]}


def begin(service, **changes):
    service.clock.now = START
    raw = {**spec(NOWHERE, rollout=QUARTER), **changes}
    assert service.post("/api/v1/models", {"spec": raw}).status_code == 201


def row(i, model, at, **changes):
    variant = "champion" if model == CHAMPION else "challenger"
    given = {
        "prediction_id": f"{variant}-{i}",
        "experiment": NAME,
        "assignment_id": f"{variant}{i}_{NAME}",
        "user_id": f"{variant}{i}",
        "variant": variant,
        "model_name": model,
        "served_by": model,
        "prediction": 0.5,
        "outcome": None,
        "timestamp": at.isoformat(),
        "latency_ms": 20.0,
        "error": False,
        "timeout": False,
        "fallback": False,
        "propensity": 0.5,
        "stage": "canary",
        "features": {},
    }
    return {**given, **changes}


def test_the_report_is_that_of_the_brief(service):
    """Part IV's example: 14,250 of 95,000 against 825 of 5,000, every figure."""
    begin(service, minimum_detectable_effect=0.1, min_sample_size=4802)
    sizes = {CHAMPION: (95_000, 14_250), CHALLENGER: (5_000, 825)}
    with service.database.writing() as session:
        for model, (n, events) in sizes.items():
            rows = [row(i, model, START + dt.timedelta(seconds=i * 1_209_600 / n)) for i in range(n)]
            store_predictions(session, rows)
            store_labels(session, NAME, [(item["prediction_id"], float(i < events)) for i, item in enumerate(rows)], now=START)
    service.clock.now = START + dt.timedelta(days=14)
    answer = service.get(f"/api/v1/models/{NAME}/report", params={"start": "2026-01-01", "end": "2026-01-15"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    told = {
        "experiment_name": NAME,
        "duration_days": 14,
        "total_samples": 100_000,
        "champion_samples": 95_000,
        "challenger_samples": 5_000,
        "decision": "ROLLOUT_CHALLENGER",
        "reason": "Challenger significantly better (p=0.0039, lift=10.00%)",
        "verdict": "LAUNCH",
        "state": "valid",
        "srm": {"chi_square": 0.0, "p_value": 1.0, "status": "ok"},
        "label_coverage": {"champion": 1.0, "challenger": 1.0},
        "rollout_plan": {
            "decision": "gradual_rollout",
            "reason": "Moderate improvement (10.0% lift)",
            "next_steps": ["Week 1: Increase to 25% traffic", "Week 2: Increase to 50% traffic", "Week 3: Increase to 100% if stable"],
            "risk_level": "medium",
        },
    }
    assert {name: within(found[name], told[name]) for name in told} == told
    primary = found["primary_metric"]
    figures = {
        "champion": 0.15,
        "challenger": 0.165,
        "absolute_lift": 0.015,
        "relative_lift": 0.1,
        "statistic": 2.889293,
        "p_value": 0.003861,
    }
    assert {name: round(primary[name], 6) for name in figures} == figures
    assert [round(end, 6) for end in primary["confidence_interval"]] == [0.004709, 0.02578]
    assert [round(end, 6) for end in primary["relative_confidence_interval"]] == [0.031635, 0.172895]
    assert (primary["name"], primary["significant"]) == ("conversion_rate", True)


def within(found, shown):
    """Of an object the fields that are shown: more may come (G-3)."""
    return {name: found[name] for name in shown} if isinstance(shown, dict) else found


def test_a_report_without_predictions_says_so(service):
    begin(service)
    service.clock.move(days=1)
    empty = service.get(f"/api/v1/models/{NAME}/report")
    assert (empty.status_code, empty.json()["code"]) == (422, "not_enough_data")
    turned = service.get(f"/api/v1/models/{NAME}/report", params={"start": "2026-01-15", "end": "2026-01-01"})
    assert turned.status_code == 422
    assert service.get("/api/v1/models/nobody/report").status_code == 404


def traffic(service, *, errors=15, n=600, at=None, first=0, champion=600, latency=187.0):
    moment = at or service.clock.now
    with service.database.writing() as session:
        rows = [row(first + i, CHALLENGER, moment, error=i < errors, latency_ms=latency) for i in range(n)]
        rows += [row(first + i, CHAMPION, moment, error=i < 3) for i in range(champion)]
        store_predictions(session, rows)


def test_the_guardrails_are_those_of_the_brief(stored_service):
    """Part IV's example: 15 errors of 600 challenger requests."""
    begin(stored_service)
    stored_service.clock.move(minutes=60)
    traffic(stored_service)
    found = stored_service.get(f"/api/v1/models/{NAME}/guardrails").json()
    assert (found["has_violations"], found["should_stop"]) == (True, False)
    (violation,) = found["violations"]
    assert (violation["metric"], violation["value"], violation["threshold"]) == ("error_rate", 0.025, [0, 0.01])
    assert violation["timestamp"] == "2026-01-01T01:00:00Z"
    rate, p95 = found["metrics"]["error_rate"], found["metrics"]["p95_latency_ms"]
    assert (rate["violated"], rate["n"], rate["status"]) == (True, 600, "violated")
    assert (round(rate["p_value"], 6), round(rate["ci_low"], 6), round(rate["ci_high"], 6)) == (0.001313, 0.014058, 0.040899)
    assert (p95["value"], p95["threshold"], p95["violated"], p95["n"], p95["status"]) == (187.0, [0, 200], False, 600, "ok")
    assert found["watch"]["requests"] == 600


def test_no_data_is_no_pass(service):
    begin(service)
    found = service.get(f"/api/v1/models/{NAME}/guardrails").json()
    assert (found["has_violations"], found["has_unknown"]) == (False, True)
    assert {check["status"] for check in found["metrics"].values()} == {"no_data"}


def test_the_watch_stops_what_is_broken_and_records_it(stored_service):
    """ML-19: one look; 100 % to the champion, an alert, an entry in the audit log; ML-33: within five minutes of the data."""
    begin(stored_service)
    stored_service.clock.move(minutes=10)
    traffic(stored_service, errors=60)
    found = monitor_experiment_health(database=stored_service.database, now=stored_service.clock.now)
    assert (found["stopped"], found["status"]) == (True, "stopped")
    assert "error_rate" in found["reason"]
    shown = stored_service.get(f"/api/v1/models/{NAME}").json()
    assert (shown["status"], shown["traffic_allocation"]) == ("stopped", {CHAMPION: 1.0, CHALLENGER: 0.0})
    with stored_service.database.reading() as session:
        assert any("stopped at stage canary" in alert.message for alert in session.query(Alert))
    again = monitor_experiment_health(NAME, database=stored_service.database, now=stored_service.clock.now)
    assert (again["stopped"], again["status"]) == (False, "stopped")


def by_labels(service, *, challenger, stages):
    """Two weeks of labelled predictions, half of them the challenger's; what the watch then says."""
    begin(service, traffic_allocation={CHAMPION: 0.5, CHALLENGER: 0.5}, min_sample_size=400)
    half = {"stages": stages}
    raw = {**spec(NOWHERE, rollout=half), "name": "ab", "traffic_allocation": {CHAMPION: 0.5, CHALLENGER: 0.5}, "min_sample_size": 400}
    assert service.post("/api/v1/models", {"spec": {**raw, "max_duration_days": 14}}).status_code == 201
    n = 1_000
    with service.database.writing() as session:
        for model, events in ((CHAMPION, 150), (CHALLENGER, challenger)):
            rows = [row(i, model, START + dt.timedelta(seconds=i * 1_209_600 / n), experiment="ab") for i in range(n)]
            store_predictions(session, rows)
            store_labels(session, "ab", [(item["prediction_id"], float(i < events)) for i, item in enumerate(rows)], now=START)
    service.clock.move(days=14)
    return monitor_experiment_health("ab", database=service.database, now=service.clock.now), service.get("/api/v1/models/ab").json()


AB = [
    {"name": "quarter", "kind": "canary", "share": 0.25},
    {"name": "ab", "kind": "ab", "share": 0.25, "min_minutes": 0, "min_requests": 0},
    {"name": "all", "kind": "ramp", "share": 1.0},
]


@pytest.mark.parametrize(("challenger", "status", "stage"), [(250, "running", "all"), (80, "stopped", "ab"), (152, "stopped", "ab")])
def test_a_verdict_opens_its_gate_or_ends_the_rollout(service, challenger, status, stage):
    """Stages of kind `ab`: better climbs, worse and no better go back to the champion; the watch reads the verdict."""
    service.clock.now = START
    found, shown = by_labels(service, challenger=challenger, stages=AB[1:])
    assert (shown["status"], shown["stage"]) == (status, stage), found["reason"]


def test_what_was_seen_before_a_restart_does_not_count(service):
    """A challenger that was mended is not stopped for what it did before."""
    begin(service)
    service.clock.move(minutes=10)
    traffic(service, errors=60)
    monitor_experiment_health(NAME, database=service.database, now=service.clock.now)
    service.clock.move(minutes=1)
    service.post(f"/api/v1/models/{NAME}/restart", {"reason": "mended"})
    service.clock.move(minutes=1)
    traffic(service, errors=1, first=5_000)
    found = monitor_experiment_health(NAME, database=service.database, now=service.clock.now)
    assert (found["stopped"], found["status"], found["reason"]) == (False, "running", "")
    assert found["watch"]["requests"] == 600


def test_the_watch_leaves_the_healthy_alone(service):
    begin(service)
    service.clock.move(minutes=10)
    traffic(service, errors=2)
    found = monitor_experiment_health(NAME, database=service.database, now=service.clock.now)
    assert (found["stopped"], found["status"], found["reason"]) == (False, "running", "")


def test_three_windows_within_an_hour_stop_and_one_does_not(service):
    """ML-18: each window breaks the limit by its own exact test, none beyond the kill threshold."""
    begin(service, guardrail_metrics={"false_positive_rate": [0, 0.05]})
    service.clock.move(hours=10)

    def wrong(minutes_ago, first):
        at = service.clock.now - dt.timedelta(minutes=minutes_ago)
        with service.database.writing() as session:
            rows = [row(first + i, CHALLENGER, at, prediction=0.9 if i < 32 else 0.1) for i in range(400)]
            store_predictions(session, rows)
            store_labels(session, NAME, [(item["prediction_id"], 0.0) for item in rows], now=at)

    wrong(5, 0)
    one = monitor_experiment_health(NAME, database=service.database, now=service.clock.now)
    assert (one["stopped"], one["guardrails"]["has_violations"]) == (False, True)
    wrong(25, 1000)
    wrong(45, 2000)
    three = monitor_experiment_health(NAME, database=service.database, now=service.clock.now)
    assert (three["stopped"], three["status"]) == (True, "stopped")
    assert "false_positive_rate" in three["reason"]


def test_the_job_looks_at_every_experiment_every_five_minutes(service):
    begin(service)
    service.clock.move(minutes=10)
    traffic(service, errors=60)
    assert find_task("monitor").cron == "*/5 * * * *"
    runner = JobRunner(service.database, Settings(database_url="sqlite:///unused.db"), clock=service.clock)
    (outcome,) = runner.run_pending(find_task("monitor"), first_now=True)
    detail = outcome.detail
    assert (detail["checked"], detail["stopped"], detail["failed"]) == ([NAME], [NAME], [])
    assert check_all(service.database, now=service.clock.now, audience=NOBODY, guard=lambda _: None)["checked"] == []


def test_the_functions_of_the_watch(service):
    """ML-19: their names, and what they refuse."""
    begin(service)
    service.clock.move(minutes=60)
    traffic(service, errors=2, n=30, champion=10)
    traffic(service, errors=0, n=5, champion=0, first=500, at=service.clock.now - dt.timedelta(minutes=20))
    now = service.clock.now
    frame = load_recent_experiment_data(minutes=15, database=service.database, now=now)
    assert len(frame) == 40
    assert len(load_recent_experiment_data(30, NAME, database=service.database, now=now)) == 45
    assert send_alert("look at this", database=service.database, now=now)
    assert not send_alert("look at this", database=service.database, now=now)
    stopped = stop_experiment(NAME, database=service.database, now=now)
    assert (stopped["status"], stopped["traffic_allocation"][CHAMPION]) == ("stopped", 1.0)
    with pytest.raises(UsageError, match="minutes must be above 0"):
        load_recent_experiment_data(0, database=service.database)
    with pytest.raises(UsageError, match="needs a message"):
        send_alert(" ", database=service.database)


def test_guardrails_over_time_hold_each_models_rows_in_even_windows(service):
    """A challenger that is slow in the second of four hours, and a champion that is never: each window by its own rows."""
    begin(service, guardrail_metrics={"p95_latency_ms": [0, 100], "error_rate": [0, 0.01]})
    hour = dt.timedelta(hours=1)
    rows = [
        row(
            1000 * h + i, model, START + h * hour + dt.timedelta(seconds=9 * i), latency_ms=150.0 if (h, model) == (1, CHALLENGER) else 20.0
        )
        for h in (0, 1, 3)
        for i in range(400)
        for model in (CHAMPION, CHALLENGER)
    ]
    with service.database.writing() as session:
        store_predictions(session, rows)
    service.clock.now = START + 4 * hour
    path = f"/api/v1/models/{NAME}/guardrails/timeline"
    found = service.get(path, params={"windows": 4}).json()
    assert (found["window_minutes"], found["start"][:19], found["end"][:19]) == (60.0, "2026-01-01T00:00:00", "2026-01-01T04:00:00")
    slow = [one for one in found["points"] if one["metric"] == "p95_latency_ms"]
    by_model = {model: [one for one in slow if one["model"] == model] for model in (CHAMPION, CHALLENGER)}
    assert [one["value"] for one in by_model[CHAMPION]] == [20.0, 20.0, None, 20.0]
    assert [one["value"] for one in by_model[CHALLENGER]] == [20.0, 150.0, None, 20.0]
    assert [one["status"] for one in by_model[CHALLENGER]] == ["ok", "violated", "no_data", "ok"]
    assert {one["n"] for one in by_model[CHALLENGER]} == {400, 0}
    assert all(one["threshold"] == [0, 100] for one in slow)
    assert len(found["points"]) == 2 * 2 * 4
    last = service.get(path, params={"hours": 1, "windows": 2}).json()
    assert last["start"][:19] == "2026-01-01T03:00:00"
    assert all(one["n"] == 200 for one in last["points"])
    assert service.get(path, params={"hours": 0}).status_code == 422
    assert service.get(path, params={"windows": 1}).status_code == 422
    assert service.get("/api/v1/models/nobody/guardrails/timeline").status_code == 404


def test_guardrails_over_time_of_a_run_that_has_just_begun_are_no_data(service):
    begin(service)
    found = service.get(f"/api/v1/models/{NAME}/guardrails/timeline").json()
    assert {one["status"] for one in found["points"]} == {"no_data"}
