"""Bandits: where each stands, the shares of each period, every decision and what it earned."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fairtrial.storage.tables.base import Base


class Bandit(Base):
    """One bandit."""

    __tablename__ = "bandits"

    key: Mapped[str] = mapped_column(primary_key=True)
    spec_json: Mapped[dict[str, Any]]
    spec_hash: Mapped[str]
    status: Mapped[str]
    """`running`, `paused` or `stopped`."""
    period: Mapped[int]
    """The current one, from 1."""
    reason: Mapped[str]
    """Of the last change of its status."""
    final_arm: Mapped[str | None]
    """The arm that everybody gets once it is stopped."""
    created_at: Mapped[dt.datetime]
    updated_at: Mapped[dt.datetime]
    updated_by: Mapped[str]


class BanditPeriodRow(Base):
    """One period: what decided in it. Written once."""

    __tablename__ = "bandit_periods"

    bandit: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[dt.datetime]
    plan_json: Mapped[dict[str, Any]]
    """Shares, what the policy wanted, which constraints acted, and the models of a contextual policy."""


class BanditDecision(Base):
    """One decision: a unit's arm in a period, with the probability that it had."""

    __tablename__ = "bandit_decisions"
    __table_args__ = (UniqueConstraint("bandit", "period", "unit"), Index(None, "unit"))

    decision_id: Mapped[str] = mapped_column(primary_key=True)
    bandit: Mapped[str]
    period: Mapped[int]
    unit: Mapped[str]
    arm: Mapped[str]
    propensity: Mapped[float]
    fixed: Mapped[bool]
    """Whether it fell into the slice that is split evenly for ever."""
    propensities_json: Mapped[list[Any] | None]
    """Of every arm, where they are not those of the period."""
    context_json: Mapped[dict[str, Any] | None]
    decided_at: Mapped[dt.datetime]


class BanditReward(Base):
    """What a decision earned; kept once."""

    __tablename__ = "bandit_rewards"

    decision_id: Mapped[str] = mapped_column(primary_key=True)
    bandit: Mapped[str] = mapped_column(index=True)
    reward: Mapped[float]
    metrics_json: Mapped[dict[str, Any]]
    rewarded_at: Mapped[dt.datetime]
