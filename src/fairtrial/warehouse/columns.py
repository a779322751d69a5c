"""Rows for designs that need them: a few columns of one table, checked, with the account of the reading.

A randomised experiment is read as sums; a panel, a discontinuity or a series is
not, so here rows leave the engine: the named columns only, filtered there, and
no more than a stated number of them.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from fairtrial.errors import DataError, UsageError
from fairtrial.spec.data import UnitsData
from fairtrial.stats.reading import Intake
from fairtrial.warehouse.fingerprint import fingerprint
from fairtrial.warehouse.sources import open_source, source_of_frame
from fairtrial.warehouse.unit_table import check_column
from fairtrial.warehouse.where import filtered

MOST_ROWS = 2_000_000
"""Rows that are read at most; more are better aggregated first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Named columns of one table, row by row.

    Attributes:
        values: By column: numbers as float, dates and times as days since 1970-01-01 in UTC, text as text, None where missing.
        intake: The account of the reading; `units` is the number of rows.
    """

    values: Mapping[str, tuple[float | str | None, ...]]
    intake: Intake


def read_columns(data: UnitsData, names: Sequence[str], *, base: Path | None = None, frame: Any = None) -> Columns:
    """Read columns of the table that a spec's data names.

    Args:
        data: Where the data is; `arm`, `unit` and `repeated` are not looked at.
        names: Columns, at least one.
        base: Folder from which a relative path counts.
        frame: A table in memory to read in place of `data.source`, as `read_frame` takes it.

    Raises:
        UsageError: A file, table or column is not there, or there are more than 2,000,000 rows.
        DataError: No row is left after `where`, or a value is of no known kind.
        ConnectorError: The engine does not answer.
    """
    wanted = tuple(dict.fromkeys(names))
    with open_source(data.source, base) if frame is None else source_of_frame(frame) as source:
        table = filtered(source.table(data.table), data.where)
        for name in wanted:
            check_column(table, name)
        rows = source.rows(table.select(**{f"c{i}": table[name] for i, name in enumerate(wanted)}).limit(MOST_ROWS + 1))
        label, engine = source.named(data.table), source.engine.name
    if len(rows) > MOST_ROWS:
        raise UsageError(
            f"At most {MOST_ROWS:,} rows are read for this design, there are more.", hint="Aggregate to one row a unit and period first."
        )
    if not rows:
        raise DataError("The table has no rows to analyse.", hint="Check data.source and data.where.", code="no_rows")
    columns = {name: tuple(_plain(name, row[i]) for row in rows) for i, name in enumerate(wanted)}
    return Columns(values=columns, intake=_intake(data, columns, len(rows), label, engine))


def day_of(moment: dt.date) -> float:
    """Days from 1970-01-01 in UTC to a date or time, as `read_columns` writes them."""
    if isinstance(moment, dt.datetime):
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
        return aware.timestamp() / 86_400.0
    return float((moment - dt.date(1970, 1, 1)).days)


def _plain(name: str, value: Any) -> float | str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool | int | float | Decimal):
        return float(value)
    if isinstance(value, dt.date):
        return day_of(value)
    if isinstance(value, str):
        return value
    raise DataError(f"Column {name!r} must hold numbers, dates or text, it holds {type(value).__name__}.", code="wrong_type")


def _intake(data: UnitsData, columns: Mapping[str, tuple[float | str | None, ...]], rows: int, label: str, engine: str) -> Intake:
    totals = {name: _total(values) for name, values in columns.items()}
    return Intake(
        source=label,
        engine=engine,
        fingerprint=fingerprint(label, columns=list(columns), where=data.where, rows=rows, totals=totals),
        shape="units",
        rows=rows,
        units=rows,
        units_checked=True,
    )


def _total(values: Sequence[float | str | None]) -> dict[str, int]:
    """Integer totals of a column: values present, and the sum where all are whole."""
    numbers = [value for value in values if isinstance(value, float)]
    present = sum(value is not None for value in values)
    if len(numbers) == present and all(number.is_integer() for number in numbers):
        return {"present": present, "sum": int(math.fsum(numbers))}
    return {"present": present}
