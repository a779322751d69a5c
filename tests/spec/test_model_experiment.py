"""The model-experiment form: its fields, what it refuses, what it means in normal form."""

from __future__ import annotations

import dataclasses
import math

import pytest

from fairtrial.errors import SpecError
from fairtrial.spec import ExperimentConfig, parse_spec
from fairtrial.spec.examples import FRAUD_DETECTION_EXPERIMENT
from fairtrial.spec.model_experiment import _Checked


def test_the_fields_stand_in_the_documented_order(model):
    """ML-01: positions are part of the form."""
    assert [field.name for field in dataclasses.fields(ExperimentConfig)] == [
        "name",
        "champion_model",
        "challenger_models",
        "traffic_allocation",
        "primary_metric",
        "secondary_metrics",
        "guardrail_metrics",
        "min_sample_size",
        "max_duration_days",
        "significance_level",
        "power",
        "minimum_detectable_effect",
        "directions",
        "metric_types",
        "label_window_days",
        "min_duration_days",
        "practical_threshold",
        "strong_threshold",
    ]
    config = ExperimentConfig(*model.values())
    assert (config.significance_level, config.power, config.minimum_detectable_effect) == (0.05, 0.8, 0.05)
    assert (config.min_duration_days, config.practical_threshold, config.strong_threshold) == (14, 0.05, 0.20)
    assert config.challenger_models == ["v2"]


def test_the_file_form_has_the_same_fields_and_defaults():
    declared = {field.name: field for field in dataclasses.fields(ExperimentConfig)}
    assert list(_Checked.model_fields) == list(declared)
    for name, field in _Checked.model_fields.items():
        factory = declared[name].default_factory
        default = factory() if factory is not dataclasses.MISSING else declared[name].default
        given = field.get_default(call_default_factory=True)
        assert field.is_required() if default is dataclasses.MISSING else given == default


def test_the_fraud_experiment_means_this_spec():
    """Part IV's example config: 5% of the traffic, 10,000 per arm, so 200,000 in all."""
    config = FRAUD_DETECTION_EXPERIMENT
    assert (config.name, config.champion_model, config.max_duration_days) == ("fraud_model_v2_test", "fraud_detector_v1.3", 14)
    assert (config.primary_metric, config.min_sample_size, config.minimum_detectable_effect) == ("fraud_detection_rate", 10_000, 0.10)
    assert config.guardrail_metrics == {"p95_latency_ms": (0, 200), "error_rate": (0, 0.01)}
    spec = config.to_spec()
    assert (spec.key, spec.control, spec.treatments) == ("fraud_model_v2_test", "fraud_detector_v1.3", ("fraud_detector_v2.0",))
    assert spec.shares == {"fraud_detector_v1.3": 0.95, "fraud_detector_v2.0": 0.05}
    assert (spec.plan.mde, spec.plan.mde_kind, spec.plan.sample_size) == (0.10, "relative", 200_000)
    assert (spec.plan.min_days, spec.plan.max_days) == (14, 14)
    assert (spec.plan.practical_threshold, spec.plan.strong_threshold) == (0.05, 0.20)
    assert (spec.primary.key, spec.primary.kind, spec.primary.missing) == ("fraud_detection_rate", "proportion", "drop")
    guards = {m.key: (m.direction, m.max_value) for m in spec.metrics if m.role == "guardrail"}
    assert guards == {"p95_latency_ms": ("decrease", 200.0), "error_rate": ("decrease", 0.01)}


def test_a_file_in_this_form_is_an_input(model):
    """One normal form: what a file says and what the dataclass says is one spec."""
    assert parse_spec(model) == ExperimentConfig(**model).to_spec()


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ((0, 200), {"g": ("decrease", 200.0, None)}),
        ((None, 200), {"g": ("decrease", 200.0, None)}),
        ((-math.inf, 200), {"g": ("decrease", 200.0, None)}),
        ((0.9, None), {"g": ("increase", 0.9, None)}),
        ((0.9, math.inf), {"g": ("increase", 0.9, None)}),
        ((0, None), {"g": ("increase", 0.0, None)}),
        ((0.2, 0.4), {"g": ("decrease", 0.4, None), "g_min": ("increase", 0.2, "g")}),
        ((-5, -1), {"g": ("decrease", -1.0, None), "g_min": ("increase", -5.0, "g")}),
    ],
)
def test_a_range_becomes_the_limits_that_bind(model, bounds, expected):
    spec = ExperimentConfig(**{**model, "guardrail_metrics": {"g": bounds}}).to_spec()
    assert {m.key: (m.direction, m.max_value, m.column) for m in spec.metrics if m.role == "guardrail"} == expected


def test_directions_and_types_are_declared_not_guessed(model):
    """IV.c: a name says nothing."""
    plain = parse_spec({**model, "primary_metric": "error_rate_total", "secondary_metrics": ["latency_ms"]})
    assert [(m.kind, m.direction) for m in plain.metrics[:2]] == [("proportion", "increase"), ("mean", "increase")]
    told = {
        "directions": {"clicked": "decrease", "dwell_seconds": "decrease"},
        "metric_types": {"clicked": "continuous", "dwell_seconds": "count"},
    }
    spec = parse_spec({**model, **told})
    assert [(m.kind, m.direction) for m in spec.metrics[:2]] == [("mean", "decrease"), ("count", "decrease")]


def test_a_secondary_metric_with_limits_is_a_guardrail(model):
    spec = parse_spec({**model, "secondary_metrics": ["error_rate", "dwell_seconds"]})
    assert {m.key: m.role for m in spec.metrics} == {"clicked": "primary", "dwell_seconds": "secondary", "error_rate": "guardrail"}


@pytest.mark.parametrize(
    ("shares", "units"),
    [({"v1": 0.5, "v2": 0.5}, 2000), ({"v1": 0.95, "v2": 0.05}, 20_000), ({"v1": 1.0, "v2": 0.0}, 1000), ({"v1": 0.7, "v2": 0.3}, 3334)],
)
def test_the_smallest_arm_sets_the_planned_units(model, shares, units):
    """ML-01: min_sample_size is per arm."""
    assert parse_spec({**model, "traffic_allocation": shares}).plan.sample_size == units


def test_shares_are_compared_as_decimals(model):
    """ML-04: 0.1 + 0.2 is .3 for the one who wrote it."""
    shares = {"v1": 0.1 + 0.2, "v2": 0.7}
    assert parse_spec({**model, "traffic_allocation": shares}).treatments == ("v2",)


def test_the_default_minimum_yields_to_a_shorter_run(model):
    assert parse_spec({**model, "max_duration_days": 7}).plan.min_days == 7


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"champion": "v1"}, "Did you mean 'champion_model'?"),
        ({"traffic_allocation": {"v1": 0.9, "v2": 0.2}}, "shares of traffic must sum to 1, got 1.1"),
        ({"traffic_allocation": {"v1": 0.9, "v2": 0.09999}}, "multiple of 0.0001"),
        ({"traffic_allocation": {"v1": 1 / 3, "v2": 2 / 3}}, "multiple of 0.0001"),
        ({"traffic_allocation": {"v1": 1.1, "v2": -0.1}}, "traffic_allocation.v2"),
        ({"traffic_allocation": {"v1": 0.9, "v3": 0.1}}, "unknown: ['v3'], missing: ['v2']"),
        ({"traffic_allocation": {"v1": 0.9, "v2 ": 0.1}}, "Did you mean 'v2'?"),
        ({"traffic_allocation": {"v1": 1.0}}, "missing: ['v2']"),
        ({"challenger_models": ["v1"]}, "models must differ"),
        ({"challenger_models": []}, "challenger_models"),
        ({"challenger_models": "v2"}, "challenger_models"),
        ({"significance_level": 95}, "significance_level"),
        ({"significance_level": 0}, "significance_level"),
        ({"power": 1}, "power"),
        ({"power": 0.04}, "power must lie between alpha and 1"),
        ({"minimum_detectable_effect": -0.1}, "minimum_detectable_effect"),
        ({"min_sample_size": 0}, "min_sample_size"),
        ({"max_duration_days": 0}, "max_duration_days"),
        ({"min_duration_days": 30}, "min_duration_days must not exceed max_duration_days, got 30 and 21"),
        ({"practical_threshold": 0.3, "strong_threshold": 0.2}, "strong_threshold must not be below practical_threshold"),
        ({"secondary_metrics": ["clicked"]}, "a metric has one role, got ['clicked'] twice"),
        ({"guardrail_metrics": {"clicked": (0, 1)}}, "cannot be its own guardrail"),
        ({"guardrail_metrics": {"g": (5, 1)}}, "min must lie below max"),
        ({"guardrail_metrics": {"g": (None, None)}}, "must set a limit"),
        ({"guardrail_metrics": {"g": (0, math.nan)}}, "a limit is a number or None, got nan"),
        ({"guardrail_metrics": {"g": 5}}, "guardrail_metrics.g"),
        (
            {"guardrail_metrics": {"g": (0, 200)}, "directions": {"g": "increase"}},
            "so a smallest value is its limit",
        ),
        (
            {"guardrail_metrics": {"g": (5, None)}, "directions": {"g": "decrease"}},
            "so a largest value is its limit",
        ),
        ({"directions": {"cliked": "decrease"}}, "directions: no metric named 'cliked'"),
        ({"directions": {"cliked": "decrease"}}, "Did you mean 'clicked'?"),
        ({"metric_types": {"dwell": "count"}}, "metric_types: no metric named 'dwell'"),
        ({"metric_types": {"clicked": "ratio"}}, "metric_types.clicked must be one of"),
        ({"directions": {"clicked": "lower"}}, "directions.clicked must be one of"),
        ({"name": "123"}, "all digits"),
        ({"label_window_days": 0}, "label_window_days"),
    ],
)
def test_a_broken_rule_is_refused_from_code_and_from_a_file(model, change, rule):
    """ML-01, ML-03, ML-04."""
    raw = {**model, **change}
    with pytest.raises(SpecError) as from_file:
        parse_spec(raw)
    assert rule in str(from_file.value)
    if set(change) <= {field.name for field in dataclasses.fields(ExperimentConfig)}:
        with pytest.raises(SpecError) as from_code:
            ExperimentConfig(**raw)
        assert rule in str(from_code.value)


def test_a_missing_field_is_named(model):
    """ML-03: required inputs."""
    del model["min_sample_size"]
    with pytest.raises(SpecError, match="min_sample_size is required"):
        parse_spec(model)


def test_a_config_cannot_be_changed_behind_its_checks(model):
    config = ExperimentConfig(**model)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.power = 2.0
    with pytest.raises(SpecError):
        dataclasses.replace(config, power=2.0)
