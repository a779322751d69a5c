"""A world measured from history: the moments of every metric over real units."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError
from fairtrial.metrics import Metric, build_metrics
from fairtrial.metrics.columns import MetricValues, UnitColumns, metric_values
from fairtrial.simulation.replicates import UNITS_HINT, layout_of, why_not_simulated
from fairtrial.simulation.world import Law, World, law_of_moments
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.reading import OutcomeStats, Reading

Floats = NDArray[np.float64]


def world_of_units(spec: ExperimentSpec, columns: UnitColumns) -> World:
    """The world whose units are those of history.

    Measured are means, covariances within a metric, skewness and excess kurtosis of the outcome
    (of the linearised value of a ratio), and the correlations between metrics.

    Args:
        spec: The experiment.
        columns: Its metrics' columns, unit by unit, under the control.

    Raises:
        DataError: Fewer than two units count for a metric, or a value breaks the metric's rules.
    """
    laws: dict[str, Law] = {}
    left_out: dict[str, str] = {}
    outcomes: list[Floats] = []
    for metric in build_metrics(spec):
        if why := why_not_simulated(metric):
            left_out[metric.spec.key] = why
            continue
        found = metric_values(metric.needs, columns)
        law, outcome = _law(metric, found)
        laws[metric.spec.key] = law
        outcomes.append(outcome)
    _check_primary(spec, laws, left_out)
    source = f"history ({columns.source}, {columns.units:,} units)"
    return World(laws=laws, correlation=_correlations(outcomes), left_out=left_out, source=source)


def world_of_reading(spec: ExperimentSpec, reading: Reading, *, source: str) -> World:
    """The world whose units are those of the control's arm statistics: normal, metrics unrelated.

    Args:
        spec: The experiment.
        reading: Arm statistics; those of the control are taken.
        source: Where they come from.

    Raises:
        DataError: The primary metric has no statistics in the control.
    """
    laws: dict[str, Law] = {}
    left_out: dict[str, str] = {}
    for metric in build_metrics(spec):
        outcome = reading.arms[spec.control].outcomes.get(metric.spec.key)
        if why := why_not_simulated(metric):
            left_out[metric.spec.key] = why
        elif isinstance(outcome, OutcomeStats):
            laws[metric.spec.key] = law_of_moments(metric, outcome.moments)
        else:
            left_out[metric.spec.key] = f"History has no {metric.spec.key!r}."
    _check_primary(spec, laws, left_out)
    return World(laws=laws, correlation=np.eye(len(laws)), left_out=left_out, source=f"history ({source})")


def _check_primary(spec: ExperimentSpec, laws: Mapping[str, Law], left_out: Mapping[str, str]) -> None:
    if spec.primary.key not in laws:
        raise DataError(
            f"The primary metric must be simulated. {left_out[spec.primary.key]}",
            hint=UNITS_HINT,
            code="no_baseline",
        )


def _law(metric: Metric, found: MetricValues) -> tuple[Law, Floats]:
    """The law, and the outcome of every unit in standard deviations (0 where it does not count)."""
    values = found.of_kept
    moments = CoMoments.from_values(values)
    outcome = values[:, 0]
    if layout_of(metric)[1]:
        outcome = values[:, 0] - moments.mean[0] / moments.mean[1] * values[:, 1] if moments.mean[1] else values[:, 0]
    spread = float(np.std(outcome))
    scaled = (outcome - np.mean(outcome)) / spread if spread > 0.0 else np.zeros_like(outcome)
    law = law_of_moments(
        metric, moments, skewness=float(np.mean(scaled**3)), kurtosis=float(np.mean(scaled**4) - 3.0) if spread > 0.0 else 0.0
    )
    everyone = np.zeros(found.kept.size)
    everyone[found.kept] = scaled
    return law, everyone


def _correlations(outcomes: list[Floats]) -> Floats:
    stacked = np.stack(outcomes)
    products = stacked @ stacked.T / stacked.shape[1]
    scale = np.sqrt(np.maximum(np.diagonal(products), 1e-300))
    correlation = np.clip(products / np.outer(scale, scale), -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    return (correlation + correlation.T) / 2.0
