"""Regression with errors that last from period to period, how strongly being unknown.

Errors follow u[t] = rho u[t-1] + noise. At a given rho generalised least squares gives
a coefficient with Student's t exactly. A series of 24 or 60 periods does not tell rho
well, and what plugs in one estimate of it (or sums a few sample autocovariances, as
Newey and West do) is too sure. Here every rho counts by its restricted likelihood
times the prior 1 / sqrt(1 - rho^2), on which trend and level do not bear: p-value and
interval come from the mixture of Student's t over rho, without a random number.
Where the prior gives weight to rho near 1 the interval widens as it should for a
series that may wander. Its error rate is measured, not derived: see
docs/statistics/calibration/segmented_regression.md.

References: restricted likelihood: Harville (1974), Biometrika 61, 383-385; for interrupted series: Turner, Forbes,
Karahalios, Taljaard & McKenzie (2021), BMC Medical Research Methodology 21, 181; regression with autoregressive
errors by integration over rho: Zellner & Tiao (1964), JASA 59, 763-778.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import brentq

from fairtrial.errors import DataError
from fairtrial.quasi.estimate import Tested
from fairtrial.stats.result import Interval, check_alpha

Floats = NDArray[np.float64]
POINTS = 81
"""Values of rho at which the likelihood is taken, each time the range is narrowed."""
ZOOMS = 2
NEGLIGIBLE = 30.0
"""Log-likelihood below the best from which a rho no longer counts."""
NO_NOISE = 1e-13
"""Size of what the design leaves, relative to the series, that is taken for rounding."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Autoregression:
    """A regression at each of several rho, and how much each counts.

    Attributes:
        rho: Shape (g,), ascending.
        weight: Shape (g,), sum 1.
        coefficients: By generalised least squares, shape (g, k).
        inverse: Their covariance over the noise's variance, shape (g, k, k).
        noise: Variance of the noise, shape (g,).
        df: Rows less coefficients, > 0.
    """

    rho: Floats
    weight: Floats
    coefficients: Floats
    inverse: Floats
    noise: Floats
    df: float

    @classmethod
    def of(cls, y: Floats, design: Floats) -> Autoregression:
        """Fit a series on a design at every rho that counts.

        Args:
            y: One value a period, evenly spaced, in order, shape (n,).
            design: Shape (n, k), columns independent, n > k.

        Raises:
            DataError: The design leaves nothing.
        """
        basis, triangle = np.linalg.qr(design)
        ols = np.asarray(basis.T @ y, dtype=np.float64)
        rest = np.asarray(y - basis @ ols, dtype=np.float64)
        if float(rest @ rest) <= NO_NOISE**2 * float(y @ y):
            raise DataError("The design tells the series entirely, so nothing is left to infer from.", code="no_variance")
        grams = _Grams.of(np.column_stack([basis, rest]))
        low, high = -math.pi / 2.0, math.pi / 2.0
        for _ in range(ZOOMS):
            step = (high - low) / POINTS
            angle = low + step * (np.arange(POINTS) + 0.5)
            likelihood = grams.log_likelihood(np.sin(angle))
            counts = angle[likelihood > likelihood.max() - NEGLIGIBLE]
            low, high = max(counts[0] - step, -math.pi / 2.0), min(counts[-1] + step, math.pi / 2.0)
        rho = np.sin(low + (high - low) / POINTS * (np.arange(POINTS) + 0.5))  # the prior is flat in the angle
        likelihood = grams.log_likelihood(rho)
        weight = np.exp(likelihood - likelihood.max())
        shift, inverse, squares = grams.fit(rho)
        back = np.asarray(np.linalg.inv(triangle), dtype=np.float64)
        df = float(y.size - design.shape[1])
        return cls(
            rho=rho,
            weight=weight / weight.sum(),
            coefficients=(ols + shift) @ back.T,
            inverse=back @ inverse @ back.T,
            noise=squares / df,
            df=df,
        )

    @property
    def mean_rho(self) -> float:
        """What rho is on average, by weight."""
        return float(self.weight @ self.rho)

    def of_sum(self, contrast: Floats) -> Mixture:
        """A sum of coefficients by weights, shape (k,)."""
        return Mixture(
            weight=self.weight,
            centre=self.coefficients @ contrast,
            scale=np.sqrt(self.noise * np.einsum("i,gij,j->g", contrast, self.inverse, contrast)),
            df=self.df,
        )

    def of_weights(self, centre: float, weights: Floats) -> Mixture:
        """A weighted sum of the series' values whose weights are orthogonal to the design (as a prediction's error is).

        Args:
            centre: The sum.
            weights: Shape (n,); further periods than those fitted may follow.
        """
        n = weights.size
        shared = np.correlate(weights, weights, mode="full")[n - 1 :]  # products of weights so many periods apart
        shared[1:] *= 2.0
        lasting: Floats = np.power(self.rho[:, None], np.arange(n, dtype=np.float64)) @ shared
        return Mixture(
            weight=self.weight,
            centre=np.full(self.rho.size, centre),
            scale=np.sqrt(self.noise * np.maximum(lasting, 0.0) / ((1.0 - self.rho) * (1.0 + self.rho))),
            df=self.df,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """A number whose distribution is a mixture of Student's t.

    Attributes:
        weight: Shape (g,), sum 1.
        centre: Shape (g,).
        scale: Shape (g,), > 0.
        df: Degrees of freedom, > 0.
    """

    weight: Floats
    centre: Floats
    scale: Floats
    df: float

    @property
    def mean(self) -> float:
        """The mean of the centres."""
        return float(self.weight @ self.centre)

    @property
    def std_error(self) -> float:
        """Root of the mean squared scale and the spread of the centres."""
        return math.sqrt(float(self.weight @ (np.square(self.scale) + np.square(self.centre - self.mean))))

    def tested(self, *, alpha: float) -> Tested:
        """The fields of a `QuasiEstimate` that the number decides: its interval and p-value agree.

        Args:
            alpha: Error rate in (0, 1).

        Raises:
            UsageError: `alpha` lies outside (0, 1).
            DataError: Nothing varies.
        """
        check_alpha(alpha)
        if not (np.isfinite(self.scale).all() and self.scale.min() > 0.0):
            raise DataError("The effect must have a standard error above 0; nothing varies here.", code="no_variance")
        below, above = self._tail(0.0, 1.0), self._tail(0.0, -1.0)
        return Tested(
            effect=self.mean,
            interval=Interval(low=self._end(alpha, 1.0), high=self._end(alpha, -1.0)),
            p_value=min(2.0 * min(below, above), 1.0),
            std_error=self.std_error,
            statistic=self.mean / self.std_error,
            df=None,
            alpha=alpha,
        )

    def _tail(self, at: float, side: float) -> float:
        """Probability below a value (`side` 1) or above it (-1)."""
        return float(self.weight @ special.stdtr(self.df, side * (at - self.centre) / self.scale))

    def _end(self, alpha: float, side: float) -> float:
        """The lower (`side` 1) or upper (-1) end of the interval: alpha / 2 lies beyond it."""
        ends = self.centre + side * special.stdtrit(self.df, alpha / 2.0) * self.scale
        low, high = float(ends.min()), float(ends.max())
        if not high - low > 1e-12 * (float(self.scale.max()) + abs(high)):
            return low if side > 0.0 else high
        width = high - low

        def gap(part: float) -> float:
            """By how much too much or too little lies beyond a value, given by its part of the way; in logs."""
            return math.log(self._tail(low + part * width, side)) - math.log(alpha / 2.0)

        # a little farther out than the ends, so that rounding cannot put both on one side
        return low + width * float(brentq(gap, -1e-6, 1.0 + 1e-6, xtol=1e-15, rtol=1e-14))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Grams:
    """Cross-products of columns with themselves one period before, from which every rho's whitened ones follow.

    The last column is what least squares leaves of the outcome, the others an orthonormal basis of the design.
    """

    first: Floats
    now: Floats
    mixed: Floats
    before: Floats
    n: int

    @classmethod
    def of(cls, columns: Floats) -> _Grams:
        """Cross-products of columns, shape (n, k + 1)."""
        late, early = columns[1:], columns[:-1]
        cross = np.asarray(late.T @ early, dtype=np.float64)
        return cls(
            first=np.asarray(np.outer(columns[0], columns[0]), dtype=np.float64),
            now=late.T @ late,
            mixed=cross + cross.T,
            before=early.T @ early,
            n=columns.shape[0],
        )

    def whitened(self, rho: Floats) -> Floats:
        """Cross-products with the errors' inverse covariance (times the noise's variance), shape (g, k + 1, k + 1)."""
        r = rho[:, None, None]
        return (1.0 - r) * (1.0 + r) * self.first + self.now - r * self.mixed + r**2 * self.before

    def fit(self, rho: Floats) -> tuple[Floats, Floats, Floats]:
        """Coefficients of the rest on the basis, shape (g, k), their covariance over the noise's, and the sum of squares left."""
        grams = self.whitened(rho)
        inverse = np.asarray(np.linalg.inv(grams[:, :-1, :-1]), dtype=np.float64)
        shift = np.einsum("gij,gj->gi", inverse, grams[:, :-1, -1])
        squares = grams[:, -1, -1] - np.einsum("gi,gi->g", shift, grams[:, :-1, -1])
        return shift, inverse, np.maximum(squares, 0.0)

    def log_likelihood(self, rho: Floats) -> Floats:
        """Restricted log-likelihood at each rho with the noise's variance at its best, up to a constant, shape (g,)."""
        grams = self.whitened(rho)
        k = grams.shape[1] - 1
        _, _, squares = self.fit(rho)
        spread = np.log(np.maximum(squares, np.finfo(np.float64).tiny))
        log_det = np.linalg.slogdet(grams[:, :-1, :-1])[1]
        return np.asarray(0.5 * np.log((1.0 - rho) * (1.0 + rho)) - 0.5 * log_det - 0.5 * (self.n - k) * spread, dtype=np.float64)
