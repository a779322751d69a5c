"""The global holdout over HTTP: the documented answers, one at a time, and its units in no experiment (IN-20, G-7)."""

from __future__ import annotations

import pytest
from test_experiments import HOLDOUT
from test_layers_over_http import PEOPLE, assign, at_once, join, make_experiment, make_group, members, shown

GLOBAL = {"name": "global-2026", "percentage": 10, "salt": "global-2026"}


def put(service, role="DEVELOPER", **fields):
    return service.call("PUT", "/api/v1/holdout", json=fields, role=role)


def check(service, user):
    return service.get(f"/api/v1/holdout/check/{user}").json()


def test_the_documented_answers(stored_service):
    """IN-20, I.b: user_002 lies at .056750 of the salt global-2026."""
    made = stored_service.post("/api/v1/holdout", GLOBAL)
    documented = {"id": 1, "name": "global-2026", "percentage": 10, "status": "active"}
    assert made.status_code == 201
    assert shown(made.json(), "description", "salt") == documented
    assert shown(stored_service.get("/api/v1/holdout").json(), "description", "salt") == documented
    changed = put(stored_service, description="10% see nothing new")
    assert changed.status_code == 200
    assert shown(changed.json(), "salt") == {**documented, "description": "10% see nothing new"}
    assert stored_service.get("/api/v1/holdout/all").json() == {"items": [changed.json()]}
    found = check(stored_service, "user_002")
    assert found.pop("bucket") == pytest.approx(0.05675, abs=5e-7)
    assert shown(found, "reason") == {"user_id": "user_002", "in_holdout": True, "holdout_id": 1}
    places = [check(stored_service, user) for user in ("user_001", "user_003")]
    assert [place["in_holdout"] for place in places] == [False, False]
    assert [round(place["bucket"], 5) for place in places] == [0.22726, 0.75887]


def test_units_of_the_holdout_are_in_no_experiment(stored_service):
    """IN-20, end to end: 5,000 people; excluded for one reason, holdout first, then the group."""
    stored_service.post("/api/v1/holdout", GLOBAL)
    group = make_group(stored_service)
    make_experiment(stored_service, "open")
    make_experiment(stored_service, "grouped")
    join(stored_service, group, "grouped", 0.5)
    opened, grouped = assign(stored_service, "open"), assign(stored_service, "grouped")
    held = set(PEOPLE) - members(stored_service, 1)
    assert opened["excluded"] == {"holdout": len(held)}
    assert 400 < len(held) < 600
    assert grouped["excluded"]["holdout"] == len(held)
    assert grouped["excluded"]["exclusion_group"] + grouped["assigned"] == 5000 - len(held)
    assert not members(stored_service, 2) & held
    for person in sorted(held)[:3] + sorted(members(stored_service, 1))[:3]:
        assert check(stored_service, person)["in_holdout"] == (person in held)
    looked_up = stored_service.call("GET", f"/api/experiments/open/assignments/{min(held)}").json()
    assert (looked_up["group"], looked_up["reason"]) == (None, "holdout")


def test_raising_the_share_only_adds_units_to_what_begins_later(service):
    """DESIGN 5: an experiment with units keeps the holdout it began with; a later one has the larger."""
    service.post("/api/v1/holdout", GLOBAL)
    make_experiment(service, "early")
    assign(service, "early", PEOPLE[:2500])
    assert put(service, percentage=30).json()["percentage"] == 30
    make_experiment(service, "late")
    for key in ("early", "late"):
        assign(service, key)
    early, late = members(service, 1), members(service, 2)
    assert late < early
    assert 0.88 < len(early) / len(PEOPLE) < 0.92
    assert 0.67 < len(late) / len(PEOPLE) < 0.73


def test_one_is_in_force_at_a_time(stored_service):
    """IN-20: an ADMIN ends one, then comes the next, with its own salt."""
    assert [answer.status_code for answer in (stored_service.get("/api/v1/holdout"), put(stored_service, name="a"))] == [404, 404]
    assert check(stored_service, "用户") == {
        "user_id": "用户",
        "in_holdout": False,
        "holdout_id": None,
        "bucket": None,
        "reason": "no_active_holdout",
    }
    answers = at_once(*(lambda: stored_service.post("/api/v1/holdout", {"name": "h", "percentage": 7}).status_code for _ in range(6)))
    assert sorted(answers) == [201] + [409] * 5
    first = stored_service.get("/api/v1/holdout").json()
    assert first["percentage"] == 7
    assert put(stored_service, status="inactive").status_code == 403
    assert put(stored_service, role="ADMIN", status="inactive").json()["status"] == "inactive"
    assert stored_service.get("/api/v1/holdout").status_code == 404
    second = stored_service.post("/api/v1/holdout", {"name": "next", "percentage": 0.5}).json()
    assert second["salt"] != first["salt"]
    listed = stored_service.get("/api/v1/holdout/all").json()["items"]
    assert [(found["name"], found["percentage"], found["status"]) for found in listed] == [("next", 0.5, "active"), ("h", 7, "inactive")]


@pytest.mark.parametrize("percentage", [0, 0.1, 7, 14.3, 29, 33.333, 57, 99.9, 100])
def test_a_percentage_comes_back_as_it_was_sent(service, percentage):
    """G-2: percent in and out, a fraction in the store."""
    made = service.post("/api/v1/holdout", {"name": "h", "percentage": percentage})
    assert made.json()["percentage"] == percentage
    assert check(service, "anybody")["in_holdout"] in ({True} if percentage == 100 else {False} if percentage == 0 else {True, False})


def test_everybody_held_out_leaves_an_experiment_empty(service):
    service.post("/api/v1/holdout", {"name": "all", "percentage": 100})
    make_experiment(service, "empty")
    found = assign(service, "empty", PEOPLE[:50])
    assert (found["assigned"], found["excluded"]) == (0, {"holdout": 50})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "h"},
        {"name": "h", "percentage": 101},
        {"name": "h", "percentage": -1},
        {"name": "h", "percentage": "ten"},
        {"name": "", "percentage": 1},
        {"name": "h", "percentage": 1, "salt": "a\x00"},
        {"name": "h", "percentage": 1, "share": 0.1},
    ],
)
def test_what_is_no_holdout_is_refused(service, body):
    assert service.post("/api/v1/holdout", body).status_code == 422
    assert service.get("/api/v1/holdout/all").json() == {"items": []}


def test_what_is_no_change_and_who_is_nobody_is_refused(stored_service):
    stored_service.post("/api/v1/holdout", GLOBAL)
    for fields in ({}, {"percentage": 100.1}, {"status": "gone"}, {"salt": "other"}):
        assert put(stored_service, **fields).status_code == 422
    for user in ("x" * 201, "a%00b"):
        assert stored_service.get(f"/api/v1/holdout/check/{user}").status_code == 422
    for user in ("a/b", "O'Neil", " spaced "):
        assert check(stored_service, user)["user_id"] == user


def test_roles_of_the_holdout(service):
    """G-7."""
    for path in ("", "/all", "/check/user_001"):
        assert service.get(f"/api/v1/holdout{path}", role=None).status_code == 401
    assert service.post("/api/v1/holdout", GLOBAL, role="ANALYST").status_code == 403
    assert service.post("/api/v1/holdout", GLOBAL).status_code == 201
    assert put(service, role="ANALYST", name="x").status_code == 403
    for path in ("", "/all", "/check/user_001"):
        assert service.get(f"/api/v1/holdout{path}").status_code == 200


def test_the_holdout_form_of_an_experiment_is_not_the_global_one(service):
    """A holdout experiment assigns treatment and control; only the global holdout keeps units out."""
    assert service.post("/api/experiments", {**HOLDOUT, "key": "mine"}).status_code == 201
    found = assign(service, "mine", PEOPLE[:500])
    assert (found["assigned"], found["excluded"]) == (500, {})
