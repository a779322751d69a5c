"""Experiments of models: where each stands, what its guardrails saw, and every prediction that was made."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from fairtrial.storage.tables.base import Base


class ModelDeployment(Base):
    """One experiment of models: its spec, and the state that every gateway and the service obey."""

    __tablename__ = "model_deployments"

    name: Mapped[str] = mapped_column(primary_key=True)
    spec_json: Mapped[dict[str, Any]]
    spec_hash: Mapped[str]
    state_json: Mapped[dict[str, Any]]
    status: Mapped[str]
    revision: Mapped[int]
    """Raised by every change of the state, so that two writers never overwrite each other's."""
    created_at: Mapped[dt.datetime]
    updated_at: Mapped[dt.datetime]
    updated_by: Mapped[str]


class ModelEvidence(Base):
    """Counts that one process has made of one experiment's traffic; those of all processes add."""

    __tablename__ = "model_evidence"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str] = mapped_column(primary_key=True)
    counts_json: Mapped[dict[str, Any]]
    updated_at: Mapped[dt.datetime]


class PredictionRow(Base):
    """One prediction (ML-08)."""

    __tablename__ = "experiment_logs"
    __table_args__ = (Index(None, "experiment", "timestamp"), Index(None, "user_id"))

    prediction_id: Mapped[str] = mapped_column(primary_key=True)
    experiment: Mapped[str]
    assignment_id: Mapped[str]
    user_id: Mapped[str | None]
    """Null for an anonymous session."""
    variant: Mapped[str]
    model_name: Mapped[str]
    """The model that was to answer."""
    served_by: Mapped[str]
    """The model that did."""
    prediction: Mapped[str | None]
    """The answer, as JSON."""
    timestamp: Mapped[dt.datetime]
    latency_ms: Mapped[float]
    error: Mapped[bool]
    timeout: Mapped[bool]
    fallback: Mapped[bool]
    propensity: Mapped[float]
    stage: Mapped[str]
    features: Mapped[str]
    """What may be logged of them, and the segments, as JSON."""


class PredictionLabel(Base):
    """What turned out to be true of a prediction (ML-26); it may come before the prediction's row does."""

    __tablename__ = "model_labels"

    prediction_id: Mapped[str] = mapped_column(primary_key=True)
    experiment: Mapped[str] = mapped_column(index=True)
    outcome: Mapped[float]
    labelled_at: Mapped[dt.datetime]


class ShadowRow(Base):
    """One mirrored request (ML-10)."""

    __tablename__ = "shadow_logs"
    __table_args__ = (Index(None, "experiment", "timestamp"),)

    prediction_id: Mapped[str] = mapped_column(primary_key=True)
    """Of the champion's prediction."""
    experiment: Mapped[str]
    challenger: Mapped[str]
    timestamp: Mapped[dt.datetime]
    champion_prediction: Mapped[str | None]
    challenger_prediction: Mapped[str | None]
    prediction_difference: Mapped[float | None]
    diverged: Mapped[bool | None]
    label_flip: Mapped[bool | None]
    champion_latency_ms: Mapped[float]
    challenger_latency_ms: Mapped[float | None]
    challenger_error: Mapped[bool]
    challenger_timeout: Mapped[bool]
    dropped: Mapped[bool]
    features: Mapped[str]
