"""The jobs there are: when each is due, and what it does (HO-13, HO-18, HO-19)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from apscheduler.triggers.cron import CronTrigger  # pyright: ignore[reportMissingTypeStubs]

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.service.bandits.updating import update_all
from fairtrial.service.interactions.scans import run_scan, run_starts
from fairtrial.service.jobs.catalog_guardrails import watch_catalog
from fairtrial.service.jobs.guardrails import check_guardrails
from fairtrial.service.jobs.journeys import REPROCESS_DAYS, Domain, daily_aggregates, silence_alerts
from fairtrial.service.jobs.nightly import Guard, Reporting, make_report
from fairtrial.service.models.monitor import check_all
from fairtrial.service.notifications.alerts import Audience, Severity, send_digest, send_missing
from fairtrial.service.privacy.retention import apply_retention
from fairtrial.service.rollouts.jobs import evaluate_all
from fairtrial.service.settings import Settings
from fairtrial.storage import Database

LATE_SECONDS = 300.0
"""A run that begins later than this after it was due reads what is there now; one on time speaks of the moment it was due."""

LOOK_BACK_HOURS = (1, 24, 192)
"""How far back to look for when a task was due, one after the other."""

Scope = Literal["all", "results", "errors"]
SCOPES: dict[Scope, tuple[Severity, ...]] = {
    "all": ("error", "warning", "success"),
    "results": ("warning", "success"),
    "errors": ("error",),
}
"""Which alerts `run-alerts` sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a task takes from the command line.

    Attributes:
        scope: Which alerts `run-alerts` sends.
        base_url: Address of the service in links; empty takes that of the settings.
        reprocess_days: Days that `journey-daily-aggs` makes anew.
        domain: What `journey-alerts` looks at.
    """

    scope: Scope = "all"
    base_url: str = ""
    reprocess_days: int = REPROCESS_DAYS
    domain: Domain = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One run of a task.

    Attributes:
        database: The database.
        settings: The settings.
        due: When it was due.
        as_of: The moment it speaks of.
        now: The moment it began.
        guard: Called in each transaction; raises when the run must end.
        options: What was asked for.
    """

    database: Database
    settings: Settings
    due: dt.datetime
    as_of: dt.datetime
    now: dt.datetime
    guard: Guard
    options: Options = field(default_factory=Options)

    @property
    def audience(self) -> Audience:
        """Who is told."""
        return audience_of(self.settings, self.options.base_url)


def audience_of(settings: Settings, base_url: str = "") -> Audience:
    """Every target of the settings."""
    return Audience(targets=tuple(sorted(settings.alert_targets)), base_url=base_url or settings.alert_base_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A job.

    Attributes:
        name: What it is called.
        cron: When it is due, in UTC, as in a crontab.
        run: Does it.
        every: Whether each missed run is made up for, in order; else only the latest.
        summary: What it does.
    """

    name: str
    cron: str
    run: Callable[[Work], dict[str, Any]]
    every: bool = False
    summary: str

    @property
    def trigger(self) -> CronTrigger:
        """The cron line as a trigger; UTC has no summer time."""
        return cast("Any", CronTrigger).from_crontab(self.cron, timezone=dt.UTC)

    def due_between(self, after: dt.datetime, until: dt.datetime) -> list[dt.datetime]:
        """When it was due after one moment and up to another, in order."""
        found: list[dt.datetime] = []
        moment = _next(self.trigger, after + dt.timedelta(microseconds=1))
        while moment is not None and moment <= until:
            found.append(moment)
            moment = _next(self.trigger, moment + dt.timedelta(microseconds=1))
        return found

    def last_due(self, now: dt.datetime) -> dt.datetime:
        """The latest moment up to now at which it was due."""
        for hours in LOOK_BACK_HOURS:
            found = self.due_between(now - dt.timedelta(hours=hours), now)
            if found:
                return found[-1]
        raise UsageError(f"A task is due once in {LOOK_BACK_HOURS[-1]} hours at least, {self.name!r} is not.")

    def next_due(self, now: dt.datetime) -> dt.datetime | None:
        """When it is due next."""
        return _next(self.trigger, now)


def _next(trigger: CronTrigger, start: dt.datetime) -> dt.datetime | None:
    found: dt.datetime | None = cast("Any", trigger).get_next_fire_time(None, start)
    return None if found is None else found.astimezone(dt.UTC)


def _nightly(work: Work) -> dict[str, Any]:
    how = Reporting(as_of=work.as_of, now=work.now, open_session=work.database.writing, guard=work.guard, audience=work.audience)
    return make_report(how)


def _guardrails(work: Work) -> dict[str, Any]:
    return check_guardrails(work.database, as_of=work.as_of, now=work.now, audience=work.audience, guard=work.guard)


def _catalog(work: Work) -> dict[str, Any]:
    moments = {"due": work.due, "as_of": work.as_of, "now": work.now}
    return watch_catalog(work.database, work.settings, **moments, audience=work.audience, guard=work.guard)


def _alerts(work: Work) -> dict[str, Any]:
    severities = SCOPES[work.options.scope]
    with work.database.writing() as session:
        work.guard(session)
        queued = send_missing(session, work.audience, severities, now=work.now)
    return {"scope": work.options.scope, "targets": list(work.audience.targets), "queued": queued}


def _digest(work: Work) -> dict[str, Any]:
    with work.database.writing() as session:
        work.guard(session)
        return {"targets": list(work.audience.targets), **send_digest(session, work.audience, due=work.due, now=work.now)}


def _aggregates(work: Work) -> dict[str, Any]:
    return daily_aggregates(work.database, as_of=work.as_of, now=work.now, reprocess_days=work.options.reprocess_days, guard=work.guard)


def _journey_alerts(work: Work) -> dict[str, Any]:
    return silence_alerts(
        work.database, as_of=work.as_of, now=work.now, domain=work.options.domain, audience=work.audience, guard=work.guard
    )


def _models(work: Work) -> dict[str, Any]:
    return check_all(work.database, now=work.now, audience=work.audience, guard=work.guard)


def _rollouts(work: Work) -> dict[str, Any]:
    return evaluate_all(work.database, now=work.now, audience=work.audience, guard=work.guard)


def _bandits(work: Work) -> dict[str, Any]:
    return update_all(work.database, now=work.now, guard=work.guard)


def _scan(work: Work) -> dict[str, Any]:
    return run_scan(work.database, as_of=work.as_of, now=work.now, audience=work.audience, guard=work.guard)


def _starts(work: Work) -> dict[str, Any]:
    return run_starts(work.database, now=work.now, audience=work.audience, guard=work.guard)


def _retention(work: Work) -> dict[str, Any]:
    with work.database.writing() as session:
        work.guard(session)
    return apply_retention(work.database, now=work.now).model_dump()


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task(name="nightly-report", cron="0 2 * * *", run=_nightly, every=True, summary="A look at every running experiment, with alerts."),
        Task(name="guardrail-checks", cron="30 * * * *", run=_guardrails, summary="Harm and sample ratios, between the nights."),
        Task(
            name="catalog-guardrails",
            cron="45 * * * *",
            run=_catalog,
            every=True,
            summary="Guardrails of the catalog, as often as each asks.",
        ),
        Task(name="monitor", cron="*/5 * * * *", run=_models, summary="Guardrails of model experiments."),
        Task(name="rollouts", cron="15 0 * * *", run=_rollouts, summary="The next step of every running rollout, with alerts."),
        Task(name="bandits", cron="*/5 * * * *", run=_bandits, summary="The next period of every bandit whose period has run its time."),
        Task(name="run-alerts", cron="0 * * * *", run=_alerts, summary="Sends alerts to targets that have not got them."),
        Task(name="alert-daily-digest", cron="0 9 * * *", run=_digest, summary="One message with the alerts of a day."),
        Task(name="interaction-scan", cron="0 3 * * mon", run=_scan, summary="Experiments that disturb each other."),
        Task(name="interaction-starts", cron="*/10 * * * *", run=_starts, summary="Pairs of experiments that have just started."),
        Task(name="journey-daily-aggs", cron="0 1 * * *", run=_aggregates, summary="Adds up touchpoints by day and channel."),
        Task(name="journey-alerts", cron="15 1 * * *", run=_journey_alerts, summary="Channels that have fallen silent."),
        Task(name="retention", cron="0 4 * * *", run=_retention, summary="Deletes what the rules of retention say is too old."),
    )
}


def find_task(name: str) -> Task:
    """The task of that name.

    Raises:
        UnknownNameError: There is none.
    """
    if name not in TASKS:
        raise UnknownNameError.among("task", name, TASKS)
    return TASKS[name]


def scheduled_tasks() -> list[Task]:
    """Tasks that run by themselves: all."""
    return list(TASKS.values())


def check_options(options: Options) -> Options:
    """Options within their bounds.

    Raises:
        UsageError: One is not.
    """
    if not 1 <= options.reprocess_days <= 366:
        raise UsageError(f"--reprocess-days must lie in [1, 366], got {options.reprocess_days}.")
    return options
