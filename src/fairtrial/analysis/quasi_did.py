"""Difference in differences as a spec's design asks for it: which estimator, and which checks beside it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fairtrial.analysis.quasi_rows import Rows, place_of
from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError, NotEnoughDataError
from fairtrial.quasi.aggregate import aggregate_did
from fairtrial.quasi.did import did_2x2, did_two_way
from fairtrial.quasi.did_checks import trends_grade
from fairtrial.quasi.estimate import QuasiEstimate
from fairtrial.quasi.event_study import event_study
from fairtrial.quasi.fixed_effects import SmallSample
from fairtrial.quasi.imputation import impute_did
from fairtrial.quasi.staggered import CleanComparison, att_gt
from fairtrial.spec.quasi import DidDesign

Floats = NDArray[np.float64]
SUPPORT = ("pretrend", "pretrend_not_rejected", "no_pretrend_test", "pretrend_untestable")


def estimate_did(design: DidDesign, rows: Rows, outcome: Floats, *, alpha: float) -> QuasiEstimate:
    """The effect by the estimator that the design names, or that its data call for.

    Args:
        design: The design.
        rows: Its columns, without rows that miss the outcome.
        outcome: One value a row.
        alpha: Error rate in (0, 1).

    Raises:
        DataError: The data cannot answer by this design.
    """
    rows, outcome, findings = _balanced(design, rows, outcome)
    time = rows.numbers(design.time)
    cohort = _cohorts(design, rows)
    estimator = design.estimator
    if estimator == "auto":
        started = np.unique(cohort[np.isfinite(cohort)])
        several = design.cohort is not None and started.size > 1
        two = design.unit is None or np.unique(time).size == 2
        estimator = "callaway_santanna" if several else "two_by_two" if two else "two_way"
    findings += _closed(outcome, time, cohort)
    if estimator == "two_by_two":
        return _two_by_two(design, rows, outcome, time, cohort, alpha).with_findings(findings)
    unit = rows.labels(str(design.unit))
    cluster = None if design.cluster is None else rows.labels(design.cluster)
    weights = None if design.weights is None else rows.numbers(design.weights)
    if estimator == "callaway_santanna":
        groups = att_gt(
            outcome,
            unit,
            time,
            cohort,
            covariates=rows.matrix(design.covariates),
            cluster=cluster,
            against=CleanComparison(control=design.control_group, small_sample="satterthwaite" if design.small_sample else "none"),
            alpha=alpha,
        )
        return aggregate_did(groups, design.aggregation).estimate.with_findings(findings)
    if estimator == "imputation":
        kind = "satterthwaite" if design.small_sample else "none"
        estimate = impute_did(outcome, unit, time, cohort, cluster=cluster, weights=weights, small_sample=kind, alpha=alpha).estimate
    else:
        on, kind = time >= cohort, _convention(design)
        estimate = did_two_way(outcome, unit, time, on, cluster=cluster, weights=weights, small_sample=kind, alpha=alpha).estimate
    trend = _pretrend(outcome, unit, time, cohort, cluster, _convention(design), alpha)
    return _upgraded(estimate, trend).with_findings([*findings, *trend])


def _cohorts(design: DidDesign, rows: Rows) -> Floats:
    """First treated period of each row's unit; NaN for never."""
    if design.cohort is not None:
        cohort = rows.numbers(design.cohort, missing=True)
        return np.where(cohort == 0.0, np.nan, cohort)
    treated = rows.numbers(str(design.treated))
    if not np.isin(treated, (0.0, 1.0)).all():
        raise DataError(f"Column {design.treated!r} must hold 0 and 1 only.", hint="1 for units of the treated group, in all periods.")
    return np.where(treated == 1.0, place_of(design.start) if design.start is not None else math.nan, np.nan)


def _two_by_two(design: DidDesign, rows: Rows, outcome: Floats, time: Floats, cohort: Floats, alpha: float) -> QuasiEstimate:
    """The groups before and after the one start; rows of a unit (or cluster) depend on each other."""
    started = np.unique(cohort[np.isfinite(cohort)])
    if started.size != 1:
        raise NotEnoughDataError(
            f"Two groups before and after need one start, got {started.size}.", hint="Use callaway_santanna.", code="one_sided"
        )
    column = design.cluster or design.unit
    cluster = None if column is None else rows.labels(column)
    kind = "satterthwaite" if design.small_sample else "cr1"
    return did_2x2(outcome, np.isfinite(cohort), time >= started[0], cluster=cluster, small_sample=kind, alpha=alpha).estimate


def _convention(design: DidDesign) -> SmallSample:
    """Of errors of regressions with unit and period effects."""
    return "satterthwaite" if design.small_sample else "nested"


def _pretrend(
    outcome: Floats,
    unit: NDArray[np.str_],
    time: Floats,
    cohort: Floats,
    cluster: NDArray[np.str_] | None,
    small_sample: SmallSample,
    alpha: float,
) -> list[Finding]:
    """The event study's test of trends before; silent where the panel does not allow one."""
    try:
        study = event_study(outcome, unit, time, cohort, cluster=cluster, small_sample=small_sample, alpha=alpha)
    except DataError:
        return []
    return [finding for finding in study.estimate.findings if finding.code in SUPPORT]


def _upgraded(estimate: QuasiEstimate, trend: list[Finding]) -> QuasiEstimate:
    """A design whose trends before were seen alike is moderate where nothing else speaks against it."""
    seen = any(finding.code == "pretrend_not_rejected" for finding in trend)
    spoiled = any(finding.severity != "info" for finding in (*estimate.findings, *trend))
    if not seen or spoiled:
        return estimate
    return replace(estimate, grade=trends_grade("did" if estimate.grade.design == "did" else "staggered_did"))


def _balanced(design: DidDesign, rows: Rows, outcome: Floats) -> tuple[Rows, Floats, list[Finding]]:
    """Only units seen in every period, where the design asks for that."""
    if not design.balanced or design.unit is None:
        return rows, outcome, []
    units, places = np.unique(rows.labels(design.unit), return_inverse=True)
    periods = np.unique(rows.numbers(design.time)).size
    whole = np.bincount(places, minlength=units.size) == periods
    if whole.all():
        return rows, outcome, []
    keep = whole[places]
    left = Finding(
        code="unbalanced_panel",
        severity="info",
        message=f"{int((~whole).sum())} of {units.size} units are not seen in every period and were left out, as the design asks.",
        action="Compare with the estimate on all units, and ask why these are missing.",
        numbers={"units": int((~whole).sum())},
    )
    return rows.where(keep), outcome[keep], [left]


def _closed(outcome: Floats, time: Floats, cohort: Floats) -> list[Finding]:
    """Outcomes of exactly 0 that only occur after the start: units that closed, or missing values written as 0."""
    start = np.nanmin(cohort) if np.isfinite(cohort).any() else math.inf
    zero = outcome == 0.0
    before, after = int((zero & (time < start)).sum()), int((zero & (time >= start)).sum())
    if before or not after or after > 0.1 * outcome.size:
        return []
    return [
        Finding(
            code="zero_after_start",
            severity="info",
            message=f"{after} rows have an outcome of exactly 0 after the treatment began, none before: closed units, or missing values.",
            action="Make sure that 0 is meant: units that closed belong in, values that are missing do not.",
            numbers={"rows": after},
        )
    ]
