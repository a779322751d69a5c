"""The one door: from the data section of a spec and the metrics' needs to a reading."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fairtrial.errors import DataError, UsageError
from fairtrial.metrics.needs import Needs
from fairtrial.spec.data import AggregatesData, DataSpec, LogsData, UnitsData
from fairtrial.spec.segments import SegmentsSpec
from fairtrial.stats.reading import Reading
from fairtrial.warehouse.aggregates import read_aggregates
from fairtrial.warehouse.logs import read_logs
from fairtrial.warehouse.measure import Progress
from fairtrial.warehouse.past import micros_at, past_source, rows_after, times_of
from fairtrial.warehouse.sources import Source, open_source, source_of_frame
from fairtrial.warehouse.unit_table import as_arm, check_column, is_no_arm
from fairtrial.warehouse.units import read_units


def read(
    data: DataSpec,
    needs: Sequence[Needs],
    arms: Sequence[str],
    *,
    base: Path | None = None,
    progress: Callable[[str], None] | None = None,
    cache: Path | None = None,
    segments: SegmentsSpec | None = None,
    until: dt.datetime | None = None,
) -> Reading:
    """Read arm statistics from the data of a spec, whatever its shape and engine.

    Args:
        data: Where the data is and in which shape.
        needs: What the metrics need, one a metric.
        arms: Arms of the spec; every one is in the reading, with n = 0 when absent.
        base: Folder from which relative paths count; default: the working directory.
        progress: Told, in a few words, what is being done.
        cache: Folder that remembers data whose units were found to be unique.
        segments: Columns by which the same is read, of shape `units` alone.
        until: Of shape `logs`: the first moment that is not read, aware; rows from then on are counted. Other shapes
            have no times to go by.

    Returns:
        The arm statistics and the account of what was read and left out.

    Raises:
        UsageError: A file, table or column is not there, or is of the wrong kind.
        DataError: The data breaks a rule of its shape or of a metric.
        ConnectorError: The engine does not answer.
    """
    _check_request(needs, arms)
    with open_source(data.source, base) as source:
        if until is None or not isinstance(data, LogsData):
            return _read_from(source, data, needs, arms, progress or _silent, cache, segments)
        moment = micros_at(until)
        past = past_source(source, moment, times_of(data))
        return _without(rows_after(source, data, moment), _read_from(past, data, needs, arms, progress or _silent, cache, segments))


def _without(later: int, reading: Reading) -> Reading:
    """The reading, with what was left out for its date."""
    notes = (f"{later:,} rows dated at or after the look were left out.",) if later else ()
    return replace(reading, intake=replace(reading.intake, notes=(*reading.intake.notes, *notes)), later_rows=later)


def read_frame(
    frame: Any,
    data: DataSpec,
    needs: Sequence[Needs],
    arms: Sequence[str],
    *,
    progress: Callable[[str], None] | None = None,
    segments: SegmentsSpec | None = None,
) -> Reading:
    """Read arm statistics from a table in memory: pandas, Arrow, polars, or an Ibis table.

    The frame is handed to the embedded engine as it is, numbers without a copy; an Ibis
    table is read by its own engine.

    Args:
        frame: The table.
        data: How to read it, of shape `units` or `aggregates`; its `source` is not looked at.
        needs: What the metrics need.
        arms: Arms of the spec.
        progress: Told what is being done.
        segments: Columns by which the same is read, of shape `units` alone.

    Raises:
        UsageError: The object is no table, a column is not there, or the shape is `logs`.
        DataError: The data breaks a rule of its shape or of a metric.
    """
    _check_request(needs, arms)
    if isinstance(data, LogsData):
        raise UsageError(
            "A frame is one table, data of shape 'logs' is several.", hint="Put the logs into a database and give its address."
        )
    source = source_of_frame(frame)
    try:
        return _read_from(source, data, needs, arms, progress or _silent, None, segments)
    finally:
        if source.is_ours:
            source.close()


def distinct_arms(data: Any, arm: str, *, limit: int, base: Path | None = None) -> tuple[str, ...]:
    """The arms that a table holds, as text, sorted.

    Args:
        data: A frame (as for `read_frame`) or an address (as for `read`).
        arm: Column that names the arm.
        limit: Most arms that an experiment may have.
        base: Folder from which relative paths count.

    Raises:
        UsageError: There is no such table or column.
        DataError: The column has more than `limit` values, or none.
    """
    source = open_source(str(data), base) if isinstance(data, str | Path) else source_of_frame(data)
    try:
        table = source.table(None)
        column = check_column(table, arm)
        stored = [row[0] for row in source.rows(table.select(arm=column).distinct().limit(limit + 2))]
    finally:
        if source.is_ours:
            source.close()
    names = sorted({as_arm(value) for value in stored if not is_no_arm(value)})
    if not names or len(names) > limit:
        got = f"more than {limit}" if names else "none"
        raise DataError(
            f"Column {arm!r} must name the arms, it holds {got} different values.",
            hint="Name the column that says which variant the unit was given.",
            code="wrong_arm_column",
        )
    return tuple(names)


def _silent(_: str) -> None:
    """Say nothing."""


def _check_request(needs: Sequence[Needs], arms: Sequence[str]) -> None:
    if not arms or len(set(arms)) != len(arms):
        raise UsageError(f"Arms must be named, each once, got {list(arms)}.")
    keys = [need.metric for need in needs]
    if not keys or len(set(keys)) != len(keys):
        raise UsageError(f"Metrics must be named, each once, got {keys}.")


def _read_from(
    source: Source,
    data: DataSpec,
    needs: Sequence[Needs],
    arms: Sequence[str],
    progress: Progress,
    cache: Path | None,
    segments: SegmentsSpec | None,
) -> Reading:
    if segments is not None and not isinstance(data, UnitsData):
        raise UsageError(
            f"Segments are columns of a unit table, data of shape {data.shape!r} has none.", hint="Give a table of one row a unit."
        )
    match data:
        case UnitsData():
            return read_units(source, data, needs, arms, progress, cache, segments)
        case LogsData():
            return read_logs(source, data, needs, arms, progress)
        case AggregatesData():
            return read_aggregates(source, data, needs, arms)
