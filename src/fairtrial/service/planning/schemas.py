"""Bodies of the planning routes (HO-11, HO-12, HO-30..HO-34, HO-45)."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from fairtrial.errors import UsageError
from fairtrial.service.bodies import Body, Share, Text, Time, iso
from fairtrial.service.population.schemas import Channel

Capability = Literal["planner_ready", "manual_only", "not_supported"]
Readiness = Literal["ready_to_launch", "needs_more_volume", "insufficient_signal", "no_data"]
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _through_the_day(value: object) -> object:
    """A bare date as the last moment of that day, so that a period includes its last day."""
    if isinstance(value, str) and DATE.fullmatch(value.strip()):
        return f"{value.strip()}T23:59:59.999999Z"
    return value


PeriodEnd = Annotated[Time, BeforeValidator(_through_the_day)]
"""The end of a period, itself included; a bare date means the whole day."""

Mde = Annotated[float, Field(gt=-1, lt=1)]
"""Effect to detect, signed, in points of the rate."""

Alpha = Annotated[float, Field(gt=0, lt=1)]
Power = Annotated[float, Field(gt=0, lt=1)]


def check_target(baseline_rate: float, mde: float) -> None:
    """A baseline and an effect give a rate, and another one.

    Raises:
        ValueError: They do not.
    """
    reached = baseline_rate + mde
    if mde == 0 or reached == baseline_rate:
        raise ValueError(f"mde must be an effect, not 0, got {mde:g}")
    if not 0 < reached < 1:
        raise ValueError(f"baseline_rate + mde must lie in (0, 1), got {reached:g}")


class PowerRequest(Body):
    """What a plan is made of."""

    baseline_rate: Share
    mde: Mde
    alpha: Alpha = 0.05
    power: Power = 0.8
    treatment_rate: Share = 0.5

    @model_validator(mode="after")
    def _is_plan(self) -> PowerRequest:
        check_target(self.baseline_rate, self.mde)
        if self.power <= self.alpha:
            raise ValueError(f"power must lie between alpha and 1, got {self.power:g} with alpha {self.alpha:g}")
        return self


class PowerOut(BaseModel):
    """How many profiles a plan calls for, each group rounded up."""

    total_sample_size: int
    treatment_size: int
    control_size: int
    baseline_rate: float
    mde: float
    alpha: float
    power: float
    treatment_rate: float
    method: Literal["pooled_z"] = "pooled_z"


class MdeRow(BaseModel):
    """One line of the guidance table; without sizes where the baseline cannot change by so much."""

    baseline_rate: float
    mde: float
    total_sample_size: int | None
    per_group: int | None
    reason: str | None = None


class MdeTable(BaseModel):
    """Profiles for equal groups, by baseline and effect."""

    rows: list[MdeRow]
    alpha: float
    power: float


class Candidate(BaseModel):
    """A share of treated profiles, and what it costs."""

    treatment_rate: float
    total_sample_size: int
    runtime_days: int


class Signal(BaseModel):
    """What a recommendation rests on."""

    source: Literal["request", "touchpoints", "request and touchpoints"]
    baseline_rate: float | None
    daily_profiles: float | None
    days: float
    """Days over which profiles, journeys and conversions were counted or, out of the request alone, are expected."""
    profiles: float | None
    journeys: int | None
    conversions: float | None


class DesignOut(BaseModel):
    """A recommended design; null with reasons where nothing can be recommended."""

    readiness: Readiness
    recommended: Candidate | None
    candidates: list[Candidate]
    min_runtime_days: int
    reasons: list[str]
    channel: str
    capability: Capability
    source: Literal["owned", "observed"]
    mde: float
    alpha: float
    power: float
    signal: Signal


class ChannelContext(BaseModel):
    """One channel over the period."""

    channel: str
    capability: Capability
    source: Literal["owned", "observed"]
    journeys: int
    profiles: int
    conversions: int
    """Distinct profiles that converted within the channel's window after their first contact."""
    baseline_rate: float | None
    """Of all profiles with a contact, converters or not; null without a KPI."""
    eligible: bool
    reason: str | None
    provenance: Literal["touchpoints"] = "touchpoints"
    conversion_window_days: float
    treatment_rate: float
    min_runtime_days: int
    """Suggested for this channel."""


class PlanDefaults(BaseModel):
    """What a form starts from."""

    treatment_rate: float
    min_runtime_days: int
    alpha: float
    power: float
    mde: float


class SetupContext(BaseModel):
    """What a form can offer."""

    channels: list[ChannelContext]
    kpis: list[str]
    defaults: PlanDefaults
    warnings: list[str]
    kpi: str | None
    """The KPI that conversions and baselines are of."""
    date_from: Time
    date_to: Time
    data_source: Literal["storage"] = "storage"


class AutoAssignRequest(Body):
    """Whom to assign: everybody that a channel touched in a period, both ends included."""

    channel: Channel
    start_date: Time
    end_date: PeriodEnd
    treatment_rate: Share | None = None
    """Default: the experiment's own, else 0.5."""

    @model_validator(mode="after")
    def _is_period(self) -> AutoAssignRequest:
        check_period("start_date", self.start_date, "end_date", self.end_date)
        return self


def check_period(first: str, since: dt.datetime, second: str, until: dt.datetime) -> None:
    """A period does not end before it begins.

    Raises:
        ValueError: It does.
    """
    if until < since:
        raise ValueError(f"{second} must not come before {first}, got {iso(since)} and {iso(until)}")


RequestT = TypeVar("RequestT", bound=Body)


def as_request(form: type[RequestT], given: dict[str, Any]) -> RequestT:
    """A request out of arguments, held to the rules of the one that comes over HTTP.

    Raises:
        UsageError: An argument breaks a rule.
    """
    try:
        return form.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{place}: {said}." if place else f"{said}.") from error


class AutoAssignOut(BaseModel):
    """Distinct profiles by stored group; never an estimate of an effect."""

    treatment: int
    control: int
    total: int
    causal: Literal[False] = False
    note: str
    new: int
    existing: int
    excluded: dict[str, int]


class DuplicateRequest(Body):
    """A new draft out of an experiment."""

    name: Text | None = None
    """Default: the name with ` (copy)`."""
    key: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    start_at: Time | None = None
    """Default: the original's dates while they lie ahead, else none."""
    end_at: Time | None = None


class DuplicateOut(BaseModel):
    """The new draft."""

    id: int
    key: str
    name: str
    status: Literal["draft"]
    duplicated_from: int


class SampleHealth(BaseModel):
    """Profiles that an analysis counts, and how many each group needs."""

    treatment: int
    control: int
    min_assignments: int
    min_conversions: int


class ExposureHealth(BaseModel):
    """Distinct profiles with an exposure."""

    treatment_profiles: int
    control_profiles: int


class OutcomeHealth(BaseModel):
    """Distinct converters, and outcomes that do not count."""

    profiles: int
    unassigned: int
    before_assignment: int
    after_window: int
    treatment_profiles: int
    control_profiles: int


class BalanceHealth(BaseModel):
    """Sizes of the groups against the plan."""

    expected_share: float | None
    observed_share: float | None
    chi_square: float | None
    p_value: float | None
    status: Literal["ok", "warning", "mismatch", "skipped"]
    reason: str


class Completeness(BaseModel):
    """Whether each kind of data arrives; `low` is less than the minimum in a group."""

    assignments: Literal["ok", "low", "missing"]
    exposures: Literal["ok", "missing"]
    outcomes: Literal["ok", "missing"]


class Overlap(BaseModel):
    """Other running experiments on the channel."""

    running_on_channel: int
    status: Literal["ok", "warn"]


class PlanProgress(BaseModel):
    """How much of the plan is there; null without a plan."""

    planned_total: int | None
    progress: float | None
    reason: Literal["no_plan"] | None = None


class Runtime(BaseModel):
    """Whole days since units are observed; null before."""

    days: int | None
    min_days: int
    status: Literal["ok", "warn", "not_started"]


class LaunchReadiness(BaseModel):
    """Whether it may start; only blockers forbid it."""

    status: Literal["ready", "manual_review", "blocked"]
    blockers: list[str]
    warnings: list[str]
    tracking_gaps: list[str]


class ReadyState(BaseModel):
    """Whether a result may be read."""

    status: Literal["not_ready", "early", "ready"]
    reasons: list[str]


class HealthOut(BaseModel):
    """How an experiment is doing, apart from its effect (HO-33)."""

    experiment_id: int
    sample: SampleHealth
    exposures: ExposureHealth
    outcomes: OutcomeHealth
    balance: BalanceHealth
    data_completeness: Completeness
    overlap_risk: Overlap
    plan: PlanProgress
    runtime: Runtime
    launch_readiness: LaunchReadiness
    ready_state: ReadyState
