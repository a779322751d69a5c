"""Experiments of models: registered, listed, paused, stopped, begun again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Literal

import msgspec
from sqlalchemy.orm import Session

from fairtrial.service.access.roles import Actor
from fairtrial.service.models.schemas import ModelExperimentIn, ModelExperimentList, ModelExperimentOut, StoppedOut
from fairtrial.service.settings import Settings
from fairtrial.serving.desk import change_rollout, register
from fairtrial.serving.live_guardrails import LiveMonitor, WatchReading
from fairtrial.serving.rollout import Evidence, RolloutState, allocation_at, approve, began_at, pause, restart, resume, stop
from fairtrial.serving.shadow_tally import ShadowTally, summed_tallies, worst_gate
from fairtrial.spec.model_file import ModelExperiment, parse_model_experiment
from fairtrial.storage.deployments import evidence_of, get_deployment, list_deployments
from fairtrial.storage.predictions import count_comparisons
from fairtrial.storage.tables import ModelDeployment

Change = Literal["stop", "pause", "resume", "approve", "restart"]


def create(session: Session, body: ModelExperimentIn, *, actor: Actor, now: dt.datetime) -> ModelExperimentOut:
    """Begin an experiment at its first stage.

    Raises:
        SpecError: A rule of the spec is broken.
        ConflictError: There is one of that name.
    """
    served = parse_model_experiment(body.spec)
    return shown(register(session, served, by=actor.name, role=actor.role.name, now=now))


def listed(session: Session) -> ModelExperimentList:
    """Every experiment of models."""
    return ModelExperimentList(items=[shown(row) for row in list_deployments(session)])


def shown(row: ModelDeployment) -> ModelExperimentOut:
    """An experiment as it is answered."""
    served, state = served_of(row), state_of(row)
    return ModelExperimentOut(
        experiment_name=row.name,
        status=state.status,
        stage=served.serving.rollout.steps[state.stage].name,
        share=state.share,
        traffic_allocation=shares_of(served, state),
        reason=state.reason,
        epoch=state.epoch,
        entered_at=dt.datetime.fromisoformat(state.entered_at),
        updated_at=row.updated_at,
        updated_by=row.updated_by,
        history=[asdict(event) for event in state.history],
    )


def served_of(row: ModelDeployment) -> ModelExperiment:
    """The experiment of a row."""
    return _parsed(msgspec.json.encode(row.spec_json, order="sorted"))


@lru_cache(maxsize=64)
def _parsed(text: bytes) -> ModelExperiment:
    spec: Any = msgspec.json.decode(text)
    return parse_model_experiment(spec)


def state_of(row: ModelDeployment) -> RolloutState:
    """The state of a row."""
    return RolloutState.from_json(row.state_json)


def shares_of(served: ModelExperiment, state: RolloutState) -> dict[str, float]:
    """Share of traffic by model now."""
    return allocation_at(served.config.champion_model, served.config.traffic_allocation, state.share)


def change(session: Session, name: str, action: Change, reason: str, *, actor: Actor, now: dt.datetime, settings: Settings) -> StoppedOut:
    """Stop, pause, resume, approve or restart a rollout.

    Raises:
        UnknownNameError: There is none of that name.
        ConflictError: Its state does not allow it.
    """
    row = get_deployment(session, name, lock=True)
    served = served_of(row)
    stages = served.serving.rollout.steps

    def step(state: RolloutState) -> RolloutState:
        if action in {"approve", "resume"}:
            seen = evidence(session, served, state, now=now)
            return {"approve": approve, "resume": resume}[action](state, stages, seen, reason, now=now, by=actor.name)
        moves: dict[str, Callable[..., RolloutState]] = {"stop": stop, "pause": pause, "restart": restart}
        return moves[action](state, stages, reason, now=now, by=actor.name)

    targets = tuple(sorted(settings.alert_targets))
    after = change_rollout(session, served, step, by=actor.name, role=actor.role.name, now=now, targets=targets)
    return StoppedOut(
        experiment_name=name,
        status=after.status,
        traffic_allocation=shares_of(served, after),
        stage=stages[after.stage].name,
        reason=after.reason,
    )


def watched(session: Session, served: ModelExperiment, state: RolloutState, *, now: dt.datetime) -> WatchReading:
    """The live guardrails by what all processes have counted in this epoch."""
    columns = served.serving.features.segments
    monitor = LiveMonitor(served.config, served.serving.rollout.watch, began_at(state), columns)
    for counts in parts_of(session, served, state):
        monitor.add(counts)
    return monitor.check(now, shares_of(served, state))


def evidence(session: Session, served: ModelExperiment, state: RolloutState, *, now: dt.datetime) -> Evidence:
    """What is known of a rollout, of the guardrails and the shadow."""
    reading = watched(session, served, state, now=now)
    tallies = summed_tallies(parts_of(session, served, state))
    return Evidence(
        requests=reading.requests,
        compared=sum(tally.compared for tally in tallies.values()),
        guardrails=reading.status,
        guardrail_reason=reading.reason,
        shadow=worst_gate(tallies.values(), served.serving.shadow.limit),
    )


def parts_of(session: Session, served: ModelExperiment, state: RolloutState) -> list[dict[str, Any]]:
    """What each process has counted in this epoch."""
    return [counts for holder, counts in evidence_of(session, served.config.name).items() if holder.startswith(f"{state.epoch}:")]


def tally_of(session: Session, served: ModelExperiment, challenger: str | None = None) -> ShadowTally:
    """Comparisons of an experiment, of one challenger or of all, from the stored log."""
    return ShadowTally(**count_comparisons(session, served.config.name, challenger))
