"""History from a warehouse: what a simulation starts from, and what an A/A test re-randomises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fairtrial.errors import UsageError
from fairtrial.metrics import build_metrics
from fairtrial.metrics.columns import UnitColumns
from fairtrial.simulation.history import world_of_reading, world_of_units
from fairtrial.simulation.world import World
from fairtrial.spec.data import DataSpec, UnitsData
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.factorial import with_cells
from fairtrial.warehouse import read
from fairtrial.warehouse.unit_columns import read_unit_columns


def measure_history(
    spec: ExperimentSpec, *, source: str | None = None, base: Path | None = None, progress: Callable[[str], None] | None = None
) -> World:
    """Measure the world of a simulation: once, through the warehouse.

    A unit table is read column by column for the control's units (all units where the table has
    no arm column); logs and ready aggregates give the control's arm statistics alone.

    Args:
        spec: The experiment; its data section says how to read.
        source: Address to read instead of the spec's own; relative to the working directory.
        base: Folder that the spec's own source counts from.
        progress: Called with a sentence as each step begins.

    Raises:
        UsageError: The spec has no data section.
        DataError: The data cannot answer.
        ConnectorError: The source cannot be reached.
    """
    data = _data(spec, source)
    needs = [metric.needs for metric in build_metrics(spec)]
    if progress is not None:
        progress("Measuring history")
    if isinstance(data, UnitsData):
        return world_of_units(spec, read_unit_columns(data, needs, arm=spec.control, base=base))
    reading = read(data, needs, [arm.key for arm in spec.arms], base=base)
    return world_of_reading(spec, reading, source=reading.intake.source)


def read_history(
    spec: ExperimentSpec, *, source: str | None = None, base: Path | None = None, arm: str | None, labels: Sequence[str] = ()
) -> UnitColumns:
    """The units of history, one by one.

    Args:
        spec: The experiment; its data section says how to read.
        source: Address to read instead of the spec's own.
        base: Folder that the spec's own source counts from.
        arm: Take this arm's units alone; None takes all.
        labels: Further columns to read.

    Raises:
        UsageError: The spec has no data section, or its data has no row a unit.
        DataError: The data cannot answer.
        ConnectorError: The source cannot be reached.
    """
    needs = [metric.needs for metric in build_metrics(spec)]
    return read_unit_columns(_data(spec, source), needs, arm=arm, labels=labels, base=base)


def _data(spec: ExperimentSpec, source: str | None) -> DataSpec:
    if spec.data is None:
        raise UsageError(
            f"Experiment {spec.key!r} names no data.", hint="Add a `data` section: it says which columns hold the metrics' values."
        )
    data = with_cells(spec.data, spec.arms)
    return data if source is None else data.model_copy(update={"source": source})
