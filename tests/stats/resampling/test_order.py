"""Bootstrap of quantiles by the exact distribution of a resample's order statistics."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.quantiles import order_statistic_interval
from fairtrial.stats.resampling.order import quantile_bootstrap, quantile_bootstrap_one_sample, quantile_draws, sorted_quantile


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_draws_follow_the_distribution_over_all_resamples(probability):
    """All 4^4 resamples of four values against 200,000 draws: chi-square of the quantile's values."""
    sample = np.array([1.0, 2.0, 5.0, 11.0])
    every = np.array([np.quantile(rows, probability) for rows in itertools.product(sample, repeat=4)]).round(9)
    values, counts = np.unique(every, return_counts=True)
    draws = quantile_draws(sample, probability, resamples=200_000, rng=np.random.default_rng(4)).round(9)
    seen = np.array([(draws == value).sum() for value in values])
    assert seen.sum() == draws.size
    assert stats.chisquare(seen, counts / counts.sum() * draws.size).pvalue > 1e-4


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40), probability=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_the_estimate_is_numpys_type_7_quantile(values, probability):
    ours = sorted_quantile(np.sort(np.array(values)), probability)
    assert ours == pytest.approx(float(np.quantile(values, probability)), rel=1e-9, abs=1e-9)


def test_the_interval_is_close_to_the_one_between_order_statistics():
    """Efron (1982), section 10.3: the two differ by at most a rank or so."""
    sample = np.sort(np.random.default_rng(1).normal(size=2001))
    found = quantile_bootstrap_one_sample(sample, 0.9, resamples=40_000, rng=np.random.default_rng(2))
    interval, exact = found.interval(), order_statistic_interval(sample, 0.9)
    for end, rank in ((interval.low, exact.rank_low), (interval.high, exact.rank_high)):
        assert sample[rank - 3] <= end <= sample[rank + 1]
    assert (found.n_control, found.n_treatment) == (0, 2001)


def test_a_difference_draws_both_arms_independently():
    rng = np.random.default_rng(3)
    c, t = rng.normal(size=400), rng.normal(0.5, 1.0, size=500)
    found = quantile_bootstrap(c, t, 0.5, resamples=20_000, rng=rng)
    own = [quantile_bootstrap_one_sample(x, 0.5, resamples=20_000, rng=rng).std_error for x in (c, t)]
    assert found.estimate == np.median(t) - np.median(c)
    assert (found.control, found.treatment) == (np.median(c), np.median(t))
    assert found.std_error == pytest.approx(math.hypot(*own), rel=0.03)
    estimate = found.to_estimate(method="percentile")
    assert estimate.method == "bootstrap_quantile_difference"
    with pytest.raises(DataError, match="jackknife"):
        found.interval(method="bca")


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda rng: quantile_bootstrap([1.0, 2.0], [1.0, 2.0], 1.5, rng=rng), UsageError, r"\[0, 1\], got 1.5"),
        (lambda rng: quantile_bootstrap([1.0, 2.0], [1.0], 0.5, rng=rng), NotEnoughDataError, "two units, got 1"),
        (lambda rng: quantile_bootstrap([1.0, math.nan], [1.0, 2.0], 0.5, rng=rng), DataError, "NaN"),
        (lambda rng: quantile_bootstrap_one_sample([1.0, 1.0], 0.5, rng=rng), DataError, "the same in every resample"),
        (lambda rng: quantile_bootstrap_one_sample([1.0, 2.0], 0.5, resamples=5, rng=rng), UsageError, "at least 100"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call(np.random.default_rng(0))
