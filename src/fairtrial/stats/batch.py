"""Moments of many metrics at once: one arm's co-moments, brought to four columns and stacked.

The four columns are numerator, denominator, covariate numerator and covariate
denominator. What a metric does not have is a constant: 1 for a denominator, 0
for a covariate, so that one formula serves means, ratios and both adjusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError
from fairtrial.stats.moments import CoMoments

Present = tuple[bool, bool, bool, bool]
Layout = Literal["mean", "ratio", "mean_cuped", "ratio_cuped"] | Present
"""Which of numerator, denominator, covariate numerator, covariate denominator a metric has."""

ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""A standard deviation below this fraction of the mean is rounding: the column is constant."""

LAYOUTS: dict[str, Present] = {
    "mean": (True, False, False, False),
    "ratio": (True, True, False, False),
    "mean_cuped": (True, False, True, False),
    "ratio_cuped": (True, True, True, True),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchMoments:
    """Co-moments of one arm for a batch of metrics (or treatments, or replicates) of one layout.

    Attributes:
        n: Units, shape (...,).
        mean: Means of numerator, denominator, covariate numerator, covariate denominator, shape (..., 4).
        cross: Their centred cross-products, shape (..., 4, 4).
        present: Which of the four columns the metrics have; the others are constant (0 or 1).
    """

    n: NDArray[np.float64]
    mean: NDArray[np.float64]
    cross: NDArray[np.float64]
    present: Present = LAYOUTS["mean"]

    def __post_init__(self) -> None:
        shape = self.n.shape
        if self.mean.shape != (*shape, 4) or self.cross.shape != (*shape, 4, 4):
            raise UsageError(
                f"A batch of n {shape} needs means {(*shape, 4)} and cross-products {(*shape, 4, 4)}, "
                f"got {self.mean.shape} and {self.cross.shape}."
            )

    def __add__(self, other: BatchMoments) -> BatchMoments:
        n = self.n + other.n
        share = np.divide(other.n, n, out=np.zeros_like(n), where=n > 0)
        delta = other.mean - self.mean
        between = delta[..., :, None] * delta[..., None, :] * (self.n * share)[..., None, None]
        return BatchMoments(n=n, mean=self.mean + delta * share[..., None], cross=self.cross + other.cross + between, present=self.present)


def expand(moments: Sequence[CoMoments], layout: Layout = "mean") -> BatchMoments:
    """Stack the moments of several metrics of one layout into a batch of shape (len(moments),).

    Args:
        moments: Co-moments over the columns that `layout` says are present, in its order.
        layout: A name, or which of numerator, denominator, covariate numerator
            and covariate denominator are present.

    Returns:
        The batch, with absent columns filled by their constants.

    Raises:
        UsageError: The layout lacks a numerator or names a covariate's denominator without
            covariate, or some moments have another number of columns.
    """
    present = _present(layout)
    columns = np.flatnonzero(present)
    wrong = next((m.columns for m in moments if m.columns != columns.size), None)
    if wrong is not None:
        raise UsageError(f"Layout {layout!r} has {columns.size} columns, got moments of {wrong}.")
    size = len(moments)
    mean = np.tile(np.array([0.0, 1.0, 0.0, 1.0]), (size, 1))
    cross = np.zeros((size, 4, 4))
    if size:
        mean[:, columns] = np.array([m.mean for m in moments])
        cross[:, columns[:, None], columns] = np.array([m.cross for m in moments])
    return BatchMoments(n=np.array([m.n for m in moments], dtype=np.float64), mean=mean, cross=cross, present=present)


def _present(layout: Layout) -> Present:
    if isinstance(layout, str):
        if layout not in LAYOUTS:
            raise UsageError(f"A layout is one of {list(LAYOUTS)} or four booleans, got {layout!r}.")
        return LAYOUTS[layout]
    if not layout[0] or (layout[3] and not layout[2]):
        raise UsageError(f"A layout needs a numerator, and a covariate for a covariate's denominator, got {layout}.")
    return layout
