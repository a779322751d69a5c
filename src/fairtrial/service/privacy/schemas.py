"""Bodies of the routes of privacy. Units come in bodies: addresses end up in logs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from fairtrial.service.bodies import Body, Time, UnitId

TableName = Literal[
    "profiles",
    "touchpoints",
    "conversions",
    "experiment_assignments",
    "experiment_exposures",
    "experiment_outcomes",
    "events",
    "experiment_logs",
    "shadow_logs",
    "rollout_users",
    "rollout_sessions",
    "bandit_decisions",
    "bandit_rewards",
    "audit_log",
    "alerts",
    "outbox",
    "job_runs",
]


class UnitRequest(Body):
    """One unit."""

    unit: UnitId


class UnitExport(BaseModel):
    """All that is stored of a unit."""

    unit: str
    exported_at: Time
    rows: int
    tables: dict[str, list[dict[str, Any]]]
    """Rows by table, every table named, also where there are none."""


class UnitErased(BaseModel):
    """What was erased."""

    erased: dict[str, int]
    """Rows by table."""
    total: int
    audit_entries_masked: int
    experiments: list[int]
    """Experiments that lost rows of the unit: their results change by it."""
    receipt: str
    """What stands for the unit in the audit log: a salted SHA-256 of its id."""


class RetentionDays(Body):
    """How long rows are kept."""

    days: Annotated[int, Field(ge=1, le=36_500)]


class RetentionOut(BaseModel):
    """The rule of a table."""

    table: TableName
    days: int | None
    """Null: its rows are kept for ever."""
    column: str
    """The time that tells a row's age."""
    spared: str
    """Rows that stay however old they are; empty for none."""
    updated_at: Time | None
    updated_by: str | None


class RetentionList(BaseModel):
    """Every table that may have a rule."""

    items: list[RetentionOut]


class RetentionDone(BaseModel):
    """What was deleted by age."""

    deleted: dict[str, int]
    """Rows by table that has a rule."""
    total: int
