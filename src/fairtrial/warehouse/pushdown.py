"""One GROUP BY arm: counts, sums and products of terms, computed by the engine.

Rules of the statement (PERFORMANCE section 2): no filter or case per arm, no covariance
aggregates, integers in the narrowest type that holds their products, floats about a
constant; every aggregate once, aliased by position, in an order that follows the needs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairtrial.errors import DataError
from fairtrial.warehouse.terms import (
    Centre,
    Term,
    deviation,
    exact,
    kept,
    lower_half,
    missing,
    plain,
    upper_half,
)
from fairtrial.warehouse.unit_table import ARM, LARGEST_FLOAT, UnitTable, Value, text_rows

Key = tuple[Hashable, ...]
Number = Any
"""An int, float, Decimal or None, as the engine gives it."""
Centres = Mapping[Term, Centre | Mapping[object, Centre]]
MOST_ARMS = 1_000
INT16, INT32, INT64 = 2**15 - 1, 2**31 - 1, 2**63 - 1


@dataclass(slots=True)
class Scan:
    """The aggregates of one statement, each asked for once.

    Attributes:
        units: The table to scan.
        centres: By term: the constant, or one for every arm, that deviations are taken from.
    """

    units: UnitTable
    centres: Centres = field(default_factory=dict[Term, Any])
    _asked: dict[Key, Any] = field(default_factory=dict[Key, Any])

    def ask(self, key: Key, expression: Callable[[], Any]) -> None:
        """Add an aggregate under `key`, unless it is there."""
        if key not in self._asked:
            self._asked[key] = expression()

    def count_missing(self, key: Key, values: Sequence[Value], mask: tuple[Value, ...] = ()) -> None:
        """Count the units that miss any of `values`, among those that `mask` keeps."""
        gone = missing(self.units, values[0])
        for value in values[1:]:
            gone = gone | missing(self.units, value)
        inside = kept(self.units, mask)
        self.ask(key, lambda: (gone if inside is None else gone & inside).cast("int32").sum())

    def count_kept(self, mask: tuple[Value, ...]) -> None:
        """Count the units that `mask` keeps."""
        inside = kept(self.units, mask)
        if inside is not None:
            self.ask(("kept", mask), inside.cast("int32").sum)

    def present(self, value: Value) -> None:
        """Count the values that are not NULL, and the texts where a number is due."""
        self.ask(("present", value.name), self.units.table[value.name].count)
        if self.units.source.engine.dynamic_types:
            self.ask(("text", value.name), lambda: text_rows(self.units.table, value.name))

    def infinite(self, value: Value) -> None:
        """Count infinite values."""
        if value.kind in {"float", "decimal"}:
            column = self.units.table[value.name]
            number = column.abs() if value.kind == "float" else column.cast("float64").abs()
            beyond = number > LARGEST_FLOAT
            if self.units.source.engine.has_nan:
                beyond = beyond & ~column.cast("float64").isnan()
            self.ask(("infinite", value.name), beyond.cast("int32").sum)

    def not_bit(self, value: Value) -> None:
        """Count the values other than 0 and 1."""
        column = self.units.table[value.name]
        other = (column != 0) & (column != 1) & ~missing(self.units, value)
        self.ask(("not_bit", value.name), other.cast("int32").sum)

    def total(self, term: Term) -> None:
        """Sum a term: exactly for integers, about its centre otherwise."""
        if term.kind == "narrow" or (term.kind == "wide" and self.units.source.engine.wide_sums):
            self.ask(("total", term), lambda: exact(self.units, term).sum())
        elif term.kind == "wide":
            self.ask(("upper", term), lambda: upper_half(exact(self.units, term)).sum())
            self.ask(("lower", term), lambda: lower_half(exact(self.units, term)).sum())
        else:
            self.ask(("sum", term), lambda: self._deviation(term).sum())

    def product(self, left: Term, right: Term) -> None:
        """Sum the products of two terms (of squares, when they are one)."""
        if left == right and left.is_bit:
            return
        width = self._product_type(left, right)
        if width is not None:
            product = exact(self.units, left).cast(width) * exact(self.units, right).cast(width)
            self.ask(("product", left, right), product.sum)
        else:
            product = self._deviation(left) * self._deviation(right)
            self.ask(("product", left, right), product.sum)

    def extreme(self, term: Term, side: str) -> None:
        """The smallest (`min`) or largest (`max`) value of a term among the units kept."""
        if term.kind in {"narrow", "wide"}:
            number = exact(self.units, Term(value=term.value, fill=term.fill))
        else:
            number = self.units.table[term.value.name] if term.kind == "decimal" and term.fill is None else plain(self.units, term)
        inside = kept(self.units, term.mask)
        number = number if inside is None else inside.ifelse(number, None)
        self.ask((side, term), lambda: number.min() if side == "min" else number.max())

    def in_integers(self, left: Term, right: Term) -> bool:
        """Whether the product of two terms is summed in integers, about no constant."""
        return (left == right and left.is_bit) or self._product_type(left, right) is not None

    def _product_type(self, left: Term, right: Term) -> str | None:
        if left.kind != "narrow" or right.kind != "narrow":
            return None
        bound = _reach(left.value) * _reach(right.value)
        if bound <= INT16:
            return "int16"
        if bound <= INT32:
            return "int32"
        return "int64" if bound <= INT64 and self.units.source.engine.wide_sums else None

    def _deviation(self, term: Term) -> Any:
        return deviation(self.units, term, self.centres.get(term, 0))

    def statement(self) -> Any:
        """The Ibis expression of the statement."""
        table = self.units.table
        aggregates = {"n": table.count(), **{f"a{index}": asked for index, asked in enumerate(self._asked.values())}}
        return table.group_by(ARM).agg(**aggregates).limit(MOST_ARMS + 1)

    def run(self) -> dict[object, dict[Key, Number]]:
        """Run the statement.

        Returns:
            By stored arm (whatever its type; None for NULL): the aggregates by key,
            with the rows of the arm under `("n",)`.

        Raises:
            DataError: The arm column has more values than an experiment has arms.
        """
        rows = self.units.source.rows(self.statement())
        if len(rows) > MOST_ARMS:
            raise DataError(
                f"The arm column must name the arm, it holds more than {MOST_ARMS} different values.",
                hint="Name the column that says which variant the unit was given.",
                code="wrong_arm_column",
            )
        keys: list[Key] = [("n",), *self._asked]
        return {row[0]: dict(zip(keys, row[1:], strict=True)) for row in rows}


def _reach(value: Value) -> int:
    """Largest magnitude that can occur; beyond 64 bits where nothing is known."""
    if value.low is None or value.high is None:
        return INT64 + 1
    return max(abs(value.low), abs(value.high))
