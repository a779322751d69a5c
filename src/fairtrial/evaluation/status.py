"""Where the plan stands: what was planned, what came, what these units can show."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Literal

from fairtrial.evaluation.card import declared_of
from fairtrial.evaluation.planning import plan_experiment, sensitivity
from fairtrial.evaluation.scorecard import LookStatus, PlanStatus, SequenceStatus
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.stats.result import Unavailable

SECONDS_A_DAY = 86_400.0
CHANCE = 3.29
"""Standard deviations by which an arm may fall short of its share of a declared total; beyond, 1 in 2,000, a ratio is no chance."""


def plan_status(
    spec: ExperimentSpec,
    units: Mapping[str, int],
    *,
    as_of: dt.datetime | None,
    control_value: float | None,
    control_sd: float | None,
    look: LookStatus | None = None,
    settled: bool = False,
    sequence: SequenceStatus | None = None,
) -> tuple[PlanStatus, dict[str, int] | None]:
    """Compare what came with what was planned.

    Args:
        spec: The experiment.
        units: Units by arm.
        as_of: Moment of the look; None reads the schedule's end.
        control_value: Observed value of the control on the primary metric.
        control_sd: Its standard deviation per unit.
        look: This look, in a plan with planned looks.
        settled: Whether a stopping rule on expected loss is met.
        sequence: What always-valid intervals are made by, in a plan that watches at every look.

    Returns:
        The status, and the planned units by arm where there is a plan.
    """
    planned, origin, why = planned_units(spec)
    days = days_run(spec, as_of)
    min_days_met = spec.plan.min_days is None or (days is not None and days >= spec.plan.min_days)
    max_days_reached = spec.plan.max_days is not None and days is not None and days >= spec.plan.max_days
    enough = planned is None or _has_enough(spec, planned, units)
    if look is not None:
        complete = look.final
    elif planned is None and _may_go_on(spec):
        complete = (settled and min_days_met) or max_days_reached
    else:
        complete = ((enough or settled) and min_days_met) or max_days_reached
    power, effect, lift = None, None, None
    if control_value is not None and control_sd is not None:
        power, effect, lift = sensitivity(spec, units, control_value, control_sd)
    status = PlanStatus(
        planned_n=None if planned is None else sum(planned.values()),
        planned_from=origin,
        actual_n=sum(units.values()),
        complete=complete,
        min_days_met=min_days_met,
        max_days_reached=max_days_reached,
        days=days,
        power_at_mde=power,
        detectable_effect=effect,
        detectable_lift=lift,
        correction=spec.plan.correction if spec.plan.method != "bayesian" else "none",
        reason="The expected loss is below the one that the plan stops at."
        if settled and not enough and min_days_met
        else _reason(spec, planned, units, days, why, complete=complete, min_days_met=min_days_met, max_days_reached=max_days_reached),
        sequential=look,
        sequence=sequence,
        **declared_of(spec.plan),
    )
    return status, planned


def _has_enough(spec: ExperimentSpec, planned: Mapping[str, int], units: Mapping[str, int]) -> bool:
    """Whether the planned units came: every arm's; of a declared total the whole, each arm short of its share by chance at most."""
    total, shares = spec.plan.sample_size, spec.shares
    if total is None or shares is None:
        return all(units[arm] >= n for arm, n in planned.items())
    slack = {arm: CHANCE * math.sqrt(total * share * (1.0 - share)) for arm, share in shares.items()}
    return sum(units[arm] for arm in planned) >= sum(planned.values()) and all(units[arm] >= n - slack[arm] for arm, n in planned.items())


def planned_units(spec: ExperimentSpec) -> tuple[dict[str, int] | None, Literal["sample_size", "power", "none"], str]:
    """Planned units by arm, where they come from, and a sentence."""
    shares = spec.shares
    if spec.plan.sample_size is not None:
        total = spec.plan.sample_size
        if shares is None:
            return None, "none", "A total was planned, but not the arms' shares."
        return {arm: int(total * share + 1e-9) for arm, share in shares.items()}, "sample_size", "As declared."
    plan = plan_experiment(spec)
    if isinstance(plan, Unavailable):
        return None, "none", plan.reason
    return dict(plan.arms), "power", plan.explanation


def days_run(spec: ExperimentSpec, as_of: dt.datetime | None) -> float | None:
    """Days from the schedule's start to the look, or to its end if that came first; None without a schedule."""
    if spec.schedule is None:
        return None
    end = spec.schedule.end
    moment = min((t for t in (as_of, end) if t is not None), default=None)
    return None if moment is None else max((moment - spec.schedule.start).total_seconds() / SECONDS_A_DAY, 0.0)


def _may_go_on(spec: ExperimentSpec) -> bool:
    """Whether a plan without a size has another end, or needs none."""
    return spec.plan.method == "always_valid" or (spec.plan.method == "bayesian" and spec.plan.bayesian.stop_loss is not None)


def _reason(
    spec: ExperimentSpec,
    planned: Mapping[str, int] | None,
    units: Mapping[str, int],
    days: float | None,
    why: str,
    *,
    complete: bool,
    min_days_met: bool,
    max_days_reached: bool,
) -> str:
    if max_days_reached:
        return f"The longest planned run of {spec.plan.max_days} days has been reached."
    if not min_days_met:
        ran = "no schedule says how long the experiment has run" if days is None else f"{days:.1f} have passed"
        return f"The plan asks for {spec.plan.min_days} days; {ran}."
    if planned is None:
        end = "so the data is read as complete" if complete else "so the run has no planned end"
        return f"{why} No size was planned, {end}."
    if complete:
        if any(units[arm] < n for arm, n in planned.items()):
            return f"The planned {sum(planned.values()):,} units came, each arm its share but for chance."
        return f"Every arm has its planned size ({sum(planned.values()):,} in total)."
    short = [f"{arm!r} has {units[arm]:,} of {n:,}" for arm, n in planned.items() if units[arm] < n]
    return f"Units are still missing: {', '.join(short)}."
