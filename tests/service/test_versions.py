"""Experiments from whole specs, and their versions: frozen once started (II.a, XC-12, G-6, G-9)."""

from __future__ import annotations

import threading

import pytest
from flag_specs import CHECKOUT, COLOURS, UNITS, arms_of, create, evaluate

from fairtrial.spec import parse_spec


def shares(spec, **parts: float):
    return {**spec, "arms": [{**arm, "allocation": parts[arm["key"]]} for arm in spec["arms"]]}


def change(service, reference, spec, *, reason="ramp", role="DEVELOPER"):
    return service.post(f"/api/v1/experiments/{reference}/versions", {"spec": spec, "reason": reason}, role=role)


SOME = set(UNITS[::3])
"""Asked one by one; enough to see every change of shares."""


def arms_served(service, spec) -> dict[str, str]:
    return {unit: evaluate(service, spec["key"], unit).json()["variant"] for unit in SOME}


def test_a_spec_makes_an_experiment_that_is_hashed_by_its_key(stored_service):
    """G-9: assigning over HTTP gives the groups that the library gives by the same spec."""
    number = create(stored_service, COLOURS)
    detail = stored_service.get(f"/api/v1/experiments/{number}").json()
    assert (detail["key"], detail["kind"], detail["version"]) == (COLOURS["key"], "ab_test", 1)
    assert detail["spec_hash"] == parse_spec(COLOURS).spec_hash
    arms = arms_of(COLOURS)
    counted = stored_service.post(f"/api/v1/experiments/{number}/assign", {"profile_ids": UNITS}).json()
    assert counted["groups"] == {arm: sum(one == arm for one in arms.values()) for arm in ("blue", "control", "red")}


def test_a_holdout_may_come_as_a_spec(service):
    arms = [{"key": "treatment", "allocation": 0.8}, {"key": "control", "allocation": 0.2}]
    metrics = [{"key": "converted", "kind": "proportion"}]
    spec = {"key": "mail", "kind": "holdout", "arms": arms, "metrics": metrics, "schedule": {"start": "2026-03-01", "end": "2026-04-01"}}
    number = create(service, spec, channel="email", conversion_key="buy")
    detail = service.get(f"/api/v1/experiments/{number}").json()
    assert (detail["setup"]["treatment_rate"], detail["start_at"], detail["end_at"]) == (
        0.8,
        "2026-03-01T00:00:00Z",
        "2026-04-01T00:00:00Z",
    )
    assert service.get("/api/v1/experiments/mail/results").json()["treatment"]["n"] == 0


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"spec": {}}, "key"),
        ({"spec": {**CHECKOUT, "key": "42"}}, "all digits"),
        ({"spec": {**CHECKOUT, "arms": ["control"]}}, "arms"),
        ({"spec": {**CHECKOUT, "eligibility": {"include": [{"attribute": "a", "operator": "matches", "value": "x"}]}}}, "operator"),
        ({"spec": {**CHECKOUT, "name": "a\x00b"}}, "NUL"),
        ({"spec": {**CHECKOUT, "arms": {"control": 0.5, "new": 0.6}}}, "sum to 1"),
        ({"spec": CHECKOUT, "surprise": 1}, "surprise"),
        ({"spec": [1]}, "spec"),
        ({"spec": {**CHECKOUT, "kind": "interrupted_series"}}, ""),
    ],
)
def test_a_broken_spec_is_a_422_that_names_the_rule(service, body, why):
    answer = service.post("/api/v1/experiments", body)
    assert answer.status_code == 422, answer.text
    assert why in answer.json()["detail"]
    assert service.get("/api/v1/experiments").json()["total"] == 0


def test_an_experiment_that_nobody_is_randomised_in_is_refused(service):
    spec = {
        "key": "region",
        "kind": "did",
        "arms": ["control", "treatment"],
        "metrics": [{"key": "sales", "kind": "mean"}],
        "design": {"kind": "did", "unit": "region", "time": "week", "treated": "treated", "start": 20},
    }
    assert parse_spec(spec).kind == "did"
    answer = service.post("/api/v1/experiments", {"spec": spec})
    assert answer.status_code == 422
    assert "nobody is randomised" in answer.json()["detail"]


def test_a_taken_key_is_a_409_also_for_two_at_once(stored_service):
    answers: list[int] = []

    def work() -> None:
        answers.append(stored_service.post("/api/v1/experiments", {"spec": CHECKOUT}).status_code)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert sorted(answers) == [201, 409, 409, 409]


def test_a_draft_is_changed_in_place(service):
    number = create(service, CHECKOUT, start=False)
    made = change(service, number, shares(CHECKOUT, control=0.9, treatment=0.1))
    assert (made.status_code, made.json()["version"], made.json()["frozen_at"]) == (201, 1, None)
    service.post(f"/api/v1/experiments/{number}/status", {"status": "running"})
    served = arms_served(service, CHECKOUT)
    assert served == {unit: arm for unit, arm in arms_of(shares(CHECKOUT, control=0.9, treatment=0.1)).items() if unit in SOME}


def test_a_started_spec_is_frozen_and_a_change_of_shares_is_a_version(stored_service):
    """XC-12, DESIGN 5: the ranges are extended; nobody moves between arms that both grow or stay."""
    service = stored_service
    number = create(service, COLOURS, log_assignments=False)
    first = service.get(f"/api/v1/experiments/{number}/versions").json()["items"]
    assert [(one["version"], one["frozen_at"] is None) for one in first] == [(1, False)]
    before = arms_served(service, COLOURS)
    made = change(service, COLOURS["key"], shares(COLOURS, control=0.1, red=0.3, blue=0.6), reason="more blue")
    assert (made.status_code, made.json()["version"], made.json()["reason"]) == (201, 2, "more blue")
    after = arms_served(service, COLOURS)
    assert {(before[unit], after[unit]) for unit in SOME if before[unit] != after[unit]} == {("control", "blue")}
    both = service.get(f"/api/v1/experiments/{number}/versions").json()["items"]
    assert [one["version"] for one in both] == [2, 1]
    assert both[1] == first[0]
    assert service.get(f"/api/v1/experiments/{number}").json()["spec_hash"] == made.json()["spec_hash"] != first[0]["spec_hash"]


def test_stored_units_keep_their_arm_through_a_version(service):
    """G-9: the stored group wins over the new ranges."""
    number = create(service, COLOURS)
    before = arms_served(service, COLOURS)
    service.state.assignments.flush()
    service.post(f"/api/v1/experiments/{number}/assign", {"profile_ids": UNITS})
    change(service, number, shares(COLOURS, control=0.0, red=0.3, blue=0.7))
    assert arms_served(service, COLOURS) == before
    assert evaluate(service, COLOURS["key"], "a newcomer").json()["variant"] in {"red", "blue"}


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("plan", {"baseline": 0.05, "mde": 0.1, "alpha": 0.1}),
        ("metrics", [{"key": "revenue", "kind": "mean"}]),
        ("control", "treatment"),
        ("arms", [*CHECKOUT["arms"][:1], {"key": "other", "allocation": 0.5, "value": True}]),
    ],
)
def test_the_plan_of_a_started_experiment_stays(service, part, value):
    """G-6: a changed plan is a 409."""
    number = create(service, CHECKOUT)
    refused = change(service, number, {**CHECKOUT, part: value})
    assert (refused.status_code, refused.json()["code"]) == (409, "changed_plan")
    assert part in refused.json()["detail"]
    assert len(service.get(f"/api/v1/experiments/{number}/versions").json()["items"]) == 1


def test_eligibility_may_be_widened_while_it_runs(service):
    create(service, {**CHECKOUT, "eligibility": {"include": [{"attribute": "country", "operator": "equals", "value": "IT"}]}})
    assert evaluate(service, "checkout", country="FR").json()["reason"] == "DEFAULT"
    wider = {**CHECKOUT, "eligibility": {"include": [{"attribute": "country", "operator": "in", "value": ["IT", "FR"]}]}}
    assert change(service, "checkout", wider).json()["version"] == 2
    assert evaluate(service, "checkout", country="FR").json()["reason"] == "SPLIT"


def test_the_same_spec_again_is_no_new_version(service):
    number = create(service, CHECKOUT)
    assert change(service, number, CHECKOUT).json()["version"] == 1


def test_who_may_change_what_and_when(service):
    number = create(service, CHECKOUT)
    assert change(service, number, CHECKOUT, role="ANALYST").status_code == 403
    assert change(service, "nobody", CHECKOUT).status_code == 404
    assert change(service, number, {**CHECKOUT, "key": "other"}).status_code == 422
    assert service.post(f"/api/v1/experiments/{number}/versions", {"spec": CHECKOUT}).status_code == 422
    service.post(f"/api/v1/experiments/{number}/status", {"status": "stopped"})
    assert change(service, number, shares(CHECKOUT, control=0.4, treatment=0.6)).status_code == 409


def test_versions_made_at_once_follow_each_other(stored_service):
    number = create(stored_service, CHECKOUT)

    def work(part: float) -> None:
        change(stored_service, number, shares(CHECKOUT, control=part, treatment=1 - part))

    workers = [threading.Thread(target=work, args=(part,)) for part in (0.125, 0.25, 0.375)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    items = stored_service.get(f"/api/v1/experiments/{number}/versions").json()["items"]
    assert [one["version"] for one in items] == [4, 3, 2, 1]
