"""What happened on each day of a unit's time in an experiment, by arm: the way to effects by day, never cumulative.

A unit's day 0 begins with its assignment, or with the experiment where that came later.
A day counts once it is over for the unit, so that no unit is half there. What is summed
are outcomes of that day alone.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from fairtrial.storage.readings import ABOUT, EXPOSED, FATES, POPULATION, Window

DAY_SECONDS = 86_400

LONGEST = 90
"""Days that are looked at."""

EPOCH = {"sqlite": "CAST(strftime('%s', {}) AS INTEGER)", "postgresql": "CAST(floor(extract(epoch FROM {})) AS bigint)"}
"""A moment in whole seconds."""

BEGUN = "(CASE WHEN a.assigned_at > :end_at OR a.assigned_at < :start_at THEN :start_at ELSE a.assigned_at END)"

UNITS = 'SELECT a."group", {begun}, count(*) FROM experiment_assignments a WHERE {population} GROUP BY 1, 2'

OUTCOMES = """{fates}
SELECT arm, day, count(*), sum(value - :about), sum((value - :about) * (value - :about)) FROM (
  SELECT arm, day, sum(value) AS value FROM (
    SELECT f.arm AS arm, f.profile_id AS profile_id, f.value AS value, {begun} AS begun, ({at} - {begun}) / 86400 AS day
    FROM fates f JOIN experiment_assignments a ON a.experiment_id = :experiment AND a.profile_id = f.profile_id
    WHERE f.fate = 'counts'
  ) counted WHERE begun + (day + 1) * 86400 <= :seen GROUP BY arm, day, profile_id
) by_profile WHERE day >= 0 AND day < :longest GROUP BY arm, day ORDER BY arm, day
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DaysOfArm:
    """One arm by day of its units.

    Attributes:
        n: Units for which the day is over, never rising, shape (days,).
        converted: Of them, those with a counted outcome on that day, shape (days,).
        mean: Mean value of the day over all n, zeros included, shape (days,).
        m2: Sum of squared deviations from it, shape (days,).
    """

    n: NDArray[np.int64]
    converted: NDArray[np.int64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]


def days_of_arms(session: Session, window: Window, arms: tuple[str, ...], *, now: dt.datetime) -> dict[str, DaysOfArm]:
    """Units and outcomes of each arm by day, up to the last day that is over for somebody.

    Args:
        session: An open session.
        window: When outcomes count.
        arms: Arms to read.
        now: The moment.

    Raises:
        StorageError: The store failed.
    """
    connection = session.connection()
    epoch = EPOCH[connection.dialect.name]
    begun = epoch.format(BEGUN if window.start_at is not None else "a.assigned_at")
    seen = int(min(now, window.last_at).timestamp())
    begins: dict[str, list[tuple[int, int]]] = {arm: [] for arm in arms}
    for arm, moment, n in connection.execute(window.bind(UNITS.format(begun=begun, population=POPULATION))):
        if arm in begins:
            begins[arm].append((int(moment), int(n)))
    about = float(connection.execute(window.bind(ABOUT)).scalar_one() or 0.0)
    statement = OUTCOMES.format(fates=FATES, begun=begun, at=epoch.format("f.conversion_ts"))
    given = {"about": about, "seen": seen, "longest": LONGEST}
    sums = {(row[0], int(row[1])): row[2:] for row in connection.execute(window.bind(statement), given)}
    return {arm: _arm(begins[arm], {day: found for (of, day), found in sums.items() if of == arm}, seen, about) for arm in arms}


def count_exposed(session: Session, window: Window) -> dict[str, int]:
    """Analysed units of each arm that were exposed; arms without any are left out."""
    return {row[0]: int(row[1]) for row in session.connection().execute(window.bind(EXPOSED))}


def _arm(begins: list[tuple[int, int]], sums: dict[int, tuple[int, float, float]], seen: int, about: float) -> DaysOfArm:
    whole = np.array([max(0, (seen - moment) // DAY_SECONDS) for moment, _ in begins], dtype=np.int64)
    units = np.array([count for _, count in begins], dtype=np.int64)
    days = min(LONGEST, int(whole.max(initial=0)))
    n = np.array([units[whole > day].sum() for day in range(days)], dtype=np.int64)
    count, off, squares = (np.array([float(sums.get(day, (0, 0.0, 0.0))[row]) for day in range(days)]) for row in range(3))
    # Converters' sums about a constant, joined with the zeros of all others (Chan, Golub & LeVeque 1983).
    some = np.maximum(count, 1.0)
    own = np.where(count > 0.0, about + off / some, 0.0)
    inside = np.maximum(squares - off * off / some, 0.0)
    mean = own * count / np.maximum(n, 1)
    between = own * own * count * (n - count) / np.maximum(n, 1)
    return DaysOfArm(n=n, converted=count.astype(np.int64), mean=mean, m2=inside + between)
