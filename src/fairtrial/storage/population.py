"""The population: who there is, who was touched by which channel, who converted; and what a planner counts of them.

Rows go in once, whatever is sent how often. They go in by the order of their keys, so
that two processes with the same rows wait for each other instead of dead-locking.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Integer, TextClause, bindparam, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from fairtrial.storage.bulk import time_parameter
from fairtrial.storage.tables import Base, Conversion, Experiment, ExperimentAssignment, Profile, Touchpoint

Fields = Mapping[str, Any]
"""Columns of a row by name."""


def upsert_profiles(session: Session, rows: Iterable[Fields]) -> tuple[int, int]:
    """Store profiles; of one that is there the given columns alone are rewritten.

    Args:
        session: A writing session.
        rows: Columns of each profile, `id` among them; of several rows of one profile a later column wins.

    Returns:
        Profiles that are new, and profiles that were there.
    """
    merged: dict[str, dict[str, Any]] = {}
    for row in rows:
        merged.setdefault(row["id"], {}).update(row)
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for key in sorted(merged):
        by_columns.setdefault(tuple(sorted(merged[key])), []).append(merged[key])
    new = 0
    insert = _insert(session)
    if merged:
        there = insert(Profile).on_conflict_do_nothing()
        new = _count(session, there, [{"id": key} for key in sorted(merged)])
    for columns, found in by_columns.items():
        changed = insert(Profile)
        rest = {name: changed.excluded[name] for name in columns if name != "id"}
        if rest:
            session.connection().execute(changed.on_conflict_do_update(index_elements=["id"], set_=rest), found)
    return new, len(merged) - new


def store_touchpoints(session: Session, rows: Iterable[Fields]) -> int:
    """Store contacts; one with the profile, channel, time and campaign of another is that other.

    Returns:
        Contacts that are new.
    """
    return _store_once(session, Touchpoint, rows, ("profile_id", "channel", "touched_at", "campaign_id"))


def store_conversions(session: Session, rows: Iterable[Fields]) -> int:
    """Store conversions; one with the profile, KPI and time of another is that other.

    Returns:
        Conversions that are new.
    """
    return _store_once(session, Conversion, rows, ("profile_id", "kpi", "converted_at"))


def _store_once(session: Session, table: type[Base], rows: Iterable[Fields], key: Sequence[str]) -> int:
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        kept.setdefault(tuple(row[name] for name in key), dict(row))
    if not kept:
        return 0
    return _count(session, _insert(session)(table).on_conflict_do_nothing(), [kept[place] for place in sorted(kept)])


def _count(session: Session, statement: Any, rows: list[dict[str, Any]]) -> int:
    return session.connection().execute(statement, rows, execution_options={"preserve_rowcount": True}).rowcount


def _insert(session: Session) -> Any:
    return sqlite.insert if session.connection().dialect.name == "sqlite" else postgresql.insert


def touched_profiles(session: Session, channel: str, since: dt.datetime, until: dt.datetime) -> list[str]:
    """Every profile with a contact of a channel in a period, both ends included, converted or not; in the order of their ids."""
    return list(
        session.scalars(
            select(Touchpoint.profile_id)
            .where(Touchpoint.channel == channel, Touchpoint.touched_at >= since, Touchpoint.touched_at <= until)
            .distinct()
            .order_by(Touchpoint.profile_id)
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelCounts:
    """What the touchpoints of one channel hold over a period.

    Attributes:
        channel: The channel.
        touches: Contacts.
        profiles: Distinct profiles with a contact.
        journeys: Runs of contacts of one profile; a conversion ends one.
        converters: Distinct profiles that converted within the window after their first contact.
        owned: Whether any contact was marked as of an own channel; None when none was marked at all.
    """

    channel: str
    touches: int
    profiles: int
    journeys: int
    converters: int
    owned: bool | None


TOUCHED = "SELECT t.* FROM touchpoints t WHERE t.touched_at >= :since AND t.touched_at <= :until"
CONVERTED = "SELECT c.profile_id, c.converted_at FROM conversions c WHERE c.kpi = :kpi"

BY_CHANNEL = f"""
SELECT channel, count(*), count(DISTINCT profile_id), max(CASE WHEN owned THEN 1 WHEN NOT owned THEN 0 END)
FROM ({TOUCHED}) touched GROUP BY channel ORDER BY channel
"""  # noqa: S608 - no value of anybody's

JOURNEYS = f"""
SELECT channel, count(*) FROM (
  SELECT DISTINCT channel, profile_id, run FROM (
    SELECT channel, profile_id, converts,
      sum(converts) OVER (PARTITION BY profile_id ORDER BY at, converts ROWS UNBOUNDED PRECEDING) AS run
    FROM (
      SELECT channel, profile_id, touched_at AS at, 0 AS converts FROM ({TOUCHED}) touched
      UNION ALL SELECT NULL, profile_id, converted_at, 1 FROM ({CONVERTED}) converted
    ) steps
  ) numbered WHERE converts = 0
) journeys GROUP BY channel ORDER BY channel
"""  # noqa: S608
"""A contact at the moment of a conversion comes before it."""

FIRST_TOUCH = f"SELECT channel, profile_id, min(touched_at) AS at FROM ({TOUCHED}) touched GROUP BY channel, profile_id"  # noqa: S608
WITHIN = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S', f.at, '+' || {seconds} || ' seconds') || substr(f.at, 20)",
    "postgresql": "f.at + CAST({seconds} AS integer) * interval '1 second'",
}
"""A moment some whole seconds later, as the tables hold moments: whole seconds leave the fraction as it is."""

CONVERTERS = (
    "SELECT f.channel, count(DISTINCT f.profile_id) FROM ({first}) f JOIN conversions c ON c.profile_id = f.profile_id "
    "AND c.kpi = :kpi AND c.converted_at >= f.at AND c.converted_at <= {within} GROUP BY f.channel ORDER BY f.channel"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Days after a profile's first contact in which its conversion counts.

    Attributes:
        days: By channel, in lower case.
        other_days: Of channels not named.
    """

    days: Mapping[str, float]
    other_days: float


def count_channels(session: Session, since: dt.datetime, until: dt.datetime, kpi: str, windows: Windows) -> list[ChannelCounts]:
    """Count every channel with a contact in a period, both ends included.

    Args:
        session: An open session.
        since: Start of the period.
        until: Its end.
        kpi: What counts as a conversion.
        windows: How long after a contact it counts.
    """
    connection = session.connection()
    period = [time_parameter("since", since), time_parameter("until", until)]
    channels = connection.execute(text(BY_CHANNEL).bindparams(*period)).all()
    of_kpi: list[BindParameter[Any]] = [*period, bindparam("kpi", kpi)]
    journeys = {row[0]: int(row[1]) for row in connection.execute(text(JOURNEYS).bindparams(*of_kpi))}
    converters = {row[0]: int(row[1]) for row in connection.execute(_converters(connection.dialect.name, windows).bindparams(*of_kpi))}
    return [
        ChannelCounts(
            channel=channel,
            touches=int(touches),
            profiles=int(profiles),
            journeys=journeys.get(channel, 0),
            converters=converters.get(channel, 0),
            owned=None if owned is None else bool(owned),
        )
        for channel, touches, profiles, owned in channels
    ]


def _converters(dialect: str, windows: Windows) -> TextClause:
    cases = [f"WHEN :channel_{i} THEN :seconds_{i}" for i in range(len(windows.days))]
    seconds = f"CASE lower(f.channel) {' '.join(cases)} ELSE :other_seconds END"
    given: list[BindParameter[Any]] = [bindparam("other_seconds", _seconds(windows.other_days), type_=Integer())]
    for i, (channel, days) in enumerate(windows.days.items()):
        given += [bindparam(f"channel_{i}", channel), bindparam(f"seconds_{i}", _seconds(days), type_=Integer())]
    within = WITHIN[dialect].format(seconds=seconds)
    return text(CONVERTERS.format(first=FIRST_TOUCH, within=within)).bindparams(*given)


def _seconds(days: float) -> int:
    return round(days * 86400)


def count_by_kpi(session: Session, since: dt.datetime, until: dt.datetime) -> dict[str, int]:
    """Conversions of a period by KPI, the most frequent first."""
    counted = session.execute(
        select(Conversion.kpi, func.count())
        .where(Conversion.converted_at >= since, Conversion.converted_at <= until)
        .group_by(Conversion.kpi)
        .order_by(func.count().desc(), Conversion.kpi)
    ).all()
    return {row[0]: row[1] for row in counted}


def running_on_channel(session: Session, channel: str | None, *, but: int) -> int:
    """Running experiments on a channel, one left out."""
    if channel is None:
        return 0
    same = select(func.count()).select_from(Experiment)
    same = same.where(Experiment.status == "running", func.lower(Experiment.channel) == channel.lower(), Experiment.id != but)
    return session.scalar(same) or 0


def is_channel_known(session: Session, channel: str) -> bool:
    """Whether any contact of a channel is stored."""
    return session.scalar(select(Touchpoint.id).where(Touchpoint.channel == channel.lower()).limit(1)) is not None


def is_kpi_known(session: Session, kpi: str) -> bool:
    """Whether any conversion of a KPI is stored."""
    return session.scalar(select(Conversion.id).where(Conversion.kpi == kpi).limit(1)) is not None


def first_assigned_at(session: Session, experiment_id: int, *, until: dt.datetime | None) -> dt.datetime | None:
    """When the first profile was assigned that an analysis counts; those assigned after `until` are left out."""
    first = select(func.min(ExperimentAssignment.assigned_at)).where(
        ExperimentAssignment.experiment_id == experiment_id, ExperimentAssignment.source != "exposure"
    )
    return session.scalar(first if until is None else first.where(ExperimentAssignment.assigned_at <= until))
