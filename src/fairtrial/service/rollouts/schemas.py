"""Bodies of the routes of rollouts (AD-16)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fairtrial.decisions.ramp_evidence import LADDER
from fairtrial.service.bodies import Body, Text, Time, UnitId

Number = Annotated[float, Field(ge=-1e15, le=1e15)]
Positive = Annotated[float, Field(ge=0, le=1e15)]
Fraction = Annotated[float, Field(ge=0, le=1e6)]
Users = Annotated[int, Field(ge=0, le=1_000_000_000_000)]
Days = Annotated[int, Field(ge=1, le=366)]
Stage = Annotated[float, Field(gt=0, le=1)]
Way = Literal["lower", "higher"]
Level = Literal["low", "medium", "high"]
Spending = Literal["lan_demets_obrien_fleming", "lan_demets_pocock"]
Preset = Literal["safe", "neutral", "explore"]
Step = Literal["CONTINUE", "RAMP_UP", "ROLLOUT", "HOLD", "ROLLBACK"]
Status = Literal["running", "rolled_out", "rolled_back", "stopped"]


class MeanArmIn(Body):
    """A mean over users."""

    n: Users
    mean: Number
    sd: Positive


class RateArmIn(Body):
    """A rate over users."""

    n: Users
    events: Users


class PrimaryIn(Body):
    """The primary metric, summarised by arm."""

    metric: Text
    direction: Way
    practical_threshold: Fraction = 0.0
    """Smallest relative improvement worth a rollout."""
    strong_threshold: Fraction | None = None
    """Relative improvement that makes it a strong one."""
    control: MeanArmIn
    treatment: MeanArmIn


class GuardrailBase(Body):
    """What all guardrails declare."""

    metric: Text
    direction: Way
    margin: Positive | None = None
    """Harm tolerated, in the metric's unit."""
    max_value: Number | None = None
    """Limit of the treatment's own value."""
    min_n: Users = 100
    """Users an arm must have before the guardrail says anything."""


class MeanGuardrailIn(GuardrailBase):
    """A guardrail on a mean; without arms it has no data."""

    kind: Literal["mean"]
    control: MeanArmIn | None = None
    treatment: MeanArmIn | None = None


class RateGuardrailIn(GuardrailBase):
    """A guardrail on a rate of users; without arms it has no data."""

    kind: Literal["proportion"]
    control: RateArmIn | None = None
    treatment: RateArmIn | None = None


GuardrailIn = Annotated[MeanGuardrailIn | RateGuardrailIn, Field(discriminator="kind")]


class Limits(Body):
    """The rules of time, error and speed."""

    min_days: Days = 7
    """Days before anything may be concluded but harm."""
    max_days: Days = 14
    """Days after which the test ends."""
    min_stage_days: Annotated[int, Field(ge=0, le=366)] = 1
    """Days in a stage before the next."""
    alpha: Annotated[float, Field(ge=1e-6, le=0.5)] = 0.05
    """Two-sided error rate of the primary metric over all looks."""
    spending: Spending = "lan_demets_obrien_fleming"
    """How it is spent."""
    first_look_day: Days | None = None
    """Day of the first look; default `min_days`."""
    kill_threshold: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Relative worsening at which traffic is taken back though the data cannot be trusted."""
    preset: Preset | None = None
    """How fast traffic may move; the three limits below replace its own."""
    min_trials: Users | None = None
    """Users of the treatment in a stage before the next."""
    max_step: Stage | None = None
    """Largest raise of the share at one update."""
    min_weight: Annotated[float, Field(ge=0, lt=0.5)] | None = None
    """Smallest share either arm keeps until the rollout is decided."""


class DecideIn(Limits):
    """Summary statistics of a rollout."""

    stage: Stage
    """Share of the treatment now."""
    next_stage: Stage | None = None
    """Share of the next stage."""
    day: Annotated[int, Field(ge=0, le=100_000)]
    """Days complete."""
    stage_days: Annotated[int, Field(ge=0, le=100_000)]
    """Days in this stage."""
    look_days: Annotated[list[Days], Field(max_length=366)] | None = None
    """Days of the looks taken before; default one a day from the first on."""
    information: Annotated[float, Field(ge=1e-6, le=1)] | None = None
    """Share of the planned information; default day / max_days."""
    monitoring: Literal["fixed", "continuous"] = "fixed"
    """`continuous` where guardrails are read again and again."""
    daily_users: Positive | None = None
    """Users a day, for what a stop saves."""
    primary: PrimaryIn
    guardrails: Annotated[list[GuardrailIn], Field(max_length=50)] = Field(default_factory=list["MeanGuardrailIn | RateGuardrailIn"])


class AfterStopOut(BaseModel):
    """What may be said of the effect after a stop."""

    improvement_abs: float
    biased: Literal["away_from_zero"]
    median_unbiased: float
    ci_low: float
    ci_high: float
    p_value: float
    relative: float | None


class PrimaryOut(BaseModel):
    """The primary metric at this look; positive is better."""

    metric: str
    improvement_abs: float
    improvement: float | None
    std_error: float
    z: float
    boundary: float | None
    information: float
    look: int | None
    ci_low: float
    ci_high: float
    relative_ci_low: float | None
    relative_ci_high: float | None
    error_control: Literal["group_sequential", "always_valid"]
    crossed: bool
    after_stop: AfterStopOut | None


class GuardrailOut(BaseModel):
    """One guardrail; positive harm is worse."""

    metric: str
    status: Literal["PASS", "WARNING", "ALERT", "UNAVAILABLE"]
    harm: float | None
    ci_low: float | None
    ci_high: float | None
    margin: float | None
    non_inferior: bool | None
    reason: str


class RatioOut(BaseModel):
    """The sample-ratio check."""

    chi_square: float | None
    p_value: float | None
    status: Literal["ok", "warning", "mismatch", "skipped"]


class DecisionOut(BaseModel):
    """What to do now, and what it rests on; it changes nothing by itself."""

    decision: Step
    verdict: str | None
    state: Literal["valid", "invalid", "not_enough_data"]
    stage: float
    next_stage: float | None
    target_share: float
    """Share to go to if it is applied."""
    reasons: list[str]
    constraints: list[str]
    """Limits of adaptation that acted."""
    explanation: list[str]
    primary: PrimaryOut | None
    guardrails: list[GuardrailOut]
    overall: Literal["PASS", "WARNING", "ALERT", "UNAVAILABLE"] | None
    srm: RatioOut
    stop_day: int | None
    saved_user_days: float | None


class RolloutPrimaryIn(Body):
    """The primary metric of a rollout."""

    metric: Text = "task_completion_time"
    direction: Way | None = None
    """Default: the metric's own."""
    practical_threshold: Fraction = 0.0
    """Smallest relative improvement worth a rollout."""
    strong_threshold: Fraction | None = None
    """Relative improvement that makes it a strong one."""


class RolloutGuardrailIn(Body):
    """A guardrail of a rollout."""

    metric: Text
    direction: Way | None = None
    """Default: the metric's own."""
    margin: Positive | None = None
    """Harm tolerated, in the metric's unit: seconds, ms, or a fraction of sessions."""
    max_value: Number | None = None
    """Limit of the treatment's own value."""
    min_n: Users = 100
    """Users an arm must have before it says anything."""


class RolloutIn(Limits):
    """A new rollout."""

    name: Text
    stages: Annotated[list[Stage], Field(min_length=1, max_length=50)] = Field(default_factory=lambda: [*LADDER])
    """Shares of the treatment, rising."""
    seed: Annotated[int, Field(ge=0, le=2**53)] = 0
    """Of the bootstrap."""
    censor_seconds: Annotated[float, Field(gt=0, le=1e9)] = 90.0
    """What an unaccepted task counts as."""
    primary: RolloutPrimaryIn = RolloutPrimaryIn()
    guardrails: Annotated[list[RolloutGuardrailIn], Field(max_length=50)] = Field(default_factory=list[RolloutGuardrailIn])

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.name.isdecimal():
            raise ValueError("name must not be digits alone, ids are")
        return self


class EvaluationOut(BaseModel):
    """One evaluation, as it is remembered."""

    model_config = ConfigDict(extra="allow")

    evaluation: int
    """Its number, from 1."""
    day: int
    """Day under way, from 1."""
    complete_days: int
    stage: float
    decision: Step
    reasons: list[str]
    target_share: float
    at: str
    by: str
    applied: bool


class ShareOut(BaseModel):
    """A share and the moment from which it held."""

    share: float
    at: str
    by: str
    reason: str


class RolloutOut(BaseModel):
    """Where a rollout stands."""

    id: int
    name: str
    status: Status
    stage: float
    """Share of the treatment now."""
    next_stage: float | None
    settings: dict[str, Any]
    users: dict[str, int]
    """Assigned, by arm."""
    sessions: int
    history: list[EvaluationOut]
    shares: list[ShareOut]
    created_at: Time
    updated_at: Time
    updated_by: str


class RolloutMetricOut(BaseModel):
    """A metric over all days so far; the improvement is positive where the treatment is better."""

    metric: str
    role: Literal["primary", "secondary", "beside"]
    """`beside`: shown, and never decides."""
    control: float
    treatment: float
    improvement: float
    ci_low: float
    """Lower end of its 95% interval, by the studentised bootstrap of users, read once."""
    ci_high: float
    normal_ci_low: float
    normal_ci_high: float
    p_value: float
    p_adjusted: float | None
    """Of a secondary metric, corrected over all of them (Benjamini-Hochberg)."""
    n_control: int
    n_treatment: int
    method: str
    error_control: str


class RolloutLevelsOut(BaseModel):
    """The primary metric by engagement before the rollout, among the users of the present stage."""

    model_config = ConfigDict(extra="allow")

    levels: list[dict[str, Any]]


class RolloutResultsOut(BaseModel):
    """All metrics of a rollout; no decision rests on them but by `evaluate`."""

    name: str
    stage: float
    sessions: int
    resamples: int
    metrics: list[RolloutMetricOut]
    """Those that can be estimated; none without sessions of both arms."""
    segments: RolloutLevelsOut | None
    segments_reason: str | None
    """Why there are none."""


class RolloutItem(BaseModel):
    """A rollout in a list."""

    id: int
    name: str
    status: Status
    stage: float
    next_stage: float | None
    last_decision: Step | None
    updated_at: Time


class RolloutList(BaseModel):
    """Rollouts by id."""

    items: list[RolloutItem]
    total: int


class EvaluateIn(Body):
    """Nothing is needed: stored data are read."""


class RolloutDecisionOut(DecisionOut):
    """The decision of a rollout by its stored sessions."""

    evaluation: int
    """Its number, for `apply`."""
    day: int
    complete_days: int
    data_source: Literal["service"] = "service"


class AssignIn(Body):
    """Who asks."""

    user_id: UnitId
    engagement: Level | None = None
    """Before the rollout; kept at the first assignment, for segments."""


class AssignOut(BaseModel):
    """The arm of a user."""

    rollout: str
    user_id: str
    variant: Literal["control", "treatment"]
    stage: float
    new: bool
    """Whether the user was assigned just now."""


class SessionIn(Body):
    """One session of a user."""

    session_id: UnitId
    user_id: UnitId
    occurred_at: Time | None = None
    """Default: now."""
    task_completion_time: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """In seconds; of an accepted task alone."""
    accepted: bool
    latency_ms: Annotated[float, Field(ge=0, le=1e9)]
    error: bool = False

    @model_validator(mode="after")
    def _timed(self) -> Self:
        if self.accepted and self.task_completion_time is None:
            raise ValueError("an accepted task needs its task_completion_time")
        return self


class SessionsIn(Body):
    """Sessions; one that was sent before counts once."""

    sessions: Annotated[list[SessionIn], Field(min_length=1, max_length=10_000)]


class SessionsOut(BaseModel):
    """What became of them."""

    stored: int
    duplicates: int
    unassigned: int
    """Of users who were never assigned; they are not kept."""
    out_of_time: int
    """Before the rollout began, or later than now; they are not kept."""


class ApplyIn(Body):
    """Which evaluation is carried out."""

    evaluation: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Its number; default the last one."""
    reason: Annotated[str, Field(min_length=1, max_length=1_000)] = "applied as decided"


class StopIn(Body):
    """Why it is stopped."""

    reason: Annotated[str, Field(min_length=1, max_length=1_000)]
