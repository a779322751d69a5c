"""The table that everything is computed from: one row a unit, an arm and a number per need.

All shapes of data but ready aggregates become a `UnitTable`; `pushdown` knows nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from fairtrial.errors import DataError, UnknownNameError
from fairtrial.metrics.needs import Column, Needs
from fairtrial.warehouse.capabilities import typeof
from fairtrial.warehouse.sources import Source

MARK = "synthetic"
"""Column that marks made-up rows."""
ARM = "arm"
UNIT = "unit"
NumberKind = Literal["narrow", "wide", "decimal", "float"]
"""`narrow`: integers of up to 32 bits and booleans, whose products fit 64 bits; `wide`: longer ones."""
LARGEST_FLOAT = 1.7976931348623157e308
_TEXT_SAMPLE, _TEXT_SHOWN = 10_000, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A number per unit: a column of the unit table.

    Attributes:
        name: The column's name in the unit table.
        source: What people call it, for messages.
        kind: How its sums are taken.
        low: Smallest value that can occur, where known.
        high: Largest value that can occur, where known.
        flag: Column that is above 0 where the number is missing though not NULL.
    """

    name: str
    source: str
    kind: NumberKind
    low: int | None = None
    high: int | None = None
    flag: str | None = None

    @property
    def is_bit(self) -> bool:
        """Whether only 0 and 1 can occur."""
        return self.low is not None and self.high is not None and self.low >= 0 and self.high <= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTable:
    """An Ibis table with the arm in column `arm` and one column per `Value`.

    Attributes:
        source: The engine it lives in.
        table: The Ibis table.
        values: By what was needed.
        direct: Whether it is a plain projection of a stored table, cheap to look into.
        footers: Whether extremes of its columns come free.
    """

    source: Source
    table: Any
    values: Mapping[Column, Value]
    direct: bool
    footers: bool = False

    def value(self, column: Column) -> Value:
        """The value that serves `column`."""
        return self.values[key_of(column)]

    def restrict(self, predicate: Callable[[Any], Any]) -> UnitTable:
        """The same table with only the rows that `predicate` keeps."""
        kept = self.table.filter(predicate(self.table))
        return UnitTable(source=self.source, table=kept, values=self.values, direct=self.direct)


def key_of(column: Column) -> Column:
    """`column` without what is applied after reading: the same numbers are read once."""
    return Column(source=column.source, any_event=column.any_event)


def needed_columns(needs: Sequence[Needs]) -> tuple[Column, ...]:
    """The distinct numbers to read, in the order of first use."""
    return tuple(dict.fromkeys(key_of(column) for need in needs for column in need.columns))


def check_column(table: Any, name: str, what: str = "column") -> Any:
    """The column `name` of `table`.

    Raises:
        UnknownNameError: It is not there; says which are.
    """
    if name not in table.columns:
        error = UnknownNameError.among(what, name, table.columns, code="unknown_column")
        if not error.hint and any(_is_number(known) for known in table.columns):
            error.hint = "Values stand where names should: the first row of a file names its columns, and all rows have as many cells."
        raise error
    return table[name]


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


_NARROW = {
    (8, True): (-(2**7), 2**7 - 1),
    (16, True): (-(2**15), 2**15 - 1),
    (32, True): (-(2**31), 2**31 - 1),
    (8, False): (0, 2**8 - 1),
    (16, False): (0, 2**16 - 1),
}
"""Ranges of integer types by bits and sign."""


@dataclass(frozen=True, slots=True)
class Typed:
    """An expression ready for sums, and what is known of its type."""

    expression: Any
    kind: NumberKind
    low: int | None = None
    high: int | None = None


def typed_number(source: Source, table: Any, name: str) -> Typed:
    """Classify a column as a number, or explain why it is none.

    Raises:
        UnknownNameError: There is no such column.
        DataError: It holds text, times or anything else that is no number.
    """
    column = check_column(table, name)
    kind = column.type()
    if kind.is_boolean() or kind.is_integer():
        return _typed_integer(column, kind, dynamic=source.engine.dynamic_types)
    if kind.is_decimal() and not source.engine.dynamic_types:
        return Typed(column, "decimal")
    if kind.is_numeric() or kind.is_null():
        return Typed(column if kind.is_float64() else column.cast("float64"), "float")
    return _not_a_number(source, table, name)


def _typed_integer(column: Any, kind: Any, *, dynamic: bool) -> Typed:
    """An integer by what its type allows; where types are only advice, nothing is known."""
    if kind.is_boolean():
        return Typed(column.cast("int64"), "wide") if dynamic else Typed(column.cast("int32"), "narrow", 0, 1)
    if kind.is_uint32():
        return Typed(column.cast("int64"), "wide")
    if dynamic or kind.is_int64() or kind.is_uint64():
        return Typed(column, "wide")
    low, high = _NARROW[8 * kind.nbytes, kind.is_signed_integer()]
    return Typed(column if kind.is_signed_integer() else column.cast("int32"), "narrow", low, high)


def _not_a_number(source: Source, table: Any, name: str) -> Typed:
    column = table[name]
    kind = str(column.type())
    if not column.type().is_string():
        raise DataError(f"Column {name!r} must hold numbers, it holds {kind}.", hint="Name a number column.", code="wrong_type")
    sample = table.filter(column.notnull()).select(value=column).distinct().limit(_TEXT_SAMPLE)
    texts = sorted(str(row[0]) for row in source.rows(sample))
    found = ([text for text in texts if not _reads_as_number(text)] or texts)[:_TEXT_SHOWN]
    if not found:
        return Typed(column.cast("float64"), "float")
    shown = ", ".join(repr(text) for text in found)
    raise DataError(f"Column {name!r} must hold numbers, it holds text: {shown}.", hint=_text_hint(name, found), code="wrong_type")


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text_hint(name: str, found: Sequence[str]) -> str:
    spellings = {text.strip().lower() for text in found}
    blanks = spellings & {"", "na", "n/a", "nan", "null", "none", "-", "?"}
    for yes, no in (("yes", "no"), ("y", "n"), ("true", "false"), ("t", "f"), ("converted", "not converted")):
        if spellings - blanks <= {yes, no}:
            right = next((text for text in found if text.strip().lower() == yes), yes)
            return (
                f"Turn it into 0 and 1 first: in SQL CASE WHEN {name} = '{right}' THEN 1 ELSE 0 END, "
                f"in pandas (frame[{name!r}] == {right!r}).astype(int)."
            )
    if blanks:
        return f"{sorted(blanks)} stand for a missing value: leave those cells empty, and the column reads as numbers."
    return "Name a number column, or turn the text into numbers first."


def text_rows(table: Any, name: str) -> Any:
    """Count of rows that hold text where the column declares a number (engines with dynamic types)."""
    return typeof(table[name]).isin(["text", "blob"]).cast("int64").sum()


def is_no_arm(stored: object) -> bool:
    """Whether a stored arm is NULL or NaN."""
    return stored is None or (isinstance(stored, float) and math.isnan(stored))


def ordered(arm: Any) -> Any:
    """The arm in a type that has a smallest value: Postgres knows none of booleans."""
    return arm.cast("int32") if arm.type().is_boolean() else arm


def as_arm(raw: object) -> str:
    """The name of an arm as text: True is 'true', 1 and 1.0 are '1', text is itself."""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, float | Decimal) and math.isfinite(raw) and raw == int(raw):
        return str(int(raw))
    return str(raw)


def as_known_arm(raw: object, arms: Sequence[str]) -> str:
    """The arm that a stored value names, whatever its type.

    A stored boolean is 'true' or 'false', or 'True'/'False' or '1'/'0' where the spec
    says so; a whole number is itself without a decimal point.
    """
    if isinstance(raw, bool):
        spellings = ("true", "True", "1") if raw else ("false", "False", "0")
        return next((text for text in spellings if text in arms), spellings[0])
    return as_arm(raw)


def made_up(table: Any) -> tuple[str, ...]:
    """A sentence where a table says of itself that it is made up, as `fairtrial generate` marks its own."""
    if MARK not in table.columns:
        return ()
    return (f"The data has a column `{MARK}`, as made-up data has (`fairtrial generate`): such data is evidence of nothing.",)
