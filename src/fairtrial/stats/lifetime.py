"""Value over time since a unit's start, where some units have not been followed long enough: the mean cumulative function.

A day's mean is taken over the units that were followed through that day, and the days are added up.
Units that started late are censored, not left out and not counted as worthless. It needs that when a unit
started says nothing of what it is worth later, given that it is in the experiment.

References: Nelson (1988), Journal of Quality Technology 20, 24-35; Lawless & Nadeau (1995), Technometrics 37, 158-168
(robust variance, equation 2.7).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.result import Estimate, Interval, check_alpha

Floats = NDArray[np.float64]
LEAST_FOLLOWED = 10
"""Units of an arm that must be followed through a day for its mean to count."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CumulativeValue:
    """Mean value per unit up to each day since its start.

    Attributes:
        mean: Value up to the end of day 1, 2, ..., shape (days,).
        std_error: Its standard error, robust to a unit's days going together, shape (days,).
        followed: Units that were followed through each day, shape (days,).
        units: Units of the arm.
    """

    mean: Floats
    std_error: Floats
    followed: NDArray[np.int64]
    units: int


def cumulative_value(followed: ArrayLike, unit: ArrayLike, day: ArrayLike, value: ArrayLike, *, days: int) -> CumulativeValue:
    """Mean cumulative value of one arm.

    Args:
        followed: Whole days that each unit was followed, >= 0, shape (n,).
        unit: Place of each event's unit among the n, shape (m,).
        day: Whole days from the unit's start to the event, 0 on the first day, shape (m,).
        value: What the event is worth, shape (m,).
        days: Horizon, >= 1.

    Returns:
        Means and errors up to the horizon; events after it, and on days that were not followed whole, are left out.

    Raises:
        UsageError: Shapes do not match, or a number is out of its range.
        DataError: A value is not finite.
        NotEnoughDataError: Fewer than 10 units were followed through the horizon.
    """
    through, place, at, worth = _checked(followed, unit, day, value, days)
    n = through.size
    at_risk = _counted(through, days)
    if at_risk[-1] < LEAST_FOLLOWED:
        raise NotEnoughDataError(
            f"At least {LEAST_FOLLOWED} units of an arm must be followed for {days} days, got {int(at_risk[-1])}.",
            hint="Take a shorter horizon, or wait.",
            code="too_few_units",
        )
    inside = (at < days) & (at < through[place])
    place, at, worth = place[inside], at[inside], worth[inside]
    means = np.bincount(at, weights=worth, minlength=days) / at_risk
    variance = np.zeros(days)
    influence = np.zeros(n)
    order = np.argsort(at, kind="stable")
    borders = np.searchsorted(at[order], np.arange(days + 1))
    for d in range(days):
        here = order[borders[d] : borders[d + 1]]
        influence[through > d] -= means[d] / at_risk[d]
        np.add.at(influence, place[here], worth[here] / at_risk[d])
        variance[d] = float(influence @ influence)
    return CumulativeValue(mean=np.cumsum(means), std_error=np.sqrt(variance), followed=at_risk, units=n)


def compare_cumulative(control: CumulativeValue, treatment: CumulativeValue, *, day: int, alpha: float = 0.05) -> Estimate:
    """Treatment less control, per unit, up to the end of a day.

    Args:
        control: The control's.
        treatment: The treatment's.
        day: Days since the start, from 1 to the horizon of both.
        alpha: Error rate in (0, 1); one horizon is one look, several need a correction.

    Raises:
        UsageError: The day is beyond a horizon, or `alpha` out of its range.
        DataError: Nothing varies in either arm.
    """
    check_alpha(alpha)
    horizon = min(control.mean.size, treatment.mean.size)
    if not 1 <= day <= horizon:
        raise UsageError(f"The day must lie between 1 and {horizon}, got {day}.")
    own, other = (float(arm.mean[day - 1]) for arm in (control, treatment))
    errors = [float(arm.std_error[day - 1]) for arm in (control, treatment)]
    effect, error = other - own, math.hypot(*errors)
    if error == 0.0:
        raise DataError(f"No value varies up to day {day} in either arm.", code="no_variance")
    z = float(special.ndtri(1.0 - alpha / 2.0))
    lift = effect / own if own > 0.0 else None
    spread = None if lift is None else math.hypot(errors[1] / own, other * errors[0] / own**2)
    return Estimate(
        effect=effect,
        interval=Interval(low=effect - z * error, high=effect + z * error),
        p_value=2.0 * float(special.ndtr(-abs(effect) / error)),
        std_error=error,
        statistic=effect / error,
        df=None,
        control=own,
        treatment=other,
        n_control=control.units,
        n_treatment=treatment.units,
        alpha=alpha,
        alternative="two-sided",
        method="mean_cumulative_function",
        interval_method="normal",
        lift=lift,
        lift_interval=None if lift is None or spread is None else Interval(low=lift - z * spread, high=lift + z * spread),
        lift_method=None if lift is None else "delta",
    )


def _counted(through: NDArray[np.int64], days: int) -> NDArray[np.int64]:
    ends = np.bincount(np.minimum(through, days), minlength=days + 1)
    return (through.size - np.cumsum(ends)[:days]).astype(np.int64)


def _checked(
    followed: ArrayLike, unit: ArrayLike, day: ArrayLike, value: ArrayLike, days: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Floats]:
    through, place, at = (_whole(name, numbers) for name, numbers in (("followed", followed), ("unit", unit), ("day", day)))
    worth = np.asarray(value, dtype=np.float64)
    if not place.shape == at.shape == worth.shape or worth.ndim != 1:
        raise UsageError(f"Every event has a unit, a day and a value, got shapes {place.shape}, {at.shape} and {worth.shape}.")
    if days < 1 or (through < 0).any() or (at < 0).any():
        raise UsageError("Days count from 0, and the horizon is 1 or more.")
    if place.size and (place.min() < 0 or place.max() >= through.size):
        raise UsageError(f"An event's unit is its place among the {through.size} units.")
    if not np.isfinite(worth).all():
        raise DataError("A value of an event is missing or not finite.", hint="Drop or mend such events.", code="not_finite")
    return through, place, at, worth


def _whole(name: str, numbers: ArrayLike) -> NDArray[np.int64]:
    found = np.asarray(numbers)
    if found.ndim != 1 or (found.size and not np.issubdtype(found.dtype, np.integer)):
        raise UsageError(f"{name} holds whole numbers, one-dimensional, got {found.dtype} of shape {found.shape}.")
    return found.astype(np.int64)
