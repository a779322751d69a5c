"""Adaptive rollouts of features: where each stands, who is in which arm, and what their sessions were."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fairtrial.storage.tables.base import Base, RowId


class Rollout(Base):
    """One rollout: what it is run by, and where it stands."""

    __tablename__ = "rollouts"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    hash_key: Mapped[str]
    """What assignment hashes beside the user; never changed."""
    settings_json: Mapped[dict[str, Any]]
    """As it was asked for, defaults filled in."""
    status: Mapped[str]
    """`running`, `rolled_out`, `rolled_back` or `stopped`."""
    share: Mapped[float]
    """Share of users in the treatment now."""
    changes_json: Mapped[list[Any]]
    """Each share and the moment from which it held."""
    history_json: Mapped[list[Any]]
    """Each evaluation, oldest first."""
    revision: Mapped[int]
    created_at: Mapped[dt.datetime]
    updated_at: Mapped[dt.datetime]
    updated_by: Mapped[str]


class RolloutUser(Base):
    """A user who was assigned; the stored arm wins over a new hash."""

    __tablename__ = "rollout_users"
    __table_args__ = (UniqueConstraint("rollout_id", "user_id"), Index(None, "user_id"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    rollout_id: Mapped[int]
    user_id: Mapped[str]
    variant: Mapped[str]
    engagement: Mapped[str | None]
    """Before the rollout, as it was told at the first assignment."""
    assigned_at: Mapped[dt.datetime]
    treated_at: Mapped[dt.datetime | None]
    """When the user entered the treatment."""


class RolloutSession(Base):
    """One session of a user, under the arm that the user had then."""

    __tablename__ = "rollout_sessions"
    __table_args__ = (UniqueConstraint("rollout_id", "session_id"), Index(None, "rollout_id", "occurred_at"), Index(None, "user_id"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    rollout_id: Mapped[int]
    session_id: Mapped[str]
    user_id: Mapped[str]
    occurred_at: Mapped[dt.datetime]
    variant: Mapped[str]
    task_completion_time: Mapped[float | None]
    """In seconds; null where the task was not accepted."""
    accepted: Mapped[bool]
    latency_ms: Mapped[float]
    error: Mapped[bool]
