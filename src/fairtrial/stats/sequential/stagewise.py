"""The final analysis of a group-sequential trial: estimate, interval and p-value that allow for the stop.

A trial that stops when Z is large stops on a lucky day: its plain estimate is biased
away from the null, its plain interval misses too often, its plain p-value is too small.
The stagewise ordering ranks outcomes by evidence against the null from above: to stop above
early beats to stop above late, which beats to stop below; at one look a larger Z beats a
smaller. With it

    P(drift) = P(an outcome at least as high as the one seen | drift)

rises in the drift, and inverting it gives a p-value (at drift 0), an interval with exact
coverage and a median-unbiased estimate. Only the looks up to the stop enter, not those
planned after it; so it stands whatever the later plans were. Drift is the mean of Z at
full information; `stagewise_estimate` speaks in the metric's unit.

Conditions: the joint normal distribution of the looks' Z; the boundary was obeyed. When data
came in after the stop (over-running), put the information and Z with these data in the place
of the stopping look's (Whitehead 1992, Statistics in Medicine 11, 1405-1415). A two-sided p-value
lies below alpha exactly when the interval at that alpha leaves the null value out; but an
interval seldom has the boundary's own alpha on each side, so after a narrow crossing it is
the boundary that decides and the interval that describes.

References: Siegmund (1978), Biometrika 65, 341-349; Tsiatis, Rosner & Mehta (1984),
Biometrics 40, 797-803; Jennison & Turnbull (2000), Group Sequential Methods, ch. 8.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.result import Interval, check_alpha
from fairtrial.stats.roots import solve_increasing
from fairtrial.stats.sequential.recursion import Corridor, above, below, check_finite, check_fractions, check_sides, enter

Floats = NDArray[np.float64]

SPREAD = 9.0
"""Drifts are sought within so many standard errors of the first look; P(Z > 9) = 1e-19."""
COVERED = 17.0
"""Corridors are followed so many standard errors around the path to the Z that was seen."""
SCALE = 1e4
"""Drifts are found to 1e-11: a data set knows its drift to about 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StagewiseInference:
    """Final inference on trials that stopped at the same look, on the scale of the drift; arrays of one shape.

    Attributes:
        p_value: Of drift 0; of drift 0 or less when the design is one-sided.
        p_above: Chance, at drift 0, of an outcome at least as high; what a one-sided design reports.
        median_unbiased: The drift that lies above and below the truth equally often.
        low: Lower end of the two-sided interval.
        high: Its upper end.
        naive: Z / sqrt(t), biased after a stop.
    """

    p_value: Floats
    p_above: Floats
    median_unbiased: Floats
    low: Floats
    high: Floats
    naive: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class StagewiseEstimate:
    """Final inference on one trial, in the metric's unit.

    Attributes:
        effect: Median-unbiased estimate.
        interval: Two-sided interval at level 1 - `alpha`.
        p_value: Of the null value, with the design's sides.
        naive: The plain estimate, biased after a stop.
        alpha: Error rate of the interval.
    """

    effect: float
    interval: Interval
    p_value: float
    naive: float
    alpha: float


def stagewise_estimate(
    estimate: float,
    std_error: float,
    *,
    fractions: Sequence[float],
    critical: Sequence[float],
    sides: int = 2,
    alpha: float = 0.05,
    null: float = 0.0,
    given_up: Sequence[float] = (),
) -> StagewiseEstimate:
    """Median-unbiased estimate, exact interval and p-value of a trial that stopped.

    Args:
        estimate: Effect seen at the stop, in the metric's unit.
        std_error: Its standard error, > 0.
        fractions: Information fractions of all looks up to the stop.
        critical: Critical values of at least the looks before the stop (`Boundaries.critical`).
        sides: Of the design.
        alpha: Error rate of the two-sided interval, in (0, 1).
        null: Effect under the null hypothesis.
        given_up: Values of Z below which the looks before the stop gave a one-sided design up for good, if they did.

    Returns:
        The effect to report.

    Raises:
        UsageError: A value is out of its range; see `stagewise_inference`.

    References:
        Tsiatis, Rosner & Mehta (1984), Biometrics 40, 797-803.
    """
    for name, value in (("estimate", estimate), ("null", null)):
        check_finite(name, np.asarray(value, dtype=np.float64))
    if not (math.isfinite(std_error) and std_error > 0.0):
        raise UsageError(f"std_error must be positive and finite, got {std_error}.")
    z = (estimate - null) / std_error
    drift = stagewise_inference(z, fractions=fractions, critical=critical, sides=sides, alpha=alpha, given_up=given_up)
    # The standard error at full information: a drift of 1 is one of these.
    unit = std_error * math.sqrt(fractions[-1])
    return StagewiseEstimate(
        effect=null + unit * drift.median_unbiased.item(),
        interval=Interval(low=null + unit * drift.low.item(), high=null + unit * drift.high.item()),
        p_value=drift.p_value.item(),
        naive=estimate,
        alpha=alpha,
    )


def stagewise_inference(
    z: ArrayLike,
    *,
    fractions: Sequence[float],
    critical: Sequence[float],
    sides: int = 2,
    alpha: float = 0.05,
    given_up: Sequence[float] = (),
) -> StagewiseInference:
    """Inference by the stagewise ordering on trials that stopped, or ended, at one look.

    Args:
        z: Z at the stop, one or many with the same looks, any shape.
        fractions: Information fractions of all looks up to the stop, the stopping one included.
        critical: Critical values of at least the looks before the stop; later ones are not read.
        sides: 2 when looks also stop at Z < -critical, else 1.
        alpha: Error rate of the two-sided interval, in (0, 1).
        given_up: Values of Z below which the looks before the stop gave a one-sided design up for good: such trials
            rank lowest, the earlier the lower; none, or `-inf`, where none were.

    Returns:
        p-values, median-unbiased drifts and intervals, of the shape of `z`.

    Raises:
        UsageError: A Z or critical value is not finite, there are fewer critical values than looks before the
            stop, a two-sided one is not positive, or another argument is out of its range.

    References:
        Jennison & Turnbull (2000), Group Sequential Methods, ch. 8.2-8.5.
    """
    path = _Path.checked(z, fractions, critical, sides, given_up)
    check_alpha(alpha)
    p_above, p_below = path.p_above(np.zeros_like(path.z)), path.p_below(np.zeros_like(path.z))
    low, middle, high = (path.drift_of(p) for p in (0.5 * alpha, 0.5, 1.0 - 0.5 * alpha))
    shape = np.shape(z)
    return StagewiseInference(
        p_value=(np.minimum(2.0 * np.minimum(p_above, p_below), 1.0) if sides == 2 else p_above).reshape(shape),
        p_above=p_above.reshape(shape),
        median_unbiased=middle.reshape(shape),
        low=low.reshape(shape),
        high=high.reshape(shape),
        naive=(path.z / math.sqrt(path.times[-1])).reshape(shape),
    )


def stagewise_p_values(z: ArrayLike, *, fractions: Sequence[float], critical: Sequence[float], sides: int = 2) -> Floats:
    """The p-values of `stagewise_inference` alone, quick for many trials that stopped at one look.

    Args:
        z: Z at the stop, any shape.
        fractions: Information fractions of all looks up to the stop.
        critical: Critical values of at least the looks before the stop.
        sides: Of the design.

    Returns:
        p-values, of the shape of `z`.

    Raises:
        UsageError: As `stagewise_inference`.
    """
    path = _Path.checked(z, fractions, critical, sides)
    p = path.p_above(np.zeros_like(path.z))
    if sides == 2:
        p = np.minimum(2.0 * np.minimum(p, path.p_below(np.zeros_like(path.z))), 1.0)
    return p.reshape(np.shape(z))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Path:
    """The looks up to a stop, and the Z of many trials at it, flat."""

    z: Floats
    times: tuple[float, ...]
    critical: tuple[float, ...]
    lows: tuple[float, ...]
    corridors: tuple[Corridor, ...]
    sides: int

    @classmethod
    def checked(
        cls, z: ArrayLike, fractions: Sequence[float], critical: Sequence[float], sides: int, given_up: Sequence[float] = ()
    ) -> _Path:
        seen = np.atleast_1d(np.asarray(z, dtype=np.float64)).ravel()
        times = check_fractions(fractions, what="fractions")
        check_sides(sides)
        if seen.size == 0:
            raise UsageError("z must hold at least one value, got none.")
        check_finite("z", seen)
        if len(critical) < len(times) - 1:
            raise UsageError(f"critical must name the {len(times) - 1} looks before the stop, got {len(critical)}.")
        limits = tuple(float(c) for c in critical[: len(times) - 1])
        check_finite("critical", np.array(limits))
        if sides == 2 and any(c <= 0.0 for c in limits):
            raise UsageError(f"Critical values of a two-sided design must be positive, got {list(limits)}.")
        if given_up and (sides == 2 or len(given_up) != len(limits)):
            raise UsageError(
                f"given_up must name the {len(limits)} looks before the stop of a one-sided design, got {len(given_up)} of {sides} sides."
            )
        lows = tuple(-c for c in limits) if sides == 2 else tuple(float(low) for low in given_up) or (-math.inf,) * len(limits)
        corridors: list[Corridor] = []
        for look, (low, limit) in enumerate(zip(lows, limits, strict=True)):
            scale = math.sqrt(times[look] / times[-1])
            means = ((float(seen.min()) - COVERED) * scale, (float(seen.max()) + COVERED) * scale)
            before = corridors[-1] if corridors else None
            corridors.append(enter(before, times[look], low=low, high=limit, following=times[look + 1], means=means))
        return cls(z=seen, times=times, critical=limits, lows=lows, corridors=tuple(corridors), sides=sides)

    def p_above(self, drift: Floats) -> Floats:
        """P(outcome at least as high), by summing what lies above."""
        chance = self._at_stop(above, drift)
        for look, limit in enumerate(self.critical):
            chance = chance + self._stops(above, look, limit, drift)
        return np.minimum(chance, 1.0)

    def p_below(self, drift: Floats) -> Floats:
        """P(outcome at most as high), by summing what lies below."""
        chance = self._at_stop(below, drift)
        for look, limit in enumerate(self.lows):
            if limit > -math.inf:
                chance = chance + self._stops(below, look, limit, drift)
        return np.minimum(chance, 1.0)

    def _stops(self, side: Callable[..., Floats], look: int, limit: float, drift: Floats) -> Floats:
        return side(self.corridors[look - 1] if look else None, self.times[look], limit, drift)

    def _at_stop(self, side: Callable[..., Floats], drift: Floats) -> Floats:
        return side(self.corridors[-1] if self.corridors else None, self.times[-1], self.z, drift)

    def drift_of(self, probability: float) -> Floats:
        """The drifts at which an outcome at least as high has the given chance."""
        naive = self.z / math.sqrt(self.times[-1])
        reach = SPREAD / math.sqrt(self.times[0])
        low, high = np.minimum(naive, 0.0) - reach, np.maximum(naive, 0.0) + reach

        def shortfall(drift: Floats) -> Floats:
            # Each chance is summed on the side where it is small and the corridors hold all of it.
            chance = np.where(drift > naive, 1.0 - self.p_below(drift), self.p_above(drift))
            return np.asarray(special.ndtri(np.clip(chance, 1e-300, 1.0 - 2.0**-53))) - special.ndtri(probability)

        guess = naive + special.ndtri(probability) / math.sqrt(self.times[-1])
        return solve_increasing(shortfall, low, high, guess, slope=math.sqrt(self.times[-1]), scale=SCALE)
