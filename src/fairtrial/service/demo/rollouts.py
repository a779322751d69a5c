"""A simulated rollout on the service: users come day by day, and its evaluations are applied as they say."""

from __future__ import annotations

import datetime as dt

import numpy as np
from sqlalchemy.orm import Session

from fairtrial.service.demo.holdouts import DAY, DEMO
from fairtrial.service.rollouts import control
from fairtrial.service.rollouts.schemas import ApplyIn, AssignIn, RolloutGuardrailIn, RolloutIn, RolloutPrimaryIn, SessionIn, SessionsIn

NAME = "demo-fast-editor"
DAYS = 8
NEW_USERS = 300
LEVELS = ("low", "medium", "high")


def add_rollout(session: Session, rng: np.random.Generator, *, now: dt.datetime) -> None:
    """Begin a rollout a week ago; each evening it is evaluated, and a raise that is proposed is applied."""
    start = (now - DAYS * DAY).replace(hour=0, minute=5, second=0, microsecond=0)
    rules = RolloutIn(
        name=NAME,
        stages=[0.25, 0.5, 1.0],
        min_days=7,
        max_days=14,
        seed=7,
        primary=RolloutPrimaryIn(metric="task_completion_time", practical_threshold=0.02),
        guardrails=[RolloutGuardrailIn(metric="error_rate", margin=0.01), RolloutGuardrailIn(metric="latency", margin=15.0)],
    )
    control.create(session, rules, actor=DEMO, now=start)
    pace: dict[str, float] = {}
    variants: dict[str, str] = {}
    raised = False
    for day in range(DAYS):
        at = start + day * DAY + dt.timedelta(hours=10)
        new = [f"editor-{day:02d}-{number:04d}" for number in range(NEW_USERS)]
        pace |= {user: float(np.exp(0.25 * rng.standard_normal())) for user in new}
        for user in pace if raised else new:
            asked = AssignIn(user_id=user, engagement=LEVELS[hash_of(user) % 3])
            variants[user] = control.assign(session, NAME, asked, now=at).variant
        control.record_sessions(session, NAME, _sessions(pace, variants, day, rng, at), now=at + dt.timedelta(hours=9))
        evening = start + (day + 1) * DAY
        if evening > now or day == DAYS - 1:
            break
        made = control.evaluate(session, NAME, actor=DEMO, now=evening)
        raised = made.decision == "RAMP_UP"
        if raised:
            control.apply(session, NAME, ApplyIn(evaluation=made.evaluation), actor=DEMO, now=evening)


def hash_of(user: str) -> int:
    """A number of a user, the same in every process."""
    return sum(user.encode())


def _sessions(pace: dict[str, float], variants: dict[str, str], day: int, rng: np.random.Generator, at: dt.datetime) -> SessionsIn:
    rows: list[SessionIn] = []
    for user, own in pace.items():
        if rng.random() > 0.55:
            continue
        faster = 0.95 if variants[user] == "treatment" else 1.0
        accepted = bool(rng.random() < 0.86)
        seconds = float(40.0 * own * faster * np.exp(0.35 * rng.standard_normal()))
        rows.append(
            SessionIn(
                session_id=f"{user}-{day}",
                user_id=user,
                occurred_at=at + dt.timedelta(minutes=float(rng.uniform(1.0, 500.0))),
                task_completion_time=seconds if accepted else None,
                accepted=accepted,
                latency_ms=float(rng.gamma(9.0, 20.0)),
                error=bool(rng.random() < 0.02),
            )
        )
    return SessionsIn(sessions=rows)
