"""Bodies of experiments from a spec, and of versions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from fairtrial.service.bodies import Body, Document, Text, Time
from fairtrial.service.experiments.schemas import Policy


class SpecCreate(Body):
    """An experiment of any randomised kind as its spec says it, with what the service needs besides."""

    spec: Document
    """The experiment spec (see the reference); its key becomes the experiment's and the flag's."""
    environment: Text = "production"
    """Where it is served as a flag."""
    log_assignments: bool = True
    """Store what the flag decides as assignments, so that the units are in the population of the analysis."""
    channel: Text | None = None
    conversion_key: Text | None = None
    notes: Annotated[str, Field(max_length=10_000)] = ""
    source_type: Text | None = None
    source_id: Text | None = None
    policy: Policy | None = None


class VersionCreate(Body):
    """A changed spec, and why it was changed."""

    spec: Document
    reason: Text


class VersionOut(BaseModel):
    """One version of an experiment's spec."""

    experiment_id: int
    version: int
    spec_hash: str
    reason: str
    created_at: Time
    created_by: str
    frozen_at: Time | None
    """When it started; from then on it never changes."""
    spec: dict[str, Any]


class VersionList(BaseModel):
    """The versions of an experiment, newest first."""

    items: list[VersionOut]
