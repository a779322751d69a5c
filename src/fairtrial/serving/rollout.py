"""Where a rollout stands, and the one step it may take: a pure state machine.

A challenger gets more traffic only when it has stayed long enough, answered enough, its guardrails hold and
the stage's gate is open; unknown is never open. A breach takes all traffic from it at once, and nothing
but a person who gives a reason gives any back.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from fairtrial.assignment.model_traffic import ModelTraffic
from fairtrial.assignment.ranges import Segment
from fairtrial.errors import ConflictError, UsageError
from fairtrial.serving.records import iso
from fairtrial.spec.model_experiment import ExperimentConfig
from fairtrial.spec.stages import Stage

Status = Literal["running", "paused", "stopped", "completed"]
GuardrailStatus = Literal["ok", "breach", "insufficient", "no_data"]
ShadowGate = Literal["ok", "diverging", "inconclusive"]

LAUNCHES = ("STRONG_LAUNCH", "LAUNCH")
HARM = "ROLLBACK"
"""A verdict that stops in any stage; those of `REFUSALS` stop where a verdict is waited for."""
REFUSALS = (HARM, "NO_LAUNCH")
LONGEST_HISTORY = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a step may rest on.

    Attributes:
        requests: Requests that challengers have answered in all.
        compared: Comparisons in the shadow in all.
        guardrails: Their worst status.
        guardrail_reason: Of a breach, in a sentence.
        shadow: What the shadow's gate says; None without comparisons.
        verdict: The analysis' latest verdict; None when there is none.
        epoch: Of the state that it was gathered for; None: of the one at hand.
    """

    requests: int = 0
    compared: int = 0
    guardrails: GuardrailStatus = "insufficient"
    guardrail_reason: str = ""
    shadow: ShadowGate | None = None
    verdict: str | None = None
    epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A change of the state: when, what, why, and who did it."""

    at: str
    what: str
    stage: str
    share: float
    reason: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """Where a rollout stands.

    Attributes:
        status: `running`; `paused`: it stays where it is; `stopped`: challengers get nothing; `completed`: the last stage is passed.
        stage: Index of the stage.
        share: Share of the traffic that challengers get now.
        entered_at: When this stage began, ISO 8601.
        requests_at_entry: Challenger requests, or comparisons in the shadow, when it began.
        reason: Why it is as it is.
        epoch: How often it was begun; evidence of an earlier epoch does not count.
        ranges: Who owns which buckets while challengers get anything, as (first, end, model); empty for the declared layout.
        history: Every change, the oldest first, at most 200.
    """

    status: Status
    stage: int
    share: float
    entered_at: str
    requests_at_entry: int = 0
    reason: str = ""
    epoch: int = 1
    ranges: tuple[tuple[int, int, str], ...] = ()
    history: tuple[Event, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The state as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> RolloutState:
        """The state from its JSON."""
        plain: dict[str, Any] = dict(given)
        plain["ranges"] = tuple((int(low), int(high), str(model)) for low, high, model in given["ranges"])
        plain["history"] = tuple(Event(**event) for event in given["history"])
        return cls(**plain)

    @property
    def mirrors(self) -> bool:
        """Whether requests are mirrored at all: not offline, nor after a stop."""
        return self.status != "stopped"


def begin(stages: Sequence[Stage], *, now: dt.datetime, by: str, epoch: int = 1, reason: str = "begun") -> RolloutState:
    """The state at the start: the first stage."""
    first = stages[0]
    empty = RolloutState(status="running", stage=0, share=first.share, entered_at=iso(now), epoch=epoch)
    return _noted(empty, first, "started", reason, now=now, by=by)


def began_at(state: RolloutState) -> dt.datetime:
    """When the present epoch began: what was seen before does not count."""
    return dt.datetime.fromisoformat(next(event.at for event in reversed(state.history) if event.what == "started"))


def advance(state: RolloutState, stages: Sequence[Stage], evidence: Evidence, *, now: dt.datetime) -> RolloutState:
    """The state after a check: stopped by a breach, a stage further, or as it was.

    A breach stops whatever is not stopped: a paused or completed rollout too, and one whose challengers have no traffic yet.

    Args:
        state: Before.
        stages: Of the spec.
        evidence: What was seen.
        now: The moment.

    Returns:
        The state; the same object when nothing changed.
    """
    if evidence.epoch is not None and evidence.epoch != state.epoch:
        return state
    if evidence.guardrails == "breach":
        return stop(state, stages, evidence.guardrail_reason or "a guardrail is broken", now=now, by="guardrails")
    if state.status != "running":
        return state
    stage = stages[state.stage]
    if evidence.verdict == HARM or (stage.opens_by == "verdict" and evidence.verdict in REFUSALS):
        return stop(state, stages, f"the verdict is {evidence.verdict}", now=now, by="verdict")
    if waiting_for(state, stages, evidence, now=now):
        return state
    return _next(state, stages, evidence, "its gate opened", now=now, by="controller")


def waiting_for(state: RolloutState, stages: Sequence[Stage], evidence: Evidence, *, now: dt.datetime) -> list[str]:
    """What keeps a running rollout in its stage, a sentence each; empty when nothing does."""
    stage = stages[state.stage]
    waits: list[str] = []
    minutes = (now - dt.datetime.fromisoformat(state.entered_at)).total_seconds() / 60.0
    if minutes < stage.min_minutes:
        waits.append(f"{stage.min_minutes - minutes:.1f} of {stage.min_minutes:g} minutes are left")
    seen = (evidence.compared if stage.kind == "shadow" else evidence.requests) - state.requests_at_entry
    if stage.kind != "offline" and seen < stage.min_requests:
        what = "comparisons" if stage.kind == "shadow" else "challenger requests"
        waits.append(f"{max(seen, 0)} of {stage.min_requests} {what} were seen")
    if stage.share > 0.0 and evidence.guardrails != "ok":
        waits.append(f"guardrails say {evidence.guardrails}")
    gate = stage.opens_by
    if gate == "approval":
        waits.append("a person must let it through")
    elif gate == "shadow" and evidence.shadow != "ok":
        waits.append(f"the shadow says {evidence.shadow or 'nothing yet'}")
    elif gate == "verdict" and evidence.verdict not in LAUNCHES:
        waits.append(f"the verdict is {evidence.verdict or 'not there yet'}")
    return waits


def approve(state: RolloutState, stages: Sequence[Stage], evidence: Evidence, reason: str, *, now: dt.datetime, by: str) -> RolloutState:
    """One stage further by a person's word; guardrails are not overruled.

    Raises:
        ConflictError: It is not running or paused, or a guardrail is broken or says nothing.
        UsageError: There is no reason.
    """
    _needs(state, ("running", "paused"), "approved")
    if evidence.guardrails == "breach" or (state.share > 0.0 and evidence.guardrails == "no_data"):
        raise ConflictError(f"A rollout goes on only while its guardrails are known to hold; they say {evidence.guardrails}.")
    return _next(replace(state, status="running"), stages, evidence, _reason(reason), now=now, by=by)


def pause(state: RolloutState, stages: Sequence[Stage], reason: str, *, now: dt.datetime, by: str) -> RolloutState:
    """Stay in this stage, with its share, until resumed; guardrails go on watching.

    Raises:
        ConflictError: It is not running.
    """
    _needs(state, ("running",), "paused")
    return _noted(replace(state, status="paused"), stages[state.stage], "paused", _reason(reason), now=now, by=by)


def resume(state: RolloutState, stages: Sequence[Stage], evidence: Evidence, reason: str, *, now: dt.datetime, by: str) -> RolloutState:
    """Go on after a pause; the stay in the stage begins anew.

    Raises:
        ConflictError: It is not paused.
    """
    _needs(state, ("paused",), "resumed")
    stage = stages[state.stage]
    going = replace(state, status="running", entered_at=iso(now), requests_at_entry=_seen(stage, evidence))
    return _noted(going, stage, "resumed", _reason(reason), now=now, by=by)


def stop(state: RolloutState, stages: Sequence[Stage], reason: str, *, now: dt.datetime, by: str) -> RolloutState:
    """All traffic to the champion, for good; stopping twice is no error."""
    if state.status == "stopped":
        return state
    stopped = replace(state, status="stopped", share=0.0, reason=reason)
    return _noted(stopped, stages[state.stage], "stopped", _reason(reason), now=now, by=by)


def restart(state: RolloutState, stages: Sequence[Stage], reason: str, *, now: dt.datetime, by: str) -> RolloutState:
    """Begin at the first stage again, with evidence counted anew; a person's decision.

    Raises:
        ConflictError: It is neither stopped nor completed.
        UsageError: There is no reason.
    """
    _needs(state, ("stopped", "completed"), "restarted")
    again = begin(stages, now=now, by=by, epoch=state.epoch + 1, reason=_reason(reason))
    return replace(again, history=_kept((*state.history, *again.history)))


def analysis_phase(state: RolloutState, guardrails: GuardrailStatus) -> Literal["pass", "fail", "inconclusive"]:
    """The answer for a deployment tool that asks whether to go on (Argo Rollouts, Flagger)."""
    if state.status == "stopped" or guardrails == "breach":
        return "fail"
    return "pass" if guardrails == "ok" or state.status == "completed" else "inconclusive"


def traffic_of(config: ExperimentConfig, state: RolloutState) -> ModelTraffic:
    """Who owns which buckets in a state; while challengers get nothing the router is shut, and the layout stays for later."""
    declared = ModelTraffic.laid_out(config.champion_model, config.traffic_allocation)
    if not state.ranges:
        return declared
    return replace(declared, ranges=tuple(Segment(low, high, model) for low, high, model in state.ranges))


def with_ranges(state: RolloutState, config: ExperimentConfig) -> RolloutState:
    """The state with buckets for its share, moved from those it has: a ramp moves users from the champion to a challenger only.

    The layout must be kept and not made anew from the share, for with several challengers it depends on the way there.
    """
    if state.share == 0.0:
        return state
    before = traffic_of(config, state)
    after = before.reallocated(allocation_at(config.champion_model, config.traffic_allocation, state.share))
    return replace(state, ranges=tuple((part.low, part.high, part.arm) for part in after.ranges))


def allocation_at(champion: str, allocation: Mapping[str, float], share: float) -> dict[str, float]:
    """Shares of all models when challengers get `share` together, each in proportion to its part of the declared allocation.

    Args:
        champion: The model in use.
        allocation: Declared shares, in order.
        share: Of all challengers, a multiple of 0.0001.

    Returns:
        Multiples of 0.0001 that sum to 1, in the same order; what rounding leaves goes to the largest remainders.
    """
    challengers = {model: part for model, part in allocation.items() if model != champion}
    total = sum(challengers.values())
    weights = {model: part / total if total else 1.0 / len(challengers) for model, part in challengers.items()}
    parts = round(share * 10_000)
    floors = {model: int(weight * parts + 1e-9) for model, weight in weights.items()}
    rest = sorted(weights, key=lambda model: floors[model] - weights[model] * parts)[: parts - sum(floors.values())]
    counts = {model: floors[model] + (model in rest) for model in floors}
    return {model: (10_000 - parts if model == champion else counts[model]) / 10_000 for model in allocation}


def _next(state: RolloutState, stages: Sequence[Stage], evidence: Evidence, reason: str, *, now: dt.datetime, by: str) -> RolloutState:
    if state.stage + 1 == len(stages):
        return _noted(replace(state, status="completed"), stages[state.stage], "completed", reason, now=now, by=by)
    stage = stages[state.stage + 1]
    moved = replace(
        state, stage=state.stage + 1, share=stage.share, entered_at=iso(now), requests_at_entry=_seen(stage, evidence), reason=reason
    )
    return _noted(moved, stage, "advanced", reason, now=now, by=by)


def _seen(stage: Stage, evidence: Evidence) -> int:
    return evidence.compared if stage.kind == "shadow" else evidence.requests


def _noted(state: RolloutState, stage: Stage, what: str, reason: str, *, now: dt.datetime, by: str) -> RolloutState:
    event = Event(at=iso(now), what=what, stage=stage.name, share=state.share, reason=reason, by=by)
    return replace(state, reason=reason, history=_kept((*state.history, event)))


def _kept(history: tuple[Event, ...]) -> tuple[Event, ...]:
    """The latest events, and the latest start, from which windows are counted."""
    if len(history) <= LONGEST_HISTORY:
        return history
    start = max(place for place, event in enumerate(history) if event.what == "started")
    recent = len(history) - LONGEST_HISTORY
    return history[recent:] if start >= recent else (history[start], *history[recent + 1 :])


def _needs(state: RolloutState, statuses: tuple[Status, ...], done: str) -> None:
    if state.status not in statuses:
        hint = "Restart it, with a reason." if state.status == "stopped" else ""
        raise ConflictError(f"A rollout that is {' or '.join(statuses)} can be {done}; this one is {state.status}.", hint=hint)


def _reason(given: str) -> str:
    text = given.strip()
    if not text:
        raise UsageError("A change of a rollout needs a reason, got none.")
    return text[:1_000]
