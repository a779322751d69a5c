"""Whether an experiment can be run, measured in a warehouse or out of the spec alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import ConnectorError, DataError, UnknownNameError, UsageError
from fairtrial.evaluation.feasibility import SYNTHETIC_SOURCE, Assessment, TrafficFigures, assess_feasibility, traffic_of
from fairtrial.evaluation.feasibility_sizes import MetricFigures
from fairtrial.metrics import Metric, build_metrics
from fairtrial.simulation.replicates import layout_of
from fairtrial.spec.data import FactTable, LogsData
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.feasibility import HistorySpec, MetricHistory
from fairtrial.spec.metric import EventValue, MetricSpec, covariates_of
from fairtrial.stats.accumulation import accumulate_distinct
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.reading import ArmStats, OutcomeStats
from fairtrial.stats.result import Unavailable
from fairtrial.warehouse import open_source
from fairtrial.warehouse.history import read_past_outcomes, read_visits
from fairtrial.warehouse.sources import Source

MOCK_DAILY, MOCK_CV, MOCK_UNITS, MOCK_DAYS = 1_000.0, 0.15, 20_000, 56
"""What made-up traffic is like where the spec does not say."""

Figures = dict[str, MetricFigures]
Floats = NDArray[np.float64]


def measure_feasibility(
    spec: ExperimentSpec,
    *,
    at: dt.datetime,
    source: str | None = None,
    base: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Assessment | Unavailable:
    """Units, days and dates from history where the spec or the caller names one, else from the spec's assumptions.

    A source that fails is an error; no number is ever put in its place.

    Args:
        spec: The experiment; `feasibility.history` says how visits and events are read.
        at: The moment; its UTC day is the first that is not read.
        source: Address to read instead of the history's own; relative to the working directory.
        base: Folder that the spec's own source counts from.
        progress: Called with a sentence as each step begins.

    Raises:
        UsageError: A source was named, but the spec does not say how to read it.
        DataError: The data cannot answer.
        ConnectorError: The source cannot be reached.
    """
    history = None if spec.feasibility is None else spec.feasibility.history
    address = source or (None if history is None else history.source)
    if address is None:
        return assess_feasibility(spec, at=at)
    if history is None:
        raise UsageError(
            f"Experiment {spec.key!r} does not say how to read history.",
            hint="Add feasibility.history (traffic_analysis.history in a catalog): at least `visits`, with table, unit and time.",
        )
    told = progress or _silent
    told("Opening history")
    with _opened(address, None if source is not None else base) as opened:
        try:
            told("Counting distinct eligible units by day")
            traffic = _traffic(opened, spec, history, at.date())
            told("Measuring outcomes")
            figures = _figures(opened, spec, history, at.date())
        except UnknownNameError as error:
            raise DataError(error.message, hint=error.hint, code=error.code) from error
    return assess_feasibility(spec, at=at, traffic=traffic, figures=figures)


def _opened(address: str, base: Path | None) -> Source:
    """The source; what is not there has failed, an address that is none is wrong usage."""
    try:
        return open_source(address, base)
    except UnknownNameError:
        raise
    except UsageError as error:
        raise ConnectorError(error.message, hint=error.hint) from error


def mock_feasibility(spec: ExperimentSpec, *, at: dt.datetime, rng: np.random.Generator) -> Assessment | Unavailable:
    """The same from made-up numbers, labelled as such everywhere: for trying the way of working, never for planning."""
    stated = traffic_of(spec)
    daily, cv = (MOCK_DAILY, MOCK_CV) if stated is None else (stated.daily, stated.cv or MOCK_CV)
    days = np.maximum(rng.normal(daily, cv * daily, MOCK_DAYS), 1.0).round()
    first = at.date() - dt.timedelta(days=MOCK_DAYS)
    traffic = TrafficFigures(
        daily=float(days.mean()),
        cv=float(days.std(ddof=1) / days.mean()),
        data_source=SYNTHETIC_SOURCE,
        period=(first, at.date() - dt.timedelta(days=1)),
        notes=("SYNTHETIC traffic and outcomes, drawn from the spec's own assumptions",),
    )
    return assess_feasibility(spec, at=at, traffic=traffic, figures=_mock_figures(spec, rng))


def _mock_figures(spec: ExperimentSpec, rng: np.random.Generator) -> Figures:
    base, sd = spec.plan.baseline, spec.plan.baseline_sd
    if base is None:
        return {}
    if spec.primary.kind == "proportion":
        return {spec.primary.key: MetricFigures(value=float(rng.binomial(MOCK_UNITS, base) / MOCK_UNITS), units=MOCK_UNITS)}
    if spec.primary.kind == "count" and sd is None:
        drawn = rng.poisson(base, MOCK_UNITS)
    else:
        drawn = rng.normal(base, abs(base) if sd is None else sd, MOCK_UNITS)
    return {spec.primary.key: MetricFigures(value=float(drawn.mean()), sd=float(drawn.std(ddof=1)), units=MOCK_UNITS)}


def _traffic(source: Source, spec: ExperimentSpec, history: HistorySpec, reference: dt.date) -> TrafficFigures:
    visits = read_visits(source, history, history.eligibility or spec.eligibility, reference)
    days = np.asarray(visits.by_day, dtype=np.float64)
    curve = accumulate_distinct(visits.pairs, history.days)
    words = tuple(f"eligibility in words, not applied to the visits: {rule}" for rule in history.in_words)
    return TrafficFigures(
        daily=float(days.mean()),
        cv=float(days.std(ddof=1) / days.mean()),
        data_source=visits.label,
        distinct=tuple(float(units) for units in curve),
        period=(reference - dt.timedelta(days=history.days), reference - dt.timedelta(days=1)),
        notes=(f"{visits.units:,} distinct eligible units came in {history.days} days", *words),
    )


def _figures(source: Source, spec: ExperimentSpec, history: HistorySpec, reference: dt.date) -> Figures:
    """What every metric showed whose events history names."""
    logs = spec.data if isinstance(spec.data, LogsData) else None
    facts = dict(history.facts) or ({} if logs is None else dict(logs.facts))
    past = [found for metric in spec.metrics if (found := _as_events(metric, history.metrics.get(metric.key), facts)) is not None]
    if spec.primary.key not in {metric.key for metric in past}:
        return {}
    window = history.window_days if history.window_days is not None else None if logs is None else logs.window_days
    asked = spec.model_copy(update={"metrics": tuple(past), "data": None})
    metrics = [metric for metric in build_metrics(asked) if not metric.needs.rows]
    arm = read_past_outcomes(
        source,
        history,
        history.eligibility or spec.eligibility,
        reference,
        needs=[metric.needs for metric in metrics],
        facts={name: facts[name] for name in _used(past)},
        window_days=window,
    )
    return {metric.spec.key: found for metric in metrics if (found := figures_of(metric, arm)) is not None}


def figures_of(metric: Metric, arm: ArmStats) -> MetricFigures | None:
    """Value, spread and correlation with the covariates of a metric over an arm's units.

    Raises:
        DataError: The metric does not vary.
    """
    outcome = arm.outcomes.get(metric.spec.key)
    if not isinstance(outcome, OutcomeStats):
        return None
    moments = outcome.moments
    ratio = layout_of(metric)[1]
    value = float(moments.mean[0] / moments.mean[1]) if ratio else float(moments.mean[0])
    covariance = moments.cross / (moments.n - 1)
    line = np.zeros(moments.mean.size)
    line[0] = 1.0
    if ratio:
        line[:2] = np.array([1.0, -value]) / moments.mean[1]
    variance = float(line @ covariance @ line)
    if variance <= 0.0:
        raise DataError(f"History shows no variation of {metric.spec.key!r}: every unit had {value:g}.", code="no_variance")
    correlation = _correlation(metric, moments, line, covariance, variance)
    return MetricFigures(value=value, sd=float(np.sqrt(variance)), correlation=correlation, units=moments.n)


def _correlation(metric: Metric, moments: CoMoments, line: Floats, covariance: Floats, variance: float) -> float | None:
    """Multiple correlation of the (linearised) outcome with the covariates."""
    _, ratio, covariate, covariate_ratio = layout_of(metric)
    first = 2 if ratio else 1
    if not covariate:
        return None
    if covariate_ratio:
        share = moments.mean[first] / moments.mean[first + 1]
        columns = np.zeros((1, line.size))
        columns[0, first : first + 2] = 1.0, -share
    else:
        columns = np.eye(line.size)[first:]
    inner = columns @ covariance @ columns.T
    cross = columns @ covariance @ line
    weights = np.asarray(np.linalg.lstsq(inner, cross, rcond=None)[0], dtype=np.float64)
    explained = float(cross @ weights) / variance
    return float(np.sqrt(min(max(explained, 0.0), 1.0 - 1e-12)))


def _as_events(metric: MetricSpec, past: MetricHistory | None, facts: Mapping[str, FactTable]) -> MetricSpec | None:
    """The metric with its values taken from events of history; None where history does not say."""
    update: dict[str, object]
    if past is None:
        sources = [getattr(metric, name, None) for name in ("column", "numerator", "denominator")]
        named = [source for source in sources if source is not None]
        return metric if named and all(isinstance(source, EventValue) and source.fact in facts for source in named) else None
    if metric.kind == "quantile":
        return None
    if (metric.kind == "ratio") != (past.numerator is not None):
        raise UsageError(
            f"History of {metric.key!r}: a {metric.kind} needs {'numerator and denominator' if metric.kind == 'ratio' else 'outcome'}."
        )
    update = {"numerator": past.numerator, "denominator": past.denominator} if metric.kind == "ratio" else {"column": past.outcome}
    declared = covariates_of(metric)
    update["covariate"] = past.covariate if declared else None
    return metric.model_copy(update=update)


def _used(metrics: list[MetricSpec]) -> list[str]:
    """The facts that the metrics read."""
    parts = ("column", "numerator", "denominator", "covariate", "covariate_denominator")
    listed: list[object] = []
    for found in (getattr(metric, part, None) for metric in metrics for part in parts):
        listed += cast("tuple[object, ...]", found) if isinstance(found, tuple) else (found,)
    return sorted({event.fact for event in listed if isinstance(event, EventValue)})


def _silent(text: str) -> None:
    del text
