"""The vectorised core: every metric against every treatment at once, corrected, with intervals to match.

Comparisons of one family and one alternative are one batch of arrays. p-values
come first; the declared correction turns them into adjusted ones and gives each
comparison the level at which its interval stands, so that an interval excludes
the null exactly when the adjusted p-value lies below alpha. What a p-value and an
interval promise - at one look, at planned looks, at any look - is the plan's `Control`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.evaluation.batch import Batch, Member, Pair, batch_of, grouped, null_effect, sided, sides_of
from fairtrial.evaluation.control import AnyLook, PlannedLook
from fairtrial.evaluation.corrections import Claim, Level, corrected
from fairtrial.evaluation.credible import believe, best_arm
from fairtrial.evaluation.exact_rates import ExactRates
from fairtrial.evaluation.own_values import control_sds, treatment_intervals
from fairtrial.evaluation.rowwise import UnitResult, UnitTask, compare_units, is_of_units, make_task
from fairtrial.evaluation.scorecard import PosteriorSummary
from fairtrial.evaluation.sequence import any_look
from fairtrial.metrics import ArmContrast, Metric
from fairtrial.metrics.family import Means
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.plan import LiftMethod
from fairtrial.stats.contrast import MeanContrast
from fairtrial.stats.proportion_intervals import wilson_interval
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.reading import ArmStats
from fairtrial.stats.result import Estimate, Interval, Unavailable
from fairtrial.stats.sequential.confidence_sequences import MIN_ARM_EVENTS, MIN_ARM_UNITS

Floats = NDArray[np.float64]
NO_VARIANCE = Unavailable(code="no_variance", reason="The metric does not vary within the arms, so nothing can be inferred.")
TOO_FEW_FOR_ANY_LOOK = Unavailable(
    code="too_early",
    reason=f"An arm has fewer than {MIN_ARM_UNITS} units, or {MIN_ARM_EVENTS} events: too few for a test at any look, which is normal.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Every comparison of a reading.

    Attributes:
        results: By metric and treatment in declared order: an estimate, or why there is none.
        treatment_intervals: Interval of the treatment's own value at the plan's alpha.
        control_sds: Standard deviation per unit of the control, after adjustment, in the metric's unit.
        effects: The smallest effect that matters, in the metric's unit, where one is known.
        watch: By treatment: the primary effect's always-valid two-sided interval, alpha shared among the treatments.
        posteriors: What is believed of each comparison, in a Bayesian plan.
        best: By arm: probability to be the best on the primary metric, in a Bayesian plan.
    """

    results: Mapping[Pair, Estimate | Unavailable]
    treatment_intervals: Mapping[Pair, Interval]
    control_sds: Mapping[Pair, float]
    effects: Mapping[Pair, float]
    watch: Mapping[str, Interval]
    posteriors: Mapping[Pair, PosteriorSummary]
    best: Mapping[str, float]


def compare(
    spec: ExperimentSpec, metrics: Sequence[Metric], arms: Mapping[str, ArmStats], planned_looks: PlannedLook | None = None
) -> Compared:
    """Estimate every metric for every treatment, corrected as the plan declares.

    Args:
        spec: The experiment.
        metrics: Its metrics.
        arms: Statistics of every arm.
        planned_looks: The control of this look in a plan with planned looks; None in others.
    """
    results: dict[Pair, Estimate | Unavailable] = {}
    ready: list[Member] = []
    tasks: list[UnitTask] = []
    for metric in metrics:
        for treatment in spec.treatments:
            pair = (metric.spec.key, treatment)
            sides = sides_of(spec, metric, treatment, arms)
            results[pair] = Unavailable(code="pending", reason="")
            if isinstance(sides, Unavailable):
                results[pair] = sides
            elif is_of_units(metric):
                tasks.append(_task(spec, metric, treatment, arms))
            else:
                ready.append((metric, treatment, *sides))
    batches = [batch_of(spec, members, planned_looks) for members in grouped(spec, ready)]
    of_units = compare_units(tasks)
    levels = corrected(spec, _claims(batches, of_units))
    for one in of_units:
        level = levels[one.task.pair]
        results[one.task.pair] = one.at(level.alpha, level.p_adjusted, level.correction)
    intervals: dict[Pair, Interval] = treatment_intervals(tasks)
    spreads: dict[Pair, float] = control_sds(tasks)
    effects: dict[Pair, float] = {}
    watch: dict[str, Interval] = {}
    posteriors: dict[Pair, PosteriorSummary] = {}
    best: dict[str, float] = {}
    for batch in batches:
        effects.update((pair, effect) for pair, effect in zip(batch.pairs, batch.effects.tolist(), strict=True) if not math.isnan(effect))
        if batch.control.name == "bayesian":
            believed = believe(spec, batch)
            results.update(believed.results)
            posteriors.update(believed.posteriors)
            if any(metric == spec.primary.key for metric, _ in batch.pairs):
                best = best_arm(spec, batch)
        else:
            results.update(estimates_of(spec, batch, levels))
        intervals.update(_treatment_intervals(batch, spec.plan.alpha))
        spreads.update(_control_sds(batch))
        watch.update(_watch(spec, batch))
    return Compared(
        results=results,
        treatment_intervals=intervals,
        control_sds=spreads,
        effects=effects,
        watch=watch,
        posteriors=posteriors,
        best=best,
    )


def _task(spec: ExperimentSpec, metric: Metric, treatment: str, arms: Mapping[str, ArmStats]) -> UnitTask:
    """A comparison by a test of units."""
    return make_task(
        metric,
        treatment,
        arms,
        experiment=spec.key,
        control=spec.control,
        alternative=sided(spec, metric.spec),
        margin=null_effect(spec, metric.spec),
        alpha=spec.plan.alpha,
    )


def _claims(batches: Sequence[Batch], of_units: Sequence[UnitResult]) -> dict[Pair, Claim]:
    """What every comparison claims, before correction."""
    claims: dict[Pair, Claim] = {}
    for batch in batches:
        columns = zip(
            batch.pairs, batch.p_value.tolist(), batch.contrast.n_control.tolist(), batch.contrast.n_treatment.tolist(), strict=True
        )
        claims |= {pair: Claim(p_value=p, alternative=batch.alternative, n_control=n, n_treatment=m) for pair, p, n, m in columns}
    for one in of_units:
        found = one.found
        n, m = (found.n_control, found.n_treatment) if isinstance(found, Estimate) else (1, 1)
        claims[one.task.pair] = Claim(p_value=one.p_value, alternative=one.task.alternative, n_control=n, n_treatment=m)
    return claims


def estimates_of(spec: ExperimentSpec, batch: Batch, levels: Mapping[Pair, Level]) -> dict[Pair, Estimate | Unavailable]:
    """Estimates of a batch, each at its level, or why there is none.

    Args:
        spec: The experiment.
        batch: Comparisons by one formula, of a plan that is not Bayesian.
        levels: Where each stands after correction, by metric and treatment.
    """
    contrast = batch.contrast
    alphas = np.array([levels[pair].alpha for pair in batch.pairs])
    low, high = batch.control.interval(contrast, alpha=alphas, alternative=batch.alternative)
    method = _lift_method(spec.plan.lift_method, contrast)
    lifts = batch.control.lift(contrast, alpha=alphas, alternative=batch.alternative, method=method)
    sequence = batch.control.method if isinstance(batch.control, AnyLook) else None
    exact = isinstance(batch.control, ExactRates)
    theta, saved = _adjustment(batch)
    statistics, errors = _standardised(batch)
    columns = zip(
        batch.pairs,
        contrast.undefined.tolist(),
        batch.small_counts.tolist(),
        contrast.effect.tolist(),
        contrast.control.tolist(),
        contrast.treatment.tolist(),
        errors.tolist(),
        statistics.tolist(),
        contrast.df.tolist(),
        contrast.n_control.tolist(),
        contrast.n_treatment.tolist(),
        zip(low.tolist(), high.tolist(), strict=True),
        zip(lifts.defined.tolist(), lifts.low.tolist(), lifts.high.tolist(), strict=True),
        batch.p_value.tolist(),
        batch.margins.tolist(),
        zip(theta, saved, strict=True),
        strict=True,
    )
    found: dict[Pair, Estimate | Unavailable] = {}
    for i, (pair, undefined, small, effect, control, treatment, error, statistic, df, n_c, n_t, ends, lift, p, margin, used) in enumerate(
        columns
    ):
        if undefined or math.isnan(p):
            found[pair] = _why_not(batch, i)
            continue
        level = levels[pair]
        bounded = lift[0] and control > 0
        found[pair] = Estimate(
            effect=effect,
            interval=Interval(low=ends[0], high=ends[1]),
            p_value=p,
            std_error=error,
            statistic=None if small or exact else statistic,
            df=df if math.isfinite(df) else None,
            control=control,
            treatment=treatment,
            n_control=int(n_c),
            n_treatment=int(n_t),
            alpha=level.alpha,
            alternative=batch.alternative,
            margin=margin,
            method="fisher_exact" if small else sequence or batch.family.test_name(margin),
            interval_method=sequence or batch.family.interval_method,
            lift=treatment / control - 1.0 if control > 0 else None,
            lift_interval=Interval(low=lift[1], high=lift[2]) if bounded else None,
            lift_method=(sequence if exact else method) if bounded else None,
            p_adjusted=level.p_adjusted,
            correction=level.correction,
            error_control=batch.control.name,
            theta=used[0],
            variance_reduction=used[1],
            notes=("small_counts",) if small else (),
        )
    return found


def _why_not(batch: Batch, index: int) -> Unavailable:
    if isinstance(batch.control, AnyLook) and batch.control.too_early(batch.contrast)[index]:
        return TOO_FEW_FOR_ANY_LOOK
    return batch.contrast.unavailable(index) or NO_VARIANCE


def _watch(spec: ExperimentSpec, batch: Batch) -> dict[str, Interval]:
    """Always-valid intervals of the primary metric, whatever the plan's method: harm may be looked for at any time."""
    if spec.primary.key not in {metric for metric, _ in batch.pairs}:
        return {}
    shared = np.full(len(batch.pairs), spec.plan.alpha / len(spec.treatments))
    control = any_look(spec, [(spec.metric(metric), treatment) for metric, treatment in batch.pairs], batch.effects)
    low, high = control.interval(batch.contrast, alpha=shared, alternative="two-sided")
    ends = zip(batch.pairs, low.tolist(), high.tolist(), strict=True)
    return {t: Interval(low=a, high=b) for (metric, t), a, b in ends if metric == spec.primary.key and not math.isnan(a)}


def _adjustment(batch: Batch) -> tuple[list[float | None], list[float | None]]:
    """Coefficient of the covariate and the variance it saved; None where there is no covariate."""
    contrast = batch.contrast
    nothing: list[float | None] = [None] * len(batch.pairs)
    if isinstance(contrast, MeanContrast) and batch.family.adjusted:
        several = isinstance(batch.family, Means) and batch.family.several
        return nothing if several else contrast.theta.tolist(), contrast.variance_reduction.tolist()
    return nothing, nothing


def _treatment_intervals(batch: Batch, alpha: float) -> dict[Pair, Interval]:
    contrast = batch.contrast
    if isinstance(contrast, ProportionContrast) and isinstance(batch.control, ExactRates):
        low, high = batch.control.own_rate(contrast, alpha=alpha)
        rates = zip(batch.pairs, low.tolist(), high.tolist(), contrast.n_treatment, strict=True)
        return {pair: Interval(low=least, high=most) for pair, least, most, n in rates if n > 0}
    if isinstance(contrast, ProportionContrast):
        levels = _own_levels(batch, alpha)
        counts = zip(batch.pairs, contrast.successes_treatment, contrast.n_treatment, levels, strict=True)
        return {pair: wilson_interval(int(x), int(n), alpha=float(level)) for pair, x, n, level in counts if n > 0}
    if not isinstance(contrast, MeanContrast):
        return {}
    half = -special.ndtri(_own_levels(batch, alpha) / 2) * np.sqrt(contrast.treatment_variance)
    ends = zip(batch.pairs, contrast.treatment - half, contrast.treatment + half, contrast.undefined, strict=True)
    return {pair: Interval(low=float(low), high=float(high)) for pair, low, high, undefined in ends if not undefined}


def _own_levels(batch: Batch, alpha: float) -> Floats:
    """Level at which the interval of the treatment's own value stands: that of one look, or of any."""
    if isinstance(batch.control, AnyLook):
        return batch.control.nominal_of(batch.contrast, alpha=alpha)
    return np.full(len(batch.pairs), alpha)


def _control_sds(batch: Batch) -> dict[Pair, float]:
    contrast = batch.contrast
    if isinstance(contrast, ProportionContrast):
        spread = np.sqrt(contrast.control * (1.0 - contrast.control))
    elif isinstance(contrast, MeanContrast):
        spread = np.sqrt(contrast.control_variance * contrast.n_control)
    else:
        return {}
    return {pair: float(sd) for pair, sd, undefined in zip(batch.pairs, spread, contrast.undefined, strict=True) if not undefined}


def _standardised(batch: Batch) -> tuple[Floats, Floats]:
    """Statistic and standard error: under the null hypothesis that was tested, or unpooled at any look."""
    contrast = batch.contrast
    if isinstance(batch.control, AnyLook):
        error = np.sqrt(contrast.control_variance + contrast.treatment_variance - 2.0 * contrast.covariance)
        with np.errstate(divide="ignore", invalid="ignore"):
            return (contrast.effect - batch.margins) / error, error
    if isinstance(contrast, ProportionContrast):
        return contrast.statistic_at(batch.margins), contrast.std_error_at(batch.margins)
    return (contrast.effect - batch.margins) / contrast.std_error, contrast.std_error


def _lift_method(declared: LiftMethod, contrast: ArmContrast) -> Literal["delta", "log", "fieller"]:
    if declared == "auto":
        return "log" if isinstance(contrast, ProportionContrast) else "delta"
    return declared
