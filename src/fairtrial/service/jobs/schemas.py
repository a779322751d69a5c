"""Bodies of the nightly report and of the list of runs (HO-15, HO-16)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from fairtrial.service.bodies import Body, Document, Time
from fairtrial.service.notifications.alerts import Severity
from fairtrial.service.results.schemas import ResultsOut


class ReportRequest(Body):
    """Of which moment."""

    as_of_date: Time | None = None
    """Default: now. Nothing later is read."""


class ReportedExperiment(BaseModel):
    """One experiment of a report."""

    id: int
    name: str
    channel: str | None
    status: str
    results: ResultsOut | None
    """Null where they could not be computed: then an alert says why."""
    final: bool
    """Whether this is its last report: its end and conversion window have passed, and it is completed now."""


class ReportedAlert(BaseModel):
    """Something worth telling."""

    experiment_id: int | None
    message: str
    severity: Severity
    p_value: float | None
    p_kind: Literal["always_valid", "fixed"] | None


class SkippedExperiment(BaseModel):
    """A running experiment that is not reported on, and why."""

    id: int
    name: str
    reason: str


class ReportOut(BaseModel):
    """The nightly report (HO-16)."""

    as_of_date: Time
    experiments: list[ReportedExperiment]
    alerts: list[ReportedAlert]
    skipped: list[SkippedExperiment]
    completed: list[int]


class JobOut(BaseModel):
    """A task: when it is due, in UTC."""

    name: str
    cron: str
    summary: str
    next_due: Time | None
    """Null for a task that this version cannot do yet."""


class RunOut(BaseModel):
    """One run."""

    id: int
    task: str
    due_at: Time
    started_at: Time
    finished_at: Time | None
    status: Literal["running", "done", "failed", "interrupted", "skipped"]
    attempts: int
    detail: Document | None


class JobList(BaseModel):
    """Tasks, and their runs, newest first."""

    tasks: list[JobOut]
    runs: list[RunOut]
    next_before_id: int | None
