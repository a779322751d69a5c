"""Traffic, history and calendar of a catalog entry, in the normal form.

The long form of eligibility names attributes; in history they are columns of the
visits: `customer_type`, `country`, `cart_value`, `device_type`, and a column of true
and false by the name of each exclusion. What is written in words cannot be applied to
rows: it is carried along, so that every result can say so.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairtrial.spec.catalog_model import CatalogEntry, Eligibility, GuardrailMetric, SecondaryMetric

Fields = dict[str, object]

LISTS = {"customer_types": "customer_type", "countries": "country", "device_types": "device_type"}
"""Inclusions that name values, and the attribute that has them."""
FLAGS = ("vip_customers", "employee_accounts", "test_accounts", "customers_with_shipping_issues", "users_in_other_experiments")
"""Exclusions, each a column of true and false."""


def feasibility_of(entry: CatalogEntry) -> Fields:
    """The fields of `FeasibilitySpec` that an entry of the catalog's form declares."""
    power, seasons = entry.power_analysis, entry.design.seasonal_context
    traffic, assumed = power.traffic_analysis, entry.metrics.primary.baseline_assumptions
    guardrails = {metric.name: found for metric in _guardrails(entry) if (found := _expected(metric)) is not None}
    campaigns = [f"at the same time: {name}" for name in seasons.concurrent_campaigns]
    phase = [f"business cycle: {seasons.business_cycle_phase}"] if seasons.business_cycle_phase else []
    preferred = [f"preferred seasons: {', '.join(seasons.preferred_seasons)}"] if seasons.preferred_seasons else []
    return {
        "daily_units": traffic.daily_eligible_users,
        "daily_cv": traffic.coefficient_of_variation,
        "traffic_source": traffic.data_source,
        "buffer": power.sample_size.safety_buffer,
        "variance_fallback": assumed.variance_fallback,
        "expected": guardrails,
        "roi": power.effect_size.roi,
        "avoid_periods": seasons.avoid_periods,
        "notes": [*preferred, *phase, *campaigns],
        "history": _history(entry),
        "record": power.feasibility,
    }


def _guardrails(entry: CatalogEntry) -> Iterator[SecondaryMetric | GuardrailMetric]:
    yield from (metric for metric in entry.metrics.secondary if metric.guardrail_threshold is not None)
    yield from entry.metrics.guardrail_metrics


def _expected(metric: SecondaryMetric | GuardrailMetric) -> Fields | None:
    assumed = metric.baseline_assumptions
    if assumed.value is None:
        return None
    return {"value": assumed.value, "sd": assumed.standard_deviation, "covariate_correlation": assumed.covariate_correlation}


def _history(entry: CatalogEntry) -> Fields | None:
    history = entry.power_analysis.traffic_analysis.history
    if history is None:
        return None
    fields: Fields = history.model_dump(exclude_unset=True)
    if history.eligibility is None:
        fields["eligibility"], fields["in_words"] = compiled_eligibility(entry.population.eligibility_criteria)
    days = entry.design.temporal_schedule.baseline_period_days
    if "days" not in history.model_fields_set and days is not None:
        fields["days"] = days
    return fields


def compiled_eligibility(criteria: Eligibility) -> tuple[Fields, tuple[str, ...]]:
    """Rules about attributes, and the criteria that are words.

    Returns:
        The fields of an `EligibilitySpec`, and what no rule can apply.
    """
    include, exclude = criteria.include, criteria.exclude
    rules: list[Fields] = [
        {"attribute": attribute, "operator": "in", "value": list(values)}
        for name, attribute in LISTS.items()
        if (values := getattr(include, name))
    ]
    if include.min_cart_value is not None:
        rules.append({"attribute": "cart_value", "operator": "at_least", "value": include.min_cart_value})
    out: list[Fields] = [{"attribute": name, "operator": "equals", "value": True} for name in FLAGS if getattr(exclude, name)]
    words = (*include.rules, *((include.session_quality,) if include.session_quality else ()), *(f"not: {rule}" for rule in exclude.rules))
    return {"include": rules, "exclude": out}, words
