"""Daily effects, their errors and the covariance between days, from sums by arm and day.

A unit counts on day d only if it was observed through the whole of day d: units that
entered late have no late days, and do not drag them to zero. Days of the same units are
not independent, so their covariance is estimated from cross-products: for the units seen
on both days, cov(mean_d, mean_e) = n_de / (n_d n_e) times the covariance of the two days' values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.diagnostics.novelty import Axis, NoveltyResult, find_novelty
from fairtrial.errors import DataError, UsageError

Floats = NDArray[np.float64]
DayReason = Literal["too_few_units", "too_few_conversions", "no_variance"]

MIN_UNITS = 100
"""Units that each arm needs on a day."""
MIN_EXPECTED = 5.0
"""Of a rate: converters and others that each arm must be expected to have on a day."""
MAX_DAYS = 28
"""Days since first exposure that are looked at, if nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DailySums:
    """What the units of one arm add up to by day since their first exposure, D days.

    Attributes:
        units: Units observed through both days, shape (D, D), symmetric; the diagonal is those of one day.
        sums: In row d, column e: the values of day d of the units observed through both, shape (D, D).
        products: Products of the values of both days of those units, shape (D, D), symmetric.
    """

    units: NDArray[np.int64]
    sums: Floats
    products: Floats

    def __post_init__(self) -> None:
        """Check the shapes."""
        days = self.units.shape[0]
        if not self.units.shape == self.sums.shape == self.products.shape == (days, days):
            shapes = self.units.shape, self.sums.shape, self.products.shape
            raise UsageError(f"Units, sums and products must be square and of one shape, got {shapes}.")

    @property
    def days(self) -> int:
        """How many days there are."""
        return int(self.units.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyEffects:
    """Effects by day; days that could not be told are left out with a reason.

    Attributes:
        days: Number of each day.
        effects: Treatment - control, shape (days,).
        std_errors: Their standard errors, shape (days,).
        covariance: Of the effects, shape (days, days).
        n_control: Control units of each day.
        n_treatment: Treatment units of each day.
        left_out: Days left out and why.
    """

    days: tuple[int, ...]
    effects: Floats
    std_errors: Floats
    covariance: Floats
    n_control: tuple[int, ...]
    n_treatment: tuple[int, ...]
    left_out: tuple[tuple[int, DayReason], ...]

    def novelty(self, *, axis: Axis = "exposure_day", alpha: float = 0.05) -> NoveltyResult:
        """Whether the effect fades, with the covariance between days."""
        return find_novelty(
            self.effects, self.std_errors, days=self.days, covariance=self.covariance if self.days else None, axis=axis, alpha=alpha
        )


def sums_of_cohorts(units: Floats, sums: Floats, products: Floats) -> DailySums:
    """Sums by day from sums by cohort, a cohort being the units whose last whole day is the same.

    Args:
        units: Units by last whole day, shape (D,); those seen longer than D days belong to the last.
        sums: In row L, column d: sum of day d's values over the cohort L; what lies after its last day is not counted. Shape (D, D).
        products: Products of the values of days d and e over units observed through both, upper triangle or whole, shape (D, D).

    Raises:
        UsageError: The shapes do not fit.
    """
    days = units.shape[0]
    if not sums.shape == products.shape == (days, days):
        raise UsageError(f"Sums and products of {days} days must be of shape {(days, days)}, got {sums.shape} and {products.shape}.")
    place: NDArray[np.intp] = np.arange(days, dtype=np.intp)
    later = np.maximum(place[:, None], place[None, :])
    reach = np.cumsum(units[::-1])[::-1]
    tails = np.cumsum(sums[::-1], axis=0)[::-1]
    upper = np.triu(products)
    return DailySums(
        units=np.rint(reach[later]).astype(np.int64),
        sums=tails[later, place[:, None]],
        products=upper + np.triu(products, 1).T,
    )


def sums_of_values(values: Floats) -> DailySums:
    """Sums of one arm from its units' values.

    Args:
        values: One row a unit, one column a day, shape (n, D); NaN where the unit was not observed through the whole day.
    """
    seen = np.isfinite(values)
    filled = np.where(seen, values, 0.0)
    there = seen.astype(np.float64)
    return DailySums(units=np.rint(there.T @ there).astype(np.int64), sums=filled.T @ there, products=filled.T @ filled)


def daily_effects(
    control: DailySums, treatment: DailySums, *, is_rate: bool = False, min_units: int = MIN_UNITS, min_expected: float = MIN_EXPECTED
) -> DailyEffects:
    """Effects by day, treatment - control, with their covariance.

    Args:
        control: Sums of the control.
        treatment: Sums of the treatment, of the same days.
        is_rate: Whether the values are 0 or 1; days with too few converters are then left out.
        min_units: Units that each arm needs on a day, >= 2.
        min_expected: Of a rate: converters and others that each arm must be expected to have, at the pooled rate.

    Raises:
        UsageError: The arms differ in days, or `min_units` is below 2.
        DataError: Units or squares are negative.
    """
    if control.days != treatment.days:
        raise UsageError(f"Both arms must have the same days, got {control.days} and {treatment.days}.")
    if min_units < 2:
        raise UsageError(f"min_units must be >= 2, got {min_units}.")
    if (control.units < 0).any() or (treatment.units < 0).any():
        raise DataError("Units must be >= 0.", code="bad_value")
    kept: list[int] = []
    left: list[tuple[int, DayReason]] = []
    for day in range(control.days):
        reason = _reason(control, treatment, day, is_rate=is_rate, min_units=min_units, min_expected=min_expected)
        if reason is None:
            kept.append(day)
        else:
            left.append((day, reason))
    chosen = np.asarray(kept, dtype=np.intp)
    mean_c, cov_c = _means(control, chosen)
    mean_t, cov_t = _means(treatment, chosen)
    covariance = cov_c + cov_t
    return DailyEffects(
        days=tuple(kept),
        effects=mean_t - mean_c,
        std_errors=np.sqrt(np.diag(covariance)),
        covariance=covariance,
        n_control=tuple(int(control.units[day, day]) for day in kept),
        n_treatment=tuple(int(treatment.units[day, day]) for day in kept),
        left_out=tuple(left),
    )


def _reason(control: DailySums, treatment: DailySums, day: int, *, is_rate: bool, min_units: int, min_expected: float) -> DayReason | None:
    n = [int(arm.units[day, day]) for arm in (control, treatment)]
    if min(n) < min_units:
        return "too_few_units"
    sums = [float(arm.sums[day, day]) for arm in (control, treatment)]
    rate = sum(sums) / sum(n)
    if is_rate and min(n) * min(rate, 1.0 - rate) < min_expected:
        return "too_few_conversions"
    squares = [float(arm.products[day, day]) for arm in (control, treatment)]
    # Below the rounding of the sums there is no variance to speak of.
    flat = [square - total * total / count <= 1e-12 * square for square, total, count in zip(squares, sums, n, strict=True)]
    return "no_variance" if all(flat) else None


def _means(arm: DailySums, days: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Means of the days and their covariance."""
    if days.size == 0:
        return np.empty(0), np.empty((0, 0))
    grid = np.ix_(days, days)
    both = arm.units[grid].astype(np.float64)
    sums, products = arm.sums[grid], arm.products[grid]
    n = np.diag(both)
    some = np.maximum(both, 2.0)
    spread = np.where(both >= 2.0, (products - sums * sums.T / some) / (some - 1.0), 0.0)
    covariance = both / np.outer(n, n) * spread
    return np.diag(sums) / n, 0.5 * (covariance + covariance.T)
