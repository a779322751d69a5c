"""Bring a database to the tables that this version of the code knows."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from fairtrial.storage.database import Database
from fairtrial.storage.tables import Base

LOCK = 0x6661697274726C
"""Advisory lock of Postgres under which a migration runs, so that two processes never run one twice."""


def upgrade(database: Database, revision: str = "head") -> str | None:
    """Run the migrations up to `revision`; two processes may call it at once.

    Returns:
        The revision that the database is at now.

    Raises:
        StorageError: The store failed; the database is as it was.
    """
    with _migrating(database) as (config, connection):
        command.upgrade(config, revision)
        return _current(connection)


def downgrade(database: Database, revision: str) -> str | None:
    """Undo the migrations after `revision`; `base` undoes all. What their tables held is lost.

    Returns:
        The revision that the database is at now; None without tables.
    """
    with _migrating(database) as (config, connection):
        command.downgrade(config, revision)
        return _current(connection)


def current_revision(database: Database) -> str | None:
    """The revision that the database is at; None when it has no tables of ours."""
    with database.reading() as session:
        return _current(session.connection())


def newest_revision() -> str | None:
    """The revision that this version of the code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def differences(database: Database) -> list[str]:
    """What the database's tables lack or have beyond those of the code; empty when they agree."""
    with database.reading() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        return [str(difference) for difference in compare_metadata(context, Base.metadata)]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


@contextmanager
def _migrating(database: Database) -> Generator[tuple[Config, Connection]]:
    with database.writing() as session:
        connection = session.connection()
        if database.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        config = _config()
        config.attributes["connection"] = connection
        yield config, connection


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
