"""The least that could serve the same load: bare ASGI, msgspec, one transaction a request on the driver's own cursor.

Started by `service.py` as `python bare.py PORT CASE URL` over tables that the service made. It knows no key, no
limit, no experiment but the first, counts nothing and groups nothing: what the service takes more is what those cost.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from hashlib import blake2b
from itertools import chain
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import uvicorn

ARRIVED = "2026-03-05 00:00:00.000000"
TABLE = {
    "events": ("events", "event_id, unit, name, occurred_at, value, received_at", "event_id"),
    "exposures": (
        "experiment_exposures",
        "experiment_id, profile_id, exposure_ts, campaign_id, message_id, dedupe_key",
        "experiment_id, profile_id, dedupe_key",
    ),
    "outcomes": (
        "experiment_outcomes",
        "experiment_id, profile_id, conversion_ts, value, outcome_id, dedupe_key",
        "experiment_id, profile_id, dedupe_key",
    ),
}
NEW = {"events": "stored", "exposures": "recorded", "outcomes": "inserted"}


class Item(msgspec.Struct, gc=False):
    """One row of any case."""

    event_id: str = ""
    unit: str = ""
    name: str = ""
    occurred_at: str = ""
    profile_id: str = ""
    exposure_ts: str = ""
    conversion_ts: str = ""
    campaign_id: str = ""
    message_id: str = ""
    outcome_id: str = ""
    value: float = 0.0


def rows_of(case: str, items: list[Item]) -> list[tuple[Any, ...]]:
    """The rows of a request, times and keys as the tables hold them."""
    if case == "events":
        return [(UUID(i.event_id).bytes, i.unit, i.name, _time(i.occurred_at), i.value, ARRIVED) for i in items]
    if case == "exposures":
        return [(1, i.profile_id, _time(i.exposure_ts), i.campaign_id, i.message_id, _key(i.message_id)) for i in items]
    return [(1, i.profile_id, _time(i.conversion_ts), i.value, i.outcome_id, _key(i.outcome_id)) for i in items]


def _time(given: str) -> str:
    return f"{given[:10]} {given[11:23]}000"


def _key(given: str) -> bytes:
    return blake2b(given.encode(), digest_size=16).digest()


def sqlite_store(case: str, path: str) -> Callable[[list[tuple[Any, ...]]], int]:
    """Inserts of a hundred rows, as durable as the service's own."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "cache_size = -65536"):
        connection.execute(f"PRAGMA {pragma}")
    table, columns, key = TABLE[case]

    def store(rows: list[tuple[Any, ...]]) -> int:
        new = 0
        connection.execute("BEGIN IMMEDIATE")
        for at in range(0, len(rows), 100):
            part = rows[at : at + 100]
            marks = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(part))
            statement = f"INSERT INTO {table} ({columns}) VALUES {marks} ON CONFLICT ({key}) DO NOTHING"
            new += connection.execute(statement, list(chain.from_iterable(part))).rowcount
        connection.execute("COMMIT")
        return new

    return store


def postgres_store(case: str, url: str) -> Callable[[list[tuple[Any, ...]]], int]:
    """COPY into a temporary table, one INSERT from there."""
    connection = psycopg.connect(url)
    table, columns, key = TABLE[case]
    connection.execute(f"CREATE TEMPORARY TABLE bare AS SELECT {columns} FROM {table} WHERE false")
    connection.commit()

    def store(rows: list[tuple[Any, ...]]) -> int:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE bare")
            with cursor.copy(f"COPY bare ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM bare ON CONFLICT ({key}) DO NOTHING")
            new = cursor.rowcount
        connection.commit()
        return new

    return store


def answering(case: str, url: str) -> Callable[[bytes], bytes]:
    """What becomes of a body."""
    if case == "ofrep":
        decision = b'{"key":"checkout","reason":"SPLIT","variant":"treatment","value":true}'
        return lambda _: decision
    decoder = msgspec.json.Decoder(dict[str, list[Item]])
    store = sqlite_store(case, url.removeprefix("sqlite:///")) if url.startswith("sqlite") else postgres_store(case, url)
    return lambda body: b'{"%b":%d}' % (NEW[case].encode(), store(rows_of(case, decoder.decode(body)[case])))


def main() -> None:
    port, case, url = sys.argv[1:]
    answer = answering(case, url)

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        said = answer(body) if scope["method"] == "POST" else b"{}"
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(said)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})

    uvicorn.run(app, host="127.0.0.1", port=int(port), lifespan="off", log_config=None, access_log=False)


if __name__ == "__main__":
    main()
