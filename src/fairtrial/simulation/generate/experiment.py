"""Made-up data of an experiment, whatever the shape.

Nothing here is evidence. Every row says that it is synthetic, and what was assumed where the
plan says nothing is listed beside the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.assignment import Allocation
from fairtrial.errors import UsageError
from fairtrial.simulation.generate.aggregates import aggregate_table
from fairtrial.simulation.generate.columns import Column
from fairtrial.simulation.generate.expected import Expected
from fairtrial.simulation.generate.logs import EXPOSED, log_tables
from fairtrial.simulation.generate.recipe import Recipe
from fairtrial.simulation.generate.units import unit_table
from fairtrial.spec.data import AggregatesData, DataSpec, LogsData, UnitsData
from fairtrial.spec.experiment import ExperimentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic:
    """Made-up data.

    Attributes:
        shape: Of which shape.
        tables: By name, the columns of each by name in order; one table of the data shapes `units` and `aggregates`.
        units: How many units were assigned.
        effect: Relative effect planted in the primary metric of every treatment; 0 for none.
        assumed: What was assumed where the plan says nothing, one sentence each.
    """

    shape: Literal["units", "logs", "aggregates"]
    tables: dict[str, dict[str, Column]]
    units: int
    effect: float
    assumed: tuple[str, ...]


def generate_data(spec: ExperimentSpec, recipe: Recipe) -> Synthetic:
    """Assign units by the experiment's hash, draw outcomes, and lay the effect over the treatments.

    Args:
        spec: The experiment; its data are a unit table or logs, or not declared: then a unit table.
        recipe: What to make.

    Raises:
        UsageError: The design is one for which nothing is generated, or a figure of the plan is impossible.
    """
    data = _known_shape(spec, recipe)
    expected = Expected(spec)
    effect = expected.effect(recipe)
    analysed = EXPOSED if isinstance(data, LogsData) and data.exposures is not None else 1.0
    size = expected.units(recipe, analysed=analysed)
    if isinstance(data, UnitsData) and data.pair is not None:
        names, arms = _pairs(spec, recipe, size)
    else:
        names = [f"synthetic-{recipe.seed}-{number}" for number in range(size)]
        allocation = Allocation.from_shares(spec.key, spec.shares or {})
        arms = [allocation.arm(name) for name in names]
    if isinstance(data, LogsData):
        tables = log_tables(expected, recipe, data, names, arms, effect)
    else:
        units = data if isinstance(data, UnitsData) else UnitsData(source=data.source, unit="unit")
        factor = 1.0 + effect * _treated(spec, arms)
        if spec.kind == "factorial":
            expected.assume("Each factor has the effect by itself; factors do not change each other's.")
        table = unit_table(expected, recipe, units, names, arms, factor)
        tables = {"units": aggregate_table(spec, data, table, arms) if isinstance(data, AggregatesData) else table}
    return Synthetic(shape=data.shape, tables=tables, units=len(names), effect=effect, assumed=tuple(expected.assumed))


def _pairs(spec: ExperimentSpec, recipe: Recipe, size: int) -> tuple[list[str], list[str]]:
    """Names and arms of pairs: one under the control, then the same names under the treatment."""
    names = [f"synthetic-{recipe.seed}-{number}" for number in range((size + 1) // 2)]
    return [*names, *names], [*[spec.control] * len(names), *[spec.treatments[0]] * len(names)]


def _treated(spec: ExperimentSpec, arms: Sequence[str]) -> NDArray[np.float64]:
    """How often the effect lies on each unit: once under a treatment; in a factorial once for each factor that is changed."""
    first = next(arm.levels for arm in spec.arms if arm.key == spec.control)
    times = {
        arm.key: sum(level != first[name] for name, level in arm.levels.items()) if spec.factors else int(arm.key != spec.control)
        for arm in spec.arms
    }
    return np.array([times[arm] for arm in arms], dtype=np.float64)


def _known_shape(spec: ExperimentSpec, recipe: Recipe) -> DataSpec:
    """The data to make, of a design that has some."""
    if spec.kind not in {"ab_test", "holdout", "factorial"} or spec.shares is None:
        raise UsageError(
            f"Data are generated for randomised arms of fixed shares; kind is {spec.kind!r}, allocation {spec.allocation!r}.",
            hint="Use an ab_test, a holdout or a factorial.",
        )
    data = spec.data or UnitsData(source="synthetic", unit="unit")
    if spec.kind == "factorial" and isinstance(data, LogsData):
        raise UsageError("No logs are generated of factorial experiments.", hint="Name a table of units in a copy of the spec.")
    if not isinstance(data, LogsData) and (recipe.late or recipe.duplicates or recipe.contaminated):
        raise UsageError(
            "Late and repeated events and contaminated controls are of logs, these data are a table.",
            hint="Leave --late, --duplicates and --contaminated out.",
        )
    return data
