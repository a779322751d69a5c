"""When things happen: days of a period, weekends busier than other days."""

from __future__ import annotations

import datetime as dt

import numpy as np
from numpy.typing import NDArray

from fairtrial.simulation.generate.expected import Expected

WEEK = np.array([1.0, 1.0, 1.0, 1.0, 1.1, 1.4, 1.3])
"""How busy the days are, Monday first."""
DAY = 86_400_000_000
"""Microseconds."""
START = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
DAYS = 14

Micros = NDArray[np.int64]


def enrolment(expected: Expected) -> tuple[int, int]:
    """From when and until when units come: microseconds since 1970, half-open, whole days long."""
    schedule, plan = expected.spec.schedule, expected.spec.plan
    expected.assume("Fridays are 1.1, Saturdays 1.4 and Sundays 1.3 times as busy as other days.")
    start = START if schedule is None else schedule.start
    if schedule is None:
        expected.assume(f"Units come from {START.date().isoformat()} on: there is no schedule.")
    if schedule is not None and schedule.end is not None:
        days = max(1, (schedule.end - start).days)
    else:
        days = plan.max_days or plan.min_days or DAYS
        expected.assume(f"Units come for {days} days: there is no end in the schedule.")
    first = _micros(start)
    return first, first + days * DAY


def draw_times(low: Micros, high: Micros, rng: np.random.Generator) -> Micros:
    """A time in each half-open range, arrays of shape (n,), as busy as its day of the week.

    Times are drawn evenly and kept with a chance in proportion to their day, the others drawn again.
    """
    times = low.copy()
    left = np.arange(low.size)
    while left.size:
        drawn = low[left] + (rng.random(left.size) * (high[left] - low[left])).astype(np.int64)
        kept = rng.random(left.size) < WEEK[weekdays(drawn)] / WEEK.max()
        times[left[kept]] = drawn[kept]
        left = left[~kept]
    return times


def weekdays(times: Micros) -> Micros:
    """Day of the week, 0 for Monday; 1970 began on a Thursday."""
    return (times // DAY + 3) % 7


def as_timestamps(times: Micros) -> NDArray[np.datetime64]:
    """Microseconds since 1970 as times of day and date, in UTC."""
    return times.astype("datetime64[us]")


def _micros(moment: dt.datetime) -> int:
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
