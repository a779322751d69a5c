"""Bootstrap from values: the door, any statistic, users with several rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.means import welch_test
from fairtrial.stats.moments import Moments
from fairtrial.stats.resampling import samples
from fairtrial.stats.resampling.samples import (
    bootstrap_interval,
    cluster_bootstrap,
    sample_bootstrap,
    sample_bootstrap_one_sample,
    weighted_quantile,
)


def seeded(seed=1):
    return np.random.default_rng(seed)


def spread(x):
    return x.std(axis=-1, ddof=1)


def test_the_door_compares_means_by_the_studentised_bootstrap():
    """AD-06."""
    rng = seeded()
    c, t = rng.normal(10, 2, 1500), rng.normal(10.3, 2, 1400)
    found = bootstrap_interval(c, t, resamples=10_000, rng=rng)
    welch = welch_test(Moments.from_values(c), Moments.from_values(t))
    assert (found.method, found.interval_method) == ("bootstrap_mean_difference", "bootstrap_studentised")
    assert found.effect == pytest.approx(welch.effect)
    width = welch.interval.high - welch.interval.low
    assert found.interval.low == pytest.approx(welch.interval.low, abs=0.03 * width)
    assert found.interval.high == pytest.approx(welch.interval.high, abs=0.03 * width)
    assert found.p_value == pytest.approx(welch.p_value, abs=0.005)


def test_large_arms_are_resampled_in_buckets_of_the_same_answer():
    rng = seeded(2)
    c, t = rng.exponential(size=(2, 30_000))
    in_buckets = bootstrap_interval(c, t, rng=seeded())
    welch = welch_test(Moments.from_values(c), Moments.from_values(t))
    assert in_buckets.effect == pytest.approx(welch.effect, rel=1e-9)
    assert in_buckets.std_error == pytest.approx(welch.std_error, rel=0.12)
    assert in_buckets.n_control == 30_000


def test_the_door_compares_quantiles():
    rng = seeded(3)
    c, t = rng.normal(size=500), rng.normal(size=600)
    found = bootstrap_interval(c, t, quantile=0.9, method="basic", alternative="greater", rng=rng)
    assert found.effect == pytest.approx(np.quantile(t, 0.9) - np.quantile(c, 0.9))
    assert found.interval_method == "bootstrap_basic"
    assert found.interval.high == math.inf


def test_any_statistic_as_scipy_bootstraps_it():
    """scipy.stats.bootstrap of a difference of standard deviations: percentile and BCa within Monte Carlo error."""
    rng = seeded(4)
    c, t = rng.normal(size=40), rng.normal(0, 1.5, size=50)
    ours = sample_bootstrap(c, t, spread, resamples=20_000, rng=rng)
    assert (ours.statistic, ours.estimate) == ("spread", pytest.approx(spread(t) - spread(c)))

    def difference(a, b, axis):
        return b.std(axis=axis, ddof=1) - a.std(axis=axis, ddof=1)

    for method, named in (("percentile", "percentile"), ("BCa", "bca")):
        theirs = stats.bootstrap((c, t), difference, n_resamples=20_000, method=method, rng=seeded(9)).confidence_interval
        found = ours.interval(method=named)
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.06 * ours.std_error)


def test_one_sample_of_any_statistic():
    """The acceleration of a standard deviation by scipy's jackknife: BCa within Monte Carlo error."""
    x = seeded(5).exponential(size=60)
    ours = sample_bootstrap_one_sample(x, spread, resamples=20_000, rng=seeded())
    theirs = stats.bootstrap((x,), lambda a, axis: a.std(axis=axis, ddof=1), n_resamples=20_000, rng=seeded(8)).confidence_interval
    found = ours.interval(method="bca")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.06 * ours.std_error)
    assert sample_bootstrap_one_sample(x, lambda a: np.median(a, axis=-1), rng=seeded()).statistic == "custom"


def test_quantiles_of_users_with_several_rows():
    """Ten equal rows a user: the interval is that of the users, not of the rows."""
    rng = seeded(6)
    users = rng.normal(size=(2, 300))
    rows = [(np.repeat(x, 10), np.arange(3000) // 10) for x in users]
    found = cluster_bootstrap(*rows, weighted_quantile(0.5), rng=rng)
    assert (found.n_control, found.n_treatment) == (300, 300)
    truth = samples.quantile_bootstrap(*users, 0.5, resamples=20_000, rng=rng)
    assert found.std_error == pytest.approx(truth.std_error, rel=0.08)


def test_a_weighted_quantile_holds_its_share():
    """Type 1 of the values repeated by their weights."""
    values = np.array([3.0, 1.0, 2.0])
    weights = np.array([[1.0, 1.0, 1.0], [4.0, 1.0, 0.0], [0.0, 3.0, 1.0]])
    repeated = [np.repeat(values, row.astype(int)) for row in weights]
    for probability in (0.2, 0.5, 0.75, 0.9):
        expected = [np.quantile(x, probability, method="inverted_cdf") for x in repeated]
        assert weighted_quantile(probability)(values, weights).tolist() == expected


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: bootstrap_interval([1.0], [1.0, 2.0], rng=seeded()), NotEnoughDataError, "got 1"),
        (lambda: bootstrap_interval([1.0, 2.0], [1.0, 2.0], quantile=2.0, rng=seeded()), UsageError, "got 2.0"),
        (lambda: bootstrap_interval([1.0, 2.0, 3.0], [1.0, 2.0, 4.0], quantile=0.5, method="bca", rng=seeded()), DataError, "jackknife"),
        (lambda: sample_bootstrap([1.0, 2.0], [1.0, 2.0, 3.0], spread, rng=seeded()), NotEnoughDataError, "three units, got 2"),
        (lambda: sample_bootstrap([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], lambda x: x, rng=seeded()), UsageError, "Reduce the last axis"),
        (lambda: sample_bootstrap_one_sample([1.0, 2.0, 3.0], spread, resamples=3, rng=seeded()), UsageError, "at least 100"),
        (lambda: cluster_bootstrap(([1.0, 2.0], [0]), ([1.0, 2.0], [0, 1]), weighted_quantile(0.5), rng=seeded()), UsageError, "one user"),
        (lambda: cluster_bootstrap(([1.0, 2.0], [0, 0]), ([1.0], [0]), weighted_quantile(0.5), rng=seeded()), NotEnoughDataError, "got 1"),
        (lambda: weighted_quantile(1.0), UsageError, r"\(0, 1\), got 1.0"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()
