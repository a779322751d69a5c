"""The audit log: every change with who made it, and what was there before and after."""

from __future__ import annotations

import datetime as dt
from typing import Any

import structlog
from sqlalchemy.orm import Session

from fairtrial.service.access.roles import Actor
from fairtrial.storage.tables import AuditEntry


def record_change(
    session: Session,
    *,
    actor: Actor,
    now: dt.datetime,
    action: str,
    on: tuple[str, int | str],
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write one change into the session that makes it, so that both are kept or neither.

    Args:
        session: The writing session.
        actor: Who.
        now: When.
        action: A verb, `experiment.start`.
        on: Kind and id of what was changed.
        before: What was there, without secrets.
        after: What is there now, without secrets.
    """
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    session.add(
        AuditEntry(
            at=now,
            actor=actor.name,
            role=actor.role.name,
            action=action,
            object_type=on[0],
            object_id=str(on[1]),
            before_json=before,
            after_json=after,
            request_id=None if request_id is None else str(request_id),
        )
    )
