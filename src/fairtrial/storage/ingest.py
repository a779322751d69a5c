"""Exposures, outcomes and events at the speed of the driver, many requests in one transaction.

The rows of a group come in parts, one a request. Exposures and outcomes go through a
temporary table: what is stored already is left out there, what is new is counted by
part and by the stored group of its profile, and one statement inserts it. Events go
straight in. SQLite takes the rows in statements of many, so that its thread holds
Python's lock rarely; Postgres takes them by COPY.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.orm import Session

from fairtrial.errors import UsageError
from fairtrial.storage.database import storage_error
from fairtrial.storage.experiments import find_experiment
from fairtrial.storage.tables import Experiment, ExperimentExposure, ExperimentOutcome
from fairtrial.storage.tables.base import UtcTime

Row = tuple[str, str, str | None, str | None, float | None, bytes]
"""Profile, stored time, two identifiers, value, key: of an exposure campaign and message, of an outcome its id and None."""

EventRow = tuple[bytes, str, str, str, float | None, str | None, str]
"""Id, unit, name, stored time, value, properties as JSON, stored time of arrival."""

STEPS = (1000, 100, 10, 1)
"""Rows of one statement in SQLite: few sizes, each compiled once; large ones, for between two its thread waits for Python's lock."""

ROWS = ("place", "part", "profile_id", "happened_at", "first_id", "second_id", "value", "dedupe_key")
EVENTS = ("event_id", "unit", "name", "occurred_at", "value", "properties_json", "received_at")

MAKE_ROWS = {
    "sqlite": "CREATE TEMPORARY TABLE IF NOT EXISTS ingest_rows (place INTEGER PRIMARY KEY, part INTEGER, profile_id TEXT, "
    "happened_at TEXT, first_id TEXT, second_id TEXT, value REAL, dedupe_key BLOB)",
    "postgresql": "CREATE TEMPORARY TABLE IF NOT EXISTS ingest_rows (place integer, part integer, profile_id text, "
    "happened_at timestamptz, first_id text, second_id text, value double precision, dedupe_key bytea) ON COMMIT DELETE ROWS",
}
MAKE_EVENTS = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS ingest_events (event_id bytea, unit text, name text, occurred_at timestamptz, "
    "value double precision, properties_json jsonb, received_at timestamptz) ON COMMIT DELETE ROWS"
)
LOCAL_COSTS = "SET LOCAL random_page_cost = 1.1"
"""Postgres guesses that a look into an index costs as much as on a spinning disk, and would rather read whole tables."""

INSERT = {
    ExperimentExposure: "INSERT INTO experiment_exposures (experiment_id, profile_id, exposure_ts, campaign_id, message_id, dedupe_key) "
    "SELECT :experiment, profile_id, happened_at, first_id, second_id, dedupe_key FROM ingest_rows WHERE true ORDER BY place "
    "ON CONFLICT (experiment_id, profile_id, dedupe_key) DO NOTHING",
    ExperimentOutcome: "INSERT INTO experiment_outcomes (experiment_id, profile_id, conversion_ts, value, outcome_id, dedupe_key) "
    "SELECT :experiment, profile_id, happened_at, value, first_id, dedupe_key FROM ingest_rows WHERE true ORDER BY place "
    "ON CONFLICT (experiment_id, profile_id, dedupe_key) DO NOTHING",
}
LEAVE_OUT = (
    "DELETE FROM ingest_rows WHERE EXISTS (SELECT 1 FROM {table} e WHERE e.experiment_id = :experiment "
    "AND e.profile_id = ingest_rows.profile_id AND e.dedupe_key = ingest_rows.dedupe_key)"
)
COUNT = (
    'SELECT t.part, a."group", a.source, count(*), {collect}(t.profile_id) FILTER (WHERE a."group" IS NULL) '
    "FROM {rows} LEFT JOIN experiment_assignments a ON a.experiment_id = :experiment AND a.profile_id = t.profile_id "
    "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)
STORED_ROWS = "stored s JOIN ingest_rows t ON t.profile_id = s.profile_id AND t.dedupe_key = s.dedupe_key"
ASSIGN = text(
    'INSERT INTO experiment_assignments (experiment_id, profile_id, "group", assigned_at, source) '
    "VALUES (:experiment, :profile, :arm, :at, :source) ON CONFLICT (experiment_id, profile_id) DO NOTHING"
).bindparams(bindparam("at", type_=UtcTime()))

INSERT_EVENTS = (
    f"INSERT INTO events ({', '.join(EVENTS)}) SELECT {', '.join(EVENTS)} FROM ingest_events ORDER BY event_id "  # noqa: S608
    "ON CONFLICT (event_id) DO NOTHING RETURNING event_id"
)

Target = type[ExperimentExposure] | type[ExperimentOutcome]


@dataclass(slots=True, kw_only=True)
class StoredPart:
    """What became of the rows of one request.

    Attributes:
        new: Rows stored now.
        by_group: Those of them whose profile has a stored group, by group.
        lazy: Those of them whose profile was assigned by an exposure alone.
        unassigned: Profiles of the others, once for each row.
    """

    new: int = 0
    by_group: dict[str, int] = field(default_factory=dict[str, int])
    lazy: int = 0
    unassigned: list[str] = field(default_factory=list[str])


def stored_time(moment: dt.datetime) -> str:
    """A moment in UTC as rows hold it: SQLite keeps this text, Postgres reads it, and it sorts."""
    return moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def lock_experiments(session: Session, references: Iterable[str]) -> dict[str, Experiment]:
    """The experiments with these ids or keys, locked until the session ends; those that do not exist are left out.

    Args:
        session: A writing session.
        references: Ids or keys. The rows are locked in the order of their ids, so that two processes never wait for each other.
    """
    found = {reference: row.id for reference in references if (row := find_experiment(session, reference)) is not None}
    statement = select(Experiment).where(Experiment.id.in_(set(found.values()))).order_by(Experiment.id).with_for_update()
    rows = {row.id: row for row in session.scalars(statement.execution_options(populate_existing=True))} if found else {}
    return {reference: rows[key] for reference, key in found.items() if key in rows}


def store_rows(session: Session, target: Target, experiment_id: int, parts: Sequence[Sequence[Row]]) -> list[StoredPart]:
    """Store exposures or outcomes of one experiment, each key once.

    Args:
        session: A writing session that has locked the experiment.
        target: What they are.
        experiment_id: The experiment.
        parts: The rows of each request; of equal ones the first is stored.

    Raises:
        StorageError: The store failed.
        UsageError: A row holds what the store cannot.
    """
    connection = session.connection()
    session.flush()
    rows = _numbered(parts)
    counted = [StoredPart() for _ in parts]
    if connection.dialect.name == "sqlite":
        _load_sqlite(connection, rows)
        connection.execute(text(LEAVE_OUT.format(table=target.__tablename__)), {"experiment": experiment_id})
        statement = COUNT.format(collect="json_group_array", rows="ingest_rows t")
        found = connection.execute(text(statement), {"experiment": experiment_id}).all()
        connection.execute(text(INSERT[target]), {"experiment": experiment_id})
    else:
        _load_postgres(connection, MAKE_ROWS["postgresql"], "ingest_rows", ROWS, rows)
        insert = f"WITH stored AS ({INSERT[target]} RETURNING profile_id, dedupe_key) "
        found = connection.execute(text(insert + COUNT.format(collect="array_agg", rows=STORED_ROWS)), {"experiment": experiment_id}).all()
    for row in found:
        part, group, source, n, names = cast("tuple[int, str | None, str | None, int, str | list[str] | None]", row)
        _count(counted[part], group, source, n, json.loads(names) if isinstance(names, str) else names)
    return counted


def _count(part: StoredPart, group: str | None, source: str | None, n: int, names: list[str] | None) -> None:
    part.new += n
    if group is None:
        part.unassigned += names or []
        return
    part.by_group[group] = part.by_group.get(group, 0) + n
    if source == "exposure":
        part.lazy += n


def assign_exposed(session: Session, experiment_id: int, arms: Iterable[tuple[str, str]], *, at: dt.datetime) -> None:
    """Store the groups of profiles that an exposure brought in.

    Args:
        session: A writing session that has locked the experiment.
        experiment_id: The experiment.
        arms: Profiles and groups.
        at: When.
    """
    given = [{"experiment": experiment_id, "profile": name, "arm": arm, "at": at, "source": "exposure"} for name, arm in arms]
    if given:
        session.connection().execute(ASSIGN, given)


def store_events(session: Session, parts: Sequence[Sequence[EventRow]]) -> list[int]:
    """Store events, each id once; says of each part how many were new.

    Args:
        session: A writing session.
        parts: The events of each request; of equal ids the first is stored.

    Raises:
        StorageError: The store failed.
        UsageError: An event holds what the store cannot.
    """
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        return _events_sqlite(connection, parts)
    return _events_postgres(connection, parts)


def newest_exposures(session: Session, experiment_id: int, limit: int) -> Sequence[ExperimentExposure]:
    """The latest exposures, newest first."""
    return session.scalars(
        select(ExperimentExposure)
        .where(ExperimentExposure.experiment_id == experiment_id)
        .order_by(ExperimentExposure.exposure_ts.desc(), ExperimentExposure.id.desc())
        .limit(limit)
    ).all()


def newest_outcomes(session: Session, experiment_id: int, limit: int) -> Sequence[ExperimentOutcome]:
    """The latest outcomes, newest first."""
    return session.scalars(
        select(ExperimentOutcome)
        .where(ExperimentOutcome.experiment_id == experiment_id)
        .order_by(ExperimentOutcome.conversion_ts.desc(), ExperimentOutcome.id.desc())
        .limit(limit)
    ).all()


def _numbered(parts: Sequence[Sequence[Row]]) -> Iterator[tuple[Any, ...]]:
    """The rows with their place and part, each key once."""
    seen: set[tuple[str, bytes]] = set()
    place = 0
    for part, rows in enumerate(parts):
        for row in rows:
            key = row[0], row[5]
            if key not in seen:
                seen.add(key)
                yield place, part, *row
                place += 1


def _events_sqlite(connection: Connection, parts: Sequence[Sequence[EventRow]]) -> list[int]:
    with _cursor(connection) as cursor:  # keys in order go to the end of the tree
        return [_insert(cursor, "events", EVENTS, sorted(rows, key=itemgetter(0)), "ON CONFLICT (event_id) DO NOTHING") for rows in parts]


def _events_postgres(connection: Connection, parts: Sequence[Sequence[EventRow]]) -> list[int]:
    first: dict[bytes, EventRow] = {}
    part_of: dict[bytes, int] = {}
    for part, rows in enumerate(parts):
        for row in rows:
            if row[0] not in first:
                first[row[0]], part_of[row[0]] = row, part
    _load_postgres(connection, MAKE_EVENTS, "ingest_events", EVENTS, first.values())
    with _cursor(connection) as cursor:
        cursor.execute(INSERT_EVENTS)
        new = part_of.values() if cursor.rowcount == len(first) else [part_of[bytes(key)] for (key,) in cursor]
    counts = Counter(new)
    return [counts[part] for part in range(len(parts))]


def _load_sqlite(connection: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    with _cursor(connection) as cursor:
        cursor.execute(MAKE_ROWS["sqlite"])
        cursor.execute("DELETE FROM temp.ingest_rows")
        _insert(cursor, "temp.ingest_rows", ROWS, list(rows), "")


def _insert(cursor: Any, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], conflict: str) -> int:
    """Insert rows, many a statement; how many were new."""
    marks = f"({', '.join('?' * len(columns))})"
    start, stored = 0, 0
    for step in STEPS:
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([marks] * step)} {conflict}"  # noqa: S608 - names are ours
        while len(rows) - start >= step:
            cursor.execute(statement, list(chain.from_iterable(rows[start : start + step])))
            stored += cursor.rowcount
            start += step
    return stored


def _load_postgres(connection: Connection, make: str, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    with _cursor(connection) as cursor:
        cursor.execute(LOCAL_COSTS)
        cursor.execute(make)
        cursor.execute(f"DELETE FROM pg_temp.{table}")  # noqa: S608 - the name is ours
        with cursor.copy(f"COPY pg_temp.{table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


@contextmanager
def _cursor(connection: Connection) -> Generator[Any]:
    """The driver's own cursor, its errors as ours."""
    driver: Any = connection.connection.driver_connection
    dbapi: Any = cast("Any", connection.dialect).loaded_dbapi
    cursor = driver.cursor()
    try:
        yield cursor
    except (dbapi.DataError, OverflowError, UnicodeEncodeError) as error:
        raise UsageError("A value must be one that the database can hold: texts without NUL, numbers within 64 bits.") from error
    except (dbapi.IntegrityError, dbapi.ProgrammingError):
        raise
    except dbapi.Error as error:
        raise storage_error(error) from error
    finally:
        cursor.close()
