"""Days of channels, made by a job and made again while late events come in; and the alert when one falls silent (HO-19)."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from fairtrial.service.jobs.nightly import Guard
from fairtrial.service.notifications.alerts import Audience, Notice, raise_alerts
from fairtrial.storage import Database
from fairtrial.storage.journeys import add_up_day, days_of_channels, last_conversion

Domain = Literal["touchpoints", "conversions", "all"]
"""What `journey-alerts` looks at."""

REPROCESS_DAYS = 3
STEADY_DAYS = 7
"""A channel that was heard of on each of so many days and then not on a whole day has fallen silent."""


def daily_aggregates(database: Database, *, as_of: dt.datetime, now: dt.datetime, reprocess_days: int, guard: Guard) -> dict[str, Any]:
    """Add up the last whole days before a moment, each in a transaction of its own.

    Args:
        database: The database.
        as_of: The moment; its own day is not over and left out.
        now: When this is done.
        reprocess_days: How many days.
        guard: Called in each transaction.

    Returns:
        The days, with how many channels each had.
    """
    channels: dict[str, int] = {}
    for back in range(reprocess_days, 0, -1):
        day = as_of.date() - dt.timedelta(days=back)
        with database.writing() as session:
            guard(session)
            channels[day.isoformat()] = add_up_day(session, day, now=now)
    return {"reprocess_days": reprocess_days, "channels": channels}


def silence_alerts(
    database: Database, *, as_of: dt.datetime, now: dt.datetime, domain: Domain, audience: Audience, guard: Guard
) -> dict[str, Any]:
    """Raise an alert for each source that was there on every one of the days before, and not at all on the last whole day.

    It reads what `journey-daily-aggs` has made, and the conversions.

    Returns:
        What has fallen silent, and whether there was anything to judge by.
    """
    last = as_of.date() - dt.timedelta(days=1)
    since = last - dt.timedelta(days=STEADY_DAYS)
    with database.writing() as session:
        guard(session)
        days = days_of_channels(session, since, as_of.date())
        silent = silent_channels({(row.channel, row.day) for row in days}, last) if domain != "conversions" else []
        notices = [_silent(f"channel '{name}'", "touchpoint", last) for name in silent]
        midnight = dt.datetime.combine(last, dt.time(), dt.UTC)
        if domain != "touchpoints":
            latest = last_conversion(session, midnight + dt.timedelta(days=1))
            before = latest is not None and midnight - dt.timedelta(days=1) <= latest < midnight
            notices += [_silent("every KPI", "conversion", last)] if before else []
        raise_alerts(session, notices, audience, now=now)
    return {
        "day": last.isoformat(),
        "domain": domain,
        "judged_days": len({row.day for row in days}),
        "alerts": [n.message for n in notices],
    }


def silent_channels(seen: set[tuple[str, dt.date]], last: dt.date) -> list[str]:
    """Channels with touchpoints on each of the steady days before `last` and none on it."""
    before = [last - dt.timedelta(days=back) for back in range(1, STEADY_DAYS + 1)]
    names = sorted({name for name, _ in seen})
    return [name for name in names if (name, last) not in seen and all((name, day) in seen for day in before)]


def _silent(what: str, kind: str, day: dt.date) -> Notice:
    text = f"Tracking: no {kind} of {what} arrived on {day.isoformat()}, after days that had some"
    return Notice(experiment_id=None, severity="warning", message=text, dedupe_key=f"silent:{kind}:{what}:{day.isoformat()}")
