"""How long an experiment runs: days to reach its units, and whether that fits the business.

The steps of XC-17: a buffer on the units, whole days at the eligible traffic, an
allowance for traffic that varies from day to day, at least two weeks and the
business's own minimum, rounded up to whole weeks so that every weekday counts alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fairtrial.errors import UsageError
from fairtrial.stats.power import check_positive, round_up

Feasibility = Literal["FEASIBLE", "MARGINAL", "NOT_FEASIBLE"]

SHORTEST_DAYS = 14
"""Two whole weeks: the least that shows a novelty wear off and every weekday twice."""
FEWEST_DAILY_UNITS = 100
"""Units a day below which a forecast of days is a guess."""
VARIABILITY_WEIGHT = 0.5
"""Share of the traffic's coefficient of variation by which the days are stretched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """Days that an experiment takes.

    Attributes:
        target_per_arm: Units per arm with the buffer.
        target_total: Units in total with the buffer.
        required_days: Days to reach them at the mean traffic.
        variability_adjusted_days: Days with the allowance for varying traffic.
        final_days: Whole weeks to plan, at least two and the business's minimum.
        status: Whether that fits; MARGINAL when traffic is too thin to forecast.
        reasons: Why not, in sentences.
    """

    target_per_arm: int
    target_total: int
    required_days: int
    variability_adjusted_days: int
    final_days: int
    status: Feasibility
    reasons: tuple[str, ...]


def experiment_duration_days(n_total: float, daily_eligible_units: float, *, traffic_share: float = 1.0) -> float:
    """Days until an experiment has its units, not rounded (`round_up` gives whole days).

    Args:
        n_total: Units needed in total, > 0.
        daily_eligible_units: New eligible units a day, > 0.
        traffic_share: Share of them that enters the experiment, in (0, 1].

    Raises:
        UsageError: An argument lies outside its range.
    """
    check_positive("n_total", n_total)
    check_positive("daily_eligible_units", daily_eligible_units)
    if not 0.0 < traffic_share <= 1.0:
        raise UsageError(f"traffic_share must lie in (0, 1], got {traffic_share:g}.")
    return n_total / (daily_eligible_units * traffic_share)


def plan_duration(
    n_per_arm: int,
    daily_eligible_units: float,
    *,
    arms: int = 2,
    daily_cv: float = 0.0,
    buffer: float = 1.1,
    minimum_days: int = SHORTEST_DAYS,
    maximum_days: int | None = None,
) -> Duration:
    """Days to plan for equal arms of `n_per_arm` units (XC-17).

    Args:
        n_per_arm: Units per arm that the power calls for, >= 1.
        daily_eligible_units: New eligible units a day, > 0.
        arms: Number of arms, >= 2.
        daily_cv: Coefficient of variation of the daily traffic, >= 0.
        buffer: Factor on the units for those that will be lost, >= 1.
        minimum_days: The business's own minimum; never less than 14 days are planned.
        maximum_days: The business's own maximum; None for none.

    Raises:
        UsageError: An argument lies outside its range.
    """
    if n_per_arm < 1 or arms < 2:
        raise UsageError(f"A plan must have at least 2 arms of at least 1 unit, got {arms} arms of {n_per_arm}.")
    if not (math.isfinite(buffer) and buffer >= 1.0):
        raise UsageError(f"buffer must be at least 1, got {buffer:g}.", hint="1.1 adds ten percent to the units.")
    if not (math.isfinite(daily_cv) and daily_cv >= 0.0):
        raise UsageError(f"daily_cv must be at least 0, got {daily_cv:g}.")
    target = round_up(n_per_arm * buffer)
    required = round_up(experiment_duration_days(target * arms, daily_eligible_units))
    adjusted, final = whole_weeks(required, daily_cv=daily_cv, minimum_days=minimum_days)
    status, reasons = judge_duration(final, daily_eligible_units, maximum_days)
    return Duration(
        target_per_arm=target,
        target_total=target * arms,
        required_days=required,
        variability_adjusted_days=adjusted,
        final_days=final,
        status=status,
        reasons=reasons,
    )


def whole_weeks(required_days: int, *, daily_cv: float = 0.0, minimum_days: int = SHORTEST_DAYS) -> tuple[int, int]:
    """Days with the allowance for varying traffic, and the whole weeks to plan (XC-17).

    Args:
        required_days: Days to reach the units at the mean traffic.
        daily_cv: Coefficient of variation of the daily traffic, >= 0.
        minimum_days: The business's own minimum; never less than 14 days are planned.
    """
    adjusted = round_up(required_days * (1.0 + VARIABILITY_WEIGHT * daily_cv))
    return adjusted, 7 * math.ceil(max(adjusted, SHORTEST_DAYS, minimum_days) / 7)


def judge_duration(final_days: int, daily_eligible_units: float, maximum_days: int | None) -> tuple[Feasibility, tuple[str, ...]]:
    """Whether so many days fit the business, and why not, in sentences."""
    status: Feasibility = "FEASIBLE"
    reasons: list[str] = []
    if daily_eligible_units < FEWEST_DAILY_UNITS:
        status = "MARGINAL"
        reasons.append(f"{daily_eligible_units:g} eligible units a day are fewer than {FEWEST_DAILY_UNITS}: the forecast is unsure")
    if maximum_days is not None and final_days > maximum_days:
        status = "NOT_FEASIBLE"
        reasons.insert(0, f"final duration {final_days} days exceeds the business maximum of {maximum_days} days")
    return status, tuple(reasons)
