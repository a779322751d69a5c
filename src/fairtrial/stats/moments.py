"""Sufficient statistics of one arm: counts, means and centred sums that add.

Merging follows Chan, Golub & LeVeque (1983), The American Statistician 37,
242-247: centred sums of two samples combine without loss of precision, which
raw sums of squares do not (for N(1e9, 1) and n = 1000 they give variance 0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Count, mean and centred sum of squares of a metric over units.

    Attributes:
        n: Number of randomisation units, >= 1.
        mean: Sample mean, in the metric's unit.
        m2: Sum of squared deviations from `mean`, in the metric's unit squared.
    """

    n: int
    mean: float
    m2: float

    def __post_init__(self) -> None:
        if self.n < 1:
            raise DataError(f"Moments need at least one unit, got n={self.n}.")
        if not (math.isfinite(self.mean) and math.isfinite(self.m2)):
            raise DataError(f"Moments must be finite, got mean={self.mean}, m2={self.m2}.")
        if self.m2 < 0:
            raise DataError(f"A centred sum of squares cannot be negative, got m2={self.m2}.")

    @classmethod
    def from_values(cls, values: ArrayLike) -> Moments:
        """Moments of raw values, shape (n,), n >= 1."""
        x = np.asarray(values, dtype=np.float64)
        if x.ndim != 1 or x.size == 0:
            raise DataError(f"Moments need a flat array of at least one value, got shape {x.shape}.")
        mean = float(x.mean())
        return cls(n=x.size, mean=mean, m2=float(np.square(x - mean).sum()))

    @classmethod
    def from_summary(cls, *, n: int, mean: float, sd: float) -> Moments:
        """Moments from a count, a mean and a standard deviation with divisor n - 1."""
        return cls(n=n, mean=mean, m2=sd * sd * (n - 1))

    @classmethod
    def from_successes(cls, successes: int, n: int) -> Moments:
        """Moments of `successes` ones among `n` zero-or-one values."""
        if not 0 <= successes <= n:
            raise UsageError(f"Successes must lie in 0..n, got {successes} of {n}.")
        rate = successes / n
        return cls(n=n, mean=rate, m2=successes * (1.0 - rate))

    @property
    def variance(self) -> float:
        """Sample variance with divisor n - 1; needs two units."""
        if self.n < 2:
            raise DataError("A variance needs at least two units, got 1.")
        return self.m2 / (self.n - 1)

    def __add__(self, other: Moments) -> Moments:
        n = self.n + other.n
        delta = other.mean - self.mean
        return Moments(
            n=n,
            mean=self.mean + delta * other.n / n,
            m2=self.m2 + other.m2 + delta * delta * self.n * other.n / n,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoMoments:
    """Count, means and centred cross-products of k columns over the same units.

    Attributes:
        n: Number of randomisation units, >= 1.
        mean: Means, shape (k,).
        cross: Sums of products of deviations, shape (k, k), symmetric.
    """

    n: int
    mean: NDArray[np.float64]
    cross: NDArray[np.float64]

    def __post_init__(self) -> None:
        k = self.mean.shape[0] if self.mean.ndim == 1 else -1
        if self.cross.shape != (k, k):
            raise UsageError(f"CoMoments need means (k,) and cross-products (k, k), got {self.mean.shape} and {self.cross.shape}.")
        if self.n < 1:
            raise DataError(f"CoMoments need at least one unit, got n={self.n}.")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.cross).all()):
            raise DataError("CoMoments must be finite.")
        if (np.diagonal(self.cross) < 0).any():
            raise DataError("A centred sum of squares cannot be negative.")

    @classmethod
    def from_values(cls, values: ArrayLike) -> CoMoments:
        """Co-moments of raw values, shape (n, k) or (n,), n >= 1."""
        x = np.asarray(values, dtype=np.float64)
        x = x[:, None] if x.ndim == 1 else x
        if x.ndim != 2 or x.shape[0] == 0:
            raise DataError(f"CoMoments need an (n, k) array with n >= 1, got shape {x.shape}.")
        mean = x.mean(axis=0)
        deviations = x - mean
        return cls(n=x.shape[0], mean=mean, cross=deviations.T @ deviations)

    @classmethod
    def of(cls, moments: Moments) -> CoMoments:
        """The one-column co-moments that say the same as `moments`."""
        return cls(n=moments.n, mean=np.array([moments.mean]), cross=np.array([[moments.m2]]))

    @property
    def columns(self) -> int:
        """Number of columns k."""
        return self.mean.shape[0]

    def column(self, index: int = 0) -> Moments:
        """Moments of one column."""
        return Moments(n=self.n, mean=float(self.mean[index]), m2=float(self.cross[index, index]))

    def __add__(self, other: CoMoments) -> CoMoments:
        n = self.n + other.n
        delta = other.mean - self.mean
        return CoMoments(
            n=n,
            mean=self.mean + delta * (other.n / n),
            cross=self.cross + other.cross + np.outer(delta, delta) * (self.n * other.n / n),
        )
