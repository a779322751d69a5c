"""The append log: idempotent by the client's ids, strict, kept as it came (HO-35, G-4, G-6)."""

from __future__ import annotations

import datetime as dt
import json
import threading
import uuid

import pytest
from running_service import service_on

from fairtrial.service.ingest.messages import EventIn, event_key, event_keys, event_rows
from fairtrial.storage.ingest import store_events
from fairtrial.storage.tables import Event

FIRST = {
    "event_id": "019cbd5c-7a00-7000-8000-000000000001",
    "unit": "user_001",
    "name": "purchase",
    "occurred_at": "2026-03-05T10:30:00Z",
    "value": 120.5,
    "properties": {"currency": "EUR", "items": [1, 2], "用": None},
}


MARCH = dt.datetime(2026, 3, 5, tzinfo=dt.UTC)


def send(service, *events):
    return service.post("/api/v1/events", {"events": list(events)})


def stored(service) -> dict[bytes, Event]:
    with service.database.reading() as session:
        return {row.event_id: row for row in session.query(Event)}


def numbered(i: int) -> dict:
    return {"event_id": str(uuid.UUID(int=i)), "unit": f"u{i}", "name": "n", "occurred_at": "2026-03-05T10:30:00Z"}


def test_an_event_is_kept_as_it_came_and_once(stored_service):
    assert send(stored_service, FIRST, {**FIRST, "name": "other"}).json() == {"stored": 1, "duplicates": 1}
    assert send(stored_service, FIRST).json() == {"stored": 0, "duplicates": 1}
    (row,) = stored(stored_service).values()
    assert row.event_id == uuid.UUID(FIRST["event_id"]).bytes
    assert (row.unit, row.name, row.value, row.properties_json) == ("user_001", "purchase", 120.5, FIRST["properties"])
    assert row.occurred_at == dt.datetime(2026, 3, 5, 10, 30, tzinfo=dt.UTC)
    assert row.received_at == stored_service.clock.now
    assert send(stored_service).json() == {"stored": 0, "duplicates": 0}


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-03-05T10:30:00Z", (2026, 3, 5, 10, 30)),
        ("2026-03-05T10:30:00.123Z", (2026, 3, 5, 10, 30, 0, 123_000)),
        ("2026-03-05T10:30:00.123456Z", (2026, 3, 5, 10, 30, 0, 123_456)),
        ("2026-03-05T10:30:00.1Z", (2026, 3, 5, 10, 30, 0, 100_000)),
        ("2026-03-05 10:30:00", (2026, 3, 5, 10, 30)),
        ("2026-03-05T10:30", (2026, 3, 5, 10, 30)),
        ("2026-03-05", (2026, 3, 5)),
        ("20260305T103000Z", (2026, 3, 5, 10, 30)),
        ("2026-03-05T10:30:00,123Z", (2026, 3, 5, 10, 30, 0, 123_000)),
        ("2028-02-29T23:59:59.999999Z", (2028, 2, 29, 23, 59, 59, 999_999)),
        ("2026-03-29T02:30:00+01:00", (2026, 3, 29, 1, 30)),
        ("2026-03-05T00:00:00+05:30", (2026, 3, 4, 18, 30)),
        ("1900-01-01T00:00:00Z", (1900, 1, 1)),
    ],
)
def test_every_way_to_write_a_moment_is_the_same_moment(service, written, moment):
    """G-4: Z, an offset or none; midnight, the leap day and the night that clocks change."""
    assert send(service, {**FIRST, "occurred_at": written}).status_code == 200
    (row,) = stored(service).values()
    assert row.occurred_at == dt.datetime(*moment, tzinfo=dt.UTC)


def test_what_is_no_moment_is_refused(service):
    bad = ["", "now", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "1899-12-31T23:59:59Z", "2201-01-01T00:00:00Z"]
    bad += [
        "0001-01-01T00:00:00+14:00",
        "2026-03-05T24:00:00Z",
        "2026-03-05T10:30:00ZZ",
        "x" * 41,
        "\uff12\uff1026-03-05T10:30:00Z",
        "2026-W10-4T10:30Z",
    ]
    for written in bad[:-1]:
        refused = send(service, FIRST, {**FIRST, "occurred_at": written})
        assert refused.status_code == 422, written
        assert "events[1].occurred_at" in refused.json()["detail"]
    assert send(service, {**FIRST, "occurred_at": bad[-1]}).status_code == 200  # the Thursday of a week is a day
    (row,) = stored(service).values()
    assert row.occurred_at == dt.datetime(2026, 3, 5, 10, 30, tzinfo=dt.UTC)


def test_ids_of_events_are_uuids_or_any_text():
    """16 bytes: a UUID in either case is itself, all else is hashed, and no two texts that differ in hyphens are one."""
    written = "019cbd5c-7a00-7000-8000-00000000000a"
    assert event_key(written) == event_key(written.upper()) == uuid.UUID(written).bytes
    others = ["order-1", written.replace("-", ""), "019cbd5c7-a00-7000-8000-00000000000a", written[:-2] + " a", written[:-1] + "g", "用户"]
    keys = {event_key(text) for text in (*others, written)}
    assert len(keys) == len(others) + 1
    assert {len(key) for key in keys} == {16}


def test_ids_read_together_are_those_read_one_by_one():
    """HO-35: a batch of UUIDs is read at once; one that only looks like a UUID sends the batch the long way."""
    plain = [str(uuid.UUID(int=i << 64 | i)) for i in range(50)]
    odd = plain[0]
    strange = [
        "order-1",
        odd[:-1] + "g",
        odd[:-2] + " a",
        odd[:-2] + "-a",
        odd[:-2] + "  ",
        odd[:8] + odd[9:] + "-",
        odd[:-1] + "\u0661",
        "用户",
        odd + odd,
        "",
    ]
    for batch in (
        [],
        plain,
        [one.upper() for one in plain],
        *([*plain, one] for one in strange),
        strange,
        [odd[:-2] + "-a", odd[:-2] + "-b"],
    ):
        assert event_keys(batch) == [event_key(one) for one in batch]
    assert event_keys(plain) == [uuid.UUID(one).bytes for one in plain]


def test_a_second_seen_before_is_read_no_looser(service):
    """G-4: what follows the second is looked at each time, also where the second is remembered."""
    assert send(service, FIRST).status_code == 200
    for tail in (".12aZ", ".\u0661\u0662\u0663Z", " 123Z", ",12.Z", ".1 3Z", "Z ", ".12345-Z", "+25:00"):
        refused = send(service, {**FIRST, "event_id": "x", "occurred_at": "2026-03-05T10:30:00" + tail})
        assert refused.status_code == 422, tail
    assert len(stored(service)) == 1


def test_repeats_among_many_requests_count_in_the_first(stored_service):
    """HO-35: requests of one transaction that share ids; some of them stored before."""
    rows = [
        event_rows([EventIn(event_id=f"e{i}", unit="u", name="n") for i in part], MARCH, clean=True)
        for part in ((1, 2, 1), (2, 3), (3,), (4, 0))
    ]
    assert send(stored_service, {**numbered(1), "event_id": "e0"}).json()["stored"] == 1
    with stored_service.database.writing() as session:
        assert store_events(session, rows) == [2, 1, 0, 1]
    with stored_service.database.writing() as session:
        assert store_events(session, rows) == [0, 0, 0, 0]
    assert len(stored(stored_service)) == 5


def test_a_bad_event_is_named_and_stores_nothing(stored_service):
    """G-6: also what Postgres refuses in JSON."""
    deep: dict = {}
    for _ in range(40):
        deep = {"a": deep}
    bad = [
        ({"unit": 1}, "events[1].unit"),
        ({"unit": ""}, "events[1].unit"),
        ({"event_id": None}, "events[1].event_id"),
        ({"value": "1"}, "events[1].value"),
        ({"value": 1e300}, "events[1].value"),
        ({"properties": []}, "events[1].properties"),
        ({"properties": deep}, "events[1].properties"),
        ({"properties": {"a": "x\x00y"}}, "events[1].properties"),
        ({"properties": {"a\x00": 1}}, "events[1].properties"),
        ({"properties": {"a": [{"b": "\x00"}]}}, "events[1].properties"),
        ({"name": "a\x00"}, "events[1]"),
        ({"colour": "red"}, "colour"),
    ]
    for change, named in bad:
        refused = send(stored_service, numbered(1), {**FIRST, **change})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid"), change
        assert named in refused.json()["detail"], refused.json()
    assert stored(stored_service) == {}


def test_text_that_looks_like_an_escape_is_kept(stored_service):
    event = {**FIRST, "unit": "\\u0000", "properties": {"\\u0000": '\\"\t\n', "n": 10**30, "d": 1.5e-7}}
    assert send(stored_service, event).json()["stored"] == 1
    (row,) = stored(stored_service).values()
    assert (row.unit, row.properties_json) == ("\\u0000", event["properties"])


def test_bodies_that_are_no_json_are_refused(service):
    for body in (b"\xff", b'{"events":[{"unit":"\\ud800"}]}', b"[" * 50_000, b'{"events":' + b'{"a":' * 50_000, b'{"events":null}'):
        answer = service.call("POST", "/api/v1/events", content=body)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
    long = service.call("POST", "/api/v1/events", content=b" " * 10_000_001)
    assert long.status_code == 413
    many = json.dumps({"events": [numbered(i) for i in range(10_001)]})
    assert service.call("POST", "/api/v1/events", content=many.encode()).status_code == 422


def test_the_largest_batch_is_taken_and_repeats_of_others_count_once(stored_service):
    """Batches up to 10,000; threads that send overlapping ranges are told each event as new once."""
    assert send(stored_service, *(numbered(i) for i in range(10_000))).json() == {"stored": 10_000, "duplicates": 0}
    answers: list[dict] = []

    def work(first: int) -> None:
        answers.extend(
            send(stored_service, *(numbered(i) for i in range(at + 300, at, -1))).json() for at in range(first, first + 1500, 150)
        )

    workers = [threading.Thread(target=work, args=(9_000 + 500 * i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    found = stored(stored_service)
    assert len(found) == sum(answer["stored"] for answer in answers) + 10_000
    assert set(found) == {uuid.UUID(int=i).bytes for i in range(12_151)}


def test_a_proven_key_needs_no_database(service):
    """DESIGN 6: on the hot path a key proven within the minute is known; after it, or once revoked here, it is proven anew."""
    assert send(service, numbered(1)).status_code == 200
    proofs: list[str] = []
    reading = type(service.database).reading

    class Counted:
        def __init__(self, database):
            self.database = database

        def reading(self):
            proofs.append("read")
            return reading(self.database)

    ring = service.state.keys
    ring.database, before = Counted(ring.database), ring.database
    assert send(service, numbered(2)).status_code == 200
    assert proofs == []
    service.clock.move(seconds=61)
    assert send(service, numbered(3)).status_code == 200
    ring.forget()
    assert send(service, numbered(4)).status_code == 200
    assert proofs == ["read", "read"]
    ring.database = before


def test_without_authentication_everything_is_taken(tmp_path):
    """`auth_mode` off, on this machine alone."""
    with service_on(f"sqlite:///{tmp_path}/open.db", auth_mode="off") as running:
        assert running.post("/api/v1/events", {"events": [FIRST]}, role=None).json()["stored"] == 1
