"""Experiments, the snapshots of their specs, their results, and who may be in how many at a time."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from fairtrial.storage.tables.base import Base

STATUSES = ("draft", "running", "stopped", "completed", "decided", "archived")
"""The lifecycle in order; `stopped` and `completed` are alternatives."""


class Experiment(Base):
    """One experiment: what was asked for, the plan, and where it stands.

    `spec_json` is the whole `ExperimentSpec`, the one form that analysis and assignment read. The other
    columns are what people search by and what the holdout form asks for (HO-01, HO-02).
    """

    __tablename__ = "experiments"
    __table_args__ = (
        CheckConstraint(f"status IN {STATUSES}", name="status_known"),
        Index(None, "status"),
        Index(None, "channel"),
        {"sqlite_autoincrement": True},  # an id is hashed (DESIGN 5), so it is never used again
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(default="holdout")
    status: Mapped[str] = mapped_column(default="draft")
    environment: Mapped[str] = mapped_column(default="production")
    channel: Mapped[str | None]
    conversion_key: Mapped[str | None]
    start_at: Mapped[dt.datetime | None]
    end_at: Mapped[dt.datetime | None]
    notes: Mapped[str] = mapped_column(default="")
    source_type: Mapped[str | None]
    source_id: Mapped[str | None]
    treatment_rate: Mapped[float | None]
    setup_json: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What else the form asked: setup_source, assignment_unit, assignment_method, baseline_rate_estimate, alpha, power, ..."""
    segment_json: Mapped[dict[str, Any] | None]
    policy_json: Mapped[dict[str, Any] | None]
    guardrails_json: Mapped[dict[str, Any] | None]
    """The plan is stored under `power_plan`."""
    config_id: Mapped[str | None]
    config_version: Mapped[str | None]
    spec_json: Mapped[dict[str, Any]]
    spec_hash: Mapped[str]
    version: Mapped[int] = mapped_column(default=1)
    hash_key: Mapped[str]
    """What is hashed as the experiment (DESIGN 5); never changed."""
    salt: Mapped[str] = mapped_column(default="")
    allocation_json: Mapped[dict[str, Any] | None]
    """The stored integer ranges of each arm and the traffic, once units may be assigned."""
    duplicated_from: Mapped[int | None] = mapped_column(ForeignKey("experiments.id"))
    decision_json: Mapped[dict[str, Any] | None]
    created_at: Mapped[dt.datetime]
    updated_at: Mapped[dt.datetime]
    started_at: Mapped[dt.datetime | None]
    ended_at: Mapped[dt.datetime | None]
    """When it was stopped or completed."""
    decided_at: Mapped[dt.datetime | None]


class ExperimentVersion(Base):
    """A snapshot of an experiment's spec; one that has started is never changed."""

    __tablename__ = "experiment_versions"
    __table_args__ = (UniqueConstraint("experiment_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    version: Mapped[int]
    spec_json: Mapped[dict[str, Any]]
    spec_hash: Mapped[str]
    created_at: Mapped[dt.datetime]
    created_by: Mapped[str]
    reason: Mapped[str] = mapped_column(default="")
    frozen_at: Mapped[dt.datetime | None]
    """When it started; from then on it cannot change."""


class ExperimentResult(Base):
    """The latest results of an experiment (HO-22)."""

    __tablename__ = "experiment_results"

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), unique=True)
    computed_at: Mapped[dt.datetime]
    uplift_abs: Mapped[float | None]
    uplift_rel: Mapped[float | None]
    ci_low: Mapped[float | None]
    ci_high: Mapped[float | None]
    p_value: Mapped[float | None]
    treatment_size: Mapped[int]
    control_size: Mapped[int]
    meta_json: Mapped[dict[str, Any]] = mapped_column(default=dict)
    first_complete_json: Mapped[dict[str, Any] | None]
    """The first nightly read of the whole plan, on which its fixed test rests: version, as_of, p_value, uplift_abs. Never read again."""


class ExperimentLook(Base):
    """One look of a plan: the scorecard that it gave. Sequential plans read their history here."""

    __tablename__ = "experiment_looks"
    __table_args__ = (UniqueConstraint("experiment_id", "version", "as_of"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    version: Mapped[int]
    as_of: Mapped[dt.datetime]
    scorecard_json: Mapped[dict[str, Any]]


class Layer(Base):
    """A layer: 10,000 slots, each owned by one experiment at most. An exclusion group is a layer with a name."""

    __tablename__ = "layers"
    __table_args__ = (CheckConstraint("status IN ('active', 'archived')", name="status_known"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(default="")
    salt: Mapped[str]
    traffic_allocation: Mapped[float] = mapped_column(default=1.0)
    status: Mapped[str] = mapped_column(default="active")
    created_at: Mapped[dt.datetime]
    updated_at: Mapped[dt.datetime]


class LayerSlots(Base):
    """A run of slots [low, high) of a layer that belongs to an experiment until it is released."""

    __tablename__ = "layer_slots"
    __table_args__ = (CheckConstraint("low >= 0 AND high <= 10000 AND low < high", name="in_range"), Index(None, "layer_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    layer_id: Mapped[int] = mapped_column(ForeignKey("layers.id"))
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), index=True)
    low: Mapped[int]
    high: Mapped[int]
    taken_at: Mapped[dt.datetime]
    released_at: Mapped[dt.datetime | None]


class Holdout(Base):
    """A global holdout: a share of units kept out of every experiment; one is active at a time."""

    __tablename__ = "holdouts"
    __table_args__ = (Index("uq_holdouts_active", "active", unique=True, sqlite_where=text("active"), postgresql_where=text("active")),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    share: Mapped[float]
    salt: Mapped[str]
    active: Mapped[bool]
    created_at: Mapped[dt.datetime]
    ended_at: Mapped[dt.datetime | None]
