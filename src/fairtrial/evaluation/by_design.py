"""Tests that read how units belong together, or what is known of them before: strata, pairs, covariates, all counts.

Each takes a comparison made ready and a level, and calls the method of `stats` that the
spec names. A paired test reads both arms' rows in one order, that of the pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, cast

import numpy as np

from fairtrial.errors import DataError
from fairtrial.evaluation.unit_task import UnitTask, not_read
from fairtrial.stats.exact_difference import MOST_UNITS, exact_difference_test
from fairtrial.stats.means import paired_t_test
from fairtrial.stats.odds_homogeneity import breslow_day_test
from fairtrial.stats.paired import MOST_PAIRS, PairCounts, mcnemar_test, signed_rank_test
from fairtrial.stats.regression import ancova_test, lin_test
from fairtrial.stats.result import Estimate, Unavailable
from fairtrial.stats.stratified_rates import Stratum, mantel_haenszel_test

ODDS_RATIOS_DIFFER = "odds_ratios_differ"
DIFFER_BELOW = 0.05
"""p-value of one odds ratio in all strata below which the estimate says that they differ."""
DesignTest = Callable[[UnitTask, float], Estimate | Unavailable]


def counts_of(task: UnitTask) -> Stratum:
    """Successes and units of the control, successes and units of the treatment."""
    own, other = task.control.moments, task.treated.moments
    return round(float(own.mean[0]) * own.n), own.n, round(float(other.mean[0]) * other.n), other.n


def strata_of(task: UnitTask) -> list[Stratum]:
    """The same by stratum, of strata that hold units of either arm.

    Raises:
        UsageError: The reading holds no strata.
    """
    own, other = task.control.by_stratum, task.treated.by_stratum
    if own is None or other is None:
        raise not_read(task, "the strata's counts")
    found: list[Stratum] = []
    for name in sorted({*own, *other}):
        sides = [(round(float(m.mean[0]) * m.n), m.n) if (m := arm.get(name)) is not None else (0, 0) for arm in (own, other)]
        found.append((*sides[0], *sides[1]))
    return found


def _exact(task: UnitTask, alpha: float) -> Estimate | Unavailable:
    x_c, n_c, x_t, n_t = counts_of(task)
    if n_c + n_t > MOST_UNITS:
        return Unavailable(
            code="too_many_units",
            reason=f"The exact test goes through every table of counts: at most {MOST_UNITS:,} units, there are {n_c + n_t:,}. "
            "Use test score, which agrees with it at such a size.",
        )
    return exact_difference_test(x_c, n_c, x_t, n_t, alpha=alpha, alternative=task.alternative, margin=task.margin)


def _mantel_haenszel(task: UnitTask, alpha: float) -> Estimate:
    strata = strata_of(task)
    found = mantel_haenszel_test(strata, alpha=alpha, alternative=task.alternative, margin=task.margin)
    return replace(found, notes=(*found.notes, *_odds_note(strata)))


def _odds_note(strata: Sequence[Stratum]) -> tuple[str, ...]:
    """`odds_ratios_differ` where Breslow, Day and Tarone's test says so; nothing where it cannot be made."""
    try:
        tested = breslow_day_test(strata)
    except DataError:
        return ()
    return (ODDS_RATIOS_DIFFER,) if tested.p_value < DIFFER_BELOW else ()


def _regression(task: UnitTask, alpha: float) -> Estimate:
    control, treated = task.rows
    if control.shape[1] < 2:
        raise not_read(task, "the covariates' values")
    both = np.concatenate([control, treated])
    found = (lin_test if task.family.test == "lin" else ancova_test)(
        both[:, 0],
        np.repeat((0.0, 1.0), (control.shape[0], treated.shape[0])),
        both[:, 1:],
        std_errors=cast("Literal['classical', 'hc0', 'hc1', 'hc2', 'hc3']", task.family.hc.lower()),
        alpha=alpha,
        alternative=task.alternative,
        margin=task.margin,
    )
    raw = sum(float(arm[:, 0].var(ddof=1)) / arm.shape[0] for arm in (control, treated))
    saved = 1.0 - found.std_error**2 / raw if found.std_error is not None and raw > 0.0 else None
    return replace(found, variance_reduction=saved)


def _paired_t(task: UnitTask, alpha: float) -> Estimate:
    return paired_t_test(*_side_by_side(task), alpha=alpha, alternative=task.alternative, margin=task.margin)


def _wilcoxon(task: UnitTask, alpha: float) -> Estimate | Unavailable:
    control, treated = _side_by_side(task)
    if control.size > MOST_PAIRS:
        return Unavailable(
            code="too_many_units",
            reason=f"Signed ranks go through all sums of two differences: at most {MOST_PAIRS:,} pairs, there are {control.size:,}. "
            "Use test paired_t.",
        )
    return signed_rank_test(control, treated, alpha=alpha, alternative=task.alternative, margin=task.margin)


def _mcnemar(task: UnitTask, alpha: float) -> Estimate:
    pairs = PairCounts.from_values(*_side_by_side(task))
    return mcnemar_test(pairs, alpha=alpha, alternative=task.alternative, margin=task.margin)


def _side_by_side(task: UnitTask) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Values of the pairs under control and under treatment, in one order."""
    if not task.family.paired:
        raise not_read(task, "pairs")
    return task.values


DESIGN_TESTS: Mapping[str, DesignTest] = {
    "exact": _exact,
    "mantel_haenszel": _mantel_haenszel,
    "lin": _regression,
    "ancova": _regression,
    "paired_t": _paired_t,
    "wilcoxon": _wilcoxon,
    "mcnemar": _mcnemar,
}
"""By test of the spec."""
