"""Rules of eligibility as conditions of a query, term by term those of `spec.eligibility.is_eligible`.

A rule about a missing attribute, or one of another kind, is not met. Numbers are
compared with number columns, texts with text columns, true and false with boolean
ones; where the column is of another kind, the rule is met by no row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fairtrial.spec.eligibility import EligibilityRule, EligibilitySpec
from fairtrial.warehouse.unit_table import check_column
from fairtrial.warehouse.untyped import NO


def eligible(table: Any, rules: EligibilitySpec | None) -> Any:
    """The rows of `table` that an experiment would take.

    Args:
        table: An Ibis table whose columns are the attributes.
        rules: The rules; None takes all.

    Raises:
        UnknownNameError: A rule is about a column that is not there.
    """
    if rules is None:
        return table
    for rule in rules.include:
        table = table.filter(_condition(table, rule).coalesce(NO))
    for rule in rules.exclude:
        table = table.filter(~_condition(table, rule).coalesce(NO))
    return table


def _condition(table: Any, rule: EligibilityRule) -> Any:
    column = check_column(table, rule.attribute, "column of the visits")
    if rule.operator == "exists":
        return column.notnull()
    listed: list[Any] = list(rule.value) if isinstance(rule.value, list) else [rule.value]
    values = [value for value in listed if _fits(column.type(), value)]
    if not values:
        return NO
    return _TESTS[rule.operator](column, values)


def _fits(kind: Any, value: object) -> bool:
    """Whether a value is of a column's kind; engines without booleans hold them as 0 and 1."""
    if isinstance(value, bool):
        return bool(kind.is_boolean() or kind.is_integer())
    if isinstance(value, str):
        return bool(kind.is_string())
    return bool(kind.is_numeric()) and not kind.is_boolean()


def _like(column: Any, value: object) -> Any:
    """A value to compare the column with: true as 1 where the column holds whole numbers."""
    return int(value) if isinstance(value, bool) and column.type().is_integer() else value


def _among(column: Any, values: list[Any]) -> Any:
    return column.isin([_like(column, value) for value in values])


_TESTS: Mapping[str, Callable[[Any, list[Any]], Any]] = {
    "equals": _among,
    "in": _among,
    "not_equals": lambda column, values: ~_among(column, values),
    "not_in": lambda column, values: ~_among(column, values),
    "below": lambda column, values: column < values[0],
    "at_most": lambda column, values: column <= values[0],
    "at_least": lambda column, values: column >= values[0],
    "above": lambda column, values: column > values[0],
    "starts_with": lambda column, values: column.left(len(values[0])) == values[0],
    "ends_with": lambda column, values: column.right(len(values[0])) == values[0],
    "contains": lambda column, values: column.find(values[0]) >= 0,
}
