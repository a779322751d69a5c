"""Did units sort themselves around the cutoff? A test that the running variable's density does not jump there.

The distribution function is smooth even where nobody has counted bins: a local
polynomial is fitted to the empirical distribution function on each side, and its
slope at the cutoff is the density there. The window is the one with the least
mean squared error for a quadratic; estimate and test use a cubic, which corrects
the quadratic's bias and counts the correction's error. The error takes the
dependence of the empirical distribution function's values into account.

References: Cattaneo, Jansson & Ma (2020), JASA 115, 1449-1455; McCrary (2008),
Journal of Econometrics 142, 698-714 (the idea of the test).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.quasi.columns import numbers_of
from fairtrial.quasi.local_polynomial import LocalFit, kernel_weights, local_fit
from fairtrial.stats.tails import p_value_of

Floats = NDArray[np.float64]
Sides = tuple[NDArray[np.bool_], NDArray[np.bool_]]
PILOT = 2.576
ORDER = 2
LEAST_ROWS = 50
"""Rows needed on each side of the cutoff."""
LEAST_IN_WINDOW = 20
SUSPECT = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class DensityTest:
    """Jump of a density at a cutoff.

    Attributes:
        left: Density just below the cutoff, per unit of the running variable.
        right: Density just above it.
        std_error: Standard error of right - left.
        statistic: (right - left) / std_error, normal if there is no jump.
        p_value: Two-sided, in [0, 1].
        bandwidth: Window on each side.
        n_left: Rows below the cutoff within the window.
        n_right: Rows above it.
    """

    left: float
    right: float
    std_error: float
    statistic: float
    p_value: float
    bandwidth: float
    n_left: int
    n_right: int

    def findings(self) -> list[Finding]:
        """What the test says of the design."""
        numbers: dict[str, float] = {"left": self.left, "right": self.right, "p_value": self.p_value, "bandwidth": self.bandwidth}
        if self.p_value < SUSPECT:
            return [
                Finding(
                    code="running_variable_sorted",
                    severity="warning",
                    message="The running variable's density jumps at the cutoff "
                    f"({self.left:.3g} below, {self.right:.3g} above, p = {self.p_value:.2g}).",
                    action="Units may have chosen their side: find out who sets the running variable before the effect is believed.",
                    numbers=numbers,
                )
            ]
        return [
            Finding(
                code="density_smooth",
                severity="info",
                message=f"No jump of the running variable's density was seen at the cutoff (p = {self.p_value:.2g}).",
                action="That is support, not proof, that units did not choose their side.",
                numbers=numbers,
            )
        ]


def density_test(running: ArrayLike, *, cutoff: float = 0.0, bandwidth: float | None = None) -> DensityTest:
    """Test that the density of the running variable does not jump at the cutoff.

    Args:
        running: The running variable, shape (n,); a row at the cutoff counts as above.
        cutoff: Where the treatment begins.
        bandwidth: Window on each side, > 0; default: with the least mean squared error, from the data.

    Returns:
        Densities on both sides and the test of their difference.

    Raises:
        UsageError: The cutoff is not finite, or the bandwidth is not positive.
        NotEnoughDataError: Fewer than 50 rows on a side, or too few different values near the cutoff.
        DataError: A value is missing.

    References:
        Cattaneo, Jansson & Ma (2020), JASA 115, section 3; the error from the estimator's projection on single rows.
    """
    if not math.isfinite(cutoff):
        raise UsageError(f"cutoff must be a finite number, got {cutoff}.")
    if bandwidth is not None and not 0.0 < bandwidth < math.inf:
        raise UsageError(f"bandwidth must be positive and finite, got {bandwidth}.")
    x = np.sort(numbers_of("running", running) - cutoff)
    below = int((x < 0.0).sum())
    if min(below, x.size - below) < LEAST_ROWS:
        raise NotEnoughDataError(
            f"A density test needs {LEAST_ROWS} rows on each side of the cutoff, got {below} and {x.size - below}.", code="too_few_units"
        )
    cumulated = np.searchsorted(x, x, side="right") / x.size
    sides = x < 0.0, x >= 0.0
    reach = _bandwidth(x, cumulated, sides) if bandwidth is None else float(bandwidth)
    slopes, pulls = _densities(x, cumulated, sides, reach)
    while bandwidth is None and min(slopes) <= 0.0 and reach < x[-1] - x[0]:
        reach *= 1.5  # lumps of equal values can turn a cubic below zero: look wider
        slopes, pulls = _densities(x, cumulated, sides, reach)
    std_error = _std_error(x, cumulated, pulls[1] - pulls[0])
    statistic = (slopes[1] - slopes[0]) / std_error
    inside = kernel_weights(x, reach, "triangular") > 0.0
    return DensityTest(
        left=slopes[0],
        right=slopes[1],
        std_error=std_error,
        statistic=statistic,
        p_value=p_value_of(statistic, math.inf).item(),
        bandwidth=reach,
        n_left=int((inside & sides[0]).sum()),
        n_right=int((inside & sides[1]).sum()),
    )


def _fit(x: Floats, side: NDArray[np.bool_], reach: float, order: int) -> LocalFit:
    return local_fit(x[side], order, reach, "triangular")


def _slope(x: Floats, cumulated: Floats, side: NDArray[np.bool_], reach: float, order: int, power: int = 1) -> tuple[float, Floats]:
    """A coefficient of one side's polynomial for the distribution function, and every row's weight in it."""
    pull = np.zeros(x.size)
    pull[side] = _fit(x, side, reach, order).linear[power]
    return float(pull @ cumulated), pull


def _densities(x: Floats, cumulated: Floats, sides: Sides, reach: float) -> tuple[tuple[float, float], tuple[Floats, Floats]]:
    """Densities just below and just above, by cubics, and every row's weight in them."""
    (left, pull_left), (right, pull_right) = (_slope(x, cumulated, side, reach, ORDER + 1) for side in sides)
    return (left, right), (pull_left, pull_right)


def _std_error(x: Floats, cumulated: Floats, pull: Floats) -> float:
    """Error of a linear form of the empirical distribution function: each row's part in all its values."""
    first = np.searchsorted(x, x, side="left")
    beyond = np.concatenate([np.cumsum(pull[::-1])[::-1], [0.0]])
    influence = beyond[first] - float(pull @ cumulated)
    return math.sqrt(float(np.square(influence).sum())) / x.size


def _bandwidth(x: Floats, cumulated: Floats, sides: Sides) -> float:
    """The common window with the least mean squared error of both densities, from pilot fits."""
    n = x.size
    quartiles = np.quantile(x, [0.25, 0.75])
    spread = min(float(x.std(ddof=1)), float(quartiles[1] - quartiles[0]) / 1.349) or float(x.std(ddof=1))
    widest = max(-float(x[0]), float(x[-1]))
    least = max(_least_reach(-x[sides[0]][::-1]), _least_reach(x[sides[1]]))
    pilot = max(min(PILOT * spread * n**-0.2, widest), least)
    wide = max(min(PILOT * spread * n ** (-1.0 / 9.0), widest), least)
    bias, variance, error = 0.0, 0.0, 0.0
    for side in sides:
        fit = _fit(x, side, pilot, ORDER)
        moment = fit.weighted.T @ (x[side] / pilot) ** (ORDER + 1)
        constant = float(pilot * (fit.inverse @ moment)[1])  # of h^2 F'''(c) / 3!
        third, pull = _slope(x, cumulated, side, wide, ORDER + 2, ORDER + 1)
        bias += (constant * third) ** 2
        error += 3.0 * constant**2 * _std_error(x, cumulated, pull) ** 2
        variance += pilot * _std_error(x, cumulated, _slope(x, cumulated, side, pilot, ORDER)[1]) ** 2
    best = (variance / (2.0 * ORDER * (bias + error))) ** (1.0 / (2 * ORDER + 1)) if bias + error > 0.0 else widest
    return max(min(best, widest), least)


def _least_reach(distances: Floats) -> float:
    """The window that holds enough rows and enough different values; distances from the cutoff ascend."""
    values = np.unique(distances)
    return 1.001 * max(float(distances[LEAST_IN_WINDOW - 1]), float(values[min(ORDER + 4, values.size) - 1]))
