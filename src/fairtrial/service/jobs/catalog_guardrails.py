"""Guardrails of the catalog's experiments, watched as often as each asks for while the experiment runs.

The units are read where the spec says they are, or from the warehouse. A guardrail that is looked at every hour
needs intervals that hold at every look, so the watch reads always-valid ones whatever the plan's method; the plan itself
is not touched, and no look of it is taken.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import structlog

from fairtrial import analysis
from fairtrial.errors import FairtrialError
from fairtrial.service.bodies import iso
from fairtrial.service.jobs.nightly import Guard
from fairtrial.service.notifications.alerts import Audience, Notice, raise_alerts
from fairtrial.service.settings import Settings
from fairtrial.spec import ExperimentConfigClient, LoadedSpec
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import Monitoring
from fairtrial.storage import Database

DAILY_HOUR = 2
"""Hour, in UTC, of the daily and the weekly watch; the weekly one is on Mondays."""

log = structlog.get_logger("fairtrial.jobs")


def watch_catalog(
    database: Database, settings: Settings, *, due: dt.datetime, as_of: dt.datetime, now: dt.datetime, audience: Audience, guard: Guard
) -> dict[str, Any]:
    """Look at every running experiment of the catalog whose guardrails are due.

    Returns:
        Names of the experiments that were looked at, of those that have something wrong, and of those whose units nobody knows.

    Raises:
        StorageError: The store failed for good.
        StopJobError: The guard said so.
    """
    catalog = ExperimentConfigClient(settings.catalog)
    watched, wrong, unknown = list[str](), list[str](), list[str]()
    for name in catalog.list_available_experiments():
        found = catalog.load(name)
        metrics = due_guardrails(found.spec, due)
        if not metrics or not is_running(found.spec, as_of):
            continue
        if found.spec.data is None and not settings.warehouse:
            unknown.append(name)
            continue
        notices = list(_notices(found, metrics, settings.warehouse or None, as_of))
        watched.append(name)
        if notices:
            wrong.append(name)
            with database.writing() as session:
                guard(session)
                raise_alerts(session, notices, audience, now=now)
    return {"as_of": iso(as_of), "watched": watched, "alerting": wrong, "without_data": unknown}


def due_guardrails(spec: ExperimentSpec, due: dt.datetime) -> list[str]:
    """Guardrails that ask to be looked at in the hour of this moment."""
    return [metric.key for metric in spec.metrics if metric.role == "guardrail" and _is_due(metric.monitoring, due)]


def is_running(spec: ExperimentSpec, as_of: dt.datetime) -> bool:
    """Whether units are being assigned: said by the status, else by the schedule."""
    if spec.status is not None:
        return spec.status == "running"
    schedule = spec.schedule
    return schedule is not None and schedule.start <= as_of and (schedule.end is None or as_of < schedule.end)


def _is_due(how_often: Monitoring, due: dt.datetime) -> bool:
    if how_often == "hourly":
        return True
    daily = due.hour == DAILY_HOUR
    return daily if how_often == "daily" else daily and due.weekday() == 0 if how_often == "weekly" else False


def _notices(found: LoadedSpec, metrics: list[str], warehouse: str | None, as_of: dt.datetime) -> Iterator[Notice]:
    spec = found.spec
    try:
        card = analysis.analyze_spec(_watching(spec), base=found.base, source=warehouse if spec.data is None else None, as_of=as_of)
    except Exception as error:  # one experiment's failure is an alert, the others go on
        log.exception("catalog experiment not watched", experiment=spec.key)
        reason = error.message.rstrip(".") if isinstance(error, FairtrialError) else f"internal error ({type(error).__name__})"
        yield _notice(spec, "error", f"guardrails could not be read: {reason}", f"failed:{as_of:%Y-%m-%d}")
        return
    for row in card.comparisons:
        if row.guardrail is None or row.metric not in metrics:
            continue
        if row.guardrail.status == "ALERT":
            text = f"guardrail {row.metric} is in ALERT for {row.treatment}, take it off: {row.guardrail.reason}"
            yield _notice(spec, "error", text, f"{row.metric}:{row.treatment}:ALERT")
        elif row.guardrail.status == "UNAVAILABLE":
            text = f"guardrail {row.metric} has no answer for {row.treatment}, which is no pass: {row.guardrail.reason}"
            yield _notice(spec, "warning", text, f"{row.metric}:{row.treatment}:UNAVAILABLE:{as_of:%Y-%m-%d}")


def _watching(spec: ExperimentSpec) -> ExperimentSpec:
    """The same experiment read with intervals that hold at every look."""
    plan = spec.plan.model_dump(mode="json", exclude_unset=True) | {"method": "always_valid"}
    return ExperimentSpec.model_validate(spec.model_dump(mode="json", exclude_unset=True) | {"plan": plan})


def _notice(spec: ExperimentSpec, severity: Any, text: str, key: str) -> Notice:
    return Notice(
        experiment_id=None,
        severity=severity,
        message=f"Experiment '{spec.key}': {text}",
        dedupe_key=f"catalog:{spec.key}:v{spec.version}:{key}",
    )
