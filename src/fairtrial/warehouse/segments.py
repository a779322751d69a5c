"""Arms by level of the segment columns, out of the scan that reads the whole.

An arm in a stratum in a level of every segment column is a cell, and cells take the arm's
place in the scan (as in `strata`). Cells add up exactly: over all of them to the whole, over those of
one level to that level. Where all columns together make too many cells, or a metric's test
reads more than moments, the whole has its scan and every column one more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

from fairtrial.errors import DataError
from fairtrial.metrics.needs import Needs
from fairtrial.spec.segments import SegmentsSpec
from fairtrial.stats.reading import ArmStats, LevelStats, SegmentStats
from fairtrial.stats.result import Unavailable
from fairtrial.warehouse.measure import Measured, Progress, count_rows, measure
from fairtrial.warehouse.strata import APART, Cells, category, combined, measure_strata, stored_arms
from fairtrial.warehouse.unit_table import ARM, UnitTable, as_known_arm
from fairtrial.warehouse.untyped import ibis

MOST_CELLS = 600
"""Arms times strata times levels in one scan."""
MOST_VALUES = 20_000
"""Different values beyond which a column is no segment (an id, an amount)."""

MISSING_CODE, OTHER_CODE = "m", "o"
MISSING, OTHER, EMPTY = "(missing)", "(other)", "(empty)"
NEEDS_MOMENTS = Unavailable(
    code="not_by_segment",
    reason="The metric's test reads units, ranks or quantiles; by segment only tests made of moments are read "
    "(proportions, welch, student, delta).",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The levels of one segment column.

    Attributes:
        place: Place of the column among the segment columns.
        column: Its name.
        values: Values that are levels of their own, the most common first.
        pooled: Number of rarer values, pooled; 0 where there are none.
        missing: Whether units have no value.
    """

    place: int
    column: str
    values: tuple[str, ...]
    pooled: int
    missing: bool

    @property
    def codes(self) -> tuple[str, ...]:
        """What stands for each level in a cell's name."""
        extra = ((MISSING_CODE,) if self.missing else ()) + ((OTHER_CODE,) if self.pooled else ())
        return (*(str(index) for index in range(len(self.values))), *extra)


class Cell(NamedTuple):
    """An arm, a level of each column that was read together, and a stratum."""

    arm: str
    codes: tuple[str, ...]
    stratum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What one scan gave.

    Attributes:
        cells: Statistics of the cells that have units.
        named: Every cell by what stood for it in the scan.
        measured: The scan's own account, by these names.
    """

    cells: Mapping[Cell, ArmStats]
    named: Mapping[str, Cell]
    measured: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What every cell is made of.

    Attributes:
        arms: Arms of the spec.
        known: The same as the table spells them.
        strata: Names of the stratum columns.
        stratum_names: Strata that occur; one empty name where there are no stratum columns.
    """

    arms: tuple[str, ...]
    known: tuple[object, ...]
    strata: tuple[str, ...]
    stratum_names: tuple[str, ...]


def segment_columns(table: Any, segments: SegmentsSpec | None) -> dict[str, Any]:
    """The segment columns as text, under names of the unit table.

    Raises:
        UnknownNameError: A column is not there.
        UsageError: A column holds fractions or times, which are no categories.
    """
    names = () if segments is None else segments.columns
    return {f"g{index}": category(table, name, "segment") for index, name in enumerate(names)}


def measure_segments(
    units: UnitTable, segments: SegmentsSpec, strata: Sequence[str], needs: Sequence[Needs], arms: Sequence[str], progress: Progress
) -> Measured:
    """The arm statistics of a unit table, with those of every level of every segment column.

    Args:
        units: The unit table, with the columns of `segment_columns`, and those of `stratum_columns` where there are strata.
        segments: The columns and how many levels to tell apart.
        strata: What the stratum columns are called; empty where nothing is post-stratified.
        needs: What the metrics need.
        arms: Arms of the spec.
        progress: Told what is being done.

    Raises:
        DataError: A column has too many values or levels to be a segment, or the data breaks a rule of `measure`.
    """
    known = tuple(stored_arms(units, arms))
    if not known:
        return measure(units, needs, arms, progress)
    progress("Finding the segments")
    layout = Layout(arms=tuple(arms), known=known, strata=tuple(strata), stratum_names=_stratum_names(units, known, len(strata)))
    found = [_levels(units, known, place, name, segments.max_levels) for place, name in enumerate(segments.columns)]
    summable = [need for need in needs if not (need.rows or need.buckets or need.quantile is not None)]
    if len(summable) == len(needs) and _cells(layout, found) <= MOST_CELLS:
        scanned = _scan(units, layout, found, needs, progress)
        cells = scanned.cells
        whole = replace(
            count_rows(units, arms),
            arms=_put_together(cells, layout, needs),
            totals=_totals(scanned, layout),
            notes=scanned.measured.notes + ((_within(layout),) if strata else ()),
        )
        return replace(whole, segments=tuple(_segment(cells, layout, found, level, needs, needs) for level in found))
    whole = measure_strata(units, strata, needs, arms, progress) if strata else measure(units, needs, arms, progress)
    by_column: list[SegmentStats] = []
    for levels in found:
        if _cells(layout, [levels]) > MOST_CELLS:
            raise DataError(
                f"Arms times strata times levels may be at most {MOST_CELLS}, segment column {levels.column!r} makes more.",
                hint="Lower segments.max_levels, or post-stratify by fewer columns.",
                code="too_many_segments",
            )
        cells = _scan(units, layout, [levels], summable, progress).cells
        by_column.append(_segment(cells, layout, [levels], levels, summable, needs))
    return replace(whole, segments=tuple(by_column))


def _stratum_names(units: UnitTable, known: Sequence[object], columns: int) -> tuple[str, ...]:
    if columns == 0:
        return ("",)
    table = units.table.filter(units.table[ARM].isin(list(known)))
    rows = units.source.rows(table.select(stratum=_stratum(table, columns)).distinct().limit(MOST_CELLS + 1))
    return tuple(sorted(str(row[0]) for row in rows))


def _stratum(table: Any, columns: int) -> Any:
    name = table["s0"] if columns else ibis.literal("")
    for index in range(1, columns):
        name = name + ibis.literal(APART) + table[f"s{index}"]
    return name


def _levels(units: UnitTable, known: Sequence[object], place: int, name: str, most: int) -> Levels:
    table = units.table.filter(units.table[ARM].isin(list(known)))
    counts = table.group_by(f"g{place}").agg(n=table.count()).limit(MOST_VALUES + 1)
    rows = units.source.rows(counts)
    if len(rows) > MOST_VALUES:
        raise DataError(
            f"A segment column must be a category, {name!r} holds more than {MOST_VALUES} different values.",
            hint="Cut it into classes; an id or an amount is no segment.",
            code="too_many_segments",
        )
    values = sorted(((str(value), int(n)) for value, n in rows if value is not None), key=lambda entry: (-entry[1], entry[0]))
    kept = min(len(values), most)
    return Levels(
        place=place,
        column=name,
        values=tuple(value for value, _ in values[:kept]),
        pooled=len(values) - kept,
        missing=len(rows) > len(values),
    )


def _cells(layout: Layout, found: Sequence[Levels]) -> int:
    return len(layout.arms) * len(layout.stratum_names) * math.prod(len(levels.codes) for levels in found)


def _scan(units: UnitTable, layout: Layout, found: Sequence[Levels], needs: Sequence[Needs], progress: Progress) -> Scanned:
    """The statistics of every cell that has units, from one scan.

    A cell is a whole number, which groups faster than text; with strata, whose names are text, both.
    """
    table = units.table.filter(units.table[ARM].isin(list(layout.known)))
    arms = [(table[ARM] == ibis.literal(stored), _small(layout.arms.index(as_known_arm(stored, layout.arms)))) for stored in layout.known]
    number = ibis.cases(*arms, else_=_small(0))
    for levels in found:
        number = number * len(levels.codes) + _code(table, levels)
    places = [Cell(arm, tuple(codes), "") for arm, *codes in product(layout.arms, *(levels.codes for levels in found))]
    if layout.strata:
        name = number.cast("string") + ibis.literal(APART) + _stratum(table, len(layout.strata))
        named = {
            f"{index}{APART}{stratum}": place._replace(stratum=stratum)
            for index, place in enumerate(places)
            for stratum in layout.stratum_names
        }
    else:
        name, named = number, {str(index): place for index, place in enumerate(places)}
    inner = replace(units, table=table.mutate(**{ARM: name}), footers=False)
    measured = measure(inner, needs, list(named), progress)
    cells = {named[name]: stats for name, stats in measured.arms.items() if stats.n > 0}
    return Scanned(cells=cells, named=named, measured=measured)


def _code(table: Any, levels: Levels) -> Any:
    """The level's place among the codes, as a whole number."""
    column, codes = table[f"g{levels.place}"], levels.codes
    cases = [(column.isnull(), _small(codes.index(MISSING_CODE)))] if levels.missing else []
    cases += [(column == ibis.literal(value), _small(index)) for index, value in enumerate(levels.values)]
    return ibis.cases(*cases, else_=_small(len(codes) - 1))


def _small(number: int) -> Any:
    return ibis.literal(number, type="int32")


def _put_together(cells: Mapping[Cell, ArmStats], layout: Layout, needs: Sequence[Needs]) -> dict[str, ArmStats]:
    """The arms over all the cells given: added up within strata, then over strata as the headline does."""
    parts: dict[str, dict[str, dict[str, ArmStats]]] = {arm: {} for arm in layout.arms}
    for cell, stats in cells.items():
        parts[cell.arm].setdefault(cell.stratum, {})[APART.join(cell.codes)] = stats
    if not layout.strata:
        return combined(Cells(arms={arm: of_arm.get("", {}) for arm, of_arm in parts.items()}), (), needs)
    by_stratum = {
        arm: {stratum: combined(Cells(arms={arm: of_stratum}), (), needs)[arm] for stratum, of_stratum in of_arm.items()}
        for arm, of_arm in parts.items()
    }
    return combined(Cells(arms=by_stratum), layout.strata, needs)


def _segment(
    cells: Mapping[Cell, ArmStats],
    layout: Layout,
    found: Sequence[Levels],
    levels: Levels,
    read: Sequence[Needs],
    asked: Sequence[Needs],
) -> SegmentStats:
    """One column's levels; metrics that were asked for and not read have a reason instead."""
    place = next(index for index, one in enumerate(found) if one.place == levels.place)
    unread = {need.metric: NEEDS_MOMENTS for need in asked if need not in read}
    made: list[LevelStats] = []
    for code in levels.codes:
        inside = {cell: stats for cell, stats in cells.items() if cell.codes[place] == code}
        arms = {
            arm: ArmStats(n=stats.n, outcomes={**stats.outcomes, **unread}) for arm, stats in _put_together(inside, layout, read).items()
        }
        made.append(_level(levels, code, arms))
    return SegmentStats(column=levels.column, levels=tuple(made))


def _level(levels: Levels, code: str, arms: Mapping[str, ArmStats]) -> LevelStats:
    if code == MISSING_CODE:
        return LevelStats(name=MISSING, kind="missing", arms=arms)
    if code == OTHER_CODE:
        return LevelStats(name=OTHER, kind="other", arms=arms, pooled=levels.pooled)
    return LevelStats(name=levels.values[int(code)] or EMPTY, kind="value", arms=arms)


def _totals(scanned: Scanned, layout: Layout) -> dict[str, dict[str, int]]:
    """Totals of cells added up to what the same data gives without segments, so that its fingerprint stays."""
    totals: dict[str, dict[str, int]] = {}
    for name, row in scanned.measured.totals.items():
        cell = scanned.named[name]
        key = f"{layout.arms.index(cell.arm)}{APART}{cell.stratum}" if layout.strata else cell.arm
        held = totals.setdefault(key, {})
        for what, number in row.items():
            held[what] = held.get(what, 0) + number
    return dict(sorted(totals.items()))


def _within(layout: Layout) -> str:
    return f"The arms were compared within {len(layout.stratum_names)} strata of {', '.join(layout.strata)}."
