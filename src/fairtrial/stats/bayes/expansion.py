"""Two rates' posteriors by their cumulants: what a decision reads, a hundred times as fast, with a bound of the error.

The cumulants of the effect T - C follow from the moments of two betas; those of
ln(T / C) are differences of polygamma functions. Quantiles are Cornish and
Fisher's to the second order, losses Edgeworth's, and what is left out is of the next order: with m the
smallest of the four shape parameters it falls as m^(-3/2), in standard
deviations. The constants in the bounds are measured, not derived: over a grid of shapes (2 to
1e4, rates of 1/300 to 299/300, arms of 1:20) the error is nowhere above half of them, which a test
repeats. They serve to tell the comparisons that are clear of a threshold from the few
that must be integrated (`conjugate`); no report shows an approximation.

References: Cornish & Fisher (1938), Review of the International Statistical Institute 5,
307-320; Barndorff-Nielsen & Cox (1989), Asymptotic Techniques for Use in Statistics,
sections 4.2 and 4.4; Johnson, Kotz & Balakrishnan (1995), Continuous Univariate
Distributions 2, chapter 25 (moments of the beta, cumulants of its logarithm).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from fairtrial.stats.bayes.arm import Arm, Floats
from fairtrial.stats.bayes.conjugate import Ends, Losses
from fairtrial.stats.bayes.pairs import Pair

SMALLEST, LARGEST = 2.0, 1e8
"""Shape parameters below which, and sums of an arm's two above which, nothing is bounded."""
ROUNDING = 1e-8
"""m^(-3/2) is not taken to be smaller: what rounding may add."""
FARTHEST = 4.0
"""Normal quantile beyond which nothing is bounded: masses above 0.99993."""
AT_MEDIAN, AT_TAIL = 0.2, 0.04
"""A quantile at z is off by at most (`AT_MEDIAN` + `AT_TAIL` z^4) m^(-3/2) standard deviations."""
LOSS, LOSS_OFF, LOSS_FALL = 0.07, 0.2, 0.18
"""A loss is off by at most min(`LOSS`, `LOSS_OFF` exp(-`LOSS_FALL` (mean / sd)^2)) m^(-3/2) standard deviations."""


class Cumulants(NamedTuple):
    """Mean, variance, and third and fourth cumulants; shape (m,) each."""

    mean: Floats
    variance: Floats
    third: Floats
    fourth: Floats


def expanded_effect(pair: Pair, *, mass: float) -> tuple[Ends, Losses, Ends, Losses]:
    """Effects T - C of betas: points, ends and losses, then bounds of the error of each.

    Args:
        pair: Beta posteriors of m comparisons.
        mass: Probability inside the intervals, in (0, 1).

    Returns:
        What `conjugate.effect_ends` computes, and how far from that each number lies at most (infinite where
        no bound is known). Points, which are means, are exact.
    """
    sums = _of_difference(_of_rate(pair.control), _of_rate(pair.treatment))
    sd, order = np.sqrt(sums.variance), _order(pair)
    ends, off = _ends(sums, order, mass)
    points = pair.treatment.mean - pair.control.mean
    # The smaller of the two losses; the other differs from it by the mean.
    smaller, depth = _smaller_loss(sums, sd), np.square(points / sd)
    losses = Losses(shortfall=smaller + np.maximum(-points, 0.0), surplus=smaller + np.maximum(points, 0.0))
    loss_off = sd * order * np.minimum(LOSS, LOSS_OFF * np.exp(-LOSS_FALL * depth))
    return ends._replace(point=points), losses, off._replace(point=np.zeros_like(sd)), Losses(loss_off, loss_off)


def expanded_lift(pair: Pair, *, mass: float) -> tuple[Ends, Ends]:
    """Lifts T / C - 1 of betas: medians and ends, then bounds of the error of each.

    Args:
        pair: Beta posteriors of m comparisons.
        mass: Probability inside the intervals, in (0, 1).

    Returns:
        What `conjugate.lift_ends` computes, and how far from that each number lies at most.
    """
    logs, off = _ends(_of_difference(_of_logarithm(pair.control), _of_logarithm(pair.treatment)), _order(pair), mass)
    with np.errstate(over="ignore"):
        return Ends(*(np.expm1(x) for x in logs)), Ends(*(np.exp(x) * np.expm1(e) for x, e in zip(logs, off, strict=True)))


def _order(pair: Pair) -> Floats:
    """m^(-3/2), infinite where a shape is too small or too large."""
    c, t = pair.control, pair.treatment
    smallest = np.minimum(c.smallest, t.smallest)
    bounded = (smallest >= SMALLEST) & (np.maximum(c.alpha + c.beta, t.alpha + t.beta) <= LARGEST)
    return np.where(bounded, np.maximum(np.maximum(smallest, SMALLEST) ** -1.5, ROUNDING), np.inf)


def _of_rate(arm: Arm) -> Cumulants:
    """Of a beta."""
    a, b = arm.alpha, arm.beta
    n, variance = a + b, arm.variance
    third = 2.0 * variance * (b - a) / (n * (n + 2.0))
    excess = 6.0 * ((a - b) ** 2 * (n + 1.0) - a * b * (n + 2.0)) / (a * b * (n + 2.0) * (n + 3.0))
    return Cumulants(arm.mean, variance, third, excess * variance * variance)


def _of_logarithm(arm: Arm) -> Cumulants:
    """Of the logarithm of a beta: the polygamma functions at the first shape less those at the sum."""
    a, n = arm.alpha, arm.alpha + arm.beta
    mean = np.asarray(special.digamma(a) - special.digamma(n), dtype=np.float64)
    rest = (np.asarray(special.polygamma(k, a) - special.polygamma(k, n), dtype=np.float64) for k in (1, 2, 3))
    return Cumulants(mean, *rest)


def _of_difference(minus: Cumulants, plus: Cumulants) -> Cumulants:
    """Cumulants add up; the odd ones of what is subtracted change their sign."""
    return Cumulants(plus.mean - minus.mean, plus.variance + minus.variance, plus.third - minus.third, plus.fourth + minus.fourth)


def _ends(sums: Cumulants, order: Floats, mass: float) -> tuple[Ends, Ends]:
    """Medians and equal-tailed ends, and bounds of their errors."""
    reach = float(-special.ndtri(0.5 * (1.0 - mass)))
    sd = np.sqrt(sums.variance)
    skew, excess = sums.third / (sums.variance * sd), sums.fourth / np.square(sums.variance)

    def quantile(z: float) -> Floats:
        shape = skew * ((z * z - 1.0) / 6.0) + excess * ((z**3 - 3.0 * z) / 24.0) - skew * skew * ((2.0 * z**3 - 5.0 * z) / 36.0)
        return sums.mean + sd * (z + shape)

    at_end = sd * order * (AT_MEDIAN + AT_TAIL * reach**4) if reach <= FARTHEST else np.full(sd.shape, np.inf)
    return Ends(quantile(0.0), quantile(-reach), quantile(reach)), Ends(sd * order * AT_MEDIAN, at_end, at_end)


def _smaller_loss(sums: Cumulants, sd: Floats) -> Floats:
    """E[max(-|side|, 0)]: the integral of Edgeworth's density up to the depth at which 0 lies on the improbable side."""
    side = np.where(sums.mean > 0.0, 1.0, -1.0)
    depth = -np.abs(sums.mean) / sd
    skew, excess = side * sums.third / (sums.variance * sd), sums.fourth / np.square(sums.variance)
    density = np.exp(-0.5 * depth * depth) / np.sqrt(2.0 * np.pi)
    square = depth * depth
    shape = skew / 6.0 * depth + excess / 24.0 * (square - 1.0) + skew * skew / 72.0 * (square * square - 6.0 * square + 3.0)
    return np.maximum(sd * (density + depth * special.ndtr(depth) + density * shape), 0.0)
