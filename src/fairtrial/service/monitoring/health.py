"""The watch over model experiments as functions, on the database of the settings (ML-19)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from fairtrial.errors import UsageError
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.clock import utc_now
from fairtrial.service.models.control import change, state_of
from fairtrial.service.models.monitor import check_experiment, recent_frame
from fairtrial.service.notifications.alerts import Audience, Notice, raise_alerts
from fairtrial.service.settings import Settings, read_settings
from fairtrial.storage import Database, open_database, upgrade
from fairtrial.storage.deployments import list_deployments

HERE = Actor(name="monitor", role=Role.ADMIN)


@contextmanager
def _opened(database: Database | None) -> Generator[tuple[Database, Settings]]:
    settings = read_settings()
    if database is not None:
        yield database, settings
        return
    opened = open_database(settings.database_url.get_secret_value())
    try:
        upgrade(opened)
        yield opened, settings
    finally:
        opened.close()


def _audience(settings: Settings) -> Audience:
    return Audience(targets=tuple(sorted(settings.alert_targets)), base_url=settings.alert_base_url)


def monitor_experiment_health(
    experiment_name: str | None = None, *, database: Database | None = None, now: dt.datetime | None = None
) -> dict[str, Any]:
    """Look at an experiment once: what is broken stops it, what has no data is told.

    Args:
        experiment_name: Which; None takes the only one there is.
        database: An open one; None opens that of the settings.
        now: The moment; None takes the clock.

    Returns:
        `experiment_name`, `status`, whether it was `stopped` now, `reason`, the guardrails on the latest rows and on the whole run.

    Raises:
        UnknownNameError: There is no such experiment.
        UsageError: None was named and there is not exactly one.
    """
    with _opened(database) as (opened, settings):
        name = experiment_name or _only(opened)
        return check_experiment(opened, name, now=now or utc_now(), audience=_audience(settings))


def load_recent_experiment_data(
    minutes: float = 15, experiment_name: str | None = None, *, database: Database | None = None, now: dt.datetime | None = None
) -> Any:
    """The predictions of the last minutes as a pandas frame.

    Args:
        minutes: How far back, > 0.
        experiment_name: Which experiment; None takes the only one there is.
        database: An open one; None opens that of the settings.
        now: The moment; None takes the clock.

    Raises:
        UsageError: `minutes` is not above 0, or none was named and there is not exactly one.
    """
    if not minutes > 0:
        raise UsageError(f"minutes must be above 0, got {minutes}.")
    with _opened(database) as (opened, _):
        name = experiment_name or _only(opened)
        with opened.reading() as session:
            return recent_frame(session, name, now=now or utc_now(), minutes=minutes)


def send_alert(message: str, *, database: Database | None = None, now: dt.datetime | None = None) -> bool:
    """Raise an alert: it is kept, and put into the outbox for every target of the settings.

    Returns:
        Whether it is new: the same message is told once a day.

    Raises:
        UsageError: There is no message.
    """
    if not message.strip():
        raise UsageError("An alert needs a message, got none.")
    moment = now or utc_now()
    notice = Notice(experiment_id=None, severity="error", message=message, dedupe_key=f"alert:{moment:%Y-%m-%d}:{message}")
    with _opened(database) as (opened, settings), opened.writing() as session:
        return bool(raise_alerts(session, [notice], _audience(settings), now=moment))


def stop_experiment(
    experiment_name: str, reason: str = "stopped by hand", *, database: Database | None = None, now: dt.datetime | None = None
) -> dict[str, Any]:
    """Give the champion all traffic, for good, and record it.

    Returns:
        `experiment_name`, `status`, `traffic_allocation`, `stage`, `reason`.

    Raises:
        UnknownNameError: There is no such experiment.
    """
    with _opened(database) as (opened, settings), opened.writing() as session:
        stopped = change(session, experiment_name, "stop", reason, actor=HERE, now=now or utc_now(), settings=settings)
        return stopped.model_dump()


def _only(database: Database) -> str:
    with database.reading() as session:
        names = [row.name for row in list_deployments(session) if state_of(row).status != "completed"]
    if len(names) != 1:
        raise UsageError(f"Name the experiment: there are {len(names)} that are not completed: {names}.")
    return names[0]
