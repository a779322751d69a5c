"""The arm of a factorial experiment from one column per factor: a cell is told by the levels that stand in them."""

from __future__ import annotations

from typing import Any

from fairtrial.errors import UsageError
from fairtrial.spec.factorial import JOIN, CellsData
from fairtrial.warehouse.unit_table import as_known_arm, check_column
from fairtrial.warehouse.untyped import ibis


def cell_table(table: Any, data: CellsData) -> tuple[Any, str]:
    """The table with a column that names the arm, and that column's name.

    A row with a level that no arm has keeps its levels as its arm's name, so that it is
    counted among the unknown arms; one whose level is NULL has no arm.

    Args:
        table: An Ibis table.
        data: Where the factors' columns are, and which levels each arm has in them.

    Raises:
        UnknownNameError: A column is not there.
        UsageError: A column of numbers is compared with a level that is none, or a column holds neither text nor numbers.
    """
    columns = list(data.factors.values())
    name = JOIN.join(columns)
    while name in table.columns:
        name += JOIN
    matches = {column: _levels(table, column, data) for column in columns}
    whole = [check_column(table, column).notnull() for column in columns]
    branches = [
        (ibis.and_(*(matches[column][level] for column, level in levels.items())), ibis.literal(arm)) for arm, levels in data.cells.items()
    ]
    other = table[columns[0]].cast("string")
    for column in columns[1:]:
        other = other + JOIN + table[column].cast("string")
    return table.mutate(**{name: ibis.cases(*branches, (ibis.and_(*whole), other), else_=ibis.null("string"))}), name


def _levels(table: Any, column: str, data: CellsData) -> dict[str, Any]:
    """By level: whether a row has it."""
    stored = check_column(table, column)
    kind = stored.type()
    levels = sorted({levels[column] for levels in data.cells.values()})
    if kind.is_boolean():
        truths = {as_known_arm(raw=True, arms=levels): stored, as_known_arm(raw=False, arms=levels): ~stored}
        return {level: truths.get(level, ibis.literal(False)) for level in levels}  # noqa: FBT003 a literal of the engine
    if kind.is_numeric():
        return {level: stored == _number(level, column) for level in levels}
    if not kind.is_string():
        raise UsageError(
            f"The column of a factor must hold text, numbers or booleans, {column!r} holds {kind}.", hint="Name another column."
        )
    return {level: stored == level for level in levels}


def _number(level: str, column: str) -> float:
    try:
        return float(level)
    except ValueError as error:
        raise UsageError(
            f"Column {column!r} holds numbers, and {level!r} is a level of its factor.", hint="Name the levels as they stand in the data."
        ) from error
