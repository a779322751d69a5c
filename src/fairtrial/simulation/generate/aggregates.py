"""Made-up aggregates: the counts and moments of made-up units, under the column names that the spec declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError
from fairtrial.simulation.generate.columns import Column, put
from fairtrial.simulation.generate.recipe import LABEL
from fairtrial.spec.data import AggregatesData, MomentColumns
from fairtrial.spec.experiment import ExperimentSpec, metric_sources

Floats = NDArray[np.float64]


def aggregate_table(spec: ExperimentSpec, data: AggregatesData, units: Mapping[str, Column], arms: Sequence[str]) -> dict[str, Column]:
    """A row an arm, or an arm and metric where the data have rows of their own for each metric.

    Args:
        spec: The experiment.
        data: Names of the columns.
        units: The unit table.
        arms: Arm of each unit.

    Raises:
        UsageError: A metric has no columns, or a column has two meanings.
    """
    keys = [metric.key for metric in spec.metrics]
    if lost := [key for key in keys if key not in data.columns]:
        raise UsageError(f"Aggregates name the columns of every metric, those of {lost} are not there.", hint="data: {columns: ...}")
    values = {metric.key: np.asarray(units[str(metric_sources(metric)["outcome"])], dtype=np.float64) for metric in spec.metrics}
    of_arm = {arm.key: np.array([one == arm.key for one in arms]) for arm in spec.arms}
    rows = [(arm, key) for arm in of_arm for key in keys] if data.metric is not None else [(arm, None) for arm in of_arm]
    made: dict[str, Column] = {}
    put(made, data.arm, [arm for arm, _ in rows])
    if data.metric is not None:
        put(made, data.metric, [str(key) for _, key in rows])
    put(made, data.n, np.array([int(of_arm[arm].sum()) for arm, _ in rows]))
    for key in keys:
        for name, column in _columns(data.columns[key], [values[key][of_arm[arm]] for arm, _ in rows]).items():
            mine = np.array([row_key in {None, key} for _, row_key in rows])
            filled = np.where(mine, column, np.nan)
            if data.metric is not None and name in made:  # another metric's rows have the same column
                filled = np.where(mine, column, np.asarray(made.pop(name), dtype=np.float64))
            if name != data.n:
                put(made, name, filled)
    for name, value in data.where.items():
        put(made, name, np.full(len(rows), value) if not isinstance(value, str) else [value] * len(rows))
    put(made, LABEL, np.ones(len(rows), dtype=np.bool_))
    return made


def _columns(named: MomentColumns, parts: Sequence[Floats]) -> dict[str, Floats]:
    """By column its value in every row."""
    found = {
        named.n: [part.size for part in parts],
        named.successes: [part.sum() for part in parts],
        named.mean: [part.mean() for part in parts],
        named.variance: [part.var(ddof=1) for part in parts],
        named.sum: [part.sum() for part in parts],
        named.sum_squares: [np.square(part).sum() for part in parts],
    }
    return {name: np.array(column, dtype=np.float64) for name, column in found.items() if name is not None}
