"""Read a spec's data and judge it."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from fairtrial.analysis.quasi import analyze_quasi
from fairtrial.errors import UsageError
from fairtrial.evaluation import Look, Scorecard, evaluate
from fairtrial.metrics import build_metrics
from fairtrial.metrics.needs import Needs
from fairtrial.spec.data import DataSpec, UnitsData
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.factorial import with_cells
from fairtrial.stats.reading import Reading
from fairtrial.warehouse import read

WAREHOUSE = "FAIRTRIAL_WAREHOUSE"
"""Environment variable: address of the warehouse, from which specs without data are read and into which results are written."""


def analyze_spec(
    spec: ExperimentSpec,
    *,
    base: Path | None = None,
    source: str | None = None,
    looks: Sequence[Look] = (),
    as_of: dt.datetime | None = None,
    progress: Callable[[str], None] | None = None,
) -> Scorecard:
    """Read the spec's data in its engine and evaluate it; a quasi-experiment by its design.

    Args:
        spec: The experiment, with its data.
        base: Folder that a relative source counts from.
        source: Address to read instead of the spec's own.
        looks: Earlier looks, oldest first.
        as_of: Moment of the look, for the plan's days; of logs, nothing dated from then on is read. Default: now when
            there is a schedule, and the whole of the data.
        progress: Called with a sentence as each step begins.

    Raises:
        UsageError: The spec names no data, or earlier looks are given for a quasi-experiment, which is read once.
        DataError: The data cannot answer.
        ConnectorError: The source cannot be reached.
    """
    if spec.design is not None:
        if looks:
            raise UsageError(f"A quasi-experiment is read once; kind {spec.kind!r} takes no earlier looks.", hint="Leave them out.")
        return analyze_quasi(spec, base=base, source=source, as_of=as_of, progress=progress)
    reading = read_spec(spec, base=base, source=source, as_of=as_of, progress=progress)
    if progress is not None:
        progress("Testing, correcting and deciding")
    return evaluate(spec, reading, looks, as_of=moment_of(spec, as_of))


def read_spec(
    spec: ExperimentSpec,
    *,
    base: Path | None = None,
    source: str | None = None,
    as_of: dt.datetime | None = None,
    progress: Callable[[str], None] | None = None,
    values: Collection[str] = (),
) -> Reading:
    """Read a randomised experiment's arm statistics.

    Args:
        spec: The experiment.
        base: Folder that a relative source counts from.
        source: Address to read instead of the spec's own.
        as_of: Of logs: nothing dated from then on is read.
        progress: Called with a sentence as each step begins.
        values: Metrics whose units' own numbers are read too.

    Raises:
        UsageError: The spec names no data.
        DataError: The data cannot answer.
        ConnectorError: The source cannot be reached.
    """
    needs = needs_of(spec, values)
    arms = [arm.key for arm in spec.arms]
    data = with_cells(data_of(spec, source), spec.arms)
    return read(data, needs, arms, base=base, progress=progress, segments=spec.segments, until=as_of)


def needs_of(spec: ExperimentSpec, values: Collection[str] = ()) -> list[Needs]:
    """What is read for each metric; of those named in `values` the units' own numbers too."""
    needs = [metric.needs for metric in build_metrics(spec)]
    return [replace(need, rows=True) if need.metric in values else need for need in needs]


def moment_of(spec: ExperimentSpec, as_of: dt.datetime | None) -> dt.datetime | None:
    """The moment of the look: as said, or now where a schedule asks for one."""
    return as_of or (dt.datetime.now(dt.UTC) if spec.schedule is not None else None)


def data_of(spec: ExperimentSpec, source: str | None = None) -> DataSpec:
    """Where the experiment's rows are and what their columns are called.

    A spec without data is read from `source`, else from the warehouse (`FAIRTRIAL_WAREHOUSE`): a table of one row a unit
    with the columns `unit`, `arm` and one for each metric; in a database it has the experiment's name.

    Args:
        spec: The experiment.
        source: Address to read instead of the spec's own.

    Raises:
        UsageError: Nothing names a source.
    """
    if spec.data is not None:
        return spec.data if source is None else spec.data.model_copy(update={"source": source})
    address = source or os.environ.get(WAREHOUSE)
    if not address:
        raise UsageError(
            f"Experiment {spec.key!r} names no data.",
            hint=f"Add a `data` section with source, arm and unit, name a table of units with `--source`, or set {WAREHOUSE}.",
        )
    return UnitsData(source=address, table=spec.key, unit="unit")
