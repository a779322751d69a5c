"""Alerts, and messages on their way out.

A message is claimed in a transaction of its own before it is sent, and marked after.
A claim that nobody marks is not taken up again: its worker died between the two, and
nobody can know whether the message left.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from fairtrial.storage.tables import Alert, Experiment, OutboxMessage

UNKNOWN = "Its worker ended between sending and noting: whether it arrived is not known, so it is not sent again by itself."


def add_alert(session: Session, alert: Alert) -> bool:
    """Keep an alert unless one with its key is there.

    Returns:
        Whether it is new.
    """
    columns = ("dedupe_key", "experiment_id", "severity", "message", "detail_json", "created_at")
    return _add_once(session, Alert, {name: getattr(alert, name) for name in columns})


def add_message(session: Session, *, dedupe_key: str, target: str, title: str, body: str, now: dt.datetime) -> bool:
    """Put a message into the outbox unless one with its key is there.

    Returns:
        Whether it is new.
    """
    given = {"dedupe_key": dedupe_key, "target": target, "title": title, "body": body}
    return _add_once(session, OutboxMessage, {**given, "created_at": now, "next_attempt_at": now, "attempts": 0})


def _add_once(session: Session, kind: type[Alert] | type[OutboxMessage], values: dict[str, Any]) -> bool:
    table: Any = kind.__table__
    connection = session.connection()
    insert: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    added = insert(table).values(values).on_conflict_do_nothing(index_elements=["dedupe_key"]).returning(table.c.id)
    return connection.execute(added).first() is not None


def has_alert(session: Session, dedupe_key: str) -> bool:
    """Whether an alert with this key was raised before."""
    return session.scalar(select(Alert.id).where(Alert.dedupe_key == dedupe_key)) is not None


def alerts_between(session: Session, since: dt.datetime, until: dt.datetime) -> Sequence[Alert]:
    """Alerts raised from `since` to before `until`, oldest first."""
    return session.scalars(select(Alert).where(Alert.created_at >= since, Alert.created_at < until).order_by(Alert.id)).all()


def list_alerts(
    session: Session,
    *,
    experiment_id: int | None = None,
    severities: Sequence[str] = (),
    since: dt.datetime | None = None,
    limit: int = 100,
    before_id: int | None = None,
) -> Sequence[tuple[Alert, str | None]]:
    """Alerts newest first, each with the key of its experiment."""
    kept: Select[Alert, str] = select(Alert, Experiment.key).outerjoin(Experiment, Experiment.id == Alert.experiment_id)
    if experiment_id is not None:
        kept = kept.where(Alert.experiment_id == experiment_id)
    if severities:
        kept = kept.where(Alert.severity.in_(severities))
    if since is not None:
        kept = kept.where(Alert.created_at >= since)
    if before_id is not None:
        kept = kept.where(Alert.id < before_id)
    return [(row[0], row[1]) for row in session.execute(kept.order_by(Alert.id.desc()).limit(limit))]


def has_due(session: Session, now: dt.datetime) -> bool:
    """Whether a message waits that may be sent now, or a claim hangs."""
    waits = OutboxMessage.delivered_at.is_(None) & OutboxMessage.failed_at.is_(None)
    may_go = OutboxMessage.claimed_at.is_not(None) | (OutboxMessage.next_attempt_at <= now)
    return session.scalar(select(OutboxMessage.id).where(waits, may_go).limit(1)) is not None


def claim_message(session: Session, worker: str, *, now: dt.datetime) -> OutboxMessage | None:
    """Take the message that has waited longest; no other worker will have it.

    Args:
        session: A writing session; commit it before sending.
        worker: Who takes it.
        now: The moment.

    Returns:
        The message, its attempt counted; None when none is due.
    """
    waiting = select(OutboxMessage).where(
        OutboxMessage.delivered_at.is_(None),
        OutboxMessage.failed_at.is_(None),
        OutboxMessage.claimed_at.is_(None),
        OutboxMessage.next_attempt_at <= now,
    )
    first = waiting.order_by(OutboxMessage.next_attempt_at, OutboxMessage.id).limit(1).with_for_update(skip_locked=True)
    found = session.scalar(first)
    if found is not None:
        found.claimed_by, found.claimed_at = worker, now
        found.attempts += 1
        session.flush()
    return found


def mark_delivered(session: Session, message: OutboxMessage, *, now: dt.datetime) -> bool:
    """Note that a claimed message was taken; false when the claim was given up meanwhile."""
    return _settle(session, message, delivered_at=now, last_error=None)


def mark_failed(session: Session, message: OutboxMessage, *, why: str, now: dt.datetime, again_at: dt.datetime | None) -> bool:
    """Note that an attempt failed; without `again_at` it was the last."""
    if again_at is None:
        return _settle(session, message, failed_at=now, last_error=why)
    return _settle(session, message, next_attempt_at=again_at, last_error=why)


def _settle(session: Session, message: OutboxMessage, **values: Any) -> bool:
    mine = update(OutboxMessage).where(
        OutboxMessage.id == message.id,
        OutboxMessage.claimed_by == message.claimed_by,
        OutboxMessage.attempts == message.attempts,
    )
    changed: Any = session.execute(mine.values(claimed_by=None, claimed_at=None, **values).execution_options(synchronize_session=False))
    return changed.rowcount == 1


def give_up_hanging(session: Session, *, claimed_before: dt.datetime, now: dt.datetime) -> int:
    """Set aside messages whose worker died with them; an ADMIN may send them again.

    Returns:
        How many.
    """
    hanging = update(OutboxMessage).where(
        OutboxMessage.claimed_at < claimed_before, OutboxMessage.delivered_at.is_(None), OutboxMessage.failed_at.is_(None)
    )
    values = {"claimed_by": None, "claimed_at": None, "failed_at": now, "last_error": UNKNOWN}
    changed: Any = session.execute(hanging.values(values).execution_options(synchronize_session=False))
    return changed.rowcount


def find_message(session: Session, message_id: int, *, for_update: bool = False) -> OutboxMessage | None:
    """One message."""
    statement = select(OutboxMessage).where(OutboxMessage.id == message_id)
    return session.scalar(statement.with_for_update() if for_update else statement)


WAITING = OutboxMessage.delivered_at.is_(None) & OutboxMessage.failed_at.is_(None)
STATES = {
    "delivered": OutboxMessage.delivered_at.is_not(None),
    "failed": OutboxMessage.failed_at.is_not(None),
    "sending": WAITING & OutboxMessage.claimed_at.is_not(None),
    "waiting": WAITING & OutboxMessage.claimed_at.is_(None),
}
"""Where a message may stand."""


def list_messages(
    session: Session, *, states: Sequence[str] = (), target: str | None = None, limit: int = 100, before_id: int | None = None
) -> Sequence[OutboxMessage]:
    """Messages newest first."""
    kept = select(OutboxMessage)
    if states:
        kept = kept.where(or_(*(STATES[state] for state in states)))
    if target is not None:
        kept = kept.where(OutboxMessage.target == target)
    if before_id is not None:
        kept = kept.where(OutboxMessage.id < before_id)
    return session.scalars(kept.order_by(OutboxMessage.id.desc()).limit(limit)).all()


def count_by_state(session: Session) -> dict[str, int]:
    """How many messages stand where."""
    return {
        state: session.scalar(select(func.count()).select_from(OutboxMessage).where(condition)) or 0 for state, condition in STATES.items()
    }
