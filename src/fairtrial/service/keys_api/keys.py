"""What may be done with API keys, each change in the audit log and in force at once."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from fairtrial.errors import ConflictError, UsageError
from fairtrial.service.access.keys import KeyRequest, KeyRing, create_key
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.audit import record_change
from fairtrial.service.keys_api.schemas import KeyChange, KeyCreate, KeyList, KeyMade, KeyOut
from fairtrial.service.problems import NotFoundError
from fairtrial.storage.keys import find_key, list_keys
from fairtrial.storage.tables import ApiKey


def make(session: Session, asked: KeyCreate, *, actor: Actor, now: dt.datetime) -> KeyMade:
    """Make a key; its text is in the answer and nowhere else.

    Raises:
        UsageError: It would be expired at once, or a client key would be more than a VIEWER.
    """
    request = KeyRequest(
        role=Role.named(asked.role),
        name=asked.name,
        expires_at=asked.expires_at,
        kind=asked.kind,
        origins=asked.origins,
        environment=asked.environment,
    )
    made = create_key(session, request, now=now, by=actor.name)
    record_change(session, actor=actor, now=now, action="key.create", on=("api_key", made.row.public_id), after=described(made.row))
    return KeyMade(**_fields(made.row, now), token=made.token)


def listed(session: Session, *, now: dt.datetime, limit: int, offset: int) -> KeyList:
    """Keys newest first."""
    rows, total = list_keys(session, limit=limit, offset=offset)
    return KeyList(items=[as_out(row, now) for row in rows], total=total)


def change(session: Session, public_id: str, wanted: KeyChange, *, keys: KeyRing, actor: Actor, now: dt.datetime) -> KeyOut:
    """Give a key another name, role or end.

    Raises:
        NotFoundError: There is no such key.
        ConflictError: It is revoked.
        UsageError: A client key would be more than a VIEWER.
    """
    row = get(session, public_id, for_update=True)
    if row.revoked_at is not None:
        raise ConflictError(f"Key {public_id} is revoked, which is for ever.", hint="Make another.")
    before = described(row)
    if wanted.role is not None:
        if row.kind == "client" and wanted.role != "VIEWER":
            raise UsageError(f"A client key, which a browser shows to anybody, must be a VIEWER, got {wanted.role}.")
        row.role = wanted.role
    row.name = wanted.name or row.name
    row.expires_at = wanted.expires_at or row.expires_at
    record_change(session, actor=actor, now=now, action="key.change", on=("api_key", public_id), before=before, after=described(row))
    _forget_when_stored(session, keys)
    return as_out(row, now)


def revoke(session: Session, public_id: str, *, keys: KeyRing, actor: Actor, now: dt.datetime) -> KeyOut:
    """End a key for ever; doing it again changes nothing.

    Raises:
        NotFoundError: There is no such key.
    """
    row = get(session, public_id, for_update=True)
    if row.revoked_at is None:
        before = described(row)
        row.revoked_at = now
        record_change(session, actor=actor, now=now, action="key.revoke", on=("api_key", public_id), before=before, after=described(row))
    _forget_when_stored(session, keys)
    return as_out(row, now)


def get(session: Session, public_id: str, *, for_update: bool = False) -> ApiKey:
    """The key with this public part.

    Raises:
        NotFoundError: There is none.
    """
    row = find_key(session, public_id, for_update=for_update)
    if row is None:
        raise NotFoundError(f"No API key {public_id!r}.", hint="GET /api/v1/keys")
    return row


def as_out(row: ApiKey, now: dt.datetime) -> KeyOut:
    """A key as it is shown."""
    return KeyOut(**_fields(row, now))


def described(row: ApiKey) -> dict[str, Any]:
    """What the audit log keeps of a key."""
    return {
        "name": row.name,
        "role": row.role,
        "kind": row.kind,
        "environment": row.environment,
        "origins": row.origins_json,
        "expires_at": None if row.expires_at is None else row.expires_at.isoformat(),
        "revoked_at": None if row.revoked_at is None else row.revoked_at.isoformat(),
    }


def _fields(row: ApiKey, now: dt.datetime) -> dict[str, Any]:
    expired = row.expires_at is not None and row.expires_at <= now
    return {
        "public_id": row.public_id,
        "name": row.name,
        "role": row.role,
        "kind": row.kind,
        "origins": [str(origin) for origin in row.origins_json or ()],
        "environment": row.environment,
        "state": "revoked" if row.revoked_at is not None else "expired" if expired else "in_force",
        "created_at": row.created_at,
        "created_by": row.created_by,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
    }


def _forget_when_stored(session: Session, keys: KeyRing) -> None:
    """Prove every key anew once the change is on disk; before, somebody could have the old one remembered."""

    def forget(_: Session) -> None:
        keys.forget()

    event.listen(session, "after_commit", forget, once=True)
