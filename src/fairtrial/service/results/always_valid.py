"""The look that may be taken at any time: the mSPRT of a difference, tuned by the planned effect (G-13)."""

from __future__ import annotations

from dataclasses import dataclass

from fairtrial.spec.plan import PlanSpec
from fairtrial.stats.moments import Moments
from fairtrial.stats.sequential.msprt import Msprt, msprt
from fairtrial.storage.readings import ArmCounts

DEFAULT_MDE = 0.01
"""Tunes the look at a rate where no effect was planned, in points of the rate."""

SHARE_OF_SD = 0.2
"""Tunes the look at any other metric: this share of its pooled standard deviation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyTimeLook:
    """A look and what went into it.

    Attributes:
        estimate: Treatment minus control, in the metric's unit.
        variance: Variance V of the estimate, its plug-in value.
        tau2: Variance of the mixing distribution.
        look: What the mSPRT says.
    """

    estimate: float
    variance: float
    tau2: float
    look: Msprt


def rate_look(control: ArmCounts, treatment: ArmCounts, plan: PlanSpec, *, planned: bool = True) -> AnyTimeLook | None:
    """A look at the difference of two rates; None while a group is empty or nobody differs.

    V is the variance of the difference of the two observed rates.

    Args:
        control: Counts of the control.
        treatment: Counts of the treatment.
        plan: The plan.
        planned: Whether the plan's effect is one of this metric: it is of the primary alone.
    """
    if treatment.n == 0 or control.n == 0:
        return None
    variance = sum(arm.converters * (arm.n - arm.converters) / arm.n**3 for arm in (treatment, control))
    effect = treatment.converters / treatment.n - control.converters / control.n
    mde = planned_effect(plan) if planned else None
    return _look(effect, variance, DEFAULT_MDE if mde is None else mde, plan.alpha)


def mean_look(control: Moments | None, treatment: Moments | None, plan: PlanSpec, *, planned: bool) -> AnyTimeLook | None:
    """A look at the difference of two means; None while a group has fewer than two units or nobody differs.

    Args:
        control: Moments of the control.
        treatment: Moments of the treatment.
        plan: The plan.
        planned: Whether the plan's effect is one of this metric.
    """
    if control is None or treatment is None or min(control.n, treatment.n) < 2:
        return None
    mde = planned_effect(plan) if planned else None
    if mde is None:
        pooled = (control.m2 + treatment.m2) / (control.n + treatment.n - 2)
        mde = SHARE_OF_SD * pooled**0.5
    variance = control.variance / control.n + treatment.variance / treatment.n
    return _look(treatment.mean - control.mean, variance, mde, plan.alpha)


def planned_effect(plan: PlanSpec) -> float | None:
    """The planned effect in the metric's unit: a relative one times the control's value at planning; None where it is not known."""
    if plan.mde is None or plan.mde_kind == "absolute":
        return plan.mde
    return abs(plan.mde * plan.baseline) or None if plan.baseline is not None else None


def _look(effect: float, variance: float, mde: float, alpha: float) -> AnyTimeLook | None:
    if variance <= 0.0:
        return None
    tau2 = mde * mde
    return AnyTimeLook(estimate=effect, variance=variance, tau2=tau2, look=msprt(effect, variance, tau2=tau2, alpha=alpha))
