"""Many rows at the speed of the driver, inside the session's own transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import BindParameter, bindparam
from sqlalchemy.orm import Session

from fairtrial.storage.tables.base import UtcTime


def load_temporary(session: Session, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Fill a temporary table with rows of text, each key once; it lives until the session ends.

    Args:
        session: A writing session.
        table: Its name, ours.
        columns: Names of its columns, ours; the first is the key.
        rows: The rows; of those with the same first column one is kept. They are taken one by one, never held.
    """
    connection = session.connection()
    driver: Any = connection.connection.driver_connection
    listed = ", ".join(columns)
    cursor = driver.cursor()
    try:
        if connection.dialect.name == "sqlite":
            cursor.execute(f"DROP TABLE IF EXISTS temp.{table}")
            defined = ", ".join((f"{columns[0]} TEXT PRIMARY KEY", *(f"{column} TEXT" for column in columns[1:])))
            cursor.execute(f"CREATE TEMPORARY TABLE {table} ({defined}) WITHOUT ROWID")
            marks = ", ".join("?" * len(columns))
            cursor.executemany(f"INSERT OR IGNORE INTO temp.{table} ({listed}) VALUES ({marks})", rows)  # noqa: S608 - names are ours
            return
        cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{table}, pg_temp.{table}_raw")
        defined = ", ".join(f"{column} text" for column in columns)
        cursor.execute(f"CREATE TEMPORARY TABLE {table}_raw ({defined}) ON COMMIT DROP")
        with cursor.copy(f"COPY pg_temp.{table}_raw ({listed}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(
            f"CREATE TEMPORARY TABLE {table} ON COMMIT DROP AS SELECT DISTINCT ON ({columns[0]}) {listed} FROM pg_temp.{table}_raw"  # noqa: S608
        )
        cursor.execute(f"ANALYZE pg_temp.{table}")
    finally:
        cursor.close()


def time_parameter(name: str, moment: dt.datetime) -> BindParameter[dt.datetime]:
    """A moment as a parameter of a textual statement, stored as the tables store it."""
    return bindparam(name, moment, type_=UtcTime())
