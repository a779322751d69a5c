"""Answers of the audit route."""

from __future__ import annotations

from pydantic import BaseModel

from fairtrial.service.bodies import Document, Time


class AuditOut(BaseModel):
    """One change."""

    id: int
    at: Time
    actor: str
    role: str
    action: str
    object_type: str
    object_id: str
    before: Document | None
    after: Document | None
    request_id: str | None


class AuditList(BaseModel):
    """Changes, newest first."""

    items: list[AuditOut]
    next_before_id: int | None
    """Give it as `before_id` to read on; null at the end."""
