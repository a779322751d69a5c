"""Tests of units under assignments drawn anew: each is made as an analysis makes it, one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError
from fairtrial.evaluation.batch import null_effect, sided
from fairtrial.evaluation.rowwise import compare_units, make_task
from fairtrial.metrics import Metric, UnitComparison
from fairtrial.metrics.columns import MetricValues
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import QuantileSpec
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.quantiles import QuantileSummary, order_statistic_interval
from fairtrial.stats.reading import ArmStats, OutcomeStats
from fairtrial.stats.result import Unavailable

Floats = NDArray[np.float64]

NOT_REDRAWN: Mapping[str, str] = {
    "bootstrap": "Its sums by bucket of units come out of the engine, and units are at hand here.",
    "mantel_haenszel": "It reads the counts of every stratum, and units are at hand here.",
}
"""Tests of units that are not made on drawn assignments, and why."""
UNBOUNDED = Unavailable(code="too_few_units", reason="The arm is too small to bound the quantile.")
PAIRED = "Its units come in pairs, whose members are assigned to one arm each, and single units are assigned here."


def why_not_redrawn(metric: Metric) -> str:
    """Why a test of units cannot be made on assignments drawn anew; empty where it can."""
    family = metric.family
    if not isinstance(family, UnitComparison):
        return ""
    if family.paired or family.test in {"paired_t", "wilcoxon", "mcnemar"}:
        return f"{metric.spec.key!r} is not tested. {PAIRED}"
    why = NOT_REDRAWN.get(family.test)
    return f"{metric.spec.key!r} is not tested by {family.test!r}. {why}" if why else ""


def p_values_of_units(spec: ExperimentSpec, metric: Metric, values: MetricValues, assignments: Sequence[NDArray[np.int8]]) -> Floats:
    """P-values of a test of units, of every treatment under every assignment.

    Args:
        spec: The experiment, tested at one look.
        metric: One that `why_not_redrawn` has nothing against.
        values: Its columns over the units.
        assignments: Arm of every unit, the control 0, one array an assignment.

    Returns:
        Shape (assignments, treatments), NaN where there is none.

    Raises:
        DataError: An arm got no unit of the metric.
    """
    names = (spec.control, *spec.treatments)
    return np.array([_of_one(spec, metric, values, assignment, names) for assignment in assignments])


def _of_one(
    spec: ExperimentSpec, metric: Metric, values: MetricValues, assignment: NDArray[np.int8], names: tuple[str, ...]
) -> list[float]:
    arms: dict[str, ArmStats] = {}
    for place, name in enumerate(names):
        rows = values.values[values.kept & (assignment == place)]
        if rows.shape[0] < 2:
            raise DataError(f"An arm got fewer than two units of metric {metric.spec.key!r} in some assignment.", hint="Take more history.")
        arms[name] = ArmStats(n=rows.shape[0], outcomes={metric.spec.key: _outcome(metric, rows)})
    tasks = [
        make_task(
            metric,
            treatment,
            arms,
            experiment=spec.key,
            control=spec.control,
            alternative=sided(spec, metric.spec),
            margin=null_effect(spec, metric.spec),
            alpha=spec.plan.alpha,
        )
        for treatment in names[1:]
    ]
    return [result.p_value if math.isfinite(result.p_value) else math.nan for result in compare_units(tasks)]


def _outcome(metric: Metric, rows: Floats) -> OutcomeStats:
    quantile = None
    if isinstance(metric.spec, QuantileSpec):
        interval = order_statistic_interval(rows[:, 0], metric.spec.q).interval
        quantile: QuantileSummary | Unavailable | None = UNBOUNDED
        if math.isfinite(interval.low) and math.isfinite(interval.high):
            quantile = QuantileSummary(n=rows.shape[0], value=float(np.quantile(rows[:, 0], metric.spec.q)), interval=interval)
    ordered = rows[np.lexsort(rows.T[::-1])]
    return OutcomeStats(moments=CoMoments.from_values(rows), rows=ordered, quantile=quantile)
