"""When an experiment may start: Mondays whose whole run keeps clear of days that are not like others (XC-18)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from fairtrial.spec.feasibility import AvoidPeriod

SENSITIVE = (
    AvoidPeriod(start="11-20", end="12-05", reason="Black Friday and Cyber Monday"),
    AvoidPeriod(start="12-10", end="01-10", reason="Christmas and the January sales"),
    AvoidPeriod(start="02-08", end="02-18", reason="Valentine's Day"),
    AvoidPeriod(start="03-20", end="04-10", reason="Easter and spring holidays"),
    AvoidPeriod(start="06-15", end="09-15", reason="summer holidays"),
)
"""Days that are unlike others in most trades, both ends included."""

MOST_STARTS = 3
HORIZON_DAYS = 365
MONDAY = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarRecommendation:
    """A start that fits.

    Attributes:
        start_date: A Monday.
        end_date: Last day of the run.
        reason: Why it fits.
    """

    start_date: dt.date
    end_date: dt.date
    reason: str


def recommend_starts(reference: dt.date, days: int, *, avoid: Sequence[AvoidPeriod] = ()) -> tuple[CalendarRecommendation, ...]:
    """Up to three Mondays within a year whose whole run avoids every sensitive period.

    Args:
        reference: The day from which on, itself included, the run may start.
        days: Length of the run, >= 1.
        avoid: Periods of one's own, beside the usual ones.
    """
    found: list[CalendarRecommendation] = []
    day = reference + dt.timedelta(days=(MONDAY - reference.weekday()) % 7)
    while day < reference + dt.timedelta(days=HORIZON_DAYS) and len(found) < MOST_STARTS:
        end = day + dt.timedelta(days=days - 1)
        if not disturbed(day, end, avoid=avoid):
            found.append(CalendarRecommendation(start_date=day, end_date=end, reason=_reason(days, end, avoid)))
        day += dt.timedelta(days=7)
    return tuple(found)


def disturbed(start: dt.date, end: dt.date, *, avoid: Sequence[AvoidPeriod] = ()) -> list[tuple[AvoidPeriod, dt.date, dt.date]]:
    """The periods to avoid that days from `start` to `end` touch, each with its own first and last day."""
    return [
        (period, first, last)
        for period in (*SENSITIVE, *avoid)
        for first, last in occurrences(period, start.year - 1, end.year + 1)
        if first <= end and last >= start
    ]


def occurrences(period: AvoidPeriod, first_year: int, last_year: int) -> list[tuple[dt.date, dt.date]]:
    """When a period falls: once if it has a year, else in every year; it may cross the new year."""
    if len(period.start) == 10:
        return [(dt.date.fromisoformat(period.start), dt.date.fromisoformat(period.end))]
    crosses = period.end < period.start
    return [(_day(year, period.start), _day(year + crosses, period.end)) for year in range(first_year, last_year + 1)]


def _day(year: int, text: str) -> dt.date:
    """A day of a year; February 29 is the 28th where there is none."""
    month, day = (int(part) for part in text.split("-"))
    try:
        return dt.date(year, month, day)
    except ValueError:
        return dt.date(year, month, day - 1)


def _reason(days: int, end: dt.date, avoid: Sequence[AvoidPeriod]) -> str:
    following = min(
        ((first, period) for period in (*SENSITIVE, *avoid) for first, _ in occurrences(period, end.year, end.year + 1) if first > end),
        key=lambda pair: pair[0],
    )
    clear = f"Monday, all {days} days clear of periods to avoid"
    return f"{clear}; the next begins {following[0].isoformat()} ({following[1].reason or 'declared in the spec'})"
