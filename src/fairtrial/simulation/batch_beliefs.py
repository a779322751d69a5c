"""Posteriors of many readings at once: what `evaluation.credible` believes of one, as arrays.

Normal posteriors are closed formulas. Those of rates are integrals, about a millisecond each; but
a decision only asks on which side of a few lines they lie. So rates are
first expanded in their cumulants (`stats.bayes.expansion`), with a bound of the error, and only
comparisons that come nearer to a line than that are integrated, each pair of
counts once. A decision is then the one that the integrals give. Numbers which are not
asked about stay approximate, to that bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.evaluation.batch import null_effect
from fairtrial.evaluation.credible import normal_prior
from fairtrial.metrics import ArmContrast
from fairtrial.simulation.lines import Lines, lines_of
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import MetricSpec
from fairtrial.stats.bayes.arm import Arm
from fairtrial.stats.bayes.conjugate import effect_ends, lift_ends
from fairtrial.stats.bayes.expansion import expanded_effect, expanded_lift
from fairtrial.stats.bayes.normal import normal_ab_of_contrast
from fairtrial.stats.bayes.pairs import Pair
from fairtrial.stats.proportions import ProportionContrast

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

BLOCK = 2_000
"""Pairs of counts integrated at once, to bound the memory."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beliefs:
    """Posteriors of one metric, shape (runs, treatments) each; NaN where there is none.

    Attributes:
        effect: Means of treatment - control, in the metric's unit.
        low: Lower ends of the effects' equal-tailed credible intervals.
        high: Their upper ends.
        lift: Medians of the lifts; NaN, with the ends, where there is no lift, and of other metrics than the primary one.
        lift_low: Lower ends of the lifts' equal-tailed credible intervals.
        lift_high: Their upper ends.
        loss: Expected loss of the better choice, in the metric's unit.
        margin: The effect under the null hypothesis.
    """

    effect: Floats
    low: Floats
    high: Floats
    lift: Floats
    lift_low: Floats
    lift_high: Floats
    loss: Floats
    margin: float

    @property
    def known(self) -> Booleans:
        """Where there is a posterior."""
        return ~np.isnan(self.effect)

    @property
    def significant(self) -> Booleans:
        """Where the credible interval excludes the null: what a Bayesian plan reads in the place of p < alpha."""
        return self.known & ((self.margin < self.low) | (self.margin > self.high))


def believe_replicates(spec: ExperimentSpec, metric: MetricSpec, contrast: ArmContrast) -> Beliefs:
    """Posteriors of every reading of a metric under a Bayesian plan.

    Args:
        spec: The experiment.
        metric: Primary or secondary.
        contrast: Its comparisons, shape (runs, treatments).
    """
    if isinstance(contrast, ProportionContrast):
        return _of_rates(spec, contrast, lines_of(spec, metric), null_effect(spec, metric))
    found = normal_ab_of_contrast(contrast, prior=normal_prior(spec.plan.bayesian), mass=1.0 - spec.plan.alpha)
    return Beliefs(
        effect=found.effect,
        low=found.low,
        high=found.high,
        lift=found.lift,
        lift_low=found.lift_low,
        lift_high=found.lift_high,
        loss=np.minimum(found.shortfall, found.surplus),
        margin=null_effect(spec, metric),
    )


def loss_is_small(spec: ExperimentSpec, primary: Beliefs, contrast: ArmContrast) -> Booleans:
    """Where the plan's stopping rule is met, shape (runs,): for every treatment the better choice is expected to lose little."""
    limit = spec.plan.bayesian.stop_loss
    if limit is None:
        return np.zeros(len(primary.effect), dtype=np.bool_)
    small = primary.known & (primary.loss < limit * np.abs(contrast.control))
    return small.sum(axis=1) == small.shape[1]


def _of_rates(spec: ExperimentSpec, contrast: ProportionContrast, lines: Lines, margin: float) -> Beliefs:
    shape = contrast.effect.shape
    given = (contrast.successes_control, contrast.n_control, contrast.successes_treatment, contrast.n_treatment)
    counts = np.stack([np.broadcast_to(np.asarray(count, dtype=np.float64), shape).ravel() for count in given])
    nobody = np.minimum(counts[1], counts[3]) == 0.0
    mass, prior = 1.0 - spec.plan.alpha, spec.plan.bayesian.rate_prior
    effects = _effects(counts, prior, lines, mass, shape)
    lifts = _lifts(counts, prior, lines, mass) if lines.lift else np.full((3, counts.shape[1]), np.nan)
    numbers = [np.where(nobody, np.nan, values).reshape(shape) for values in (*effects, *lifts)]
    effect, low, high, shortfall, surplus, lift, lift_low, lift_high = numbers
    return Beliefs(
        effect=effect,
        low=low,
        high=high,
        lift=lift,
        lift_low=lift_low,
        lift_high=lift_high,
        loss=np.minimum(shortfall, surplus),
        margin=margin,
    )


def _effects(counts: Floats, prior: tuple[float, float], lines: Lines, mass: float, shape: tuple[int, ...]) -> Floats:
    """Means, ends and both losses of the effects, shape (5, m)."""
    ends, losses, off, loss_off = expanded_effect(_pair(counts, prior), mass=mass)
    close = _near((ends.low, ends.high), (off.low, off.high), lines.effect)
    if lines.loss is not None:
        control = counts[0] / np.maximum(counts[1], 1.0)
        close |= np.abs(np.minimum(*losses) - lines.loss * control) <= np.minimum(*loss_off)
    if lines.ranked is not None:
        place = ("low", "high").index(lines.ranked) + 1
        close |= _ties(ends[place].reshape(shape), off[place].reshape(shape)).ravel()

    def exactly(pair: Pair) -> Floats:
        found, both = effect_ends(pair, mass=mass)
        return np.stack((*found, *both))

    return _integrated(counts, prior, close, np.stack((*ends, *losses)), exactly)


def _lifts(counts: Floats, prior: tuple[float, float], lines: Lines, mass: float) -> Floats:
    """Medians and ends of the lifts, shape (3, m)."""
    ends, off = expanded_lift(_pair(counts, prior), mass=mass)
    close = _near(ends, off, lines.lift)
    return _integrated(counts, prior, close, np.stack(ends), lambda pair: np.stack(lift_ends(pair, mass=mass)))


def _pair(counts: Floats, prior: tuple[float, float]) -> Pair:
    """Beta posteriors of counts of shape (4, m): successes and units of the control, and of the treatment."""
    alpha, beta = prior
    arms = [Arm(alpha + x, beta + (n - x), bounded=True) for x, n in (counts[:2], counts[2:])]
    return Pair(control=arms[0], treatment=arms[1])


def _near(values: Sequence[Floats], off: Sequence[Floats], lines: Sequence[float]) -> Booleans:
    """Where a number may lie on the other side of a line."""
    close = np.zeros(values[0].shape, dtype=np.bool_)
    for value, spare in zip(values, off, strict=True):
        for line in lines:
            close |= np.abs(value - line) <= spare
    return close


def _ties(ends: Floats, off: Floats) -> Booleans:
    """Where two treatments of one reading may stand in the other order, shape (runs, treatments)."""
    gap = np.abs(ends[:, :, None] - ends[:, None, :]) <= off[:, :, None] + off[:, None, :]
    return gap.sum(axis=2) > 1


def _integrated(counts: Floats, prior: tuple[float, float], close: Booleans, found: Floats, exactly: Callable[[Pair], Floats]) -> Floats:
    """`found` of shape (k, m), with what `exactly` says in the place of the entries that are close; each pair of counts once."""
    rows = np.flatnonzero(close)
    if not rows.size:
        return found
    distinct, which = np.unique(counts[:, rows], axis=1, return_inverse=True)
    parts = [exactly(_pair(distinct[:, begin : begin + BLOCK], prior)) for begin in range(0, distinct.shape[1], BLOCK)]
    found[:, rows] = np.concatenate(parts, axis=1)[:, which.ravel()]
    return found
