"""What happened on each day of a unit's time in an experiment, by arm: the way to effects by day, never cumulative.

A unit's day 0 begins with its assignment, or with the experiment where that came later.
A day counts once it is over for the unit, so that no unit is half there. What is summed
are outcomes of that day alone.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from fairtrial.diagnostics.daily_effects import MAX_DAYS, DailySums, sums_of_cohorts
from fairtrial.storage.readings import EXPOSED, FATES, POPULATION, Window

DAY_SECONDS = 86_400

EPOCH = {"sqlite": "CAST(strftime('%s', {}) AS INTEGER)", "postgresql": "CAST(floor(extract(epoch FROM {})) AS bigint)"}
"""A moment in whole seconds."""

BEGUN = "(CASE WHEN a.assigned_at > :end_at OR a.assigned_at < :start_at THEN :start_at ELSE a.assigned_at END)"

UNITS = 'SELECT a."group", {begun}, count(*) FROM experiment_assignments a WHERE {population} GROUP BY 1, 2'

OUTCOMES = """{fates}
SELECT arm, profile_id, begun, day, sum(value) FROM (
  SELECT f.arm AS arm, f.profile_id AS profile_id, f.value AS value, {begun} AS begun, ({at} - {begun}) / 86400 AS day
  FROM fates f JOIN experiment_assignments a ON a.experiment_id = :experiment AND a.profile_id = f.profile_id
  WHERE f.fate = 'counts'
) counted WHERE day >= 0 AND day < :days AND begun + (day + 1) * 86400 <= :seen GROUP BY arm, profile_id, begun, day
"""


def daily_sums(
    session: Session, window: Window, arms: tuple[str, ...], *, now: dt.datetime, is_rate: bool, days: int = MAX_DAYS
) -> dict[str, DailySums]:
    """What the units of each arm add up to by day since their assignment.

    Args:
        session: An open session.
        window: When outcomes count.
        arms: Arms to read.
        now: The moment.
        is_rate: Whether a day's value is 1 with an outcome, else the value of its outcomes.
        days: Days that are looked at.

    Raises:
        StorageError: The store failed.
    """
    connection = session.connection()
    epoch = EPOCH[connection.dialect.name]
    begun = epoch.format(BEGUN if window.start_at is not None else "a.assigned_at")
    seen = int(min(now, window.last_at).timestamp())
    units = {arm: np.zeros(days) for arm in arms}
    for arm, moment, n in connection.execute(window.bind(UNITS.format(begun=begun, population=POPULATION))):
        whole = (seen - int(moment)) // DAY_SECONDS
        if arm in units and whole > 0:
            units[arm][min(whole, days) - 1] += int(n)
    statement = OUTCOMES.format(fates=FATES, begun=begun, at=epoch.format("f.conversion_ts"))
    found: dict[str, list[tuple[str, int, int, float]]] = {arm: [] for arm in arms}
    for arm, profile, moment, day, value in connection.execute(window.bind(statement), {"seen": seen, "days": days}):
        if arm in found:
            last = min((seen - int(moment)) // DAY_SECONDS, days) - 1
            found[arm].append((profile, last, int(day), 1.0 if is_rate else float(value)))
    return {arm: _sums(units[arm], found[arm]) for arm in arms}


def count_exposed(session: Session, window: Window) -> dict[str, int]:
    """Analysed units of each arm that were exposed; arms without any are left out."""
    return {row[0]: int(row[1]) for row in session.connection().execute(window.bind(EXPOSED))}


def _sums(units: NDArray[np.float64], rows: list[tuple[str, int, int, float]]) -> DailySums:
    """Sums of one arm: those with outcomes by unit and day, all others are zeros."""
    places: dict[str, int] = {}
    for profile, *_ in rows:
        places.setdefault(profile, len(places))
    values, last = np.zeros((len(places), units.size)), np.zeros(len(places), dtype=np.int64)
    for profile, cohort, day, value in rows:
        values[places[profile], day], last[places[profile]] = value, cohort
    sums = np.zeros((units.size, units.size))
    np.add.at(sums, last, values)
    return sums_of_cohorts(units, sums, values.T @ values)
