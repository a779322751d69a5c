"""Adaptive rollouts over HTTP (AD-16): assigned, recorded, evaluated, applied, stopped, on SQLite and Postgres."""

import datetime as dt
import math
from fractions import Fraction

import numpy as np
import pytest

from fairtrial.analysis.rollout_days import metric_results
from fairtrial.assignment.hashing import HASH_SPACE, unit_hash
from fairtrial.service.jobs.tasks import Options, Work, find_task
from fairtrial.service.rollouts.control import assign
from fairtrial.service.rollouts.reading import rules_of_row, sessions_of_row
from fairtrial.service.rollouts.schemas import AssignIn
from fairtrial.simulation.rollout import LEVELS
from fairtrial.storage.outbox import alerts_between
from fairtrial.storage.tables import Rollout

URL = "/api/v1/rollouts"
CREATE = {
    "name": "fast-editor", "stages": [0.05, 0.1, 0.25, 0.5, 1.0], "min_days": 7, "max_days": 14, "min_stage_days": 1, "seed": 7,
    "primary": {"metric": "task_completion_time", "direction": "lower", "practical_threshold": 0.02},
    "guardrails": [{"metric": "error_rate", "margin": 0.005}, {"metric": "latency", "margin": 10.0}],
}  # fmt: skip
DECIDE = {
    "stage": 0.25, "next_stage": 0.5, "day": 7, "min_days": 7, "max_days": 14, "stage_days": 3, "min_stage_days": 1, "alpha": 0.05,
    "spending": "lan_demets_obrien_fleming", "first_look_day": 7,
    "primary": {
        "metric": "task_completion_time", "direction": "lower", "practical_threshold": 0.02,
        "control": {"n": 6000, "mean": 42.0, "sd": 18.0}, "treatment": {"n": 2000, "mean": 40.9, "sd": 17.6},
    },
    "guardrails": [
        {
            "metric": "error_rate", "kind": "proportion", "direction": "lower", "margin": 0.005,
            "control": {"n": 6000, "events": 120}, "treatment": {"n": 2000, "events": 44},
        },
        {
            "metric": "latency", "kind": "mean", "direction": "lower", "margin": 10.0,
            "control": {"n": 6000, "mean": 180.0, "sd": 60.0}, "treatment": {"n": 2000, "mean": 183.0, "sd": 62.0},
        },
    ],
}  # fmt: skip
ANSWER = {
    "decision": "RAMP_UP", "verdict": "EXTEND_TEST", "state": "valid", "stage": 0.25, "next_stage": 0.5,
    "reasons": ["boundary_not_crossed", "guardrails_pass", "stage_minimum_met"],
    "primary": {
        "metric": "task_completion_time", "improvement_abs": 1.1, "improvement": 0.02619, "std_error": 0.457034, "z": 2.406824,
        "boundary": 2.962588, "information": 0.5, "look": 1, "ci_low": -0.254003, "ci_high": 2.454003, "relative_ci_low": -0.005832,
        "relative_ci_high": 0.058213,
    },
    "guardrails": [
        {
            "metric": "error_rate", "status": "PASS", "harm": 0.002, "ci_low": -0.004805, "ci_high": 0.010066, "margin": 0.005,
            "non_inferior": False,
        },
        {
            "metric": "latency", "status": "PASS", "harm": 3.0, "ci_low": -0.113711, "ci_high": 6.113711, "margin": 10.0,
            "non_inferior": True,
        },
    ],
    "srm": {"chi_square": 0.0, "p_value": 1.0, "status": "ok"},
}  # fmt: skip


def agrees(expected, got) -> None:
    """Every printed figure, to the digits that were printed."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            agrees(value, got[key])
    elif isinstance(expected, list):
        assert len(expected) == len(got)
        for one, other in zip(expected, got, strict=True):
            agrees(one, other)
    elif isinstance(expected, float):
        assert round(got, 6) == expected
    else:
        assert got == expected


def test_the_documented_decision_comes_out_to_every_digit(service):
    """AD-16, AD-10, AD-15: the example of Part III."""
    answer = service.post(f"{URL}/decide", DECIDE, role="ANALYST")
    assert answer.status_code == 200, answer.text
    agrees(ANSWER, answer.json())


def begun(service, **changes):
    answer = service.post(URL, {**CREATE, **changes})
    assert answer.status_code == 201, answer.text
    return answer.json()


def use(service, users: int, *, faster: float = 0.0, errors: float = 0.02) -> None:
    """Users who come, are assigned, and have a session each; those of the treatment are faster by a share."""
    rng = np.random.default_rng(1)
    with service.database.writing() as session:
        arms = {
            f"ü{i}": assign(session, "1", AssignIn(user_id=f"ü{i}", engagement=LEVELS[i % 3]), now=service.clock.now).variant
            for i in range(users)
        }
    rows = [
        {
            "session_id": f"s-{user}",
            "user_id": user,
            "task_completion_time": 40.0 * math.exp(0.2 * rng.standard_normal()) * (1.0 - (faster if arm == "treatment" else 0.0)),
            "accepted": bool(rng.random() < 0.95),
            "latency_ms": max(1.0, 180.0 + 40.0 * rng.standard_normal()),
            "error": bool(rng.random() < (errors if arm == "treatment" else 0.02)),
        }
        for user, arm in arms.items()
    ]
    answer = service.post(f"{URL}/fast-editor/sessions", {"sessions": rows})
    assert answer.json() == {"stored": users, "duplicates": 0, "unassigned": 0, "out_of_time": 0}


def test_a_rollout_is_begun_evaluated_and_read(stored_service):
    """AD-16: the documented requests in their order."""
    service = stored_service
    made = begun(service)
    assert {key: made[key] for key in ("id", "name", "status", "stage", "next_stage")} == {
        "id": 1, "name": "fast-editor", "status": "running", "stage": 0.05, "next_stage": 0.1,
    }  # fmt: skip
    use(service, 3_000)
    found = service.post(f"{URL}/1/evaluate", {}).json()
    assert {key: found[key] for key in ("decision", "verdict", "state", "stage", "next_stage", "reasons")} == {
        "decision": "CONTINUE", "verdict": "EXTEND_TEST", "state": "valid", "stage": 0.05, "next_stage": 0.1,
        "reasons": ["stage_minimum_not_met"],
    }  # fmt: skip
    assert found["data_source"] == "service"
    again = service.get(f"{URL}/1").json()
    assert [{key: entry[key] for key in ("day", "stage", "decision")} for entry in again["history"]] == [
        {"day": 1, "stage": 0.05, "decision": "CONTINUE"}
    ]
    assert again == service.get(f"{URL}/fast-editor").json()
    assert sum(again["users"].values()) == again["sessions"] == 3_000
    listed = service.get(URL).json()
    assert (listed["total"], listed["items"][0]["last_decision"]) == (1, "CONTINUE")
    assert service.get(f"{URL}?status=stopped").json() == {"items": [], "total": 0}


def test_assignment_is_sticky_and_a_raise_moves_control_users_only(stored_service):
    """AD-02, AD-14: the documented hash, Unicode ids, and nobody leaves the treatment."""
    service = stored_service
    begun(service, stages=[0.2, 0.5, 1.0], guardrails=[])

    def arms():
        names = [f"用户-{i}" for i in range(150)]
        answers = [service.post(f"{URL}/1/assign", {"user_id": name}).json() for name in names]
        return {name: answer["variant"] for name, answer in zip(names, answers, strict=True)}, [answer["new"] for answer in answers]

    first, new = arms()
    assert all(new)
    border = math.ceil(Fraction("0.2") * HASH_SPACE)
    assert first == {name: "treatment" if unit_hash(name, "rollout/fast-editor") < border else "control" for name in first}
    assert arms() == (first, [False] * 150)
    rows = [
        {"session_id": name, "user_id": name, "accepted": True, "task_completion_time": 40.0 + i % 7, "latency_ms": 1.0}
        for i, name in enumerate(first)
    ]
    assert service.post(f"{URL}/1/sessions", {"sessions": rows}).json()["stored"] == 150
    service.clock.move(days=1)
    found = service.post(f"{URL}/1/evaluate", {}).json()
    assert (found["decision"], found["target_share"], found["reasons"]) == (
        "RAMP_UP", 0.5, ["before_first_look", "no_guardrails", "stage_minimum_met"],
    )  # fmt: skip
    assert arms()[0] == first, "evaluating changes nothing"
    applied = service.post(f"{URL}/1/apply", {"evaluation": found["evaluation"], "reason": "go"}).json()
    assert (applied["stage"], applied["next_stage"], applied["history"][-1]["applied"]) == (0.5, 1.0, True)
    second, _ = arms()
    assert {name for name, arm in first.items() if arm == "treatment"} < {name for name, arm in second.items() if arm == "treatment"}
    assert service.post(f"{URL}/1/apply", {}).status_code == 409


def test_sessions_are_kept_once_and_only_of_who_was_assigned(stored_service):
    """AD-05: idempotent; what cannot be placed is counted and not kept."""
    service = stored_service
    begun(service)
    service.post(f"{URL}/1/assign", {"user_id": "a"})
    row = {"session_id": "s", "user_id": "a", "accepted": False, "latency_ms": 9.0, "error": True}
    stranger, early = {**row, "session_id": "t", "user_id": "b"}, {**row, "session_id": "u", "occurred_at": "2020-01-01T00:00:00"}
    answer = service.post(f"{URL}/1/sessions", {"sessions": [row, row, stranger, early]}).json()
    assert answer == {"stored": 1, "duplicates": 1, "unassigned": 1, "out_of_time": 1}
    assert service.post(f"{URL}/1/sessions", {"sessions": [row]}).json()["duplicates"] == 1
    for wrong in (
        {**row, "accepted": True},
        {**row, "latency_ms": -1},
        {**row, "latency_ms": "NaN"},
        {**row, "task_completion_time": float("1e10")},
        {**row, "session_id": ""},
    ):
        assert service.post(f"{URL}/1/sessions", {"sessions": [wrong]}).status_code == 422


def test_an_alert_takes_the_traffic_back_only_when_it_is_applied(service):
    """AD-08, AD-11: a guardrail stops a rollout whose primary metric improves, by an explicit apply."""
    begun(service, stages=[0.5, 1.0])
    use(service, 1_500, faster=0.2, errors=0.25)
    found = service.post(f"{URL}/1/evaluate", {}).json()
    assert (found["decision"], found["verdict"], found["reasons"]) == ("ROLLBACK", "ROLLBACK", ["guardrail_alert"])
    assert found["primary"] is None, "the primary metric is read from complete days"
    assert service.get(f"{URL}/1").json()["stage"] == 0.5
    applied = service.post(f"{URL}/1/apply", {}).json()
    assert (applied["status"], applied["stage"]) == ("rolled_back", 0.0)
    assert {service.post(f"{URL}/1/assign", {"user_id": f"ü{i}"}).json()["variant"] for i in range(40)} == {"control"}
    for path, body in (("evaluate", {}), ("apply", {}), ("stop", {"reason": "x"})):
        assert service.post(f"{URL}/1/{path}", body).status_code == 409
    changes = [row["action"] for row in service.get("/api/v1/audit?action=rollout.", role="ADMIN").json()["items"]]
    assert sorted(changes) == ["rollout.apply", "rollout.create", "rollout.evaluate"]


def test_a_proven_improvement_rolls_out_at_the_first_look(service):
    """AD-07, AD-13: stop day, median-unbiased estimate and saved user-days over HTTP."""
    begun(service, stages=[0.5, 1.0])
    use(service, 1_200, faster=0.1)
    service.clock.move(days=7)
    found = service.post(f"{URL}/1/evaluate", {}).json()
    assert (found["decision"], found["stop_day"], found["target_share"]) == ("ROLLOUT", 7, 1.0)
    assert found["saved_user_days"] == pytest.approx(7 * 1_200 / 7)
    assert found["primary"]["after_stop"]["biased"] == "away_from_zero"
    applied = service.post(f"{URL}/fast-editor/apply", {}).json()
    assert (applied["status"], applied["stage"], applied["next_stage"]) == ("rolled_out", 1.0, None)
    assert service.post(f"{URL}/1/assign", {"user_id": "new"}).json()["variant"] == "treatment"
    stopped = service.post(f"{URL}/1/stop", {"reason": "bug found"}).json()
    assert (stopped["status"], stopped["stage"], stopped["shares"][-1]["reason"]) == ("stopped", 0.0, "bug found")


def test_an_old_or_superseded_evaluation_is_not_applied(service):
    begun(service, stages=[0.5, 0.6, 1.0], guardrails=[])
    assert service.post(f"{URL}/1/apply", {}).status_code == 409
    use(service, 60)
    service.clock.move(days=1)
    first, second = (service.post(f"{URL}/1/evaluate", {}).json()["evaluation"] for _ in range(2))
    assert (first, second) == (1, 2)
    assert service.post(f"{URL}/1/apply", {"evaluation": 1}).status_code == 409
    service.clock.move(days=1, seconds=1)
    assert "older than a day" in service.post(f"{URL}/1/apply", {}).json()["detail"]


def test_the_daily_job_evaluates_tells_and_applies_nothing(service):
    """AD-16, AD-11: through the outbox as every alert."""
    begun(service, stages=[0.5, 1.0])
    use(service, 1_000, errors=0.3)
    begun(service, name="second")
    settings = service.state.settings
    now = service.clock.now
    work = Work(database=service.database, settings=settings, due=now, as_of=now, now=now, guard=lambda _: None, options=Options())
    done = find_task("rollouts").run(work)
    assert done["decisions"] == {"fast-editor": "ROLLBACK", "second": "HOLD"}
    with service.database.reading() as session:
        told = {alert.severity: alert.message for alert in alerts_between(session, now, now + dt.timedelta(seconds=1))}
    assert "ROLLBACK (guardrail_alert)" in told["error"]
    assert "guardrail_unavailable" in told["warning"]
    assert service.get(f"{URL}/1").json()["stage"] == 0.5


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""}, {"name": "12"}, {"stages": []}, {"stages": [0.5, 0.25]}, {"stages": [0.0, 0.5]}, {"stages": [0.5, 1.5]},
        {"stages": [0.5, 0.5]}, {"min_days": 15}, {"first_look_day": 3}, {"min_days": 0}, {"alpha": 0}, {"seed": -1}, {"preset": "bold"},
        {"primary": {"metric": "revenue"}}, {"primary": {"metric": "latency_p95"}}, {"guardrails": [{"metric": "revenue", "margin": 1}]},
        {"guardrails": [{"metric": "latency", "margin": -1}]}, {"censor_seconds": 0}, {"max_step": 0}, {"min_weight": 0.5},
        {"unknown": 1}, {"name": "a\x00"}, {"spending": "haybittle"}, {"primary": {"direction": "up"}},
    ],
)  # fmt: skip
def test_a_rollout_that_breaks_a_rule_is_refused(service, changes):
    """Bad input is 422 with what to do, and nothing is kept."""
    answer = service.post(URL, {**CREATE, **changes})
    assert (answer.status_code, service.get(URL).json()["total"]) == (422, 0), answer.text
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"min_days": 20}, 422), ({"stage": 0.0}, 422), ({"stage": 1.1}, 422), ({"next_stage": 0.1}, 422), ({"day": -1}, 422),
        ({"look_days": [9, 8]}, 422), ({"look_days": [7]}, 422), ({"stage": 1.0, "next_stage": None}, 200), ({"guardrails": []}, 200),
        ({"primary": {**DECIDE["primary"], "control": {"n": 0, "mean": 0, "sd": 0}}}, 200),
        ({"primary": {**DECIDE["primary"], "control": {"n": 10, "mean": None, "sd": 0}}}, 422),
        ({"primary": {**DECIDE["primary"], "direction": "sideways"}}, 422),
    ],
)  # fmt: skip
def test_a_decision_by_odd_figures(service, changes, status):
    """An empty arm is no evidence and no error; numbers that break a rule are 422."""
    answer = service.post(f"{URL}/decide", {**DECIDE, **changes}, role="ANALYST")
    assert answer.status_code == status, answer.text


def test_who_may_do_what(service):
    """G-7: reads VIEWER, the calculator ANALYST, changes DEVELOPER; an unknown rollout is 404."""
    begun(service)
    assert service.get(f"{URL}/1", role="VIEWER").status_code == 200
    assert service.post(f"{URL}/decide", DECIDE, role="VIEWER").status_code == 403
    for path, body in (("", CREATE), ("/1/evaluate", {}), ("/1/apply", {}), ("/1/stop", {"reason": "x"}), ("/1/assign", {"user_id": "a"})):
        assert service.post(f"{URL}{path}", body, role="ANALYST").status_code == 403
    for path, body in (("evaluate", {}), ("assign", {"user_id": "a"}), ("stop", {"reason": "x"})):
        assert service.post(f"{URL}/77/{path}", body).status_code == 404
    assert service.get(f"{URL}/nobody").status_code == 404
    assert service.post(URL, CREATE).status_code == 409


def test_results_hold_every_metric_and_the_effect_by_engagement(stored_service):
    """AD-05, AD-06, AD-09: faster for everybody, by the same functions as a simulated run; the same sessions, the same figures."""
    service = stored_service
    begun(service, stages=[0.5, 1.0])
    use(service, 1_200, faster=0.2)
    service.clock.move(days=1)
    found = service.get(f"{URL}/1/results?resamples=500").json()
    assert found == service.get(f"{URL}/fast-editor/results?resamples=500").json()
    assert (found["stage"], found["sessions"], found["segments_reason"]) == (0.5, 1_200, None)
    by_metric = {one["metric"]: one for one in found["metrics"]}
    roles = {metric: one["role"] for metric, one in by_metric.items()}
    assert roles["task_completion_time"] == "primary"
    assert set(roles) >= {"task_completion_time", "acceptance_rate", "latency", "error_rate"}
    primary = by_metric["task_completion_time"]
    assert 0 < primary["ci_low"] < primary["improvement"] < primary["ci_high"]
    assert (primary["ci_high"] - primary["ci_low"]) == pytest.approx(primary["normal_ci_high"] - primary["normal_ci_low"], rel=0.15)
    assert by_metric["latency"]["p_adjusted"] >= by_metric["latency"]["p_value"]
    with service.database.reading() as session:
        row = session.get(Rollout, 1)
        sessions = sessions_of_row(session, row, now=service.clock.now)
    expected = metric_results(rules_of_row(row), sessions, resamples=500)
    assert primary["improvement"] == expected[0].improvement
    levels = found["segments"]["levels"]
    assert [one["level"] for one in levels] == list(LEVELS)
    assert all(one["improvement"] > 0 for one in levels)
    assert sum(one["n"] for one in levels) == 1_200
    assert service.get(f"{URL}/1/results?resamples=10").status_code == 422
    assert service.get(f"{URL}/nobody/results").status_code == 404


def test_results_without_sessions_say_so(service):
    begun(service)
    found = service.get(f"{URL}/1/results").json()
    assert (found["metrics"], found["segments"], found["sessions"]) == ([], None, 0)
    assert "must be known" in found["segments_reason"]
