"""Bodies of the result routes (HO-09, HO-10, HO-43)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fairtrial.service.bodies import Body


class GroupOut(BaseModel):
    """Counts of one group."""

    n: int
    conversions: int
    conversion_rate: float | None
    total_value: float
    value_per_profile: float | None


class ValueUplift(BaseModel):
    """Difference of the value per assigned profile, by Welch's test."""

    difference: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    reason: str | None


class PlanProgress(BaseModel):
    """What was planned and what is there."""

    planned_total: int | None
    observed_total: int
    complete: bool


class SrmOut(BaseModel):
    """The sample-ratio check (G-11)."""

    chi_square: float | None
    p_value: float | None
    status: Literal["ok", "warning", "mismatch", "skipped"]


class FindingOut(BaseModel):
    """Something that a diagnostic saw."""

    code: str
    severity: Literal["info", "warning", "critical"]
    message: str


class ExposureRates(BaseModel):
    """Share of each group that was exposed."""

    treatment: float
    control: float


class Belief(BaseModel):
    """What a Bayesian plan believes of the difference of the rates."""

    chance_to_win: float
    expected_loss: float
    """Expected loss of choosing the treatment, in points of the rate."""


class ResultsOut(BaseModel):
    """The results of a holdout at this moment; what could not be computed is null, with a reason."""

    experiment_id: int
    status: str
    treatment: GroupOut
    control: GroupOut
    uplift_abs: float | None
    uplift_rel: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    uplift_rel_ci_low: float | None
    uplift_rel_ci_high: float | None
    test: str | None
    ci_method: str | None
    variance_reduction: float | None
    """Part of the variance that the covariate took away (CUPED); null without one."""
    belief: Belief | None
    """Of a Bayesian plan; null with any other."""
    insufficient_data: bool
    reason: str | None
    significant: bool | None
    alpha: float
    always_valid_p: float | None
    """Running minimum of the mSPRT's p over the looks taken; may be read as often as one likes."""
    always_valid_interval: list[float | None] | None
    value_uplift: ValueUplift
    plan: PlanProgress
    srm: SrmOut | None
    contamination_rate: float | None
    """Share of the control group that was exposed."""
    exposure_rate: ExposureRates | None
    cace: float | None
    """Effect per profile reached: the effect of assignment over the difference in exposure."""
    cace_reason: str | None
    backfilled_assignments: int
    lazy_assigned: int
    causal: bool
    """False when groups were drawn after the end by auto-assign: a difference is then chance, whatever its p (II.c)."""
    causal_reason: str | None
    verdict: str | None = None
    verdict_state: str | None = None
    findings: list[FindingOut] = []
    data_source: str


class PeriodOut(BaseModel):
    """One period, cumulative."""

    date: str
    treatment_n: int
    treatment_conversions: int
    treatment_rate: float | None
    control_n: int
    control_conversions: int
    control_rate: float | None
    uplift_abs: float | None
    uplift_rel: float | None


class TimeSeriesOut(BaseModel):
    """The way to the results."""

    data: list[PeriodOut]


class CovariateOut(BaseModel):
    """Balance of one covariate."""

    name: str
    treatment_n: int
    treatment_mean: float | None
    treatment_sd: float | None
    control_n: int
    control_mean: float | None
    control_sd: float | None
    smd: float | None
    flag: bool | None
    reason: str | None


class BalanceOut(BaseModel):
    """Balance of the groups."""

    experiment_id: int
    covariates: list[CovariateOut]
    threshold: float


class TrajectoryPoint(BaseModel):
    """The uplift of everything up to a period."""

    date: str
    n: int
    uplift_abs: float | None
    ci_low: float | None
    ci_high: float | None
    always_valid_p: float | None
    """The smallest so far."""


class TrajectoryOut(BaseModel):
    """How the uplift came about; its intervals hold at all periods at once."""

    data: list[TrajectoryPoint]


class DecisionIn(Body):
    """What was decided."""

    decision: Literal["STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH", "EXTEND_TEST", "NO_LAUNCH", "ROLLBACK"]
    note: Annotated[str, Field(max_length=10_000)] = ""


class DecisionOut(BaseModel):
    """A recorded decision and the scorecard that it rests on."""

    model_config = ConfigDict(extra="allow")

    id: int
    status: str
    decision: dict[str, Any]
