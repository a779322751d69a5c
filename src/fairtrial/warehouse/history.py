"""Past traffic and outcomes at a reference date, for planning.

The baseline period is the half-open window of whole UTC days [reference - days, reference);
nothing at or after the reference date is read. A unit enters at its first eligible visit of
the period, and its events count in [entry, entry + window): those that entered less than a
window before the reference date have not had theirs, and are left out of the outcomes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairtrial.errors import DataError, UsageError
from fairtrial.metrics.needs import Needs
from fairtrial.spec.data import FactTable, LogsData, LogTable
from fairtrial.spec.eligibility import EligibilitySpec
from fairtrial.spec.feasibility import HistorySpec
from fairtrial.stats.reading import ArmStats
from fairtrial.warehouse.eligible import eligible
from fairtrial.warehouse.events import event_tables
from fairtrial.warehouse.logs import START, Population, unit_table_of, units_differ
from fairtrial.warehouse.measure import measure
from fairtrial.warehouse.past import past_source
from fairtrial.warehouse.sources import Source
from fairtrial.warehouse.times import MICROS_PER_DAY, micros_of, micros_of_days
from fairtrial.warehouse.unit_table import ARM, UNIT, check_column
from fairtrial.warehouse.untyped import ibis
from fairtrial.warehouse.where import filtered

EVERYBODY = "history"
"""The one arm that all units of history are in."""
EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visits:
    """Who came when, over the baseline period.

    Attributes:
        pairs: Units by (day of a visit, day of the same unit's visit before it), days from 0.
        by_day: Distinct units on each day, shape (days,).
        units: Distinct units of the whole period.
        label: The address that was read, without credentials.
    """

    pairs: Mapping[tuple[int, int | None], int]
    by_day: tuple[int, ...]
    units: int
    label: str


def read_visits(source: Source, history: HistorySpec, rules: EligibilitySpec | None, reference: dt.date) -> Visits:
    """Count distinct units by day, and by the day they came before.

    Raises:
        UnknownNameError: A table or column is not there.
        DataError: No eligible unit came in the period.
        ConnectorError: The engine failed.
    """
    visits = _visits(source, history, rules, reference)
    first = _day_number(reference) - history.days
    days = visits.select(UNIT, day=((visits["at"] - first * MICROS_PER_DAY) // MICROS_PER_DAY).cast("int64")).distinct()
    before = days.day.lag().over(ibis.window(group_by=days[UNIT], order_by=days.day))
    paired = days.mutate(before=before)
    rows = source.rows(paired.group_by(["day", "before"]).agg(units=paired.count()))
    pairs = {(int(day), None if past is None else int(past)): int(units) for day, past, units in rows}
    by_day = [0] * history.days
    for (day, _), units in pairs.items():
        by_day[day] += units
    label = source.named(history.visits.table)
    if not pairs:
        begin, end = reference - dt.timedelta(days=history.days), reference
        raise DataError(
            f"History must hold visits of eligible units, {label} has none from {begin} up to, not including, {end}.",
            hint="Check --reference-date, `where` and the eligibility.",
            code="no_history",
        )
    return Visits(pairs=pairs, by_day=tuple(by_day), units=sum(n for (_, past), n in pairs.items() if past is None), label=label)


def read_past_outcomes(
    source: Source,
    history: HistorySpec,
    rules: EligibilitySpec | None,
    reference: dt.date,
    *,
    needs: Sequence[Needs],
    facts: Mapping[str, FactTable],
    window_days: float | None,
) -> ArmStats:
    """Sufficient statistics of metrics over the units that entered in the period.

    Args:
        source: Open source.
        history: Where visits are.
        rules: Whom the experiment would take.
        reference: First day that is not read.
        needs: What the metrics need.
        facts: Tables of events by name.
        window_days: How long a unit's events count; None to the reference date.

    Raises:
        UsageError: The window is as long as the period.
        DataError: Too few units entered, or the data breaks a rule.
    """
    end = _day_number(reference) * MICROS_PER_DAY
    window = 0 if window_days is None else micros_of_days(window_days)
    if window >= history.days * MICROS_PER_DAY:
        raise UsageError(
            f"The baseline period must be longer than the window of outcomes, got {history.days} days and {window_days:g}.",
            hint="Set history.days (baseline_period_days) to more.",
        )
    past = past_source(source, end, {fact.table: fact.time for fact in facts.values()})
    tables: list[tuple[str | None, str]] = [(history.visits.table, history.visits.unit)]
    as_text = units_differ(past, tables + [(fact.table, fact.unit) for fact in facts.values()])
    visits = _visits(past, history, rules, reference, as_text=as_text)
    entered = visits.group_by(UNIT).agg(**{START: visits["at"].min()})
    entered = entered.filter(entered[START] <= end - window) if window else entered
    assigned = past.kept(entered.mutate(**{ARM: ibis.literal(EVERYBODY), "inside": ibis.literal(1, "int32")}))
    n = int(past.rows(assigned.count().as_table())[0][0])
    if n < 2:
        raise DataError(
            f"History must hold two units or more with a whole window of outcomes, got {n}.",
            hint="Lengthen history.days.",
            code="no_history",
        )
    data = LogsData(
        source=source.label,
        assignments=LogTable(table=history.visits.table or "visits", unit=history.visits.unit, time=history.visits.time),
        facts=dict(facts),
        window_days=window_days,
    )
    found = Population(assigned=assigned, rows=n, by_arm={EVERYBODY: n}, repeated_rows=0, two_arms=0, per_arm={EVERYBODY: n}, notes=())
    made, _ = event_tables(past, data, needs, assigned, as_text=as_text)
    return measure(unit_table_of(past, found, made), needs, [EVERYBODY], _silent).arms[EVERYBODY]


def _visits(source: Source, history: HistorySpec, rules: EligibilitySpec | None, reference: dt.date, *, as_text: bool = False) -> Any:
    """Unit and time of every eligible visit of the period."""
    table = eligible(filtered(source.table(history.visits.table), history.where), rules)
    unit = check_column(table, history.visits.unit)
    chosen = table.select(**{UNIT: unit.cast("string") if as_text else unit, "at": micros_of(source, table, history.visits.time)})
    end = _day_number(reference) * MICROS_PER_DAY
    return chosen.filter(chosen[UNIT].notnull() & (chosen["at"] >= end - history.days * MICROS_PER_DAY) & (chosen["at"] < end))


def _day_number(day: dt.date) -> int:
    return (day - EPOCH).days


def _silent(text: str) -> None:
    del text
