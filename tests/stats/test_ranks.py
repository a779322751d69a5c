"""Rank tests against SciPy and against enumeration."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.ranks import hodges_lehmann_shift, kolmogorov_smirnov_test, kruskal_wallis_test, mann_whitney_test

SIDES = ["two-sided", "greater", "less"]
SMALL = st.lists(st.integers(0, 4), min_size=1, max_size=6)


@pytest.mark.parametrize("continuity", [True, False])
@pytest.mark.parametrize("side", SIDES)
def test_the_approximation_is_that_of_scipy_ties_included(side, continuity):
    """Oracle: scipy.stats.mannwhitneyu(method="asymptotic"), 1e-12."""
    rng = np.random.default_rng(31)
    control, treatment = rng.poisson(2, 40), rng.poisson(3, 30)
    ours = mann_whitney_test(control, treatment, alternative=side, continuity=continuity)
    scipys = stats.mannwhitneyu(treatment, control, alternative=side, use_continuity=continuity, method="asymptotic")
    assert (ours.u, ours.p_value) == pytest.approx((scipys.statistic, scipys.pvalue), rel=1e-12)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("sizes", [(9, 6), (5, 12)])
def test_without_ties_the_exact_test_is_that_of_scipy(side, sizes):
    """Oracle: scipy.stats.mannwhitneyu(method="exact"), 1e-12."""
    rng = np.random.default_rng(32)
    control, treatment = rng.normal(0, 1, sizes[0]), rng.normal(0.8, 1, sizes[1])
    ours = mann_whitney_test(control, treatment, alternative=side, method="exact")
    assert ours.p_value == pytest.approx(stats.mannwhitneyu(treatment, control, alternative=side, method="exact").pvalue, rel=1e-12)


@given(control=SMALL, treatment=SMALL, side=st.sampled_from(SIDES))
@settings(max_examples=80, deadline=None)
def test_with_ties_the_exact_test_counts_all_reallocations(control, treatment, side):
    """Oracle: every way to choose the treated units, enumerated."""
    pooled = control + treatment
    if len(set(pooled)) == 1:
        return
    ranks, k = stats.rankdata(pooled), len(treatment)
    sums = np.array([sum(ranks[list(chosen)]) for chosen in combinations(range(len(pooled)), k)]) - k * (len(pooled) + 1) / 2
    seen = ranks[len(control) :].sum() - k * (len(pooled) + 1) / 2
    extreme = {"two-sided": np.abs(sums) >= abs(seen), "greater": sums >= seen, "less": sums <= seen}[side]
    assert mann_whitney_test(control, treatment, alternative=side, method="exact").p_value == pytest.approx(extreme.mean(), rel=1e-12)


def test_u_counts_pairs_won_with_ties_one_half():
    control, treatment = [1.0, 2.0, 2.0], [2.0, 3.0]
    test = mann_whitney_test(control, treatment)
    assert test.u == sum((t > c) + 0.5 * (t == c) for t in treatment for c in control)
    assert test.superiority == pytest.approx(test.u / 6)
    assert test.rank_biserial == pytest.approx(2 * test.u / 6 - 1)


@given(shift=st.floats(-50, 50), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_the_shift_finds_a_shift(shift, seed):
    control = np.random.default_rng(seed).normal(0, 1, 15)
    assert hodges_lehmann_shift(control, control + shift) == pytest.approx(shift, abs=1e-9)


def test_kruskal_wallis_is_that_of_scipy_and_of_mann_whitney_for_two_arms():
    """Oracle: scipy.stats.kruskal, 1e-12."""
    rng = np.random.default_rng(33)
    groups = [rng.poisson(rate, 25) for rate in (2, 3, 2.5)]
    ours, scipys = kruskal_wallis_test(groups), stats.kruskal(*groups)
    assert (ours.statistic, ours.p_value, ours.df) == pytest.approx((scipys.statistic, scipys.pvalue, 2), rel=1e-12)
    two = mann_whitney_test(*groups[:2], continuity=False)
    assert kruskal_wallis_test(groups[:2]).p_value == pytest.approx(two.p_value, rel=1e-9)


def test_kolmogorov_smirnov_distance_is_that_of_scipy_and_its_p_the_limit():
    """Oracle: scipy.stats.ks_2samp for D; scipy.stats.kstwobign for the limiting tail."""
    rng = np.random.default_rng(34)
    control, treatment = rng.normal(0, 1, 80), rng.normal(0.4, 1, 60)
    ours = kolmogorov_smirnov_test(control, treatment)
    assert ours.distance == pytest.approx(stats.ks_2samp(treatment, control).statistic, rel=1e-12)
    assert ours.p_value == pytest.approx(stats.kstwobign.sf(ours.distance * np.sqrt(80 * 60 / 140)), rel=1e-9)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: mann_whitney_test([1.0, 1.0], [1.0]), DataError),
        (lambda: mann_whitney_test([], [1.0]), DataError),
        (lambda: mann_whitney_test([np.nan], [1.0]), DataError),
        (lambda: mann_whitney_test([1.0], [2.0], method="bootstrap"), UsageError),
        (lambda: mann_whitney_test([1.0], [2.0], alternative="larger"), UsageError),
        (lambda: mann_whitney_test(np.arange(150.0), np.arange(150.0) + 0.5, method="exact"), UsageError),
        (lambda: hodges_lehmann_shift(np.zeros(10_000), np.zeros(10_000)), UsageError),
        (lambda: kruskal_wallis_test([[1.0, 2.0]]), UsageError),
        (lambda: kruskal_wallis_test([[1.0], [1.0]]), DataError),
    ],
)
def test_what_cannot_be_answered_is_refused(call, error):
    with pytest.raises(error):
        call()
