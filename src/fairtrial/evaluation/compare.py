"""The vectorised core: every metric against every treatment at once, corrected, with intervals to match.

Comparisons of one family and one alternative are one batch of arrays. p-values
come first; the declared correction turns them into adjusted ones and gives each
comparison the level at which its interval stands, so that an interval excludes
the null exactly when the adjusted p-value lies below alpha.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.metrics import ArmContrast, Family, Metric
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import MetricSpec, Role
from fairtrial.spec.plan import Correction, LiftMethod
from fairtrial.stats.contrast import MeanContrast
from fairtrial.stats.lift import lift_interval
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.multiplicity import adjust
from fairtrial.stats.proportion_intervals import wilson_interval
from fairtrial.stats.proportions import ProportionContrast, fisher_exact_p
from fairtrial.stats.reading import ArmStats, OutcomeStats
from fairtrial.stats.result import Alternative, Estimate, Interval, Unavailable

Floats = NDArray[np.float64]
Pair = tuple[str, str]
"""Metric key and treatment key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Comparisons that one contrast holds.

    Attributes:
        pairs: Which comparison each entry is.
        p_value: Raw p-values (the exact test's where counts are small), NaN where undefined.
        small_counts: Where the exact test stands in.
    """

    family: Family
    alternative: Alternative
    pairs: tuple[Pair, ...]
    contrast: ArmContrast
    margins: Floats
    p_value: Floats
    small_counts: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Every comparison of a reading.

    Attributes:
        results: By metric and treatment in declared order: an estimate, or why there is none.
        treatment_intervals: Interval of the treatment's own value at the plan's alpha.
        control_sds: Standard deviation per unit of the control, after adjustment, in the metric's unit.
    """

    results: Mapping[Pair, Estimate | Unavailable]
    treatment_intervals: Mapping[Pair, Interval]
    control_sds: Mapping[Pair, float]


def compare(spec: ExperimentSpec, metrics: Sequence[Metric], arms: Mapping[str, ArmStats]) -> Compared:
    """Estimate every metric for every treatment, corrected as the plan declares."""
    results: dict[Pair, Estimate | Unavailable] = {}
    ready: list[tuple[Metric, str, CoMoments, CoMoments]] = []
    for metric in metrics:
        for treatment in spec.treatments:
            pair = (metric.spec.key, treatment)
            sides = _sides(spec, metric, treatment, arms)
            results[pair] = Unavailable(code="pending", reason="")
            if isinstance(sides, Unavailable):
                results[pair] = sides
            else:
                ready.append((metric, treatment, *sides))
    batches = [_batch(spec, family, alternative, members) for (family, alternative), members in _grouped(spec, ready)]
    levels = _levels(spec, batches)
    intervals: dict[Pair, Interval] = {}
    spreads: dict[Pair, float] = {}
    for batch in batches:
        results.update(_estimates(spec, batch, levels))
        intervals.update(_treatment_intervals(batch, spec.plan.alpha))
        spreads.update(_control_sds(batch))
    return Compared(results=results, treatment_intervals=intervals, control_sds=spreads)


def sided(spec: ExperimentSpec, metric: MetricSpec) -> Alternative:
    """The alternative of a metric's test, in SciPy's words.

    Guardrails are always watched on both sides.
    """
    if spec.plan.alternative == "two-sided" or metric.role == "guardrail":
        return "two-sided"
    return "greater" if metric.direction == "increase" else "less"


def null_effect(spec: ExperimentSpec, metric: MetricSpec) -> float:
    """Effect under the null hypothesis, in the metric's unit: 0, or the loss tolerated by non-inferiority."""
    if metric.role != "primary" or spec.plan.objective != "non_inferiority" or metric.margin is None:
        return 0.0
    return -metric.margin if metric.direction == "increase" else metric.margin


def _sides(spec: ExperimentSpec, metric: Metric, treatment: str, arms: Mapping[str, ArmStats]) -> tuple[CoMoments, CoMoments] | Unavailable:
    sides: list[CoMoments] = []
    for arm in (spec.control, treatment):
        outcome = arms[arm].outcomes.get(metric.spec.key)
        if outcome is None:
            return Unavailable(code="empty_arm", reason=f"Arm {arm} has no unit with a value of {metric.spec.key}.")
        if not isinstance(outcome, OutcomeStats):
            return outcome
        sides.append(outcome.moments)
    return sides[0], sides[1]


def _grouped(
    spec: ExperimentSpec, ready: Iterable[tuple[Metric, str, CoMoments, CoMoments]]
) -> Iterable[tuple[tuple[Family, Alternative], list[tuple[Metric, str, CoMoments, CoMoments]]]]:
    groups: dict[tuple[Family, Alternative], list[tuple[Metric, str, CoMoments, CoMoments]]] = {}
    for member in ready:
        groups.setdefault((member[0].family, sided(spec, member[0].spec)), []).append(member)
    return groups.items()


def _batch(
    spec: ExperimentSpec, family: Family, alternative: Alternative, members: Sequence[tuple[Metric, str, CoMoments, CoMoments]]
) -> Batch:
    contrast = family.contrast([member[2] for member in members], [member[3] for member in members])
    margins = np.array([null_effect(spec, member[0].spec) for member in members])
    p_value = contrast.p_value(alternative=alternative, margin=margins)
    small = np.zeros(p_value.shape, dtype=np.bool_)
    if isinstance(contrast, ProportionContrast):
        small = contrast.small_counts & (margins == 0.0) & ~contrast.undefined
        p_value = np.where(small, fisher_exact_p(contrast, where=small, alternative=alternative), p_value)
    return Batch(
        family=family,
        alternative=alternative,
        pairs=tuple((member[0].spec.key, member[1]) for member in members),
        contrast=contrast,
        margins=margins,
        p_value=p_value,
        small_counts=small,
    )


def _levels(spec: ExperimentSpec, batches: Sequence[Batch]) -> dict[Pair, tuple[float, float | None, str | None]]:
    """Level of the interval, adjusted p-value and correction of each comparison."""
    raw = {pair: float(p) for batch in batches for pair, p in zip(batch.pairs, batch.p_value, strict=True)}
    levels: dict[Pair, tuple[float, float | None, str | None]] = dict.fromkeys(raw, (spec.plan.alpha, None, None))
    corrections: tuple[tuple[Role, Correction], ...] = (("primary", spec.plan.correction), ("secondary", spec.plan.secondary_correction))
    for role, method in corrections:
        keys = {metric.key for metric in spec.metrics if metric.role == role}
        family = [pair for pair, p in raw.items() if pair[0] in keys and not np.isnan(p)]
        if len(family) < 2 or method == "none":
            continue
        adjusted = adjust([raw[pair] for pair in family], method, alpha=spec.plan.alpha)
        for pair, p, alpha in zip(family, adjusted.p_adjusted, adjusted.local_alpha, strict=True):
            levels[pair] = (float(alpha), float(p), method)
    return levels


def _estimates(
    spec: ExperimentSpec, batch: Batch, levels: Mapping[Pair, tuple[float, float | None, str | None]]
) -> dict[Pair, Estimate | Unavailable]:
    contrast = batch.contrast
    alphas = np.array([levels[pair][0] for pair in batch.pairs])
    low, high = contrast.interval(alpha=alphas, alternative=batch.alternative)
    method = _lift_method(spec.plan.lift_method, contrast)
    lifts = lift_interval(contrast, alpha=alphas, alternative=batch.alternative, method=method)
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
        if undefined:
            found[pair] = contrast.unavailable(i) or Unavailable(code="undefined", reason="The comparison is not defined.")
            continue
        alpha, p_adjusted, correction = levels[pair]
        bounded = lift[0] and control > 0
        found[pair] = Estimate(
            effect=effect,
            interval=Interval(low=ends[0], high=ends[1]),
            p_value=p,
            std_error=error,
            statistic=None if small else statistic,
            df=df if math.isfinite(df) else None,
            control=control,
            treatment=treatment,
            n_control=int(n_c),
            n_treatment=int(n_t),
            alpha=alpha,
            alternative=batch.alternative,
            margin=margin,
            method="fisher_exact" if small else batch.family.test_name(margin),
            interval_method=batch.family.interval_method,
            lift=treatment / control - 1.0 if control > 0 else None,
            lift_interval=Interval(low=lift[1], high=lift[2]) if bounded else None,
            lift_method=method if bounded else None,
            p_adjusted=p_adjusted,
            correction=correction,
            theta=used[0],
            variance_reduction=used[1],
            notes=("small_counts",) if small else (),
        )
    return found


def _adjustment(batch: Batch) -> tuple[list[float | None], list[float | None]]:
    """Coefficient of the covariate and the variance it saved; None where there is no covariate."""
    contrast = batch.contrast
    if isinstance(contrast, MeanContrast) and batch.family.adjusted:
        return contrast.theta.tolist(), contrast.variance_reduction.tolist()
    nothing: list[float | None] = [None] * len(batch.pairs)
    return nothing, nothing


def _treatment_intervals(batch: Batch, alpha: float) -> dict[Pair, Interval]:
    contrast = batch.contrast
    if isinstance(contrast, ProportionContrast):
        counts = zip(batch.pairs, contrast.successes_treatment, contrast.n_treatment, strict=True)
        return {pair: wilson_interval(int(x), int(n), alpha=alpha) for pair, x, n in counts if n > 0}
    if not isinstance(contrast, MeanContrast):
        return {}
    half = -special.ndtri(alpha / 2) * np.sqrt(contrast.treatment_variance)
    ends = zip(batch.pairs, contrast.treatment - half, contrast.treatment + half, contrast.undefined, strict=True)
    return {pair: Interval(low=float(low), high=float(high)) for pair, low, high, undefined in ends if not undefined}


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
    """Statistic and standard error under the null hypothesis that was tested."""
    contrast = batch.contrast
    if isinstance(contrast, ProportionContrast):
        return contrast.statistic_at(batch.margins), contrast.std_error_at(batch.margins)
    return (contrast.effect - batch.margins) / contrast.std_error, contrast.std_error


def _lift_method(declared: LiftMethod, contrast: ArmContrast) -> Literal["delta", "log", "fieller"]:
    if declared == "auto":
        return "log" if isinstance(contrast, ProportionContrast) else "delta"
    return declared
