"""Bandits in the database: rows of bandits and periods, decisions and rewards kept once, and the log read back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from fairtrial.errors import ConflictError, UnknownNameError
from fairtrial.storage.tables import Bandit, BanditDecision, BanditPeriodRow, BanditReward
from fairtrial.storage.tables.base import Base

AT_ONCE = 400
MOST_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Ripe:
    """Which decisions count by now.

    Attributes:
        until: Only decisions made up to here count, and a missing reward is 0; None: only those with a reward count.
    """

    until: dt.datetime | None = None


def list_bandits(session: Session) -> Sequence[Bandit]:
    """Every bandit, by key."""
    return session.scalars(select(Bandit).order_by(Bandit.key)).all()


def get_bandit(session: Session, key: str, *, lock: bool = False) -> Bandit:
    """A bandit as it stands now.

    Args:
        session: A session; a writing one to `lock`.
        key: Of the bandit.
        lock: Let nobody else change it until the session ends.

    Raises:
        UnknownNameError: There is none of that key.
    """
    found = session.get(Bandit, key, populate_existing=True, with_for_update=lock or None)
    if found is None:
        known = session.scalars(select(Bandit.key).order_by(Bandit.key).limit(MOST_NAMED)).all()
        raise UnknownNameError.among("bandit", key, known, code="unknown_bandit")
    return found


def add_bandit(session: Session, row: Bandit, plan: Mapping[str, Any]) -> Bandit:
    """Keep a new bandit with its first period.

    Raises:
        ConflictError: There is one of that key.
    """
    if session.get(Bandit, row.key) is not None:
        raise ConflictError(f"The bandit {row.key!r} exists already.", hint="A started bandit is not edited: choose another key.")
    session.add(row)
    add_period(session, row.key, 1, plan, now=row.created_at)
    return row


def add_period(session: Session, key: str, number: int, plan: Mapping[str, Any], *, now: dt.datetime) -> None:
    """Keep the plan of a period, for good."""
    session.add(BanditPeriodRow(bandit=key, period=number, started_at=now, plan_json=dict(plan)))
    session.flush()


def get_period(session: Session, key: str, number: int) -> BanditPeriodRow:
    """One period of a bandit that is there."""
    return session.get_one(BanditPeriodRow, (key, number))


def list_periods(session: Session, key: str) -> Sequence[BanditPeriodRow]:
    """Every period of a bandit, in order."""
    return session.scalars(select(BanditPeriodRow).where(BanditPeriodRow.bandit == key).order_by(BanditPeriodRow.period)).all()


def store_decisions(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep decisions; that of a unit which has one in the period is left as it is."""
    for begin in range(0, len(rows), AT_ONCE):
        session.execute(_insert(session, BanditDecision).on_conflict_do_nothing(), [dict(row) for row in rows[begin : begin + AT_ONCE]])


def decisions_of(session: Session, key: str, period: int, units: Sequence[str]) -> dict[str, BanditDecision]:
    """Decisions of some units in a period, by unit."""
    found: dict[str, BanditDecision] = {}
    for begin in range(0, len(units), AT_ONCE):
        asked = select(BanditDecision).where(
            BanditDecision.bandit == key, BanditDecision.period == period, BanditDecision.unit.in_(units[begin : begin + AT_ONCE])
        )
        found.update((row.unit, row) for row in session.scalars(asked))
    return found


def known_decisions(session: Session, key: str, ids: Sequence[str]) -> set[str]:
    """Which of some ids are decisions of a bandit."""
    found: set[str] = set()
    for begin in range(0, len(ids), AT_ONCE):
        some = ids[begin : begin + AT_ONCE]
        found.update(
            session.scalars(select(BanditDecision.decision_id).where(BanditDecision.bandit == key, BanditDecision.decision_id.in_(some)))
        )
    return found


def rewards_of(session: Session, ids: Sequence[str]) -> dict[str, float]:
    """Rewards that are kept, by decision."""
    found: dict[str, float] = {}
    for begin in range(0, len(ids), AT_ONCE):
        some = ids[begin : begin + AT_ONCE]
        rows = session.execute(select(BanditReward.decision_id, BanditReward.reward).where(BanditReward.decision_id.in_(some)))
        found.update((decision, reward) for decision, reward in rows)
    return found


def store_rewards(session: Session, rows: Sequence[Mapping[str, Any]]) -> int:
    """Keep rewards; one that is kept already is left as it is; how many are new."""
    new = 0
    for begin in range(0, len(rows), AT_ONCE):
        some = [dict(row) for row in rows[begin : begin + AT_ONCE]]
        statement = _insert(session, BanditReward).values(some).on_conflict_do_nothing()
        new += len(session.scalars(statement.returning(BanditReward.decision_id)).all())
    return new


def counts_by_period(session: Session, key: str) -> dict[int, dict[str, tuple[int, int]]]:
    """Decisions, and rewards of them, by period and arm."""
    asked = (
        select(BanditDecision.period, BanditDecision.arm, func.count(), func.count(BanditReward.decision_id))
        .outerjoin(BanditReward, BanditReward.decision_id == BanditDecision.decision_id)
        .where(BanditDecision.bandit == key)
        .group_by(BanditDecision.period, BanditDecision.arm)
    )
    found: dict[int, dict[str, tuple[int, int]]] = {}
    for period, arm, decisions, rewards in session.execute(asked):
        found.setdefault(period, {})[arm] = (decisions, rewards)
    return found


def sums_by_period(session: Session, key: str, ripe: Ripe) -> list[tuple[int, str, int, float, float]]:
    """Rewards as sufficient statistics: period, arm, n, mean and centred sum of squares; sums are taken about the mean of all."""
    reward = func.coalesce(BanditReward.reward, 0.0) if ripe.until is not None else BanditReward.reward
    center = float(session.scalar(_joined(select(func.avg(reward)), key, ripe)) or 0.0)
    off = reward - center
    asked = _joined(select(BanditDecision.period, BanditDecision.arm, func.count(), func.sum(off), func.sum(off * off)), key, ripe)
    rows: Any = session.execute(
        asked.group_by(BanditDecision.period, BanditDecision.arm).order_by(BanditDecision.period, BanditDecision.arm)
    )
    return [(period, arm, n, center + s / n, max(0.0, s2 - s * s / n)) for period, arm, n, s, s2 in rows]


def read_log(session: Session, key: str, ripe: Ripe) -> Sequence[Mapping[str, Any]]:
    """Decisions whose reward is known, in their order."""
    row = BanditDecision
    reward = case((BanditReward.reward.is_(None), 0.0), else_=BanditReward.reward).label("reward")
    asked = _joined(select(row.period, row.unit, row.arm, row.fixed, row.propensities_json, row.context_json, reward), key, ripe)
    return [
        {str(name): value for name, value in one.items()} for one in session.execute(asked.order_by(row.decided_at, row.unit)).mappings()
    ]


def read_metrics(session: Session, key: str, since: int) -> list[tuple[str, Mapping[str, float]]]:
    """Arm and metrics of rewards that brought some, of decisions made from a period on."""
    asked = (
        select(BanditDecision.arm, BanditReward.metrics_json)
        .join(BanditReward, BanditReward.decision_id == BanditDecision.decision_id)
        .where(BanditDecision.bandit == key, BanditDecision.period >= since)
        .order_by(BanditDecision.decision_id)
    )
    return [(arm, metrics) for arm, metrics in session.execute(asked) if metrics]


def _joined(asked: Any, key: str, ripe: Ripe) -> Any:
    with_rewards = asked.select_from(BanditDecision).join(
        BanditReward, BanditReward.decision_id == BanditDecision.decision_id, isouter=ripe.until is not None
    )
    counted = with_rewards.where(BanditDecision.bandit == key)
    return counted if ripe.until is None else counted.where(BanditDecision.decided_at <= ripe.until)


def _insert(session: Session, kind: type[Base]) -> Any:
    table: Any = kind.__table__
    dialect = session.connection().dialect.name
    return (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)
