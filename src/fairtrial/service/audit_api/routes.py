"""Route of the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from fairtrial.service.audit_api.schemas import AuditList
from fairtrial.service.audit_api.views import read
from fairtrial.service.bodies import Time
from fairtrial.service.dependencies import AsAdmin, DbRead
from fairtrial.storage.audit import AuditFilter

router = APIRouter(prefix="/audit", tags=["audit"])

Word = Annotated[str | None, Query(min_length=1, max_length=200)]


@router.get("", response_model=AuditList)
def read_audit(
    db: DbRead,
    actor: AsAdmin,
    by: Annotated[str | None, Query(min_length=1, max_length=200, description="Who: `key:<public id>`, `user:<subject>`.")] = None,
    action: Annotated[str | None, Query(min_length=1, max_length=200, description="`key.revoke`; `key.` for all of keys.")] = None,
    object_type: Word = None,
    object_id: Word = None,
    request_id: Word = None,
    since: Time | None = None,
    until: Time | None = None,
    before_id: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditList:
    """Read the audit log, newest first: who, what, before and after."""
    del actor
    kept = AuditFilter(
        actor=by, action=action, object_type=object_type, object_id=object_id, request_id=request_id, since=since, until=until
    )
    return read(db, kept, limit=limit, before_id=before_id)
