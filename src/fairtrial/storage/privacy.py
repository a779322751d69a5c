"""What the database knows of one unit: found, exported, erased; and rows that have grown old."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, delete, func, inspect, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from fairtrial.storage.tables import (
    Alert,
    AuditEntry,
    Bandit,
    BanditDecision,
    BanditReward,
    Base,
    Conversion,
    Event,
    Experiment,
    ExperimentAssignment,
    ExperimentExposure,
    ExperimentOutcome,
    ForcedVariant,
    JobRun,
    OutboxMessage,
    PredictionRow,
    Profile,
    Rollout,
    RolloutSession,
    RolloutUser,
    ShadowRow,
    Touchpoint,
)

PERSONAL: Mapping[str, tuple[type[Base], InstrumentedAttribute[str] | InstrumentedAttribute[str | None]]] = {
    "profiles": (Profile, Profile.id),
    "touchpoints": (Touchpoint, Touchpoint.profile_id),
    "conversions": (Conversion, Conversion.profile_id),
    "experiment_assignments": (ExperimentAssignment, ExperimentAssignment.profile_id),
    "experiment_exposures": (ExperimentExposure, ExperimentExposure.profile_id),
    "experiment_outcomes": (ExperimentOutcome, ExperimentOutcome.profile_id),
    "events": (Event, Event.unit),
    "forced_variants": (ForcedVariant, ForcedVariant.unit),
    "experiment_logs": (PredictionRow, PredictionRow.user_id),
    "rollout_users": (RolloutUser, RolloutUser.user_id),
    "rollout_sessions": (RolloutSession, RolloutSession.user_id),
    "bandit_decisions": (BanditDecision, BanditDecision.unit),
}
"""Every table that names units, with the column that does; a test walks all tables and finds no other."""

AT_ONCE = 1_000
OVER = ("decided", "archived")
"""Statuses of an experiment whose rows may grow old: what has not been decided needs them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ageing:
    """A table whose rows may be deleted by age.

    Attributes:
        table: The table.
        time: Name of the column that tells a row's age.
        spared: Rows that stay however old they are; None for none.
        why: What is spared, in words.
    """

    table: type[Base]
    time: str
    spared: Callable[[], ColumnElement[bool]] | None = None
    why: str = ""


def _of_open_experiments(column: InstrumentedAttribute[int]) -> Callable[[], ColumnElement[bool]]:
    return lambda: column.in_(select(Experiment.id).where(Experiment.status.not_in(OVER)))


def _of_running_rollouts(column: InstrumentedAttribute[int]) -> Callable[[], ColumnElement[bool]]:
    return lambda: column.in_(select(Rollout.id).where(Rollout.status == "running"))


def _of_open_bandits(column: InstrumentedAttribute[str]) -> Callable[[], ColumnElement[bool]]:
    return lambda: column.in_(select(Bandit.key).where(Bandit.status != "stopped"))


UNTIL_STOPPED = "rows of bandits that are not stopped"
UNTIL_DECIDED = "rows of experiments that are neither decided nor archived"
UNTIL_ENDED = "rows of rollouts that are running"

AGEING: Mapping[str, Ageing] = {
    "profiles": Ageing(table=Profile, time="updated_at"),
    "touchpoints": Ageing(table=Touchpoint, time="touched_at"),
    "conversions": Ageing(table=Conversion, time="converted_at"),
    "experiment_assignments": Ageing(
        table=ExperimentAssignment,
        time="assigned_at",
        spared=_of_open_experiments(ExperimentAssignment.experiment_id),
        why=UNTIL_DECIDED,
    ),
    "experiment_exposures": Ageing(
        table=ExperimentExposure,
        time="exposure_ts",
        spared=_of_open_experiments(ExperimentExposure.experiment_id),
        why=UNTIL_DECIDED,
    ),
    "experiment_outcomes": Ageing(
        table=ExperimentOutcome,
        time="conversion_ts",
        spared=_of_open_experiments(ExperimentOutcome.experiment_id),
        why=UNTIL_DECIDED,
    ),
    "events": Ageing(table=Event, time="occurred_at"),
    "experiment_logs": Ageing(table=PredictionRow, time="timestamp"),
    "shadow_logs": Ageing(table=ShadowRow, time="timestamp"),
    "rollout_users": Ageing(table=RolloutUser, time="assigned_at", spared=_of_running_rollouts(RolloutUser.rollout_id), why=UNTIL_ENDED),
    "rollout_sessions": Ageing(
        table=RolloutSession, time="occurred_at", spared=_of_running_rollouts(RolloutSession.rollout_id), why=UNTIL_ENDED
    ),
    "bandit_decisions": Ageing(table=BanditDecision, time="decided_at", spared=_of_open_bandits(BanditDecision.bandit), why=UNTIL_STOPPED),
    "bandit_rewards": Ageing(table=BanditReward, time="rewarded_at", spared=_of_open_bandits(BanditReward.bandit), why=UNTIL_STOPPED),
    "audit_log": Ageing(table=AuditEntry, time="at"),
    "alerts": Ageing(table=Alert, time="created_at"),
    "outbox": Ageing(
        table=OutboxMessage,
        time="created_at",
        spared=lambda: OutboxMessage.delivered_at.is_(None) & OutboxMessage.failed_at.is_(None),
        why="messages that still wait",
    ),
    "job_runs": Ageing(table=JobRun, time="started_at", spared=lambda: JobRun.status == "running", why="runs under way"),
}
"""Tables that may have a rule of retention."""


def rows_of_unit(session: Session, unit: str) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Each personal table with its rows of a unit, read as they are walked."""
    for name, (table, column) in PERSONAL.items():
        found = session.scalars(select(table).where(column == unit).execution_options(yield_per=AT_ONCE))
        yield name, (plain(row) for row in found)


def experiments_of_unit(session: Session, unit: str) -> list[int]:
    """Experiments that hold rows of a unit, by id."""
    found: set[int] = set()
    for table in (ExperimentAssignment, ExperimentExposure, ExperimentOutcome):
        found.update(session.scalars(select(table.experiment_id).where(table.profile_id == unit).distinct()))
    found.update(session.scalars(select(ForcedVariant.experiment_id).where(ForcedVariant.unit == unit)))
    return sorted(found)


def delete_unit(session: Session, unit: str) -> dict[str, int]:
    """Delete every row of a unit; how many there were, by table."""
    return {name: _count(session.execute(delete(table).where(column == unit))) for name, (table, column) in PERSONAL.items()}


def mask_in_audit(session: Session, unit: str, mask: str) -> int:
    """Write `mask` where the audit log names a unit: alone, after a slash, or in a document; how many entries did.

    Args:
        session: A writing session.
        unit: The unit.
        mask: What stands for it from now on.
    """
    named = AuditEntry.object_id == unit
    within = AuditEntry.object_id.endswith(f"/{unit}", autoescape=True)
    shortened = func.substr(AuditEntry.object_id, 1, func.length(AuditEntry.object_id) - len(unit)) + mask
    changed = _count(session.execute(update(AuditEntry).where(named).values(object_id=mask)))
    changed += _count(session.execute(update(AuditEntry).where(within).values(object_id=shortened)))
    documents = select(AuditEntry).where(or_(AuditEntry.before_json.is_not(None), AuditEntry.after_json.is_not(None)))
    for entry in session.scalars(documents.execution_options(yield_per=AT_ONCE)):
        before, after = _masked(entry.before_json, unit, mask), _masked(entry.after_json, unit, mask)
        if before != entry.before_json or after != entry.after_json:
            entry.before_json, entry.after_json = before, after
            changed += 1
    session.flush()
    return changed


def delete_older(session: Session, ageing: Ageing, before: dt.datetime, *, limit: int) -> int:
    """Delete up to `limit` of the rows older than `before` that are not spared; how many it deleted."""
    columns = inspect(ageing.table)
    (key,) = columns.primary_key
    old = select(key).where(columns.columns[ageing.time] < before)
    if ageing.spared is not None:
        old = old.where(~ageing.spared())
    return _count(session.execute(delete(ageing.table).where(key.in_(old.limit(limit))).execution_options(synchronize_session=False)))


def count_rows(session: Session, table: type[Base]) -> int:
    """How many rows a table has."""
    return session.scalar(select(func.count()).select_from(table)) or 0


def plain(row: Base) -> dict[str, Any]:
    """A row as JSON holds it: times in ISO 8601 with Z, bytes in base64."""
    return {column.key: _plain(getattr(row, column.key)) for column in inspect(type(row)).column_attrs}


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _masked(document: Any, unit: str, mask: str) -> Any:
    if isinstance(document, dict):
        entries = cast("dict[str, Any]", document)
        return {_masked(key, unit, mask): _masked(value, unit, mask) for key, value in entries.items()}
    if isinstance(document, list):
        return [_masked(value, unit, mask) for value in cast("list[Any]", document)]
    return mask if document == unit else document


def _count(result: Any) -> int:
    return int(result.rowcount)
