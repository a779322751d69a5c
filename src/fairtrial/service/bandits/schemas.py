"""Bodies of the routes of bandits (XC-40, AD-17, AD-18)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from fairtrial.service.bodies import Body, Time, UnitId

DecisionId = Annotated[str, Field(min_length=1, max_length=64)]
Number = Annotated[float, Field(ge=-1e15, le=1e15)]
Status = Literal["running", "paused", "stopped"]
Reason = Annotated[str, Field(min_length=1, max_length=1_000)]


class BanditIn(Body):
    """A new bandit."""

    spec: dict[str, Any]
    """As in its file: `kind: bandit`, `key`, `arms` and what else is said."""


class ActedOut(BaseModel):
    """A constraint that acted."""

    constraint: str
    arm: str | None
    text: str


class PeriodOut(BaseModel):
    """One period."""

    period: int
    started_at: Time
    allocation: dict[str, float]
    """Share of decisions by arm, the fixed slice included; with a contextual policy, of decisions that its models do not rule."""
    wanted: dict[str, float] | None
    """What the policy wanted before any constraint."""
    explanation: list[ActedOut]
    """Constraints that acted; empty: the policy got what it wanted."""
    held: dict[str, Literal["floor", "out"]]
    """Arms that a guardrail holds down."""
    trust: float
    """Share of the adaptive part that a contextual policy's models rule."""
    decisions: dict[str, int]
    rewards: dict[str, int]


class BanditOut(BaseModel):
    """Where a bandit stands."""

    key: str
    status: Status
    period: int
    allocation: dict[str, float]
    explanation: list[ActedOut]
    next_update_at: Time
    reason: str
    final_arm: str | None
    created_at: Time
    updated_at: Time
    updated_by: str
    spec_hash: str


class BanditList(BaseModel):
    """Bandits, by key."""

    items: list[BanditOut]


class BanditDetail(BanditOut):
    """A bandit with its spec and every period."""

    spec: dict[str, Any]
    history: list[PeriodOut]


class DecideIn(Body):
    """Who needs an arm."""

    unit: UnitId
    context: dict[str, Number] | None = None
    """Numbers of the context, for contextual policies."""


class DecideManyIn(Body):
    """Several units at once."""

    decisions: Annotated[list[DecideIn], Field(min_length=1, max_length=1_000)]


class DecideOut(BaseModel):
    """A unit's arm."""

    unit: str
    arm: str
    propensity: float | None
    """The probability that it had; null once the bandit is stopped."""
    decision_id: str | None
    """By which its reward is reported; null once the bandit is stopped, for nothing is learnt any more."""
    period: int


class DecideManyOut(BaseModel):
    """Arms in the order in which they were asked for."""

    decisions: list[DecideOut]


class RewardIn(Body):
    """What a decision earned."""

    decision_id: DecisionId
    reward: Number
    metrics: Annotated[dict[str, Number], Field(max_length=50)] = Field(default_factory=dict[str, float])
    """Values of the metrics that guardrails watch."""


class RewardsIn(Body):
    """Rewards; they may come late and more than once."""

    rewards: Annotated[list[RewardIn], Field(min_length=1, max_length=10_000)]


class RewardsOut(BaseModel):
    """What was kept."""

    stored: int
    duplicates: int
    """Kept before with the same value."""
    conflicting: list[str]
    """Decisions that had another reward before, which stays."""
    unknown: list[str]
    """Ids that are no decision of this bandit."""


class UpdatedOut(BanditOut):
    """A bandit after an update was asked for."""

    updated: bool
    """Whether a new period began; false when none was due, or another process was first."""
    detail: str


class ChangeIn(Body):
    """Why a bandit is paused, resumed or stopped."""

    reason: Reason
    arm: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """`stop`: the arm that everybody gets from now on; default: the control."""


class OffPolicyIn(Body):
    """Another policy."""

    shares: Annotated[dict[str, Annotated[float, Field(ge=0, le=1)]], Field(max_length=64)]
    """Probability of each arm; arms that are not named get 0."""
    clip: Annotated[float, Field(gt=0)] | None = None
    """Largest weight of the clipped estimate."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05


class OffPolicyOut(BaseModel):
    """What the log says of it."""

    shares: dict[str, float]
    n: int
    estimates: dict[str, Any]
    """`dr`, `snips`, `ips` and, if asked for, `clipped_ips`: value, standard error, interval."""
    against_control: dict[str, Any]
    """The same policy minus always the control, row by row."""
    diagnostics: dict[str, Any]
    """Of the weights; read them first."""


class ResultsOut(BaseModel):
    """What is known of the arms."""

    key: str
    status: Status
    reward: dict[str, Any]
    alpha: float
    n: int
    """Decisions whose reward is known."""
    decisions: int
    arms: dict[str, Any]
    """Mean reward by arm, corrected for adaptation; `naive` is the plain mean, which is biased."""
    contrasts: list[dict[str, Any]]
    """Each arm minus the control: `adaptive`, `over_time`, and `fixed`, the fixed slice's plain difference."""
    periods: list[dict[str, Any]]
    best_arm: dict[str, Any]
    allocation: dict[str, float]
