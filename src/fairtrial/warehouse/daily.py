"""Sums by arm and day since a unit's start, out of logs: what daily effects are made of.

Day d of a unit is [start + d days, start + d + 1 days), and counts only if the data reaches
to its end: a unit that entered late has no late days. One statement counts units by last
whole day, one adds up each day, one multiplies the days of a unit with each other; no row
leaves the engine.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairtrial.diagnostics.daily_effects import DailySums, sums_of_cohorts
from fairtrial.diagnostics.novelty import Axis
from fairtrial.errors import DataError, UsageError
from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.data import LogsData
from fairtrial.spec.metric import EventValue
from fairtrial.warehouse.events import EVENT_UNIT, events_of
from fairtrial.warehouse.logs import START, population_of, tables_read, units_differ
from fairtrial.warehouse.past import EPOCH, times_of
from fairtrial.warehouse.sources import Source
from fairtrial.warehouse.times import MICROS_PER_DAY, micros_of
from fairtrial.warehouse.unit_table import ARM, UNIT, as_known_arm
from fairtrial.warehouse.untyped import NO
from fairtrial.warehouse.where import filtered

LONGEST = 120
"""Days that may be asked for: the sums grow with their square."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyReading:
    """Daily sums of every arm.

    Attributes:
        arms: By arm, all of the same days.
        axis: What day 0 is.
        until: Moment that the data reaches to; None where it holds no time at all.
        units: Units analysed by arm.
        duplicate_events: Events left out as repeats of an id.
        label: What was read, without credentials.
    """

    arms: dict[str, DailySums]
    axis: Axis
    until: dt.datetime | None
    units: dict[str, int]
    duplicate_events: int
    label: str


def read_daily(source: Source, data: LogsData, needs: Needs, arms: Sequence[str], *, days: int) -> DailyReading:
    """Sums of one metric by arm and day since first exposure (since assignment, where no exposures are named).

    Args:
        source: Open source; what it does not hold was not observed.
        data: Where the logs are.
        needs: What the metric needs; its outcome must be made of events after the start.
        arms: Arms of the spec.
        days: Days to read at most, 1 to 120; no more than whole days of the window of outcomes.

    Raises:
        UsageError: A table or column is not there, the metric is made of no events, or `days` lies outside its range.
        DataError: The logs break a rule, or values are missing under the rule `error`.
        ConnectorError: The engine failed.
    """
    column = Column(source=needs.outcome.source, any_event=needs.outcome.any_event)
    if not isinstance(column.source, EventValue) or column.source.before_days is not None:
        raise UsageError(
            f"Metric {needs.metric!r} is made of no events after the start, so it has no days.", hint="{fact: ..., value: ...}"
        )
    if not 1 <= days <= LONGEST:
        raise UsageError(f"Days since first exposure must be 1 to {LONGEST}, got {days}.")
    days = days if data.window_days is None else min(days, max(1, int(data.window_days)))
    as_text = units_differ(source, tables_read(data, [needs]))
    found = population_of(source, data, arms, as_text=as_text)
    whole = found.assigned.filter(found.assigned.inside == 1)
    counted = source.rows(whole.group_by(ARM).agg(n=whole.count()))
    units = dict.fromkeys(arms, 0)
    for stored, n in counted:
        units[as_known_arm(stored, arms)] += int(n)
    end = _end(source, data)
    events, duplicates = events_of(source, data, column, as_text=as_text)
    sums = _sums(source, whole, events, needs, column, arms, days=days, end=0 if end is None else end)
    return DailyReading(
        arms=sums,
        axis="assignment_day" if data.exposures is None else "exposure_day",
        until=None if end is None else EPOCH + dt.timedelta(microseconds=end),
        units=units,
        duplicate_events=duplicates,
        label=source.label,
    )


def _end(source: Source, data: LogsData) -> int | None:
    """The latest time of any log or fact table, in microseconds."""
    latest: list[int] = []
    for name, time in times_of(data).items():
        table = source.table(name)
        if name == data.assignments.table:
            table = filtered(table, data.where)
        found = source.rows(micros_of(source, table, time).max().as_table())[0][0]
        latest += [] if found is None else [int(found)]
    return max(latest, default=None)


def _sums(
    source: Source, whole: Any, events: Any, needs: Needs, column: Column, arms: Sequence[str], *, days: int, end: int
) -> dict[str, DailySums]:
    seen = whole.mutate(last=((end - whole[START]) // MICROS_PER_DAY - 1).cast("int64"))
    seen = seen.filter(seen["last"] >= 0).select(UNIT, ARM, START, "last")
    seen = source.kept(seen.mutate(last=(seen["last"] >= days).ifelse(days - 1, seen["last"])))
    shape = len(arms), days, days
    units, sums, products = np.zeros(shape[:2]), np.zeros(shape), np.zeros(shape)

    def place(stored: object) -> int:
        return arms.index(as_known_arm(stored, arms))

    for stored, last, n in source.rows(seen.group_by(ARM, "last").agg(n=seen.count())):
        units[place(stored), int(last)] += int(n)
    daily = source.kept(_unit_days(source, seen, events, needs, column))
    per_day = daily.group_by(ARM, "last", "day").agg(total=daily.value.sum())
    for stored, last, day, total in source.rows(per_day):
        sums[place(stored), int(last), int(day)] += float(total)
    other = daily.select(unit_e=daily[UNIT], day_e=daily.day, value_e=daily.value)
    pairs = daily.join(other, [daily[UNIT] == other.unit_e, daily.day <= other.day_e])
    for stored, day, later, total in source.rows(pairs.group_by(ARM, "day", "day_e").agg(total=(pairs.value * pairs.value_e).sum())):
        products[place(stored), int(day), int(later)] += float(total)
    return {arm: sums_of_cohorts(units[i], sums[i], products[i]) for i, arm in enumerate(arms)}


def _unit_days(source: Source, seen: Any, events: Any, needs: Needs, column: Column) -> Any:
    """One row a unit and day that has events: what they add up to."""
    joined = events.inner_join(seen, events[EVENT_UNIT] == seen[UNIT])
    dated = joined.mutate(day=((joined["at"] - joined[START]) // MICROS_PER_DAY).cast("int64"))
    dated = dated.filter((dated["at"] >= dated[START]) & (dated.day <= dated["last"]))
    if "e0" not in dated.columns:
        count = dated.count().cast("float64")
        value = (dated.count() > 0).ifelse(1.0, 0.0) if column.any_event else count
    else:
        gone = dated.e0.isnull()
        if dated.e0.type().is_floating() and source.engine.has_nan:
            gone = gone | dated.e0.isnan().coalesce(NO)
        missing = int(source.rows(gone.cast("int32").sum().as_table())[0][0] or 0) if needs.missing != "zero" else 0
        if missing:
            raise DataError(
                f"Metric {needs.metric!r} must have a value of every event, {missing:,} are missing.",
                hint="Set the metric's `missing` to zero, which is the one rule that daily sums know.",
                code="missing_values",
            )
        number = gone.ifelse(0.0, dated.e0.cast("float64"))
        value = (number != 0.0).ifelse(1.0, 0.0).max() if column.any_event else number.sum()
    return dated.group_by(UNIT, ARM, "last", "day").agg(value=value)
