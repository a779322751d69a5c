"""Bodies of the experiment routes (HO-01..HO-04)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from fairtrial.service.bodies import Body, Share, Text, Time, iso

Status = Literal["draft", "running", "stopped", "completed", "decided", "archived"]


LONGEST_WINDOW_DAYS = 3650


def check_policy(policy: dict[str, Any]) -> dict[str, Any]:
    """A policy whose conversion window, if it sets one, is a number of days.

    Raises:
        ValueError: It is not.
    """
    days = policy.get("conversion_window_days")
    if days is not None and (isinstance(days, bool) or not isinstance(days, int | float) or not 0 <= days <= LONGEST_WINDOW_DAYS):
        raise ValueError(f"conversion_window_days must lie in [0, {LONGEST_WINDOW_DAYS}], got {str(days)[:40]}")
    return policy


Policy = Annotated[dict[str, Any], AfterValidator(check_policy)]
"""Rules of an experiment; `conversion_window_days` is read."""


class PlanInputs(BaseModel):
    """What a plan is made of."""

    treatment_rate: Share | None = None
    """Share of profiles treated; default 0.5."""
    baseline_rate_estimate: Share | None = None
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    power: Annotated[float, Field(gt=0, lt=1)] = 0.8
    mde_target: Annotated[float, Field(gt=-1, lt=1)] | None = None
    """Effect to detect, signed, in points of the rate (0.01 is one percentage point)."""


class ExperimentCreate(Body, PlanInputs):
    """A holdout experiment as the form asks for it."""

    name: Text
    channel: Text | None = None
    start_at: Time | None = None
    end_at: Time | None = None
    conversion_key: Text | None = None
    notes: Annotated[str, Field(max_length=10_000)] = ""
    key: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Default: a UUID."""
    experiment_type: Literal["holdout"] = "holdout"
    source_type: Text | None = None
    source_id: Text | None = None
    segment: dict[str, Any] | None = None
    policy: Policy | None = None
    guardrails: dict[str, Any] | None = None
    setup_source: Text | None = None
    assignment_unit: Text = "profile"
    assignment_method: Literal["hash", "stratified_blocks"] = "hash"
    """`stratified_blocks`: whole lists, within `strata`, so that each of them holds both groups in their shares."""
    strata: Annotated[list[Text], Field(max_length=8)] = []
    """Attributes of profiles that make the strata of stratified blocks."""
    min_runtime_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    exclusion_window_days: Annotated[int, Field(ge=0, le=3650)] | None = None
    stop_rule: Literal["fixed_horizon", "always_valid", "group_sequential", "hybrid", "bayesian"] = "fixed_horizon"
    covariate: Literal["age", "ltv", "pre_period_value"] | None = None
    """What is known of profiles from before, for which conversion and value are adjusted (CUPED): smaller errors, the same effect."""
    config_id: Text | None = None
    config_version: Text | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ExperimentCreate:
        if self.start_at is not None and self.end_at is not None and self.end_at <= self.start_at:
            raise ValueError(f"end_at must come after start_at, got {iso(self.start_at)} and {iso(self.end_at)}")
        if self.key is not None and self.key.isdecimal():
            raise ValueError(f"key must not be all digits, got {self.key!r}: those are ids")
        if bool(self.strata) != (self.assignment_method == "stratified_blocks"):
            raise ValueError(f"strata belong to stratified_blocks, got {self.strata} with assignment_method {self.assignment_method}")
        if self.power <= self.alpha:
            raise ValueError(f"power must lie between alpha and 1, got {self.power:g} with alpha {self.alpha:g}")
        if self.mde_target is not None and self.mde_target == 0:
            raise ValueError("mde_target must not be 0")
        if self.mde_target is not None and self.baseline_rate_estimate is not None:
            reached = self.baseline_rate_estimate + self.mde_target
            if not 0 < reached < 1:
                raise ValueError(f"baseline_rate_estimate + mde_target must lie in (0, 1), got {reached:g}")
        return self


class StatusChange(Body):
    """The next step of the lifecycle."""

    status: Status


class PlanOut(BaseModel):
    """What the plan calls for."""

    total_sample_size: int
    treatment_size: int
    control_size: int
    alpha: float
    power: float
    mde: float
    treatment_rate: float


class ExperimentOut(BaseModel):
    """An experiment as created or listed."""

    id: int
    key: str
    name: str
    channel: str | None
    status: Status
    start_at: Time | None
    end_at: Time | None
    conversion_key: str | None
    plan: PlanOut | None


class SetupOut(BaseModel):
    """How units are assigned, and what else the form asked."""

    model_config = ConfigDict(extra="allow")

    assignment_unit: str
    treatment_rate: float


class ExperimentDetail(ExperimentOut):
    """One experiment with its set-up (HO-03)."""

    kind: str
    notes: str
    environment: str
    version: int
    spec_hash: str
    conversion_window_days: float
    execution_capability: Literal["planner_ready", "manual_only", "not_supported"]
    setup: SetupOut
    segment: dict[str, Any] | None
    policy: dict[str, Any] | None
    guardrails: dict[str, Any] | None
    source_type: str | None
    source_id: str | None
    config_id: str | None
    config_version: str | None
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    decided_at: Time | None
    duplicated_from: int | None


class ExperimentList(BaseModel):
    """Experiments newest first."""

    items: list[ExperimentOut]
    total: int


class StatusOut(BaseModel):
    """Where an experiment stands."""

    id: int
    status: Status
