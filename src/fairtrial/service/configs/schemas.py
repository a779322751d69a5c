"""Bodies of the configurations: what comes in, what goes out."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from fairtrial.service.bodies import Body


def _of_our_time(value: dt.date) -> dt.date:
    if not 1900 <= value.year <= 2200:
        raise ValueError(f"must lie between the years 1900 and 2200, got {value.isoformat()}")
    return value


Day = Annotated[dt.date, AfterValidator(_of_our_time)]


class ConfigsOut(BaseModel):
    """The catalog's experiments, in its order."""

    experiments: list[str]
    package_version: str


class ConfigOut(BaseModel):
    """One configuration, as its file has it."""

    name: str
    config_version: str
    config: dict[str, Any]


class FeasibilityRequest(Body):
    """What to plan with in place of what the configuration states."""

    reference_date: Day | None = None
    """First day on which a run may start; default: today."""
    daily_eligible_users: Annotated[float, Field(gt=0, le=1e12)] | None = None
    """Default: the configuration's."""
    daily_cv: Annotated[float, Field(ge=0, le=5)] | None = None
    """Coefficient of variation of the daily traffic; default: the configuration's."""
    buffer: Annotated[float, Field(ge=1, le=3)] | None = None
    """Factor on the units, for those that will be lost; default: the configuration's."""


class AnalysisRequest(Body):
    """How to analyse a configuration."""

    write_to_warehouse: bool = False
    """Store the result in the warehouse."""
    use_legacy_schema: bool = False
    """Store it in the one table of old instead of the two."""
    reference_date: Day | None = None
    """Last day that counts; default: now."""


class AnalysisOut(BaseModel):
    """Everything that `fairtrial.analysis.run_quick_analysis` gathers; numbers that are not there are null, with a reason beside them."""

    experiment_info: dict[str, Any]
    statistical_results: dict[str, Any]
    secondary_metrics_analysis: dict[str, Any]
    quality_checks: dict[str, Any]
    recommendation: dict[str, Any]
    warehouse: dict[str, Any] | None = None


class StatisticalParameters(BaseModel):
    """What is tested, at which error rates."""

    test_type: str
    baseline: float | None
    target: float | None
    relative_effect: float | None
    absolute_effect: float
    alpha: float
    power: float
    alternative: str
    alpha_per_comparison: float
    standard_deviation: float | None
    variance_factor: float
    method: str
    mde_from_roi: float | None


class SizedGuardrail(BaseModel):
    """Units in all that show a guardrail to be within its margin; null with a code and a reason."""

    metric: str
    total: int | None
    margin: float | None
    code: str | None
    reason: str | None


class SampleSizeRequirements(BaseModel):
    """Units: of the largest variant, in total, and with the buffer."""

    per_variant: int
    total: int
    buffer: float
    target_per_variant: int
    target_total: int
    by_variant: dict[str, int]
    decided_by: str
    guardrails: list[SizedGuardrail]


class TrafficAnalysis(BaseModel):
    """Eligible users a day, and where that number comes from."""

    daily_eligible_users: float
    daily_per_variant: float
    coefficient_of_variation: float
    data_source: str
    distinct_units_by_day: list[float] | None
    period: list[str] | None


class DurationRequirements(BaseModel):
    """Days; null where they cannot be told."""

    required_days: int | None
    variability_adjusted_days: int | None
    final_duration_days: int | None
    business_maximum_days: float | None


class ChangeOut(BaseModel):
    """One way to make it fit."""

    lever: str
    text: str


class FeasibilityAssessment(BaseModel):
    """Whether it can be run."""

    status: Literal["FEASIBLE", "MARGINAL", "NOT_FEASIBLE"]
    reasons: list[str]
    assumptions_met: bool
    warnings: list[str]
    what_to_change: list[ChangeOut]


class StartOut(BaseModel):
    """A start whose whole run keeps clear of periods to avoid."""

    start_date: str
    end_date: str
    reason: str


class FeasibilityOut(BaseModel):
    """Whether a configuration can be run: units, days and dates."""

    experiment_name: str
    config_version: str
    analysis_timestamp: str
    statistical_parameters: StatisticalParameters
    sample_size_requirements: SampleSizeRequirements
    traffic_analysis: TrafficAnalysis
    duration_requirements: DurationRequirements
    feasibility_assessment: FeasibilityAssessment
    calendar_recommendations: list[StartOut]
    notes: list[str]
