"""What does not go together in a spec: a metric's test with the plan's method or with the shape of the data."""

from __future__ import annotations

from collections.abc import Sequence

from fairtrial.spec.data import DataSpec, UnitsData
from fairtrial.spec.metric import FROM_MOMENTS, GEOMETRIC, MetricSpec, chosen_test
from fairtrial.spec.plan import PlanSpec

SINGLE_LOOK = "fixed"
"""The method of a plan that looks once."""

STRATIFIABLE = frozenset({"proportions", "welch", "delta"})
"""Tests that post-stratification may adjust."""


def needs_units(metric: MetricSpec) -> bool:
    """Whether a metric's test is made of more than counts, means and cross-products."""
    return chosen_test(metric) not in FROM_MOMENTS | {"proportions"}


def check_combinations(metrics: Sequence[MetricSpec], plan: PlanSpec, data: DataSpec | None) -> None:
    """Refuse what no method serves.

    Raises:
        ValueError: A test of one look in a plan of several, a test of units on ready
            aggregates, a bootstrap without unit ids, a test that strata cannot adjust, or a
            threshold in the metric's unit for a ratio of geometric means.
    """
    for metric in metrics:
        test = chosen_test(metric)
        if needs_units(metric):
            _single_look(metric, plan)
            _has_units(metric, data)
        if test in GEOMETRIC and metric.role == "primary":
            _relative_thresholds(metric, plan)
        if isinstance(data, UnitsData) and data.adjust == "post_stratify" and test not in STRATIFIABLE:
            raise ValueError(f"metric '{metric.key}': {_said(metric)} cannot be post-stratified; use test welch, or adjust: none")


def _said(metric: MetricSpec) -> str:
    return "a quantile" if metric.kind == "quantile" else f"test '{chosen_test(metric)}'"


def _single_look(metric: MetricSpec, plan: PlanSpec) -> None:
    if plan.method != SINGLE_LOOK:
        other = "a metric of kind mean" if metric.kind == "quantile" else "test delta" if metric.kind == "ratio" else "test welch"
        raise ValueError(
            f"metric '{metric.key}': {_said(metric)} is made for one look and plan.method is '{plan.method}'; "
            f"use method fixed, or {other}, which may look more than once"
        )


def _has_units(metric: MetricSpec, data: DataSpec | None) -> None:
    if data is None:
        return
    if data.shape == "aggregates":
        raise ValueError(f"metric '{metric.key}': {_said(metric)} needs the units, ready aggregates hold none; use test welch or student")
    if data.shape == "units" and data.unit is None and chosen_test(metric) == "bootstrap":
        raise ValueError(f"metric '{metric.key}': test bootstrap draws units by their id; name the id's column as data.unit")


def _relative_thresholds(metric: MetricSpec, plan: PlanSpec) -> None:
    absolute = [
        name
        for name, given in (
            ("plan.mde_kind: absolute", plan.mde is not None and plan.mde_kind == "absolute"),
            ("plan.practical_threshold_absolute", plan.practical_threshold_absolute is not None),
            ("plan.objective: non_inferiority", plan.objective == "non_inferiority"),
        )
        if given
    ]
    if absolute:
        raise ValueError(
            f"metric '{metric.key}': test '{chosen_test(metric)}' compares geometric means by their ratio, so {absolute[0]}, "
            "which is in the metric's unit, cannot be read; use relative thresholds, or test welch"
        )
