"""What each engine can do, as data: a row per engine.

A difference between engines that matters to the arm statistics is a field here
and never an `if` on an engine's name elsewhere. The contract suite
(`tests/warehouse/test_contract.py`) runs every row against the same reference;
an engine joins by a row here, a way to open it in `sources` and a pass there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fairtrial.errors import UnknownNameError
from fairtrial.warehouse.untyped import datatypes as dt
from fairtrial.warehouse.untyped import ibis

_STANDARD_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine's abilities.

    Attributes:
        name: As Ibis calls the backend.
        public: As people call it.
        wide_sums: Whether a sum of 64-bit integers is exact beyond 64 bits; where it
            is not, sums are taken in halves of 32 bits and products in floating point.
        has_nan: Whether a float column can hold NaN (SQLite stores NULL instead).
        dynamic_types: Whether a row may hold a value of another type than its
            column declares (text in a number column, 5 in a boolean one).
        keeps_temporary: Whether a reader may keep a derived table for several scans.
        tables: Query for the names of the tables and views, and the place of the name in a row.
        micros: Turns a column of ISO text, dates or times into whole microseconds
            since 1970-01-01 UTC; without an offset it is read as UTC.
    """

    name: str
    public: str
    wide_sums: bool
    has_nan: bool
    dynamic_types: bool
    keeps_temporary: bool
    tables: tuple[str, int]
    micros: Callable[[Any], Any]


def engine_of(name: str) -> Engine:
    """The row of the engine that Ibis calls `name`.

    Raises:
        UnknownNameError: No such engine is supported.
    """
    engines = _engines()
    if name not in engines:
        raise UnknownNameError.among("engine", name, engines)
    return engines[name]


@cache
def _engines() -> Mapping[str, Engine]:
    rows = (
        Engine(
            name="duckdb",
            public="duckdb",
            wide_sums=True,
            has_nan=True,
            dynamic_types=False,
            keeps_temporary=True,
            tables=(_STANDARD_TABLES, 0),
            micros=_duckdb_micros,
        ),
        Engine(
            name="postgres",
            public="postgresql",
            wide_sums=True,
            has_nan=True,
            dynamic_types=False,
            keeps_temporary=False,
            tables=(_STANDARD_TABLES, 0),
            micros=_postgres_micros,
        ),
        Engine(
            name="pyspark",
            public="spark",
            wide_sums=False,
            has_nan=True,
            dynamic_types=False,
            keeps_temporary=False,
            tables=("SHOW TABLES", 1),
            micros=_spark_micros,
        ),
        Engine(
            name="sqlite",
            public="sqlite",
            wide_sums=False,
            has_nan=False,
            dynamic_types=True,
            keeps_temporary=False,
            tables=("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'", 0),
            micros=_sqlite_micros,
        ),
    )
    return {row.name: row for row in rows}


UTC_TIMESTAMP = dt.Timestamp(timezone="UTC")


_ANY = None
"""Ibis' word for an argument of any type."""


@ibis.udf.scalar.builtin(signature=((_ANY,), dt.int64))
def epoch_us(time: Any) -> Any:
    """DuckDB's microseconds since 1970."""


@ibis.udf.scalar.builtin(signature=((_ANY,), dt.int64))
def unix_micros(time: Any) -> Any:
    """Spark's microseconds since 1970."""


@ibis.udf.scalar.builtin(signature=((dt.string, _ANY), dt.float64))
def date_part(part: str, time: Any) -> Any:
    """Postgres' field of a time; the epoch is seconds as a double, good to a quarter of a microsecond."""


@ibis.udf.scalar.builtin(signature=((dt.string,), dt.int64))
def fairtrial_micros(time: Any) -> Any:
    """Our own function in SQLite, which has no type for times (`sources` registers it)."""


@ibis.udf.scalar.builtin(signature=((dt.string,), dt.string))
def md5(text: Any) -> Any:
    """MD5 as 32 hexadecimal digits in lower case: every engine's own, and ours in SQLite (`sources` registers it)."""


@ibis.udf.scalar.builtin(signature=((_ANY,), dt.string))
def typeof(value: Any) -> Any:
    """SQLite's type of one value."""


def _duckdb_micros(column: Any) -> Any:
    return epoch_us(column.cast(UTC_TIMESTAMP))


def _spark_micros(column: Any) -> Any:
    return unix_micros(column.cast(UTC_TIMESTAMP))


def _postgres_micros(column: Any) -> Any:
    return (date_part("epoch", column.cast(UTC_TIMESTAMP)) * 1_000_000).cast("int64")


def _sqlite_micros(column: Any) -> Any:
    return fairtrial_micros(column.cast("string"))
