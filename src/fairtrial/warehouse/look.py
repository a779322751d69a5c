"""Looks before the scan: a few rows for constants, the footers for ranges, a census for what is missing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from fairtrial.errors import DataError
from fairtrial.warehouse.pushdown import Scan
from fairtrial.warehouse.sums import ArmSums, by_arm, centre_of, is_finite, shifted_sum
from fairtrial.warehouse.terms import Centre, Term
from fairtrial.warehouse.unit_table import ARM, UnitTable, Value

LOOK_ROWS = 1_000
OFFSET_IN_SD = 5.0
"""A column whose mean lies further from 0 than this many standard deviations is summed about a constant."""
MOST_SAMPLED_ARMS = LOOK_ROWS // 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the first rows say.

    Attributes:
        centres: By value: a constant near its middle, 0 where none is needed.
        incomplete: Whether some value is missing already there.
        lows: By value's name, by stored arm: the smallest value seen.
        highs: The largest.
    """

    centres: Mapping[str, Centre] = field(default_factory=dict[str, Centre])
    incomplete: bool = False
    lows: Mapping[str, Mapping[object, Any]] = field(default_factory=dict[str, Mapping[object, Any]])
    highs: Mapping[str, Mapping[object, Any]] = field(default_factory=dict[str, Mapping[object, Any]])


def look(units: UnitTable) -> Look:
    """Read the first rows of a stored table; of a derived one nothing, it would cost a scan.

    Raises:
        DataError: Nearly every row has an arm of its own: the column is no arm.
    """
    if not units.direct:
        return Look()
    values = list(dict.fromkeys(units.values.values()))
    rows = units.source.rows(units.table.select(ARM, *[value.name for value in values]).limit(LOOK_ROWS))
    if len({row[0] for row in rows}) > MOST_SAMPLED_ARMS:
        raise DataError(
            f"The arm column must name the arm, it holds {len({row[0] for row in rows})} different values in {len(rows)} rows.",
            hint="Name the column that says which variant the unit was given.",
            code="wrong_arm_column",
        )
    centres: dict[str, Centre] = {}
    lows: dict[str, dict[object, Any]] = {}
    highs: dict[str, dict[object, Any]] = {}
    incomplete = False
    for index, value in enumerate(values, start=1):
        pairs = [(row[0], row[index]) for row in rows if _is_number(row[index])]
        incomplete = incomplete or len(pairs) < len(rows)
        centres[value.name] = _centre([number for _, number in pairs], value)
        low, high = lows.setdefault(value.name, {}), highs.setdefault(value.name, {})
        for arm, number in pairs:
            low[arm] = min(number, low.get(arm, number))
            high[arm] = max(number, high.get(arm, number))
    return Look(centres=centres, incomplete=incomplete, lows=lows, highs=highs)


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) or (isinstance(value, Decimal) and value.is_finite())


def _centre(sample: Sequence[Any], value: Value) -> Centre:
    """A short constant near the sample's median, or 0 where sums about 0 lose nothing."""
    if not sample or value.is_bit:
        return 0
    middle = statistics.median_low(sample)
    with np.errstate(over="ignore", invalid="ignore"):
        deviations = np.array([float(number - middle) for number in sample])
        shift, spread = float(deviations.mean()), float(deviations.std())
    if spread == 0:
        return middle
    if not math.isfinite(spread) or abs(float(middle) + shift) <= OFFSET_IN_SD * spread:
        return 0
    return middle if value.kind in {"narrow", "wide"} else _short(middle, spread)


def _short(middle: float | Decimal, spread: float) -> Centre:
    """`middle` rounded to a tenth of `spread`, which keeps the literal short and exact."""
    digits = 1 - math.floor(math.log10(spread))
    if isinstance(middle, Decimal):
        exponent = middle.as_tuple().exponent
        places = min(digits, -exponent if isinstance(exponent, int) else 0)
        return middle.quantize(Decimal(1).scaleb(-max(places, 0)))
    return round(middle, digits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Footers:
    """What Parquet footers say of whole columns, at no cost.

    Attributes:
        lows: By value's name: the smallest value.
        highs: The largest.
        complete: Whether no value is NULL.
    """

    lows: Mapping[str, Any] = field(default_factory=dict[str, Any])
    highs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    complete: bool = True


def footers(units: UnitTable) -> Footers | None:
    """Ranges of all columns where they come free, else None."""
    if not units.footers:
        return None
    values = list(dict.fromkeys(units.values.values()))
    table = units.table
    asked = {"n": table.count()}
    for index, value in enumerate(values):
        column = table[value.name]
        asked |= {f"c{index}": column.count(), f"l{index}": column.min(), f"h{index}": column.max()}
    row = units.source.rows(table.agg(**asked))[0]
    found = {value.name: row[1 + 3 * index : 4 + 3 * index] for index, value in enumerate(values)}
    return Footers(
        lows={name: entry[1] for name, entry in found.items()},
        highs={name: entry[2] for name, entry in found.items()},
        complete=all(entry[0] == row[0] for entry in found.values()),
    )


def narrowed(units: UnitTable, known: Footers | None) -> UnitTable:
    """The same table with integers known to be small declared so."""
    if known is None:
        return units

    def narrow(value: Value) -> Value:
        low, high = known.lows[value.name], known.highs[value.name]
        if value.kind not in {"narrow", "wide"} or low is None or max(abs(low), abs(high)) >= 2**31:
            return value
        return replace(value, kind="narrow", low=int(low), high=int(high))

    return replace(units, values={column: narrow(value) for column, value in units.values.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What is missing or infinite, counted by arm, and pooled means of what is there.

    Attributes:
        missing: By value's name: missing in the arms of the spec.
        means: By value's name: mean over the units of all arms that have one.
        stored: The arms of the spec as they are stored.
    """

    missing: Mapping[str, int]
    means: Mapping[str, Fraction]
    stored: tuple[object, ...]


def census(units: UnitTable, centres: Mapping[str, Centre], arms: Sequence[str]) -> Census:
    """Count missing and infinite numbers and take the pooled mean of the others.

    Raises:
        DataError: A number is infinite, or a number column holds text.
    """
    values = list(dict.fromkeys(units.values.values()))
    present = {value: Term(value=value, fill=Fraction(0), mask=(value,)) for value in values}
    scan = Scan(units=units, centres={term: _usable(centres.get(value.name, 0), term) for value, term in present.items()})
    for value in values:
        scan.count_missing(("missing", value.name), [value])
        scan.infinite(value)
        scan.present(value)
        scan.total(present[value])
    sums = by_arm(scan.run(), arms)
    absent = {value.name: sum(arm.count("missing", value.name) for arm in sums.values()) for value in values}
    for value in values:
        refuse_text(value, sum(arm.count("text", value.name) for arm in sums.values()))
        _refuse_infinite(value, sum(arm.count("infinite", value.name) for arm in sums.values()))
    return Census(
        missing=absent,
        means={value.name: _pooled_mean(scan, term, list(sums.values()), absent[value.name]) for value, term in present.items()},
        stored=tuple(stored for arm in sums.values() for stored in arm.spellings),
    )


def _usable(centre: Centre, term: Term) -> Centre:
    return centre if term.in_decimals or term.value.kind == "wide" else float(centre)


def _pooled_mean(scan: Scan, term: Term, arms: Sequence[ArmSums], absent: int) -> Fraction:
    """Mean over the units of all arms that have a number; 0 where none has, or it is not finite."""
    n = sum(arm.n for arm in arms) - absent
    if n == 0 or not all(is_finite(number) for arm in arms for key, number in arm.numbers.items() if term in key):
        return Fraction(0)
    total = sum((shifted_sum(scan, arm, term, 0, integer=True) for arm in arms), Fraction(0))
    about = centre_of(scan, term, None) if term.kind in {"float", "decimal"} else Fraction(0)
    return about + total / n


def refuse_text(value: Value, count: int) -> None:
    """Raise when rows hold text where a number is due.

    Raises:
        DataError: `count` is above 0.
    """
    if count:
        raise DataError(
            f"Column {value.source!r} must hold numbers, {count} rows hold text.",
            hint="Mend those rows, or leave them out by `where`.",
            code="wrong_type",
        )


def _refuse_infinite(value: Value, count: int) -> None:
    if count:
        raise DataError(
            f"Column {value.source!r} must be finite, {count} values are infinite.",
            hint="Find the division by zero that made them, or set them to NULL and choose the metric's `missing` rule.",
            code="infinite_value",
        )
