"""Running a task once for each moment it was due, whatever else runs beside.

A lease lets one process do a task at a time; a thread renews it. Every transaction of
the task locks the lease's row and looks whether it is still its own. A run is a row
with a unique (task, due moment), so what is done is never done again; a run that
failed or was cut off is tried again, three times in all.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import Counter
from sqlalchemy.orm import Session

from fairtrial.errors import FairtrialError, StorageError
from fairtrial.service.jobs.nightly import Guard, StopJobError
from fairtrial.service.jobs.tasks import LATE_SECONDS, Options, Task, Work
from fairtrial.service.settings import Settings
from fairtrial.storage import Database
from fairtrial.storage.leases import (
    acquire_lease,
    claim_run,
    find_run,
    finish_run,
    holds_lease,
    latest_due,
    open_runs,
    release_lease,
    renew_lease,
    skip_run,
)

LEASE_SECONDS = 120.0
RENEW_SECONDS = 30.0
MOST_ATTEMPTS = 3
MOST_MISSED = 31
"""Missed nights that are made up for; of a longer absence the last ones."""

RUNS = Counter("fairtrial_job_runs_total", "Runs of jobs by task and how they ended.", ["task", "status"])

log = structlog.get_logger("fairtrial.jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one run ended.

    Attributes:
        task: Name of the task.
        due: The moment it was due.
        status: `done`, `failed` or `interrupted`.
        detail: What the task says of it.
        error: Why it failed.
    """

    task: str
    due: dt.datetime
    status: str
    detail: dict[str, Any] | None = None
    error: FairtrialError | None = None


class JobRunner:
    """Runs tasks of one database.

    Args:
        database: The database.
        settings: The settings.
        clock: The time.
        stopped: Set when the process is about to stop: a task ends between two of its transactions.
        lease_seconds: How long a lease holds without being renewed.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Callable[[], dt.datetime],
        *,
        stopped: threading.Event | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._database, self._settings, self._clock = database, settings, clock
        self.stopped = stopped or threading.Event()
        self._seconds = lease_seconds

    def run_pending(self, task: Task, *, options: Options | None = None, first_now: bool = False) -> list[Outcome] | None:
        """Make every run of a task that is due and not made, in order.

        Args:
            task: The task.
            options: What was asked for.
            first_now: Where a task never ran: run it for the latest moment it was due, instead of from the next on.

        Returns:
            How the runs ended, empty when none was due; None when another process is at it.

        Raises:
            StorageError: The database does not answer.
        """
        with self.lease(task.name) as guard:
            if guard is None:
                return None
            outcomes: list[Outcome] = []
            due = self._pending(task, guard, first_now=first_now)
            for moment in due:
                outcome = self._run(task, moment, guard, options or Options(), last=moment == due[-1])
                if outcome is not None:
                    outcomes.append(outcome)
                if outcome is None or outcome.status != "done":
                    break  # in order: a later night waits for the one before it
            return outcomes

    @contextmanager
    def lease(self, name: str) -> Generator[Guard | None]:
        """Hold the lease of a task for a while.

        Yields:
            What every transaction of the task calls first; None when another process holds the lease.
        """
        holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        with self._database.writing() as session:
            mine = acquire_lease(session, name, holder, now=self._clock(), seconds=self._seconds)
        if not mine:
            yield None
            return
        over = threading.Event()
        heart = threading.Thread(target=self._beat, args=(name, holder, over), name=f"fairtrial-lease-{name}", daemon=True)
        heart.start()
        try:
            yield _Holding(name, holder, self.stopped)
        finally:
            over.set()
            heart.join(timeout=30)
            self._release(name, holder)

    def _beat(self, name: str, holder: str, over: threading.Event) -> None:
        while not over.wait(min(RENEW_SECONDS, self._seconds / 4)):
            try:
                with self._database.writing() as session:
                    mine = renew_lease(session, name, holder, now=self._clock(), seconds=self._seconds)
            except StorageError as error:
                log.warning("lease not renewed", task=name, detail=error.message)
                continue
            if not mine:
                log.warning("lease lost", task=name)
                return

    def _release(self, name: str, holder: str) -> None:
        try:
            with self._database.writing() as session:
                release_lease(session, name, holder)
        except StorageError as error:  # it ends by itself
            log.warning("lease not given back", task=name, detail=error.message)

    def _pending(self, task: Task, guard: Guard, *, first_now: bool) -> list[dt.datetime]:
        now = self._clock()
        with self._database.writing() as session:
            guard(session)
            last = latest_due(session, task.name, until=now)
            if last is None:
                newest = task.last_due(now)
                if first_now:
                    return [newest]
                skip_run(session, task.name, newest, now=now, reason="it was due before this service ran")
                return []
            again = list(open_runs(session, task.name, tried_less_than=MOST_ATTEMPTS))
        missed = task.due_between(max(last, now - dt.timedelta(days=MOST_MISSED + 1 if task.every else 8)), now)
        missed = missed[-MOST_MISSED:] if task.every else missed[-1:]
        return sorted({*again, *missed}) if task.every else (missed or again[-1:])

    def _run(self, task: Task, due: dt.datetime, guard: Guard, options: Options, *, last: bool) -> Outcome | None:
        now = self._clock()
        holder = guard.holder if isinstance(guard, _Holding) else ""
        with self._database.writing() as session:
            guard(session)
            if not claim_run(session, task.name, due, holder, now=now):
                return None
        as_of = now if last and (now - due).total_seconds() > LATE_SECONDS else due
        work = Work(database=self._database, settings=self._settings, due=due, as_of=as_of, now=now, guard=guard, options=options)
        outcome = self._tried(task, work)
        self._finish(outcome, holder)
        return outcome

    def _tried(self, task: Task, work: Work) -> Outcome:
        try:
            detail = task.run(work)
        except StopJobError as error:
            log.warning("job interrupted", task=task.name, due=work.due.isoformat(), why=str(error))
            return Outcome(task=task.name, due=work.due, status="interrupted")
        except FairtrialError as error:
            log.error("job failed", task=task.name, due=work.due.isoformat(), detail=error.message)  # noqa: TRY400 - foreseen
            return Outcome(task=task.name, due=work.due, status="failed", error=error)
        except Exception as error:  # the outermost loop: the service goes on
            log.exception("job failed", task=task.name, due=work.due.isoformat())
            said = FairtrialError(f"The task {task.name!r} failed: {type(error).__name__}.", hint="See the log.", code="internal")
            return Outcome(task=task.name, due=work.due, status="failed", error=said)
        log.info("job done", task=task.name, due=work.due.isoformat())
        return Outcome(task=task.name, due=work.due, status="done", detail=detail)

    def _finish(self, outcome: Outcome, holder: str) -> None:
        RUNS.labels(outcome.task, outcome.status).inc()
        detail = outcome.detail if outcome.error is None else {"code": outcome.error.code, "error": outcome.error.message}
        try:
            with self._database.writing() as session:
                finish_run(session, outcome.task, outcome.due, holder, status=outcome.status, now=self._clock(), detail=detail)
        except StorageError as error:  # the row still says `running`, so it is tried again
            log.error("end of a job not noted", task=outcome.task, detail=error.message)  # noqa: TRY400 - foreseen

    def stored_detail(self, task: Task) -> tuple[dt.datetime, dict[str, Any] | None] | None:
        """The latest run of a task that is there: when it was due, and what it said."""
        with self._database.reading() as session:
            due = latest_due(session, task.name, until=self._clock())
            run = None if due is None else find_run(session, task.name, due)
        return None if run is None else (run.due_at, run.detail_json)


class _Holding:
    """Lets a transaction pass while the lease is its process's own."""

    def __init__(self, name: str, holder: str, stopped: threading.Event) -> None:
        self.name, self.holder, self.stopped = name, holder, stopped

    def __call__(self, session: Session) -> None:
        if self.stopped.is_set():
            raise StopJobError("the process is about to stop")
        if not holds_lease(session, self.name, self.holder):
            raise StopJobError("another process has taken it over")
