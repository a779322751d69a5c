"""Who may run a job now, and which runs there have been.

A lease is a row with an end, so that a process that died gives it up by itself. Its
holder renews it and, in every transaction of the job, locks the row and looks whether
it is still its own: who was paused and lost it can no longer change anything.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from fairtrial.storage.bulk import time_parameter
from fairtrial.storage.tables import JobRun, Lease

# One that was taken by a clock far ahead of ours would never end: it is free as well.
ACQUIRE = """
INSERT INTO leases (name, holder, expires_at, renewed_at) VALUES (:name, :holder, :until, :now)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at, renewed_at = excluded.renewed_at
WHERE leases.expires_at <= :now OR leases.holder = excluded.holder OR leases.renewed_at > :until
"""
CLAIM = """
INSERT INTO job_runs (task, due_at, started_at, status, holder, attempts) VALUES (:task, :due, :now, 'running', :holder, 1)
ON CONFLICT (task, due_at) DO UPDATE SET started_at = excluded.started_at, finished_at = NULL, status = 'running',
  holder = excluded.holder, attempts = job_runs.attempts + 1
WHERE job_runs.status NOT IN ('done', 'skipped')
"""
OPEN = ("running", "failed", "interrupted")
"""States of runs that are not over for good."""


def acquire_lease(session: Session, name: str, holder: str, *, now: dt.datetime, seconds: float) -> bool:
    """Take a lease that is free, has ended, or is one's own.

    Args:
        session: A writing session.
        name: What it is for.
        holder: Who asks; unique to one run of one process.
        now: The moment.
        seconds: How long it holds unless it is renewed.

    Returns:
        Whether it is now the holder's.
    """
    statement = text(ACQUIRE).bindparams(time_parameter("now", now), time_parameter("until", now + dt.timedelta(seconds=seconds)))
    return session.connection().execute(statement, {"name": name, "holder": holder}).rowcount == 1


def renew_lease(session: Session, name: str, holder: str, *, now: dt.datetime, seconds: float) -> bool:
    """Prolong one's own lease; false when it is somebody else's by now."""
    changed: Any = session.execute(
        update(Lease)
        .where(Lease.name == name, Lease.holder == holder)
        .values(expires_at=now + dt.timedelta(seconds=seconds), renewed_at=now)
    )
    return changed.rowcount == 1


def holds_lease(session: Session, name: str, holder: str) -> bool:
    """Whether a lease is still one's own; while this session lasts, nobody can take it."""
    return session.scalar(select(Lease.name).where(Lease.name == name, Lease.holder == holder).with_for_update()) is not None


def release_lease(session: Session, name: str, holder: str) -> None:
    """Give one's own lease back."""
    session.execute(text("DELETE FROM leases WHERE name = :name AND holder = :holder"), {"name": name, "holder": holder})


def latest_due(session: Session, task: str, *, until: dt.datetime) -> dt.datetime | None:
    """The last moment up to `until` for which a task has a run; a clock that was ahead once may have left later ones."""
    return session.scalar(select(func.max(JobRun.due_at)).where(JobRun.task == task, JobRun.due_at <= until))


def open_runs(session: Session, task: str, *, tried_less_than: int) -> Sequence[dt.datetime]:
    """When runs of a task were due that failed or were cut off and may be tried again, in order; a stop of the process is no failure."""
    again = (JobRun.status == "interrupted") | (JobRun.status.in_(OPEN) & (JobRun.attempts < tried_less_than))
    kept = select(JobRun.due_at).where(JobRun.task == task, again)
    return session.scalars(kept.order_by(JobRun.due_at)).all()


def claim_run(session: Session, task: str, due_at: dt.datetime, holder: str, *, now: dt.datetime) -> bool:
    """Begin the run of a task for a moment; false when that one is done."""
    statement = text(CLAIM).bindparams(time_parameter("due", due_at), time_parameter("now", now))
    return session.connection().execute(statement, {"task": task, "holder": holder}).rowcount == 1


def finish_run(
    session: Session, task: str, due_at: dt.datetime, holder: str, *, status: str, now: dt.datetime, detail: dict[str, Any] | None
) -> bool:
    """Write down how a run of one's own ended; false when somebody else has taken it over."""
    mine = update(JobRun).where(JobRun.task == task, JobRun.due_at == due_at, JobRun.holder == holder, JobRun.status == "running")
    changed: Any = session.execute(mine.values(status=status, finished_at=now, detail_json=detail))
    return changed.rowcount == 1


def skip_run(session: Session, task: str, due_at: dt.datetime, *, now: dt.datetime, reason: str) -> None:
    """Write down that a run that was due is not made, so that the next missed one is seen."""
    session.add(JobRun(task=task, due_at=due_at, started_at=now, finished_at=now, status="skipped", detail_json={"reason": reason}))
    session.flush()


def find_run(session: Session, task: str, due_at: dt.datetime) -> JobRun | None:
    """The run of a task for a moment."""
    return session.scalar(select(JobRun).where(JobRun.task == task, JobRun.due_at == due_at))


def list_runs(
    session: Session, *, task: str | None = None, status: str | None = None, limit: int = 100, before_id: int | None = None
) -> Sequence[JobRun]:
    """Runs, newest first."""
    kept = select(JobRun)
    for column, wanted in ((JobRun.task, task), (JobRun.status, status)):
        if wanted is not None:
            kept = kept.where(column == wanted)
    if before_id is not None:
        kept = kept.where(JobRun.id < before_id)
    return session.scalars(kept.order_by(JobRun.id.desc()).limit(limit)).all()
