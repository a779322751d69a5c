"""Times as whole microseconds since 1970-01-01 UTC, in which every engine compares alike."""

from __future__ import annotations

from typing import Any

from fairtrial.errors import DataError
from fairtrial.warehouse.sources import Source
from fairtrial.warehouse.unit_table import check_column

MICROS_PER_DAY = 86_400_000_000


def micros_of(source: Source, table: Any, name: str) -> Any:
    """The column `name` in microseconds; a time without an offset is read as UTC.

    Raises:
        UnknownNameError: There is no such column.
        DataError: It holds neither times, dates nor text.
    """
    column = check_column(table, name)
    kind = column.type()
    if not (kind.is_timestamp() or kind.is_date() or kind.is_string()):
        raise DataError(
            f"Column {name!r} must hold times, it holds {kind}.",
            hint="Store times as timestamps, dates or ISO 8601 text such as 2026-11-22T17:00:00Z.",
            code="wrong_type",
        )
    return source.engine.micros(column)


def micros_of_days(days: float) -> int:
    """A duration in days as whole microseconds."""
    return round(days * MICROS_PER_DAY)
