"""Rules that an entry of a catalog keeps beyond its form.

What is declared is executed or rejected: ranges, two names for one number that
disagree, a schedule that contradicts itself, and settings that this version
cannot execute are errors; what is kept but changes no number is a warning.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator, Mapping
from typing import get_args

from fairtrial.spec.catalog_file import MAX_ARMS_IN_RANGE, Range, ValidationRules
from fairtrial.spec.catalog_model import CatalogEntry, EffectSize, PrimaryMetric, TemporalSchedule
from fairtrial.spec.plan import CiMethod, Correction

RELATIVE_TOLERANCE = 1e-6
"""Two ways to write one number agree to this; figures in a file are rounded."""

KINDS = {"ab_test": "ab_test", "holdout": "holdout"}
SIDES = {
    "two_sided": "two-sided",
    "two_tailed": "two-sided",
    "one_sided": "one-sided",
    "one_tailed": "one-sided",
}
TYPE_WORDS = {
    "conversion": {"proportion"},
    "proportion": {"proportion"},
    "continuous": {"mean"},
    "mean": {"mean"},
    "count": {"count"},
    "ratio": {"ratio"},
}
METHODS = {
    "two_proportion_z_test": {"proportion"},
    "welch_t_test": {"mean", "count"},
    "delta_method": {"ratio"},
}
"""Primary analysis methods, and the metric types that they are the method of."""

RULE_WORDS = {
    "primary_significant": "rules 5-7: the interval excludes 0 on the good side",
    "primary_reaches_threshold": "rule 6: the estimate reaches the business threshold",
    "guardrails_pass": "rules 1 and 4",
    "guardrail_alert": "rule 1",
    "significant_harm": "rule 2",
    "sample_ratio_mismatch": "rule 0",
    "maximum_runtime_reached": "the plan is complete",
}
"""Conditions of launch and stop that the decision rule executes."""


def normalised(word: str) -> str:
    """A word of the catalog with underscores, in lower case."""
    return word.strip().lower().replace("-", "_").replace(" ", "_")


def broken_rules(entry: CatalogEntry, rules: ValidationRules) -> list[str]:
    """Everything that is wrong with an entry whose form is right, one sentence each."""
    found = [
        *_names(entry),
        *_ranges(entry, rules),
        *_agreement(entry),
        *_effect(entry),
        *_sizes(entry),
        *_schedule(entry.design.temporal_schedule),
    ]
    return [*found, *_metrics(entry), *_not_available(entry)]


def config_warnings(entry: CatalogEntry, rules: ValidationRules) -> list[str]:
    """What is allowed but worth knowing, one sentence each."""
    return [*_odd_numbers(entry, rules), *_recorded_only(entry)]


def one_of(*values: float | None) -> float | None:
    """The first number that is given."""
    return next((value for value in values if value is not None), None)


def differ(*values: float | None) -> bool:
    """Whether the numbers that are given disagree."""
    given = [value for value in values if value is not None]
    return any(not math.isclose(value, given[0], rel_tol=RELATIVE_TOLERANCE, abs_tol=1e-12) for value in given[1:])


def threshold_of(primary: PrimaryMetric) -> float | None:
    """Smallest lift worth launching, under either of its names."""
    return one_of(primary.business_significance_threshold, primary.threshold)


def relative_effect(entry: CatalogEntry) -> float | None:
    """The effect that the test is sized for as a fraction of the baseline; None when unknown."""
    effect = entry.power_analysis.effect_size
    size = one_of(effect.minimum_detectable_effect, effect.magnitude)
    if size is None or effect.type == "relative":
        return size
    baseline = baseline_of(entry)
    return size / abs(baseline) if baseline is not None and baseline != 0.0 else None


def baseline_of(entry: CatalogEntry) -> float | None:
    """Value of the primary metric without the change, as far as it is declared."""
    return one_of(entry.power_analysis.effect_size.baseline_metric_value, entry.metrics.primary.baseline_assumptions.value)


def _names(entry: CatalogEntry) -> Iterator[str]:
    name, version = entry.design.experiment_name, entry.metadata.config_version
    if "control" not in entry.variants:
        yield f"no control: one variant must be named 'control', got {list(entry.variants)}"
    suffix = re.search(r"_v(\d+(?:_\d+)*)$", name)
    if suffix is not None:
        named = suffix.group(1).split("_")
        if version.split(".")[: len(named)] != named:
            yield f"name and version must agree: {name!r} has metadata.config_version {version}"


def _ranges(entry: CatalogEntry, rules: ValidationRules) -> Iterator[str]:
    power, primary = entry.power_analysis, entry.metrics.primary
    yield from _outside("power_analysis.significance_level", power.significance_level, rules.significance_level)
    yield from _outside("power_analysis.statistical_power", power.statistical_power, rules.statistical_power)
    yield from _outside("power_analysis.effect_size (relative)", relative_effect(entry), rules.effect_size)
    yield from _outside("metrics.primary.business_significance_threshold", threshold_of(primary), rules.business_significance_threshold)
    if entry.design.experiment_type != "holdout" and len(entry.variants) <= MAX_ARMS_IN_RANGE:
        for key, variant in entry.variants.items():
            yield from _outside(f"variants.{key}.allocation", variant.allocation, rules.allocation)


def _outside(where: str, value: float | None, bounds: Range) -> Iterator[str]:
    low, high = bounds
    slack = RELATIVE_TOLERANCE * high
    if value is not None and not low - slack <= value <= high + slack:
        yield f"{where} must lie in [{low:g}, {high:g}], got {value:g}"


def _agreement(entry: CatalogEntry) -> Iterator[str]:
    power, primary, schedule = entry.power_analysis, entry.metrics.primary, entry.design.temporal_schedule
    pairs = (
        ("alpha", primary.statistical_significance_level, power.significance_level),
        ("the primary metric's threshold", primary.business_significance_threshold, primary.threshold),
        ("the baseline", primary.baseline_assumptions.value, power.effect_size.baseline_metric_value),
        ("the minimum of days", schedule.minimum_runtime_days, power.duration_calculation.business_minimum_days),
        ("the maximum of days", schedule.maximum_runtime_days, power.duration_calculation.business_maximum_days),
    )
    for what, one, other in pairs:
        if differ(one, other):
            yield f"{what} is declared twice and must agree, got {one:g} and {other:g}"


def planned_units(entry: CatalogEntry) -> int | None:
    """Planned units in total as declared, for all variants or for each; None when not declared."""
    size = entry.power_analysis.sample_size
    if size.total is not None or size.per_variant is None:
        return size.total
    shares = [variant.allocation for variant in entry.variants.values() if variant.allocation > 0]
    return math.ceil(size.per_variant / min(shares) - RELATIVE_TOLERANCE) if shares else None


def _sizes(entry: CatalogEntry) -> Iterator[str]:
    size, shares = entry.power_analysis.sample_size, [variant.allocation for variant in entry.variants.values()]
    if size.total is None or size.per_variant is None or differ(*shares):
        return
    if size.total != size.per_variant * len(shares):
        yield f"power_analysis.sample_size: total must be per_variant times {len(shares)} variants, got {size.total} and {size.per_variant}"


def _effect(entry: CatalogEntry) -> Iterator[str]:
    effect = entry.power_analysis.effect_size
    baseline = baseline_of(entry)
    treatment = effect.treatment_metric_value
    if baseline is None:
        if effect.treatment_metric_value is not None or effect.absolute_difference is not None:
            yield "power_analysis.effect_size: a treatment value or a difference needs baseline_metric_value"
        return
    if treatment is None and effect.absolute_difference is not None:
        treatment = baseline + effect.absolute_difference
    if treatment is None:
        return
    if effect.absolute_difference is not None and differ(baseline + effect.absolute_difference, treatment):
        yield (
            f"power_analysis.effect_size: absolute_difference must be treatment minus baseline, "
            f"got {effect.absolute_difference:g} for {baseline:g} -> {treatment:g}"
        )
    expected = _expected_treatment(effect, baseline, sign=-1.0 if entry.metrics.primary.direction == "decrease" else 1.0)
    if expected is not None and differ(treatment, expected):
        yield (
            f"power_analysis.effect_size: magnitude must lead from the baseline to the treatment value in the metric's direction, "
            f"got {baseline:g} -> {treatment:g}, where {effect.magnitude:g} {effect.type} gives {expected:g}"
        )


def _expected_treatment(effect: EffectSize, baseline: float, *, sign: float) -> float | None:
    if effect.magnitude is None:
        return None
    step = effect.magnitude * abs(baseline) if effect.type == "relative" else effect.magnitude
    return baseline + sign * step


def _schedule(schedule: TemporalSchedule) -> Iterator[str]:
    periods = (
        ("planned", schedule.start_date, schedule.planned_end_date, schedule.planned_duration_days),
        ("baseline_period", schedule.baseline_period_start, schedule.baseline_period_end, schedule.baseline_period_days),
        ("experiment_period", schedule.experiment_period_start, schedule.experiment_period_end, schedule.experiment_period_days),
    )
    for name, start, end, days in periods:
        yield from _period(name, start, end, days)
    if schedule.start_date and schedule.baseline_period_end and schedule.baseline_period_end >= schedule.start_date:
        yield f"temporal_schedule: the baseline period must end before {schedule.start_date}, got {schedule.baseline_period_end}"
    limits = (schedule.minimum_runtime_days, schedule.planned_duration_days, schedule.maximum_runtime_days)
    given = [days for days in limits if days is not None]
    if given != sorted(given):
        yield f"temporal_schedule: minimum, planned and maximum days must not fall, got {given}"


def _period(name: str, start: dt.date | None, end: dt.date | None, days: int | None) -> Iterator[str]:
    if start is None or end is None:
        if end is not None:
            yield f"temporal_schedule: the end of {name} needs its start"
        return
    length = (end - start).days + 1
    if length < 1:
        yield f"temporal_schedule: {name} must not end before it starts, got {start} to {end}"
    elif days is not None and days != length:
        yield f"temporal_schedule: {name} from {start} to {end} has {length} days with both ends, not {days}"


def _metrics(entry: CatalogEntry) -> Iterator[str]:
    metrics = entry.metrics
    for metric in (metrics.primary, *metrics.secondary, *metrics.guardrail_metrics):
        columns = (metric.numerator, metric.denominator)
        if metric.type == "ratio" and None in columns:
            yield f"metric {metric.name!r}: a ratio needs numerator and denominator"
        if metric.type != "ratio" and columns != (None, None):
            yield f"metric {metric.name!r}: numerator and denominator are for type ratio, got {metric.type}"
        if metric.baseline_assumptions.covariate_correlation is not None and metric.covariate is None:
            yield f"metric {metric.name!r}: covariate_correlation needs the `covariate` that the analysis adjusts for"
    for metric in metrics.secondary:
        if metric.expected_direction and metric.target_direction and metric.expected_direction != metric.target_direction:
            yield (
                f"metric {metric.name!r}: expected_direction and target_direction are one thing and must agree, "
                f"got {metric.expected_direction} and {metric.target_direction}"
            )
        direction, limit = metric.expected_direction or metric.target_direction, metric.guardrail_threshold
        if direction == "increase" and limit is not None and limit > 0:
            yield f"metric {metric.name!r} should increase, so its guardrail_threshold is a loss: write {-limit:g}, got {limit:g}"
    for metric in metrics.guardrail_metrics:
        if metric.alert_condition == "above_baseline_ratio" and metric.threshold < 1:
            yield f"metric {metric.name!r}: above_baseline_ratio needs a threshold of at least 1 (1.1 = 10% more), got {metric.threshold:g}"


def _not_available(entry: CatalogEntry) -> Iterator[str]:
    power, wanted, kind = entry.power_analysis, entry.implementation.analysis_requirements, entry.metrics.primary.type
    if entry.design.experiment_type not in KINDS:
        yield f"design.experiment_type {entry.design.experiment_type!r} is not available in this version: {list(KINDS)} only"
    if power.sequential_testing.enable_early_stopping:
        yield "power_analysis.sequential_testing.enable_early_stopping is not available in this version: method fixed only"
    if power.multiple_testing_correction is not None and correction_of(power.multiple_testing_correction) is None:
        known = list(get_args(Correction))
        yield f"power_analysis.multiple_testing_correction must be one of {known}, got {power.multiple_testing_correction!r}"
    if power.test_type is not None:
        yield from _test_type(normalised(power.test_type), kind)
    methods = {name: name for name, kinds in METHODS.items() if kind in kinds}
    yield from _method("primary_analysis_method", wanted.primary_analysis_method, methods, kind)
    yield from _method("confidence_interval_method", wanted.confidence_interval_method, interval_methods(kind), kind)
    if wanted.subgroup_analysis:
        yield "implementation.analysis_requirements.subgroup_analysis is not available in this version: leave it out or empty"
    if wanted.bootstrap_iterations:
        yield "implementation.analysis_requirements.bootstrap_iterations is not available in this version: leave it out or 0"


def _method(name: str, word: str | None, known: Mapping[str, str], kind: str) -> Iterator[str]:
    if word is not None and normalised(word) not in known:
        where = f"implementation.analysis_requirements.{name}"
        yield f"{where}: {word!r} is not available in this version for type {kind}: {list(known)} only"


def _test_type(word: str, kind: str) -> Iterator[str]:
    if word not in SIDES and word not in TYPE_WORDS:
        yield f"power_analysis.test_type must be one of {[*SIDES, *TYPE_WORDS]}, got {word!r}"
    elif word in TYPE_WORDS and kind not in TYPE_WORDS[word]:
        yield f"power_analysis.test_type {word!r} does not fit the primary metric's type {kind!r}"


def correction_of(word: str) -> str | None:
    """The correction that a word of the catalog names, None when there is no such correction."""
    name = normalised(word).replace("_", "-")
    return name if name in get_args(Correction) else None


def interval_methods(kind: str) -> dict[str, str]:
    """Names of interval methods for a metric type, with what each is called in the plan."""
    if kind == "proportion":
        return {normalised(name): name for name in get_args(CiMethod)}
    return {"delta_method": "delta"} if kind == "ratio" else {"welch": "welch"}


def _odd_numbers(entry: CatalogEntry, rules: ValidationRules) -> Iterator[str]:
    limit = rules.guardrail_threshold_warning
    for metric in entry.metrics.secondary:
        if metric.guardrail_threshold is not None and abs(metric.guardrail_threshold) > limit:
            yield f"metric {metric.name!r}: guardrail_threshold {metric.guardrail_threshold:g} tolerates a change of more than {limit:.0%}"
    effect = entry.power_analysis.effect_size
    sized_for, expected = effect.minimum_detectable_effect, effect.magnitude
    if sized_for is not None and expected is not None and sized_for > expected:
        yield f"the test is sized for an effect of {sized_for:g}, larger than the {expected:g} that is expected"
    for metric in (*entry.metrics.secondary, *entry.metrics.guardrail_metrics):
        if metric.type is None:
            yield f"metric {metric.name!r} declares no type and is read as a mean"


def _recorded_only(entry: CatalogEntry) -> Iterator[str]:
    if entry.design.assignment_method != "simple_randomization" and entry.population.stratification is None:
        yield "assignment_method stratified_block_randomization does nothing without population.stratification: units are assigned simply"
    if entry.design.temporal_schedule.ramp_up_days:
        yield "ramp_up_days is recorded, not executed: a ramp only moves units in, never between arms"
    sequential = entry.power_analysis.sequential_testing
    if any(value is not None for name, value in sequential if name != "enable_early_stopping"):
        yield "sequential_testing is switched off, so its other settings do nothing"
    framework = entry.implementation.decision_framework
    words = [text for text in (*framework.launch_criteria, *framework.stop_criteria) if normalised(text) not in RULE_WORDS]
    if words:
        yield f"criteria in free words are recorded, not executed: {words}; the decision rule knows {list(RULE_WORDS)}"
