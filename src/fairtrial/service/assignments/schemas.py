"""Bodies of the assignment routes (HO-05, HO-07, HO-24)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from fairtrial.service.bodies import Body, Share, Time, UnitId

LARGEST_BATCH = 100_000
"""Profiles of one request; a file takes any number."""


class AssignRequest(Body):
    """Profiles to assign."""

    profile_ids: Annotated[list[UnitId], Field(max_length=LARGEST_BATCH)]
    treatment_rate: Share | None = None
    """Default: the experiment's own, else 0.5."""
    assigned_at: Time | None = None
    force_reassign: bool = False
    """Take another rate than the one in use, and rewrite the groups of these profiles by it."""


class AssignOut(BaseModel):
    """Distinct profiles by their stored group."""

    assigned: int
    treatment: int
    control: int
    new: int
    existing: int
    groups: dict[str, int]
    """The same for every arm, where an experiment has others than treatment and control."""
    moved: int
    excluded: dict[str, int]
    """Profiles without a group, by reason."""
    strata: dict[str, dict[str, int]] | None
    """All profiles of the experiment by stratum and group, where it assigns in stratified blocks."""


class BadLine(BaseModel):
    """A line of an upload that is not a profile."""

    line: int
    reason: str


class UploadOut(AssignOut):
    """What became of a file."""

    lines: int
    bad_lines: list[BadLine]
    """The first twenty; `bad` counts all."""
    bad: int


class AssignmentRow(BaseModel):
    """A stored group."""

    profile_id: str
    group: str
    assigned_at: Time


class AssignmentOut(BaseModel):
    """The group of one profile; null with a reason when it has none."""

    profile_id: str
    group: str | None
    assigned_at: Time | None
    source: str | None
    reason: Literal["holdout", "exclusion_group", "traffic", "not_listed"] | None = None


class AssignmentList(BaseModel):
    """The latest assignments, newest first."""

    items: list[AssignmentRow]
