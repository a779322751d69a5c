"""How many distinct units come in so many days: measured, for who comes back counts once.

The sum over days of daily visitors counts a returning unit once a day; an experiment
enters it once. The curve of distinct units over days bends for that reason, and a
forecast that multiplies the first day by the days is too short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError
from fairtrial.stats.power import check_positive

LAST_DAYS = 7
"""Days whose new units stand for all days beyond those measured."""


def accumulate_distinct(pairs: Mapping[tuple[int, int | None], int], days: int) -> NDArray[np.float64]:
    """Distinct units within 1, 2, ... days of a start, averaged over the starts that history allows.

    Units that came on day t and before that on day s are new to every experiment that
    starts in (s, t]. From the counts of such pairs the curve of every start follows
    exactly; the mean over starts evens out weekdays.

    Args:
        pairs: Units by (day of a visit, day of the same unit's visit before it, None for none), days from 0.
        days: Days of history, >= 1.

    Returns:
        Units after 1, ..., `days` days, shape (days,), never falling.

    Raises:
        UsageError: A day lies outside the history.
    """
    if days < 1:
        raise UsageError(f"History must have at least one day, got {days}.")
    new = np.zeros((days, days))  # by start and day: units new on that day to an experiment of that start
    for (day, before), units in pairs.items():
        first = 0 if before is None else before + 1
        if not (0 <= day < days and 0 <= first <= day):
            raise UsageError(f"Days of visits must lie in [0, {days}) and follow each other, got {before} and {day}.")
        new[first : day + 1, day] += units
    curve = np.zeros(days)
    totals = np.cumsum(new, axis=1)
    for length in range(1, days + 1):
        starts = np.arange(days - length + 1)
        curve[length - 1] = float(totals[starts, starts + length - 1].mean())
    return np.maximum.accumulate(curve)


def days_until(units: float, curve: Sequence[float]) -> tuple[float, bool] | None:
    """Days until `units` distinct units have come.

    Args:
        units: Distinct units needed, > 0.
        curve: Distinct units after 1, 2, ... days, never falling.

    Returns:
        Days, a fraction where the units come within a day, and whether they lie beyond the days
        measured (then at the pace of new units in the last week); None when nobody new comes any more.

    Raises:
        UsageError: `units` is not above 0, or the curve is empty.
    """
    check_positive("units", units)
    if not len(curve):
        raise UsageError("A curve of distinct units must have at least one day.")
    reached = np.concatenate([[0.0], np.asarray(curve, dtype=np.float64)])
    if reached[-1] >= units:
        day = int(np.searchsorted(reached, units, side="left"))
        return float(day - 1 + (units - reached[day - 1]) / (reached[day] - reached[day - 1])), False
    last = min(LAST_DAYS, len(curve))
    pace = float(reached[-1] - reached[-1 - last]) / last
    if pace <= 0.0:
        return None
    return float(len(curve) + (units - reached[-1]) / pace), True
