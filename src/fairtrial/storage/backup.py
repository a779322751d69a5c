"""Copies of a SQLite database while it is in use, and the way back. Postgres has pg_dump for that.

The copy is made by SQLite's online backup: one consistent moment, writers are not
stopped. It is written beside its name, checked, and given the name only then, so a
file of that name is always a whole copy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import inspect

from fairtrial.errors import ConflictError, StorageError, UsageError
from fairtrial.storage.database import Database
from fairtrial.storage.tables import Base

FIRST_BYTES = b"SQLite format 3\x00"


def back_up(database: Database, file: Path) -> int:
    """Copy a SQLite database into a file.

    Args:
        database: The database; it may be in use by other processes.
        file: A file that does not exist yet.

    Returns:
        The size of the copy in bytes.

    Raises:
        UsageError: The database is none of SQLite, the file is there, or its folder is not.
        StorageError: The copy could not be written, or is not sound.
    """
    _must_be_sqlite(database)
    if file.exists():
        raise UsageError(f"A backup must be a new file, {file} is there already.", hint="Take a name with the date in it.")
    if not file.parent.is_dir():
        raise UsageError(f"The folder of {file} must exist.", hint="Create it first.")
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        with _driver_of(database) as source, closing(sqlite3.connect(unfinished)) as copy:
            source.backup(copy)  # in one step: in several, each write of others would make it begin again
            _check(copy, unfinished)
        unfinished.replace(file)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"The backup could not be written: {error}.", hint="Make room on the disk.") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return file.stat().st_size


def restore(database: Database, file: Path) -> None:
    """Fill an empty SQLite database from a backup.

    Args:
        database: A database without tables of ours; no service may be running on it.
        file: What `back_up` wrote.

    Raises:
        UsageError: The file is no backup, or the database is none of SQLite.
        ConflictError: The database holds something.
        StorageError: The database could not be written.
    """
    _must_be_sqlite(database)
    with _opened(file) as copy:
        _check(copy, file)
        there = set(inspect(database.engine).get_table_names()) & set(Base.metadata.tables)
        if there:
            raise ConflictError(
                f"A backup is restored into an empty database, this one has {len(there)} tables.",
                hint="Move the file of the database (and its -wal and -shm) away, with the service stopped.",
            )
        try:
            with _driver_of(database) as target:
                copy.backup(target)
        except sqlite3.Error as error:
            raise StorageError(f"The backup could not be restored: {error}.") from error
    database.close()


def _must_be_sqlite(database: Database) -> None:
    if database.dialect != "sqlite":
        raise UsageError("This copies SQLite, the database is Postgres.", hint="pg_dump --format custom; see the how-to on backups.")


@contextmanager
def _opened(file: Path) -> Generator[sqlite3.Connection]:
    if not _is_sqlite(file):
        raise UsageError(f"A backup must be a file of SQLite, {file} is none.", hint="fairtrial db backup --file FILE")
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as copy:
        yield copy


def _is_sqlite(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(len(FIRST_BYTES)) == FIRST_BYTES


@contextmanager
def _driver_of(database: Database) -> Generator[sqlite3.Connection]:
    with database.engine.connect() as connection:
        yield cast("sqlite3.Connection", cast("Any", connection.connection.driver_connection))


def _check(copy: sqlite3.Connection, file: Path) -> None:
    try:
        said = copy.execute("PRAGMA integrity_check").fetchone()[0]
        ours = copy.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise UsageError(f"A backup must be sound, {file} is not: {error}.", hint="Take an older one.") from error
    if said != "ok" or not ours:
        raise UsageError(f"A backup must be sound and ours, {file} is not: {said}.", hint="Take an older one.")
