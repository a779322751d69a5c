"""What does not go together in a spec: a metric's test with the plan's method or with the shape of the data."""

from __future__ import annotations

from collections.abc import Sequence

from fairtrial.spec.data import DataSpec, UnitsData
from fairtrial.spec.metric import FROM_COUNTS, FROM_MOMENTS, GEOMETRIC, PAIRED, MetricSpec, chosen_test
from fairtrial.spec.plan import PlanSpec

SINGLE_LOOK = "fixed"
"""The method of a plan that looks once."""

STRATIFIABLE = frozenset({"proportions", "welch", "delta"})
"""Tests that post-stratification may adjust."""


IN_PAIRS = PAIRED | {"permutation"}
"""Tests that a design of pairs may use."""


def needs_units(metric: MetricSpec) -> bool:
    """Whether a metric's test is made of more than counts, means and cross-products."""
    return chosen_test(metric) not in FROM_MOMENTS | FROM_COUNTS | {"proportions"}


def check_combinations(metrics: Sequence[MetricSpec], plan: PlanSpec, data: DataSpec | None, *, arms: int = 2) -> None:
    """Refuse what no method serves.

    Args:
        metrics: The metrics of the experiment.
        plan: Its plan.
        data: Where its data is, if it says.
        arms: How many arms it has.

    Raises:
        ValueError: A test of one look in a plan of several, a test of units on ready
            aggregates, a bootstrap without unit ids, a test that strata cannot adjust, strata or
            pairs without a test that reads them, a test of strata or of pairs without them, or a
            threshold in the metric's unit for a ratio of geometric means.
    """
    for metric in metrics:
        test = chosen_test(metric)
        if needs_units(metric) or test in FROM_COUNTS:
            _single_look(metric, plan)
        if needs_units(metric):
            _has_units(metric, data)
        if test in GEOMETRIC and metric.role == "primary":
            _relative_thresholds(metric, plan)
        if isinstance(data, UnitsData) and data.adjust == "post_stratify" and test not in STRATIFIABLE:
            other = "test score" if metric.kind == "proportion" else "test welch"
            raise ValueError(f"metric '{metric.key}': {_said(metric)} cannot be post-stratified; use {other}, or adjust: none")
        _in_strata(metric, data)
        _in_pairs(metric, data)
    if isinstance(data, UnitsData):
        _strata_used(metrics, data)
        if data.pair is not None and arms != 2:
            raise ValueError(f"data.pair names pairs of one unit in each arm, so there are two arms; the spec has {arms}")


def _in_strata(metric: MetricSpec, data: DataSpec | None) -> None:
    if chosen_test(metric) != "mantel_haenszel" or data is None:
        return
    if data.shape != "units":
        raise ValueError(
            f"metric '{metric.key}': test 'mantel_haenszel' compares rates within data.strata, which data of shape "
            f"'{data.shape}' does not have; use test score"
        )
    if not data.strata:
        raise ValueError(f"metric '{metric.key}': test 'mantel_haenszel' compares rates within strata; name their columns as data.strata")


def _strata_used(metrics: Sequence[MetricSpec], data: UnitsData) -> None:
    if data.strata and data.adjust == "none" and not any(chosen_test(metric) == "mantel_haenszel" for metric in metrics):
        raise ValueError(
            "adjust: post_stratify and strata go together, one of them is missing (strata alone serve metrics with test mantel_haenszel)"
        )


def _in_pairs(metric: MetricSpec, data: DataSpec | None) -> None:
    paired = isinstance(data, UnitsData) and data.pair is not None
    test = chosen_test(metric)
    if paired and test not in IN_PAIRS:
        other = {
            "proportion": "use test mcnemar",
            "mean": "use test paired_t, wilcoxon or permutation",
            "count": "use test paired_t, wilcoxon or permutation",
        }.get(metric.kind, f"no test of a {metric.kind} does: make it a mean")
        raise ValueError(f"metric '{metric.key}': the data has pairs, and {_said(metric)} does not compare within them; {other}")
    if paired and metric.kind == "ratio":
        raise ValueError(f"metric '{metric.key}': the data has pairs, and no test of a ratio compares within them; make it a mean")
    if not paired and data is not None and test in PAIRED:
        raise ValueError(f"metric '{metric.key}': test '{test}' compares the units of a pair; name the pair's column as data.pair")


def _said(metric: MetricSpec) -> str:
    return "a quantile" if metric.kind == "quantile" else f"test '{chosen_test(metric)}'"


def _single_look(metric: MetricSpec, plan: PlanSpec) -> None:
    if plan.method != SINGLE_LOOK:
        others = {"quantile": "a metric of kind mean", "ratio": "test delta", "proportion": "test score"}
        other = others.get(metric.kind, "test welch")
        raise ValueError(
            f"metric '{metric.key}': {_said(metric)} is made for one look and plan.method is '{plan.method}'; "
            f"use method fixed, or {other}, which may look more than once"
        )


def _has_units(metric: MetricSpec, data: DataSpec | None) -> None:
    if data is None:
        return
    if data.shape == "aggregates":
        other = "test score or exact" if metric.kind == "proportion" else "test welch or student"
        raise ValueError(f"metric '{metric.key}': {_said(metric)} needs the units, ready aggregates hold none; use {other}")
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
