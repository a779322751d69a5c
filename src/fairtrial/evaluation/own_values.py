"""The arms' own values where a test of units compared them: intervals for limits, spreads for planning."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import special

from fairtrial.errors import DataError
from fairtrial.evaluation.rowwise import Pair, UnitTask, contrast_of
from fairtrial.stats.quantiles import QuantileSummary, order_statistic_interval
from fairtrial.stats.result import Interval
from fairtrial.stats.robust import log_t_test, yuen_test

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
    """Standard deviation per unit of the control, for tests of means and ratios."""
    found: dict[Pair, float] = {}
    for task in tasks:
        contrast = contrast_of(task)
        if task.family.test in {"permutation", "bootstrap"} and not contrast.undefined[0]:
            found[task.pair] = math.sqrt(float(contrast.control_variance[0]) * float(contrast.n_control[0]))
    return found


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


_OWN_VALUES: Mapping[str, Callable[[UnitTask], Ends | None]] = {
    "log": _own_log,
    "log1p": _own_log,
    "trimmed": _own_trimmed,
    "mann_whitney": _own_median,
    "permutation": _own_mean,
    "bootstrap": _own_mean,
    "quantile": _own_quantile,
}
