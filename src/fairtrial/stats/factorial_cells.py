"""Cells of a factorial experiment as one number a unit: ratios linearised, covariates taken off.

Contrasts of cells (`stats.factorial`) read a mean and a spread of every cell. A ratio of sums is
linearised in its two columns about the cell's own ratio. Covariates are taken off with one
coefficient over all cells,

    theta = S_xx^-1 s_xy,   S_xx and s_xy pooled within the cells,
    adjusted mean of a cell = mean(y) - theta' (mean(x) - mean of x over all units),

so that every contrast is adjusted as in an analysis of covariance with the cells as groups. The price of
estimating k coefficients is paid in the spread: sums of squares grow by (N - cells) / (N - cells - k).

Assumes independent units and covariates measured before assignment.

References: Deng, Xu, Kohavi & Walker (2013), WSDM, section 3; Cox & McCullagh (1982), Biometrics 38,
541-561; Deng, Knoblich & Lu (2018), KDD, section 2 (linearised ratio).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.batch import ROUNDING
from fairtrial.stats.covariates import COLLINEARITY
from fairtrial.stats.moments import CoMoments, Moments

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustedCells:
    """Cells ready for contrasts.

    Attributes:
        cells: Moments of each cell, in the order given.
        variance_reduction: 1 - adjusted / raw sum of squares within the cells; None without a covariate, may be negative.
    """

    cells: tuple[Moments, ...]
    variance_reduction: float | None


def adjusted_cells(cells: Sequence[CoMoments], *, ratio: bool = False) -> AdjustedCells:
    """One mean and one spread a cell, from co-moments over the outcome's columns and the covariates'.

    Args:
        cells: Of each cell, over the columns outcome, then (for a ratio) denominator, then covariates if any.
        ratio: Whether the outcome is a ratio of two columns.

    Returns:
        The moments, in the metric's unit; linearised where it is a ratio, adjusted where there are covariates.

    Raises:
        UsageError: There are no cells, or their columns differ.
        NotEnoughDataError: There are no more units than cells and covariates.
        DataError: A denominator's mean is zero, or the covariates depend linearly on each other.
    """
    first = 2 if ratio else 1
    columns = {cell.columns for cell in cells}
    if len(columns) != 1 or min(columns) < first:
        raise UsageError(f"Every cell needs the same columns, {first} of the outcome at least, got {sorted(columns)}.")
    n = np.array([float(cell.n) for cell in cells])
    mean, cross = np.array([cell.mean for cell in cells]), np.array([cell.cross for cell in cells])
    value, weights = _linearised(mean, ratio=ratio)
    # centred products of the linearised outcome with itself and with the covariates
    of_outcome = np.einsum("ci,cij->cj", weights, cross[:, :first, :])
    squares = np.einsum("cj,cj->c", of_outcome[:, :first], weights)
    if min(columns) == first:
        return AdjustedCells(cells=_moments(n, value, squares), variance_reduction=None)
    shared, within, x = of_outcome[:, first:], cross[:, first:, first:], mean[:, first:]
    theta, used = _coefficients(within.sum(axis=0), shared.sum(axis=0), scale=n.sum() * np.square(ROUNDING * np.abs(x).max(axis=0)))
    left = n.sum() - len(cells) - used
    if left < 1.0:
        raise NotEnoughDataError(f"{int(n.sum())} units are too few for {len(cells)} cells and {used} covariates.", code="too_few_units")
    price = (left + used) / left
    adjusted = (squares - 2.0 * shared @ theta + np.einsum("i,cij,j->c", theta, within, theta)) * price
    moved = value - (x - n @ x / n.sum()) @ theta
    total = float(squares.sum())
    saved = 1.0 - float(adjusted.sum()) / total if total > 0.0 else 0.0
    return AdjustedCells(cells=_moments(n, moved, adjusted), variance_reduction=saved)


def _linearised(mean: Floats, *, ratio: bool) -> tuple[Floats, Floats]:
    """The cells' values, and the weights of the outcome's columns in them, shape (cells, 1 or 2)."""
    if not ratio:
        return mean[:, 0], np.ones((len(mean), 1))
    if (mean[:, 1] == 0.0).any():
        raise DataError("The mean of the denominator is zero in a cell, so its ratio is not defined.", code="zero_denominator")
    value = mean[:, 0] / mean[:, 1]
    return value, np.stack([1.0 / mean[:, 1], -value / mean[:, 1]], axis=1)


def _coefficients(within: Floats, shared: Floats, *, scale: Floats) -> tuple[Floats, int]:
    """Theta by the correlations of the covariates, and how many of them vary; 0 for one that does not."""
    squares = np.diagonal(within)
    varies = squares > scale
    unit = np.sqrt(np.where(varies, squares, 1.0))
    correlation = np.where(np.outer(varies, varies), within / np.outer(unit, unit), np.eye(unit.size))
    values, vectors = np.linalg.eigh(correlation)
    if values[0] < COLLINEARITY:
        raise DataError(
            "The covariates depend linearly on each other, so none can be told from the rest.", hint="Leave one out.", code="collinear"
        )
    turned = vectors.T @ np.where(varies, shared / unit, 0.0)
    return np.where(varies, vectors @ (turned / values) / unit, 0.0), int(varies.sum())


def _moments(n: Floats, value: Floats, squares: Floats) -> tuple[Moments, ...]:
    return tuple(Moments(n=int(size), mean=float(own), m2=max(float(m2), 0.0)) for size, own, m2 in zip(n, value, squares, strict=True))
