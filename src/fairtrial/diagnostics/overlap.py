"""How many units two experiments share, and whether that is more than chance.

Jaccard's coefficient hides nesting: 100 units inside 10,000 give 0.01 though every
one of the 100 is shared. So the shares of both sides are reported beside it. Overlap
alone is normal and no fault; independent assignment makes |A| |B| / |universe| shared
units, and a chi-square of the two-by-two table says whether assignment was independent.

References: Jaccard (1901); Szymkiewicz (1934) and Simpson (1943) (overlap coefficient);
Sorensen (1948) and Dice (1945); Pearson (1900).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Literal

from scipy import special

from fairtrial.errors import UsageError

OverlapBand = Literal["negligible", "low", "moderate", "high"]

BANDS: tuple[tuple[float, OverlapBand], ...] = ((0.6, "high"), (0.3, "moderate"), (0.1, "low"), (0.0, "negligible"))
"""Lower ends of the bands of Jaccard's coefficient, from the top (IN-11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceOverlap:
    """Units in two experiments; a ratio whose denominator is 0 is None.

    Attributes:
        n_a: Units of A.
        n_b: Units of B.
        intersection: Units of both.
        union: Units of either.
        jaccard: intersection / union.
        overlap_coefficient: intersection / the smaller of the two.
        dice: 2 intersection / (n_a + n_b).
        share_of_a: intersection / n_a.
        share_of_b: intersection / n_b.
        expected_intersection: n_a n_b / universe, if assignment were independent; None without a universe.
        lift: intersection / expected_intersection.
        chi_square: Pearson's statistic of the two-by-two table of membership, one degree of freedom;
            None without a universe, or where A or B is empty or everyone.
        p_value: P(chi-square > `chi_square`).
    """

    n_a: int
    n_b: int
    intersection: int
    union: int
    jaccard: float | None
    overlap_coefficient: float | None
    dice: float | None
    share_of_a: float | None
    share_of_b: float | None
    expected_intersection: float | None
    lift: float | None
    chi_square: float | None
    p_value: float | None

    @property
    def band(self) -> OverlapBand | None:
        """Band of Jaccard's coefficient: [0, .1) negligible, [.1, .3) low, [.3, .6) moderate, [.6, 1] high; None without units."""
        jaccard = self.jaccard
        return None if jaccard is None else next(band for low, band in BANDS if jaccard >= low)


def overlap_of_units(a: Iterable[Hashable], b: Iterable[Hashable], *, universe: int | None = None) -> AudienceOverlap:
    """Overlap of two sets of units; a unit listed twice counts once.

    Args:
        a: Units of A.
        b: Units of B.
        universe: Number of all units that could have been in either.

    Raises:
        UsageError: The universe is smaller than the units of either.
    """
    first, second = set(a), set(b)
    return overlap_from_counts(len(first), len(second), len(first & second), universe=universe)


def overlap_from_counts(n_a: int, n_b: int, n_both: int, *, universe: int | None = None) -> AudienceOverlap:
    """Overlap of two experiments from ready counts.

    Args:
        n_a: Units of A, >= 0.
        n_b: Units of B, >= 0.
        n_both: Units of both, at most the smaller of the two.
        universe: Number of all units that could have been in either.

    Raises:
        UsageError: A count is negative or not whole, more are shared than there are, or the universe is too small.
    """
    counts = (n_a, n_b, n_both) if universe is None else (n_a, n_b, n_both, universe)
    if any(not float(count).is_integer() or count < 0 for count in counts):
        raise UsageError(f"Counts of units must be whole numbers >= 0, got {list(counts)}.")
    if n_both > min(n_a, n_b):
        raise UsageError(f"No more units can be shared than the smaller side has, got {n_both} of {n_a} and {n_b}.")
    union = n_a + n_b - n_both
    if universe is not None and universe < union:
        raise UsageError(f"The universe must hold all units, got {universe} for {union}.")
    expected = None if universe is None or universe == 0 else n_a * n_b / universe
    chi_square = None if universe is None else _independence(n_a, n_b, n_both, universe)
    return AudienceOverlap(
        n_a=n_a,
        n_b=n_b,
        intersection=n_both,
        union=union,
        jaccard=_ratio(n_both, union),
        overlap_coefficient=_ratio(n_both, min(n_a, n_b)),
        dice=_ratio(2 * n_both, n_a + n_b),
        share_of_a=_ratio(n_both, n_a),
        share_of_b=_ratio(n_both, n_b),
        expected_intersection=expected,
        lift=None if expected is None else _ratio(n_both, expected),
        chi_square=chi_square,
        p_value=None if chi_square is None else float(special.chdtrc(1, chi_square)),
    )


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _independence(n_a: int, n_b: int, n_both: int, universe: int) -> float | None:
    """Pearson's chi-square of the two-by-two table, without continuity correction, in whole numbers until the last step."""
    margins = n_a * n_b * (universe - n_a) * (universe - n_b)
    return universe * (n_both * universe - n_a * n_b) ** 2 / margins if margins > 0 else None
