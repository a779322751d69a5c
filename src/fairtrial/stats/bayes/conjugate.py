"""From two arms' beta or gamma posteriors to everything that is asked of their comparison.

Probabilities, losses and intervals are read from the tabulated densities of the
difference and of the logarithm of the ratio (`pairs`, `table`). Where a
probability is so small that the table's absolute error would show, its tail is
integrated by itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairtrial.stats.bayes.pairs import Pair
from fairtrial.stats.bayes.posterior import Model, PosteriorBatch, Rope, blanked
from fairtrial.stats.bayes.priors import Prior
from fairtrial.stats.bayes.table import DensityTable, Floats, Integers, LogDensity, far_tail, shortest

SMALL = 1e-6
"""A tail less probable than this is integrated by itself."""


class _Numbers(NamedTuple):
    """One quantity's point, equal-tailed and highest-density interval."""

    median: Floats
    low: Floats
    high: Floats
    hdi_low: Floats
    hdi_high: Floats


class Ends(NamedTuple):
    """One quantity's point and the ends of its equal-tailed credible interval; shape (m,) each."""

    point: Floats
    low: Floats
    high: Floats


class Losses(NamedTuple):
    """E[max(C - T, 0)] and E[max(T - C, 0)], in the metric's unit; shape (m,) each."""

    shortfall: Floats
    surplus: Floats


class _Sides(NamedTuple):
    """Probabilities and losses on either side of a point."""

    below: Floats
    above: Floats
    shortfall: Floats
    surplus: Floats


def effect_ends(pair: Pair, *, mass: float) -> tuple[Ends, Losses]:
    """What a decision reads of the effects T - C: their means, equal-tailed ends and both losses, as `compared` gives them.

    Args:
        pair: Posteriors of m comparisons.
        mass: Probability inside the intervals, in (0, 1).
    """
    sd = np.sqrt(pair.control.variance + pair.treatment.variance)
    table = pair.difference()
    zero = _sides(table, pair.difference_log_density, np.zeros_like(sd), sd)
    effect = pair.treatment.mean - pair.control.mean
    _, low, high = _quantiles(table, mass)
    return Ends(effect, low, high), _losses(zero, effect)


def lift_ends(pair: Pair, *, mass: float) -> Ends:
    """What a decision reads of the lifts T / C - 1: their medians and equal-tailed ends, as `compared` gives them.

    Args:
        pair: Posteriors of m comparisons.
        mass: Probability inside the intervals, in (0, 1).
    """
    return Ends(*(np.expm1(x) for x in _quantiles(pair.log_ratio(), mass)))


def compared(
    pair: Pair,
    *,
    model: Model,
    prior: Prior,
    mass: float,
    rope: Rope | None,
    log_bayes_factor: Floats,
    reasons: NDArray[np.int8],
) -> PosteriorBatch:
    """The comparison of two arms' posteriors.

    Args:
        pair: Posteriors of m comparisons; stand-ins where a reason says that there is none.
        model: Name of the model, for the record.
        prior: The prior, for the record.
        mass: Probability inside the intervals.
        rope: Region of practical equivalence, or None.
        log_bayes_factor: Shape (m,).
        reasons: Numbers of `posterior.REASONS`, of the shape of the result, size m.

    Returns:
        The posteriors, in the shape of `reasons`.
    """
    control, treatment = pair.control.mean, pair.treatment.mean
    sd = np.sqrt(pair.control.variance + pair.treatment.variance)
    difference, ratio = pair.difference(), pair.log_ratio()
    zero = _sides(difference, pair.difference_log_density, np.zeros_like(sd), sd)
    effect = treatment - control
    of_effect = _numbers(difference, mass, lift=False)
    of_lift = _numbers(ratio, mass, lift=True)
    regions = _regions(rope, pair, difference, ratio, sd, reasons)

    losses = _losses(zero, effect)

    def shaped(values: Floats) -> Floats:
        return blanked(values, reasons)

    return PosteriorBatch(
        model=model,
        prior=prior,
        mass=mass,
        control=shaped(control),
        treatment=shaped(treatment),
        effect=shaped(effect),
        low=shaped(of_effect.low),
        high=shaped(of_effect.high),
        hdi_low=shaped(of_effect.hdi_low),
        hdi_high=shaped(of_effect.hdi_high),
        lift=shaped(of_lift.median),
        lift_low=shaped(of_lift.low),
        lift_high=shaped(of_lift.high),
        lift_hdi_low=shaped(of_lift.hdi_low),
        lift_hdi_high=shaped(of_lift.hdi_high),
        prob_treatment_greater=shaped(zero.above),
        prob_control_greater=shaped(zero.below),
        shortfall=shaped(losses.shortfall),
        surplus=shaped(losses.surplus),
        below_rope=None if regions is None else shaped(regions[0]),
        in_rope=None if regions is None else shaped(regions[1]),
        above_rope=None if regions is None else shaped(regions[2]),
        log_bayes_factor=shaped(log_bayes_factor),
        reasons=reasons,
    )


def _quantiles(table: DensityTable, mass: float) -> tuple[Floats, Floats, Floats]:
    """Medians and equal-tailed ends."""
    tail = 0.5 * (1.0 - mass)
    low, median, high = table.quantile(np.tile([tail, 0.5, tail + mass], (table.size, 1))).T
    return median, low, high


def _losses(zero: _Sides, effect: Floats) -> Losses:
    """The smaller loss is integrated; the other follows from E[T - C] without cancellation."""
    return Losses(
        shortfall=np.where(effect > 0.0, zero.shortfall, zero.surplus - effect),
        surplus=np.where(effect > 0.0, zero.shortfall + effect, zero.surplus),
    )


def _numbers(table: DensityTable, mass: float, *, lift: bool) -> _Numbers:
    median, low, high = _quantiles(table, mass)
    if not lift:
        return _Numbers(median, low, high, *shortest(table.quantile, table.density, mass=np.full(table.size, mass)))

    def of_ratio(points: Floats) -> Floats:
        return table.density(points) * np.exp(-points)

    ends = shortest(table.quantile, of_ratio, mass=np.full(table.size, mass))
    return _Numbers(*(np.expm1(x) for x in (median, low, high, *ends)))


def _regions(
    rope: Rope | None, pair: Pair, difference: DensityTable, ratio: DensityTable, sd: Floats, reasons: NDArray[np.int8]
) -> tuple[Floats, Floats, Floats] | None:
    if rope is None:
        return None
    low, high = rope.ends(reasons.shape)
    table, log_density, length = difference, pair.difference_log_density, sd
    if rope.scale == "lift":
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = (np.where(end > -1.0, np.log1p(end), -np.inf) for end in (low, high))
        table, log_density = ratio, pair.log_ratio_log_density
        length = np.sqrt(pair.control.variance / pair.control.mean**2 + pair.treatment.variance / pair.treatment.mean**2)
    at_low, at_high = _sides(table, log_density, low, length), _sides(table, log_density, high, length)
    upper = at_low.below > 0.5
    inside = np.where(upper, at_low.above - at_high.above, at_high.below - at_low.below)
    return at_low.below, np.maximum(inside, 0.0), at_high.above


def _sides(table: DensityTable, log_density: LogDensity, points: Floats, sd: Floats) -> _Sides:
    """Both sides of `points`; their losses are exact for break points of the table, and where the side is improbable."""
    within = np.clip(points, table.edges[:, 0], table.edges[:, -1])
    below, above = table.tail(within, upper=False), table.tail(within, upper=True)
    found = [table.cdf(within[:, None])[:, 0], table.sf(within[:, None])[:, 0], below.loss, above.loss]
    for upper, at in ((False, 0), (True, 1)):
        rare = np.flatnonzero((found[at] < SMALL) & np.isfinite(points))
        if rare.size:
            tail = far_tail(_of_rows(log_density, rare), points[rare], upper=upper, log_total=table.log_total[rare], length=1e-3 * sd[rare])
            found[at][rare], found[at + 2][rare] = tail.probability, tail.loss
    return _Sides(*found)


def _of_rows(log_density: LogDensity, rows: Integers) -> LogDensity:
    """The density with some rows only, renumbered."""

    def of_some(entry: Integers, points: Floats) -> Floats:
        return log_density(rows[entry], points)

    return of_some
