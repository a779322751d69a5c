"""Local polynomials at the edge of a sample: weights, coefficients and nearest-neighbour variances.

Everything about a regression discontinuity is linear in the outcomes of one
side, so this module hands out the weights of that linear form; a variance is
then a sum of squared weights times residual variances. These come from nearest
neighbours (Abadie & Imbens 2006, Econometrica 74, 235-267): the squared distance
of an outcome from the mean of its neighbours' in the running variable, ties
included, needs no model and no bandwidth of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import NotEnoughDataError, UsageError

Floats = NDArray[np.float64]
Kernel = Literal["triangular", "uniform", "epanechnikov"]
NEIGHBOURS = 3
SAME = 1e-10
"""Distances to two neighbours that differ by less than this part of the range are the same."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """One side of the cutoff, by the running variable.

    Attributes:
        x: Distance from the cutoff, ascending, shape (n,).
        y: Outcomes, shape (n,).
    """

    x: Floats
    y: Floats

    @classmethod
    def of(cls, x: Floats, y: Floats) -> Side:
        """A side of rows in any order."""
        order = np.argsort(x, kind="stable")
        return cls(x=x[order], y=y[order])

    def window(self, reach: float, kernel: Kernel) -> Side:
        """The rows that a kernel of this reach gives weight to."""
        inside = kernel_weights(self.x, reach, kernel) > 0.0
        return Side(x=self.x[inside], y=self.y[inside])


def kernel_weights(x: Floats, reach: float, kernel: Kernel) -> Floats:
    """Kernel weights divided by the reach.

    Args:
        x: Distances from the point of interest, shape (n,).
        reach: Bandwidth, > 0.
        kernel: `triangular`, `uniform` or `epanechnikov`.

    Raises:
        UsageError: `kernel` is another word.
    """
    u = np.abs(x) / reach
    inside = u <= 1.0
    if kernel == "triangular":
        return np.where(inside, 1.0 - u, 0.0) / reach
    if kernel == "uniform":
        return np.where(inside, 0.5, 0.0) / reach
    if kernel == "epanechnikov":
        return np.where(inside, 0.75 * (1.0 - u * u), 0.0) / reach
    raise UsageError(f"kernel must be one of {list(get_args(Kernel))}, got {kernel!r}.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalFit:
    """A weighted polynomial fit at the cutoff, in powers of the distance.

    Attributes:
        linear: Coefficients as linear forms of the outcomes, shape (order + 1, n): `linear @ y`.
        inverse: Inverse of the weighted design's cross-product, shape (order + 1, order + 1).
        weighted: The weighted design, shape (n, order + 1).
    """

    linear: Floats
    inverse: Floats
    weighted: Floats


def local_fit(x: Floats, order: int, reach: float, kernel: Kernel) -> LocalFit:
    """Fit a polynomial of `order` at 0 with a kernel of the given reach.

    Args:
        x: Distances from the cutoff, shape (n,).
        order: Degree of the polynomial, >= 0.
        reach: Bandwidth, > 0.
        kernel: Which kernel.

    Raises:
        NotEnoughDataError: Fewer different distances within reach than coefficients.
    """
    weight = kernel_weights(x, reach, kernel)
    if np.unique(x[weight > 0.0]).size <= order:
        raise NotEnoughDataError(
            f"A local polynomial of degree {order} needs more than {order} different values within {reach:.4g} of the cutoff on each side.",
            hint="Widen the bandwidth, or collect more rows near the cutoff.",
            code="too_few_units",
        )
    scale = float(reach) ** np.arange(order + 1)
    design = np.vander(x / reach, order + 1, increasing=True)
    root = np.sqrt(weight)[:, None]
    q, r = np.linalg.qr(design * root)
    half = np.linalg.solve(r, np.eye(order + 1)) / scale[:, None]
    return LocalFit(linear=half @ (q * root).T, inverse=half @ half.T, weighted=design * scale * weight[:, None])


def neighbour_residuals(x: Floats, y: Floats, neighbours: int = NEIGHBOURS) -> Floats:
    """Scaled distance of each outcome from its nearest neighbours' mean.

    Args:
        x: Running variable, ascending, shape (n,).
        y: Outcomes, shape (n,).
        neighbours: Neighbours to reach at least, >= 1; ties of equal distance all count.

    Returns:
        sqrt(J / (J + 1)) (y - mean of the J neighbours), shape (n,); its square estimates the residual variance.

    Raises:
        NotEnoughDataError: Fewer than two rows.

    References:
        Abadie & Imbens (2006), section 4; Calonico, Cattaneo & Titiunik (2014), Econometrica 82, 2295-2326, section 5.
    """
    n = x.size
    if n < 2:
        raise NotEnoughDataError("Nearest neighbours need two rows at least on each side.", code="too_few_units")
    wanted = min(neighbours, n - 1)
    same = SAME * float(x[-1] - x[0])
    first, last = np.searchsorted(x, x, side="left"), np.searchsorted(x, x, side="right")
    low, high = first.copy(), last.copy()  # the rows at the same place come first
    while (short := np.flatnonzero(high - low - 1 < wanted)).size:
        at, below, above = x[short], low[short] - 1, high[short]
        left = np.where(below >= 0, at - x[np.maximum(below, 0)], np.inf)
        right = np.where(above < n, x[np.minimum(above, n - 1)] - at, np.inf)
        downwards, upwards = left <= right + same, right <= left + same
        low[short[downwards]] = first[below[downwards]]
        high[short[upwards]] = last[above[upwards]]
    count = high - low - 1.0
    own = y - y.mean()
    total = np.concatenate([[0.0], np.cumsum(own)])
    return np.sqrt(count / (count + 1.0)) * (own - (total[high] - total[low] - own) / count)
