"""Stored groups: written once per experiment and profile, counted as they stand.

Many rows go in at driver speed through a temporary table: `executemany` in SQLite,
COPY in Postgres, then one INSERT that leaves out what is there. It inserts in the
order of the key, so that two processes with the same profiles wait for each other
instead of dead-locking.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from fairtrial.storage.bulk import load_temporary, time_parameter
from fairtrial.storage.tables import ExperimentAssignment

Unit = tuple[str, str | None, str | None, str | None]
"""Profile, group, why it has none, and the stratum within which it was assigned, if it was so."""

NOT_LISTED = "not_listed"
"""Why a profile has no group where groups are given by lists."""

INSERT = (
    'INSERT INTO experiment_assignments (experiment_id, profile_id, "group", assigned_at, source, stratum) '
    "SELECT :experiment, profile_id, arm, :assigned_at, :source, stratum FROM new_assignments WHERE arm IS NOT NULL ORDER BY profile_id "
    "ON CONFLICT (experiment_id, profile_id) DO NOTHING"
)
REWRITE = (
    'UPDATE experiment_assignments SET "group" = n.arm, assigned_at = :assigned_at, source = :source FROM new_assignments n '
    "WHERE experiment_assignments.experiment_id = :experiment AND experiment_assignments.profile_id = n.profile_id "
    'AND experiment_assignments."group" <> n.arm'
)
GROUPS = (
    'SELECT a."group", count(*) FROM new_assignments n JOIN experiment_assignments a '
    "ON a.experiment_id = :experiment AND a.profile_id = n.profile_id GROUP BY 1 ORDER BY 1"
)
LEFT_OUT = "SELECT reason, count(*) FROM new_assignments WHERE arm IS NULL GROUP BY 1 ORDER BY 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredGroups:
    """What became of a batch.

    Attributes:
        new: Profiles stored now.
        by_group: Distinct profiles of the batch by their stored group, new and old.
        left_out: Distinct profiles of the batch without a group, by the reason that came with them.
        moved: Profiles whose stored group was rewritten.
    """

    new: int
    by_group: Mapping[str, int]
    left_out: Mapping[str, int]
    moved: int = 0


def store_assignments(
    session: Session, experiment_id: int, units: Iterable[Unit], *, assigned_at: dt.datetime, source: str, rewrite: bool = False
) -> StoredGroups:
    """Store groups of profiles that have none yet; a stored group always wins, unless it is to be rewritten.

    Args:
        session: A writing session.
        experiment_id: The experiment.
        units: Profiles, each with the group that the hash gives it, or with the reason why it has none; repeats count once.
        assigned_at: When, aware.
        source: How they came to be assigned.
        rewrite: Give profiles that have another group this one.
    """
    load_temporary(session, "new_assignments", ("profile_id", "arm", "reason", "stratum"), units)
    connection = session.connection()
    given = {"experiment": experiment_id, "source": source}
    moved = connection.execute(text(REWRITE).bindparams(time_parameter("assigned_at", assigned_at)), given).rowcount if rewrite else 0
    new = connection.execute(text(INSERT).bindparams(time_parameter("assigned_at", assigned_at)), given).rowcount
    groups = connection.execute(text(GROUPS), {"experiment": experiment_id}).all()
    left_out = connection.execute(text(LEFT_OUT)).all()
    return StoredGroups(new=new, by_group={row[0]: row[1] for row in groups}, left_out={row[0]: row[1] for row in left_out}, moved=moved)


def find_assignment(session: Session, experiment_id: int, profile_id: str) -> ExperimentAssignment | None:
    """The stored group of a profile."""
    return session.scalar(
        select(ExperimentAssignment).where(
            ExperimentAssignment.experiment_id == experiment_id, ExperimentAssignment.profile_id == profile_id
        )
    )


def newest_assignments(session: Session, experiment_id: int, limit: int) -> Sequence[ExperimentAssignment]:
    """The latest assignments, newest first."""
    return session.scalars(
        select(ExperimentAssignment)
        .where(ExperimentAssignment.experiment_id == experiment_id)
        .order_by(ExperimentAssignment.assigned_at.desc(), ExperimentAssignment.id.desc())
        .limit(limit)
    ).all()


def has_assignments(session: Session, experiment_id: int) -> bool:
    """Whether any profile has a group."""
    return session.scalar(select(ExperimentAssignment.id).where(ExperimentAssignment.experiment_id == experiment_id).limit(1)) is not None


def count_by_group(session: Session, experiment_id: int) -> dict[str, int]:
    """Profiles by stored group, all sources."""
    counted = session.execute(
        select(ExperimentAssignment.group, func.count())
        .where(ExperimentAssignment.experiment_id == experiment_id)
        .group_by(ExperimentAssignment.group)
    ).all()
    return {row[0]: row[1] for row in counted}
