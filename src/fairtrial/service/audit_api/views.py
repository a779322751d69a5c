"""Entries of the audit log as they are shown."""

from __future__ import annotations

from sqlalchemy.orm import Session

from fairtrial.service.audit_api.schemas import AuditList, AuditOut
from fairtrial.storage.audit import AuditFilter, list_audit
from fairtrial.storage.tables import AuditEntry


def read(session: Session, kept: AuditFilter, *, limit: int, before_id: int | None) -> AuditList:
    """One page of the log."""
    rows = list_audit(session, kept, limit=limit + 1, before_id=before_id)
    shown = rows[:limit]
    return AuditList(items=[_as_out(row) for row in shown], next_before_id=shown[-1].id if len(rows) > limit else None)


def _as_out(row: AuditEntry) -> AuditOut:
    return AuditOut(
        id=row.id,
        at=row.at,
        actor=row.actor,
        role=row.role,
        action=row.action,
        object_type=row.object_type,
        object_id=row.object_id,
        before=row.before_json,
        after=row.after_json,
        request_id=row.request_id,
    )
