"""Reading the audit log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairtrial.storage.tables import AuditEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries to keep; None keeps all.

    Attributes:
        actor: By whom.
        action: Which; `key.` with a point at its end keeps all that begin with it.
        object_type: Kind of what was changed.
        object_id: Id of what was changed.
        request_id: Of the request that made the change.
        since: Not before.
        until: Before.
    """

    actor: str | None = None
    action: str | None = None
    object_type: str | None = None
    object_id: str | None = None
    request_id: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


def list_audit(session: Session, kept: AuditFilter, *, limit: int, before_id: int | None = None) -> Sequence[AuditEntry]:
    """Entries newest first.

    Args:
        session: An open session.
        kept: Which.
        limit: At most so many.
        before_id: Only those older than this one.
    """
    statement = select(AuditEntry)
    for column, wanted in (
        (AuditEntry.actor, kept.actor),
        (AuditEntry.object_type, kept.object_type),
        (AuditEntry.object_id, kept.object_id),
        (AuditEntry.request_id, kept.request_id),
    ):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if kept.action is not None:
        whole = not kept.action.endswith(".")
        statement = statement.where(
            AuditEntry.action == kept.action if whole else AuditEntry.action.startswith(kept.action, autoescape=True)
        )
    if kept.since is not None:
        statement = statement.where(AuditEntry.at >= kept.since)
    if kept.until is not None:
        statement = statement.where(AuditEntry.at < kept.until)
    if before_id is not None:
        statement = statement.where(AuditEntry.id < before_id)
    return session.scalars(statement.order_by(AuditEntry.id.desc()).limit(limit)).all()
