"""The exact unconditional test: p-values are largest probabilities, errors never pass alpha, interval and test agree."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.exact_difference import MOST_UNITS, exact_difference_test
from fairtrial.stats.proportions import two_proportion_test

SIDES = ("two-sided", "greater", "less")


def by_hand(x_c: int, n_c: int, x_t: int, n_t: int, delta: float = 0.0) -> float:
    """P(pooled z at least as large), maximised over 20,001 rates: `greater`, at no difference."""
    a, b = np.meshgrid(np.arange(n_c + 1), np.arange(n_t + 1), indexing="ij")
    pooled = (a + b) / (n_c + n_t)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.nan_to_num((b / n_t - a / n_c) / np.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_t)))
    rates = np.linspace(0, 1, 20_001)
    own, other = (stats.binom.pmf(np.arange(n + 1), n, rates[:, None]) for n in (n_c, n_t))
    extreme = (z >= z[x_c, x_t] - 1e-9).astype(float)
    return float(np.einsum("gi,gi->g", own @ extreme, other).max())


@pytest.mark.parametrize("table", [(7, 12, 2, 15), (1, 20, 9, 25), (0, 15, 6, 15), (5, 5, 2, 9), (3, 10, 3, 10)])
def test_one_sided_p_values_are_largest_probabilities(table):
    """Against a grid of 20,001 rates, 1e-6 relative (the search here is finer, so never below)."""
    x_c, n_c, x_t, n_t = table
    found = exact_difference_test(*table, alternative="greater").p_value
    assert found == pytest.approx(by_hand(*table), rel=1e-6)
    assert exact_difference_test(*table, alternative="less").p_value == pytest.approx(by_hand(x_t, n_t, x_c, n_c), rel=1e-6)
    both = exact_difference_test(*table)
    assert both.p_value == pytest.approx(min(1.0, 2 * min(found, by_hand(x_t, n_t, x_c, n_c))), rel=1e-6)


@pytest.mark.parametrize("table", [(1, 20, 9, 25), (0, 15, 6, 15), (2, 9, 5, 5)])
def test_barnards_test_in_scipy_is_the_same(table):
    """SciPy 1.17 `barnard_exact(pooled=True)`, one-sided; it searches on random points, so 1e-4 relative."""
    x_c, n_c, x_t, n_t = table
    theirs = stats.barnard_exact([[x_t, x_c], [n_t - x_t, n_c - x_c]], alternative="greater", n=256).pvalue
    assert exact_difference_test(*table, alternative="greater").p_value == pytest.approx(theirs, rel=1e-4)


@settings(deadline=None, max_examples=40)
@given(
    counts=st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
        lambda n: st.tuples(st.integers(0, n[0]), st.just(n[0]), st.integers(0, n[1]), st.just(n[1]))
    ),
    alpha=st.floats(0.002, 0.7),
    side=st.sampled_from(SIDES),
    margin=st.sampled_from([0.0, 0.0, -0.2, 0.3]),
)
def test_p_values_and_intervals_agree(counts, alpha, side, margin):
    """DESIGN 5: p < alpha if and only if the interval leaves the margin out."""
    if counts[0] + counts[2] in {0, counts[1] + counts[3]}:
        return
    found = exact_difference_test(*counts, alpha=alpha, alternative=side, margin=margin)
    assert (found.p_value < alpha) == found.interval.excludes(margin)
    assert found.interval.low >= -1.0 or side == "less"
    if side == "two-sided":
        assert found.interval.low <= found.effect + 1e-7
        assert found.effect - 1e-7 <= found.interval.high


def test_exchanging_the_arms_mirrors_everything():
    here, there = exact_difference_test(2, 12, 8, 17), exact_difference_test(8, 17, 2, 12)
    assert here.p_value == pytest.approx(there.p_value, rel=1e-9)
    assert (here.interval.low, here.interval.high) == pytest.approx((-there.interval.high, -there.interval.low), abs=1e-7)


def test_many_units_bring_it_to_the_score_test():
    found, score = exact_difference_test(60, 250, 85, 250), two_proportion_test(60, 250, 85, 250)
    assert found.p_value == pytest.approx(score.p_value, rel=0.1)
    assert (found.interval.low, found.interval.high) == pytest.approx((score.interval.low, score.interval.high), abs=0.01)
    assert (found.statistic, found.lift_interval.low) == pytest.approx((score.statistic, score.lift_interval.low), rel=1e-9)
    assert (found.method, found.interval_method, found.df) == ("exact_unconditional", "exact_unconditional", None)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(6, 6), (4, 9)])
def test_the_error_rate_never_passes_alpha_at_any_rates(sizes):
    """Every table of two small arms, every pair of equal rates on a grid: no simulation, no bound but alpha itself."""
    n_c, n_t = sizes
    tables = list(itertools.product(range(n_c + 1), range(n_t + 1)))
    p_values = np.array(
        [1.0 if x + y in {0, n_c + n_t} else exact_difference_test(x, n_c, y, n_t).p_value for x, y in tables], dtype=np.float64
    )
    rates = np.linspace(0.0, 1.0, 201)[:, None]
    x, y = np.array(tables).T
    weight = stats.binom.pmf(x, n_c, rates) * stats.binom.pmf(y, n_t, rates)
    for alpha in (0.01, 0.05, 0.1):
        size = weight @ (p_values < alpha)
        assert size.max() <= alpha + 1e-9
        assert alpha < 0.1 or size.max() > 0.3 * alpha, "not for being idle"


@pytest.mark.slow
def test_the_interval_covers_at_any_rates():
    """Every table of arms of 5 and 7 and a grid of differences: at least 1 - alpha of the probability holds the truth."""
    n_c, n_t, alpha = 5, 7, 0.1
    x, y = np.array(list(itertools.product(range(n_c + 1), range(n_t + 1)))).T
    found = [
        None if a + b in {0, n_c + n_t} else exact_difference_test(a, n_c, b, n_t, alpha=alpha).interval
        for a, b in zip(x.tolist(), y.tolist(), strict=True)
    ]
    ends = [(-1.0, 1.0) if interval is None else (interval.low, interval.high) for interval in found]
    low, high = np.array(ends).T
    for delta in np.linspace(-0.6, 0.6, 13):
        for control in np.linspace(max(0.0, -delta), min(1.0, 1.0 - delta), 9):
            weight = stats.binom.pmf(x, n_c, control) * stats.binom.pmf(y, n_t, control + delta)
            assert weight[(low - 1e-7 <= delta) & (delta <= high + 1e-7)].sum() >= 1.0 - alpha - 1e-7


def test_sides_and_rates_of_zero():
    assert exact_difference_test(1, 9, 4, 9, alternative="greater").interval.high == math.inf
    assert exact_difference_test(1, 9, 4, 9, alternative="less").interval.low == -math.inf
    nothing = exact_difference_test(0, 9, 4, 9)
    assert (nothing.lift, nothing.lift_interval, nothing.lift_method, nothing.notes) == (None, None, None, ("zero_rate",))
    assert exact_difference_test(9, 9, 0, 9).interval.low == -1.0


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: exact_difference_test(3, 2, 1, 4), UsageError, "whole numbers with successes in 0..n"),
        (lambda: exact_difference_test(1, 2, 1, 4, margin=1.5), UsageError, "margin"),
        (lambda: exact_difference_test(1, 2, 1, 4, alpha=5), UsageError, "alpha"),
        (lambda: exact_difference_test(1, 2, 1, 4, alternative="both"), UsageError, "alternative"),
        (lambda: exact_difference_test(9, MOST_UNITS, 1, 4), UsageError, "at most 500 units"),
        (lambda: exact_difference_test(0, 0, 1, 4), DataError, "no units"),
        (lambda: exact_difference_test(0, 3, 0, 4), DataError, "Nobody or everybody"),
    ],
)
def test_bad_input_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()


@pytest.mark.parametrize("table", [(1, 20, 9, 25), (7, 12, 2, 15), (0, 15, 6, 15)])
@pytest.mark.parametrize("off", [-1e-12, 0.0, 1e-12])
def test_at_the_very_level_of_the_p_value_the_interval_still_agrees(table, off):
    """The end then lies within the search's tolerance of 0, and on the side that the test says."""
    p_value = exact_difference_test(*table).p_value
    level = p_value * (1.0 + off)
    assert exact_difference_test(*table, alpha=level).interval.excludes(0.0) == (p_value < level)
