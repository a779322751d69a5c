"""Jobs by the clock: in the process of the service, or one from cron.

`start_scheduler()` runs every task when it is due (the nightly report at 02:00 UTC)
and makes up for what was missed; `python -m fairtrial.service.scheduler --task NAME`
runs one task now, for cron. Both may run at once, in as many processes as there are:
a lease and the table of runs see to it that nothing runs twice.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, cast

import structlog
from apscheduler.schedulers.background import BackgroundScheduler  # pyright: ignore[reportMissingTypeStubs]

from fairtrial.errors import FairtrialError, StorageError, UsageError
from fairtrial.service.bodies import iso
from fairtrial.service.clock import Clock, utc_now
from fairtrial.service.jobs.runner import JobRunner, Outcome
from fairtrial.service.jobs.tasks import SCOPES, TASKS, Options, Task, check_options, find_task, scheduled_tasks
from fairtrial.service.logs import set_up_logs
from fairtrial.service.notifications.delivery import Postman
from fairtrial.service.notifications.sender import AppriseSender
from fairtrial.service.settings import Settings, check_base_url, read_settings
from fairtrial.storage import Database, open_database, upgrade

CATCH_UP_SECONDS = 300
"""How often to look for runs that were missed, failed, or cut off."""

DELIVER_SECONDS = 15
"""How often to look into the outbox."""

STOP_SECONDS = 20.0
"""How long `stop` waits for what is under way; the lease of what goes on longer ends by itself."""

log = structlog.get_logger("fairtrial.jobs")


@dataclass(slots=True)
class Intervals:
    """How often the scheduler looks, in seconds.

    Attributes:
        catch_up: For runs that are due and not made.
        deliver: Into the outbox.
    """

    catch_up: float = CATCH_UP_SECONDS
    deliver: float = DELIVER_SECONDS


class SchedulerHandle:
    """A scheduler that runs until it is stopped; also a context manager."""

    def __init__(self, database: Database, settings: Settings, clock: Clock, *, closes: bool, every: Intervals) -> None:
        self._database, self._closes = database, closes
        self._stopped = threading.Event()
        self._runner = JobRunner(database, settings, clock, stopped=self._stopped)
        self._postman = Postman(database, AppriseSender(settings.alert_targets), clock, stopped=self._stopped.is_set)
        self._scheduler: Any = cast("Any", BackgroundScheduler)(
            timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        for task in scheduled_tasks():
            self._scheduler.add_job(self._run, task.trigger, args=[task], id=task.name)
        self._scheduler.add_job(self._catch_up, "interval", seconds=every.catch_up, id="catch-up")
        self._scheduler.add_job(self._catch_up, id="at-start")
        self._scheduler.add_job(self._deliver, "interval", seconds=every.deliver, id="deliver")

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return bool(self._scheduler.running)

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def stop(self) -> None:
        """End: what is under way ends between two of its transactions and is taken up again by the next start."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        ended = threading.Thread(target=lambda: self._scheduler.shutdown(wait=True), name="fairtrial-scheduler-stop", daemon=True)
        ended.start()
        ended.join(STOP_SECONDS)
        if self._closes:
            self._database.close()

    def __enter__(self) -> SchedulerHandle:
        """The handle itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop."""
        del kind, error, trace
        self.stop()

    def _run(self, task: Task) -> None:
        """One task; whatever happens, the scheduler goes on."""
        if self._stopped.is_set():
            return
        try:
            self._runner.run_pending(task)
        except StorageError as error:
            log.warning("jobs wait for the database", task=task.name, detail=error.message)
        except Exception:  # the outermost loop
            log.exception("job not run", task=task.name)

    def _catch_up(self) -> None:
        for task in scheduled_tasks():
            self._run(task)

    def _deliver(self) -> None:
        if self._stopped.is_set():
            return
        try:
            self._postman.deliver()
        except StorageError as error:
            log.warning("messages wait for the database", detail=error.message)
        except Exception:  # the outermost loop
            log.exception("messages not delivered")


def start_scheduler(
    database: Database | None = None, settings: Settings | None = None, *, clock: Clock = utc_now, every: Intervals | None = None
) -> SchedulerHandle:
    """Run every task when it is due, in threads of this process, and make up for what was missed (HO-14).

    Args:
        database: An open database, which the caller closes; by default that of the settings.
        settings: By default those of the environment.
        clock: The time; tests set it.
        every: How often to look.

    Returns:
        A handle whose `stop()` ends it.

    Raises:
        UsageError: A setting breaks a rule.
        StorageError: The database does not answer.
    """
    known = settings or read_settings()
    opened = database or open_database(known.database_url.get_secret_value())
    upgrade(opened)
    handle = SchedulerHandle(opened, known, clock, closes=database is None, every=every or Intervals())
    handle.start()
    return handle


def run_task(database: Database, settings: Settings, task: Task, options: Options, *, clock: Clock = utc_now) -> list[Outcome] | None:
    """Run what is due of one task and not made yet, then deliver what is in the outbox: what cron calls.

    Returns:
        How the runs ended; empty when all was made already, None when another process is at it.

    Raises:
        StorageError: The database does not answer.
    """
    outcomes = JobRunner(database, settings, clock).run_pending(task, options=check_options(options), first_now=True)
    Postman(database, AppriseSender(settings.alert_targets), clock).deliver()
    return outcomes


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fairtrial.service.scheduler", description="Run one task of the service, as from cron.")
    parser.add_argument("--task", required=True, choices=list(TASKS), help="Which.")
    parser.add_argument("--scope", choices=list(SCOPES), default="all", help="run-alerts: which alerts are sent.")
    parser.add_argument("--base-url", default="", help="run-alerts: address of the service in links; default FAIRTRIAL_ALERT_BASE_URL.")
    parser.add_argument("--reprocess-days", type=int, default=3, help="journey-daily-aggs: how many days are made anew.")
    parser.add_argument("--domain", choices=["touchpoints", "conversions", "all"], default="all", help="journey-alerts: what is looked at.")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one task and print what it says as JSON.

    Returns:
        0 done, 1 the task failed, 2 wrong usage.
    """
    asked = _arguments().parse_args(arguments)
    try:
        try:
            base_url = check_base_url(asked.base_url)
        except ValueError as error:
            raise UsageError(f"--base-url: {error}.") from error
        options = check_options(Options(scope=asked.scope, base_url=base_url, reprocess_days=asked.reprocess_days, domain=asked.domain))
        settings = read_settings()
        set_up_logs(settings.log_level, settings.log_format)
        task = find_task(asked.task)
        database = open_database(settings.database_url.get_secret_value())
        try:
            upgrade(database)
            outcomes = run_task(database, settings, task, options)
            return _tell(JobRunner(database, settings, utc_now), task, outcomes)
        finally:
            database.close()
    except FairtrialError as error:
        return _say_error(error)


def _tell(runner: JobRunner, task: Task, outcomes: list[Outcome] | None) -> int:
    if outcomes is None:
        sys.stderr.write(f"{task.name}: another process is running it.\n")
        return 0
    if not outcomes:
        stored = runner.stored_detail(task)
        if stored is not None:
            sys.stderr.write(f"{task.name}: the run due {iso(stored[0])} was made already; this is what it said.\n")
            _print(stored[1])
        return 0
    for outcome in outcomes:
        sys.stderr.write(f"{task.name}: due {iso(outcome.due)}, {outcome.status}.\n")
    last = outcomes[-1]
    if last.error is not None:
        return _say_error(last.error)
    _print(last.detail)
    return 0 if last.status == "done" else 1


def _print(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False) + "\n")


def _say_error(error: FairtrialError) -> int:
    sys.stderr.write(f"Error: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"What to do: {error.hint}\n")
    return 2 if isinstance(error, UsageError) else 1


if __name__ == "__main__":
    sys.exit(main())
