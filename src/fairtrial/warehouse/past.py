"""A source read as it was at a moment: rows of tables with times that came later do not exist."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from fairtrial.errors import UsageError
from fairtrial.spec.data import LogsData
from fairtrial.warehouse.sources import Source
from fairtrial.warehouse.times import micros_of
from fairtrial.warehouse.where import filtered

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(kw_only=True)
class PastSource(Source):
    """A source whose tables with times end at a moment; rows without a time stay.

    Attributes:
        before: That moment, in microseconds since 1970; it is the first that is not read.
        times: Column of the time, by table.
    """

    before: int = 0
    times: Mapping[str, str] | None = None

    def table(self, name: str | None) -> Any:
        """The table named `name`, with the rows before the moment where it is one with times."""
        table = super().table(name)
        time = None if name is None else (self.times or {}).get(name)
        if time is None:
            return table
        at = micros_of(self, table, time)
        return table.filter(at.isnull() | (at < self.before))


def past_source(source: Source, before: int, times: Mapping[str, str]) -> PastSource:
    """The source as it was at a moment.

    Args:
        source: Open source.
        before: The moment, in microseconds since 1970.
        times: Column of the time, by table.
    """
    own = {field.name: getattr(source, field.name) for field in fields(Source)}
    return PastSource(**own, before=before, times=times)


def micros_at(moment: dt.datetime) -> int:
    """An aware moment in microseconds since 1970.

    Raises:
        UsageError: It has no time zone.
    """
    if moment.tzinfo is None:
        raise UsageError(f"A moment must have a time zone, got {moment.isoformat()}.", hint="UTC is datetime.UTC.")
    return (moment - EPOCH) // dt.timedelta(microseconds=1)


def times_of(data: LogsData) -> dict[str, str]:
    """Column of the time of every log and fact table."""
    logs = [data.assignments, *([] if data.exposures is None else [data.exposures]), *data.facts.values()]
    return {log.table: log.time for log in logs}


def rows_after(source: Source, data: LogsData, moment: int) -> int:
    """Rows of assignments, exposures and facts at or after a moment (microseconds since 1970)."""
    found = 0
    for name, time in times_of(data).items():
        table = source.table(name)
        if name == data.assignments.table:
            table = filtered(table, data.where)
        found += int(source.rows(table.filter(micros_of(source, table, time) >= moment).count().as_table())[0][0])
    return found
