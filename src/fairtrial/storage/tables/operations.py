"""Who may do what, what was done, and work that must happen once: keys, audit, leases, runs, outbox, connectors."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from fairtrial.storage.tables.base import Base


class ApiKey(Base):
    """An API key: shown once, kept as an argon2 hash, found by its public part."""

    __tablename__ = "api_keys"

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(unique=True)
    secret_hash: Mapped[str]
    name: Mapped[str]
    role: Mapped[str]
    kind: Mapped[str] = mapped_column(default="server")
    """`server`, or `client`: a key that a browser holds, for OFREP alone, from its `origins`."""
    origins_json: Mapped[list[Any] | None]
    environment: Mapped[str] = mapped_column(default="production")
    created_at: Mapped[dt.datetime]
    created_by: Mapped[str]
    expires_at: Mapped[dt.datetime | None]
    revoked_at: Mapped[dt.datetime | None]


class AuditEntry(Base):
    """One change: who, what, before and after."""

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "object_type", "object_id"), Index(None, "at"))

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[dt.datetime]
    actor: Mapped[str]
    role: Mapped[str]
    action: Mapped[str]
    object_type: Mapped[str]
    object_id: Mapped[str]
    before_json: Mapped[dict[str, Any] | None]
    after_json: Mapped[dict[str, Any] | None]
    request_id: Mapped[str | None]


class ChangeCounter(Base):
    """How often something was changed, so that other processes see cheaply that their copy of it is old."""

    __tablename__ = "change_counters"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]


class Lease(Base):
    """Who may run a job now; free once it has expired."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    expires_at: Mapped[dt.datetime]
    renewed_at: Mapped[dt.datetime]


class JobRun(Base):
    """A run of a job for the moment it was due; a missed one is seen by its absence."""

    __tablename__ = "job_runs"
    __table_args__ = (Index("uq_job_runs_task_due_at", "task", "due_at", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    task: Mapped[str]
    due_at: Mapped[dt.datetime]
    started_at: Mapped[dt.datetime]
    finished_at: Mapped[dt.datetime | None]
    status: Mapped[str]
    """`running`, `done`, `failed`, `interrupted` (taken up again), or `skipped`: due before this service was there."""
    holder: Mapped[str] = mapped_column(default="")
    """Whose run it is; who took it over is another."""
    attempts: Mapped[int] = mapped_column(default=1)
    detail_json: Mapped[dict[str, Any] | None]


class Alert(Base):
    """Something to tell people of an experiment, once."""

    __tablename__ = "alerts"
    __table_args__ = (Index(None, "experiment_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    dedupe_key: Mapped[str] = mapped_column(unique=True)
    experiment_id: Mapped[int | None] = mapped_column(ForeignKey("experiments.id"))
    severity: Mapped[str]
    message: Mapped[str]
    detail_json: Mapped[dict[str, Any] | None]
    created_at: Mapped[dt.datetime]


class OutboxMessage(Base):
    """A message to deliver, retried until it is, never twice."""

    __tablename__ = "outbox"
    __table_args__ = (Index(None, "delivered_at", "next_attempt_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    dedupe_key: Mapped[str] = mapped_column(unique=True)
    target: Mapped[str]
    """Name of the channel in the settings; its address, which may hold a secret, stays there."""
    title: Mapped[str]
    body: Mapped[str]
    created_at: Mapped[dt.datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[dt.datetime]
    claimed_by: Mapped[str | None]
    claimed_at: Mapped[dt.datetime | None]
    """Since when a worker is sending it; null while nobody is."""
    delivered_at: Mapped[dt.datetime | None]
    failed_at: Mapped[dt.datetime | None]
    last_error: Mapped[str | None]


class ConnectorConfig(Base):
    """The address and key of a connected system; the key is never returned nor logged."""

    __tablename__ = "connector_configs"

    name: Mapped[str] = mapped_column(primary_key=True)
    config_json: Mapped[dict[str, Any]]
    secret: Mapped[str]
    connected_at: Mapped[dt.datetime]
    connected_by: Mapped[str]
