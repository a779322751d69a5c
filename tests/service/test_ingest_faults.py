"""What goes wrong outside: the process dies, the disk is full, nobody writes fast enough, callers hang up (HO-35, G-6)."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
import sqlite3
import threading
import time
import uuid

import httpx
import pytest
from running_service import real_service
from sqlalchemy import event, text
from test_ingest import EXPOSURES, OUTCOMES, convert, expose, rows_of, running_holdout

from fairtrial.errors import StorageError
from fairtrial.service.ingest.messages import EventIn, event_rows
from fairtrial.service.ingest.recording import EventBatch, OutcomeBatch
from fairtrial.service.ingest.writer import IngestWriter
from fairtrial.storage import open_database, upgrade
from fairtrial.storage.tables import Event, ExperimentExposure, ExperimentOutcome

NOW = dt.datetime(2026, 3, 5, tzinfo=dt.UTC)


def batch_of(first: int, n: int) -> EventBatch:
    items = [EventIn(event_id=str(uuid.UUID(int=i)), unit="u", name="n") for i in range(first, first + n)]
    return EventBatch(rows=event_rows(items, NOW, clean=True))


def send_until_dead(address: str, key: str, batches: list[bytes], confirmed: list[int], which: int) -> None:
    """Send every second batch; a batch counts as confirmed only by its 200."""
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        for number in range(which, len(batches), 2):
            try:
                if client.post(f"{address}/api/v1/events", content=batches[number]).status_code == 200:
                    confirmed.append(number)
            except httpx.TransportError:
                return


def test_killed_in_the_middle_of_a_stream_nothing_is_lost_and_nothing_doubled(tmp_path, store_url):
    """kill -9, restart, resend all: 100,000 events, and every batch that was confirmed is there before the resend."""
    size, n = 500, 200
    batches = [
        (
            '{"events":['
            + ",".join(f'{{"event_id":"{uuid.UUID(int=(7 << 76) | i)}","unit":"u{i % 999}","name":"n"}}' for i in range(at, at + size))
            + "]}"
        ).encode()
        for at in range(0, size * n, size)
    ]
    confirmed: list[int] = []
    with real_service(tmp_path, store_url) as (address, key, process):
        senders = [threading.Thread(target=send_until_dead, args=(address, key, batches, confirmed, which)) for which in (0, 1)]
        for sender in senders:
            sender.start()
        until = time.monotonic() + 60
        while len(confirmed) < n // 4 and time.monotonic() < until:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        for sender in senders:
            sender.join(60)
    assert n // 4 <= len(confirmed) < n
    assert {number * size for number in confirmed} <= {key - key % size for key in stored_numbers(store_url)}
    before = len(stored_numbers(store_url))
    assert before % size == 0  # no batch by half
    with real_service(tmp_path, store_url) as (address, key, _), httpx.Client(headers={"Authorization": f"Bearer {key}"}) as client:
        answers = [client.post(f"{address}/api/v1/events", content=body, timeout=60).json() for body in batches]
    assert sum(answer["stored"] for answer in answers) == size * n - before
    assert sum(answer["duplicates"] for answer in answers) == before
    assert stored_numbers(store_url) == set(range(size * n))


def stored_numbers(url: str) -> set[int]:
    database = open_database(url)
    with database.reading() as session:
        rows = session.execute(text("SELECT event_id FROM events")).all()
    database.close()
    assert len({bytes(row[0]) for row in rows}) == len(rows)
    return {int.from_bytes(bytes(row[0])) & 0xFFFFFFFF for row in rows}


def test_a_stop_in_the_middle_of_a_stream_writes_what_it_has_taken(tmp_path):
    """SIGTERM: a request that was taken is answered, and what was confirmed is there."""
    url = f"sqlite:///{tmp_path}/s.db"
    batches = [
        (
            '{"events":[' + ",".join(f'{{"event_id":"{uuid.UUID(int=i)}","unit":"u","name":"n"}}' for i in range(at, at + 100)) + "]}"
        ).encode()
        for at in range(0, 100_000, 100)
    ]
    confirmed: list[int] = []
    with real_service(tmp_path, url) as (address, key, process):
        senders = [threading.Thread(target=send_until_dead, args=(address, key, batches, confirmed, which)) for which in (0, 1)]
        for sender in senders:
            sender.start()
        until = time.monotonic() + 60
        while len(confirmed) < 20 and time.monotonic() < until:
            time.sleep(0.002)
        process.terminate()
        assert process.wait(40) in {0, -signal.SIGTERM}
        for sender in senders:
            sender.join(60)
    assert 20 <= len(confirmed) < len(batches)
    assert {number * 100 for number in confirmed} <= {key - key % 100 for key in stored_numbers(url)}


def test_a_full_disk_gives_503_and_no_half_batch(service):
    """PRAGMA max_page_count on every connection: 503 with Retry-After, and once there is room the same batch is taken."""
    running_holdout(service)
    rows = [{"profile_id": f"p{i}", "message_id": f"m{i}"} for i in range(5000)]
    events = [{"event_id": f"e{i}", "unit": "u" * 100, "name": "n"} for i in range(5000)]
    engine = service.database.engine
    engine.dispose()
    pages = sqlite3.connect(engine.url.database).execute("PRAGMA page_count").fetchone()[0]
    limit = listen_to_connections(engine, pages + 4)
    for path, body in (("experiments/1/exposures", {"exposures": rows}), ("events", {"events": events})):
        refused = service.post(f"/api/v1/{path}", body)
        assert (refused.status_code, refused.json()["code"]) == (503, "storage"), refused.text
        assert int(refused.headers["Retry-After"]) >= 1
        assert "full" in refused.json()["detail"]
    assert rows_of(service, ExperimentExposure) == []
    with service.database.reading() as session:
        assert session.query(Event).count() == 0
    limit.append(1_000_000)
    engine.dispose()
    assert expose(service, *rows).json()["recorded"] == 5000
    assert service.post("/api/v1/events", {"events": events}).json()["stored"] == 5000


def listen_to_connections(engine, pages: int) -> list[int]:
    """Bound every new connection to the last of these page counts."""
    limit = [pages]

    @event.listens_for(engine, "connect")
    def bound(connection, record):
        del record
        connection.execute(f"PRAGMA max_page_count = {limit[-1]}")

    return limit


def test_a_database_that_is_gone_gives_503(service):
    """And what was sent is taken once it is back."""
    running_holdout(service)
    with service.database.writing() as session:
        session.execute(text("ALTER TABLE experiment_outcomes RENAME TO away"))
        session.execute(text("ALTER TABLE events RENAME TO away_too"))
    assert convert(service, *OUTCOMES).status_code == 503
    assert service.post("/api/v1/events", {"events": [{"event_id": "a", "unit": "u", "name": "n"}]}).status_code == 503
    with service.database.writing() as session:
        session.execute(text("ALTER TABLE away RENAME TO experiment_outcomes"))
        session.execute(text("ALTER TABLE away_too RENAME TO events"))
    assert convert(service, *OUTCOMES).json()["inserted"] == 1


def test_a_writer_that_is_held_up_refuses_what_it_cannot_hold(tmp_path):
    """The queue is bounded: 503, nothing of the refused is stored, and all that was taken is."""
    database = open_database(f"sqlite:///{tmp_path}/q.db")
    upgrade(database)
    writer = IngestWriter(database, waiting_rows=1000)

    async def flood() -> list:
        with database.writing() as session:
            session.execute(text("SELECT 1"))
            tasks = [asyncio.create_task(writer.write(batch_of(i * 100, 100))) for i in range(40)]
            await asyncio.sleep(0.3)
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(flood())
    refused = [answer for answer in answers if isinstance(answer, StorageError)]
    assert {error.code for error in refused} == {"busy"}
    assert 20 <= len(refused) < 40
    writer.close()
    with database.reading() as session:
        assert session.query(Event).count() == 100 * (40 - len(refused))
    database.close()


def test_close_writes_what_waits_and_refuses_what_comes_after(tmp_path):
    """Graceful shutdown loses nothing."""
    database = open_database(f"sqlite:///{tmp_path}/c.db")
    upgrade(database)
    writer = IngestWriter(database)

    async def stop() -> list:
        with database.writing() as session:
            session.execute(text("SELECT 1"))
            tasks = [asyncio.create_task(writer.write(batch_of(i * 10, 10))) for i in range(20)]
            await asyncio.sleep(0.1)
        await asyncio.to_thread(writer.close)
        return await asyncio.gather(*tasks)

    assert sum(answer["stored"] for answer in asyncio.run(stop())) == 200
    with pytest.raises(StorageError, match="stopping"):
        asyncio.run(writer.write(batch_of(0, 1)))
    writer.close()
    database.close()


def test_a_caller_that_hangs_up_spoils_nothing(tmp_path):
    """What was taken is stored all the same; the others get their answers."""
    database = open_database(f"sqlite:///{tmp_path}/h.db")
    upgrade(database)
    writer = IngestWriter(database)

    async def leave() -> dict:
        with database.writing() as session:
            session.execute(text("SELECT 1"))
            gone = asyncio.create_task(writer.write(batch_of(0, 10)))
            stays = asyncio.create_task(writer.write(batch_of(10, 10)))
            await asyncio.sleep(0.1)
            gone.cancel()
        return await stays

    assert asyncio.run(leave()) == {"stored": 10, "duplicates": 0}
    writer.close()
    with database.reading() as session:
        assert session.query(Event).count() == 20
    database.close()


def test_one_that_cannot_be_stored_spoils_none_of_its_group(stored_service):
    """Requests that wait together: an unknown experiment, one without shares, a text that no store takes, and a good one."""
    running_holdout(stored_service)
    writer = IngestWriter(stored_service.database)
    rows = [("x", "2026-03-05 00:00:00.000000", None, None, 1.0, bytes(16))]
    huge = [(bytes(16), "u", "n", "2026-03-05 00:00:00.000000", None, "\ud800", "2026-03-05 00:00:00.000000")]

    async def together() -> list:
        with stored_service.database.writing() as session:
            session.execute(text("UPDATE experiments SET notes = notes WHERE id = 1"))
            tasks = [
                asyncio.create_task(writer.write(batch))
                for batch in (
                    OutcomeBatch(reference="1", rows=rows),
                    OutcomeBatch(reference="77", rows=rows),
                    EventBatch(rows=huge),
                    batch_of(100, 5),
                )
            ]
            await asyncio.sleep(0.3)
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, unknown, broken, last = asyncio.run(together())
    assert first == {"inserted": 1, "duplicates": 0, "unassigned": 1}
    assert unknown.code == "unknown_experiment"
    assert broken.code == "usage"
    assert last == {"stored": 5, "duplicates": 0}
    writer.close()
    assert len(rows_of(stored_service, ExperimentOutcome)) == 1


def test_the_end_of_an_experiment_and_a_batch_do_not_pass_each_other(stored_service):
    """An exposure is stored before the end or refused after it, whichever came first."""
    running_holdout(stored_service)
    answers: list[int] = []

    def work() -> None:
        answers.extend(
            expose(stored_service, {"profile_id": "user_001", "message_id": f"m{threading.get_ident()}{i}"}).status_code for i in range(15)
        )

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    stored_service.post("/api/experiments/1/status", {"status": "completed"})
    after = len(rows_of(stored_service, ExperimentExposure))
    for worker in workers:
        worker.join(60)
    assert set(answers) <= {200, 409}
    assert len(rows_of(stored_service, ExperimentExposure)) == after == answers.count(200)
    assert expose(stored_service, *EXPOSURES).status_code == 409
