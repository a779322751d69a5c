"""Size and coverage of resampling, exact where the design can be gone through, else by simulation and an exact binomial bound."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from fairtrial.stats.resampling.buckets import bucket_sums, unit_sums
from fairtrial.stats.resampling.designs import Clustered, Paired
from fairtrial.stats.resampling.order import quantile_bootstrap
from fairtrial.stats.resampling.permutation import permutation_test, studentised_permutation_test
from fairtrial.stats.resampling.smooth import smooth_bootstrap, smooth_bootstrap_one_sample


def not_rarer(count, runs, rate):
    """The count could come from at least this rate."""
    return stats.binomtest(count, runs, rate, alternative="less").pvalue > 1e-4


def not_more_often(count, runs, rate):
    """The count could come from at most this rate."""
    return stats.binomtest(count, runs, rate, alternative="greater").pvalue > 1e-4


def coverage(draw, truth, runs, methods, seed, resamples=999, alpha=0.05):
    """How often each method's interval held the truth."""
    rng, held = np.random.default_rng(seed), dict.fromkeys(methods, 0)
    for _ in range(runs):
        found = draw(rng, resamples)
        for method in methods:
            held[method] += not found.interval(method=method, alpha=alpha).excludes(truth)
    return held


@pytest.mark.parametrize("ties", [False, True])
def test_over_all_assignments_p_lies_below_a_level_no_more_often_than_the_level(ties):
    """Exactness of the complete design, without chance: all 70 assignments of eight units of which nobody is affected."""
    y = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]) if ties else np.random.default_rng(0).normal(size=8)
    p = []
    for chosen in itertools.combinations(range(8), 4):
        z = np.isin(np.arange(8), chosen).astype(int)
        p.append([permutation_test(y, z, alternative=side).p_value for side in ("two-sided", "greater")])
    for level in np.unique(np.array(p)):
        assert (np.array(p) <= level + 1e-12).mean(axis=0).max() <= level + 1e-12
    if not ties:
        assert sorted(row[1] for row in p) == pytest.approx((np.arange(70) + 1) / 70)


@pytest.mark.slow
def test_drawn_p_values_are_uniform_on_their_steps():
    """Phipson & Smyth (2010): with 99 draws P(p <= .05) is .05, though the assignments are drawn: 4,000 experiments."""
    rng, runs, wrong = np.random.default_rng(1), 4_000, 0
    for _ in range(runs):
        y = rng.exponential(size=24)
        wrong += (
            permutation_test(y, rng.permutation(np.arange(24) % 2), alternative="greater", resamples=99, rng=rng).p_value <= 0.05 + 1e-12
        )
    assert stats.binomtest(wrong, runs, 0.05).pvalue > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pairs", "clusters"])
def test_inverted_intervals_cover_a_constant_effect(kind):
    """2,000 experiments, paired units or twelve clusters that share most of their noise; at least 90%."""
    rng, runs, held = np.random.default_rng(2), 2_000, 0
    groups = np.repeat(np.arange(8), 2) if kind == "pairs" else np.repeat(np.arange(12), 5)
    design = Paired(pairs=groups) if kind == "pairs" else Clustered(clusters=groups)
    for _ in range(runs):
        y = 3.0 * rng.standard_t(3, size=groups.max() + 1)[groups] + rng.normal(size=groups.size)
        flips = rng.integers(0, 2, 8)
        z = np.stack([flips, 1 - flips], axis=1).ravel() if kind == "pairs" else rng.permutation(np.arange(12) % 2)[groups]
        held += not permutation_test(y + 2.0 * z, z, design=design, alpha=0.1).interval.excludes(2.0)
    assert not_rarer(held, runs, 0.9)


@pytest.mark.slow
def test_units_permuted_where_clusters_were_assigned_err_and_the_bound_sees_it():
    """The wrong design: the check can fail."""
    rng, wrong = np.random.default_rng(3), 0
    groups = np.repeat(np.arange(12), 5)
    for _ in range(300):
        y = 3.0 * rng.normal(size=12)[groups] + rng.normal(size=60)
        wrong += permutation_test(y, rng.permutation(np.arange(12) % 2)[groups], resamples=199, rng=rng).p_value <= 0.05
    assert not not_more_often(wrong, 300, 0.05)


@pytest.mark.slow
def test_the_studentised_test_holds_where_a_small_arm_has_the_larger_spread():
    """Equal means, spread 1 to 4: 800 experiments; the plain permutation test errs three times as often as promised."""
    rng, runs = np.random.default_rng(4), 800
    plain = studentised = 0
    for _ in range(runs):
        c, t = rng.normal(0, 1, 300), rng.normal(0, 4, 75)
        studentised += studentised_permutation_test(c, t, resamples=199, rng=rng) <= 0.05
        plain += permutation_test(np.concatenate([c, t]), np.arange(375) >= 300, resamples=199, rng=rng).p_value <= 0.05
    assert plain > 0.15 * runs
    assert not_more_often(studentised, runs, 0.06)


@pytest.mark.slow
def test_a_thousand_buckets_cover_a_difference_of_skewed_means():
    """5,000 lognormal units an arm in 1,000 buckets, level 90%, 200 experiments, every method: two-sided binomial."""

    def draw(rng, resamples):
        arms = [bucket_sums(rng.lognormal(size=5_000), rng.integers(0, 1_000, 5_000)) for _ in range(2)]
        return smooth_bootstrap(*arms, resamples=resamples, rng=rng)

    for held in coverage(draw, 0.0, 200, ("percentile", "basic", "studentised", "bca"), seed=5, resamples=199, alpha=0.1).values():
        assert stats.binomtest(held, 200, 0.9).pvalue > 1e-4


@pytest.mark.slow
def test_at_twenty_skewed_units_studentised_intervals_hold_and_bca_nearly():
    """Mean of 20 exponential values, 2,000 samples: studentised holds 95%, BCa 92% and the basic interval neither."""

    def draw(rng, resamples):
        return smooth_bootstrap_one_sample(unit_sums(rng.exponential(size=20)), resamples=resamples, rng=rng)

    held = coverage(draw, 1.0, 2_000, ("basic", "studentised", "bca"), seed=6, resamples=1_999)
    assert not_rarer(held["studentised"], 2_000, 0.95)
    assert not_rarer(held["bca"], 2_000, 0.92)
    assert held["basic"] < held["bca"] < held["studentised"]
    assert not not_rarer(held["basic"], 2_000, 0.92)


@pytest.mark.slow
def test_drawn_order_statistics_cover_a_difference_of_medians():
    """60 and 90 exponential values, 3,000 experiments; percentile intervals are a little cautious."""

    def draw(rng, resamples):
        return quantile_bootstrap(rng.exponential(size=60), rng.exponential(size=90), 0.5, resamples=resamples, rng=rng)

    (held,) = coverage(draw, 0.0, 3_000, ("percentile",), seed=7).values()
    assert not_rarer(held, 3_000, 0.95)
    assert held < 0.985 * 3_000


@pytest.mark.slow
def test_the_bootstrap_p_value_of_a_mean_has_its_size():
    """G-12's t-test by resampling: studentised, 40 exponential units an arm, 2,000 experiments; at most 6%."""
    rng, wrong = np.random.default_rng(8), 0
    for _ in range(2_000):
        arms = [unit_sums(rng.exponential(size=40)) for _ in range(2)]
        wrong += smooth_bootstrap(*arms, resamples=199, rng=rng).p_value(method="studentised") <= 0.05
    assert not_more_often(wrong, 2_000, 0.06)
    assert math.isclose(wrong / 2_000, 0.05, abs_tol=0.025)
