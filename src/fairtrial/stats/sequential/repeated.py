"""Intervals and p-values of a group-sequential design that hold at every look, whether or not the trial stops.

The repeated interval at look k is estimate -+ c_k standard errors, with the
boundary's critical value c_k in the place of 1.96: all looks' intervals hold together
with chance 1 - alpha. The repeated p-value is the smallest error rate whose design of
the same family would have stopped at this look; it lies below alpha exactly when
the repeated interval leaves the null value out. The boundaries of every family here
are nested (a smaller alpha never has the lower boundary), so the smallest p-value so
far is a p-value too.

    p = repeated_p_values(z, fractions, design, final=False)      # z: (..., looks so far)
    p.at_look, p.running

Conditions: the joint normal distribution of the looks' Z, and looks whose times do not
depend on the results. Intervals do not adjust for stopping: they are wide, and the
estimate in their middle is biased away from the null after a stop (`stagewise` is for that).

References: Jennison & Turnbull (1989), JRSS B 51, 305-361; Jennison & Turnbull (2000),
Group Sequential Methods, ch. 9; Lan & DeMets (1983), Biometrika 70, 659-663.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.interpolate import CubicSpline

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.boundaries import (
    GroupSequentialDesign,
    actual_boundaries,
    classical_boundaries,
    family_boundaries,
    looks_taken,
)
from fairtrial.stats.sequential.recursion import check_finite, check_sides

Floats = NDArray[np.float64]

QUANTILES = np.concatenate([np.arange(-4.8, -0.05, 0.15), np.geomspace(1e-7, 0.05, 14), np.arange(0.1, 10.05, 0.1)])
"""Normal quantiles of the error rates at which a family's boundaries are tabulated: from almost 1 to 1e-23."""
FAR_QUANTILES = np.array([11.0, 12.0, 13.5, 15.0, 17.0, 20.0, 24.0, 28.0, 32.0, 37.5])
"""Quantiles between which straight lines serve: error rates from 1e-28 to 1e-307."""
LARGEST = -1e-9
"""Logarithm of the largest error rate tabulated."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RepeatedIntervals:
    """Intervals that hold at all looks together; arrays of one shape.

    Attributes:
        low: Lower ends, in the metric's unit.
        high: Upper ends; `inf` for a one-sided design.
    """

    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RepeatedPValues:
    """P-values along the looks of trials, shape (..., looks).

    Attributes:
        at_look: Of each look alone: below alpha exactly when the look's Z passes its critical value.
        running: The smallest so far, never rising: below alpha exactly when some look so far stopped.
    """

    at_look: Floats
    running: Floats


def repeated_interval(estimate: ArrayLike, std_error: ArrayLike, critical: ArrayLike, *, sides: int = 2) -> RepeatedIntervals:
    """Intervals estimate -+ critical * std_error, with the critical values of a design's looks.

    Args:
        estimate: Effects seen, in the metric's unit, any shape.
        std_error: Their standard errors, > 0, broadcast against `estimate`.
        critical: Critical values of Z at their looks (`Boundaries.critical`), broadcast likewise.
        sides: 2 for both ends; 1 for a lower end alone, as a design has that stops at large Z.

    Returns:
        Both ends, of the broadcast shape.

    Raises:
        UsageError: An estimate or critical value is not finite, a standard error is not positive and
            finite, or `sides` is neither 1 nor 2.

    References:
        Jennison & Turnbull (1989), JRSS B 51, 305-361, eq. 2.1.
    """
    check_sides(sides)
    center, deviation, c = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (estimate, std_error, critical)))
    for name, values in (("estimate", center), ("critical", c)):
        check_finite(name, values)
    wrong = deviation[~(np.isfinite(deviation) & (deviation > 0.0))]
    if wrong.size:
        raise UsageError(f"std_error must be positive and finite, got {wrong.flat[0]}.")
    reach = c * deviation
    return RepeatedIntervals(low=center - reach, high=center + reach if sides == 2 else np.full_like(center, np.inf))


def repeated_p_values(z: ArrayLike, fractions: Sequence[float], design: GroupSequentialDesign, *, final: bool = False) -> RepeatedPValues:
    """P-values of the looks so far, one trial or many with the same information fractions.

    Args:
        z: Estimates over standard errors, minus the null value's; shape (..., looks so far).
        fractions: Information fractions of these looks, shared by all trials.
        design: The plan: its family is inverted, and `alpha` decides which side a p-value lies on.
        final: Whether the last of these looks ends the trial.

    Returns:
        P-values, within 1e-6 of themselves up to 0.5 (2% below 1e-15, where only their size matters;
        absolutely 1e-4 up to 0.98), and on the right side of `alpha` to the last digit of Z; 1 where the
        interval of every level holds the null value.

    Raises:
        UsageError: A Z is not finite, or their number is not that of the fractions.

    References:
        Jennison & Turnbull (2000), Group Sequential Methods, ch. 9.3.
    """
    taken = looks_taken(design, fractions)
    seen = np.asarray(z, dtype=np.float64)
    if seen.ndim == 0 or seen.shape[-1] != len(taken):
        raise UsageError(f"z must have one value for each of the {len(taken)} fractions along its last axis, got shape {seen.shape}.")
    check_finite("z", seen)
    size = np.abs(seen) if design.sides == 2 else seen
    table, critical = look_tables(design, taken, final=final), actual_boundaries(design, taken, final=final).critical
    p = np.empty_like(size)
    for look in range(len(taken)):
        p[..., look] = _on_its_side(table[look].p_values(size[..., look], design.sides), size[..., look] - critical[look], design.alpha)
    return RepeatedPValues(at_look=p, running=np.minimum.accumulate(p, axis=-1))


def look_tables(design: GroupSequentialDesign, fractions: tuple[float, ...], *, final: bool) -> tuple[LookTable, ...]:
    """A design's family at many error rates, look by look; kept for the next who asks.

    Args:
        design: The plan; its own `alpha` does not matter.
        fractions: Information fractions of the looks, as `looks_taken` gives them.
        final: Whether the last look ends the trial.
    """
    return _tables(_bare(design), fractions, final=final)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LookTable:
    """The error rates of a family, as normal quantiles, by the critical values that they have at one look.

    Attributes:
        critical: Critical values of the look, increasing.
        quantile: Normal quantiles of the one-sided error rates of the designs that have them.
        between: The curve through both.
    """

    critical: Floats
    quantile: Floats
    curve: CubicSpline

    def p_values(self, z: Floats, sides: int) -> Floats:
        """Smallest error rates whose design stops at Z = `z`."""
        first, bend, last = self.critical[0], self.curve.x[-1], self.critical[-1]
        right = np.clip(np.searchsorted(self.critical, z), 1, self.critical.size - 1)
        near = np.clip(self.curve(np.clip(z, first, bend)), self.quantile[right - 1], self.quantile[right])
        far = np.interp(z, self.critical, self.quantile)
        slope = (self.quantile[-1] - self.quantile[-2]) / (last - self.critical[-2])
        quantile = np.where(z <= bend, near, far + np.maximum(z - last, 0.0) * slope)
        return np.where(z < first, 1.0, np.minimum(sides * special.ndtr(-quantile), 1.0))


def _on_its_side(p: Floats, excess: Floats, alpha: float) -> Floats:
    """P-values moved, where interpolation left them a hair wrong, to the side of alpha that the look's decision is on."""
    crossed = np.minimum(p, np.nextafter(alpha, 0.0))
    return np.where(excess > 0.0, crossed, np.maximum(p, alpha))


def _bare(design: GroupSequentialDesign) -> GroupSequentialDesign:
    """The design's family: the same at another alpha, so that its table is found again."""
    return GroupSequentialDesign(
        alpha=0.05,
        sides=design.sides,
        spending=design.spending,
        information_fractions=design.information_fractions if design.shape is not None else (1.0,),
        gamma=design.gamma,
        rho=design.rho,
        delta=design.delta,
    )


@lru_cache(maxsize=256)
def _tables(family: GroupSequentialDesign, fractions: tuple[float, ...], *, final: bool) -> tuple[LookTable, ...]:
    points = np.concatenate([QUANTILES, FAR_QUANTILES])
    points = points[points > 0.0] if family.sides == 2 else points
    if family.shape is not None:
        found = classical_boundaries(family, points, fractions, final=final)
    else:
        found = family_boundaries(family, np.asarray(special.log_ndtr(-points)) + math.log(family.sides), fractions, final=final)
    kept = found.log_alpha + math.log(family.sides) < LARGEST
    quantile = -np.asarray(special.ndtri_exp(found.log_alpha[kept]))
    near = int((points[kept] <= QUANTILES[-1]).sum())
    return tuple(
        LookTable(critical=critical, quantile=quantile, curve=CubicSpline(critical[:near], quantile[:near]))
        for critical in found.critical[kept].T
    )
