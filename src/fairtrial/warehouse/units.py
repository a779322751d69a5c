"""Shape A: a table with one row per unit, or with several that are collapsed into one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairtrial.errors import UsageError
from fairtrial.metrics.needs import Column, Needs
from fairtrial.spec.data import UnitsData
from fairtrial.spec.factorial import CellsData
from fairtrial.spec.segments import SegmentsSpec
from fairtrial.stats.reading import Intake, Reading
from fairtrial.warehouse.cells import cell_table
from fairtrial.warehouse.checks import Repeats, count_repeats, is_unique, one_row_a_unit, refuse_repeats
from fairtrial.warehouse.clusters import find_clusters
from fairtrial.warehouse.fingerprint import UniquenessCache, fingerprint
from fairtrial.warehouse.measure import Measured, Progress, count_rows, measure
from fairtrial.warehouse.pairs import complete_pairs, pair_column, unpaired_rows
from fairtrial.warehouse.segments import measure_segments, segment_columns
from fairtrial.warehouse.sources import Source
from fairtrial.warehouse.strata import measure_strata, stratum_columns, with_strata
from fairtrial.warehouse.unit_table import (
    ARM,
    UNIT,
    Typed,
    UnitTable,
    Value,
    check_column,
    made_up,
    needed_columns,
    typed_number,
)
from fairtrial.warehouse.where import filtered


def columns_of(needs: Sequence[Needs]) -> dict[Column, str]:
    """The plain column behind each need.

    Raises:
        UsageError: A need asks for events, which a unit table has none of.
    """
    names: dict[Column, str] = {}
    for column in needed_columns(needs):
        if not isinstance(column.source, str):
            raise UsageError("Events need data of shape 'logs'.", hint="Name a column of the unit table.")
        names[column] = column.source
    return names


def unit_table(
    source: Source, table: Any, data: UnitsData, needs: Sequence[Needs], *, rows_are_stored: bool, segments: SegmentsSpec | None = None
) -> UnitTable:
    """One row a row of `table`: the arm, the unit if named, a number per need, strata and segments.

    Raises:
        UnknownNameError: A column is not there.
        DataError: A column that must hold numbers does not.
    """
    arm = check_column(table, data.arm)
    chosen: dict[str, Any] = {ARM: arm}
    if data.unit is not None:
        chosen[UNIT] = check_column(table, data.unit)
    values: dict[Column, Value] = {}
    made: dict[str, tuple[Value, Typed]] = {}
    for column, name in columns_of(needs).items():
        if name not in made:
            typed = typed_number(source, table, name)
            made[name] = (Value(name=f"v{len(made)}", source=name, kind=typed.kind, low=typed.low, high=typed.high), typed)
        values[column] = made[name][0]
    chosen |= {value.name: typed.expression for value, typed in made.values()}
    chosen |= stratum_columns(table, data.strata) | segment_columns(table, segments) | pair_column(table, data.pair)
    footers = rows_are_stored and source.footers
    return UnitTable(source=source, table=table.select(**chosen), values=values, direct=True, footers=footers)


def read_units(
    source: Source,
    data: UnitsData,
    needs: Sequence[Needs],
    arms: Sequence[str],
    progress: Progress,
    cache: Path | None,
    segments: SegmentsSpec | None = None,
) -> Reading:
    """Read arm statistics from a unit table.

    Where the unit column is named, one query apart from the scan says whether units repeat
    or sit in two arms; only then are rows collapsed or left out, and the scan repeated.

    Raises:
        UsageError: A table or column is not there.
        DataError: Units repeat and the spec does not say what that means, or the data breaks a metric's rule.
    """
    stored = filtered(source.table(data.table), data.where)
    if isinstance(data, CellsData):
        stored, arm = cell_table(stored, data)
        data = data.model_copy(update={"arm": arm})
    whole = unit_table(source, stored, data, needs, rows_are_stored=not data.where, segments=segments)
    found = Repeats(rows=0, units=0)
    measured: Measured | None = None
    if data.unit is None or data.repeated == "error":
        measured = _measured(whole, data, needs, arms, progress, segments)
    if data.unit is not None:
        found = _checked(whole, data, needs, arms, measured, progress, cache)
    counted, kept = measured, whole
    if measured is None or found.marred:
        kept = one_row_a_unit(whole, data, arms, found) if found.marred else whole
        measured = _measured(kept, data, needs, arms, progress, segments)
        counted = counted or (count_rows(whole, arms) if found.marred else measured)
    rows = count_rows(whole, arms) if data.pair is not None else measured if counted is None else counted
    clusters: dict[str, int] = {}
    if not found.marred:
        used = {name for name in (*columns_of(needs).values(), data.unit, data.pair, *data.strata) if name is not None}
        clusters = find_clusters(source, stored, data.arm, arms, used=used, rows=rows.rows)
    intake = Intake(
        source=source.named(data.table),
        engine=source.engine.public,
        fingerprint=_fingerprint(source, data, needs, rows.rows, measured),
        shape="units",
        rows=rows.rows,
        units=sum(arm.n for arm in measured.arms.values()),
        units_checked=data.unit is not None or data.pair is not None,
        repeated_rows=found.repeated_rows,
        units_in_two_arms=found.in_two_arms,
        unpaired={} if data.pair is None else unpaired_rows(kept, arms),
        rows_without_arm=rows.rows_without_arm,
        unknown_arms=rows.unknown_arms,
        clusters=clusters,
        notes=(*made_up(stored), *measured.notes, *_notes(data, found)),
    )
    return Reading(arms=measured.arms, intake=intake, segments=measured.segments)


def _measured(
    units: UnitTable, data: UnitsData, needs: Sequence[Needs], arms: Sequence[str], progress: Progress, segments: SegmentsSpec | None
) -> Measured:
    units = units if data.pair is None else complete_pairs(units, arms)
    post_stratified = data.strata if data.adjust == "post_stratify" else ()
    if segments is not None:
        measured = measure_segments(units, segments, post_stratified, needs, arms, progress)
    elif post_stratified:
        return measure_strata(units, data.strata, needs, arms, progress)
    else:
        measured = measure(units, needs, arms, progress)
    return with_strata(measured, units, data.strata, needs, arms, progress) if data.strata else measured


def _checked(
    units: UnitTable,
    data: UnitsData,
    needs: Sequence[Needs],
    arms: Sequence[str],
    measured: Measured | None,
    progress: Progress,
    cache: Path | None,
) -> Repeats:
    """What the unit column says; remembered in the cache where it says that all is well."""
    seen = UniquenessCache(cache)
    key = ""
    if measured is not None:
        print_of_data = _fingerprint(units.source, data, needs, measured.rows, measured)
        key = seen.key(print_of_data, str(data.unit), units.source)
        if seen.knows(key):
            return Repeats(rows=0, units=0)
    progress("Checking that every unit is there once")
    if is_unique(units):
        if key:
            seen.remember(key)
        return Repeats(rows=0, units=0)
    found = count_repeats(units, arms)
    if data.repeated == "error":
        refuse_repeats(data, found)
    return found


def _fingerprint(source: Source, data: UnitsData, needs: Sequence[Needs], rows: int, measured: Measured) -> str:
    columns = [*columns_of(needs).values(), data.arm, *(name for name in (data.unit, data.pair) if name), *data.strata]
    return fingerprint(source.named(data.table), columns=columns, where=data.where, rows=rows, totals=measured.totals)


def _notes(data: UnitsData, found: Repeats) -> tuple[str, ...]:
    notes: list[str] = []
    if found.without_id:
        notes.append(f"{found.without_id} rows without a unit id in column '{data.unit}' were left out.")
    if found.repeated_rows:
        notes.append(f"Several rows of a unit were taken together by their {data.repeated}, as `repeated` says.")
    return tuple(notes)
