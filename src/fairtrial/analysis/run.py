"""Read a spec's data and judge it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path

from fairtrial.analysis.quasi import analyze_quasi
from fairtrial.errors import UsageError
from fairtrial.evaluation import Look, Scorecard, evaluate
from fairtrial.metrics import build_metrics
from fairtrial.spec.data import DataSpec, UnitsData
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.factorial import with_cells
from fairtrial.warehouse import read


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
        as_of: Moment of the look, for the plan's days; default: now when there is a schedule.
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
    data = data_of(spec, source)
    needs = [metric.needs for metric in build_metrics(spec)]
    arms = [arm.key for arm in spec.arms]
    reading = read(with_cells(data, spec.arms), needs, arms, base=base, progress=progress, segments=spec.segments)
    if progress is not None:
        progress("Testing, correcting and deciding")
    moment = as_of or (dt.datetime.now(dt.UTC) if spec.schedule is not None else None)
    return evaluate(spec, reading, looks, as_of=moment)


def data_of(spec: ExperimentSpec, source: str | None = None) -> DataSpec:
    """Where the experiment's rows are and what their columns are called.

    A spec without data that is read from a source means a table of one row a unit, with the columns
    `unit`, `arm` and one for each metric.

    Args:
        spec: The experiment.
        source: Address to read instead of the spec's own.

    Raises:
        UsageError: Neither names a source.
    """
    if spec.data is not None:
        return spec.data if source is None else spec.data.model_copy(update={"source": source})
    if source is None:
        raise UsageError(
            f"Experiment {spec.key!r} names no data.",
            hint="Add a `data` section with source, arm and unit, or name a table of units with `--source`.",
        )
    return UnitsData(source=source, unit="unit")
