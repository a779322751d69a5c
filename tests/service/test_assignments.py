"""Assignment over HTTP and from Python: golden groups, stickiness, counts, files (HO-05, HO-07, HO-24, II.b)."""

from __future__ import annotations

import json
import threading

import pytest
from sqlalchemy import event
from test_experiments import HOLDOUT

from fairtrial.service.incrementality import assign_profiles_deterministic, deterministic_assignment
from fairtrial.storage import ExperimentAssignment

USERS = [f"user_00{i}" for i in range(1, 6)]


@pytest.fixture
def holdout(stored_service):
    stored_service.post("/api/experiments", HOLDOUT)
    return stored_service


def test_the_golden_groups_of_experiment_1(holdout):
    """II.b: at .8 all five are treatment, at .5 three are; II.c: user_001..003 are 3 and 0, not 2 and 1."""
    assert [deterministic_assignment(user, 1, 0.8) for user in USERS] == ["treatment"] * 5
    assert [deterministic_assignment(user, 1, 0.5) for user in USERS] == ["treatment"] * 3 + ["control"] * 2
    body = holdout.post("/api/experiments/1/assign", {"profile_ids": USERS[:3], "treatment_rate": 0.8}).json()
    documented = {"assigned": 3, "treatment": 3, "control": 0, "new": 3, "existing": 0}
    assert {name: body[name] for name in documented} == documented


def test_assigning_again_counts_stored_profiles_once(holdout):
    """HO-05: idempotent, distinct profiles by stored group."""
    holdout.post("/api/experiments/1/assign", {"profile_ids": USERS[:3]})
    again = holdout.post("/api/v1/experiments/1/assign", {"profile_ids": [*USERS, *USERS]}).json()
    assert (again["assigned"], again["new"], again["existing"]) == (5, 2, 3)
    empty = holdout.post("/api/experiments/1/assign", {"profile_ids": []}).json()
    assert (empty["assigned"], empty["new"]) == (0, 0)


def test_the_stored_group_wins_over_a_new_hash(holdout):
    """G-9."""
    holdout.post("/api/experiments/1/assign", {"profile_ids": ["user_001"]})
    with holdout.database.writing() as session:
        session.query(ExperimentAssignment).filter_by(profile_id="user_001").update({"group": "control"})
    body = holdout.post("/api/experiments/1/assign", {"profile_ids": USERS[:3]}).json()
    assert (body["treatment"], body["control"]) == (2, 1)


def test_another_rate_needs_force_and_only_moves_control_to_treatment(holdout):
    """II.b: 409 without force_reassign; raising the rate only moves control to treatment."""
    people = [f"p{i}" for i in range(2000)]
    holdout.post("/api/experiments/1/assign", {"profile_ids": people})
    refused = holdout.post("/api/experiments/1/assign", {"profile_ids": people, "treatment_rate": 0.9})
    assert refused.status_code == 409
    before = groups(holdout)
    moved = holdout.post("/api/experiments/1/assign", {"profile_ids": people, "treatment_rate": 0.9, "force_reassign": True}).json()
    after = groups(holdout)
    changed = {(before[who], after[who]) for who in people if before[who] != after[who]}
    assert changed == {("control", "treatment")}
    assert moved["moved"] == sum(before[who] != after[who] for who in people)
    assert holdout.get("/api/experiments/1").json()["setup"]["treatment_rate"] == 0.9
    assert holdout.post("/api/experiments/1/assign", {"profile_ids": ["new"], "treatment_rate": 0.9}).status_code == 200


def test_a_draft_without_assignments_takes_the_rate_of_the_first_batch(holdout):
    body = holdout.post("/api/experiments/1/assign", {"profile_ids": USERS, "treatment_rate": 0.5}).json()
    assert (body["treatment"], body["control"]) == (3, 2)
    detail = holdout.get("/api/experiments/1").json()
    assert detail["plan"]["total_sample_size"] == 16316
    assert detail["version"] == 1


def test_a_profile_is_looked_up_at_the_moment_of_decision(holdout):
    """HO-24."""
    holdout.post("/api/experiments/1/status", {"status": "running"})
    holdout.post("/api/experiments/1/assign", {"profile_ids": ["user_003"], "assigned_at": "2026-03-01T08:00:00Z"})
    holdout.clock.move(days=4, hours=9)
    found = holdout.call("GET", "/api/experiments/1/assignments/user_004").json()
    assert found == {
        "profile_id": "user_004",
        "group": "treatment",
        "assigned_at": "2026-03-05T09:00:00Z",
        "source": "lookup",
        "reason": None,
    }
    holdout.clock.move(days=1)
    assert holdout.call("GET", "/api/experiments/1/assignments/user_004").json() == found
    assert holdout.get("/api/experiments/1/assignments?limit=2").json() == {
        "items": [
            {"profile_id": "user_004", "group": "treatment", "assigned_at": "2026-03-05T09:00:00Z"},
            {"profile_id": "user_003", "group": "treatment", "assigned_at": "2026-03-01T08:00:00Z"},
        ]
    }


def test_after_the_end_nobody_is_assigned(holdout):
    """II.b: assign is accepted in draft and running."""
    for status in ("running", "completed"):
        holdout.post("/api/experiments/1/status", {"status": status})
    assert holdout.post("/api/experiments/1/assign", {"profile_ids": USERS}).status_code == 409
    assert holdout.call("GET", "/api/experiments/1/assignments/new").status_code == 409


@pytest.mark.parametrize("ids", [["a\x00b"], [""], ["x" * 201], [7], "user_001", None])
def test_what_is_no_profile_is_refused(holdout, ids):
    assert holdout.post("/api/experiments/1/assign", {"profile_ids": ids}).status_code == 422


def test_ids_of_any_script_are_kept_as_they_came(holdout):
    ids = ["Zoë", "Zoë", "用户", "🌱", " spaced ", 'a,b"c', "O'Neil"]
    assert holdout.post("/api/experiments/1/assign", {"profile_ids": ids}).json()["assigned"] == len(set(ids))
    assert set(groups(holdout)) == set(ids)


def test_an_id_with_a_slash_is_looked_up_like_any_other(service):
    """HO-24: what was assigned can be asked for."""
    service.post("/api/experiments", HOLDOUT)
    service.post("/api/experiments/1/assign", {"profile_ids": ["a/b", "/c", "d/"]})
    for name, address in (("a/b", "a%2Fb"), ("/c", "%2Fc"), ("d/", "d%2F")):
        found = service.get(f"/api/experiments/1/assignments/{address}", role="DEVELOPER").json()
        assert (found["profile_id"], found["source"]) == (name, "assign")


def test_two_at_once_give_one_row_each(holdout):
    answers = []

    def work(ids: list[str]) -> None:
        answers.append(holdout.post("/api/experiments/1/assign", {"profile_ids": ids}).json())

    people = [f"p{i}" for i in range(3000)]
    workers = [threading.Thread(target=work, args=(ids,)) for ids in (people, people[::-1], people[1000:2000])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sum(answer["new"] for answer in answers) == 3000
    assert len(groups(holdout)) == 3000


def test_a_file_of_profiles_is_assigned_by_its_type(holdout):
    lines = [json.dumps("user_001"), json.dumps({"profile_id": "用户"}), "", json.dumps("user_001")]
    body = upload(holdout, "\n".join(lines).encode(), "application/x-ndjson").json()
    assert (body["assigned"], body["new"], body["lines"], body["bad"]) == (2, 2, 3, 0)
    table = 'name,profile_id\n"a, b",user_002\nc,user_003\n'
    assert upload(holdout, b"\xef\xbb\xbf" + table.encode(), "text/csv; charset=utf-8").json()["new"] == 2


def test_groups_drawn_elsewhere_are_stored_as_they_come_and_win_over_the_hash(holdout):
    """G-9, HO-24: a file may name a group beside each profile; every way to ask gives that one, OFREP too."""
    table = "profile_id,group\nuser_001,control\nuser_002,treatment\nuser_001,control\n"
    body = upload(holdout, table.encode(), "text/csv", assigned_at="2026-03-02T00:00:00Z").json()
    assert (body["new"], body["treatment"], body["control"]) == (2, 1, 1)
    lines = [json.dumps({"profile_id": "user_003", "group": "control"}), json.dumps("user_004")]
    assert upload(holdout, "\n".join(lines).encode(), "application/x-ndjson").json()["groups"] == {"treatment": 1, "control": 1}
    assert groups(holdout) == {"user_001": "control", "user_002": "treatment", "user_003": "control", "user_004": "treatment"}
    assert holdout.post("/api/experiments/1/status", {"status": "running"}).status_code == 200
    assert holdout.get("/api/experiments/1/assignments/user_001", role="DEVELOPER").json()["group"] == "control"
    key = holdout.get("/api/experiments/1").json()["key"]
    asked = {"context": {"targetingKey": "user_001"}}
    assert holdout.post(f"/ofrep/v1/evaluate/flags/{key}", asked, role="VIEWER").json()["variant"] == "control"


@pytest.mark.parametrize(("group", "said"), [("holdout", "must be one of"), ("", "names no group")])
def test_a_group_that_is_no_arm_stores_nothing(holdout, group, said):
    refused = upload(holdout, f"profile_id,group\na,control\nb,{group}\n".encode(), "text/csv")
    assert refused.status_code == 422
    assert said in refused.json()["detail"]
    assert groups(holdout) == {}


def test_a_full_disk_under_an_upload_gives_503_and_stores_nothing(service):
    """What the driver itself says while rows are loaded is a failure of the store too."""
    service.post("/api/experiments", {**HOLDOUT})
    engine = service.database.engine
    engine.dispose()
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA temp.max_page_count = 4"))
    refused = upload(service, "\n".join(f'"user_{i:09d}"' for i in range(20_000)).encode(), "application/x-ndjson")
    assert (refused.status_code, refused.json()["code"]) == (503, "storage")
    assert groups(service) == {}


def test_a_file_with_bad_lines_stores_nothing_unless_they_may_be_skipped(holdout):
    file = b'"good"\n{"profile": 1}\n42\nnot json\n"a\\u0000b"\n'
    refused = upload(holdout, file, "application/x-ndjson")
    assert refused.status_code == 422
    assert "line 2" in refused.json()["detail"]
    assert groups(holdout) == {}
    body = upload(holdout, file, "application/x-ndjson", skip_bad=True).json()
    assert (body["assigned"], body["bad"], [bad["line"] for bad in body["bad_lines"]]) == (1, 4, [2, 3, 4, 5])
    assert upload(holdout, b"name\nx\n", "text/csv").status_code == 422
    assert upload(holdout, b"x", "application/pdf").status_code == 422


def test_the_library_functions_do_what_the_routes_do(holdout):
    """HO-20."""
    with holdout.database.writing() as session:
        counts = assign_profiles_deterministic(db=session, experiment_id=1, profile_ids=USERS, treatment_rate=0.8)
    assert counts == {"assigned": 5, "treatment": 5, "control": 0, "new": 5, "existing": 0}
    with holdout.database.reading() as session:
        rows = session.query(ExperimentAssignment).filter(
            ExperimentAssignment.experiment_id == 1, ExperimentAssignment.group == "treatment"
        )
        assert rows.count() == 5


def upload(service, data: bytes, kind: str, **query):
    return service.call("POST", "/api/experiments/1/assign/upload", content=data, headers={"Content-Type": kind}, params=query)


def groups(service) -> dict[str, str]:
    with service.database.reading() as session:
        return {row.profile_id: row.group for row in session.query(ExperimentAssignment)}
