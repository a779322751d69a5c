"""Routes of rollouts: parse, one call, return. Fixed paths come first, so that none is taken for an id (G-8)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from fairtrial.service.dependencies import AsAnalyst, AsDeveloper, AsViewer, DbRead, DbWrite, Now
from fairtrial.service.rollouts import control, results, rules
from fairtrial.service.rollouts.schemas import (
    ApplyIn,
    AssignIn,
    AssignOut,
    DecideIn,
    DecisionOut,
    EvaluateIn,
    RolloutDecisionOut,
    RolloutIn,
    RolloutList,
    RolloutOut,
    RolloutResultsOut,
    SessionsIn,
    SessionsOut,
    Status,
    StopIn,
)

router = APIRouter(prefix="/rollouts", tags=["rollouts"])


@router.get("", response_model=RolloutList)
def list_rollouts(
    db: DbRead,
    actor: AsViewer,
    status: Status | None = None,
    skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> RolloutList:
    """Rollouts by id, with where each stands."""
    del actor
    return control.listed(db, status=status, limit=limit, offset=skip)


@router.post("", response_model=RolloutOut, status_code=201)
def create_rollout(db: DbWrite, actor: AsDeveloper, now: Now, body: RolloutIn) -> RolloutOut:
    """Begin a rollout at its first stage (AD-16)."""
    return control.create(db, body, actor=actor, now=now)


@router.post("/decide", response_model=DecisionOut)
def decide(actor: AsAnalyst, body: DecideIn) -> DecisionOut:
    """The next step by summary statistics; nothing is stored (AD-10, AD-16)."""
    del actor
    return rules.decide(body)


@router.get("/{rollout}", response_model=RolloutOut)
def read_rollout(db: DbRead, actor: AsViewer, rollout: str) -> RolloutOut:
    """Where a rollout stands, its evaluations and its shares (AD-16)."""
    del actor
    return control.shown(db, control.get_rollout(db, rollout))


@router.get("/{rollout}/results", response_model=RolloutResultsOut)
def read_results(
    db: DbRead, actor: AsViewer, now: Now, rollout: str, resamples: Annotated[int, Query(ge=500, le=10_000)] = 2_000
) -> RolloutResultsOut:
    """Every metric with its bootstrap interval, and the primary one by engagement before (AD-05, AD-06, AD-09)."""
    del actor
    return results.results(db, rollout, now=now, resamples=resamples)


@router.post("/{rollout}/evaluate", response_model=RolloutDecisionOut)
def evaluate(db: DbWrite, actor: AsDeveloper, now: Now, rollout: str, body: EvaluateIn) -> RolloutDecisionOut:
    """The next step by the stored sessions; it is remembered, and the share stays as it is (AD-16)."""
    del body
    return control.evaluate(db, rollout, actor=actor, now=now)


@router.post("/{rollout}/apply", response_model=RolloutOut)
def apply(db: DbWrite, actor: AsDeveloper, now: Now, rollout: str, body: ApplyIn) -> RolloutOut:
    """Carry out the last evaluation: raise the share, roll out, or take the traffic back (AD-11, AD-14)."""
    return control.apply(db, rollout, body, actor=actor, now=now)


@router.post("/{rollout}/stop", response_model=RolloutOut)
def stop(db: DbWrite, actor: AsDeveloper, now: Now, rollout: str, body: StopIn) -> RolloutOut:
    """Take all traffic back for good."""
    return control.stop(db, rollout, body, actor=actor, now=now)


@router.post("/{rollout}/assign", response_model=AssignOut)
def assign_user(db: DbWrite, actor: AsDeveloper, now: Now, rollout: str, body: AssignIn) -> AssignOut:
    """The arm of a user, the same at every call; a raised share moves control users only (AD-02)."""
    del actor
    return control.assign(db, rollout, body, now=now)


@router.post("/{rollout}/sessions", response_model=SessionsOut)
def record_sessions(db: DbWrite, actor: AsDeveloper, now: Now, rollout: str, body: SessionsIn) -> SessionsOut:
    """Sessions of assigned users; one that was sent before counts once (AD-05)."""
    del actor
    return control.record_sessions(db, rollout, body, now=now)
