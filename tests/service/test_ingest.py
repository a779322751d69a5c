"""Exposures and outcomes over HTTP and from Python: counts, repeats, groups, windows (HO-06, HO-07, HO-08, HO-20, HO-21, HO-35, II.b)."""

from __future__ import annotations

import datetime as dt
import json
import random
import threading

import pytest
from test_experiments import HOLDOUT

from fairtrial.errors import ConflictError, UsageError
from fairtrial.service.incrementality import (
    deterministic_assignment,
    record_exposure,
    record_exposures_batch,
    record_outcome,
    record_outcomes_batch,
)
from fairtrial.service.problems import NotFoundError
from fairtrial.storage.tables import Experiment, ExperimentAssignment, ExperimentExposure, ExperimentOutcome

EXPOSURES = [
    {"profile_id": "user_001", "exposure_ts": "2026-03-05T10:30:00Z", "campaign_id": "email_q1_2026", "message_id": "msg_12345"},
    {"profile_id": "user_002", "exposure_ts": "2026-03-05T10:31:00Z", "campaign_id": "email_q1_2026", "message_id": "msg_12346"},
]
OUTCOMES = [{"profile_id": "user_001", "conversion_ts": "2026-03-07T14:22:00Z", "value": 120.50}]
MARCH_5 = dt.datetime(2026, 3, 5, tzinfo=dt.UTC)


@pytest.fixture
def holdout(stored_service):
    """Experiment 1 of the examples, running, three profiles assigned."""
    return running_holdout(stored_service)


def running_holdout(service):
    service.post("/api/experiments", HOLDOUT)
    service.post("/api/experiments/1/status", {"status": "running"})
    service.post("/api/experiments/1/assign", {"profile_ids": ["user_001", "user_002", "user_003"]})
    return service


def expose(service, *exposures, experiment="1"):
    return service.post(f"/api/experiments/{experiment}/exposures", {"exposures": list(exposures)})


def convert(service, *outcomes, experiment="1"):
    return service.post(f"/api/experiments/{experiment}/outcomes", {"outcomes": list(outcomes)})


def rows_of(service, table) -> list:
    with service.database.reading() as session:
        return session.query(table).order_by(table.id).all()


def test_the_documented_exposures_and_outcomes(holdout):
    """HO-06, HO-08: the examples verbatim, on both mounts, by id and by key."""
    key = holdout.get("/api/experiments/1").json()["key"]
    assert expose(holdout, *EXPOSURES).json() == {"recorded": 2, "duplicates": 0, "lazy_assigned": 0, "control_exposures": 0}
    assert convert(holdout, *OUTCOMES).json() == {"inserted": 1, "duplicates": 0, "unassigned": 0}
    again = holdout.post(f"/api/v1/experiments/{key}/exposures", {"exposures": EXPOSURES})
    assert again.json() == {"recorded": 0, "duplicates": 2, "lazy_assigned": 0, "control_exposures": 0}
    assert convert(holdout, *OUTCOMES, experiment=key).json() == {"inserted": 0, "duplicates": 1, "unassigned": 0}


def test_lists_are_newest_first_and_say_times_in_utc(holdout):
    """HO-07, G-4: an offset and none come in, Z goes out."""
    expose(holdout, *EXPOSURES, {"profile_id": "用户", "exposure_ts": "2026-03-05T12:00:00+05:30"})
    convert(holdout, *OUTCOMES, {"profile_id": "user_002", "conversion_ts": "2026-03-08T00:00:00.25", "value": 3, "outcome_id": "o-1"})
    exposures = holdout.get("/api/experiments/1/exposures?limit=2").json()["items"]
    assert exposures == [EXPOSURES[1], EXPOSURES[0]]
    last = holdout.get("/api/experiments/1/exposures").json()["items"][2]
    assert last == {"profile_id": "用户", "exposure_ts": "2026-03-05T06:30:00Z", "campaign_id": None, "message_id": None}
    assert holdout.get("/api/experiments/1/outcomes").json()["items"] == [
        {"profile_id": "user_002", "conversion_ts": "2026-03-08T00:00:00.250000Z", "value": 3.0, "outcome_id": "o-1"},
        {"profile_id": "user_001", "conversion_ts": "2026-03-07T14:22:00Z", "value": 120.5, "outcome_id": None},
    ]
    assert holdout.get("/api/experiments/1/outcomes?limit=0").status_code == 422
    assert holdout.get("/api/experiments/9/exposures").status_code == 404


def test_a_missing_exposure_time_is_now(holdout):
    """HO-06; the empty identifier is as good as none."""
    holdout.clock.now = dt.datetime(2026, 3, 5, 23, 59, 59, 999_999, tzinfo=dt.UTC)
    assert expose(holdout, {"profile_id": "user_001"}, {"profile_id": "user_001", "message_id": "", "exposure_ts": None}).json() == {
        "recorded": 1,
        "duplicates": 1,
        "lazy_assigned": 0,
        "control_exposures": 0,
    }
    (row,) = rows_of(holdout, ExperimentExposure)
    assert (row.exposure_ts, row.message_id, len(row.dedupe_key)) == (holdout.clock.now, None, 16)


def test_what_makes_an_exposure_a_repeat(holdout):
    """HO-35: (experiment, profile, message_id), else (.., exposure_ts, campaign_id); the same moment written otherwise is the same."""
    base = {"profile_id": "user_001", "exposure_ts": "2026-03-05T10:30:00Z"}
    different = [
        base,
        {**base, "campaign_id": "a"},
        {**base, "campaign_id": "b"},
        {**base, "message_id": "m"},
        {**base, "profile_id": "user_002"},
        {**base, "exposure_ts": "2026-03-05T10:30:00.000001Z"},
    ]
    same = [
        {**base, "exposure_ts": "2026-03-05T11:30:00+01:00"},
        {**base, "campaign_id": "a", "exposure_ts": "2026-03-05T10:30:00"},
        {**base, "message_id": "m", "exposure_ts": "2026-04-01T00:00:00Z", "campaign_id": "z"},
    ]
    answer = expose(holdout, *different, *same).json()
    assert (answer["recorded"], answer["duplicates"]) == (len(different), len(same))


def test_what_makes_an_outcome_a_repeat(holdout):
    """HO-35: (experiment, profile, outcome_id), else (.., conversion_ts, value); II.c: repeat purchases are kept."""
    base = {"profile_id": "user_001", "conversion_ts": "2026-03-07T14:22:00Z", "value": 0.0}
    different = [base, {**base, "value": 1e-9}, {**base, "conversion_ts": "2026-03-07T14:22:01Z"}, {**base, "outcome_id": "o"}]
    same = [{**base, "value": -0.0}, {**base, "value": 0}, {**base, "outcome_id": "o", "value": 9.0}]
    answer = convert(holdout, *different, *same).json()
    assert answer == {"inserted": 4, "duplicates": 3, "unassigned": 0}
    assert expose(holdout, {"profile_id": "user_001", "message_id": "o"}).json()["recorded"] == 1
    holdout.post("/api/experiments", HOLDOUT)
    assert convert(holdout, base, experiment="2").json()["inserted"] == 1


def test_an_exposed_profile_without_a_group_gets_the_one_of_its_hash(holdout):
    """II.b, HO-24: stored with the source `exposure`, counted once, out of the population; its outcomes are told as unassigned."""
    people = [f"visitor_{i}" for i in range(300)]
    control = {who for who in people if deterministic_assignment(who, 1, 0.8) == "control"}
    shown = [{"profile_id": who, "message_id": f"m{turn}"} for who in people for turn in range(2)]
    assert expose(holdout, *shown, *EXPOSURES).json() == {
        "recorded": 602,
        "duplicates": 0,
        "lazy_assigned": 300,
        "control_exposures": 2 * len(control),
    }
    stored = {row.profile_id: (row.group, row.source) for row in rows_of(holdout, ExperimentAssignment)}
    assert all(stored[who] == ("control" if who in control else "treatment", "exposure") for who in people)
    again = expose(holdout, {"profile_id": min(control), "message_id": "m9"}).json()
    assert again == {"recorded": 1, "duplicates": 0, "lazy_assigned": 0, "control_exposures": 1}
    outcomes = [{"profile_id": who, "conversion_ts": "2026-03-07T00:00:00Z", "value": 1.0} for who in (people[0], "stranger", "user_001")]
    assert convert(holdout, *outcomes).json() == {"inserted": 3, "duplicates": 0, "unassigned": 2}
    assert {row.profile_id for row in rows_of(holdout, ExperimentAssignment)} == {*people, "user_001", "user_002", "user_003"}
    assert holdout.get("/api/experiments/1/results").json()["treatment"]["n"] == 3


def test_a_stored_group_wins_over_the_hash(holdout):
    """G-9: control_exposures counts by the stored group."""
    with holdout.database.writing() as session:
        session.query(ExperimentAssignment).filter_by(profile_id="user_001").update({"group": "control"})
    assert expose(holdout, *EXPOSURES).json()["control_exposures"] == 1


def test_a_draft_takes_both_and_empty_lists_are_zeros(stored_service):
    """II.b: accepted in draft and running; an empty list gives zeros, an unknown experiment 404."""
    stored_service.post("/api/experiments", HOLDOUT)
    assert expose(stored_service).json() == {"recorded": 0, "duplicates": 0, "lazy_assigned": 0, "control_exposures": 0}
    assert convert(stored_service).json() == {"inserted": 0, "duplicates": 0, "unassigned": 0}
    assert expose(stored_service, *EXPOSURES).json()["lazy_assigned"] == 2
    for answer in (expose(stored_service, experiment="77"), convert(stored_service, experiment="no-such-key")):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_experiment")


def test_a_completed_experiment_takes_outcomes_inside_its_window_alone(holdout):
    """II.b: e-mail counts 14 days after the end; one outside, and nothing of the request is stored."""
    holdout.post("/api/experiments/1/status", {"status": "completed"})
    assert expose(holdout, *EXPOSURES).status_code == 409
    last = {"profile_id": "user_001", "conversion_ts": "2026-04-14T23:59:59Z", "value": 1.0}
    late = {**last, "conversion_ts": "2026-04-14T23:59:59.000001Z"}
    early = {**last, "conversion_ts": "2026-02-28T23:59:59Z"}
    for outside in (late, early):
        refused = convert(holdout, last, outside)
        assert refused.status_code == 409
        assert "outcomes[1]" in refused.json()["detail"]
    assert rows_of(holdout, ExperimentOutcome) == []
    assert convert(holdout, last).json() == {"inserted": 1, "duplicates": 0, "unassigned": 0}


def test_a_stopped_experiment_takes_neither(holdout):
    holdout.post("/api/experiments/1/status", {"status": "stopped"})
    for answer in (expose(holdout, *EXPOSURES), convert(holdout, *OUTCOMES)):
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


BAD = [
    ({"profile_id": 7}, "exposures[0].profile_id"),
    ({"profile_id": ""}, "exposures[0].profile_id"),
    ({"profile_id": "x" * 201}, "exposures[0].profile_id"),
    ({}, "exposures[0]"),
    ({"profile_id": "x", "colour": 1}, "colour"),
    ({"profile_id": "x", "exposure_ts": "yesterday"}, "exposures[0].exposure_ts"),
    ({"profile_id": "x", "exposure_ts": 1772700000}, "exposures[0].exposure_ts"),
    ({"profile_id": "x", "exposure_ts": "0001-01-01T00:00:00+14:00"}, "exposures[0].exposure_ts"),
    ({"profile_id": "x", "exposure_ts": "9999-12-31T23:59:59-10:00"}, "exposures[0].exposure_ts"),
    ({"profile_id": "x", "exposure_ts": "2026-02-29T00:00:00Z"}, "exposures[0].exposure_ts"),
    ({"profile_id": "a\x00b"}, "exposures[0]"),
    ({"profile_id": "x", "message_id": "a\x00b"}, "exposures[0]"),
]


def test_a_bad_exposure_is_named_and_stores_nothing(holdout):
    """G-6: the index and the field; nothing of the request is kept."""
    for bad, named in BAD:
        refused = expose(holdout, bad, *EXPOSURES)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid"), bad
        assert named in refused.json()["detail"]
    assert rows_of(holdout, ExperimentExposure) == []


BROKEN = [
    b"",
    b"[]",
    b"null",
    b"{",
    b'{"outcomes":[{"profile_id":"x","conversion_ts":"2026-03-07T00:00:00Z","value":NaN}]}',
    b'{"outcomes":[{"profile_id":"x","conversion_ts":"2026-03-07T00:00:00Z","value":1e999}]}',
    b'{"outcomes":[{"profile_id":"x","conversion_ts":"2026-03-07T00:00:00Z","value":' + b"9" * 5000 + b"}]}",
    b'{"outcomes":[{"profile_id":"x","conversion_ts":"2026-03-07T00:00:00Z","value":1e16}]}',
    b'{"outcomes":[{"profile_id":"x","conversion_ts":"2026-03-07T00:00:00Z","value":true}]}',
    b'{"outcomes":[{"profile_id":"x","conversion_ts":"2026-03-07T00:00:00Z","value":"1"}]}',
    b'{"outcomes":[{"profile_id":"x","value":1}]}',
    b'{"outcomes":[{"profile_id":"\\ud800","conversion_ts":"2026-03-07T00:00:00Z","value":1}]}',
    b'{"outcomes":[{"profile_id":"a\\ud800b","conversion_ts":"2026-03-07T00:00:00Z","value":1}]}',
    b'{"outcomes":[{"profile_id":"\\udc00\\ud800","conversion_ts":"2026-03-07T00:00:00Z","value":1}]}',
    b'{"outcomes":[{"profile_id":"\xed\xa0\x80","conversion_ts":"2026-03-07T00:00:00Z","value":1}]}',
    b'{"outcomes":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"outcomes":[' + b",".join([b'{"profile_id":"x","conversion_ts":"2026-03-07T00:00:00Z","value":1}'] * 10_001) + b"]}",
]


def test_no_body_breaks_the_service(holdout):
    """G-6: a bad request never gives 5xx."""
    for body in BROKEN:
        answer = holdout.call("POST", "/api/experiments/1/outcomes", content=body)
        assert answer.status_code == 422, body[:80]
        assert answer.headers["content-type"] == "application/problem+json"
    assert rows_of(holdout, ExperimentOutcome) == []


def test_ids_of_any_script_are_kept_as_they_came(holdout):
    """Also those that look like quoting of the store, of JSON or of COPY."""
    ids = ["Zoë", "Zoe\u0308", "用户", "🌱", " spaced ", 'a,b"c', "O'Neil", "\\N", "a\tb\nc\r\\", "\\u0000", "x" * 200]
    body = json.dumps({"exposures": [{"profile_id": who, "campaign_id": who} for who in ids]})
    assert holdout.call("POST", "/api/experiments/1/exposures", content=body.encode()).json()["recorded"] == len(ids)
    found = rows_of(holdout, ExperimentExposure)
    assert [(row.profile_id, row.campaign_id) for row in found] == [(who, who) for who in ids]
    assert holdout.call("POST", "/api/experiments/1/exposures", content=body.encode()).json()["duplicates"] == len(ids)


def test_sending_data_in_needs_a_developer(service):
    """G-7."""
    running_holdout(service)
    bodies = {
        "experiments/1/exposures": {"exposures": EXPOSURES},
        "experiments/1/outcomes": {"outcomes": OUTCOMES},
        "events": {"events": []},
    }
    for path, body in bodies.items():
        for role, status in (("VIEWER", 403), ("ANALYST", 403), (None, 401)):
            assert service.post(f"/api/v1/{path}", body, role=role).status_code == status
    assert service.get("/api/experiments/1/outcomes", role=None).status_code == 401
    assert rows_of(service, ExperimentExposure) == []
    refused = service.call("POST", "/api/v1/events", role=None, json={"events": []}, headers={"Authorization": "Bearer ft_no_key"})
    assert refused.status_code == 401


def test_many_at_once_lose_nothing_and_count_every_row_once(holdout):
    """HO-35: shuffled, repeated, from eight threads, alongside a request that is refused and one of another experiment."""
    holdout.post("/api/experiments", {**HOLDOUT, "name": "second"})
    outcomes = [{"profile_id": f"p{i % 97}", "conversion_ts": f"2026-03-{1 + i % 28:02d}T00:00:00Z", "value": i / 4} for i in range(2000)]
    exposures = [{"profile_id": f"p{i}", "message_id": f"m{i}"} for i in range(500)]
    answers: list[dict] = []

    def work(seed: int) -> None:
        shuffled = random.Random(seed).sample(outcomes, len(outcomes))
        for at in range(0, 2000, 250):
            answers.append(convert(holdout, *shuffled[at : at + 250]).json())
            answers.append(convert(holdout, *shuffled[at : at + 50], experiment="2").json())
            answers.append(expose(holdout, *exposures[at // 4 : at // 4 + 63]).json())
            assert convert(holdout, *OUTCOMES, experiment="99").status_code == 404

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    stored = rows_of(holdout, ExperimentOutcome)
    assert sum(row.experiment_id == 1 for row in stored) == 2000
    assert len(stored) == sum(answer.get("inserted", 0) for answer in answers)
    assert sum(answer.get("recorded", 0) for answer in answers) == len(rows_of(holdout, ExperimentExposure)) == 500
    lazy = [row for row in rows_of(holdout, ExperimentAssignment) if row.source == "exposure"]
    assert sum(answer.get("lazy_assigned", 0) for answer in answers) == len(lazy) == 500
    assert len(answers) == 8 * 8 * 3


def test_the_library_functions_do_what_the_routes_do(holdout):
    """HO-20, HO-21."""
    with holdout.database.writing() as session:
        first = record_exposure(db=session, experiment_id=1, profile_id="user_001", message_id="msg_12345")
        assert first == {"recorded": 1, "duplicates": 0, "lazy_assigned": 0, "control_exposures": 0}
        both = record_exposures_batch(session, 1, [*({**e, "exposure_ts": MARCH_5} for e in EXPOSURES)])
        assert (both["recorded"], both["duplicates"]) == (1, 1)
        assert record_outcome(db=session, experiment_id="1", profile_id="user_001", conversion_ts=MARCH_5, value=3) == {
            "inserted": 1,
            "duplicates": 0,
            "unassigned": 0,
        }
        assert record_outcomes_batch(session, 1, OUTCOMES)["inserted"] == 1
    assert convert(holdout, *OUTCOMES).json()["duplicates"] == 1
    row = rows_of(holdout, ExperimentExposure)[0]
    assert abs(row.exposure_ts - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
    with holdout.database.writing() as session, pytest.raises(NotFoundError):
        record_outcome(session, 99, "x", MARCH_5, 1.0)
    with holdout.database.writing() as session, pytest.raises(UsageError, match="NUL"):
        record_exposure(session, 1, "a\x00b")
    with holdout.database.writing() as session, pytest.raises(UsageError, match="value"):
        record_outcomes_batch(session, 1, [{"profile_id": "x", "conversion_ts": MARCH_5}])
    with holdout.database.writing() as session:
        session.query(Experiment).update({"status": "archived"})
    with holdout.database.writing() as session, pytest.raises(ConflictError):
        record_exposure(session, 1, "user_001")
