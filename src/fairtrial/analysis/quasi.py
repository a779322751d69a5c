"""Read a quasi-experiment's rows and judge it: the design of the spec chooses the estimator and its checks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from fairtrial.analysis.quasi_did import estimate_did
from fairtrial.analysis.quasi_rows import Rows, outcome_of, place_of
from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError, UsageError
from fairtrial.evaluation.corrections import Claim, Level, corrected
from fairtrial.evaluation.quasi import evaluate_quasi
from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.quasi.counterfactual import counterfactual_series
from fairtrial.quasi.density import density_test
from fairtrial.quasi.estimate import QuasiEstimate
from fairtrial.quasi.instruments import late_2sls
from fairtrial.quasi.interrupted import segmented_regression
from fairtrial.quasi.rdd import sharp_rdd
from fairtrial.quasi.rdd_bandwidth import Bandwidths
from fairtrial.quasi.rdd_checks import check_findings, covariate_jumps, donut, placebo_cutoffs
from fairtrial.quasi.synthetic_control import synthetic_control
from fairtrial.spec.data import UnitsData
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import MetricSpec
from fairtrial.spec.quasi import (
    QUASI_KINDS,
    DidDesign,
    InterruptedSeriesDesign,
    IvDesign,
    QuasiDesign,
    RddDesign,
    SyntheticControlDesign,
    metric_column,
)
from fairtrial.stats.result import Unavailable
from fairtrial.warehouse.columns import read_columns

Floats = NDArray[np.float64]
UNREADABLE = frozenset({"wrong_type", "missing_outcome", "all_missing", "not_binary", "negative_value", "infinite_value", "too_large"})
"""Codes of columns that must be mended before anything can be said."""


def analyze_quasi(
    spec: ExperimentSpec,
    *,
    base: Path | None = None,
    source: str | None = None,
    as_of: dt.datetime | None = None,
    progress: Callable[[str], None] | None = None,
) -> Scorecard:
    """Read the spec's table and evaluate its design.

    Args:
        spec: A quasi-experiment, with its data.
        base: Folder that a relative source counts from.
        source: Address to read instead of the spec's own.
        as_of: Moment of the reading, for the record.
        progress: Called with a sentence as each step begins.

    Returns:
        The scorecard, with the grade of evidence that its design carries.

    Raises:
        UsageError: The spec is no quasi-experiment, or names no data, or a column that is not there.
        DataError: The data cannot be read at all; what one metric lacks makes that metric unavailable.
        ConnectorError: The source cannot be reached.
    """
    design, data = spec.design, spec.data
    if design is None or spec.kind not in QUASI_KINDS:
        raise UsageError(f"Experiment {spec.key!r} is of kind {spec.kind!r}, not a quasi-experiment.", hint="Use analyze_spec.")
    if not isinstance(data, UnitsData):
        raise UsageError(f"Experiment {spec.key!r} names no data.", hint="Add a `data` section with source and, for a database, table.")
    say = progress or _silent
    say("Reading the rows that the design needs")
    outcomes = {metric.key: str(metric_column(metric)) for metric in spec.metrics}
    read = read_columns(
        data if source is None else data.model_copy(update={"source": source}), [*design_columns(design), *outcomes.values()], base=base
    )
    rows = Rows(values=read.values)
    say("Estimating, checking the design and deciding")
    failed: dict[str, DataError] = {}

    def attempt(metric: MetricSpec, alpha: float) -> QuasiEstimate | Unavailable:
        """What one metric lacks must not take the others along."""
        try:
            return _estimate(design, rows, metric, outcomes[metric.key], alpha)
        except DataError as error:
            failed[metric.key] = error
            return Unavailable(code=error.code, reason=error.message)

    results = {metric.key: attempt(metric, spec.plan.alpha) for metric in spec.metrics}
    _refuse_unreadable(failed, spec)
    levels = _corrected(spec, results)
    for key, level in levels.items():
        results[key] = attempt(spec.metric(key), level.alpha)
    adjusted = {key: level.p_adjusted for key, level in levels.items() if level.p_adjusted is not None}
    unit = getattr(design, "unit", None)
    intake = read.intake if unit is None else replace(read.intake, units=len(set(read.values[unit]) - {None}))
    return evaluate_quasi(spec, results, intake, adjusted=adjusted, as_of=as_of)


def _refuse_unreadable(failed: Mapping[str, DataError], spec: ExperimentSpec) -> None:
    """Text, or nothing, where every metric's estimate needs a number is no lack of data: more of it would not answer."""
    if len(failed) == len(spec.metrics) and all(error.code in UNREADABLE for error in failed.values()):
        raise next(iter(failed.values()))


def design_columns(design: QuasiDesign) -> tuple[str, ...]:
    """Columns that a design reads beside the outcomes."""
    named: Sequence[str | None]
    match design:
        case DidDesign():
            named = (design.unit, design.time, design.treated, design.cohort, design.cluster, design.weights, *design.covariates)
        case RddDesign():
            named = (design.running, *design.covariates)
        case SyntheticControlDesign():
            named = (design.unit, design.time)
        case IvDesign():
            named = (design.instrument, design.treatment, design.cluster, *design.covariates)
        case InterruptedSeriesDesign():
            named = (design.time, *design.controls)
        case _:
            assert_never(design)
    return tuple(name for name in named if name is not None)


def _estimate(design: QuasiDesign, rows: Rows, metric: MetricSpec, column: str, alpha: float) -> QuasiEstimate:
    """One metric by the design's estimator, with the findings of the reading and of the design's checks."""
    kept, outcome, findings = outcome_of(rows, metric, column)
    match design:
        case DidDesign():
            estimate = estimate_did(design, kept, outcome, alpha=alpha)
        case RddDesign():
            estimate = _rdd(design, kept, outcome, alpha)
        case SyntheticControlDesign():
            estimate = synthetic_control(
                outcome,
                kept.labels(design.unit),
                kept.numbers(design.time),
                treated=str(design.treated_unit),
                start=place_of(design.start),
                alpha=alpha,
            ).estimate
        case IvDesign():
            estimate = late_2sls(
                outcome,
                kept.numbers(design.treatment),
                kept.numbers(design.instrument),
                covariates=kept.matrix(design.covariates),
                cluster=None if design.cluster is None else kept.labels(design.cluster),
                alpha=alpha,
            ).estimate
        case InterruptedSeriesDesign():
            estimate = _series(design, kept, outcome, alpha)
        case _:
            assert_never(design)
    return estimate.with_findings(findings)


def _rdd(design: RddDesign, rows: Rows, outcome: Floats, alpha: float) -> QuasiEstimate:
    """The jump at the cutoff, with every check that the columns allow."""
    running = rows.numbers(design.running)
    windows: Bandwidths | Literal["mse", "cer"] = "cer" if design.bandwidth == "cer" else "mse"
    if isinstance(design.bandwidth, float):
        windows = Bandwidths(effect=design.bandwidth, bias=design.bias_bandwidth or design.bandwidth)
    found = sharp_rdd(
        outcome,
        running,
        cutoff=design.cutoff,
        order=design.order,
        kernel=design.kernel,
        bandwidths=windows,
        treated=design.treated_side,
        alpha=alpha,
    )
    checks = list(
        placebo_cutoffs(outcome, running, cutoff=design.cutoff, at=design.placebo_cutoffs or None, kernel=design.kernel, alpha=alpha)
    )
    if design.covariates:
        columns: Mapping[str, Floats] = {name: rows.numbers(name, missing=True) for name in design.covariates}
        checks += covariate_jumps(columns, running, cutoff=design.cutoff, kernel=design.kernel, alpha=alpha)
    if design.donut is not None:
        checks += donut(
            outcome, running, [design.donut], cutoff=design.cutoff, kernel=design.kernel, treated=design.treated_side, alpha=alpha
        )
    findings = check_findings(checks, found)
    try:
        findings += density_test(running, cutoff=design.cutoff).findings()
    except DataError as error:
        findings.append(_untested(error))
    return found.estimate.with_findings(findings)


def _untested(error: DataError) -> Finding:
    """That the density test could not be made, and why."""
    return Finding(
        code="density_untested",
        severity="warning",
        message=f"Whether units sorted themselves around the cutoff could not be tested: {error.message}",
        action="Look at a histogram of the running variable around the cutoff.",
    )


def _series(design: InterruptedSeriesDesign, rows: Rows, outcome: Floats, alpha: float) -> QuasiEstimate:
    """One series in the order of time, alone or against others."""
    times = rows.numbers(design.time)
    order = np.argsort(times, kind="stable")
    if np.unique(times).size < times.size:
        raise DataError("A series has one row a period; some periods are there twice.", hint="Aggregate to one row a period.")
    start = int(np.searchsorted(times[order], place_of(design.start)))
    series = outcome[order]
    controls = rows.matrix(design.controls)
    if controls is None:
        return segmented_regression(series, start=start, lags=design.lags, alpha=alpha).estimate
    return counterfactual_series(series, controls[order], start=start, model=design.model, lags=design.lags, alpha=alpha).estimate


def _corrected(spec: ExperimentSpec, results: Mapping[str, QuasiEstimate | Unavailable]) -> dict[str, Level]:
    """By metric that the plan's corrections or its gate concern: its corrected p-value and the level of its interval."""
    claims = {
        (key, spec.treatments[0]): Claim(
            p_value=result.p_value, alternative="two-sided", n_control=result.n_control, n_treatment=result.n_treated
        )
        for key, result in results.items()
        if isinstance(result, QuasiEstimate)
    }
    return {metric: level for (metric, _), level in corrected(spec, claims).items() if level.correction is not None}


def _silent(_: str) -> None:
    """Say nothing."""
