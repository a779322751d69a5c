"""The arms' own values where a test of units compared them: intervals for limits, spreads for planning."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import special

from fairtrial.errors import DataError
from fairtrial.evaluation.by_design import counts_of, strata_of
from fairtrial.evaluation.unit_task import Pair, UnitTask, contrast_of
from fairtrial.spec.metric import FROM_COUNTS, REGRESSIONS
from fairtrial.stats.paired import PairCounts
from fairtrial.stats.proportion_intervals import clopper_pearson_interval, wilson_interval
from fairtrial.stats.quantiles import QuantileSummary, order_statistic_interval
from fairtrial.stats.result import Interval
from fairtrial.stats.robust import log_t_test, yuen_test
from fairtrial.stats.stratified_rates import mantel_haenszel_rates

Ends = tuple[float, float]


def treatment_intervals(tasks: Sequence[UnitTask]) -> dict[Pair, Interval]:
    """Two-sided intervals of the treatments' own values at the plan's alpha, where they can be had."""
    found: dict[Pair, Interval] = {}
    for task in tasks:
        try:
            ends = _OWN_VALUES[task.family.test](task)
        except DataError:
            continue
        if ends is not None and all(math.isfinite(end) for end in ends):
            found[task.pair] = Interval(low=ends[0], high=ends[1])
    return found


def control_sds(tasks: Sequence[UnitTask]) -> dict[Pair, float]:
    """Standard deviation per unit of the control, for tests of means and ratios.

    Of pairs it is the deviation of their differences over sqrt(2): two independent units with it have
    the variance that a pair has.
    """
    found: dict[Pair, float] = {}
    for task in tasks:
        if task.family.test == "paired_t" or (task.family.test == "permutation" and task.family.paired):
            control, treated = task.values
            if control.size > 1 and (spread := float((treated - control).std(ddof=1))) > 0.0:
                found[task.pair] = spread / math.sqrt(2.0)
            continue
        if task.family.test in FROM_COUNTS:
            rate = counts_of(task)[0] / counts_of(task)[1]
            if 0.0 < rate < 1.0:
                found[task.pair] = math.sqrt(rate * (1.0 - rate))
            continue
        if task.family.test in REGRESSIONS:
            if (left := _left_over(task)) > 0.0:
                found[task.pair] = left
            continue
        contrast = contrast_of(task)
        if task.family.test in {"permutation", "bootstrap"} and not contrast.undefined[0]:
            found[task.pair] = math.sqrt(float(contrast.control_variance[0]) * float(contrast.n_control[0]))
    return found


def _left_over(task: UnitTask) -> float:
    """Standard deviation of the control's outcome about its regression on the covariates; 0 where none is left."""
    rows = task.rows[0]
    free = rows.shape[0] - rows.shape[1]
    if free < 1:
        return 0.0
    design = np.column_stack([np.ones(rows.shape[0]), rows[:, 1:] - rows[:, 1:].mean(axis=0)])
    fitted = design @ np.linalg.lstsq(design, rows[:, 0], rcond=None)[0]
    return math.sqrt(float(np.square(rows[:, 0] - fitted).sum()) / free)


def _around(value: float, std_error: float, alpha: float) -> Ends:
    reach = -float(special.ndtri(alpha / 2.0)) * std_error
    return value - reach, value + reach


def _own_log(task: UnitTask) -> Ends:
    values, plus_one = task.values[1], task.family.test == "log1p"
    found = log_t_test(values, values, transform="log1p" if plus_one else "log")
    low, high = _around(found.treatment, (found.std_error or math.nan) / math.sqrt(2.0), task.alpha)
    back = np.expm1 if plus_one else np.exp
    return float(back(low)), float(back(high))


def _own_trimmed(task: UnitTask) -> Ends:
    found = yuen_test(task.values[1], task.values[1], trim=task.family.trim)
    return _around(found.treatment, (found.std_error or math.nan) / math.sqrt(2.0), task.alpha)


def _own_median(task: UnitTask) -> Ends:
    ends = order_statistic_interval(task.values[1], 0.5, alpha=task.alpha).interval
    return ends.low, ends.high


def _own_mean(task: UnitTask) -> Ends:
    contrast = contrast_of(task)
    return _around(float(contrast.treatment[0]), math.sqrt(float(contrast.treatment_variance[0])), task.alpha)


def _own_quantile(task: UnitTask) -> Ends | None:
    summary = task.treated.quantile
    if not isinstance(summary, QuantileSummary):
        return None
    reach = 0.5 * (summary.interval.high - summary.interval.low) / -float(special.ndtri(summary.alpha / 2.0))
    return _around(summary.value, reach, task.alpha)


def _own_exact(task: UnitTask) -> Ends:
    _, _, successes, n = counts_of(task)
    ends = clopper_pearson_interval(successes, n, alpha=task.alpha)
    return ends.low, ends.high


def _own_stratified(task: UnitTask) -> Ends:
    return _around(*mantel_haenszel_rates(strata_of(task))[1], task.alpha)


def _own_paired_mean(task: UnitTask) -> Ends | None:
    treated = task.values[1]
    if treated.size < 2:
        return None
    return _around(float(treated.mean()), float(treated.std(ddof=1)) / math.sqrt(treated.size), task.alpha)


def _own_paired_rate(task: UnitTask) -> Ends:
    pairs = PairCounts.from_values(*task.values)
    ends = wilson_interval(pairs.both + pairs.treatment_only, pairs.n, alpha=task.alpha)
    return ends.low, ends.high


_OWN_VALUES: Mapping[str, Callable[[UnitTask], Ends | None]] = {
    "log": _own_log,
    "log1p": _own_log,
    "trimmed": _own_trimmed,
    "mann_whitney": _own_median,
    "permutation": _own_mean,
    "bootstrap": _own_mean,
    "quantile": _own_quantile,
    "lin": _own_mean,
    "ancova": _own_mean,
    "exact": _own_exact,
    "mantel_haenszel": _own_stratified,
    "paired_t": _own_paired_mean,
    "wilcoxon": _own_median,
    "mcnemar": _own_paired_rate,
}
