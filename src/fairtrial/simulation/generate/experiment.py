"""Made-up data of an experiment, whatever the shape.

Nothing here is evidence. Every row says that it is synthetic, and what was assumed where the
plan says nothing is listed beside the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fairtrial.assignment import Allocation
from fairtrial.errors import UsageError
from fairtrial.simulation.generate.columns import Column
from fairtrial.simulation.generate.expected import Expected
from fairtrial.simulation.generate.logs import EXPOSED, log_tables
from fairtrial.simulation.generate.recipe import Recipe
from fairtrial.simulation.generate.units import unit_table
from fairtrial.spec.data import AggregatesData, LogsData, UnitsData
from fairtrial.spec.experiment import ExperimentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic:
    """Made-up data.

    Attributes:
        shape: Of which shape.
        tables: By name, the columns of each by name in order; one table of data shape `units`.
        units: How many units were assigned.
        effect: Relative effect planted in the primary metric of every treatment; 0 for none.
        assumed: What was assumed where the plan says nothing, one sentence each.
    """

    shape: Literal["units", "logs"]
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
    names = [f"synthetic-{recipe.seed}-{number}" for number in range(expected.units(recipe, analysed=analysed))]
    allocation = Allocation.from_shares(spec.key, spec.shares or {})
    arms = [allocation.arm(name) for name in names]
    if isinstance(data, LogsData):
        tables = log_tables(expected, recipe, data, names, arms, effect)
    else:
        tables = {"units": unit_table(expected, recipe, data, names, arms, effect)}
    return Synthetic(shape=data.shape, tables=tables, units=len(names), effect=effect, assumed=tuple(expected.assumed))


def _known_shape(spec: ExperimentSpec, recipe: Recipe) -> UnitsData | LogsData:
    """The data to make, of a design that has some."""
    if spec.kind not in {"ab_test", "holdout"} or spec.shares is None:
        raise UsageError(
            f"Data are generated for randomised arms of fixed shares; kind is {spec.kind!r}, allocation {spec.allocation!r}.",
            hint="Use an ab_test or a holdout.",
        )
    data = spec.data or UnitsData(source="synthetic", unit="unit")
    if isinstance(data, AggregatesData):
        raise UsageError("Data are generated unit by unit, ready aggregates have none.", hint="Leave `data` out of a copy of the spec.")
    if isinstance(data, UnitsData) and (recipe.late or recipe.duplicates or recipe.contaminated):
        raise UsageError(
            "Late and repeated events and contaminated controls are of logs, these data are a table of units.",
            hint="Leave --late, --duplicates and --contaminated out.",
        )
    if isinstance(data, UnitsData) and data.pair is not None:
        raise UsageError("No pairs are generated.", hint="Leave `data.pair` and the paired tests out of a copy of the spec.")
    return data
