"""Standardised differences and the omnibus test of balance (HO-43)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.balance import (
    balance_from_moments,
    balance_of_levels,
    balance_of_shares,
    balance_of_values,
    hotelling_balance,
    standardized_differences,
)
from fairtrial.stats.moments import CoMoments, Moments


def drawn(n, k, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, k)) @ rng.normal(size=(k, k)) + shift


def test_the_example_of_the_balance_endpoint():
    """HO-43: ages 34.2 (10.1) and 33.9 (9.8) give .030147."""
    balance = balance_from_moments(Moments.from_summary(n=188, mean=33.9, sd=9.8), Moments.from_summary(n=812, mean=34.2, sd=10.1))
    assert balance.smd == pytest.approx(0.030147, abs=5e-7)
    assert balance.variance_ratio == pytest.approx((10.1 / 9.8) ** 2, rel=1e-12)
    assert balance.ks_distance is None


def test_values_say_the_same_as_moments_and_the_distance_of_distributions():
    """Oracle: scipy.stats.ks_2samp, exact."""
    c, t = drawn(60, 1, 1)[:, 0], drawn(40, 1, 2)[:, 0]
    balance = balance_of_values(c, t)
    assert balance.smd == balance_from_moments(Moments.from_values(c), Moments.from_values(t)).smd
    assert balance.ks_distance == pytest.approx(stats.ks_2samp(c, t).statistic, rel=1e-12)


def test_many_covariates_at_once_are_each_by_itself():
    c, t = drawn(50, 4, 3), drawn(70, 4, 3, shift=1.0)
    together = standardized_differences(CoMoments.from_values(c), CoMoments.from_values(t))
    assert together == pytest.approx([balance_of_values(c[:, j], t[:, j]).smd for j in range(4)], rel=1e-12)


@given(shift=st.floats(-1e6, 1e6), scale=st.floats(1e-3, 1e3))
@settings(max_examples=50, deadline=None)
def test_units_of_measure_do_not_matter(shift, scale):
    c, t = drawn(30, 1, 4)[:, 0], drawn(30, 1, 5)[:, 0]
    assert balance_of_values(c * scale + shift, t * scale + shift).smd == pytest.approx(balance_of_values(c, t).smd, rel=1e-4, abs=1e-6)


def test_a_large_offset_keeps_the_digits():
    c, t = drawn(1000, 1, 6)[:, 0], drawn(1000, 1, 7)[:, 0]
    assert balance_of_values(c + 1e9, t + 1e9).smd == pytest.approx(balance_of_values(c, t).smd, rel=1e-5)


def test_a_control_that_does_not_vary_has_no_variance_ratio():
    assert balance_of_values([1.0, 1.0], [1.0, 2.0]).variance_ratio is None


@given(x=st.integers(0, 50), y=st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_a_binary_covariate_is_a_categorical_one_of_two_levels(x, y):
    if x + y in {0, 100} or {x, y} == {0, 50}:
        return
    binary, levels = balance_of_shares(x, 50, y, 50), balance_of_levels([x, 50 - x], [y, 50 - y])
    assert levels.smd == pytest.approx(abs(binary.smd), rel=1e-9, abs=1e-12)


def test_rates_of_a_billionth_in_a_trillion_units():
    balance = balance_of_shares(1000, 10**12, 1100, 10**12)
    assert balance.smd == pytest.approx(1e-10 / math.sqrt(1.05e-9), rel=1e-8)
    assert balance.cohen_h == pytest.approx(2 * (math.sqrt(1.1e-9) - math.sqrt(1e-9)), rel=1e-6)


def test_levels_by_the_formula_of_yang_and_dalton_and_pearson():
    """Oracles: the quadratic form written out without the last level; scipy.stats.chi2_contingency, 1e-12."""
    c, t = np.array([500, 300, 200]), np.array([480, 330, 190])
    p, q = (c / c.sum())[:2], (t / t.sum())[:2]
    s = (np.diag(p) - np.outer(p, p) + np.diag(q) - np.outer(q, q)) / 2
    found = balance_of_levels(c.tolist(), t.tolist())
    assert found.smd == pytest.approx(math.sqrt((q - p) @ np.linalg.inv(s) @ (q - p)), rel=1e-12)
    test = stats.chi2_contingency([c, t], correction=False)
    assert (found.chi_square, found.p_value, found.df) == pytest.approx((test.statistic, test.pvalue, test.dof), rel=1e-12)


def test_levels_that_no_unit_has_and_the_order_of_levels_do_not_matter():
    found = balance_of_levels([10, 0, 20, 0], [12, 0, 15, 3])
    again = balance_of_levels([0, 20, 10], [3, 15, 12])
    assert found.df == again.df == 2
    assert (found.smd, found.chi_square) == pytest.approx((again.smd, again.chi_square), rel=1e-12)


def test_hotelling_of_one_covariate_is_the_squared_t_test():
    """Oracle: scipy.stats.ttest_ind, 1e-12."""
    c, t = drawn(30, 1, 8), drawn(25, 1, 9)
    found = hotelling_balance(CoMoments.from_values(c), CoMoments.from_values(t))
    test = stats.ttest_ind(t[:, 0], c[:, 0])
    assert (found.t_squared, found.p_value) == pytest.approx((test.statistic**2, test.pvalue), rel=1e-10)


def test_hotelling_does_not_change_when_covariates_are_mixed_and_rescaled():
    c, t = drawn(40, 3, 10), drawn(50, 3, 10, shift=0.2)
    mix = np.array([[1e3, 0, 0], [3.0, 1.0, 0], [0.1, 5.0, 1e-2]]).T
    plain = hotelling_balance(CoMoments.from_values(c), CoMoments.from_values(t))
    mixed = hotelling_balance(CoMoments.from_values(c @ mix), CoMoments.from_values(t @ mix))
    assert mixed.t_squared == pytest.approx(plain.t_squared, rel=1e-6)
    assert (plain.df_numerator, plain.df_denominator) == (3, 86)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: balance_of_values([1.0], [1.0, 2.0]), NotEnoughDataError),
        (lambda: balance_of_values([1.0, math.nan], [1.0, 2.0]), DataError),
        (lambda: balance_of_values([2.0, 2.0], [2.0, 2.0]), DataError),
        (lambda: balance_of_shares(3, 2, 1, 2), UsageError),
        (lambda: balance_of_shares(0.5, 2, 1, 2), UsageError),
        (lambda: balance_of_shares(0, 0, 1, 2), UsageError),
        (lambda: balance_of_shares(0, 2, 0, 2), DataError),
        (lambda: balance_of_levels([1, 2], [1, 2, 3]), UsageError),
        (lambda: balance_of_levels([1, -2], [1, 2]), UsageError),
        (lambda: balance_of_levels([0, 0], [1, 2]), NotEnoughDataError),
        (lambda: balance_of_levels([5, 0], [3, 0]), DataError),
        (lambda: balance_of_levels([5, 5, 0, 0], [0, 0, 3, 1]), DataError),
        (lambda: hotelling_balance(CoMoments.from_values(drawn(5, 2, 1)), CoMoments.from_values(drawn(5, 3, 1))), UsageError),
        (lambda: hotelling_balance(CoMoments.from_values(drawn(2, 3, 1)), CoMoments.from_values(drawn(2, 3, 2))), NotEnoughDataError),
        (
            lambda: hotelling_balance(
                CoMoments.from_values(drawn(9, 1, 1) @ [[1.0, 2.0]]), CoMoments.from_values(drawn(9, 1, 2) @ [[1.0, 2.0]])
            ),
            DataError,
        ),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.slow
def test_the_omnibus_test_errs_as_often_as_it_says():
    """HO-43: 4,000 randomised pairs of arms, five correlated covariates; exact binomial test of size .05."""
    rng, mix, hits = np.random.default_rng(31), np.random.default_rng(1).normal(size=(5, 5)), 0
    for _ in range(4000):
        both = rng.normal(size=(90, 5)) @ mix
        hits += hotelling_balance(CoMoments.from_values(both[:30]), CoMoments.from_values(both[30:])).p_value < 0.05
    assert stats.binomtest(hits, 4000, 0.05).pvalue > 1e-4
