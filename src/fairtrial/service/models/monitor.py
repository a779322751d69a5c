"""The watch from outside: every five minutes over the predictions that are stored, whether gateways live or not (ML-19).

It reads the same e-processes as a gateway, from the stored rows of the whole epoch, and besides them the guardrails that
need labels or columns, on the latest rows (`serving.guardrails`). What it finds broken stops the experiment.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy.orm import Session

from fairtrial import analysis
from fairtrial.errors import DataError, FairtrialError
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.bodies import iso
from fairtrial.service.jobs.nightly import Guard
from fairtrial.service.models.control import evidence, parts_of, served_of, shares_of, state_of
from fairtrial.service.notifications.alerts import Audience, Notice, raise_alerts
from fairtrial.serving.desk import change_rollout
from fairtrial.serving.guardrails import GuardrailMonitor
from fairtrial.serving.live_guardrails import LiveMonitor, WatchReading
from fairtrial.serving.rollout import RolloutState, advance, began_at, stop
from fairtrial.spec.model_file import ModelExperiment
from fairtrial.storage import Database
from fairtrial.storage.deployments import get_deployment, list_deployments
from fairtrial.storage.predictions import read_predictions, read_requests

MINUTES = 15
"""How far back the latest rows reach."""

MEMORY = dt.timedelta(hours=1)
"""How far back violations of the windowed check are counted."""

WATCHER = Actor(name="job:monitor", role=Role.ADMIN)

log = structlog.get_logger("fairtrial.jobs")


def recent_frame(session: Session, name: str, *, now: dt.datetime, minutes: float = MINUTES) -> Any:
    """The latest predictions of an experiment as a frame, oldest first; no rows where there are none."""
    return frame_of(read_predictions(session, name, now - dt.timedelta(minutes=minutes), None))


def frame_of(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Stored predictions as a pandas frame with the columns of the log."""
    import pandas as pd  # noqa: PLC0415 - pandas takes a while, and only reports want it

    columns = ("prediction_id", "user_id", "variant", "model_name", "prediction", "outcome", "timestamp", "latency_ms", "error", "timeout")
    return pd.DataFrame(list(rows)) if rows else pd.DataFrame(columns=list(columns))


def windowed(
    session: Session, served: ModelExperiment, state: RolloutState, *, now: dt.datetime, minutes: float = MINUTES
) -> dict[str, Any]:
    """The guardrails on the latest rows of this epoch, and whether the windows of the last hour call for a stop.

    Returns:
        What `GuardrailMonitor.check_guardrails` returns for the last `minutes`, and `should_stop`.
    """
    monitor = GuardrailMonitor(served.config, clock=lambda: now)
    hour = read_predictions(session, served.config.name, max(now - MEMORY, began_at(state)), None)
    if hour:
        monitor.check_guardrails(frame_of(hour))
    latest = [row for row in hour if row["timestamp"] >= now - dt.timedelta(minutes=minutes)]
    return {**monitor.check_guardrails(frame_of(latest)), "should_stop": monitor.should_stop_experiment()}


def stored_watch(session: Session, served: ModelExperiment, state: RolloutState, *, now: dt.datetime) -> WatchReading:
    """The live guardrails by the stored rows of this epoch: those that gateways made and those of the service itself."""
    began = began_at(state)
    monitor = LiveMonitor(served.config, served.serving.rollout.watch, began, served.serving.features.segments)
    for row in read_requests(session, served.config.name, began):
        values = {**row.segments, "prediction": None if row.fallback else row.prediction}
        monitor.observe(row.model_name, row.timestamp.timestamp(), row.latency_ms, error=row.error, timeout=row.timeout, values=values)
    return monitor.check(now, shares_of(served, state))


def check_experiment(database: Database, name: str, *, now: dt.datetime, audience: Audience, guard: Guard | None = None) -> dict[str, Any]:
    """One look at an experiment: what is broken stops it, what is unknown is told.

    Args:
        database: The database.
        name: Of the experiment.
        now: The moment.
        audience: Who is told.
        guard: Called in the writing transaction; raises when the run must end.

    Returns:
        `experiment_name`, `status`, `stopped` now, `reason`, and both readings.

    Raises:
        UnknownNameError: There is none of that name.
    """
    with database.reading() as session:
        row = get_deployment(session, name)
        served, state = served_of(row), state_of(row)
        latest = windowed(session, served, state, now=now)
        live = stored_watch(session, served, state, now=now)
        known = bool(parts_of(session, served, state))
    reason = live.reason or _windowed_reason(latest)
    found: dict[str, Any] = {"experiment_name": name, "status": state.status, "stopped": False, "reason": reason}
    if reason and state.share > 0.0:
        with database.writing() as session:
            if guard is not None:
                guard(session)
            stages = served.serving.rollout.steps
            after = change_rollout(
                session,
                served,
                lambda old: stop(old, stages, reason, now=now, by=WATCHER.name),
                by=WATCHER.name,
                role=WATCHER.role.name,
                now=now,
                targets=audience.targets,
            )
        found |= {"status": after.status, "stopped": True}
    elif state.share > 0.0 and (notice := _silence(name, latest, known=known, now=now)) is not None:
        with database.writing() as session:
            if guard is not None:
                guard(session)
            raise_alerts(session, [notice], audience, now=now)
    if not reason and state.status == "running":
        found |= _climbed(database, served, latest, live, now=now, guard=guard)
    return {**found, "guardrails": latest, "watch": live.as_json()}


def _climbed(
    database: Database, served: ModelExperiment, latest: Mapping[str, Any], live: WatchReading, *, now: dt.datetime, guard: Guard | None
) -> dict[str, Any]:
    """Take the step that gateways leave to the watch: by a verdict, or where guardrails need labels."""
    stages, name = served.serving.rollout.steps, served.config.name
    with database.writing() as session:
        if guard is not None:
            guard(session)
        state = state_of(get_deployment(session, name, lock=True))
        stage = stages[state.stage]
        if state.status != "running" or not (stage.opens_by == "verdict" or live.unwatched):
            return {}
        unknown = [metric for metric in live.unwatched if latest["metrics"].get(metric, {}).get("violated") is not False]
        seen = replace(
            evidence(session, served, state, now=now),
            guardrails="insufficient" if live.status == "ok" and unknown else live.status,
            verdict=_verdict(session, served, state, now=now) if stage.opens_by == "verdict" else None,
            epoch=state.epoch,
        )
        after = change_rollout(
            session, served, lambda old: advance(old, stages, seen, now=now), by=WATCHER.name, role=WATCHER.role.name, now=now
        )
    return {"status": after.status, "stopped": after.status == "stopped", "reason": after.reason if after.status == "stopped" else ""}


def _verdict(session: Session, served: ModelExperiment, state: RolloutState, *, now: dt.datetime) -> str | None:
    """The verdict on the predictions of this stage alone, whose shares are one; None while the log cannot answer."""
    begun = dt.datetime.fromisoformat(state.entered_at)
    rows = read_predictions(session, served.config.name, begun, now)
    if not rows:
        return None
    try:
        return analysis.ExperimentAnalyzer(served.config).generate_report(frame_of(rows), start_date=begun, end_date=now)["verdict"]
    except DataError as error:
        log.info("no verdict yet", experiment=served.config.name, detail=error.message)
        return None


def check_all(database: Database, *, now: dt.datetime, audience: Audience, guard: Guard) -> dict[str, Any]:
    """A look at every experiment that gives challengers traffic; one that fails is told, and the others go on.

    Raises:
        StorageError: The store failed for good.
    """
    with database.reading() as session:
        names = [row.name for row in list_deployments(session) if state_of(row).share > 0.0]
    stopped, failed = list[str](), list[str]()
    for name in names:
        try:
            if check_experiment(database, name, now=now, audience=audience, guard=guard)["stopped"]:
                stopped.append(name)
        except FairtrialError as error:
            log.error("model experiment not watched", experiment=name, detail=error.message)  # noqa: TRY400 - foreseen
            failed.append(name)
            notice = _notice(name, "error", f"could not be watched: {error.message}", f"failed:{now:%Y-%m-%d}")
            with database.writing() as session:
                guard(session)
                raise_alerts(session, [notice], audience, now=now)
    return {"as_of": iso(now), "checked": names, "stopped": stopped, "failed": failed}


def _windowed_reason(latest: Mapping[str, Any]) -> str:
    if not latest["should_stop"]:
        return ""
    broken = sorted({f"{item['metric']} of {item['model']}" for item in latest["violations"]})
    return f"{', '.join(broken) or 'a guardrail'} broken in repeated windows of the last hour, or far beyond the limit"


def _silence(name: str, latest: Mapping[str, Any], *, known: bool, now: dt.datetime) -> Notice | None:
    """That a guardrail has no data though traffic flows: no data is no pass."""
    silent = sorted(metric for metric, check in latest["metrics"].items() if check["status"] == "no_data")
    if not silent or not known:
        return None
    return _notice(name, "warning", f"no data in the last {MINUTES} minutes for {', '.join(silent)}", f"no_data:{now:%Y-%m-%dT%H}")


def _notice(name: str, severity: Any, text: str, key: str) -> Notice:
    return Notice(experiment_id=None, severity=severity, message=f"Model experiment '{name}': {text}", dedupe_key=f"model:{name}:{key}")
