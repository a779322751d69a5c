"""The primary metric of a staged rollout, look by look: boundary, intervals, and what may be said after a stop (AD-07, AD-13).

Improvement is positive whatever the metric's direction. Looks are one a day from the first
look on unless others are named; information is day / max_days unless it is known better. The
interval in force is estimate -+ boundary standard errors (Jennison & Turnbull 1989), which holds
at all looks together. Before the first look nobody planned to look, so the interval is the
always-valid one of a normal mixture, and it is read for harm alone.

After a stop the plain estimate lies too far from 0 more often than not; the median-unbiased
one and its interval (Tsiatis, Rosner & Mehta 1984) stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fairtrial.decisions.ramp_evidence import Contrast, MeanArm, PrimaryEvidence, RolloutEvidence, RolloutPolicy, check_number, check_whole
from fairtrial.decisions.ramp_guardrails import MDE_IN_SD, spread_between_users
from fairtrial.errors import UsageError
from fairtrial.stats.result import Interval
from fairtrial.stats.sequential.boundaries import Boundaries, GroupSequentialDesign, Spending, actual_boundaries
from fairtrial.stats.sequential.msprt import msprt
from fairtrial.stats.sequential.stagewise import stagewise_estimate

FARTHEST_LIFT = 1e9
"""Relative effects and errors beyond have no meaning."""

SPENDING: dict[str, Spending] = {"lan_demets_obrien_fleming": "lan-demets-obrien-fleming", "lan_demets_pocock": "lan-demets-pocock"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterStop:
    """What may be said of the effect after a look that stops.

    Attributes:
        improvement_abs: The plain estimate, marked as biased away from 0.
        median_unbiased: The estimate that lies above and below the truth equally often.
        ci_low: Lower end of the interval that allows for the stop.
        ci_high: Upper end.
        p_value: Two-sided, allowing for the stop.
        relative: `median_unbiased` over the control; None where the control is not positive.
        biased: Which way the plain estimate errs: `away_from_zero`.
    """

    improvement_abs: float
    median_unbiased: float
    ci_low: float
    ci_high: float
    p_value: float
    relative: float | None
    biased: Literal["away_from_zero"] = "away_from_zero"

    def to_dict(self) -> dict[str, object]:
        """The figures as plain JSON."""
        return {
            "improvement_abs": self.improvement_abs,
            "biased": self.biased,
            "median_unbiased": self.median_unbiased,
            "ci_low": self.ci_low,
            "ci_high": self.ci_high,
            "p_value": self.p_value,
            "relative": self.relative,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryReading:
    """The primary metric at one look; positive is better.

    Attributes:
        metric: Its name.
        improvement_abs: In the metric's unit.
        improvement: Relative to the control; None where the control is not positive.
        std_error: Of `improvement_abs`.
        z: Their ratio.
        boundary: What |z| must exceed at this look; None where no look is planned today.
        information: Share of the planned information.
        look: Number of the look, from 1; None where no look is planned today.
        interval: Of `improvement_abs`, in force.
        relative_interval: Of `improvement`; None where there is none.
        error_control: Which promise the interval keeps.
        crossed: Whether |z| exceeds the boundary.
        after_stop: What may be said if the test stops here; None where it goes on.
    """

    metric: str
    improvement_abs: float
    improvement: float | None
    std_error: float
    z: float
    boundary: float | None
    information: float
    look: int | None
    interval: Interval
    relative_interval: Interval | None
    error_control: Literal["group_sequential", "always_valid"]
    crossed: bool
    after_stop: AfterStop | None

    def to_dict(self) -> dict[str, object]:
        """The reading as plain JSON."""
        relative = self.relative_interval
        return {
            "metric": self.metric,
            "improvement_abs": self.improvement_abs,
            "improvement": self.improvement,
            "std_error": self.std_error,
            "z": self.z,
            "boundary": self.boundary,
            "information": self.information,
            "look": self.look,
            "ci_low": self.interval.low,
            "ci_high": self.interval.high,
            "relative_ci_low": None if relative is None else relative.low,
            "relative_ci_high": None if relative is None else relative.high,
            "error_control": self.error_control,
            "crossed": self.crossed,
            "after_stop": None if self.after_stop is None else self.after_stop.to_dict(),
        }


def rollout_boundary(look_days: Sequence[int], policy: RolloutPolicy) -> Boundaries:
    """Boundary at looks on these days, information being day / max_days.

    Args:
        look_days: Days of the looks so far, rising; the last at max_days ends the test.
        policy: Days, error rate and spending.

    Returns:
        Critical values of |z| and the error spent, look by look. Daily looks on days 7 to 14 of 14 at 5%:
        2.963, 2.797, 2.636, 2.497, 2.378, 2.275, 2.183, 2.102.

    References:
        Lan & DeMets (1983), Biometrika 70, 659-663.
    """
    return _boundary([day / policy.max_days for day in look_days], policy, final=bool(look_days) and look_days[-1] >= policy.max_days)


def recommended_stop_day(days: Sequence[int], z: Sequence[float], policy: RolloutPolicy) -> int | None:
    """The first day at or after min_days whose look crosses the boundary; None when none does.

    It is decided by each day's own data: the day is never chosen by looking back.

    Args:
        days: Days of the looks, rising, from the first look on; None of them before `policy.min_days`.
        z: Standardised improvement of each day.
        policy: Days, error rate and spending.

    Raises:
        UsageError: The lists do not match, or a look comes before min_days.
    """
    if len(days) != len(z):
        raise UsageError(f"Each look needs its z, got {len(days)} days and {len(z)} values.")
    if not days:
        return None
    if days[0] < policy.min_days:
        raise UsageError(f"No look may come before min_days={policy.min_days}, got day {days[0]}.")
    limits = rollout_boundary(days, policy).critical
    return next((day for day, value, limit in zip(days, z, limits, strict=True) if abs(check_number("z", value)) > limit), None)


def saved_user_days(planned_days: int, stop_day: int, daily_users: float) -> float:
    """User-days that a stop saves: (planned days - stop day) x daily users.

    Args:
        planned_days: Days of the full duration.
        stop_day: Day of the stop, at most `planned_days`.
        daily_users: Users a day.

    Returns:
        A number >= 0. 14 days, a stop on day 9 and 2,000 users a day save 10,000.

    Raises:
        UsageError: The stop lies after the plan, or a number is out of its range.
    """
    if check_whole("stop_day", stop_day) > check_whole("planned_days", planned_days):
        raise UsageError(f"stop_day must not lie above planned_days, got {stop_day} and {planned_days}.")
    if check_number("daily_users", daily_users) < 0.0:
        raise UsageError(f"daily_users must be >= 0, got {daily_users}.")
    return (planned_days - stop_day) * daily_users


def read_primary(evidence: RolloutEvidence, policy: RolloutPolicy) -> PrimaryReading | str:
    """The primary metric at this look, or why there is no estimate yet.

    Args:
        evidence: Of the day.
        policy: How looks are planned.

    Returns:
        The reading; a sentence where an arm is empty or nothing varies.
    """
    primary = evidence.primary
    seen = primary.contrast or _of_arms(primary)
    if isinstance(seen, str):
        return seen
    sign = -1.0 if primary.direction == "lower" else 1.0
    improvement, z = sign * seen.effect, sign * seen.effect / seen.std_error
    lift_error = _lift_error(seen)
    positive = lift_error is not None
    fractions, final = _fractions(evidence, policy)
    if fractions:
        limits = _boundary(fractions, policy, final=final)
        boundary = float(limits.critical[-1])
        interval = Interval(low=improvement - boundary * seen.std_error, high=improvement + boundary * seen.std_error)
        relative = None
        if lift_error is not None:
            lift = improvement / seen.control
            relative = Interval(low=lift - boundary * lift_error, high=lift + boundary * lift_error)
        crossed = abs(z) > boundary
        stopped = _after_stop(seen, improvement, fractions, limits, policy) if crossed or final else None
    else:
        tau = _tuning(primary, seen)
        interval = msprt(improvement, seen.std_error**2, tau2=tau**2, alpha=policy.alpha).interval
        relative = None
        if lift_error is not None:
            relative = msprt(improvement / seen.control, lift_error**2, tau2=(tau / seen.control) ** 2, alpha=policy.alpha).interval
        boundary, crossed, stopped = None, False, None
    return PrimaryReading(
        metric=primary.metric,
        improvement_abs=improvement,
        improvement=improvement / seen.control if positive else None,
        std_error=seen.std_error,
        z=z,
        boundary=boundary,
        information=fractions[-1] if fractions else _information(evidence, policy),
        look=len(fractions) or None,
        interval=interval,
        relative_interval=relative,
        error_control="group_sequential" if fractions else "always_valid",
        crossed=crossed,
        after_stop=stopped,
    )


def _of_arms(primary: PrimaryEvidence) -> Contrast | str:
    c, t = primary.control, primary.treatment
    if c is None or t is None:
        return f"there are no data on {primary.metric}"
    if min(c.n, t.n) < 2:
        return f"an arm has fewer than 2 users with {primary.metric}"
    variance = _variance(c) + _variance(t)
    if not variance > 0.0:
        return f"{primary.metric} is the same for every user, so chance cannot be judged"
    lift_error = None
    if c.mean > 0.0:
        lift_error = math.sqrt(_variance(t) + (t.mean / c.mean) ** 2 * _variance(c)) / c.mean
    return Contrast(
        effect=t.mean - c.mean,
        std_error=math.sqrt(variance),
        control=c.mean,
        treatment=t.mean,
        n_control=c.n,
        n_treatment=t.n,
        lift_std_error=lift_error if lift_error and lift_error < FARTHEST_LIFT else None,
    )


def _lift_error(seen: Contrast) -> float | None:
    """Standard error of the relative effect; None where the control is not positive, or so near 0 that it says nothing."""
    if not seen.control > 0.0:
        return None
    error = seen.lift_std_error or seen.std_error / seen.control
    return error if max(error, abs(seen.effect) / seen.control) < FARTHEST_LIFT else None


def _variance(arm: MeanArm) -> float:
    return arm.sd**2 / arm.n


def _tuning(primary: PrimaryEvidence, seen: Contrast) -> float:
    """Effect that the always-valid interval is tuned for: the practical one, else 0.2 standard deviations (G-13)."""
    declared = primary.practical_threshold * abs(seen.control)
    return declared if declared > 0.0 else MDE_IN_SD * spread_between_users(seen)


def _information(evidence: RolloutEvidence, policy: RolloutPolicy) -> float:
    return min(evidence.day / policy.max_days, 1.0) if evidence.information is None else evidence.information


def _fractions(evidence: RolloutEvidence, policy: RolloutPolicy) -> tuple[list[float], bool]:
    """Information at the looks up to this one, and whether this one is the last; no looks before the first is due."""
    day = min(evidence.day, policy.max_days)
    if day < policy.first_look:
        return [], False
    before = range(policy.first_look, day) if evidence.look_days is None else evidence.look_days
    days = [*(past for past in before if policy.first_look <= past < day), day]
    now = _information(evidence, policy)
    final = day == policy.max_days
    return [now * past / day for past in days[:-1]] + [now], final


def _boundary(fractions: Sequence[float], policy: RolloutPolicy, *, final: bool) -> Boundaries:
    design = GroupSequentialDesign(alpha=policy.alpha, sides=2, spending=SPENDING[policy.spending], information_fractions=(1.0,))
    return actual_boundaries(design, fractions, final=final)


def _after_stop(seen: Contrast, improvement: float, fractions: Sequence[float], limits: Boundaries, policy: RolloutPolicy) -> AfterStop:
    found = stagewise_estimate(
        improvement, seen.std_error, fractions=fractions, critical=[float(c) for c in limits.critical], alpha=policy.alpha
    )
    return AfterStop(
        improvement_abs=improvement,
        median_unbiased=found.effect,
        ci_low=found.interval.low,
        ci_high=found.interval.high,
        p_value=found.p_value,
        relative=found.effect / seen.control if _lift_error(seen) is not None else None,
    )
