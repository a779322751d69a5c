"""Reading and writing adaptive rollouts, their users and their sessions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from fairtrial.storage.tables import Rollout, RolloutSession, RolloutUser
from fairtrial.storage.tables.base import Base

AT_ONCE = 500


def find_rollout(session: Session, named: str, *, lock: bool = False) -> Rollout | None:
    """A rollout by its id or its name.

    Args:
        session: A session; a writing one to `lock`.
        named: The id in decimal digits, or the name.
        lock: Let nobody else change it until the session ends.
    """
    asked = select(Rollout).execution_options(populate_existing=True)
    if named.isascii() and named.isdecimal():
        number = int(named) if len(named) < 19 else -1
        asked = asked.where(Rollout.id == number)
    else:
        asked = asked.where(Rollout.name == named)
    return session.scalars(asked.with_for_update() if lock else asked).first()


def list_rollouts(session: Session, *, status: str | None, limit: int, offset: int) -> tuple[Sequence[Rollout], int]:
    """Rollouts by id, and how many there are in all."""
    asked = select(Rollout)
    if status is not None:
        asked = asked.where(Rollout.status == status)
    total = session.scalar(select(func.count()).select_from(asked.subquery())) or 0
    return session.scalars(asked.order_by(Rollout.id).limit(limit).offset(offset)).all(), total


def find_user(session: Session, rollout_id: int, user_id: str) -> RolloutUser | None:
    """A user who was assigned."""
    return session.scalars(select(RolloutUser).where(RolloutUser.rollout_id == rollout_id, RolloutUser.user_id == user_id)).first()


def add_user(session: Session, values: Mapping[str, Any]) -> bool:
    """Keep a user's assignment; whether it is new."""
    return _add_once(session, RolloutUser, [values]) == 1


def move_user(session: Session, row: RolloutUser, *, now: dt.datetime) -> None:
    """Into the treatment, if nobody did so before."""
    session.execute(
        update(RolloutUser)
        .where(RolloutUser.id == row.id, RolloutUser.treated_at.is_(None))
        .values(variant="treatment", treated_at=now)
        .execution_options(synchronize_session=False)
    )
    session.refresh(row)


def users_named(session: Session, rollout_id: int, users: Iterable[str]) -> set[str]:
    """Those of these users who were assigned."""
    wanted, found = sorted(set(users)), set[str]()
    for begin in range(0, len(wanted), AT_ONCE):
        part = wanted[begin : begin + AT_ONCE]
        found.update(
            session.scalars(select(RolloutUser.user_id).where(RolloutUser.rollout_id == rollout_id, RolloutUser.user_id.in_(part)))
        )
    return found


def count_users(session: Session, rollout_id: int) -> dict[str, int]:
    """Users assigned, by arm."""
    asked = (
        select(RolloutUser.variant, func.count().label("users")).where(RolloutUser.rollout_id == rollout_id).group_by(RolloutUser.variant)
    )
    found = {"control": 0, "treatment": 0}
    for row in session.execute(asked).mappings():
        found[row["variant"]] = row["users"]
    return found


def count_sessions(session: Session, rollout_id: int) -> int:
    """Sessions that were recorded."""
    return session.scalar(select(func.count()).select_from(RolloutSession).where(RolloutSession.rollout_id == rollout_id)) or 0


def add_sessions(session: Session, rows: Sequence[Mapping[str, Any]]) -> int:
    """Keep sessions; one that is kept already stays as it is. How many are new."""
    return _add_once(session, RolloutSession, rows)


def read_sessions(session: Session, rollout_id: int, until: dt.datetime) -> list[dict[str, Any]]:
    """Sessions up to a moment with the engagement of their users, by time and id."""
    table: Any = RolloutSession.__table__
    asked = (
        select(
            table.c.user_id,
            table.c.occurred_at,
            table.c.variant,
            table.c.task_completion_time,
            table.c.accepted,
            table.c.latency_ms,
            table.c.error,
            RolloutUser.engagement,
        )
        .outerjoin(RolloutUser, (RolloutUser.rollout_id == table.c.rollout_id) & (RolloutUser.user_id == table.c.user_id))
        .where(table.c.rollout_id == rollout_id, table.c.occurred_at <= until)
        .order_by(table.c.occurred_at, table.c.id)
    )
    return [{str(name): value for name, value in row.items()} for row in session.execute(asked).mappings()]


def _add_once(session: Session, kind: type[Base], rows: Sequence[Mapping[str, Any]]) -> int:
    table: Any = kind.__table__
    dialect = session.connection().dialect.name
    new = 0
    for begin in range(0, len(rows), AT_ONCE):
        inserted = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)
        statement = inserted.values(list(rows[begin : begin + AT_ONCE])).on_conflict_do_nothing()
        # Not every driver counts what an insert with conflicts has added; rows that come back do.
        new += len(session.scalars(statement.returning(table.c.id)).all())
    return new
