"""From an engine's sums about a constant back to means and centred cross-products.

For constants c, d: sum((x - mean x)(y - mean y)) = sum((x - c)(y - d)) - S T / n with
S = sum(x - c), T = sum(y - d) (Chan, Golub & LeVeque 1983, eq. 1.3). The subtraction is
done in rational arithmetic, so that integer sums lose nothing and float sums only what the
engine's own rounding lost; `condition` says how much that can be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np

from fairtrial.stats.moments import CoMoments
from fairtrial.warehouse.pushdown import Key, Number, Scan
from fairtrial.warehouse.terms import HALF, Centre, Term
from fairtrial.warehouse.unit_table import as_known_arm, is_no_arm

WORST_CONDITION = 1e4
"""Largest sum((x - c)^2) / m2 that is accepted: a sum of 10^7 floats is good to about
1e-13 relative, so this keeps m2 good to 1e-9; above it the scan is repeated about the means."""

ROUNDING = float(np.finfo(np.float64).eps)
"""Floats whose standard deviation is below the last bit of their mean do not vary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSums:
    """The aggregates of one arm, merged over the spellings of its name.

    Attributes:
        n: Rows of the arm.
        spellings: The arm as stored, in one spelling or more.
        numbers: By key of the scan.
    """

    n: int
    spellings: tuple[object, ...]
    numbers: Mapping[Key, Number]

    @property
    def stored(self) -> object:
        """The arm as stored: what centres by arm are keyed by."""
        return self.spellings[0]

    def count(self, *key: object) -> int:
        """A count; 0 where it was not asked for or summed over no rows."""
        return int(self.numbers.get(key) or 0)


def centre_of(scan: Scan, term: Term, arm: object) -> Fraction:
    """The constant that a term's deviations were taken from in one arm."""
    centre = scan.centres.get(term, 0)
    found: Centre = centre[arm] if isinstance(centre, Mapping) else centre
    return Fraction(found)


def is_finite(number: Number) -> bool:
    """Whether an aggregate is a finite number (NULL, over no rows, counts as 0)."""
    return number is None or math.isfinite(number)


def shifted_sum(scan: Scan, arm: ArmSums, term: Term, n: int, *, integer: bool) -> Fraction:
    """Sum of a term over `n` units of an arm, about 0 (`integer`) or about its centre."""
    numbers = arm.numbers
    if ("sum", term) in numbers:
        return Fraction(numbers["sum", term] or 0)
    if ("total", term) in numbers:
        total = Fraction(numbers["total", term] or 0)
    else:
        total = Fraction(int(numbers["upper", term] or 0) * HALF + int(numbers["lower", term] or 0))
    return total if integer else total - n * centre_of(scan, term, arm.stored)


def co_moments(scan: Scan, arm: ArmSums, terms: Sequence[Term], n: int) -> CoMoments:
    """Co-moments of `terms` over the `n` >= 1 units of an arm that are kept."""
    k = len(terms)
    mean, cross = np.zeros(k), np.zeros((k, k))
    constant = [_is_constant(arm, term) for term in terms]
    for i, left in enumerate(terms):
        about = Fraction(0) if _sums_integers(arm, left) else centre_of(scan, left, arm.stored)
        mean[i] = float(about + shifted_sum(scan, arm, left, n, integer=_sums_integers(arm, left)) / n)
        if constant[i]:
            mean[i] = float(arm.numbers["min", left])
        for j in range(i, k):
            if n > 1 and not (constant[i] or constant[j]):
                cross[i, j] = cross[j, i] = float(_cross(scan, arm, left, terms[j], n))
    rounding = np.array([ROUNDING if term.value.kind == "float" else 0.0 for term in terms])
    with np.errstate(over="ignore"):  # a square beyond all numbers is above any that the data can have
        flat = np.diagonal(cross) <= n * np.square(rounding * mean)
    cross[flat, :] = cross[:, flat] = 0.0  # what does not vary does not vary with anything
    return CoMoments(n=n, mean=mean, cross=cross)


def condition(scan: Scan, arm: ArmSums, term: Term, n: int) -> float:
    """sum((x - c)^2) / m2 of a term in an arm: by how much rounding was magnified; 1 is none."""
    if n < 2 or scan.in_integers(term, term) or _is_constant(arm, term):
        return 1.0
    square = _product(arm, term, term)
    if square == 0:
        return 1.0
    m2 = _cross(scan, arm, term, term, n)
    return math.inf if m2 <= 0 else float(square / m2)


def _sums_integers(arm: ArmSums, term: Term) -> bool:
    return ("sum", term) not in arm.numbers


def _cross(scan: Scan, arm: ArmSums, left: Term, right: Term, n: int) -> Fraction:
    integer = scan.in_integers(left, right)
    s = shifted_sum(scan, arm, left, n, integer=integer)
    t = s if left == right else shifted_sum(scan, arm, right, n, integer=integer)
    return _product(arm, left, right) - s * t / n


def _product(arm: ArmSums, left: Term, right: Term) -> Fraction:
    numbers = arm.numbers
    key: Key = ("product", left, right) if ("product", left, right) in numbers else ("product", right, left)
    if key not in numbers:
        return Fraction(numbers["total", left] or 0)
    return Fraction(numbers[key] or 0)


def _is_constant(arm: ArmSums, term: Term) -> bool:
    if term.value.kind == "wide" and term.kind == "float":
        return False  # its extremes are rounded
    low, high = arm.numbers.get(("min", term)), arm.numbers.get(("max", term))
    return low is not None and low == high


def by_arm(raw: Mapping[object, Mapping[Key, Number]], arms: Sequence[str]) -> dict[str, ArmSums]:
    """The sums of the spec's arms by name, out of a scan's rows by stored arm."""
    grouped: dict[str, list[object]] = {}
    for stored in raw:
        if not is_no_arm(stored) and (name := as_known_arm(stored, arms)) in arms:
            grouped.setdefault(name, []).append(stored)
    found: dict[str, ArmSums] = {}
    for name, spellings in grouped.items():
        numbers = _merged([raw[stored] for stored in spellings])
        found[name] = ArmSums(n=int(numbers["n",]), spellings=tuple(spellings), numbers=numbers)
    return found


def _merged(rows: Sequence[Mapping[Key, Number]]) -> dict[Key, Number]:
    """One set of aggregates for rows that name the same arm in different spellings."""
    merged = dict(rows[0])
    for row in rows[1:]:
        for key, number in row.items():
            merged[key] = _combined(key, merged[key], number)
    return merged


def _combined(key: Key, left: Number, right: Number) -> Number:
    if left is None or right is None:
        return right if left is None else left
    if key[0] == "min":
        return min(left, right)
    if key[0] == "max":
        return max(left, right)
    return left + right


def as_float(number: int | float | Decimal | None) -> float | None:
    """A float for an aggregate, None for NULL."""
    return None if number is None else float(number)
