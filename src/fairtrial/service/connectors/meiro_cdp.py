"""The customer data platform Meiro: segments, raw events, and what becomes of them (HO-26, HO-27).

`db` is a session of `fairtrial.storage.Database`; without one, the database of
`FAIRTRIAL_DATABASE_URL` is used. `client` is what talks to the platform; without one it
is made of the stored connection. The key is stored, never returned and never logged.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import quote

import httpx
from pydantic import SecretStr
from sqlalchemy.orm import Session

from fairtrial.errors import ConnectorError, UsageError
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.bodies import as_utc, iso
from fairtrial.service.clock import utc_now
from fairtrial.service.connectors.client import Client, Connection
from fairtrial.service.connectors.journeys import build_journeys_from_events
from fairtrial.service.connectors.store import (
    describe_connection,
    drop_connection,
    find_connection,
    get_connection,
    keep_connection,
    session_or_own,
)

__all__ = [
    "build_journeys_from_events",
    "create_export",
    "disconnect",
    "fetch_raw_events",
    "fetch_segment",
    "get_config",
    "get_connection_metadata",
    "is_connected",
    "list_attributes",
    "list_events",
    "list_segments",
    "poll_export",
    "save_config",
    "test_connection",
]

NAME = "meiro"
LIBRARY = Actor(name="library", role=Role.ADMIN)

POLL_SECONDS, LONGEST_POLL_SECONDS = 5.0, 300.0
FAILED = {"failed", "error"}
PROFILE_ID = ("id", "profile_id", "customer_id")


def save_config(
    base_url: str,
    api_key: str | SecretStr,
    *,
    auth_header: str = "Authorization",
    db: Session | None = None,
    actor: Actor = LIBRARY,
    now: dt.datetime | None = None,
) -> None:
    """Connect: keep the address and the key, in place of older ones.

    Raises:
        UsageError: The address, the key or the header breaks a rule.
    """
    key = api_key if isinstance(api_key, SecretStr) else SecretStr(api_key)
    connection = Connection(base_url=base_url, api_key=key, auth_header=auth_header)
    with session_or_own(db) as session:
        keep_connection(session, NAME, connection, actor=actor, now=now or utc_now())


def get_config(*, db: Session | None = None) -> Connection | None:
    """The stored connection, its key as a secret that does not show itself; None without one."""
    with session_or_own(db) as session:
        return find_connection(session, NAME)


def disconnect(*, db: Session | None = None, actor: Actor = LIBRARY, now: dt.datetime | None = None) -> bool:
    """Forget the address and the key; whether there were any."""
    with session_or_own(db) as session:
        return drop_connection(session, NAME, actor=actor, now=now or utc_now())


def is_connected(*, db: Session | None = None) -> bool:
    """Whether an address and a key are stored."""
    return get_config(db=db) is not None


def get_connection_metadata(*, db: Session | None = None) -> dict[str, Any]:
    """What may be shown of the connection: never the key."""
    with session_or_own(db) as session:
        return describe_connection(session, NAME)


def make_client(*, db: Session | None = None, transport: httpx.BaseTransport | None = None) -> Client:
    """What talks to the platform, by the stored connection.

    Raises:
        ConflictError: Nothing is connected.
    """
    with session_or_own(db) as session:
        return Client(connection=get_connection(session, NAME), transport=transport)


def test_connection(*, client: Client | None = None, db: Session | None = None) -> dict[str, Any]:  # noqa: PT028
    """Ask the platform for its segments once.

    Returns:
        `ok` and, when it is false, the `error` in a sentence with its `code`; never raises for the platform's fault.
    """
    talk = client or make_client(db=db)
    try:
        talk.get("/api/v1/segments", {"limit": 1})
    except ConnectorError as error:
        return {"ok": False, "error": error.message, "code": error.code}
    return {"ok": True, "error": None, "code": None}


test_connection.__test__ = False  # pyright: ignore[reportFunctionMemberAccess] - not a test of pytest's


def list_attributes(*, client: Client | None = None, db: Session | None = None) -> list[dict[str, Any]]:
    """The attributes that profiles have.

    Raises:
        ConnectorError: The platform failed.
    """
    return _objects(client or make_client(db=db), "/api/v1/attributes")


def list_events(*, client: Client | None = None, db: Session | None = None) -> list[dict[str, Any]]:
    """The types of events.

    Raises:
        ConnectorError: The platform failed.
    """
    return _objects(client or make_client(db=db), "/api/v1/events")


def list_segments(*, client: Client | None = None, db: Session | None = None) -> list[dict[str, Any]]:
    """The segments.

    Raises:
        ConnectorError: The platform failed.
    """
    return _objects(client or make_client(db=db), "/api/v1/segments")


def fetch_segment(segment_id: str, *, client: Client | None = None, db: Session | None = None) -> list[dict[str, Any]]:
    """The profiles of a segment.

    Returns:
        One dict a profile, its identifier as a text under `id`; each profile once.

    Raises:
        ConnectorError: The platform failed, or sent a profile without an identifier.
    """
    talk = client or make_client(db=db)
    profiles: dict[str, dict[str, Any]] = {}
    for row in talk.rows(f"/api/v1/segments/{_part(segment_id)}/profiles"):
        profile = _profile(row)
        profiles.setdefault(profile["id"], profile)
    return list(profiles.values())


def create_export(
    date_from: dt.datetime,
    date_to: dt.datetime,
    *,
    event_types: Sequence[str] | None = None,
    attributes: Sequence[str] | None = None,
    segment_id: str | None = None,
    client: Client | None = None,
    db: Session | None = None,
) -> dict[str, Any]:
    """Ask for an export of raw events.

    Returns:
        What the platform says of it, `id` and `status` among it.

    Raises:
        UsageError: The period ends before it begins.
        ConnectorError: The platform failed.
    """
    since, until = as_utc(date_from), as_utc(date_to)
    if until < since:
        raise UsageError(f"date_to must not come before date_from, got {iso(since)} and {iso(until)}.")
    asked: dict[str, Any] = {"date_from": iso(since), "date_to": iso(until), "format": "json"}
    for name, value in (("event_types", event_types), ("attributes", attributes)):
        if value is not None:
            asked[name] = list(value)
    if segment_id is not None:
        asked["segment_id"] = segment_id
    return _export((client or make_client(db=db)).post("/api/v1/exports", asked))


def poll_export(
    export_id: str,
    *,
    every_seconds: float = POLL_SECONDS,
    at_most_seconds: float = LONGEST_POLL_SECONDS,
    client: Client | None = None,
    db: Session | None = None,
) -> dict[str, Any]:
    """Ask after an export until it is completed.

    Args:
        export_id: Which.
        every_seconds: Wait between two questions.
        at_most_seconds: Longest wait in all.
        client: What talks to the platform.
        db: Where the connection is stored.

    Raises:
        ConnectorError: It failed, or was not completed in time (`retriable`).
    """
    talk = client or make_client(db=db)
    path = f"/api/v1/exports/{_part(export_id)}"
    until = time.monotonic() + at_most_seconds
    waited = 0.0
    while True:
        found = _export(talk.get(path), export_id)
        if found["status"] == "completed":
            return found
        if found["status"] in FAILED:
            raise ConnectorError("The platform could not make the export.", hint="Ask for a new one.", code="export_failed")
        waited += every_seconds
        if waited > at_most_seconds or time.monotonic() > until:
            raise ConnectorError(
                f"The export was not completed within {at_most_seconds:g} seconds.",
                hint="Ask after it later.",
                code="export_running",
                retriable=True,
            )
        talk.sleep(every_seconds)


def download_export(export: dict[str, Any], *, client: Client) -> list[dict[str, Any]]:
    """The rows of a completed export.

    Raises:
        ConnectorError: The platform failed, or its rows are no events.
    """
    path = f"/api/v1/exports/{_part(str(export['id']))}/data"
    address = export.get("download_url")
    if address is not None:
        base = client.connection.base_url.rstrip("/")
        path = str(address).removeprefix(base)
        if not path.startswith("/") or path.startswith("//"):
            raise ConnectorError(
                "An export must be fetched from the platform's own address; this one lies elsewhere.", code="connector_malformed"
            )
    return _dicts(list(client.rows(path)))


def fetch_raw_events(
    date_from: dt.datetime,
    date_to: dt.datetime,
    *,
    event_types: Sequence[str] | None = None,
    attributes: Sequence[str] | None = None,
    segment_id: str | None = None,
    client: Client | None = None,
    db: Session | None = None,
) -> list[dict[str, Any]]:
    """Raw events of a period: an export asked for, waited for and fetched.

    Raises:
        UsageError: The period ends before it begins.
        ConnectorError: The platform failed.
    """
    talk = client or make_client(db=db)
    made = create_export(date_from, date_to, event_types=event_types, attributes=attributes, segment_id=segment_id, client=talk)
    return download_export(poll_export(str(made["id"]), client=talk), client=talk)


def _objects(client: Client, path: str) -> list[dict[str, Any]]:
    return _dicts(list(client.rows(path)))


def _dicts(rows: list[Any]) -> list[dict[str, Any]]:
    if not all(isinstance(row, dict) for row in rows):
        raise ConnectorError("The rows of a list must be objects.", code="connector_malformed")
    return rows


def _export(answer: Any, export_id: str | None = None) -> dict[str, Any]:
    if isinstance(answer, dict):
        found = cast("dict[str, Any]", answer)
        known = found.get("id", export_id)
        if isinstance(known, str | int) and not isinstance(known, bool) and str(known):
            return {**found, "id": str(known), "status": str(found.get("status", "")).lower()}
    raise ConnectorError("An export must have an id.", code="connector_malformed")


def _profile(row: Any) -> dict[str, Any]:
    """A profile, its identifier under `id`; a bare text is one, too."""
    if isinstance(row, str) and row:
        return {"id": row}
    if isinstance(row, dict):
        found = cast("dict[str, Any]", row)
        known = next((found[name] for name in PROFILE_ID if isinstance(found.get(name), str | int) and found[name] != ""), None)
        if known is not None and not isinstance(known, bool):
            return {**found, "id": str(known)}
    raise ConnectorError("A profile of a segment must have an id.", code="connector_malformed")


def _part(name: str) -> str:
    """A name as one part of a path.

    Raises:
        UsageError: It can be none.
    """
    if not 1 <= len(name) <= 200 or not name.strip("."):
        raise UsageError("An id must have 1 to 200 characters, and not dots alone.")
    try:
        return quote(name, safe="")
    except UnicodeEncodeError as error:
        raise UsageError("An id must be Unicode, this one holds half a surrogate pair.") from error
