"""Is every unit there once, and in one arm? Counted by the engine, apart from the scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fairtrial.errors import DataError
from fairtrial.spec.data import UnitsData
from fairtrial.warehouse.unit_table import ARM, UNIT, UnitTable, as_known_arm, is_no_arm, ordered

MOST_STORED_ARMS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """What a look at the unit column found.

    Attributes:
        rows: Rows with a unit id, of the arms of the spec.
        units: Distinct units among them.
        in_two_arms: Units seen in more than one arm.
        rows_in_two_arms: Their rows.
        without_id: Rows whose unit id is NULL.
        exact_copies: Rows equal to another in every column that is read.
    """

    rows: int
    units: int
    in_two_arms: int = 0
    rows_in_two_arms: int = 0
    without_id: int = 0
    exact_copies: int = 0

    @property
    def marred(self) -> bool:
        """Whether rows must be collapsed or left out."""
        return self.repeated_rows > 0 or self.in_two_arms > 0 or self.without_id > 0

    @property
    def repeated_rows(self) -> int:
        """Rows beyond the first of a unit, of units in one arm."""
        return (self.rows - self.rows_in_two_arms) - (self.units - self.in_two_arms)


def is_unique(units: UnitTable) -> bool:
    """Whether every row has a unit id of its own: one query, no row leaves the engine."""
    table = units.table
    rows, ids, distinct = units.source.rows(table.agg(n=table.count(), ids=table[UNIT].count(), units=table[UNIT].nunique()))[0]
    return int(rows) == int(ids) == int(distinct)


def known_rows(units: UnitTable, arms: Sequence[str]) -> UnitTable:
    """Only the rows of the spec's arms."""
    table = units.table
    stored = [row[0] for row in units.source.rows(table.select(ARM).distinct().limit(MOST_STORED_ARMS))]
    wanted = [arm for arm in stored if not is_no_arm(arm) and as_known_arm(arm, arms) in arms]
    return units.restrict(lambda t: t[ARM].isin(wanted))


def count_repeats(units: UnitTable, arms: Sequence[str]) -> Repeats:
    """Count rows, units, units in two arms and exact copies among the rows of the spec's arms."""
    mine = known_rows(units, arms)
    table = mine.table
    named = table.filter(table[UNIT].notnull())
    per_unit = _per_unit(named)
    two = (per_unit.first_arm != per_unit.last_arm).cast("int32")
    asked = per_unit.agg(rows=per_unit.n.sum(), units=per_unit.count(), two=two.sum(), two_rows=(two * per_unit.n).sum())
    rows, distinct, two_arms, two_rows = (int(number or 0) for number in units.source.rows(asked)[0])
    total = int(units.source.rows(table.agg(n=table.count()))[0][0])
    copies = 0
    if rows > distinct:
        different = named.distinct()
        copies = rows - int(units.source.rows(different.agg(n=different.count()))[0][0])
    return Repeats(
        rows=rows,
        units=distinct,
        in_two_arms=two_arms,
        rows_in_two_arms=two_rows,
        without_id=total - rows,
        exact_copies=copies,
    )


def _per_unit(named: Any) -> Any:
    arm = ordered(named[ARM])
    return named.group_by(UNIT).agg(n=named.count(), first_arm=arm.min(), last_arm=arm.max())


def refuse_repeats(data: UnitsData, found: Repeats) -> None:
    """Raise when units have several rows and the spec does not say what they mean.

    Raises:
        DataError: There are repeated rows.
    """
    if found.repeated_rows == 0:
        return
    copies = f" {found.exact_copies} rows are exact copies of others in every column read." if found.exact_copies else ""
    first = "Drop the copies (SELECT DISTINCT, pandas: drop_duplicates())" if found.exact_copies else "Keep one row a unit"
    raise DataError(
        f"Every unit must have one row, column {data.unit!r} holds {found.rows} rows of {found.units} units.{copies}",
        hint=f"{first}, or say what several rows mean: `repeated: mean` (measurements to average) or `repeated: sum` (to add up).",
        code="repeated_units",
    )


def _refuse_none_left(data: UnitsData, found: Repeats) -> None:
    if found.units == 0 and found.without_id:
        raise DataError(
            f"Units must be named, column {data.unit!r} is empty in all {found.without_id:,} rows.",
            hint="Name the column of what was randomised as data.unit, or leave `unit` out.",
            code="no_rows",
        )
    if found.in_two_arms == found.units > 0:
        raise DataError(
            f"A unit must be in one arm, all {found.units:,} units of column {data.unit!r} are in several.",
            hint="Name the column of what was randomised as data.unit; who saw several arms cannot tell them apart.",
            code="no_rows",
        )


def one_row_a_unit(units: UnitTable, data: UnitsData, arms: Sequence[str], found: Repeats) -> UnitTable:
    """Leave out units in two arms and rows without an id; collapse the rows of a unit into one.

    Raises:
        DataError: Nothing would be left.
    """
    _refuse_none_left(data, found)
    table = known_rows(units, arms).table
    named = table.filter(table[UNIT].notnull())
    if found.repeated_rows == 0:
        if found.in_two_arms == 0:
            return replace(units, table=named, direct=False, footers=False)
        per_unit = _per_unit(named)
        twice = per_unit.filter(per_unit.first_arm != per_unit.last_arm).select(UNIT)
        return replace(units, table=named.anti_join(twice, UNIT), direct=False, footers=False)
    values = list(dict.fromkeys(units.values.values()))
    arm = ordered(named[ARM])
    asked: dict[str, Any] = {ARM: arm.min(), "last_arm": arm.max()}
    for value in values:
        number = named[value.name].cast("float64") if value.kind != "float" else named[value.name]
        if value.kind == "float" and units.source.engine.has_nan:
            number = number.isnan().ifelse(None, number)
        asked[value.name] = number.mean() if data.repeated == "mean" else number.sum()
    grouped = named.group_by(UNIT).agg(**asked)
    kept = grouped.filter(grouped[ARM] == grouped.last_arm).drop("last_arm")
    kept = kept.mutate(**{ARM: kept[ARM].cast(named[ARM].type())})
    floats = {value: replace(value, kind="float", low=None, high=None) for value in values}
    return UnitTable(
        source=units.source,
        table=kept,
        values={column: floats[value] for column, value in units.values.items()},
        direct=False,
    )
