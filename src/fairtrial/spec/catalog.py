"""The catalog form of an experiment, translated into the normal form.

The mapping, field by field, is written down in docs/decisions/0004: what
changes a number is translated or rejected, what is words for people stays in
the file's own mapping.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import cast

from fairtrial.errors import Problem, SpecError, did_you_mean
from fairtrial.spec.catalog_feasibility import feasibility_of
from fairtrial.spec.catalog_file import ValidationRules
from fairtrial.spec.catalog_model import (
    REQUIRED_SECTIONS,
    CatalogEntry,
    CatalogVariant,
    GuardrailMetric,
    PrimaryMetric,
    SecondaryMetric,
    TemporalSchedule,
)
from fairtrial.spec.catalog_rules import (
    KINDS,
    SIDES,
    baseline_of,
    broken_rules,
    config_warnings,
    correction_of,
    interval_methods,
    normalised,
    one_of,
    planned_units,
    threshold_of,
)
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.problems import spec_error, validated

OWN_SECTIONS = frozenset(REQUIRED_SECTIONS) - {"hypothesis", "metrics"}
"""Sections that the normal form does not have; one of them tells the catalog's form."""

Fields = dict[str, object]


def is_catalog_entry(raw: object) -> bool:
    """Whether a mapping is written in the catalog's form."""
    if not isinstance(raw, Mapping):
        return False
    keys = set(cast("Mapping[object, object]", raw))
    return bool(keys & OWN_SECTIONS) and not keys & {"arms", "key", "kind"}


def parse_catalog_entry(
    raw: Mapping[str, object], *, what: str, name: str | None = None, rules: ValidationRules | None = None
) -> CatalogEntry:
    """Read an entry of a catalog and check every rule of its form.

    Args:
        raw: The entry, as read from a file.
        what: What is being read, for messages.
        name: Its key in the catalog, when it has one.
        rules: Ranges in force; default: those of `ValidationRules`.

    Raises:
        SpecError: A section is missing, a key is unknown, or a rule is broken.
    """
    missing = [section for section in REQUIRED_SECTIONS if section not in raw]
    if missing:
        message = f"Experiment {name or _own_name(raw) or 'unnamed'!r} is missing required fields: {missing}"
        near = [key for key in raw if key not in CatalogEntry.model_fields and did_you_mean(key, missing)]
        hint = f"Unknown key {near[0]!r}. {did_you_mean(near[0], missing)}" if near else ""
        raise SpecError(message, hint=hint, code="missing_fields", problems=[Problem(message, (near[0],))] if near else ())
    entry = validated(CatalogEntry, raw, what=what)
    own = entry.design.experiment_name
    if name is not None and own != name:
        raise SpecError(f"The {what} calls itself {own!r} in design.experiment_name; the two names must agree.")
    problems = broken_rules(entry, rules or ValidationRules())
    if problems:
        raise spec_error(what, [Problem(f"{problem}.") for problem in problems])
    return entry


def entry_warnings(entry: CatalogEntry, rules: ValidationRules | None = None) -> list[str]:
    """What is allowed in an entry but worth knowing, one sentence each."""
    return config_warnings(entry, rules or ValidationRules())


def translate_catalog_entry(
    raw: Mapping[str, object], *, what: str, name: str | None = None, rules: ValidationRules | None = None
) -> ExperimentSpec:
    """Translate an entry of a catalog into the normal form; the arguments are those of `parse_catalog_entry`.

    Raises:
        SpecError: A rule of the catalog's form or of the normal form is broken.
    """
    entry = parse_catalog_entry(raw, what=what, name=name, rules=rules)
    prose = entry.business_justification
    fields: Fields = {
        "key": entry.design.experiment_name,
        "kind": KINDS[entry.design.experiment_type],
        "description": prose if isinstance(prose, str) else "",
        "hypothesis": entry.hypothesis.primary,
        "owner": entry.metadata.owner,
        "version": entry.metadata.config_version,
        "status": entry.metadata.status,
        "prerequisites": entry.metadata.prerequisite_experiments,
        "change_log": [line.model_dump() for line in entry.metadata.change_log],
        "arms": [_arm(key, variant) for key, variant in entry.variants.items()],
        "metrics": [
            _primary(entry.metrics.primary),
            *(_secondary(metric) for metric in entry.metrics.secondary),
            *(_guardrail(metric) for metric in entry.metrics.guardrail_metrics),
        ],
        "plan": _plan(entry),
        "schedule": _schedule(entry.design.temporal_schedule),
        "feasibility": feasibility_of(entry),
        "assignment": _assignment(entry),
        "business": entry.business_impact,
    }
    return validated(ExperimentSpec, fields, what=what)


def _assignment(entry: CatalogEntry) -> Fields | None:
    """Strata and how they are used; None where the entry names none."""
    strata = entry.population.stratification
    if strata is None:
        return None
    return {
        "method": "stratified_blocks" if entry.design.assignment_method == "stratified_block_randomization" else "hash",
        "strata": strata.stratify_by or strata.balance_across,
        "minimum_stratum_size": strata.minimum_stratum_size,
        "balance_tolerance": strata.balance_tolerance,
    }


def _own_name(raw: Mapping[str, object]) -> str | None:
    design = raw.get("design")
    own = cast("Mapping[str, object]", design).get("experiment_name") if isinstance(design, Mapping) else None
    return own if isinstance(own, str) else None


def _arm(key: str, variant: CatalogVariant) -> Fields:
    value = variant.implementation
    served = None if isinstance(value, str) else value
    return {"key": key, "allocation": variant.allocation, "value": served, "description": variant.description or variant.name}


def _source(metric: PrimaryMetric | SecondaryMetric | GuardrailMetric) -> Fields:
    kind = metric.type or "mean"
    columns: Fields = {"numerator": metric.numerator, "denominator": metric.denominator} if kind == "ratio" else {}
    adjusted: Fields = {} if metric.covariate is None else {"covariate": metric.covariate}
    return {"key": metric.name, "kind": kind, **columns, **adjusted}


def _primary(metric: PrimaryMetric) -> Fields:
    window = f" (window: {metric.calculation_window})" if metric.calculation_window else ""
    return {**_source(metric), "role": "primary", "direction": metric.direction, "description": metric.definition + window}


def _secondary(metric: SecondaryMetric) -> Fields:
    declared = metric.expected_direction or metric.target_direction
    limit = metric.guardrail_threshold
    by_sign = "decrease" if limit is not None and limit > 0 else "increase"
    fields: Fields = {**_source(metric), "description": metric.definition, "role": "secondary"}
    fields["direction"] = declared if declared in {"increase", "decrease"} else by_sign
    return fields if limit is None else {**fields, "role": "guardrail", "margin": abs(limit), "margin_kind": "relative"}


def _guardrail(metric: GuardrailMetric) -> Fields:
    fields: Fields = {**_source(metric), "description": metric.definition, "role": "guardrail", "direction": "decrease"}
    fields["monitoring"] = metric.monitoring_frequency
    if metric.alert_condition == "above_threshold":
        return {**fields, "max_value": metric.threshold}
    return {**fields, "margin": float(Decimal(repr(metric.threshold)) - 1), "margin_kind": "relative"}


def _plan(entry: CatalogEntry) -> Fields:
    power, primary, schedule = entry.power_analysis, entry.metrics.primary, entry.design.temporal_schedule
    effect, duration = power.effect_size, power.duration_calculation
    plan: Fields = {
        "alternative": SIDES.get(normalised(power.test_type or ""), "two-sided"),
        "alpha": power.significance_level,
        "power": power.statistical_power,
        "mde": one_of(effect.minimum_detectable_effect, effect.magnitude),
        "mde_kind": effect.type,
        "baseline": baseline_of(entry),
        "baseline_sd": primary.baseline_assumptions.standard_deviation,
        "covariate_correlation": primary.baseline_assumptions.covariate_correlation,
        "sample_size": planned_units(entry),
        "min_days": one_of(schedule.minimum_runtime_days, duration.business_minimum_days),
        "max_days": one_of(schedule.maximum_runtime_days, duration.business_maximum_days),
        "practical_threshold": threshold_of(primary),
    }
    return {**plan, **dict(_methods(entry))}


def _methods(entry: CatalogEntry) -> Iterator[tuple[str, object]]:
    declared = entry.power_analysis.multiple_testing_correction
    if declared is not None:
        yield "correction", correction_of(declared)
        yield "secondary_correction", correction_of(declared)
    interval = entry.implementation.analysis_requirements.confidence_interval_method
    if interval is not None and entry.metrics.primary.type == "proportion":
        yield "ci_method", interval_methods("proportion")[normalised(interval)]


def _schedule(schedule: TemporalSchedule) -> Fields | None:
    if schedule.start_date is None:
        return None
    end = schedule.planned_end_date
    if end is None and schedule.planned_duration_days is not None:
        end = schedule.start_date + dt.timedelta(days=schedule.planned_duration_days - 1)
    return {"start": _midnight(schedule.start_date), "end": None if end is None else _midnight(end + dt.timedelta(days=1))}


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)
