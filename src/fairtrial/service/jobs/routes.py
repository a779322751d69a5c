"""Routes of jobs: parse, one call, return."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from fairtrial.service.dependencies import AsDeveloper, AsViewer, DbRead, Now, State
from fairtrial.service.jobs.reports import read_jobs, report_now
from fairtrial.service.jobs.schemas import JobList, ReportOut, ReportRequest

router = APIRouter(prefix="/experiments", tags=["jobs"])
job_router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post("/nightly-report", response_model=ReportOut)
def nightly_report(state: State, actor: AsDeveloper, body: ReportRequest | None = None) -> ReportOut:
    """Look at every running experiment, raise alerts, complete those that are over (HO-15, HO-16); it does nothing twice."""
    as_of = None if body is None else body.as_of_date
    return ReportOut.model_validate(report_now(state.database, state.settings, as_of=as_of, clock=state.clock, actor=actor))


@job_router.get("", response_model=JobList)
def list_jobs(
    db: DbRead,
    actor: AsViewer,
    now: Now,
    task: Annotated[str | None, Query(min_length=1, max_length=50)] = None,
    status: Literal["running", "done", "failed", "interrupted", "skipped"] | None = None,
    before_id: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JobList:
    """The tasks with when they are next due, and their runs, newest first."""
    del actor
    return read_jobs(db, task=task, status=status, limit=limit, before_id=before_id, now=now)
