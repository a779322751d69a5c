"""The catalog form of an experiment, as it is written in a file.

The catalog form is the long, business-facing way to write an experiment: why,
for whom, how it is sized, what stops it. Here it is only described; what it
means is said once, by its translation into `ExperimentSpec` (`catalog.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from fairtrial.spec.base import Name, Share, SpecModel
from fairtrial.spec.business import BusinessSpec
from fairtrial.spec.changes import Change
from fairtrial.spec.feasibility import AvoidPeriod, Correlation, Fallback, FeasibilityRecord, HistorySpec, RoiSpec
from fairtrial.spec.plan import Day, Days

REQUIRED_SECTIONS = (
    "business_justification",
    "hypothesis",
    "design",
    "population",
    "variants",
    "metrics",
    "power_analysis",
    "implementation",
)
"""Sections that every entry of a catalog has."""

MetricType = Literal["proportion", "mean", "count", "ratio"]
CatalogDirection = Literal["increase", "decrease", "no_change"]
Rate = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


def _not_empty(value: object) -> object:
    if value is None or value in ("", [], {}):
        raise ValueError("must say something: text, a list or a mapping")
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else [] if value is None else value


def _listed(value: object) -> object:
    """Rules given as a plain list, in the long form."""
    return {"rules": cast("object", value)} if isinstance(value, list | tuple | str) else value


Prose = Annotated[object, AfterValidator(_not_empty)]
"""Words for people: text, a list or a mapping; nothing is computed from it."""

Texts = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
"""A list of texts; a single text stands for a list of one."""


class Hypothesis(SpecModel):
    """What is believed, stated before the data."""

    primary: str = Field(min_length=1)
    secondary: Texts = ()


class TemporalSchedule(SpecModel):
    """When the experiment runs; the last day belongs to it."""

    start_date: Day | None = None
    planned_end_date: Day | None = None
    """Last day of the experiment."""
    planned_duration_days: Days | None = None
    minimum_runtime_days: Days | None = None
    """No verdict of success before this many days."""
    maximum_runtime_days: Days | None = None
    """The plan is complete after this many days."""
    ramp_up_days: Annotated[int, Field(ge=0, le=365)] | None = None
    baseline_period_start: Day | None = None
    baseline_period_end: Day | None = None
    baseline_period_days: Days | None = None
    experiment_period_start: Day | None = None
    experiment_period_end: Day | None = None
    experiment_period_days: Days | None = None


class SeasonalContext(SpecModel):
    """What the calendar does to the experiment."""

    preferred_seasons: Texts = ()
    avoid_periods: tuple[AvoidPeriod, ...] = ()
    concurrent_campaigns: Texts = ()
    business_cycle_phase: str = ""


class Design(SpecModel):
    """What is randomised, how and when."""

    experiment_name: Name
    experiment_type: str = "ab_test"
    """`ab_test` or `holdout`."""
    randomization_unit: str = "user"
    assignment_method: Literal["simple_randomization", "stratified_block_randomization"] = "simple_randomization"
    temporal_schedule: TemporalSchedule = TemporalSchedule()
    seasonal_context: SeasonalContext = SeasonalContext()


class IncludeRules(SpecModel):
    """Who takes part; a plain list of rules is the short form."""

    rules: Texts = ()
    customer_types: Texts = ()
    countries: Texts = ()
    min_cart_value: Annotated[float, Field(ge=0)] | None = None
    device_types: Texts = ()
    session_quality: str = ""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, raw: object) -> object:
        return _listed(raw)


class ExcludeRules(SpecModel):
    """Who does not take part; a plain list of rules is the short form."""

    rules: Texts = ()
    vip_customers: bool = False
    employee_accounts: bool = False
    test_accounts: bool = False
    customers_with_shipping_issues: bool = False
    users_in_other_experiments: bool = False

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, raw: object) -> object:
        return _listed(raw)


class Eligibility(SpecModel):
    """Rules of inclusion and exclusion."""

    include: IncludeRules = IncludeRules()
    exclude: ExcludeRules = ExcludeRules()


class Stratification(SpecModel):
    """What the arms should be balanced on: `balance_across` (short) or `stratify_by` (long)."""

    balance_across: Texts = ()
    stratify_by: Texts = ()
    balance_tolerance: Share = 0.05
    minimum_stratum_size: Count = 100

    @model_validator(mode="after")
    def _one_list(self) -> Stratification:
        if bool(self.balance_across) == bool(self.stratify_by):
            raise ValueError("name the strata once, in `balance_across` or in `stratify_by`")
        return self


class Population(SpecModel):
    """Who the experiment is about."""

    target_population: str = ""
    eligibility_criteria: Eligibility = Eligibility()
    stratification: Stratification | None = None


class CatalogVariant(SpecModel):
    """One variant; its key is its name in the mapping."""

    name: str = ""
    """What people call it."""
    allocation: Share
    description: str = ""
    implementation: object = None
    """What the product does: prose, or the value that a feature flag serves (mapping, list, number, boolean)."""


class BaselineAssumptions(SpecModel):
    """What the metric is believed to be without the change."""

    value: float | None = None
    standard_deviation: Positive | None = None
    covariate_correlation: Correlation | None = None
    """Correlation with the metric's `covariate`; sizes shrink by its square."""
    variance_fallback: Fallback | None = None
    """Where no standard deviation is known: `cv_1` as large as the mean, `poisson` that of a Poisson count; every result says so."""
    source: str = ""
    period: str = ""
    notes: str = ""


class PrimaryMetric(SpecModel):
    """The metric that carries the decision."""

    name: Name
    definition: str = Field(min_length=1)
    type: MetricType
    numerator: Name | None = None
    """For a ratio: column summed above the line."""
    denominator: Name | None = None
    """For a ratio: column summed below the line."""
    direction: Literal["increase", "decrease"] = "increase"
    calculation_window: str = ""
    business_significance_threshold: Positive | None = None
    """Smallest lift worth launching, a fraction."""
    threshold: Positive | None = None
    """Another name of `business_significance_threshold`."""
    statistical_significance_level: Rate | None = None
    covariate: Name | None = None
    """Column known before assignment that the analysis adjusts for (CUPED)."""
    baseline_assumptions: BaselineAssumptions = BaselineAssumptions()


class SecondaryMetric(SpecModel):
    """A metric that explains; with `guardrail_threshold` it can stop a launch."""

    name: Name
    definition: str = ""
    type: MetricType | None = None
    """Without it the metric is read as a mean, which any number per unit has."""
    numerator: Name | None = None
    denominator: Name | None = None
    guardrail_threshold: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Relative effect tolerated: -0.02 is a loss of 2%."""
    expected_direction: CatalogDirection | None = None
    target_direction: CatalogDirection | None = None
    """Another name of `expected_direction`."""
    covariate: Name | None = None
    """Column known before assignment that the analysis adjusts for (CUPED)."""
    baseline_assumptions: BaselineAssumptions = BaselineAssumptions()
    """What the control is believed to show, to size the test of the guardrail."""


class GuardrailMetric(SpecModel):
    """A metric that must not rise above a limit."""

    name: Name
    definition: str = ""
    type: MetricType | None = None
    """Without it the metric is read as a mean, which any number per unit has."""
    numerator: Name | None = None
    denominator: Name | None = None
    threshold: float
    """A value in the metric's unit, or a ratio to the control's value, as `alert_condition` says."""
    alert_condition: Literal["above_threshold", "above_baseline_ratio"] = "above_threshold"
    monitoring_frequency: Literal["at_analysis", "hourly", "daily", "weekly"] = "at_analysis"
    covariate: Name | None = None
    """Column known before assignment that the analysis adjusts for (CUPED)."""
    baseline_assumptions: BaselineAssumptions = BaselineAssumptions()
    """What the control is believed to show, to size the test of a ratio to the control."""


class CatalogMetrics(SpecModel):
    """What is measured, by what it is for."""

    primary: PrimaryMetric
    secondary: tuple[SecondaryMetric, ...] = ()
    guardrail_metrics: tuple[GuardrailMetric, ...] = ()


class EffectSize(SpecModel):
    """The effect that the experiment is sized for; sizes are positive, `direction` says which way."""

    type: Literal["relative", "absolute"] = "relative"
    magnitude: Positive | None = None
    """The effect expected."""
    minimum_detectable_effect: Positive | None = None
    """The effect that the sample is sized for; default: `magnitude`."""
    baseline_metric_value: float | None = None
    treatment_metric_value: float | None = None
    absolute_difference: float | None = None
    """Treatment minus control, in the metric's unit."""
    roi: RoiSpec | None = None
    """What a launch must earn, from which the smallest effect worth detecting follows."""


class SampleSize(SpecModel):
    """How many units; figures that a power analysis wrote back included."""

    safety_buffer: Annotated[float, Field(ge=1, le=3)] = 1.1
    """Factor on the size when the duration is worked out."""
    per_variant: Annotated[int, Field(ge=2)] | None = None
    total: Annotated[int, Field(ge=2)] | None = None
    """Planned units in total; default: what effect, baseline, alpha and power call for."""
    target_per_variant: Count | None = None
    target_total: Count | None = None


class TrafficAnalysis(SpecModel):
    """How many eligible units come in a day."""

    daily_eligible_users: Count | None = None
    daily_per_variant: Positive | None = None
    coefficient_of_variation: Annotated[float, Field(ge=0, le=5)] | None = None
    data_source: str = ""
    history: HistorySpec | None = None
    """Where past visits and outcomes are; its eligibility is that of `population`, unless it says otherwise."""


class DurationCalculation(SpecModel):
    """How long the business lets it run; figures that a power analysis wrote back included."""

    business_minimum_days: Days | None = None
    business_maximum_days: Days | None = None
    required_days: Count | None = None
    variability_adjusted_days: Count | None = None
    final_duration_days: Count | None = None


class SequentialTesting(SpecModel):
    """Interim looks."""

    enable_early_stopping: bool = False
    interim_analysis_frequency: str | None = None
    alpha_spending_function: str | None = None
    futility_boundary: str | None = None
    superiority_boundary: str | None = None


class PowerAnalysis(SpecModel):
    """Error rates and sizes."""

    statistical_power: Rate = 0.8
    significance_level: Rate = 0.05
    test_type: str | None = None
    """`two_sided` or `one_sided`; or the metric's type (`conversion`, `continuous`, `count`, `ratio`), tested two-sided."""
    multiple_testing_correction: str | None = None
    """Over the treatments on the primary metric, and over the secondary metrics."""
    effect_size: EffectSize = EffectSize()
    sample_size: SampleSize = SampleSize()
    traffic_analysis: TrafficAnalysis = TrafficAnalysis()
    duration_calculation: DurationCalculation = DurationCalculation()
    sequential_testing: SequentialTesting = SequentialTesting()
    feasibility: FeasibilityRecord | None = None
    """Written by `fairtrial power --write-back`; nothing is computed from it."""


class AnalysisRequirements(SpecModel):
    """How it is analysed."""

    primary_analysis_method: str | None = None
    confidence_interval_method: str | None = None
    subgroup_analysis: Texts = ()
    bootstrap_iterations: Annotated[int, Field(ge=0)] | None = None


class DecisionFramework(SpecModel):
    """What leads to a launch and what to a stop: names of the decision rule's conditions, or words for people."""

    launch_criteria: Texts = ()
    stop_criteria: Texts = ()


class Implementation(SpecModel):
    """Data, analysis and decision."""

    data_generation: dict[str, object] = Field(default_factory=dict[str, object])
    """Settings of synthetic data; nothing in a real analysis reads them."""
    analysis_requirements: AnalysisRequirements = AnalysisRequirements()
    decision_framework: DecisionFramework = DecisionFramework()


class Metadata(SpecModel):
    """Who is behind it and which version it is."""

    owner: str = ""
    stakeholder: Texts = ()
    config_version: str = Field(default="1.0.0", pattern=r"^\d+\.\d+\.\d+$")
    """MAJOR.MINOR.PATCH of this experiment's design."""
    status: Literal["draft", "running", "stopped", "completed", "decided", "archived"] | None = None
    documentation: str = ""
    related_experiments: Texts = ()
    prerequisite_experiments: Texts = ()
    success_definition: str = ""
    change_log: tuple[Change, ...] = ()
    """What each version changed, where the file has no log of its own."""


class CatalogEntry(SpecModel):
    """One experiment in the catalog's form."""

    business_justification: Prose
    business_impact: BusinessSpec | None = None
    """What the effect is worth: the `business` section of the normal form."""
    hypothesis: Hypothesis
    risk_assessment: object = None
    strategic_importance: object = None
    design: Design
    population: Population
    variants: dict[Name, CatalogVariant] = Field(min_length=2)
    metrics: CatalogMetrics
    power_analysis: PowerAnalysis
    implementation: Implementation
    metadata: Metadata = Metadata()
