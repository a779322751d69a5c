"""Comparisons of one formula, side and promise, stacked: what a batch holds and how batches are formed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.evaluation.control import AnyLook, Belief, Control, PlannedLook, SingleLook
from fairtrial.evaluation.sequence import Compared, any_look
from fairtrial.metrics import ArmContrast, Family, Metric
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import MetricSpec
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.proportions import ProportionContrast, fisher_exact_p
from fairtrial.stats.reading import ArmStats, OutcomeStats
from fairtrial.stats.result import Alternative, Unavailable

Floats = NDArray[np.float64]
Pair = tuple[str, str]
"""Metric key and treatment key."""
Member = tuple[Metric, str, CoMoments, CoMoments]
"""Metric, treatment, moments of the control and of the treatment."""

DEFAULT_PROPORTION_MDE = 0.01
DEFAULT_MDE_SDS = 0.2
"""What tunes an always-valid comparison where no MDE was planned: absolute for rates, in standard deviations otherwise (G-13)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Comparisons that one contrast holds.

    Attributes:
        control: What p-values and intervals promise.
        pairs: Which comparison each entry is.
        effects: The smallest effect that matters of each, in its unit; NaN where none can be had.
        p_value: Uncorrected p-values (the exact test's where counts are small), NaN where undefined.
        small_counts: Where an expected count is below 5.
    """

    family: Family
    alternative: Alternative
    control: Control
    effects: Floats
    pairs: tuple[Pair, ...]
    contrast: ArmContrast
    margins: Floats
    p_value: Floats
    small_counts: NDArray[np.bool_]


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


def sides_of(
    spec: ExperimentSpec, metric: Metric, treatment: str, arms: Mapping[str, ArmStats]
) -> tuple[CoMoments, CoMoments] | Unavailable:
    """Moments of the control and of the treatment, or why they are not there."""
    sides: list[CoMoments] = []
    for arm in (spec.control, treatment):
        outcome = arms[arm].outcomes.get(metric.spec.key)
        if outcome is None:
            return Unavailable(code="empty_arm", reason=f"Arm {arm} has no unit with a value of {metric.spec.key}.")
        if not isinstance(outcome, OutcomeStats):
            return outcome
        moments = outcome.moments if outcome.stratified is None else outcome.stratified
        if isinstance(moments, Unavailable):
            return moments
        sides.append(moments)
    return sides[0], sides[1]


def grouped(spec: ExperimentSpec, ready: Iterable[Member]) -> Iterable[list[Member]]:
    """Comparisons by the same formula, on the same side, with the same promise."""
    groups: dict[tuple[Family, Alternative, str], list[Member]] = {}
    for member in ready:
        metric = member[0]
        # a binding futility bound gives the primary metric a boundary of its own
        promise = metric.spec.role if metric.spec.role == "guardrail" or spec.plan.sequential.binding else ""
        groups.setdefault((metric.family, sided(spec, metric.spec), promise), []).append(member)
    return groups.values()


def batch_of(spec: ExperimentSpec, members: Sequence[Member], planned_looks: PlannedLook | None) -> Batch:
    """The batch of one group's members.

    Args:
        spec: The experiment.
        members: One group of `grouped`.
        planned_looks: The control of this look in a plan with planned looks; None in others.
    """
    family, alternative = members[0][0].family, sided(spec, members[0][0].spec)
    contrast = family.contrast([member[2] for member in members], [member[3] for member in members])
    effects = np.array([planned_effect(spec, member[0].spec, contrast, i) for i, member in enumerate(members)])
    control = control_of(spec, [(member[0].spec, member[1]) for member in members], effects, planned_looks)
    margins = np.array([null_effect(spec, member[0].spec) for member in members])
    raw = contrast.p_value(alternative=alternative, margin=margins)
    small = np.zeros(raw.shape, dtype=np.bool_)
    if isinstance(contrast, ProportionContrast) and not isinstance(control, AnyLook):
        small = contrast.small_counts & (margins == 0.0) & ~contrast.undefined
        raw = np.where(small, fisher_exact_p(contrast, where=small, alternative=alternative), raw)
    return Batch(
        family=family,
        alternative=alternative,
        control=control,
        effects=effects,
        pairs=tuple((member[0].spec.key, member[1]) for member in members),
        contrast=contrast,
        margins=margins,
        p_value=control.p_value(contrast, raw, alternative=alternative, margin=margins),
        small_counts=small,
    )


def control_of(spec: ExperimentSpec, compared: Compared, effects: Floats, planned_looks: PlannedLook | None) -> Control:
    """What comparisons promise; guardrails are watched, at every look where that is the plan.

    Args:
        spec: The experiment.
        compared: Metric and treatment of each; all guardrails or none, and under a binding bound all of one role.
        effects: The smallest effect that matters of each, in its unit.
        planned_looks: The control of this look in a plan with planned looks; None in others.
    """
    method, role = spec.plan.method, compared[0][0].role
    if method == "always_valid" or (method == "hybrid" and role == "guardrail"):
        return any_look(spec, compared, effects)
    if method == "bayesian" and role != "guardrail":
        return Belief()
    return planned_looks.for_role(role) if planned_looks is not None and role != "guardrail" else SingleLook()


def planned_effect(spec: ExperimentSpec, metric: MetricSpec, contrast: ArmContrast, index: int) -> float:
    """The smallest effect that matters, in the metric's unit: the primary's MDE, else a default (G-13); NaN where there is none."""
    plan = spec.plan
    if metric.role == "primary" and plan.mde is not None:
        base = plan.baseline if plan.baseline is not None else float(contrast.control[index])
        effect = plan.mde if plan.mde_kind == "absolute" else abs(plan.mde * base)
    elif metric.kind == "proportion":
        effect = DEFAULT_PROPORTION_MDE
    else:
        effect = DEFAULT_MDE_SDS * math.sqrt(max(float(contrast.control_variance[index] * contrast.n_control[index]), 0.0))
    return effect if effect > 0 else math.nan
