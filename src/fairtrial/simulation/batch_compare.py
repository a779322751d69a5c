"""Every comparison of many readings at once: what `evaluation.compare` makes of one, as arrays.

p-values come first, under the promise of the plan's method (`evaluation.control`); the
declared correction turns them into adjusted ones and into the level at which each
interval stands. Only what the decision reads is computed: intervals of the primary
metric and of guardrails, p-values of all. In a Bayesian plan posteriors stand in the
place of both (`batch_beliefs`), but for guardrails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.evaluation.batch import DEFAULT_MDE_SDS, DEFAULT_PROPORTION_MDE, control_of, null_effect, sided
from fairtrial.evaluation.control import AnyLook, Control, PlannedLook
from fairtrial.metrics import ArmContrast, Metric
from fairtrial.simulation.batch_beliefs import Beliefs, believe_replicates
from fairtrial.simulation.batch_corrections import corrected_replicates
from fairtrial.simulation.replicates import Replicates, contrast_of
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import MetricSpec
from fairtrial.spec.plan import LiftMethod
from fairtrial.stats.proportions import ProportionContrast, fisher_exact_p
from fairtrial.stats.result import Alternative

Floats = NDArray[np.float64]

SMALLEST_LEVEL = 1e-300
"""Stands for a level that has no double: an interval at it leaves nothing out that matters."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Test:
    """One metric against every treatment, shape (runs, treatments).

    Attributes:
        metric: As declared.
        alternative: Sides of its test.
        contrast: The comparisons.
        control: What p-values and intervals promise.
        p_value: Under that promise, before correction; NaN where there is no estimate, and everywhere in a belief.
    """

    metric: MetricSpec
    alternative: Alternative
    contrast: ArmContrast
    control: Control
    p_value: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ComparedReplicates:
    """Comparisons of every metric and treatment, shape (runs, treatments) each.

    Attributes:
        tests: By metric key.
        adjusted: p-values after the declared correction; equal to the raw ones where none applies.
        levels: Error rate at which the primary metric's intervals stand.
        alpha: The plan's.
        beliefs: By metric key: posteriors, in a Bayesian plan of all but guardrails.
    """

    tests: Mapping[str, Test]
    adjusted: Mapping[str, Floats]
    levels: Floats
    alpha: float
    beliefs: Mapping[str, Beliefs] = field(default_factory=dict[str, Beliefs])

    def significant(self, key: str) -> NDArray[np.bool_]:
        """Where a metric differs: adjusted p below alpha, or, without a p-value, a credible interval that excludes the null."""
        believed = self.beliefs.get(key)
        return self.adjusted[key] < self.alpha if believed is None else believed.significant


def compare_replicates(
    spec: ExperimentSpec, metrics: Sequence[Metric], replicates: Replicates, planned_looks: PlannedLook | None = None
) -> ComparedReplicates:
    """Compare every treatment with the control on every metric.

    Args:
        spec: The experiment.
        metrics: Its metrics, as built, the primary one among them.
        replicates: Arm statistics.
        planned_looks: The control of this look in a plan with planned looks; None in others.
    """
    tests = {
        metric.spec.key: make_test(spec, metric, contrast_of(metric, replicates.of(metric.spec.key)), planned_looks) for metric in metrics
    }
    primary = tests[spec.primary.key]
    n_control, n_treatment = primary.contrast.n_control, primary.contrast.n_treatment
    with np.errstate(invalid="ignore"):
        shared = np.broadcast_to(np.sqrt(n_treatment / (n_treatment + n_control)), primary.p_value.shape)
    adjusted, levels = corrected_replicates(
        spec, {key: test.p_value for key, test in tests.items()}, alternative=primary.alternative, shared=shared
    )
    beliefs = {key: believe_replicates(spec, test.metric, test.contrast) for key, test in tests.items() if test.control.name == "bayesian"}
    return ComparedReplicates(tests=tests, adjusted=adjusted, levels=levels[spec.primary.key], alpha=spec.plan.alpha, beliefs=beliefs)


def make_test(spec: ExperimentSpec, metric: Metric, contrast: ArmContrast, planned_looks: PlannedLook | None = None) -> Test:
    """A metric's test under the plan's method, Fisher's exact one where counts are small."""
    alternative, margin = sided(spec, metric.spec), null_effect(spec, metric.spec)
    compared = [(metric.spec, treatment) for treatment in spec.treatments]
    control = control_of(spec, compared, planned_effects(spec, metric.spec, contrast), planned_looks)
    if control.name == "bayesian":
        nothing = np.full(contrast.effect.shape, np.nan)
        return Test(metric=metric.spec, alternative=alternative, contrast=contrast, control=control, p_value=nothing)
    raw = contrast.p_value(alternative=alternative, margin=margin)
    if isinstance(contrast, ProportionContrast) and margin == 0.0 and not isinstance(control, AnyLook):
        small = contrast.small_counts & ~contrast.undefined
        if small.any():
            raw = np.where(small, fisher_exact_p(contrast, where=small, alternative=alternative), raw)
    p_value = control.p_value(contrast, raw, alternative=alternative, margin=np.full(raw.shape, margin))
    return Test(metric=metric.spec, alternative=alternative, contrast=contrast, control=control, p_value=p_value)


def planned_effects(spec: ExperimentSpec, metric: MetricSpec, contrast: ArmContrast) -> Floats:
    """The smallest effect that matters, in the metric's unit, of each comparison; NaN where none can be had."""
    plan, shape = spec.plan, contrast.effect.shape
    if metric.role == "primary" and plan.mde is not None:
        base = np.full(shape, plan.baseline) if plan.baseline is not None else contrast.control
        effects = np.full(shape, plan.mde) if plan.mde_kind == "absolute" else np.abs(plan.mde * base)
    elif metric.kind == "proportion":
        effects = np.full(shape, DEFAULT_PROPORTION_MDE)
    else:
        effects = DEFAULT_MDE_SDS * np.sqrt(np.maximum(contrast.control_variance * contrast.n_control, 0.0))
    return np.where(effects > 0, effects, np.nan)


def lift_method_of(declared: LiftMethod, contrast: ArmContrast) -> Literal["delta", "log", "fieller"]:
    """The lift interval that a plan asks for: by itself log for proportions, delta otherwise."""
    if declared == "auto":
        return "log" if isinstance(contrast, ProportionContrast) else "delta"
    return declared
