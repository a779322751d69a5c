"""Terms of a scan: a number of a unit after capping and filling, as expressions for sums.

Sums of integers stay exact integers; everything else is summed as a deviation from a
constant `centre`, in floating point. 64-bit integers beyond 2^53 are taken apart into
halves of 32 bits first, which loses nothing and overflows nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from fairtrial.warehouse.unit_table import ARM, NumberKind, UnitTable, Value
from fairtrial.warehouse.untyped import ibis

Centre = int | float | Decimal
ArmCentres = Mapping[object, Centre]
HALF_BITS = 32
HALF = 2**HALF_BITS
EXACT_IN_FLOAT = 2**53
"""Whole numbers up to here are exact in a float."""
SAFE_DIGITS = 15
"""A decimal literal of so many characters becomes the nearest float in every engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One column of the co-moments.

    Attributes:
        value: The unit table's column.
        cap: Upper cap, where winsorised.
        fill: What a missing number counts as, exactly; None where none is missing.
        mask: Units that miss any of these are left out of the metric.
        halves: Whether to take the integer apart, for those beyond 2^53.
    """

    value: Value
    cap: float | None = None
    fill: Fraction | None = None
    mask: tuple[Value, ...] = ()
    halves: bool = False

    @property
    def kind(self) -> NumberKind:
        """How its sums are taken: a cap or a fractional fill makes a float of it."""
        kind = self.value.kind
        if self.cap is None and self.fill in {None, 0}:
            return kind
        return "float"

    @property
    def in_decimals(self) -> bool:
        """Whether the centre is taken off in decimals, before any rounding to a float."""
        return self.value.kind == "decimal" and self.cap is None

    @property
    def is_bit(self) -> bool:
        """Whether only 0 and 1 can occur, so that the sum is the sum of squares."""
        return self.value.is_bit and self.kind == "narrow"


def missing(units: UnitTable, value: Value) -> Any:
    """Whether a unit's number is missing: NULL, NaN, or made from events that were."""
    column = units.table[value.name]
    gone = column.isnull()
    if value.kind == "float" and units.source.engine.has_nan:
        gone = gone | column.isnan()
    return gone if value.flag is None else gone | (units.table[value.flag] > 0)


def kept(units: UnitTable, mask: tuple[Value, ...]) -> Any:
    """Whether a unit belongs to the metric; None when every unit does."""
    if not mask:
        return None
    gone = missing(units, mask[0])
    for value in mask[1:]:
        gone = gone | missing(units, value)
    return ~gone


def exact(units: UnitTable, term: Term) -> Any:
    """The integer itself, 0 for units left out."""
    column = units.table[term.value.name]
    if term.fill is not None:
        column = column.coalesce(0)
    inside = kept(units, term.mask)
    return column if inside is None else inside.ifelse(column, 0)


def upper_half(integer: Any) -> Any:
    """The integer shifted down by 32 bits, rounded down."""
    return integer >> HALF_BITS


def lower_half(integer: Any) -> Any:
    """The lowest 32 bits, 0 to 2^32 - 1."""
    return integer & (HALF - 1)


def plain(units: UnitTable, term: Term) -> Any:
    """The number as a float after cap and fill; NULL where it is missing and not filled."""
    column = units.table[term.value.name]
    number = _capped(column if term.value.kind == "float" else column.cast("float64"), term.cap)
    if term.fill is None or _keeps_rest(term):
        return number
    return missing(units, term.value).ifelse(float(term.fill), number)


def _capped(number: Any, cap: float | None) -> Any:
    return number if cap is None else (number > cap).ifelse(cap, number)


def _keeps_rest(term: Term) -> bool:
    """Whether a unit with a missing event value counts with the sum of its other events."""
    return term.fill == 0 and term.value.flag is not None


def deviation(units: UnitTable, term: Term, centre: Centre | ArmCentres) -> Any:
    """The number less `centre` as a float, 0 for units left out."""
    column = units.table[term.value.name]
    if term.cap is not None:
        number = _capped(column if term.value.kind == "float" else column.cast("float64"), term.cap)
        apart = _difference(units, number, centre)
    elif term.halves and term.value.kind == "wide":
        apart = _apart(units, column, centre)
    elif term.in_decimals:
        apart = _difference(units, column, centre).cast("float64")
    else:
        apart = _difference(units, plain(units, Term(value=term.value)), centre)
    if term.fill is not None and not _keeps_rest(term):
        apart = missing(units, term.value).ifelse(_filling(units, term.fill, centre), apart)
    inside = kept(units, term.mask)
    return apart if inside is None else inside.ifelse(apart, 0.0)


def _filling(units: UnitTable, fill: Fraction, centre: Centre | ArmCentres) -> Any:
    """What a missing number counts as, less the centre."""
    if not isinstance(centre, Mapping):
        return _constant(float(fill - Fraction(centre)), None)
    return _by_arm(units, {arm: float(fill - Fraction(of_arm)) for arm, of_arm in centre.items()}, None)


def _difference(units: UnitTable, number: Any, centre: Centre | ArmCentres) -> Any:
    if isinstance(centre, Mapping):
        return number - _by_arm(units, centre, number.type())
    return number if centre == 0 else number - _constant(centre, number.type())


def _by_arm(units: UnitTable, centres: ArmCentres, kind: Any) -> Any:
    branches = [(units.table[ARM] == ibis.literal(arm), _constant(centre, kind)) for arm, centre in centres.items()]
    return ibis.cases(*branches, else_=_constant(next(iter(centres.values())), kind))


def _constant(centre: Centre, kind: Any) -> Any:
    """A literal that every engine reads as this very number and not as a rounded decimal."""
    if isinstance(centre, Decimal):
        return ibis.literal(centre, type=kind if kind is not None and kind.precision is not None else None)
    text = repr(centre)
    if isinstance(centre, int) or (len(text) <= SAFE_DIGITS and "e" not in text):
        return ibis.literal(centre)
    return ibis.literal(text).cast("float64")


def _apart(units: UnitTable, number: Any, centre: Centre | ArmCentres) -> Any:
    """Difference of a 64-bit integer and its centre, to the last bit that a float can hold."""
    if isinstance(centre, Mapping):
        high: Centre | ArmCentres = {arm: int(c) >> HALF_BITS for arm, c in centre.items()}
        low: Centre | ArmCentres = {arm: int(c) & (HALF - 1) for arm, c in centre.items()}
    else:
        high, low = int(centre) >> HALF_BITS, int(centre) & (HALF - 1)
    upper = _difference(units, upper_half(number).cast("int64"), high).cast("float64")
    lower = _difference(units, lower_half(number).cast("int64"), low).cast("float64")
    return upper * float(HALF) + lower
