"""Reading API keys."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fairtrial.storage.tables import ApiKey


def find_key(session: Session, public_id: str, *, for_update: bool = False) -> ApiKey | None:
    """The key with this public part."""
    statement = select(ApiKey).where(ApiKey.public_id == public_id)
    return session.scalar(statement.with_for_update() if for_update else statement)


def list_keys(session: Session, *, limit: int, offset: int) -> tuple[Sequence[ApiKey], int]:
    """Keys newest first, and how many there are in all."""
    total = session.scalar(select(func.count()).select_from(ApiKey)) or 0
    return session.scalars(select(ApiKey).order_by(ApiKey.id.desc()).limit(limit).offset(offset)).all(), total
