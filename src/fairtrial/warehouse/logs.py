"""Shape B: from logs of assignments, exposures and events to a unit table.

A unit starts at its first assignment (intention to treat) or, when exposures are named, at
its first exposure (triggered). An event of a unit counts in the half-open window
[start, start + window), for a covariate in [start - before, start). Every event that is
left out is of exactly one class, the first that fits of: duplicate of an event id, unknown
unit, unit left out (two arms, or never exposed), no time, early, late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairtrial.errors import DataError
from fairtrial.metrics.needs import Needs
from fairtrial.spec.data import LogsData, LogTable
from fairtrial.stats.reading import Intake, Reading
from fairtrial.warehouse.events import event_tables, facts_of
from fairtrial.warehouse.fingerprint import fingerprint
from fairtrial.warehouse.measure import Progress, check_arms, measure
from fairtrial.warehouse.sources import Source
from fairtrial.warehouse.times import micros_of
from fairtrial.warehouse.unit_table import ARM, UNIT, UnitTable, Value, as_known_arm, check_column, is_no_arm, made_up, ordered
from fairtrial.warehouse.untyped import NO
from fairtrial.warehouse.where import filtered

START = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Who is analysed.

    Attributes:
        assigned: One row a unit that was assigned to an arm of the spec: unit, arm, start
            in microseconds, and `inside`, 1 where it is analysed.
        rows: Rows of the assignment log.
        by_arm: Rows by stored arm.
        repeated_rows: Rows beyond the first of a unit in one arm.
        two_arms: Units in more than one arm.
        per_arm: Units assigned per arm, of those in one arm.
        notes: Plain sentences.
    """

    assigned: Any
    rows: int
    by_arm: Mapping[object, int]
    repeated_rows: int
    two_arms: int
    per_arm: Mapping[str, int]
    notes: tuple[str, ...]


def read_logs(source: Source, data: LogsData, needs: Sequence[Needs], arms: Sequence[str], progress: Progress) -> Reading:
    """Read arm statistics from logs.

    Raises:
        UsageError: A table or column is not there, or a metric names no events.
        DataError: The logs break a rule.
    """
    facts_of(needs)
    unit_as_text = units_differ(source, tables_read(data, needs))
    progress("Finding the units and their starts")
    found = population_of(source, data, arms, as_text=unit_as_text)
    progress("Counting events")
    tables, counts = event_tables(source, data, needs, found.assigned, as_text=unit_as_text)
    units = unit_table_of(source, found, tables)
    measured = measure(units, needs, arms, progress)
    label = source.named(data.assignments.table)
    totals = {arm: {**row, **counts.as_numbers()} for arm, row in measured.totals.items()}
    columns = [data.assignments.unit, data.assignments.arm, data.assignments.time, *(value.source for value in units.values.values())]
    intake = Intake(
        source=label,
        engine=source.engine.public,
        fingerprint=fingerprint(label, columns=columns, where=data.where, rows=found.rows, totals=totals),
        shape="logs",
        population="intention_to_treat" if data.exposures is None else "triggered",
        rows=found.rows,
        units=sum(arm.n for arm in measured.arms.values()),
        repeated_rows=found.repeated_rows,
        units_in_two_arms=found.two_arms,
        rows_without_arm=sum(n for arm, n in found.by_arm.items() if is_no_arm(arm)),
        unknown_arms=_unknown(found.by_arm, arms),
        duplicate_events=counts.duplicates,
        unknown_unit_events=counts.unknown_unit,
        early_events=counts.early,
        late_events=counts.late,
        untimed_events=counts.untimed,
        assigned={} if data.exposures is None else found.per_arm,
        notes=(*made_up(source.table(data.assignments.table)), *found.notes, *counts.notes(), *measured.notes),
    )
    return Reading(arms=measured.arms, intake=intake)


def log_units(source: Source, data: LogsData, needs: Sequence[Needs], arms: Sequence[str]) -> UnitTable:
    """The analysed units of logs, with their arm and a number per need; needs may be none.

    Raises:
        UsageError: A table or column is not there, or a metric names no events.
        DataError: The logs break a rule.
    """
    as_text = units_differ(source, tables_read(data, needs))
    found = population_of(source, data, arms, as_text=as_text)
    tables = event_tables(source, data, needs, found.assigned, as_text=as_text)[0] if needs else []
    return unit_table_of(source, found, tables)


def _unknown(by_arm: Mapping[object, int], arms: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for stored, n in by_arm.items():
        if not is_no_arm(stored) and (name := as_known_arm(stored, arms)) not in arms:
            counts[name] = counts.get(name, 0) + n
    return dict(sorted(counts.items()))


def tables_read(data: LogsData, needs: Sequence[Needs]) -> list[tuple[str | None, str]]:
    """Every table that holds units, with its column of them."""
    tables: list[tuple[str | None, str]] = [(data.assignments.table, data.assignments.unit)]
    if data.exposures is not None:
        tables.append((data.exposures.table, data.exposures.unit))
    return tables + [(data.facts[fact].table, data.facts[fact].unit) for fact in facts_of(needs)]


def units_differ(source: Source, tables: Sequence[tuple[str | None, str]]) -> bool:
    """Whether the tables hold the unit in different types, so that it must be compared as text."""
    kinds = [check_column(source.table(table), unit).type() for table, unit in tables]
    return not (all(kind.is_integer() for kind in kinds) or all(kind.is_string() for kind in kinds) or len(kinds) == 1)


def _unit_of(table: Any, name: str, *, as_text: bool) -> Any:
    """The unit column, as text where the tables disagree on its type."""
    column = check_column(table, name)
    return column.cast("string") if as_text else column


def _log(source: Source, table: Any, log: LogTable, *, as_text: bool, with_arm: bool = True) -> Any:
    chosen = {UNIT: _unit_of(table, log.unit, as_text=as_text), "at": micros_of(source, table, log.time)}
    if with_arm:
        chosen[ARM] = check_column(table, log.arm)
    return table.select(**chosen)


def population_of(source: Source, data: LogsData, arms: Sequence[str], *, as_text: bool) -> Population:
    """Who is analysed, with the moment that each unit starts.

    Raises:
        UsageError: A table or column is not there.
        DataError: The log breaks a rule.
    """
    log = _log(source, filtered(source.table(data.assignments.table), data.where), data.assignments, as_text=as_text)
    by_arm = {row[0]: int(row[1]) for row in source.rows(log.group_by(ARM).agg(n=log.count()))}
    check_arms(by_arm, arms)
    stored = [arm for arm in by_arm if not is_no_arm(arm) and as_known_arm(arm, arms) in arms]
    named = log.filter(log[ARM].isin(stored) & log[UNIT].notnull())
    arm = ordered(named[ARM])
    units = named.group_by(UNIT).agg(n=named.count(), first_arm=arm.min(), last_arm=arm.max(), **{START: named["at"].min()})
    units = units.mutate(torn=(units.first_arm != units.last_arm).cast("int32"))
    exposed_notes: tuple[str, ...] = ()
    if data.exposures is not None:
        units, exposed_notes = _triggered(source, data.exposures, units, arms, as_text=as_text)
    else:
        units = units.mutate(exposed=1)
    units = source.kept(units.mutate(inside=((units.torn == 0) & (units.exposed == 1)).cast("int32")))
    return _counted(source, units, by_arm, arms, log, exposed_notes)


def _triggered(source: Source, exposures: LogTable, units: Any, arms: Sequence[str], *, as_text: bool) -> tuple[Any, tuple[str, ...]]:
    """Units with their first exposure as start; an exposure to another arm tears a unit."""
    table = source.table(exposures.table)
    with_arm = exposures.arm in table.columns or "arm" in exposures.model_fields_set
    log = _log(source, table, exposures, as_text=as_text, with_arm=with_arm)
    log = log.filter(log[UNIT].notnull())
    asked: dict[str, Any] = {"seen_at": log["at"].min()}
    if with_arm:
        spellings = [row[0] for row in source.rows(log.select(ARM).distinct())]
        log = log.filter(log[ARM].isnull() | log[ARM].isin([arm for arm in spellings if as_known_arm(arm, arms) in arms]))
        shown = ordered(log[ARM]).cast("string")
        asked |= {"seen_first": shown.min(), "seen_last": shown.max()}
    seen = log.group_by(UNIT).agg(**asked).rename(seen_unit=UNIT)
    strangers = source.rows(seen.anti_join(units, seen.seen_unit == units[UNIT]).count().as_table())[0][0]
    joined = units.left_join(seen, units[UNIT] == seen.seen_unit)
    torn = joined.torn
    if with_arm:
        mine = joined.first_arm.cast("string")
        other = ((joined.seen_first != mine) | (joined.seen_last != mine)).coalesce(NO)
        torn = (other | (joined.torn == 1)).cast("int32")
    chosen = joined.select(UNIT, "n", "first_arm", torn=torn, exposed=joined.seen_unit.notnull().cast("int32"), **{START: joined.seen_at})
    notes = (f"{strangers} exposed units were never assigned and are left out.",) if strangers else ()
    return chosen, notes


def _counted(source: Source, units: Any, by_arm: Mapping[object, int], arms: Sequence[str], log: Any, notes: tuple[str, ...]) -> Population:
    whole = (units.torn == 0).cast("int32")
    lost = (units[START].isnull() & (units.inside == 1)).cast("int32")
    asked = units.group_by("first_arm").agg(
        whole=whole.sum(), torn=units.torn.sum(), repeated=(whole * (units.n - 1)).sum(), lost=lost.sum()
    )
    rows = [(row[0], *(int(number or 0) for number in row[1:])) for row in source.rows(asked)]
    without_time = sum(row[4] for row in rows)
    if without_time:
        raise DataError(
            f"Every unit needs a time from which its events count, {without_time} units have none.",
            hint="Fill the time column of the log, or leave such rows out by `where`.",
            code="no_start",
        )
    is_boolean = log[ARM].type().is_boolean()
    per_arm = dict.fromkeys(arms, 0)
    for stored, whole_units, *_ in rows:
        per_arm[as_known_arm(bool(stored) if is_boolean else stored, arms)] += whole_units
    no_id = int(source.rows(log.filter(log[UNIT].isnull()).count().as_table())[0][0])
    if no_id:
        notes = (*notes, f"{no_id} assignments without a unit id were left out.")
    back = units.mutate(**{ARM: units.first_arm.cast(log[ARM].type())})
    return Population(
        assigned=back.select(UNIT, ARM, START, "inside"),
        rows=sum(by_arm.values()),
        by_arm=by_arm,
        repeated_rows=sum(row[3] for row in rows),
        two_arms=sum(row[2] for row in rows),
        per_arm=per_arm,
        notes=notes,
    )


def unit_table_of(source: Source, found: Population, tables: Sequence[tuple[Any, Mapping[Any, Value]]]) -> UnitTable:
    """The analysed units with a number per need; a unit without events has 0."""
    units = found.assigned.filter(found.assigned.inside == 1).select(UNIT, ARM)
    values: dict[Any, Value] = {}
    for table, made in tables:
        values |= made
        joined = units.left_join(table, units[UNIT] == table.event_unit)
        names = [name for name in table.columns if name != "event_unit"]
        units = joined.select(*units.columns, **{name: joined[name].coalesce(0) for name in names})
    stored = source.kept(units)
    return UnitTable(source=source, table=stored, values=values, direct=stored is not units)
