"""Rows of alerts and messages as they are shown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy.orm import Session

from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.notifications.schemas import AlertList, AlertOut, MessageList, MessageOut, MessageState
from fairtrial.storage.outbox import count_by_state, list_alerts, list_messages
from fairtrial.storage.tables import Alert, OutboxMessage


def read_alerts(
    session: Session,
    *,
    experiment: str | None,
    severities: Sequence[str],
    since: dt.datetime | None,
    limit: int,
    before_id: int | None,
) -> AlertList:
    """One page of alerts.

    Raises:
        NotFoundError: There is no such experiment.
    """
    wanted = None if experiment is None else get_experiment(session, experiment).id
    rows = list_alerts(session, experiment_id=wanted, severities=severities, since=since, limit=limit + 1, before_id=before_id)
    shown = rows[:limit]
    return AlertList(items=[_alert(*row) for row in shown], next_before_id=shown[-1][0].id if len(rows) > limit else None)


def read_messages(session: Session, *, states: Sequence[str], target: str | None, limit: int, before_id: int | None) -> MessageList:
    """One page of the outbox."""
    rows = list_messages(session, states=states, target=target, limit=limit + 1, before_id=before_id)
    shown = rows[:limit]
    items = [as_message_out(row) for row in shown]
    counts = count_by_state(session)
    return MessageList.model_validate({"items": items, "counts": counts, "next_before_id": shown[-1].id if len(rows) > limit else None})


def as_message_out(row: OutboxMessage) -> MessageOut:
    """One message."""
    state = state_of(row)
    return MessageOut(
        id=row.id,
        target=row.target,
        title=row.title,
        body=row.body,
        state=state,
        attempts=row.attempts,
        created_at=row.created_at,
        next_attempt_at=row.next_attempt_at if state == "waiting" else None,
        delivered_at=row.delivered_at,
        failed_at=row.failed_at,
        last_error=row.last_error,
    )


def state_of(row: OutboxMessage) -> MessageState:
    """Where a message stands."""
    if row.delivered_at is not None:
        return "delivered"
    if row.failed_at is not None:
        return "failed"
    return "waiting" if row.claimed_at is None else "sending"


def _alert(row: Alert, key: str | None) -> AlertOut:
    detail = row.detail_json or {}
    return AlertOut.model_validate(
        {
            "id": row.id,
            "experiment_id": row.experiment_id,
            "experiment_key": key,
            "severity": row.severity,
            "message": row.message,
            "p_value": detail.get("p_value"),
            "p_kind": detail.get("p_kind"),
            "created_at": row.created_at,
        }
    )
