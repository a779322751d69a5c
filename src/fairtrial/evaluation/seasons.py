"""What the calendar says of the days that were run: periods unlike others, and weeks that are not whole (XC-36).

Asked for by a `feasibility` section, which holds the calendar; said of the days from the schedule's start to the look.
"""

from __future__ import annotations

import datetime as dt

from fairtrial.diagnostics.finding import Finding
from fairtrial.evaluation.calendar import disturbed
from fairtrial.spec.experiment import ExperimentSpec

WEEK = 7
AN_INSTANT = dt.timedelta(microseconds=1)


def seasonal_findings(spec: ExperimentSpec, as_of: dt.datetime | None) -> list[Finding]:
    """Findings on when an experiment ran.

    Args:
        spec: The experiment; without a schedule or a `feasibility` section nothing is said.
        as_of: Moment of the look, aware; None reads the schedule's end.

    Returns:
        `seasonal_period` where days lie in a period to avoid, `partial_week` where they are no whole weeks.
    """
    run = days_of(spec, as_of)
    if spec.feasibility is None or run is None:
        return []
    return [*_seasonal(spec, *run), *_partial(*run)]


def days_of(spec: ExperimentSpec, as_of: dt.datetime | None) -> tuple[dt.date, dt.date] | None:
    """First and last day that were run, in UTC; None without a schedule, or before it."""
    if spec.schedule is None:
        return None
    until = min((moment for moment in (as_of, spec.schedule.end) if moment is not None), default=None)
    if until is None or until <= spec.schedule.start:
        return None
    return spec.schedule.start.date(), (until.astimezone(dt.UTC) - AN_INSTANT).date()


def _seasonal(spec: ExperimentSpec, first: dt.date, last: dt.date) -> list[Finding]:
    own = () if spec.feasibility is None else spec.feasibility.avoid_periods
    touched = disturbed(first, last, avoid=own)
    if not touched:
        return []
    days = {
        max(start, first) + dt.timedelta(days=i) for _, start, end in touched for i in range((min(end, last) - max(start, first)).days + 1)
    }
    total = (last - first).days + 1
    named = ", ".join(f"{period.reason or 'to avoid by the spec'} ({start} to {end})" for period, start, end in touched)
    return [
        Finding(
            code="seasonal_period",
            severity="warning" if any(period in own for period, _, _ in touched) else "info",
            message=f"{len(days)} of the {total} days that were run lie in periods unlike others: {named}.",
            action="Ask whether the effect would be the same at another time; if not, run it again outside of them.",
            numbers={"days": len(days), "of": total},
        )
    ]


def _partial(first: dt.date, last: dt.date) -> list[Finding]:
    days = (last - first).days + 1
    if days % WEEK == 0:
        return []
    counted = "1 day was" if days == 1 else f"{days} days were"
    return [
        Finding(
            code="partial_week",
            severity="warning" if days < WEEK else "info",
            message=f"{counted} run, which is no whole number of weeks: some days of the week count more than others.",
            action="End on whole weeks, so that every day of the week counts the same.",
            numbers={"days": days},
        )
    ]
