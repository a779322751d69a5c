"""Units and what happened to them: profiles, touchpoints, assignments, exposures, outcomes, raw events."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fairtrial.storage.tables.base import Base, RowId


class Profile(Base):
    """A person or account, with what was known of it before any experiment."""

    __tablename__ = "profiles"

    id: Mapped[str] = mapped_column(primary_key=True)
    age: Mapped[float | None]
    ltv: Mapped[float | None]
    attributes_json: Mapped[dict[str, Any] | None]
    updated_at: Mapped[dt.datetime | None]


class Touchpoint(Base):
    """A contact of a channel with a profile, whether or not it led to anything."""

    __tablename__ = "touchpoints"
    __table_args__ = (
        UniqueConstraint("profile_id", "channel", "touched_at", "campaign_id"),
        Index(None, "channel", "touched_at"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    profile_id: Mapped[str]
    channel: Mapped[str]
    touched_at: Mapped[dt.datetime]
    campaign_id: Mapped[str] = mapped_column(default="")
    owned: Mapped[bool | None]
    """Whether the channel is one's own (e-mail, push), which can be held back."""


class Conversion(Base):
    """A conversion of a profile, of any experiment or none: what baselines are made of."""

    __tablename__ = "conversions"
    __table_args__ = (UniqueConstraint("profile_id", "kpi", "converted_at"), Index(None, "kpi", "converted_at"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    profile_id: Mapped[str]
    kpi: Mapped[str]
    converted_at: Mapped[dt.datetime]
    value: Mapped[float] = mapped_column(default=0.0)


class JourneyDay(Base):
    """What one day (UTC) held of one channel; made of touchpoints and conversions by a job, and made again when late ones come."""

    __tablename__ = "journey_days"
    __table_args__ = (UniqueConstraint("day", "channel"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    day: Mapped[dt.date]
    channel: Mapped[str]
    touchpoints: Mapped[int]
    profiles: Mapped[int]
    """Distinct profiles touched."""
    converters: Mapped[int]
    """Of them, those with a conversion on the same day."""
    value: Mapped[float]
    """Of their conversions on the day."""
    computed_at: Mapped[dt.datetime]


class ExperimentAssignment(Base):
    """The stored group of a profile, which wins over any new hash (G-9)."""

    __tablename__ = "experiment_assignments"
    __table_args__ = (
        UniqueConstraint("experiment_id", "profile_id"),
        Index(None, "experiment_id", "group", "source", "assigned_at"),  # counts units without reading them
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    profile_id: Mapped[str]
    group: Mapped[str]
    """Key of the arm; `treatment` or `control` in a holdout."""
    assigned_at: Mapped[dt.datetime]
    source: Mapped[str] = mapped_column(default="assign")
    """`assign`, `lookup`, `auto` or `upload`; `exposure`: hashed when an unassigned profile was exposed, which
    keeps it out of the intention-to-treat population."""
    stratum: Mapped[str | None]
    """Within which it was assigned; NULL where units are assigned each by itself."""


class ExperimentExposure(Base):
    """A profile saw, or was sent, what the experiment is about."""

    __tablename__ = "experiment_exposures"
    __table_args__ = (UniqueConstraint("experiment_id", "profile_id", "dedupe_key"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    profile_id: Mapped[str]
    exposure_ts: Mapped[dt.datetime]
    campaign_id: Mapped[str | None]
    message_id: Mapped[str | None]
    dedupe_key: Mapped[bytes] = mapped_column(LargeBinary(16))
    """Of the message id, else of the time and campaign (HO-35)."""


class ExperimentOutcome(Base):
    """A conversion of a profile within an experiment."""

    __tablename__ = "experiment_outcomes"
    __table_args__ = (UniqueConstraint("experiment_id", "profile_id", "dedupe_key"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    profile_id: Mapped[str]
    conversion_ts: Mapped[dt.datetime]
    value: Mapped[float]
    outcome_id: Mapped[str | None]
    dedupe_key: Mapped[bytes] = mapped_column(LargeBinary(16))
    """Of the outcome id, else of the time and value (HO-35)."""


class Event(Base):
    """A raw event of the append log; the client's id (best a UUIDv7, whose order is that of time) is its key."""

    __tablename__ = "events"
    __table_args__ = ({"sqlite_with_rowid": False},)

    event_id: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    unit: Mapped[str]
    name: Mapped[str]
    occurred_at: Mapped[dt.datetime]
    value: Mapped[float | None]
    properties_json: Mapped[dict[str, Any] | None]
    received_at: Mapped[dt.datetime]


class ForcedVariant(Base):
    """A unit that is shown a chosen variant for QA and left out of analysis, also after it is lifted."""

    __tablename__ = "forced_variants"
    __table_args__ = (UniqueConstraint("experiment_id", "unit"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    unit: Mapped[str]
    arm: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[dt.datetime]
    lifted_at: Mapped[dt.datetime | None]
    """When the unit was given back to chance; it saw another variant, so it stays out of analysis."""


class RetentionRule(Base):
    """How long the rows of a table are kept."""

    __tablename__ = "retention_rules"
    __table_args__ = (CheckConstraint("days >= 1", name="days_positive"),)

    table_name: Mapped[str] = mapped_column(primary_key=True)
    days: Mapped[int]
    updated_at: Mapped[dt.datetime]
    updated_by: Mapped[str]
