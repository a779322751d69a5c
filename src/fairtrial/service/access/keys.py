"""API keys: `ft_<public id>_<secret>`, shown once, kept as an argon2 hash.

A hash costs tens of milliseconds, so a proven key is remembered for a minute by the
SHA-256 of its text, in memory only; revoking one takes at most that long elsewhere
and is at once in the process that revokes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairtrial.errors import UsageError
from fairtrial.service.access.roles import Actor, Role
from fairtrial.storage import Database
from fairtrial.storage.tables import ApiKey

PREFIX = "ft"
REMEMBERED_SECONDS = 60.0
REMEMBERED_KEYS = 10_000
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
"""OWASP's minimum for argon2id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key just made; its text exists nowhere else.

    Attributes:
        row: What is stored.
        token: What the caller sends as `Authorization: Bearer <token>`.
    """

    row: ApiKey
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """A key that is asked for.

    Attributes:
        role: What its holder may do.
        name: What people call it.
        expires_at: When it ends, aware; None for never.
        kind: `client` for a key that a browser holds, which reads flags alone.
        origins: Web origins from which a client key may call; empty: any.
        environment: Environment whose flags a client key reads.
    """

    role: Role
    name: str
    expires_at: dt.datetime | None = None
    kind: Literal["server", "client"] = "server"
    origins: Sequence[str] = ()
    environment: str = "production"


def create_key(session: Session, asked: KeyRequest, *, now: dt.datetime, by: str) -> NewKey:
    """Make a key.

    Args:
        session: A writing session.
        asked: The key.
        now: The moment.
        by: Who makes it, as the audit log writes it.

    Raises:
        UsageError: The key would be expired at once, or a client key would be more than a VIEWER.
    """
    if asked.expires_at is not None and asked.expires_at <= now:
        raise UsageError(f"A key must expire in the future, got {asked.expires_at.isoformat()}.")
    if asked.kind == "client" and asked.role != Role.VIEWER:
        raise UsageError(f"A client key, which a browser shows to anybody, must be a VIEWER, got {asked.role.name}.")
    public_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    row = ApiKey(
        public_id=public_id,
        secret_hash=HASHER.hash(secret),
        name=asked.name,
        role=asked.role.name,
        kind=asked.kind,
        origins_json=list(asked.origins) or None,
        environment=asked.environment,
        created_at=now,
        created_by=by,
        expires_at=asked.expires_at,
    )
    session.add(row)
    session.flush()
    return NewKey(row=row, token=f"{PREFIX}_{public_id}_{secret}")


@dataclass(slots=True)
class KeyRing:
    """Proves API keys, remembering for a minute what it has proven."""

    database: Database
    _proven: dict[bytes, tuple[Actor, dt.datetime]] = field(default_factory=dict[bytes, tuple[Actor, dt.datetime]], repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _forgotten: int = 0

    def actor(self, token: str, now: dt.datetime) -> Actor | None:
        """Whose key this is; None when it is none, or revoked, or expired."""
        mark = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        remembered = self._proven.get(mark)
        if remembered is not None and now < remembered[1]:
            return remembered[0]
        before = self._forgotten
        with self.database.reading() as session:
            proven = prove(session, token, now)
        if proven is None:
            return None
        actor, expires_at = proven
        until = now + dt.timedelta(seconds=REMEMBERED_SECONDS)
        with self._lock:
            if len(self._proven) >= REMEMBERED_KEYS:
                self._proven.clear()
            if self._forgotten == before:  # else a key revoked meanwhile would be remembered as good
                self._proven[mark] = actor, until if expires_at is None else min(until, expires_at)
        return actor

    def remembered(self, token: str, now: dt.datetime) -> Actor | None:
        """Whose key this is if that was proven within the last minute; touches no database."""
        found = self._proven.get(hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest())
        return found[0] if found is not None and now < found[1] else None

    def forget(self) -> None:
        """Prove every key anew, as after a revocation."""
        with self._lock:
            self._forgotten += 1
            self._proven.clear()


def prove(session: Session, token: str, now: dt.datetime) -> tuple[Actor, dt.datetime | None] | None:
    """The owner of a key and when it expires; None unless the secret fits and the key is in force."""
    parts = token.split("_", 2)
    if len(parts) != 3 or parts[0] != PREFIX:
        return None
    row = session.scalar(select(ApiKey).where(ApiKey.public_id == parts[1]))
    if row is None:
        return None
    try:
        HASHER.verify(row.secret_hash, parts[2])
    except (VerificationError, InvalidHashError):
        return None
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        return None
    actor = Actor(
        name=f"key:{row.public_id}",
        role=Role.named(row.role),
        kind=row.kind,
        environment=row.environment,
        origins=tuple(str(origin) for origin in row.origins_json or ()),
    )
    return actor, row.expires_at
