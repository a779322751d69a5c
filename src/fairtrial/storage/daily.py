"""Sums by arm and day since a unit's start out of the service's own tables, and controls that were exposed.

The population is that of `readings`. Day d of a profile is [start + d days, start + d + 1
days), and counts only if the experiment was observed to its end: a profile that came late
has no late days. Times are compared in whole microseconds, the same in every store.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from sqlalchemy.orm import Session

from fairtrial.diagnostics.daily_effects import MAX_DAYS, DailySums, sums_of_cohorts
from fairtrial.diagnostics.novelty import Axis
from fairtrial.errors import UsageError
from fairtrial.storage.readings import EXPOSURES_OF, POPULATION, Window

Outcome = Literal["converted", "value"]

DAY = 86_400_000_000
"""Microseconds of a day."""
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LONGEST = 120
"""Days that may be asked for: the sums grow with their square."""

MICROS = {
    # Without its fraction the second is not rounded; the fraction is added as the digits that are stored.
    "sqlite": "(CAST(strftime('%s', substr({0}, 1, 19)) AS INTEGER) * 1000000 + CAST(substr({0}, 21, 6) AS INTEGER))",
    "postgresql": "CAST(EXTRACT(EPOCH FROM {0}) * 1000000 AS bigint)",
}
"""A stored time in microseconds since 1970; SQLite's text has six digits behind the second."""

BEGUN = "CASE WHEN a.assigned_at > :end_at OR a.assigned_at < :start_at THEN :start_at ELSE a.assigned_at END"
"""Start of a unit: the later of the experiment's and its own; back-filled units start with the experiment."""

VALUES: dict[Outcome, str] = {"converted": "1.0", "value": "sum(o.value)"}

EXPOSED_UNITS = f"""
SELECT DISTINCT a.profile_id FROM experiment_assignments a JOIN experiment_exposures e ON e.profile_id = a.profile_id
WHERE {EXPOSURES_OF} AND a."group" = :arm AND {POPULATION} ORDER BY 1 LIMIT :listed
"""  # noqa: S608 - no value of anybody's


def daily_sums(
    session: Session,
    window: Window,
    arms: Sequence[str],
    outcome: Outcome,
    *,
    observed_until: dt.datetime,
    axis: Axis = "assignment_day",
    days: int = MAX_DAYS,
) -> dict[str, DailySums]:
    """Sums of one outcome by arm and day, for `diagnostics.daily_effects`.

    Args:
        session: An open session; three statements are run on it.
        window: When outcomes count; nothing after its last moment was observed.
        arms: The spec's arms; each is in the answer.
        outcome: `converted` (1 on a day with an outcome, else 0) or `value` (what the day's outcomes add up to).
        observed_until: Moment up to which outcomes have come in: now, or the moment of the look. Aware.
        axis: `assignment_day` counts from the unit's start; `exposure_day` from its first exposure at or after it, and
            leaves out units without one, which is fair only where every arm logs exposures alike.
        days: Days to look at, 1 to 120.

    Raises:
        UsageError: `days` lies outside its range, or the moment has no time zone.
    """
    if not 1 <= days <= LONGEST:
        raise UsageError(f"Days since first exposure must be 1 to {LONGEST}, got {days}.")
    if observed_until.tzinfo is None:
        raise UsageError(f"A moment must have a time zone, got {observed_until.isoformat()}.", hint="UTC is datetime.UTC.")
    connection = session.connection()
    seen = _seen(connection.dialect.name, window, axis)
    at = MICROS[connection.dialect.name].format("o.conversion_ts")
    daily = f"""{seen}, daily AS MATERIALIZED (
      SELECT s.profile_id, s.arm, s.last_day, ({at} - s.start) / {DAY} AS day, {VALUES[outcome]} AS value
      FROM seen s CROSS JOIN experiment_outcomes o
      WHERE o.experiment_id = :experiment AND o.profile_id = s.profile_id AND {at} >= s.start AND {at} < s.start + (s.last_day + 1) * {DAY}
      GROUP BY 1, 2, 3, 4)
    """  # noqa: S608 - a row a unit and day with outcomes
    reach = (min(window.last_at, observed_until) - EPOCH) // dt.timedelta(microseconds=1)
    given = {"reach": reach, "days": days}

    def rows(statement: str) -> Sequence[Any]:
        return connection.execute(window.bind(statement), given).all()

    shape = len(arms), days, days
    units, sums, products = np.zeros(shape[:2]), np.zeros(shape), np.zeros(shape)
    place = {arm: index for index, arm in enumerate(arms)}
    counted = " SELECT arm, last_day, count(*) FROM seen GROUP BY 1, 2"
    added = " SELECT arm, last_day, day, sum(value) FROM daily GROUP BY 1, 2, 3"
    pairs = (
        " SELECT d.arm, d.day, e.day, sum(d.value * e.value) FROM daily d "
        "JOIN daily e ON e.profile_id = d.profile_id AND e.day >= d.day GROUP BY 1, 2, 3"
    )
    for arm, last, n in rows(seen + counted):
        if arm in place:
            units[place[arm], int(last)] += int(n)
    for arm, last, day, total in rows(daily + added):
        if arm in place:
            sums[place[arm], int(last), int(day)] += float(total)
    for arm, day, later, total in rows(daily + pairs):
        if arm in place:
            products[place[arm], int(day), int(later)] += float(total)
    return {arm: sums_of_cohorts(units[i], sums[i], products[i]) for arm, i in place.items()}


def exposed_units(session: Session, window: Window, arm: str, *, listed: int = 20) -> tuple[str, ...]:
    """Ids of the first analysed units of an arm that have an exposure, in order; how many there are `count_holdout` says."""
    rows = session.connection().execute(window.bind(EXPOSED_UNITS), {"arm": arm, "listed": listed})
    return tuple(str(row[0]) for row in rows)


def _seen(dialect: str, window: Window, axis: Axis) -> str:
    """Units with their start in microseconds and their last whole day, of those observed for one day at least."""
    begun = "a.assigned_at" if window.start_at is None else BEGUN
    start, source = MICROS[dialect].format(f"({begun})"), "experiment_assignments a"
    grouped = ""
    if axis == "exposure_day":
        source += f" JOIN experiment_exposures e ON {EXPOSURES_OF} AND e.profile_id = a.profile_id AND e.exposure_ts >= ({begun})"
        start = MICROS[dialect].format("min(e.exposure_ts)")
        grouped = 'GROUP BY a.profile_id, a."group"'
    return f"""
    WITH starts AS MATERIALIZED (SELECT a.profile_id, a."group" AS arm, {start} AS start FROM {source} WHERE {POPULATION} {grouped}),
    seen AS MATERIALIZED (
      SELECT profile_id, arm, start,
        CASE WHEN (:reach - start) / {DAY} > :days THEN :days - 1 ELSE (:reach - start) / {DAY} - 1 END AS last_day
      FROM starts WHERE start + {DAY} <= :reach)
    """  # noqa: S608
