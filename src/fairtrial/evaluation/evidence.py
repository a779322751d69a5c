"""From estimates to evidence: turned by direction, with the thresholds they are read by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fairtrial.decisions import Evidence, Override, Policy
from fairtrial.decisions.guardrails import worst
from fairtrial.evaluation.guard import oriented
from fairtrial.evaluation.scorecard import Guardrail, PlanStatus
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import MetricSpec
from fairtrial.spec.plan import SEQUENTIAL, PlanSpec
from fairtrial.stats.result import Estimate, Interval, Unavailable

MIN_ARM_UNITS = 10
"""Units per arm below which nothing is decided."""


def improvement(estimate: Estimate, metric: MetricSpec) -> Interval:
    """The effect's interval, positive being better."""
    return oriented(estimate.interval, increase_is_better=metric.direction == "increase")


def is_significant(estimate: Estimate, alpha: float) -> bool:
    """Whether the (corrected) p-value lies below `alpha`; without one, whether the interval excludes the null."""
    p_value = estimate.p_value if estimate.p_adjusted is None else estimate.p_adjusted
    return estimate.interval.excludes(estimate.margin) if p_value is None else p_value < alpha


def read_direction(
    metric: MetricSpec, estimate: Estimate | None, alpha: float
) -> Literal["better", "worse", "inconclusive", "unavailable"]:
    """What an estimate says in its metric's direction: significance and interval together."""
    if estimate is None:
        return "unavailable"
    interval = improvement(estimate, metric)
    if is_significant(estimate, alpha):
        if interval.low > 0:
            return "better"
        if interval.high < 0:
            return "worse"
    return "inconclusive"


def policy_of(spec: ExperimentSpec, primary: Estimate | Unavailable) -> Policy:
    """The thresholds of the plan; where none is declared the planned MDE stands in."""
    plan = spec.plan
    margin = spec.primary.margin or 0.0
    positive = isinstance(primary, Estimate) and primary.control > 0
    absolute = plan.practical_threshold_absolute
    if plan.practical_threshold is not None and (positive or absolute is None):
        practical, scale, origin = plan.practical_threshold, "relative", "declared"
    elif absolute is not None:
        practical, scale, origin = absolute, "absolute", "declared"
    elif plan.mde is not None:
        practical, scale, origin = plan.mde, plan.mde_kind, "planned_mde"
    else:
        return Policy(
            objective=plan.objective,
            margin=margin,
            strong=plan.strong_threshold,
            futility_power=plan.sequential.futility_power,
            overrides=_overrides(plan),
        )
    strong = plan.strong_threshold if plan.strong_threshold is not None and scale == "relative" else practical
    return Policy(
        objective=plan.objective,
        margin=margin,
        practical=practical,
        strong=strong,
        scale=scale,
        origin=origin,
        futility_power=plan.sequential.futility_power,
        overrides=_overrides(plan),
    )


def _overrides(plan: PlanSpec) -> dict[str, Override]:
    """What the plan changes in the decision table."""
    return {
        number: Override(verdict=own.verdict, confidence=own.confidence, risk=own.risk, next_steps=own.next_steps)
        for number, own in plan.decision_table.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is the same for every treatment.

    Attributes:
        status: Where the plan stands.
        invalid: Why the data cannot be trusted, one sentence each.
        units: Units by arm.
        live: Whether units are being assigned now.
    """

    status: PlanStatus
    invalid: tuple[str, ...]
    units: Mapping[str, int]
    live: bool


def gather_evidence(
    spec: ExperimentSpec,
    treatment: str,
    primary: Estimate | Unavailable,
    *,
    watch: Interval | None,
    conditional_power: float | None,
    guardrails: Sequence[Guardrail],
    situation: Situation,
) -> Evidence:
    """All that the decision table reads of one treatment.

    Args:
        spec: The experiment.
        treatment: Whom it speaks of.
        primary: Its estimate on the primary metric.
        watch: The always-valid interval of the effect.
        conditional_power: Power left at the planned MDE, in a plan that stops for futility.
        guardrails: States of its guardrails.
        situation: What is the same for every treatment.
    """
    status = situation.status
    increase = spec.primary.direction == "increase"
    estimate = primary if isinstance(primary, Estimate) else None
    lift_interval = (
        None if estimate is None or estimate.lift_interval is None else oriented(estimate.lift_interval, increase_is_better=increase)
    )
    sign = 1.0 if increase else -1.0
    return Evidence(
        invalid=situation.invalid,
        insufficient=_insufficient(spec, primary, treatment, situation.units),
        effect=None if estimate is None else sign * estimate.effect,
        interval=None if estimate is None else improvement(estimate, spec.primary),
        lift=None if estimate is None or estimate.lift is None else sign * estimate.lift,
        lift_interval=lift_interval,
        significant=estimate is not None and is_significant(estimate, spec.plan.alpha),
        harm_interval=_harm_interval(spec, estimate, watch, complete=status.complete),
        guardrails=worst([guardrail.status for guardrail in guardrails]),
        guardrails_non_inferior=all(guardrail.non_inferior for guardrail in guardrails),
        guardrail_reasons=tuple(guardrail.reason for guardrail in guardrails if guardrail.status != "PASS"),
        planned=status.planned_from != "none",
        plan_complete=status.complete,
        fixed_horizon=spec.plan.method not in SEQUENTIAL,
        looks_left=spec.plan.method in SEQUENTIAL and not status.complete and not status.max_days_reached,
        conditional_power=conditional_power,
        min_days_met=status.min_days_met or status.max_days_reached,
        max_days_reached=status.max_days_reached,
        live=situation.live,
        gave_up=None if status.sequential is None or status.sequential.futility_bound is None else treatment in status.sequential.given_up,
        error_controlled=spec.plan.method != "bayesian",
    )


def _insufficient(spec: ExperimentSpec, primary: Estimate | Unavailable, treatment: str, units: Mapping[str, int]) -> str | None:
    small = [f"{arm} ({units[arm]})" for arm in (spec.control, treatment) if units[arm] < MIN_ARM_UNITS]
    if small:
        return f"fewer than {MIN_ARM_UNITS} units in {', '.join(small)}"
    return primary.reason if isinstance(primary, Unavailable) else None


def _harm_interval(spec: ExperimentSpec, estimate: Estimate | None, watch: Interval | None, *, complete: bool) -> Interval | None:
    """The interval that harm is read from; a single look's only where its p-value agrees (or a margin is read)."""
    if estimate is None:
        return None
    method = spec.plan.method
    if method == "hybrid" or (method == "fixed" and not complete):
        return None if watch is None else oriented(watch, increase_is_better=spec.primary.direction == "increase")
    agreed = is_significant(estimate, spec.plan.alpha) or spec.plan.objective == "non_inferiority"
    return improvement(estimate, spec.primary) if agreed else None
