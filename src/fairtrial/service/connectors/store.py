"""Where the address and key of a connected system are kept: one row each, the key in a column that no answer and no log reads."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr
from sqlalchemy.orm import Session

from fairtrial.errors import ConflictError, UsageError
from fairtrial.service.access.roles import Actor
from fairtrial.service.audit import record_change
from fairtrial.service.bodies import iso
from fairtrial.service.connectors.client import Connection, check_address
from fairtrial.service.settings import read_settings
from fairtrial.storage import open_database, upgrade
from fairtrial.storage.tables import ConnectorConfig

KEY = re.compile(r"[\x21-\x7e]{1,1000}")
HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}")
RESERVED = {"host", "content-length", "content-type", "transfer-encoding", "connection", "cookie"}


@contextmanager
def session_or_own(session: Session | None) -> Generator[Session]:
    """The session that is given, else one on the database of the environment that is committed at its end."""
    if session is not None:
        yield session
        return
    database = open_database(read_settings().database_url.get_secret_value())
    try:
        upgrade(database)
        with database.writing() as own:
            yield own
    finally:
        database.close()


def keep_connection(session: Session, name: str, connection: Connection, *, actor: Actor, now: dt.datetime) -> None:
    """Store a connection, in place of an older one.

    Raises:
        UsageError: Its address, key or header breaks a rule.
    """
    address = check_address(connection.base_url)
    key = connection.api_key.get_secret_value()
    if not KEY.fullmatch(key):
        raise UsageError("api_key must be 1 to 1000 printable ASCII characters without blanks.")
    if not HEADER.fullmatch(connection.auth_header) or connection.auth_header.lower() in RESERVED:
        raise UsageError(f"auth_header must be the name of a header, got {connection.auth_header[:60]!r}.", hint="Authorization")
    before = describe_connection(session, name)
    row = session.get(ConnectorConfig, name) or ConnectorConfig(name=name)
    row.config_json = {"base_url": address, "auth_header": connection.auth_header}
    row.secret, row.connected_at, row.connected_by = key, now, actor.name
    session.add(row)
    session.flush()
    record_change(
        session,
        actor=actor,
        now=now,
        action="connector.connect",
        on=("connector", name),
        before=before,
        after=describe_connection(session, name),
    )


def find_connection(session: Session, name: str) -> Connection | None:
    """The stored connection; its key shows itself to nobody who does not ask for it."""
    row = session.get(ConnectorConfig, name)
    return None if row is None else Connection(api_key=SecretStr(row.secret), **row.config_json)


def get_connection(session: Session, name: str) -> Connection:
    """The stored connection.

    Raises:
        ConflictError: There is none.
    """
    found = find_connection(session, name)
    if found is None:
        raise ConflictError(f"The connector {name!r} is not connected.", hint=f"PUT /api/v1/connectors/{name}", code="not_connected")
    return found


def drop_connection(session: Session, name: str, *, actor: Actor, now: dt.datetime) -> bool:
    """Forget a connection and its key.

    Returns:
        Whether there was one.
    """
    row = session.get(ConnectorConfig, name)
    if row is None:
        return False
    before = describe_connection(session, name)
    session.delete(row)
    session.flush()
    record_change(session, actor=actor, now=now, action="connector.disconnect", on=("connector", name), before=before)
    return True


def describe_connection(session: Session, name: str) -> dict[str, Any]:
    """What may be shown of a connection: everything but the key."""
    row = session.get(ConnectorConfig, name)
    if row is None:
        return {"connector": name, "connected": False, "base_url": None, "auth_header": None, "connected_at": None, "connected_by": None}
    times = {"connected_at": iso(row.connected_at), "connected_by": row.connected_by}
    return {"connector": name, "connected": True, **row.config_json, **times}
