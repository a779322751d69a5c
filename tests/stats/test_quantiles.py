"""Quantiles of two arms and their distribution-free intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.quantiles import (
    QuantileSummary,
    order_statistic_interval,
    order_statistic_ranks,
    quantile_difference,
    quantile_test,
)
from fairtrial.stats.result import Interval


def test_differences_of_quantiles_interpolate_linearly():
    result = quantile_difference([1.0, 2.0, 3.0, 4.0], [10.0, 20.0], [0.0, 0.5, 1.0])
    assert result.control.tolist() == [1.0, 2.5, 4.0]
    assert result.effect.tolist() == [9.0, 12.5, 16.0]


@given(n=st.integers(1, 200), probability=st.floats(0.01, 0.99), alpha=st.floats(0.01, 0.3))
@settings(max_examples=120, deadline=None)
def test_an_order_statistic_interval_covers_what_it_says(n, probability, alpha):
    """Oracle: the binomial sum P(low <= B < high); each tail holds at most alpha / 2."""
    result = order_statistic_interval(np.arange(1.0, n + 1.0), probability, alpha=alpha)
    ranks = np.arange(result.rank_low, result.rank_high)
    assert result.coverage == pytest.approx(stats.binom.pmf(ranks, n, probability).sum(), abs=1e-9)
    assert stats.binom.cdf(result.rank_low - 1, n, probability) <= alpha / 2 + 1e-12
    assert stats.binom.sf(result.rank_high - 1, n, probability) <= alpha / 2 + 1e-12
    assert result.interval.low == (result.rank_low if result.rank_low > 0 else -math.inf)
    assert result.interval.high == (result.rank_high if result.rank_high <= n else math.inf)


def test_a_small_sample_does_not_bound_a_high_quantile():
    result = order_statistic_interval([1.0, 2.0, 3.0], 0.95)
    assert result.interval.high == math.inf


def test_two_intervals_make_a_test():
    """Half the width over the normal quantile is each arm's standard error."""
    z = stats.norm.isf(0.025)
    control = QuantileSummary(n=100, value=5.0, interval=Interval(low=5 - z * 0.3, high=5 + z * 0.3))
    treatment = QuantileSummary(n=90, value=6.0, interval=Interval(low=6 - z * 0.4, high=6 + z * 0.4))
    estimate = quantile_test(control, treatment)
    assert estimate.std_error == pytest.approx(0.5)
    assert estimate.p_value == pytest.approx(2 * stats.norm.sf(2.0), rel=1e-9)


@pytest.mark.slow
def test_the_quantile_test_covers():
    """1,000 experiments on exponential values, median; two-sided exact binomial bound at 1e-4 on too few covers."""
    rng, covered = np.random.default_rng(41), 0
    for _ in range(1000):
        arms = []
        for scale in (1.0, 1.2):
            sample = rng.exponential(scale, 2000)
            interval = order_statistic_interval(sample, 0.5).interval
            arms.append(QuantileSummary(n=2000, value=float(np.median(sample)), interval=interval))
        estimate = quantile_test(*arms, alpha=0.1)
        covered += estimate.interval.low < 0.2 * math.log(2) < estimate.interval.high
    assert stats.binomtest(covered, 1000, 0.9, alternative="less").pvalue > 1e-4


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: quantile_difference([1.0], [2.0], [1.5]), UsageError),
        (lambda: quantile_difference([], [2.0], [0.5]), DataError),
        (lambda: order_statistic_interval([1.0, 2.0], 1.0), UsageError),
        (lambda: order_statistic_interval([1.0, 2.0], 0.5, alpha=95), UsageError),
        (lambda: quantile_test(*[QuantileSummary(n=3, value=1.0, interval=Interval(low=0.0, high=math.inf))] * 2), UsageError),
        (lambda: quantile_test(*[QuantileSummary(n=3, value=1.0, interval=Interval(low=1.0, high=1.0))] * 2), DataError),
    ],
)
def test_what_cannot_be_answered_is_refused(call, error):
    with pytest.raises(error):
        call()


def test_ranks_are_those_of_the_interval_between_order_statistics():
    """The engine's way to an interval and the sample's are one."""
    sample = np.random.default_rng(3).normal(size=120)
    found = order_statistic_interval(sample, 0.7, alpha=0.1)
    assert order_statistic_ranks(120, 0.7, alpha=0.1) == (found.rank_low, found.rank_high)
    assert order_statistic_ranks(3, 0.5) == (0, 4)


@pytest.mark.parametrize(("n", "probability", "alpha"), [(0, 0.5, 0.05), (10, 0.0, 0.05), (10, 1.0, 0.05), (10, 0.5, 1.0)])
def test_ranks_of_impossible_quantiles_are_refused(n, probability, alpha):
    with pytest.raises(UsageError):
        order_statistic_ranks(n, probability, alpha=alpha)
