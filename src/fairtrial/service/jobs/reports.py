"""The nightly report on request, and the list of runs."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy.orm import Session

from fairtrial.errors import ConflictError, UsageError
from fairtrial.service.access.roles import Actor
from fairtrial.service.bodies import iso
from fairtrial.service.clock import Clock
from fairtrial.service.jobs.nightly import Reporting, StopJobError, make_report, moment_of
from fairtrial.service.jobs.runner import JobRunner
from fairtrial.service.jobs.schemas import JobList, JobOut, RunOut
from fairtrial.service.jobs.tasks import TASKS, Task, audience_of
from fairtrial.service.settings import Settings
from fairtrial.storage import Database
from fairtrial.storage.leases import list_runs
from fairtrial.storage.tables import JobRun

REPORT = "nightly-report"


def report_now(database: Database, settings: Settings, *, as_of: dt.datetime | None, clock: Clock, actor: Actor) -> dict[str, Any]:
    """Make the nightly report now, under its lease; alerts that are new go into the outbox.

    Args:
        database: The database; each experiment has a transaction of its own.
        settings: Who is told.
        as_of: The moment it speaks of; None for now.
        clock: The time.
        actor: Who asks.

    Raises:
        UsageError: `as_of` lies in the future, of which nothing is known.
        ConflictError: A report is being made at this moment.
        StorageError: The store failed.
    """
    now = clock()
    moment = now if as_of is None else moment_of(as_of)
    if moment > now:
        raise UsageError(
            f"as_of_date must not lie in the future, got {iso(moment)} at {iso(now)}.", hint="Leave it out for a report of this moment."
        )
    with JobRunner(database, settings, clock).lease(REPORT) as guard:
        if guard is None:
            raise ConflictError("A nightly report is being made at this moment.", hint="Wait for it: GET /api/v1/jobs?task=nightly-report")
        how = Reporting(as_of=moment, now=now, open_session=database.writing, guard=guard, audience=audience_of(settings), actor=actor)
        try:
            return make_report(how)
        except StopJobError as error:
            raise ConflictError(f"The report was cut off: {error}.", hint="Ask again; it does nothing twice.") from error


def read_jobs(session: Session, *, task: str | None, status: str | None, limit: int, before_id: int | None, now: dt.datetime) -> JobList:
    """The tasks there are, and one page of their runs."""
    rows = list_runs(session, task=task, status=status, limit=limit + 1, before_id=before_id)
    shown = rows[:limit]
    return JobList(
        tasks=[_task(found, now) for found in TASKS.values()],
        runs=[_run(row) for row in shown],
        next_before_id=shown[-1].id if len(rows) > limit else None,
    )


def _task(task: Task, now: dt.datetime) -> JobOut:
    return JobOut(name=task.name, cron=task.cron, summary=task.summary, next_due=task.next_due(now))


def _run(row: JobRun) -> RunOut:
    return RunOut.model_validate(
        {
            "id": row.id,
            "task": row.task,
            "due_at": row.due_at,
            "started_at": row.started_at,
            "finished_at": row.finished_at,
            "status": row.status,
            "attempts": row.attempts,
            "detail": row.detail_json,
        }
    )
