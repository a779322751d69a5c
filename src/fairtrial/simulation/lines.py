"""The thresholds that a spec's decisions are read by, whatever the data: two policies, and the lines that they draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fairtrial.decisions import Policy
from fairtrial.evaluation.batch import null_effect
from fairtrial.evaluation.evidence import policy_of
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import MetricSpec
from fairtrial.stats.result import Estimate, Interval, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """What a decision asks of a posterior: on which side of these it lies.

    Attributes:
        effect: Of the effect's ends, in the metric's unit, treatment - control.
        lift: Of the lift and its ends.
        loss: Of the loss of the better choice, as a part of the control's value; None where nobody asks.
        ranked: Which end of the effect treatments are ranked by; None where there is nothing to rank.
    """

    effect: tuple[float, ...]
    lift: tuple[float, ...]
    loss: float | None
    ranked: Literal["low", "high"] | None


def policies_of(spec: ExperimentSpec) -> tuple[Policy, Policy]:
    """The policy where the control's value is positive, and the one where it is not."""
    return policy_of(spec, _POSITIVE), policy_of(spec, _UNKNOWN)


def lines_of(spec: ExperimentSpec, metric: MetricSpec) -> Lines:
    """The lines that the decision table, the ranking of treatments and the stopping rule draw for a metric.

    Args:
        spec: An experiment with a Bayesian plan.
        metric: One of its metrics; of secondary ones only significance is asked.
    """
    null = null_effect(spec, metric)
    if metric.role != "primary":
        return Lines(effect=(null,), lift=(), loss=None, ranked=None)
    sign = 1.0 if metric.direction == "increase" else -1.0
    effect, lift = {null}, set[float]()
    for policy in policies_of(spec):
        asked = effect if policy.scale == "absolute" else lift
        asked.update(sign * line for line in (policy.practical, policy.strong) if line is not None)
    worst: Literal["low", "high"] = "low" if sign > 0 else "high"
    return Lines(
        effect=tuple(sorted(effect)),
        lift=tuple(sorted(lift)),
        loss=spec.plan.bayesian.stop_loss,
        ranked=worst if len(spec.treatments) > 1 else None,
    )


_UNKNOWN = Unavailable(code="unknown", reason="Not known.")
_POSITIVE = Estimate(
    effect=0.0,
    interval=Interval(low=0.0, high=0.0),
    p_value=1.0,
    std_error=None,
    statistic=None,
    df=None,
    control=1.0,
    treatment=1.0,
    n_control=1,
    n_treatment=1,
    alpha=0.05,
    alternative="two-sided",
    method="",
    interval_method="",
)
"""Stands for any reading whose control is positive: all that a policy asks of an estimate."""
