"""Exclusion groups over HTTP: the documented answers, one group at most, and nobody in two experiments (IN-17..19, G-7)."""

from __future__ import annotations

import threading

import pytest
from test_experiments import HOLDOUT

from fairtrial.storage import ExperimentAssignment

GROUPS = "/api/v1/mutual-exclusion-groups"
CHECKOUT = {"name": "checkout-page", "description": "Experiments that change checkout", "traffic_allocation": 1.0}
PEOPLE = [f"person-{number}" for number in range(5000)]


def make_experiment(service, key, **fields):
    made = service.post("/api/experiments", {**HOLDOUT, "key": key, **fields})
    assert made.status_code == 201, made.text
    return made.json()


def make_group(service, name="checkout-page", **fields):
    made = service.post(GROUPS, {"name": name, **fields})
    assert made.status_code == 201, made.text
    return f"{GROUPS}/{made.json()['id']}"


def join(service, group, key, share=0.5):
    return service.post(f"{group}/experiments", {"experiment_id": key, "share": share})


def leave(service, group, key):
    return service.call("DELETE", f"{group}/experiments/{key}")


def assign(service, key, people=PEOPLE):
    made = service.post(f"/api/experiments/{key}/assign", {"profile_ids": people})
    assert made.status_code == 200, made.text
    return made.json()


def move_to(service, key, status, role="DEVELOPER"):
    made = service.post(f"/api/experiments/{key}/status", {"status": status}, role=role)
    assert made.status_code == 200, made.text


def members(service, number):
    with service.database.reading() as session:
        return {row.profile_id for row in session.query(ExperimentAssignment).filter_by(experiment_id=number)}


def ranges(body, field="slots"):
    return [(found["low"], found["high"]) for found in body[field]]


def shown(body, *left_out):
    return {name: value for name, value in body.items() if name not in left_out}


def test_the_documented_answers(stored_service):
    """IN-18: the examples of I.a, in their order and with their ids."""
    for number in range(1, 7):
        make_group(stored_service, f"group-{number}")
    make_experiment(stored_service, "exp-b-uuid")
    made = stored_service.post(GROUPS, CHECKOUT)
    documented = {"id": 7, **CHECKOUT, "status": "active", "slots": []}
    assert made.status_code == 201
    assert shown(made.json(), "quarantined") == documented
    joined = join(stored_service, f"{GROUPS}/7", "exp-b-uuid")
    documented["slots"] = [{"experiment_id": "exp-b-uuid", "low": 0.0, "high": 0.5}]
    assert joined.status_code == 200
    assert shown(joined.json(), "quarantined") == documented
    listed = stored_service.get(f"{GROUPS}?status=active&skip=6&limit=100").json()
    assert listed["total"] == 7
    item = {"id": 7, "name": "checkout-page", "status": "active", "traffic_allocation": 1.0, "experiments": 1}
    assert [shown(found, "description") for found in listed["items"]] == [item]
    changed = stored_service.call("PUT", f"{GROUPS}/7", json={"description": "One checkout change at a time"})
    documented["description"] = "One checkout change at a time"
    assert shown(changed.json(), "quarantined") == documented
    assert stored_service.get(f"{GROUPS}/7").json() == changed.json()
    left = leave(stored_service, f"{GROUPS}/7", "exp-b-uuid")
    assert left.status_code == 200
    assert {name: left.json()[name] for name in ("id", "slots", "quarantined")} == {
        "id": 7,
        "slots": [],
        "quarantined": [{"low": 0.0, "high": 0.5}],
    }
    ended = stored_service.call("DELETE", f"{GROUPS}/7", role="ADMIN")
    assert ended.status_code == 200
    assert {name: ended.json()[name] for name in ("id", "status")} == {"id": 7, "status": "archived"}


def test_two_experiments_of_a_group_never_share_a_unit(stored_service):
    """IN-17, end to end: 5,000 people, each in one of the two; the same assignments twice."""
    group = make_group(stored_service)
    for key, share in (("one", 0.4), ("two", 0.6)):
        make_experiment(stored_service, key)
        assert join(stored_service, group, key, share).status_code == 200
    first, second = (assign(stored_service, key) for key in ("one", "two"))
    one, two = members(stored_service, 1), members(stored_service, 2)
    assert len(one) == first["assigned"] == second["excluded"]["exclusion_group"]
    assert len(two) == second["assigned"] == first["excluded"]["exclusion_group"]
    assert 1800 < len(one) < 2200
    assert not one & two
    assert one | two == set(PEOPLE)
    assert assign(stored_service, "one", PEOPLE[::-1])["new"] == 0


def test_the_golden_units_of_group_7(service):
    """I.b: user_001 lies at .043041 of group 7, user_002 at .912605."""
    for number in range(1, 7):
        make_group(service, f"group-{number}")
    group = make_group(service)
    for key, share in (("low", 0.043), ("here", 0.0001), ("next", 0.8695), ("high", 0.0001)):
        make_experiment(service, key)
        found = join(service, group, key, share)
    assert ranges(found.json())[1::2] == [(0.043, 0.0431), (0.9126, 0.9127)]
    users = ["user_001", "user_002"]
    assert [assign(service, key, users)["assigned"] for key in ("low", "here", "next", "high")] == [0, 1, 0, 1]


def test_beyond_the_traffic_allocation_a_unit_is_in_no_experiment(service):
    """I.b: slots lie in [0, traffic_allocation)."""
    group = make_group(service, traffic_allocation=0.5)
    for key in ("one", "two", "three"):
        make_experiment(service, key)
    assert join(service, group, "one", 0.25).status_code == 200
    assert ranges(join(service, group, "two", 0.25).json()) == [(0, 0.25), (0.25, 0.5)]
    refused = join(service, group, "three", 0.25)
    assert refused.status_code == 409
    assert "0 is free" in refused.json()["detail"]
    assert 2300 < assign(service, "one")["assigned"] + assign(service, "two")["assigned"] < 2700
    lower = service.call("PUT", group, json={"traffic_allocation": 0.4})
    assert (lower.status_code, service.get(group).json()["traffic_allocation"]) == (409, 0.5)
    assert service.call("PUT", group, json={"traffic_allocation": 0.75}).status_code == 200
    assert ranges(join(service, group, "three", 0.25).json())[2] == (0.5, 0.75)


def test_an_experiment_is_in_one_group_at_most(stored_service):
    """IN-19: twice is a no-op, a second group is 409; by id or key (G-8)."""
    make_experiment(stored_service, "用户 🌱")
    one, two = make_group(stored_service, "one"), make_group(stored_service, "two")
    first = join(stored_service, one, "用户 🌱", 0.3).json()
    for reference in ("用户 🌱", 1, "1"):
        assert join(stored_service, one, reference, 0.9).json() == first
    refused = join(stored_service, two, 1)
    assert refused.status_code == 409
    assert "one at most" in refused.json()["detail"]
    assert leave(stored_service, two, "1").status_code == 409
    assert leave(stored_service, one, "用户 🌱").json()["slots"] == []
    assert leave(stored_service, one, "用户 🌱").status_code == 200
    assert join(stored_service, two, 1).status_code == 200
    assert stored_service.get(one).json()["slots"] == []


def test_who_has_units_neither_joins_nor_leaves(service):
    """DESIGN 5: nothing moves a unit that is assigned, in draft or running."""
    group = make_group(service)
    for key in ("before", "after"):
        make_experiment(service, key)
    assert join(service, group, "before").status_code == 200
    for key in ("before", "after"):
        assign(service, key, PEOPLE[:100])
    refused = join(service, group, "after")
    assert refused.status_code == 409
    assert "joining would move them" in refused.json()["detail"]
    assert leave(service, group, "before").status_code == 409
    move_to(service, "before", "running")
    assert leave(service, group, "before").status_code == 409
    assert ranges(service.get(group).json()) == [(0, 0.5)]
    move_to(service, "after", "running")
    move_to(service, "after", "completed")
    assert join(service, group, "after").status_code == 409


@pytest.mark.parametrize("steps", [("running", "stopped"), ("running", "completed"), ("archived",)])
def test_the_end_of_an_experiment_gives_its_slots_back(stored_service, steps):
    """I.b: into quarantine; another takes them when nothing else is free, and no neighbour grows."""
    group = make_group(stored_service)
    for key in ("ends", "neighbour", "fresh", "later", "last"):
        make_experiment(stored_service, key)
    for key in ("ends", "neighbour"):
        assert join(stored_service, group, key, 0.3).status_code == 200
    for key in ("ends", "neighbour"):
        assign(stored_service, key)
    before = members(stored_service, 2)
    for status in steps:
        move_to(stored_service, "ends", status, role="ADMIN")
    body = stored_service.get(group).json()
    assert (ranges(body), ranges(body, "quarantined")) == ([(0.3, 0.6)], [(0, 0.3)])
    assert ranges(join(stored_service, group, "fresh", 0.3).json()) == [(0.3, 0.6), (0.6, 0.9)]
    body = join(stored_service, group, "later", 0.25).json()
    assert (ranges(body), ranges(body, "quarantined")) == ([(0, 0.25), (0.3, 0.6), (0.6, 0.9)], [(0.25, 0.3)])
    assert ranges(join(stored_service, group, "last", 0.15).json(), "quarantined") == []
    assign(stored_service, "neighbour", [f"more-{number}" for number in range(1000)])
    assert members(stored_service, 2) & set(PEOPLE) == before
    assign(stored_service, "later")
    assert members(stored_service, 4) < members(stored_service, 1)
    assert not members(stored_service, 4) & members(stored_service, 2)


def test_an_archived_group_takes_nobody_and_lets_those_in_go_on(service):
    group = make_group(service)
    for key in ("in", "out"):
        make_experiment(service, key)
    join(service, group, "in")
    assert service.call("DELETE", group).status_code == 403
    for _ in range(2):
        assert service.call("DELETE", group, role="ADMIN").json()["status"] == "archived"
    assert join(service, group, "out").status_code == 409
    assert service.call("PUT", group, json={"name": "new"}).status_code == 409
    assert service.get(GROUPS, params={"status": "active"}).json() == {"items": [], "total": 0}
    assert [found["id"] for found in service.get(GROUPS, params={"status": "archived"}).json()["items"]] == [1]
    assert 2300 < assign(service, "in")["assigned"] < 2700
    assert service.call("PUT", group, json={"status": "active"}).status_code == 403
    assert service.call("PUT", group, json={"status": "active"}, role="ADMIN").json()["status"] == "active"
    assert join(service, group, "out").status_code == 200
    assert service.call("PUT", group, json={"status": "archived"}).status_code == 403


def test_names_are_taken_once(stored_service):
    make_group(stored_service, "one")
    two = make_group(stored_service, "two")
    assert stored_service.post(GROUPS, {"name": "one"}).status_code == 409
    assert stored_service.call("PUT", two, json={"name": "one"}).status_code == 409
    assert stored_service.call("PUT", two, json={"name": "two"}).status_code == 200
    assert stored_service.call("PUT", two, json={"name": "三"}).json()["name"] == "三"


def test_groups_are_listed_in_pages(service):
    for number in range(5):
        make_group(service, f"group-{number}")
    page = service.get(GROUPS, params={"skip": 1, "limit": 2}).json()
    assert ([found["id"] for found in page["items"]], page["total"]) == ([2, 3], 5)
    assert service.get(GROUPS, params={"skip": 9}).json() == {"items": [], "total": 5}
    for query in ("limit=1001", "limit=0", "skip=-1", "status=gone"):
        assert service.get(f"{GROUPS}?{query}").status_code == 422
    assert service.get(f"{GROUPS}?limit=1000").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 201},
        {"name": "a\x00b"},
        {"name": "a", "traffic_allocation": 1.01},
        {"name": "a", "traffic_allocation": -0.1},
        {"name": "a", "salt": "mine"},
        {"name": "a", "description": None},
    ],
)
def test_what_is_no_group_is_refused(stored_service, body):
    assert stored_service.post(GROUPS, body).status_code == 422
    assert stored_service.get(GROUPS).json()["total"] == 0


def test_what_is_no_place_is_refused(stored_service):
    group = make_group(stored_service)
    make_experiment(stored_service, "one")
    for share in (0, 1.1, -1, "half", None, 0.00001):
        assert join(stored_service, group, "one", share).status_code == 422
    for reference in (True, 0, 1.5, None, [], "a\x00b"):
        assert join(stored_service, group, reference).status_code == 422
    for reference in ("nobody", 99, 2**70):
        assert join(stored_service, group, reference).status_code == 404
        assert leave(stored_service, group, reference).status_code == 404
    for number in (99, 2**40, 10**30):
        assert join(stored_service, f"{GROUPS}/{number}", "one").status_code == 404
        assert stored_service.get(f"{GROUPS}/{number}").status_code == 404
        assert stored_service.call("PUT", f"{GROUPS}/{number}", json={"name": "a"}).status_code == 404
        assert stored_service.call("DELETE", f"{GROUPS}/{number}", role="ADMIN").status_code == 404
    assert stored_service.get(f"{GROUPS}/x").status_code == 422
    assert stored_service.call("PUT", group, json={}).status_code == 422
    assert stored_service.get(group).json()["slots"] == []


def test_roles_of_groups(service):
    """G-7: reads VIEWER, writes DEVELOPER, archiving ADMIN."""
    group = make_group(service)
    make_experiment(service, "one")
    assert service.get(GROUPS, role=None).status_code == 401
    assert service.get(group, role="VIEWER").status_code == 200
    for role in ("VIEWER", "ANALYST"):
        assert service.post(GROUPS, {"name": role}, role=role).status_code == 403
        assert service.call("PUT", group, json={"name": role}, role=role).status_code == 403
        assert service.post(f"{group}/experiments", {"experiment_id": "one", "share": 0.5}, role=role).status_code == 403
        assert service.call("DELETE", f"{group}/experiments/one", role=role).status_code == 403


def test_every_change_is_in_the_audit_log(service):
    group = make_group(service)
    make_experiment(service, "one")
    join(service, group, "one")
    join(service, group, "one")
    leave(service, group, "one")
    service.call("PUT", group, json={"description": "d"})
    service.call("DELETE", group, role="ADMIN")
    with service.database.reading() as session:
        entries = session.connection().exec_driver_sql("SELECT action FROM audit_log WHERE object_type = 'group' ORDER BY id").all()
    assert [entry[0] for entry in entries] == ["group.create", "group.add", "group.remove", "group.change", "group.archive"]


def test_many_at_once_never_own_the_same_slot(stored_service):
    """Ten experiments ask for a fifth each: five get one, and no slot has two owners."""
    group = make_group(stored_service)
    for number in range(10):
        make_experiment(stored_service, f"exp-{number}")
    answers = at_once(*(lambda key=f"exp-{number}": join(stored_service, group, key, 0.2).status_code for number in range(10)))
    assert sorted(answers) == [200] * 5 + [409] * 5
    assert ranges(stored_service.get(group).json()) == [(0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1)]


def test_one_experiment_asked_into_two_groups_at_once_is_in_one(stored_service):
    """IN-19."""
    groups = [make_group(stored_service, f"group-{number}") for number in range(6)]
    make_experiment(stored_service, "one")
    answers = at_once(*(lambda group=group: join(stored_service, group, "one").status_code for group in groups))
    assert sorted(answers) == [200] + [409] * 5
    assert sum(len(stored_service.get(group).json()["slots"]) for group in groups) == 1


def at_once(*calls):
    answers = []
    workers = [threading.Thread(target=lambda call=call: answers.append(call())) for call in calls]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    return answers
