"""The level of one planned look: from the error rate of the whole design to that of a single test, and back.

At look k a design of overall rate alpha tests at a nominal level L_k(alpha), which
rises with alpha. So the interval of level 1 - L_k(alpha) is the repeated interval of
the design, and L_k^-1(p) of a single look's p-value is its repeated p-value: the
smallest alpha whose repeated interval excludes the null. Both are valid at every
planned look at once, and corrections for several comparisons apply to the repeated
p-values as to any other.

References: Jennison & Turnbull (1989), JRSS B 51, 305-361 (repeated intervals);
Jennison & Turnbull (2000), Group Sequential Methods, ch. 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import interpolate, special

from fairtrial.stats.sequential.boundaries import GroupSequentialDesign, actual_boundaries, looks_taken
from fairtrial.stats.sequential.repeated import look_tables

Floats = NDArray[np.float64]

SMALLEST_LEVEL = 1e-300
"""A level below this is raised to it: an error of 1e-300 is none, and a quantile can still be taken."""
TINY = 5e-324
HALVINGS = 64
FARTHEST = 40.0
"""No normal quantile of a double lies beyond: P(Z > 38.5) = 5e-324."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LookLevels:
    """Nominal levels of a look, as a function of the overall error rate, and its inverse.

    On the scale of normal quantiles the function is nearly a straight line; a monotone curve
    goes through its points, the design's own error rate among them.

    Attributes:
        sides: 1 or 2, of the design.
        quantiles: Normal quantiles z(overall rate / sides) of the points tabled, increasing.
        critical: The look's critical values at them.
        gains: Whether trials given up for good have brought the critical values down, so that a repeated
            p-value may lie below that of the look alone.
    """

    sides: int
    quantiles: Floats
    critical: Floats
    gains: bool = False

    def nominal(self, alpha: ArrayLike) -> Floats:
        """Level at which this look tests in the design of overall rate `alpha`.

        Args:
            alpha: Overall error rates in (0, 1), any shape; NaN is passed through.
        """
        rate = np.asarray(alpha, dtype=np.float64)
        reach = self._critical(-special.ndtri(rate / self.sides))
        return np.clip(self.sides * special.ndtr(-reach), SMALLEST_LEVEL, 1.0)

    def overall(self, p_value: ArrayLike) -> Floats:
        """Repeated p-values: the overall rate at which this look would just have crossed.

        Args:
            p_value: P-values of this look alone, in [0, 1], any shape; NaN is passed through.

        Returns:
            P-values in [0, 1], never below those that came but where the design `gains`; `overall(nominal(alpha))`
            is `alpha` to rounding.
        """
        p = np.asarray(p_value, dtype=np.float64)
        seen = -special.ndtri(np.clip(p / self.sides, TINY, 1.0))
        low, high = np.full(p.shape, -FARTHEST), np.full(p.shape, FARTHEST)
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            below = self._critical(middle) <= seen
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.where(np.isnan(p), np.nan, np.clip(self.sides * special.ndtr(-low), 0.0 if self.gains else p, 1.0))

    def _critical(self, quantile: ArrayLike) -> Floats:
        """Critical values at normal quantiles of the overall rate; straight lines beyond the table."""
        x, y, at = self.quantiles, self.critical, np.asarray(quantile, dtype=np.float64)
        inside = np.asarray(interpolate.PchipInterpolator(x, y)(np.clip(at, x[0], x[-1])), dtype=np.float64)
        first, last = (y[1] - y[0]) / (x[1] - x[0]), (y[-1] - y[-2]) / (x[-1] - x[-2])
        return np.asarray(np.where(at < x[0], y[0] + first * (at - x[0]), inside + last * np.maximum(at - x[-1], 0.0)), dtype=np.float64)


@lru_cache(maxsize=256)
def look_levels(design: GroupSequentialDesign, fractions: tuple[float, ...], *, final: bool) -> LookLevels:
    """The levels of the last of the looks at `fractions`.

    Args:
        design: The design.
        fractions: Information fractions of the looks so far, this one last.
        final: Whether this look spends all that is left.

    Raises:
        UsageError: The fractions are not looks.
    """
    taken = looks_taken(design, fractions)
    table = look_tables(design, taken, final=final)[-1]
    own = -special.ndtri(design.alpha / design.sides)
    apart = np.abs(table.quantile - own) > 1e-9
    at = int(np.searchsorted(table.quantile[apart], own))
    exact = float(actual_boundaries(design, taken, final=final).critical[-1])
    return LookLevels(
        sides=design.sides,
        quantiles=np.insert(table.quantile[apart], at, own),
        critical=np.insert(table.critical[apart], at, exact),
    )
