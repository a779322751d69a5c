"""The catalog's form: what it means in normal form, and what it refuses."""

from __future__ import annotations

import copy
import datetime as dt

import pytest

from fairtrial.errors import SpecError
from fairtrial.spec import experiment_config_warnings, parse_spec, validate_experiment_config
from fairtrial.spec.catalog_model import REQUIRED_SECTIONS
from fairtrial.spec.plan import ScheduleSpec


def put(config: dict, path: str, value: object) -> dict:
    """A copy of `config` with `value` at a dotted path, lists by number; `...` takes the key away."""
    changed = copy.deepcopy(config)
    *parts, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    where = changed
    for part in parts:
        where = where.setdefault(part, {}) if isinstance(where, dict) else where[part]
    if value is ...:
        del where[last]
    else:
        where[last] = value
    return changed


def _guards(config: dict) -> dict:
    return {m.key: (m.role, m.direction, m.margin, m.margin_kind, m.max_value) for m in parse_spec(config).metrics}


def test_an_entry_means_this_spec(entry):
    """XC-06..11: every declared number stands in the normal form."""
    spec = parse_spec(entry)
    assert (spec.key, spec.version, spec.kind, spec.owner, spec.control) == (
        "free_shipping_threshold_test",
        "1.0.0",
        "ab_test",
        "growth",
        "control",
    )
    assert spec.hypothesis == entry["hypothesis"]["primary"]
    assert spec.shares == {"control": 0.5, "treatment": 0.5}
    assert [arm.value for arm in spec.arms] == [{"free_shipping_threshold": 50}, {"free_shipping_threshold": 35}]
    plan = spec.plan
    assert (plan.alpha, plan.power, plan.mde, plan.mde_kind, plan.baseline) == (0.05, 0.8, 0.08, "relative", 0.045)
    assert (plan.min_days, plan.max_days, plan.practical_threshold) == (14, 56, 0.05)
    assert (plan.correction, plan.secondary_correction, plan.ci_method) == ("holm", "holm", "score")
    assert _guards(entry) == {
        "conversion_rate": ("primary", "increase", None, "absolute", None),
        "revenue_per_user": ("guardrail", "increase", 0.05, "relative", None),
        "cart_abandonment_rate": ("secondary", "decrease", None, "absolute", None),
        "return_rate": ("guardrail", "decrease", 0.1, "relative", None),
        "page_load_ms": ("guardrail", "decrease", None, "absolute", 1800.0),
    }


def test_the_last_day_belongs_to_the_experiment(entry):
    """V.b: windows are half-open, [start, end + 1 day)."""
    schedule = parse_spec(entry).schedule
    assert schedule == ScheduleSpec(start=dt.datetime(2024, 4, 15, tzinfo=dt.UTC), end=dt.datetime(2024, 6, 10, tzinfo=dt.UTC))
    assert (schedule.end - schedule.start).days == 56


def test_an_effect_without_a_baseline_has_no_treatment_value(entry):
    config = put(entry, "metrics.primary.baseline_assumptions", {})
    assert parse_spec(put(config, "power_analysis.effect_size", {"magnitude": 0.08})).plan.baseline is None
    with pytest.raises(SpecError, match="needs baseline_metric_value"):
        parse_spec(put(config, "power_analysis.effect_size", {"magnitude": 0.08, "treatment_metric_value": 0.0486}))


def test_an_absolute_effect_stays_absolute(entry):
    effect = {"type": "absolute", "magnitude": 0.0036, "baseline_metric_value": 0.045, "treatment_metric_value": 0.0486}
    plan = parse_spec(put(entry, "power_analysis.effect_size", effect)).plan
    assert (plan.mde, plan.mde_kind) == (0.0036, "absolute")


def test_without_dates_there_is_no_schedule(entry):
    assert parse_spec(put(entry, "design.temporal_schedule", {"maximum_runtime_days": 56})).schedule is None


def test_an_end_follows_from_the_duration(entry):
    config = put(put(entry, "design.temporal_schedule.planned_end_date", ...), "design.temporal_schedule.planned_duration_days", 28)
    assert parse_spec(config).schedule.end == dt.datetime(2024, 5, 13, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"guardrail_threshold": -0.02, "expected_direction": "increase"}, ("guardrail", "increase", 0.02, "relative", None)),
        ({"guardrail_threshold": -0.02}, ("guardrail", "increase", 0.02, "relative", None)),
        ({"guardrail_threshold": 0.02}, ("guardrail", "decrease", 0.02, "relative", None)),
        ({"guardrail_threshold": 0.02, "target_direction": "decrease"}, ("guardrail", "decrease", 0.02, "relative", None)),
        ({"guardrail_threshold": -0.02, "target_direction": "decrease"}, ("guardrail", "decrease", 0.02, "relative", None)),
        ({"guardrail_threshold": 0.0, "expected_direction": "no_change"}, ("guardrail", "increase", 0.0, "relative", None)),
        ({"target_direction": "decrease"}, ("secondary", "decrease", None, "absolute", None)),
        ({"expected_direction": "no_change"}, ("secondary", "increase", None, "absolute", None)),
        ({}, ("secondary", "increase", None, "absolute", None)),
    ],
)
def test_a_guardrail_threshold_is_a_tolerated_loss(entry, fields, expected):
    """V.b: harm = -(oriented effect), margin = |threshold|."""
    config = put(entry, "metrics.secondary", [{"name": "active", "type": "proportion", **fields}])
    assert _guards(config)["active"] == expected


def test_metrics_without_a_type_are_means_and_ratios_have_columns(entry):
    ratio = {"name": "ctr", "type": "ratio", "numerator": "clicks", "denominator": "views"}
    metrics = {m.key: m for m in parse_spec(put(entry, "metrics.secondary", [{"name": "plain"}, ratio])).metrics}
    assert metrics["plain"].kind == "mean"
    assert (metrics["ctr"].numerator, metrics["ctr"].denominator) == ("clicks", "views")


@pytest.mark.parametrize(
    ("path", "value", "field", "expected"),
    [
        ("power_analysis.test_type", "one_sided", "alternative", "one-sided"),
        ("power_analysis.test_type", "two-tailed", "alternative", "two-sided"),
        ("power_analysis.test_type", "conversion", "alternative", "two-sided"),
        ("power_analysis.multiple_testing_correction", "benjamini_hochberg", "correction", "benjamini-hochberg"),
        ("power_analysis.multiple_testing_correction", "none", "secondary_correction", "none"),
        ("power_analysis.multiple_testing_correction", ..., "secondary_correction", "benjamini-hochberg"),
        ("power_analysis.sample_size.total", 5000, "sample_size", 5000),
        ("power_analysis.sample_size.per_variant", 2500, "sample_size", 5000),
        ("implementation.analysis_requirements.confidence_interval_method", "newcombe", "ci_method", "newcombe"),
        ("implementation.analysis_requirements.confidence_interval_method", "agresti_caffo", "ci_method", "agresti-caffo"),
        ("metrics.primary.baseline_assumptions.standard_deviation", 0.3, "baseline_sd", 0.3),
        ("metrics.primary.threshold", 0.05, "practical_threshold", 0.05),
        ("power_analysis.effect_size.minimum_detectable_effect", 0.06, "mde", 0.06),
        ("design.temporal_schedule.maximum_runtime_days", ..., "max_days", 56),
    ],
)
def test_declared_settings_reach_the_plan(entry, path, value, field, expected):
    """XC-10, XC-31: what is declared is applied."""
    assert getattr(parse_spec(put(entry, path, value)).plan, field) == expected


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        # not built: rejected by name
        ("power_analysis.sequential_testing.enable_early_stopping", True, "not available in this version: method fixed only"),
        ("implementation.analysis_requirements.bootstrap_iterations", 1000, "bootstrap_iterations is not available"),
        ("implementation.analysis_requirements.subgroup_analysis", ["device"], "subgroup_analysis is not available"),
        ("implementation.analysis_requirements.confidence_interval_method", "bootstrap", "'bootstrap' is not available"),
        ("implementation.analysis_requirements.primary_analysis_method", "mann_whitney", "'mann_whitney' is not available"),
        ("implementation.analysis_requirements.primary_analysis_method", "welch_t_test", "for type proportion"),
        ("design.experiment_type", "factorial", "'factorial' is not available"),
        ("power_analysis.multiple_testing_correction", "tukey", "must be one of ['none', 'bonferroni'"),
        ("power_analysis.test_type", "continuous", "does not fit the primary metric's type"),
        ("power_analysis.test_type", "sideways", "test_type must be one of"),
        # XC-12 ranges
        ("power_analysis.significance_level", 0.15, "significance_level must lie in [0.01, 0.1], got 0.15"),
        ("power_analysis.significance_level", 95, "power_analysis.significance_level"),
        ("power_analysis.statistical_power", 0.65, "statistical_power must lie in [0.7, 0.95], got 0.65"),
        ("power_analysis.statistical_power", 1, "power_analysis.statistical_power"),
        ("power_analysis.effect_size.minimum_detectable_effect", 0.005, "effect_size (relative) must lie in [0.01, 1]"),
        ("power_analysis.effect_size", {"type": "absolute", "magnitude": 0.0001, "baseline_metric_value": 0.045}, "got 0.00222"),
        ("metrics.primary.business_significance_threshold", 2.0, "business_significance_threshold must lie in [0.01, 1]"),
        # one number, two names
        ("metrics.primary.threshold", 0.1, "the primary metric's threshold is declared twice and must agree, got 0.05 and 0.1"),
        ("metrics.primary.statistical_significance_level", 0.1, "alpha is declared twice"),
        ("metrics.primary.baseline_assumptions.value", 0.05, "the baseline is declared twice"),
        ("power_analysis.duration_calculation.business_maximum_days", 42, "the maximum of days is declared twice"),
        ("power_analysis.effect_size.treatment_metric_value", 0.0414, "absolute_difference must be treatment minus baseline"),
        ("power_analysis.effect_size.magnitude", 0.1, "where 0.1 relative gives 0.0495"),
        ("power_analysis.effect_size.magnitude", -0.08, "power_analysis.effect_size.magnitude"),
        ("power_analysis.sample_size", {"total": 5000, "per_variant": 3000}, "total must be per_variant times 2 variants"),
        ("power_analysis.effect_size", {"magnitude": 0.08, "baseline_metric_value": 0.045, "absolute_difference": 0.004}, "gives 0.0486"),
        # schedule
        ("design.temporal_schedule.start_date", ..., "the end of planned needs its start"),
        ("design.seasonal_context.avoid_periods", [{"start": "2024-12-05", "end": "12-31"}], "written alike"),
        ("design.seasonal_context.avoid_periods", [{"start": "2024-12-05", "end": "2024-11-20"}], "end must not come before start"),
        ("design.temporal_schedule.planned_duration_days", 55, "has 56 days with both ends, not 55"),
        ("design.temporal_schedule.planned_end_date", "2024-04-14", "must not end before it starts"),
        ("design.temporal_schedule.baseline_period_end", "2024-04-15", "the baseline period must end before 2024-04-15"),
        ("design.temporal_schedule.minimum_runtime_days", 70, "must not fall"),
        ("design.temporal_schedule.start_date", 20240415, "not a number"),
        ("design.seasonal_context.avoid_periods", [{"start": "11-31", "end": "12-05"}], "'11-31' is not a day of the calendar"),
        # metrics
        ("metrics.primary.type", "conversion", "metrics.primary.type must be one of"),
        ("metrics.primary.type", "ratio", "a ratio needs numerator and denominator"),
        ("metrics.secondary.0.numerator", "x", "numerator and denominator are for type ratio"),
        ("metrics.secondary.0.guardrail_threshold", 0.05, "write -0.05, got 0.05"),
        ("metrics.secondary.0.target_direction", "decrease", "must agree, got increase and decrease"),
        ("metrics.secondary.1.name", "conversion_rate", "metric names must be unique"),
        ("metrics.guardrail_metrics.0.threshold", 0.9, "needs a threshold of at least 1"),
        ("metrics.guardrail_metrics.0.alert_condition", "below_threshold", "Did you mean 'above_threshold'?"),
        # variants
        ("variants.control", ..., "variants"),
        ("variants.contrl", {"allocation": 0.2}, "allocations must sum to 1"),
        ("variants.treatment.allocation", 0.4, "allocations must sum to 1, got 0.9"),
        ("variants.treatment.allocation", 50, "variants.treatment.allocation"),
        # unknown keys, at every depth
        ("hypotesis", {}, "unknown key 'hypotesis'"),
        ("metrics.primary.buisness_significance_threshold", 0.1, "Did you mean 'business_significance_threshold'?"),
        ("design.temporal_schedule.minimum_runtime", 14, "Did you mean 'minimum_runtime_days'?"),
        ("population.eligibility_criteria.exclude.vip_customer", True, "Did you mean 'vip_customers'?"),
        ("power_analysis.sequential_testing.enable_earlystopping", True, "Did you mean 'enable_early_stopping'?"),
        ("variants.treatment.alocation", 0.5, "unknown key 'alocation' in variants.treatment"),
        ("population.stratification", {"balance_across": ["a"], "stratify_by": ["b"]}, "name the strata once"),
        ("business_justification", "", "business_justification: must say something"),
        ("metadata.config_version", "1.0", "metadata.config_version"),
    ],
)
def test_what_cannot_be_executed_is_rejected(entry, path, value, rule):
    """XC-09, XC-10, XC-12: nothing that is declared is silently dropped."""
    with pytest.raises(SpecError) as caught:
        parse_spec(put(entry, path, value))
    assert rule in str(caught.value)


def test_variants_need_a_control(entry):
    """XC-08."""
    config = put(entry, "variants", {"old": {"allocation": 0.5}, "new": {"allocation": 0.5}})
    with pytest.raises(SpecError, match="no control: one variant must be named 'control', got \\['old', 'new'\\]"):
        parse_spec(config)


@pytest.mark.parametrize("section", REQUIRED_SECTIONS)
def test_a_missing_section_is_named(entry, section):
    """XC-03: the message is fixed."""
    with pytest.raises(SpecError) as caught:
        validate_experiment_config(put(entry, section, ...))
    name = "unnamed" if section == "design" else "free_shipping_threshold_test"
    assert str(caught.value) == f"Experiment '{name}' is missing required fields: ['{section}']"
    assert caught.value.code == "missing_fields"


def test_all_missing_sections_are_named_in_order():
    """XC-03."""
    with pytest.raises(SpecError) as caught:
        validate_experiment_config({"design": {"experiment_name": "x"}, "hypothesis": {}})
    expected = ["business_justification", "population", "variants", "metrics", "power_analysis", "implementation"]
    assert str(caught.value) == f"Experiment 'x' is missing required fields: {expected}"


@pytest.mark.parametrize(
    ("allocations", "kind", "fits"),
    [
        ((0.5, 0.5), "ab_test", True),
        ((0.9, 0.1), "ab_test", True),
        ((0.95, 0.05), "ab_test", False),
        ((0.95, 0.05), "holdout", True),
        ((0.96, 0.01, 0.01, 0.01, 0.01), "ab_test", True),
        ((0.91, 0.03, 0.03, 0.03), "ab_test", False),
    ],
)
def test_allocations_keep_their_range_unless_exempt(entry, allocations, kind, fits):
    """XC-12: .1 to .9, but for holdouts and more than four arms."""
    names = ["control", "b", "c", "d", "e"]
    variants = {name: {"allocation": share} for name, share in zip(names, allocations, strict=False)}
    config = put(put(entry, "variants", variants), "design.experiment_type", kind)
    if fits:
        assert parse_spec(config).kind == kind
    else:
        with pytest.raises(SpecError, match=r"allocation must lie in \[0\.1, 0\.9\]"):
            parse_spec(config)


@pytest.mark.parametrize(
    ("name", "version", "agree"),
    [
        ("test_v2", "2.0.0", True),
        ("test_v2", "2.3.1", True),
        ("test_v2", "1.2.0", False),
        ("test_v1_1", "1.1.4", True),
        ("test_v1_1", "1.11.0", False),
        ("test_v1_1_1", "1.1.1", True),
        ("test_v1_1_1", "1.1.2", False),
        ("test_very", "7.0.0", True),
        ("test_v2_feasible", "1.0.0", True),
    ],
)
def test_name_and_version_agree(entry, name, version, agree):
    """XC-12."""
    config = put(put(entry, "design.experiment_name", name), "metadata.config_version", version)
    if agree:
        assert parse_spec(config).version == version
    else:
        with pytest.raises(SpecError, match="name and version must agree"):
            parse_spec(config)


@pytest.mark.parametrize(
    ("path", "value", "warning"),
    [
        ("metrics.secondary.0.guardrail_threshold", -0.6, "guardrail_threshold -0.6 tolerates a change of more than 50%"),
        ("metrics.secondary.0.type", ..., "declares no type and is read as a mean"),
        ("power_analysis.effect_size.minimum_detectable_effect", 0.1, "sized for an effect of 0.1, larger than the 0.08"),
        ("power_analysis.sequential_testing.alpha_spending_function", "pocock", "switched off"),
        ("design.temporal_schedule.ramp_up_days", 3, "ramp_up_days is recorded, not executed"),
        ("design.assignment_method", "stratified_block_randomization", "does nothing without population.stratification"),
        ("implementation.decision_framework.launch_criteria", ["the boss likes it"], "['the boss likes it']"),
    ],
)
def test_what_is_only_recorded_is_said(entry, path, value, warning):
    """XC-12: allowed, and told."""
    before = experiment_config_warnings(put(entry, "population.stratification", ...))
    after = experiment_config_warnings(put(put(entry, "population.stratification", ...), path, value))
    assert not any(warning in line for line in before)
    assert any(warning in line for line in after)


def test_a_guardrail_threshold_of_a_half_is_not_warned_of(entry):
    """XC-12: beyond .5."""
    config = put(entry, "metrics.secondary.0.guardrail_threshold", -0.5)
    assert not any("tolerates" in line for line in experiment_config_warnings(config))


def test_decreasing_metrics_are_sized_downward(entry):
    """A size is positive; the treatment value lies in the metric's direction."""
    effect = {"type": "relative", "magnitude": 0.1, "baseline_metric_value": 0.045, "treatment_metric_value": 0.0405}
    config = put(put(entry, "metrics.primary.direction", "decrease"), "power_analysis.effect_size", effect)
    spec = parse_spec(config)
    assert (spec.primary.direction, spec.plan.mde, spec.plan.baseline) == ("decrease", 0.1, 0.045)
    with pytest.raises(SpecError, match="in the metric's direction"):
        parse_spec(put(config, "metrics.primary.direction", "increase"))


def test_short_and_long_populations_are_accepted(entry):
    """XC-07."""
    short = {"eligibility_criteria": {"include": ["buyers"], "exclude": ["staff"]}, "stratification": {"balance_across": ["country"]}}
    spec, long = parse_spec(put(entry, "population", short)), parse_spec(entry)
    assert (spec.assignment.strata, long.assignment.strata) == (("country",), ("device_type", "customer_type"))
    assert spec.model_copy(update={"assignment": None}).spec_hash == long.model_copy(update={"assignment": None}).spec_hash
    assert "min_cart_value" in entry["population"]["eligibility_criteria"]["include"]
