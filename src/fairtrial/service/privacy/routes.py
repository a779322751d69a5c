"""Routes of privacy: parse, one call, return."""

from __future__ import annotations

from fastapi import APIRouter

from fairtrial.service.dependencies import AsAdmin, DbRead, DbWrite, Now, State
from fairtrial.service.privacy import retention, units
from fairtrial.service.privacy.schemas import (
    RetentionDays,
    RetentionDone,
    RetentionList,
    RetentionOut,
    TableName,
    UnitErased,
    UnitExport,
    UnitRequest,
)

router = APIRouter(prefix="/privacy", tags=["privacy"])


@router.post("/export", response_model=UnitExport)
def export_unit(db: DbWrite, actor: AsAdmin, now: Now, body: UnitRequest) -> UnitExport:
    """All that is stored of one unit, as JSON."""
    return units.export(db, body.unit, actor=actor, now=now)


@router.post("/erase", response_model=UnitErased)
def erase_unit(db: DbWrite, actor: AsAdmin, now: Now, body: UnitRequest) -> UnitErased:
    """Erase one unit everywhere; the audit log keeps a hash alone."""
    return units.erase(db, body.unit, actor=actor, now=now)


@router.get("/retention", response_model=RetentionList)
def read_retention(db: DbRead, actor: AsAdmin) -> RetentionList:
    """How long the rows of each table are kept."""
    del actor
    return retention.listed(db)


@router.post("/retention/apply", response_model=RetentionDone)
def apply_retention_now(actor: AsAdmin, now: Now, state: State) -> RetentionDone:
    """Delete now what the rules say is too old."""
    return retention.apply_retention(state.database, now=now, actor=actor)


@router.put("/retention/{table}", response_model=RetentionOut)
def set_retention(db: DbWrite, actor: AsAdmin, now: Now, table: TableName, body: RetentionDays) -> RetentionOut:
    """Keep the rows of a table for so many days."""
    return retention.set_rule(db, table, body.days, actor=actor, now=now)


@router.delete("/retention/{table}", response_model=RetentionOut)
def remove_retention(db: DbWrite, actor: AsAdmin, now: Now, table: TableName) -> RetentionOut:
    """Keep the rows of a table for ever."""
    return retention.remove_rule(db, table, actor=actor, now=now)
