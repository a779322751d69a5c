"""How far from the cutoff to look: the bandwidth with the least mean squared error of the effect.

One bandwidth for both sides, by plugging pilot estimates of bias and variance
into its formula, three times over: for the highest derivative, for the bias, for
the effect; a term for the bias estimate's own error keeps it from exploding.
Where many rows share a value of the running variable, values count, not rows.

References: Imbens & Kalyanaraman (2012), Review of Economic Studies 79, 933-959;
Calonico, Cattaneo & Titiunik (2014), Econometrica 82, 2295-2326, section S.2.6;
Calonico, Cattaneo & Farrell (2020), Econometrics Journal 23, 192-210.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError
from fairtrial.quasi.local_polynomial import Kernel, Side, local_fit, neighbour_residuals

Floats = NDArray[np.float64]
PILOT = {"triangular": 2.576, "uniform": 1.843, "epanechnikov": 2.34}
"""Constants of the rule-of-thumb pilot bandwidth for a density, by kernel (Silverman 1986, section 3.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidths:
    """Windows around a cutoff.

    Attributes:
        effect: Window h of the effect's polynomial.
        bias: Window b of the bias's polynomial.
    """

    effect: float
    bias: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pilot:
    """Variance, bias and the bias's own error of a derivative at the cutoff, from one side."""

    variance: float
    bias: float
    error: float


def mse_bandwidths(left: Side, right: Side, *, order: int = 1, bias_order: int = 2, kernel: Kernel = "triangular") -> Bandwidths:
    """The common bandwidths with the least mean squared error.

    Args:
        left: Rows below the cutoff.
        right: Rows at and above it.
        order: Degree of the effect's polynomial.
        bias_order: Degree of the bias's polynomial, > `order`.
        kernel: Which kernel.

    Raises:
        NotEnoughDataError: Too few different values of the running variable.
        DataError: The outcome does not vary between neighbours.

    References:
        Calonico, Cattaneo & Titiunik (2014), Econometrica 82, section S.2.6 of its supplement.
    """
    x = np.concatenate([left.x, right.x])
    values = np.unique(left.x).size + np.unique(right.x).size
    quartiles = np.quantile(x, [0.25, 0.75], method="averaged_inverted_cdf")
    spread = min(float(x.std(ddof=1)), float(quartiles[1] - quartiles[0]) / 1.349)
    widest = max(-float(left.x[0]), float(right.x[-1]))
    pilot = min(PILOT[kernel] * spread * values**-0.2, widest)
    ranges = abs(float(left.x[0])), float(right.x[-1])

    def solve(of: int, nu: int, further: int, reach_left: float, reach_right: float, *, regularise: bool) -> float:
        sides = [
            _pilot(side, of, nu, further, (pilot, reach), kernel, regularise=regularise)
            for side, reach in ((left, reach_left), (right, reach_right))
        ]
        if sides[0].variance + sides[1].variance <= 0.0:
            raise DataError(
                "The outcome must vary around the cutoff; neighbouring rows are all the same.", hint="Pass bandwidths.", code="no_variance"
            )
        gap = (sides[1].bias - sides[0].bias) ** 2 + sides[0].error + sides[1].error
        return min(((sides[0].variance + sides[1].variance) / max(gap, 1e-300)) ** (1.0 / (2 * of + 3)), widest)

    derivative = solve(bias_order + 1, bias_order + 1, bias_order + 2, *ranges, regularise=False)
    bias = solve(bias_order, order + 1, bias_order + 1, derivative, derivative, regularise=True)
    effect = solve(order, 0, bias_order, bias, bias, regularise=True)
    return Bandwidths(effect=effect, bias=bias)


def cer_bandwidths(left: Side, right: Side, *, order: int = 1, bias_order: int = 2, kernel: Kernel = "triangular") -> Bandwidths:
    """Narrower bandwidths, at the rate with the least error of the robust interval's coverage.

    Those of `mse_bandwidths`, both times n^(-p / ((3 + p)(3 + 2 p))) for n rows and degree p (0.68 at 2,000 rows and
    degree 1). Keeping the ratio of the two windows is this house's choice, by measurement: docs/statistics/rdd.md.

    Args:
        left: Rows below the cutoff.
        right: Rows at and above it.
        order: Degree p of the effect's polynomial.
        bias_order: Degree of the bias's polynomial, > `order`.
        kernel: Which kernel.

    Raises:
        NotEnoughDataError: Too few different values of the running variable.
        DataError: The outcome does not vary between neighbours.

    References:
        Calonico, Cattaneo & Farrell (2020), Econometrics Journal 23, 192-210, section 4.
    """
    widest = mse_bandwidths(left, right, order=order, bias_order=bias_order, kernel=kernel)
    share = (left.x.size + right.x.size) ** (-order / ((3.0 + order) * (3.0 + 2.0 * order)))
    return Bandwidths(effect=share * widest.effect, bias=share * widest.bias)


def _pilot(side: Side, of: int, nu: int, further: int, reach: tuple[float, float], kernel: Kernel, *, regularise: bool) -> _Pilot:
    """Variance and bias constants of the `nu`-th derivative fitted by degree `of`; the bias by degree `further`."""
    for_variance, for_bias = reach
    near = side.window(for_variance, kernel)
    fit = local_fit(near.x, of, for_variance, kernel)
    residuals = neighbour_residuals(near.x, near.y)
    covariance = (np.square(fit.linear[nu]) * np.square(residuals)).sum()
    moment = fit.weighted.T @ (near.x / for_variance) ** (of + 1)
    constant = float(for_variance**nu * (fit.inverse @ moment)[nu])
    far = side.window(for_bias, kernel)
    wide = local_fit(far.x, further, for_bias, kernel)
    slope = float(wide.linear[of + 1] @ far.y)
    error = 0.0
    if regularise:
        own = np.square(neighbour_residuals(far.x, far.y))
        error = 3.0 * constant**2 * float((np.square(wide.linear[of + 1]) * own).sum())
    rate = 2.0 * (of + 1 - nu)
    return _Pilot(
        variance=(2 * nu + 1) * for_variance ** (2 * nu + 1) * float(covariance), bias=rate**0.5 * constant * slope, error=rate * error
    )
