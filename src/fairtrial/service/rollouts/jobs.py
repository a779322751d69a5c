"""The daily look at every running rollout: evaluated, remembered and told; nothing is applied."""

from __future__ import annotations

import datetime as dt
from typing import Any

import structlog

from fairtrial.errors import FairtrialError
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.bodies import iso
from fairtrial.service.jobs.nightly import Guard
from fairtrial.service.notifications.alerts import Audience, Notice, Severity, raise_alerts
from fairtrial.service.rollouts.control import evaluate
from fairtrial.service.rollouts.schemas import RolloutDecisionOut
from fairtrial.storage import Database
from fairtrial.storage.rollouts import list_rollouts

EVALUATOR = Actor(name="job:rollouts", role=Role.ADMIN)

SEVERITY: dict[str, Severity] = {"ROLLBACK": "error", "HOLD": "warning", "ROLLOUT": "success", "RAMP_UP": "success"}
"""What is told of a decision; CONTINUE is not."""

MOST = 10_000
"""Rollouts that one run looks at."""

log = structlog.get_logger("fairtrial.jobs")


def evaluate_all(database: Database, *, now: dt.datetime, audience: Audience, guard: Guard) -> dict[str, Any]:
    """Evaluate every running rollout, each in a transaction of its own; one that fails is told, and the others go on.

    Args:
        database: The database.
        now: The moment.
        audience: Who is told.
        guard: Called in each transaction; raises when the run must end.

    Returns:
        The decision of each rollout by its name, and those that failed.

    Raises:
        StorageError: The store failed for good.
    """
    with database.reading() as session:
        names = [row.name for row in list_rollouts(session, status="running", limit=MOST, offset=0)[0]]
    decided, failed = dict[str, str](), list[str]()
    for name in names:
        try:
            with database.writing() as session:
                guard(session)
                made = evaluate(session, name, actor=EVALUATOR, now=now)
                decided[name] = made.decision
                raise_alerts(session, _notices(name, made), audience, now=now)
        except FairtrialError as error:
            log.error("rollout not evaluated", rollout=name, detail=error.message)  # noqa: TRY400 - foreseen
            failed.append(name)
            text = f"Rollout '{name}' could not be evaluated: {error.message}"
            notice = Notice(experiment_id=None, severity="error", message=text, dedupe_key=f"rollout:{name}:failed:{now:%Y-%m-%d}")
            with database.writing() as session:
                guard(session)
                raise_alerts(session, [notice], audience, now=now)
    return {"as_of": iso(now), "decisions": decided, "failed": failed}


def _notices(name: str, made: RolloutDecisionOut) -> list[Notice]:
    if made.decision not in SEVERITY:
        return []
    text = f"Rollout '{name}', day {made.day}, share {made.stage:.0%}: {made.decision} ({', '.join(made.reasons)})."
    text += " It is not applied before somebody does so." if made.target_share != made.stage else ""
    key = f"rollout:{name}:{made.decision}:{made.stage:g}:{made.complete_days}"
    return [Notice(experiment_id=None, severity=SEVERITY[made.decision], message=text, dedupe_key=key)]
