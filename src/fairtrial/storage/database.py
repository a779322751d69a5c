"""The database of the service: SQLite in a file by default, Postgres by its URL.

A session is for reading or for writing, and says so: SQLite has one writer, and a
transaction that reads first and then wants to write can only fail when another was
quicker. A writing one therefore queues at its start. What the driver raises when the
store itself fails (gone, full, locked) becomes `StorageError`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from fairtrial.errors import ConflictError, StorageError, UsageError

DEFAULT_URL = "sqlite:///fairtrial.db"
BUSY_SECONDS = 15.0
"""How long a writer waits for its turn at SQLite."""

CACHE_KB = 16_384
"""Pages of SQLite that each connection may keep, in KiB; the system keeps the file's own pages beside."""

WRITES = "fairtrial_writes"
"""Execution option of a connection whose transaction will write."""


@dataclass(frozen=True, slots=True)
class Database:
    """An open database.

    Attributes:
        engine: SQLAlchemy's engine.
    """

    engine: Engine

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @property
    def safe_url(self) -> str:
        """The address without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Generator[Session]:
        """A session that only reads: one snapshot for its whole length.

        Raises:
            StorageError: The store failed.
        """
        with _translated(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Generator[Session]:
        """A session that is committed at its end and rolled back by an error.

        Raises:
            StorageError: The store failed; nothing of the session was kept.
        """
        with _translated(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            session.connection(execution_options={WRITES: True})
            yield session

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()


def open_database(url: str = DEFAULT_URL, *, pool_size: int = 10) -> Database:
    """Open a database; nothing is created but, for SQLite, the file on first use.

    Args:
        url: `sqlite:///file.db` or `postgresql://user:password@host/name`.
        pool_size: Connections kept open to Postgres; as many again may come at a peak.

    Raises:
        UsageError: The URL is of no kind that can serve.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError("The database's address must be a URL.", hint="Such as sqlite:///fairtrial.db.") from error
    try:
        if parsed.get_backend_name() == "sqlite":
            return Database(_sqlite(parsed))
        if parsed.get_backend_name() == "postgresql":
            return Database(_postgres(parsed, pool_size))
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise UsageError(f"No driver for {parsed.drivername!r}: {error}.", hint="pip install 'fairtrial[service]'") from error
    raise UsageError(
        f"The service runs on SQLite or Postgres, got {parsed.get_backend_name()!r}.",
        hint="Set FAIRTRIAL_DATABASE_URL to sqlite:///file.db or postgresql://user@host/name.",
    )


def _sqlite(url: URL) -> Engine:
    if url.database and url.database != ":memory:" and not Path(url.database).expanduser().parent.is_dir():
        raise UsageError(f"The folder of {url.database} must exist.", hint="Create it, or name another file.")
    # Last in, first out: a connection's cache is thrown away when another one has written, so one of them stays warm.
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}, **_pool_of(url))

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        del record
        connection.isolation_level = None  # transactions begin where `begin` below says, not where sqlite3 guesses
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", f"cache_size = -{CACHE_KB}"):
            connection.execute(f"PRAGMA {pragma}")
        connection.create_function("lower", 1, _lower, deterministic=True)  # SQLite's own knows ASCII alone

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")

    return engine


def _lower(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else text


def _pool_of(url: URL) -> dict[str, bool]:
    """Settings of the pool; a database in memory has one connection and none."""
    return {"pool_use_lifo": True} if url.database and url.database != ":memory:" else {}


def _postgres(url: URL, pool_size: int) -> Engine:
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "options": "-c timezone=UTC"},
    )


@contextmanager
def _translated() -> Generator[None]:
    """Failures of the store as `StorageError`; mistakes of our own stay what they are."""
    try:
        yield
    except IntegrityError as error:
        if not _is_clash(error):
            raise
        raise ConflictError("What this would store is there already, or what it refers to is gone.", hint="Read it again.") from error
    except ProgrammingError:
        raise
    except (DataError, OverflowError, UnicodeEncodeError) as error:  # a number too large, NUL or half a surrogate pair in a text
        raise UsageError("A value must be one that the database can hold: texts without NUL, numbers within 64 bits.") from error
    except (DBAPIError, PoolTimeoutError, sqlite3.OperationalError, psycopg.OperationalError) as error:  # the last two: bulk loads
        raise storage_error(error) from error


def _is_clash(error: IntegrityError) -> bool:
    """Whether a unique or foreign key was broken, as by two at once; what else breaks a rule of a table is our mistake."""
    state = getattr(error.orig, "sqlstate", None)
    return state in {"23503", "23505"} if state else str(error.orig).startswith(("UNIQUE", "FOREIGN KEY"))


def storage_error(error: Exception) -> StorageError:
    """What a failing store means to a caller, without the statement and its parameters.

    Args:
        error: What SQLAlchemy, sqlite3 or psycopg raised.
    """
    cause = getattr(error, "orig", None) or error
    said = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    full = isinstance(cause, sqlite3.OperationalError) and "full" in said
    hint = "Make room on the disk." if full else "Nothing was stored; send it again once the database is back."
    return StorageError(f"The database must answer, it said: {said}.", hint=hint)
