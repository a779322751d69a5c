"""The weekly scan, the scan at a start, what they keep, whom they tell, and the trend of a pair (IN-21)."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from holdout_rows import START, add_outcomes
from pair_scene import ARMS, crossed, put, run_experiment, the_pair, third_experiment
from small_webhook import webhook
from sqlalchemy import text

from fairtrial.errors import StorageError
from fairtrial.service import Settings
from fairtrial.service.jobs.runner import JobRunner
from fairtrial.service.jobs.tasks import TASKS
from fairtrial.service.notifications.delivery import Postman
from fairtrial.service.notifications.sender import AppriseSender
from fairtrial.storage.tables import Alert, InteractionPair, InteractionScan

BASE = "/api/v1/interactions"
DAY = dt.timedelta(days=1)


def run(service, task: str, settings: Settings | None = None):
    outcomes = JobRunner(service.database, settings or Settings(), service.clock).run_pending(TASKS[task], first_now=True)
    assert [outcome.status for outcome in outcomes] == ["done"] * len(outcomes), [outcome.error for outcome in outcomes]
    return [outcome.detail for outcome in outcomes]


def alerts(service) -> list[str]:
    with service.database.reading() as session:
        return [alert.message for alert in session.query(Alert).order_by(Alert.id)]


def test_the_weekly_scan_keeps_its_pairs_and_tells_of_a_risk_once(stored_service):
    """IN-21, IN-22: stored for the trend; one alert when a pair becomes of high risk, none while it stays so, one when it is so again."""
    the_pair(stored_service)
    third_experiment(stored_service)
    stored_service.clock.now = dt.datetime(2026, 3, 2, 3, 0, 5, tzinfo=dt.UTC)
    with webhook() as hook:
        settings = Settings(alert_targets={"ops": hook.address})
        (detail,) = run(stored_service, "interaction-scan", settings)
        assert detail == {
            "scan": 1,
            "as_of": "2026-03-02T03:00:00Z",
            "experiments": 3,
            "pairs": 3,
            "high_risk_pairs": 1,
            "new_alerts": 1,
        }
        Postman(stored_service.database, AppriseSender(settings.alert_targets), stored_service.clock).deliver()
        assert len(hook.taken) == 1
        assert "disturb each other: 8,000 shared users" in hook.taken[0]["message"]
    assert run(stored_service, "interaction-scan") == [], "once a week"
    stored_service.clock.move(days=7)
    assert run(stored_service, "interaction-scan")[0]["new_alerts"] == 0
    with stored_service.database.writing() as session:  # the effects become equal: 100 more treated convert in B's control
        more = [f"ab-tc-{number:05d}" for number in range(300, 400)]
        for experiment in (1, 2):
            add_outcomes(session, experiment, more, at=START + DAY)
    stored_service.clock.move(days=7)
    calm = run(stored_service, "interaction-scan")[0]
    assert (calm["high_risk_pairs"], calm["new_alerts"]) == (0, 0)
    with stored_service.database.writing() as session:
        session.execute(text("DELETE FROM experiment_outcomes WHERE profile_id >= 'ab-tc-00300' AND profile_id < 'ab-tc-00400'"))
    stored_service.clock.move(days=7)
    assert run(stored_service, "interaction-scan")[0]["new_alerts"] == 1
    told = alerts(stored_service)
    assert len(told) == 2
    assert told[0].startswith(
        "Experiments 'Email holdout Q1 2026' (exp-a-uuid) and 'Email holdout Q1 2026' (exp-b-uuid) disturb each other"
    )

    listed = stored_service.get(f"{BASE}/scans", role="DEVELOPER").json()
    assert (listed["total"], [scan["id"] for scan in listed["items"]]) == (4, [4, 3, 2, 1])
    assert listed["items"][0]["results"] is None
    page = stored_service.get(f"{BASE}/scans", params={"skip": 3, "limit": 1, "results": True}, role="DEVELOPER").json()
    (first,) = page["items"]
    assert (first["id"], first["trigger"], first["as_of"], first["high_risk_pairs"]) == (1, "scan", "2026-03-02T03:00:00Z", 1)
    assert [row["experiment_b_id"] for row in first["results"]] == ["exp-b-uuid", "exp-c-uuid", "exp-c-uuid"]
    assert first["results"][0]["overall_risk"] == "high"

    for pair in ("exp-a-uuid/exp-b-uuid", "2/1"):
        trend = stored_service.get(f"{BASE}/{pair}/trend", role="DEVELOPER").json()
        assert [point["scan_id"] for point in trend["points"]] == [1, 2, 3, 4]
        assert [point["overall_risk"] for point in trend["points"]] == ["high", "high", "medium", "high"]
        assert trend["points"][0]["interaction_effect_size"] == pytest.approx(0.05)
        assert trend["points"][2]["interaction_effect_size"] == pytest.approx(0.0, abs=1e-12)
        assert trend["points"][0]["p_value"] == pytest.approx(0.003625, abs=5e-7)
        assert [point["overlap_coefficient"] for point in trend["points"]] == pytest.approx([0.739987] * 4, abs=6e-7)


def test_an_experiment_that_starts_is_looked_at_with_all_that_run(stored_service):
    """IN-21: the pairs of what has started since the last scan, once each."""
    the_pair(stored_service)
    first = run(stored_service, "interaction-starts")[0]
    assert (first["started"], first["pairs"], first["new_alerts"]) == (["exp-a-uuid", "exp-b-uuid"], 1, 1)
    stored_service.clock.move(minutes=10)
    assert run(stored_service, "interaction-starts") == [{"started": []}]
    third_experiment(stored_service)
    run_experiment(stored_service, "exp-d-uuid")
    stored_service.clock.move(minutes=10)
    again = run(stored_service, "interaction-starts")[0]
    assert (again["started"], again["experiments"], again["pairs"]) == (["exp-c-uuid", "exp-d-uuid"], 4, 5)
    assert (again["high_risk_pairs"], again["new_alerts"]) == (0, 0)
    (scan, _) = stored_service.get(f"{BASE}/scans", params={"results": True}, role="DEVELOPER").json()["items"]
    assert scan["trigger"] == "start"
    pairs = [(row["experiment_a_id"][4], row["experiment_b_id"][4]) for row in scan["results"]]
    assert pairs == [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    stored_service.clock.move(minutes=10)
    assert run(stored_service, "interaction-starts") == [{"started": []}]


def test_one_alone_waits_for_another(service):
    """IN-21: nothing is stored of an experiment that runs alone, and it is looked at as soon as another starts."""
    run_experiment(service, "one")
    assert run(service, "interaction-starts") == [{"started": ["one"]}]
    run_experiment(service, "two")
    service.clock.move(minutes=10)
    assert run(service, "interaction-starts")[0]["pairs"] == 1


def test_a_scan_that_fails_keeps_nothing(stored_service):
    """IN-23: pairs, scan and alerts are stored together or not at all."""
    the_pair(stored_service)
    with stored_service.database.writing() as session:
        session.execute(text("ALTER TABLE alerts RENAME TO away"))
    (outcome,) = JobRunner(stored_service.database, Settings(), stored_service.clock).run_pending(TASKS["interaction-scan"], first_now=True)
    assert outcome.status == "failed"
    with stored_service.database.writing() as session:
        session.execute(text("ALTER TABLE away RENAME TO alerts"))
        assert (session.query(InteractionScan).count(), session.query(InteractionPair).count()) == (0, 0)
    stored_service.clock.move(minutes=20)
    assert run(stored_service, "interaction-scan")[0]["new_alerts"] == 1, "what failed is tried again"


def test_a_store_that_fails_is_no_scan_of_nobody(service):
    """IN-23, I.c."""
    the_pair(service)
    with service.database.writing() as session:
        session.execute(text("ALTER TABLE experiment_assignments RENAME TO away"))
    (outcome,) = JobRunner(service.database, Settings(), service.clock).run_pending(TASKS["interaction-scan"], first_now=True)
    assert (outcome.status, isinstance(outcome.error, StorageError)) == ("failed", True)
    assert service.get(f"{BASE}/scans", role="DEVELOPER").json()["total"] == 0


def test_no_scan_has_looked_at_a_pair_yet(service):
    for key in ("one", "two"):
        run_experiment(service, key)
    assert service.get(f"{BASE}/one/two/trend", role="DEVELOPER").json()["points"] == []
    assert service.get(f"{BASE}/scans", role="DEVELOPER").json() == {"items": [], "total": 0}


def test_many_experiments_of_the_same_people_are_one_scan(service):
    """I.b: 12 experiments, 66 pairs, all of the same people: every pair is counted, the corrections are over all rows."""
    one, two, won = crossed("u", 250, dict.fromkeys(itertools.product(ARMS, ARMS), 60))
    for number in range(12):
        identity = run_experiment(service, f"exp-{number:02d}")
        arms = one if number % 2 else two
        with service.database.writing() as session:
            put(session, identity, arms, won)
    (detail,) = run(service, "interaction-scan")
    assert (detail["experiments"], detail["pairs"]) == (12, 66)
    scan = service.get(f"{BASE}/scan", role="DEVELOPER").json()
    assert (scan["pairs_analyzed"], {row["shared_users"] for row in scan["results"]}) == (66, {1000})
    assert {row["overlap_band"] for row in scan["results"]} == {"high"}
