"""The stored sessions of a rollout, as the analysis reads them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from fairtrial.analysis.rollout_days import RolloutMoment, RolloutRules
from fairtrial.analysis.rollout_sessions import Sessions
from fairtrial.service.rollouts.rules import rules_of
from fairtrial.service.rollouts.schemas import RolloutIn
from fairtrial.simulation.rollout import LEVELS
from fairtrial.storage.rollouts import read_sessions
from fairtrial.storage.tables import Rollout

DAY_SECONDS = 86_400


def body_of(row: Rollout) -> RolloutIn:
    """What a rollout was asked for."""
    return RolloutIn.model_validate(row.settings_json)


def rules_of_row(row: Rollout) -> RolloutRules:
    """The rules of a stored rollout."""
    return rules_of(body_of(row))


def complete_days(since: dt.datetime, now: dt.datetime) -> int:
    """Whole days between two moments, >= 0."""
    return max(0, int((now - since).total_seconds() // DAY_SECONDS))


def moment_of_row(row: Rollout, *, now: dt.datetime) -> RolloutMoment:
    """Where a rollout stands; looks are the evaluations of earlier days."""
    days = complete_days(row.created_at, now)
    changes: Sequence[Mapping[str, Any]] = row.changes_json
    looks = sorted({int(entry["complete_days"]) for entry in row.history_json if 1 <= int(entry["complete_days"]) < days})
    return RolloutMoment(
        day=days,
        share=row.share,
        stage=len(changes) - 1,
        stage_days=complete_days(dt.datetime.fromisoformat(changes[-1]["at"]), now),
        look_days=tuple(looks),
    )


def sessions_of_row(session: Session, row: Rollout, *, now: dt.datetime) -> Sessions:
    """The sessions of a rollout up to a moment; a stage begins with each change of the share."""
    rows = read_sessions(session, row.id, now)
    times = np.array([one["occurred_at"].timestamp() for one in rows], dtype=np.float64)
    starts = np.array([dt.datetime.fromisoformat(change["at"]).timestamp() for change in row.changes_json])
    users: dict[str, int] = {}
    levels = {name: i for i, name in enumerate(LEVELS)}
    known = bool(rows) and all(one["engagement"] is not None for one in rows)
    task = [np.nan if one["task_completion_time"] is None else one["task_completion_time"] for one in rows]
    return Sessions(
        user=np.array([users.setdefault(one["user_id"], len(users)) for one in rows], dtype=np.int64),
        day=((times - row.created_at.timestamp()) // DAY_SECONDS).astype(np.int64) + 1,
        treated=np.array([one["variant"] == "treatment" for one in rows], dtype=bool),
        stage=np.maximum(np.searchsorted(starts, times, side="right") - 1, 0).astype(np.int64),
        task=np.array(task, dtype=np.float64),
        accepted=np.array([one["accepted"] for one in rows], dtype=bool),
        latency=np.array([one["latency_ms"] for one in rows], dtype=np.float64),
        error=np.array([one["error"] for one in rows], dtype=bool),
        level=np.array([levels[one["engagement"]] for one in rows], dtype=np.int64) if known else None,
        censor_seconds=body_of(row).censor_seconds,
    )
