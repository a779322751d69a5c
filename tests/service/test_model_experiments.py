"""Experiments of models over HTTP (ML-36), on SQLite and Postgres, against real model servers."""

import datetime as dt

import pytest
from gateway_scene import CHALLENGER, CHAMPION, NAME, spec
from small_models import SmallModel, running

from fairtrial.serving import TrafficRouter
from fairtrial.spec.model_file import parse_model_experiment
from fairtrial.storage.predictions import read_predictions, store_comparisons

HALF = [{"name": "half", "kind": "canary", "share": 0.25, "min_minutes": 1000}, {"name": "all", "kind": "ramp", "share": 1.0}]


@pytest.fixture
def models():
    champion, challenger = SmallModel(0.21), SmallModel(0.83)
    with running(champion) as first, running(challenger) as second:
        yield champion, challenger, {CHAMPION: first, CHALLENGER: second}


def begun(service, models, **serving):
    raw = spec(models[2], **{"rollout": {"stages": HALF}, **serving})
    answer = service.post("/api/v1/models", {"spec": raw})
    assert answer.status_code == 201, answer.text
    return raw


def test_an_experiment_is_begun_listed_and_read(stored_service, models):
    service = stored_service
    raw = begun(service, models)
    found = service.get(f"/api/v1/models/{NAME}").json()
    assert (found["experiment_name"], found["status"], found["stage"], found["share"]) == (NAME, "running", "half", 0.25)
    assert found["traffic_allocation"] == {CHAMPION: 0.75, CHALLENGER: 0.25}
    assert [event["what"] for event in found["history"]] == ["started"]
    assert service.get("/api/v1/models").json()["items"] == [found]
    again = service.post("/api/v1/models", {"spec": raw})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert service.get("/api/v1/models/nobody").status_code == 404


def test_a_prediction_is_the_models_of_the_user_and_is_stored(stored_service, models):
    """ML-36, ML-08: the example of Part IV with its field names; routed as every gateway routes."""
    service = stored_service
    raw = begun(service, models, rollout={"stages": [{"name": "canary", "kind": "canary", "share": 0.05}]}, protocol="json")
    answer = service.post(f"/api/v1/models/{NAME}/predict", {"user_id": "user_22", "features": {"amount": 120.0}})
    assert answer.status_code == 200
    assert answer.json() == {"prediction": 0.83, "model_version": CHALLENGER, "prediction_id": answer.json()["prediction_id"]}
    router = TrafficRouter(parse_model_experiment(raw).config)
    for i in range(40):
        given = service.post(f"/api/v1/models/{NAME}/predict", {"user_id": f"user_{i}", "features": {}}).json()
        assert given["model_version"] == router.assign_variant(f"user_{i}").model_name
    anonymous = service.post(f"/api/v1/models/{NAME}/predict", {"session_id": "abc", "features": {}}).json()
    assert anonymous["model_version"] == CHAMPION
    with service.database.reading() as session:
        rows = read_predictions(session, NAME, None, None)
    assert len(rows) == 42
    assert {row["assignment_id"] for row in rows} >= {"session_abc", f"user_22_{NAME}"}


def test_a_v2_model_gets_tensors(service, models):
    begun(service, models)
    answer = service.post(f"/api/v1/models/{NAME}/predict", {"user_id": "u", "features": {"x": 1.5, "word": "a", "flags": [True, False]}})
    assert answer.status_code == 200
    odd = service.post(f"/api/v1/models/{NAME}/predict", {"user_id": "u", "features": {"x": {"a": 1}}})
    assert odd.status_code == 422
    assert "must be a number, a text" in odd.json()["detail"]


def test_the_champion_answers_for_a_challenger_and_its_own_failure_is_a_502(service, models):
    champion, challenger, _ = models
    begun(service, models, rollout={"stages": [{"name": "canary", "kind": "canary", "share": 0.05}]})
    challenger.fail = 1.0
    given = service.post(f"/api/v1/models/{NAME}/predict", {"user_id": "user_22", "features": {"x": 1}}).json()
    assert (given["prediction"], given["model_version"]) == (0.21, CHAMPION)
    champion.fail = 1.0
    failed = service.post(f"/api/v1/models/{NAME}/predict", {"user_id": "user_1", "features": {"x": 1}})
    assert (failed.status_code, failed.json()["code"]) == (502, "connector")
    with service.database.reading() as session:
        rows = read_predictions(session, NAME, None, None)
    assert [(row["error"], row["fallback"]) for row in rows] == [(True, True), (True, False)]


def test_a_request_that_breaks_a_rule_is_refused(service, models):
    begun(service, models)
    nobody = service.post(f"/api/v1/models/{NAME}/predict", {"features": {}})
    assert (nobody.status_code, nobody.json()["code"]) == (422, "usage")
    for body in (
        {},
        {"user_id": "", "features": {}},
        {"user_id": "a\x00", "features": {}},
        {"user_id": 7, "features": {}},
        {"features": 1},
    ):
        assert service.post(f"/api/v1/models/{NAME}/predict", body).status_code == 422
    broken = service.post("/api/v1/models", {"spec": {"name": "x"}})
    assert (broken.status_code, broken.json()["code"]) == (422, "spec")
    assert service.post(f"/api/v1/models/{NAME}/stop", {"reason": ""}).status_code == 422
    assert service.post(f"/api/v1/models/{NAME}/stop", {"reason": "   "}).status_code == 422


def test_a_stop_is_for_good_until_a_person_restarts(stored_service, models):
    """ML-36: the example's answer; nothing but a restart gives challengers traffic again."""
    service = stored_service
    begun(service, models)
    stopped = service.post(f"/api/v1/models/{NAME}/stop", {"reason": "error rate"}).json()
    assert {key: stopped[key] for key in ("experiment_name", "status", "traffic_allocation")} == {
        "experiment_name": NAME,
        "status": "stopped",
        "traffic_allocation": {CHAMPION: 1.0, CHALLENGER: 0.0},
    }
    assert service.post(f"/api/v1/models/{NAME}/stop", {"reason": "again"}).json()["status"] == "stopped"
    for action in ("pause", "resume", "approve"):
        refused = service.post(f"/api/v1/models/{NAME}/{action}", {"reason": "please"})
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    given = {
        service.post(f"/api/v1/models/{NAME}/predict", {"user_id": f"user_{i}", "features": {"x": 1}}).json()["model_version"]
        for i in range(30)
    }
    assert given == {CHAMPION}
    assert service.post(f"/api/v1/models/{NAME}/restart", {"reason": "fixed"}).json()["status"] == "running"
    found = service.get(f"/api/v1/models/{NAME}").json()
    assert (found["epoch"], [event["what"] for event in found["history"]]) == (2, ["started", "stopped", "started"])
    audit = service.get("/api/v1/audit", role="ADMIN", params={"object_type": "model_experiment"}).json()["items"]
    assert [entry["action"] for entry in audit][::-1] == ["model.started", "model.stopped", "model.started"]


def test_pause_resume_and_approve(service, models):
    begun(service, models)
    assert service.post(f"/api/v1/models/{NAME}/pause", {"reason": "freeze"}).json()["status"] == "paused"
    assert service.post(f"/api/v1/models/{NAME}/resume", {"reason": "go on"}).json()["status"] == "running"
    moved = service.post(f"/api/v1/models/{NAME}/approve", {"reason": "reviewed"}).json()
    assert (moved["stage"], moved["traffic_allocation"]) == ("all", {CHAMPION: 0.0, CHALLENGER: 1.0})


def test_labels_come_later_and_the_last_one_counts(stored_service, models):
    """ML-26, ML-31: by prediction id, in any order."""
    service = stored_service
    begun(service, models)
    given = service.post(f"/api/v1/models/{NAME}/predict", {"user_id": "u1", "features": {"x": 1}}).json()["prediction_id"]
    label = {"prediction_id": given, "outcome": 1.0}
    other = {"prediction_id": "not-there-yet", "outcome": 0.0}
    assert service.post(f"/api/v1/models/{NAME}/labels", {"labels": [label, other]}).json() == {"stored": 2}
    assert service.post(f"/api/v1/models/{NAME}/labels", {"labels": [{**label, "outcome": 0.0}]}).json() == {"stored": 1}
    with service.database.reading() as session:
        (row,) = read_predictions(session, NAME, None, None)
    assert (row["outcome"], row["labelled_at"]) == (0.0, service.clock.now)
    assert service.post("/api/v1/models/nobody/labels", {"labels": [label]}).status_code == 404
    assert service.post(f"/api/v1/models/{NAME}/labels", {"labels": []}).status_code == 422


def test_the_shadow_is_read_as_the_brief_shows_it(stored_service, models):
    """ML-36: GET /shadow with 32 of 1,000 diverging."""
    service = stored_service
    begun(service, models)
    empty = service.get(f"/api/v1/models/{NAME}/shadow").json()
    assert (empty["requests"], empty["divergence_rate"], empty["status"]) == (0, None, "inconclusive")
    with service.database.writing() as session:
        store_comparisons(session, [compared(i) for i in range(1000)])
    found = service.get(f"/api/v1/models/{NAME}/shadow").json()
    expected = {"requests": 1000, "compared": 1000, "challenger_errors": 0, "challenger_timeouts": 0, "dropped": 0}
    assert {name: found[name] for name in expected} == expected
    assert (found["divergence_rate"], found["limit"], found["status"]) == (0.032, 0.05, "ok")
    assert (round(found["ci_low"], 6), round(found["ci_high"], 6)) == (0.022757, 0.044825)
    assert found["latency"]["mean_difference_ms"] == pytest.approx(1.5)
    assert service.get(f"/api/v1/models/{NAME}/shadow", params={"challenger": "v9"}).status_code == 422


def compared(i):
    return {
        "prediction_id": f"p{i}",
        "experiment": NAME,
        "challenger": CHALLENGER,
        "timestamp": dt.datetime(2026, 1, 1, tzinfo=dt.UTC).isoformat(),
        "champion_prediction": 0.2,
        "challenger_prediction": 0.25,
        "prediction_difference": 0.05,
        "diverged": i < 32,
        "label_flip": False,
        "champion_latency_ms": 5.0,
        "challenger_latency_ms": 6.0 + i % 2,
        "challenger_error": False,
        "challenger_timeout": False,
        "dropped": False,
        "features": {},
    }


@pytest.mark.parametrize(
    ("events", "n", "phase"),
    [(15, 600, "fail"), (4, 600, "pass"), (0, 150, "inconclusive"), (0, 0, "inconclusive"), (8, 600, "pass"), (5, 10, "fail")],
)
def test_a_deployment_tool_gets_pass_fail_or_inconclusive(service, events, n, phase):
    """Argo Rollouts and Flagger ask with rates of their own: exact tests, no data is no pass."""
    body = {"metrics": {"error_rate": {"events": events, "n": n, "limit": 0.01}}}
    answer = service.post("/api/v1/models/analysis", body, role="ANALYST")
    assert (answer.status_code, answer.json()["phase"]) == (200, phase)


def test_a_deployment_tool_asks_for_an_experiment(service, models):
    begun(service, models)
    before = service.post("/api/v1/models/analysis", {"experiment": NAME}, role="ANALYST").json()
    assert (before["phase"], before["reason"]) == ("pass", "guardrails say ok") or before["phase"] == "inconclusive"
    service.post(f"/api/v1/models/{NAME}/stop", {"reason": "error rate"})
    after = service.post("/api/v1/models/analysis", {"experiment": NAME}, role="ANALYST").json()
    assert (after["phase"], after["reason"]) == ("fail", "error rate")
    for body in ({}, {"metrics": {}}, {"experiment": NAME, "metrics": {"a": {"events": 1, "n": 2, "limit": 0.1}}}):
        assert service.post("/api/v1/models/analysis", body, role="ANALYST").status_code == 422
    worse = {"metrics": {"a": {"events": 3, "n": 2, "limit": 0.1}}}
    assert service.post("/api/v1/models/analysis", worse, role="ANALYST").status_code == 422


def test_erasing_a_user_erases_the_predictions(service, models):
    begun(service, models)
    service.post(f"/api/v1/models/{NAME}/predict", {"user_id": "gone", "features": {"x": 1}})
    service.post(f"/api/v1/models/{NAME}/predict", {"user_id": "stays", "features": {"x": 1}})
    assert service.post("/api/v1/privacy/erase", {"unit": "gone"}, role="ADMIN").json()["erased"]["experiment_logs"] == 1
    with service.database.reading() as session:
        assert [row["user_id"] for row in read_predictions(session, NAME, None, None)] == ["stays"]
