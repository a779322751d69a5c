"""Arm statistics of an experiment out of the service's own tables (II.b).

A unit is an assigned profile; those whom only an exposure brought in, and those forced
for QA, are left out. An outcome counts from the unit's start, the later of the
experiment's and its own assignment, to the experiment's end and the conversion window
after it; when the assignment was recorded after the end (back-filled data), from the
experiment's start. One statement counts the units, one walks the outcomes; what a
converter's outcomes add up to is summed about their mean, so that large values keep
their digits.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, TextClause, bindparam, text
from sqlalchemy.orm import Session

from fairtrial.stats.moments import Moments
from fairtrial.storage.bulk import time_parameter

POPULATION = (
    "a.experiment_id = :experiment AND a.source <> 'exposure' AND a.profile_id NOT IN "
    "(SELECT f.unit FROM forced_variants f WHERE f.experiment_id = :experiment)"
)
"""Assigned profiles that are analysed."""

LAZY = "exposure"
"""Source of an assignment that only an exposure made."""

AUTO = "auto"
"""Source of an assignment of profiles that a channel touched already (HO-12)."""

UNITS = """
SELECT a."group", a.source, count(*), sum(CASE WHEN a.assigned_at > :end_at THEN 1 ELSE 0 END)
FROM experiment_assignments a WHERE a.experiment_id = :experiment GROUP BY 1, 2 ORDER BY 1, 2
"""
FORCED = """
SELECT a."group", count(*), sum(CASE WHEN a.assigned_at > :end_at THEN 1 ELSE 0 END)
FROM forced_variants f CROSS JOIN experiment_assignments a
WHERE f.experiment_id = :experiment AND a.experiment_id = :experiment AND a.profile_id = f.unit AND a.source <> 'exposure'
GROUP BY 1 ORDER BY 1
"""
"""Forced profiles are few, so they are taken off the count of all, which an index alone gives."""

EARLY = "(o.conversion_ts < :start_at OR (o.conversion_ts < a.assigned_at AND a.assigned_at <= :end_at))"

FATES = f"""
WITH fates AS MATERIALIZED (
  SELECT o.profile_id, a."group" AS arm, o.value, o.conversion_ts, CASE
    WHEN a.profile_id IS NULL OR a.source = 'exposure' THEN 'unassigned'
    WHEN {EARLY} THEN 'early'
    WHEN o.conversion_ts > :last_at THEN 'late'
    WHEN a.profile_id IN (SELECT f.unit FROM forced_variants f WHERE f.experiment_id = :experiment) THEN 'forced'
    ELSE 'counts' END AS fate
  FROM experiment_outcomes o
  LEFT JOIN experiment_assignments a ON a.experiment_id = o.experiment_id AND a.profile_id = o.profile_id
  WHERE o.experiment_id = :experiment
)
"""  # noqa: S608 - no value of anybody's
"""What becomes of each outcome, decided once: without MATERIALIZED each sum below would decide it anew."""

CONVERTERS = "FROM fates WHERE fate = 'counts' GROUP BY profile_id"
"""Profiles with outcomes that count."""

ABOUT = "SELECT avg(value) FROM experiment_outcomes WHERE experiment_id = :experiment"

OUTCOMES = f"""{FATES}
SELECT arm, NULL AS fate, count(*) AS n, sum(value), sum(value - :about), sum((value - :about) * (value - :about))
FROM (SELECT min(arm) AS arm, sum(value) AS value {CONVERTERS}) profiles GROUP BY arm
UNION ALL SELECT NULL, fate, count(*), 0, 0, 0 FROM fates GROUP BY fate
"""  # noqa: S608
"""Converters by arm, then outcomes by what became of them."""

# In SQLite a CROSS JOIN is walked from left to right: from the small side, whatever its planner would guess.
EXPOSED = f"""
SELECT a."group", count(DISTINCT e.profile_id) FROM experiment_exposures e
CROSS JOIN experiment_assignments a WHERE e.experiment_id = :experiment AND a.profile_id = e.profile_id AND {POPULATION}
GROUP BY 1 ORDER BY 1
"""  # noqa: S608

UNITS_OF, EXPOSURES_OF = "a.experiment_id = :experiment", "e.experiment_id = :experiment"
UNITS_UNTIL = f"({UNITS_OF} AND (a.assigned_at <= :until OR a.assigned_at > :end_at))"
"""Units that were there at a moment; those recorded after the end count from the start, so they were."""
EXPOSURES_UNTIL = f"({EXPOSURES_OF} AND e.exposure_ts <= :until)"

BEGINNING = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
END = dt.datetime(2500, 1, 1, tzinfo=dt.UTC)
"""Stand for times that an experiment does not set; no stored time lies outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When an experiment's outcomes count.

    Attributes:
        experiment_id: The experiment.
        start_at: Its start; None counts from each unit's assignment.
        end_at: Its end; None while it has none.
        window_days: Days after the end in which outcomes still count.
        until: Nothing later than this is read, neither units, exposures nor outcomes; None reads all.
    """

    experiment_id: int
    start_at: dt.datetime | None
    end_at: dt.datetime | None
    window_days: float
    until: dt.datetime | None = None

    @property
    def last_at(self) -> dt.datetime:
        """The last moment that counts."""
        planned = END if self.end_at is None else self.end_at + dt.timedelta(days=self.window_days)
        return planned if self.until is None else min(planned, self.until)

    def bind(self, statement: str) -> TextClause:
        """A statement of this module with the window's times."""
        given: list[BindParameter[Any]] = [bindparam("experiment", self.experiment_id)]
        if self.until is not None:
            statement = statement.replace(UNITS_OF, UNITS_UNTIL).replace(EXPOSURES_OF, EXPOSURES_UNTIL)
        times = {"start_at": self.start_at or BEGINNING, "end_at": self.end_at or END, "last_at": self.last_at, "until": self.until or END}
        given += [time_parameter(name, moment) for name, moment in times.items() if f":{name}" in statement]
        return text(statement).bindparams(*given)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCounts:
    """One arm.

    Attributes:
        n: Profiles analysed.
        converters: Those with one counted outcome at least.
        total_value: Sum of their counted values.
        value: Moments of the value over all n profiles, zeros included.
        exposed: Profiles with an exposure.
        backfilled: Profiles whose assignment was recorded after the end.
    """

    n: int = 0
    converters: int = 0
    total_value: float = 0.0
    value: Moments | None = None
    exposed: int = 0
    backfilled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Stored rows that no result counts.

    Attributes:
        outcomes: Outcomes stored in all.
        unassigned: Of them, of profiles without an assignment.
        before_start: Of them, before the unit's start.
        after_window: Of them, after the window.
        lazy_assigned: Profiles whom only an exposure brought in.
    """

    outcomes: int = 0
    unassigned: int = 0
    before_start: int = 0
    after_window: int = 0
    lazy_assigned: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutCounts:
    """What the tables hold of an experiment.

    Attributes:
        arms: By arm.
        left_out: What no result counts.
        after_the_fact: Profiles whose group was drawn after the end out of those whom the channel had touched already (HO-12).
    """

    arms: Mapping[str, ArmCounts]
    left_out: LeftOut = field(default_factory=LeftOut)
    after_the_fact: int = 0


def count_holdout(session: Session, window: Window, arms: tuple[str, ...]) -> HoldoutCounts:
    """Count an experiment's units and outcomes by arm, in one snapshot.

    Args:
        session: An open session.
        window: When outcomes count.
        arms: The spec's arms; each is in the answer, units or not.
    """
    connection = session.connection()
    everybody = connection.execute(window.bind(UNITS)).all()
    units: dict[str, tuple[int, int]] = {}
    for group, source, n, late in everybody:
        before = units.get(group, (0, 0))
        if source != LAZY:
            units[group] = before[0] + int(n), before[1] + int(late)
    for group, forced, late in connection.execute(window.bind(FORCED)):
        units[group] = units[group][0] - int(forced), units[group][1] - int(late)
    about = float(connection.execute(window.bind(ABOUT)).scalar_one() or 0.0)
    outcomes: dict[str, Any] = {}
    fates: dict[str, int] = {}
    for row in connection.execute(window.bind(OUTCOMES), {"about": about}):
        if row.fate is None:
            outcomes[row.arm] = row
        else:
            fates[row.fate] = int(row.n)
    exposed = exposed_by_arm(session, window)
    return HoldoutCounts(
        after_the_fact=sum(int(row[3]) for row in everybody if row[1] == AUTO),
        arms={arm: _arm(*units.get(arm, (0, 0)), outcomes.get(arm), about, exposed.get(arm, 0)) for arm in arms},
        left_out=LeftOut(
            outcomes=sum(fates.values()),
            unassigned=fates.get("unassigned", 0),
            before_start=fates.get("early", 0),
            after_window=fates.get("late", 0),
            lazy_assigned=sum(int(row[2]) for row in everybody if row[1] == LAZY),
        ),
    )


def exposed_by_arm(session: Session, window: Window) -> dict[str, int]:
    """Analysed units of each arm that were exposed; arms without any are left out."""
    return {row[0]: int(row[1]) for row in session.connection().execute(window.bind(EXPOSED))}


def _arm(n: int, backfilled: int, outcomes: Any, about: float, exposed: int) -> ArmCounts:
    if n == 0:
        return ArmCounts()
    if outcomes is None:
        return ArmCounts(n=n, value=Moments(n=n, mean=0.0, m2=0.0), exposed=exposed, backfilled=backfilled)
    _, _, count, total, off, squares = outcomes
    # Sums about a constant near the mean, brought back to the mean (Chan, Golub & LeVeque 1983).
    value = Moments(n=count, mean=about + off / count, m2=max(0.0, squares - off * off / count))
    if n > count:
        value = value + Moments(n=n - count, mean=0.0, m2=0.0)
    return ArmCounts(n=n, converters=count, total_value=total, value=value, exposed=exposed, backfilled=backfilled)


PERIOD = {
    ("sqlite", "D"): "date({})",
    ("sqlite", "W"): "date({}, 'weekday 0', '-6 days')",
    ("postgresql", "D"): "CAST({} AT TIME ZONE 'UTC' AS date)",
    ("postgresql", "W"): "CAST(date_trunc('week', {} AT TIME ZONE 'UTC') AS date)",
}
"""The first day of a moment's period; weeks start on Monday."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodCounts:
    """What is new in one period: units by their start, converters by their first counted outcome."""

    units: Mapping[tuple[dt.date, str], int]
    converters: Mapping[tuple[dt.date, str], int]


def count_periods(session: Session, window: Window, freq: str) -> PeriodCounts:
    """New units and new converters by period and arm.

    Args:
        session: An open session.
        window: When outcomes count.
        freq: `D` for days, `W` for weeks that start on Monday; both in UTC.
    """
    connection = session.connection()
    period = PERIOD[connection.dialect.name, freq]
    begun = "CASE WHEN a.assigned_at > :end_at OR a.assigned_at < :start_at THEN :start_at ELSE a.assigned_at END"
    if window.start_at is None:
        begun = "a.assigned_at"
    units = f'SELECT {period.format(f"({begun})")}, a."group", count(*) FROM experiment_assignments a WHERE {POPULATION} GROUP BY 1, 2'  # noqa: S608
    firsts = f"SELECT min(arm) AS arm, min(conversion_ts) AS first_at {CONVERTERS}"
    converters = f"{FATES} SELECT {period.format('first_at')}, arm, count(*) FROM ({firsts}) profiles GROUP BY 1, 2"  # noqa: S608
    return PeriodCounts(
        units={(_day(row[0]), row[1]): row[2] for row in connection.execute(window.bind(units))},
        converters={(_day(row[0]), row[1]): row[2] for row in connection.execute(window.bind(converters))},
    )


def _day(value: str | dt.date) -> dt.date:
    return dt.date.fromisoformat(value) if isinstance(value, str) else value
