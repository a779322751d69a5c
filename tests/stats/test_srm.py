"""The sample-ratio check gives the required values, leaves closed arms out and refuses what it cannot judge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.srm import srm_exact_binomial, srm_test

families = st.integers(2, 6).flatmap(
    lambda k: st.tuples(
        st.lists(st.integers(0, 100_000), min_size=k, max_size=k).filter(any), st.lists(st.floats(0.01, 10.0), min_size=k, max_size=k)
    )
)


@pytest.mark.parametrize(
    ("observed", "shares", "chi_square", "p_value"),
    [
        ([5100, 4900], [0.5, 0.5], 4.0, 0.0455),
        ([821588, 815482], [0.5, 0.5], 22.774369, 1.822e-6),
        ([710, 290], [0.8, 0.2], 50.625, 1.118e-12),
        ([920, 80], [0.95, 0.05], 18.947368, 1.344e-5),
        ([8930, 1070], [0.9, 0.1], 5.444444, 0.01963),
    ],
)
def test_the_required_golden_values(observed, shares, chi_square, p_value):
    """G-11: chi-square to 6 decimals, p to 4 significant digits."""
    result = srm_test(observed, shares)
    assert result.chi_square == pytest.approx(chi_square, abs=5e-7)
    assert result.p_value == pytest.approx(p_value, rel=5e-4)
    assert result.df == 1


@settings(max_examples=100, deadline=None)
@given(family=families)
def test_the_statistic_is_that_of_scipy(family):
    observed, shares = np.array(family[0], dtype=float), np.array(family[1])
    expected = shares / shares.sum() * observed.sum()
    theirs = stats.chisquare(observed, expected * (observed.sum() / expected.sum()))
    ours = srm_test(*family)
    assert (ours.chi_square, ours.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-6, abs=1e-12)
    assert ours.df == len(family[0]) - 1
    assert sum(ours.expected) == pytest.approx(observed.sum())
    assert sum(ours.observed_shares) == pytest.approx(1.0)


def test_an_arm_with_zero_allocation_has_no_degree_of_freedom():
    """G-11: counting it would turn p 0.0455 into 0.1353."""
    result = srm_test([5100, 4900, 0], [0.5, 0.5, 0.0])
    assert (result.df, result.chi_square) == (1, pytest.approx(4.0))
    assert result.expected == (5000.0, 5000.0, 0.0)
    assert result.units_without_share == 0


def test_units_in_an_arm_with_zero_allocation_are_stated_and_tested_apart():
    """G-11."""
    result = srm_test([5100, 7, 4900], [0.5, 0.0, 0.5])
    assert result.units_without_share == 7
    assert result.chi_square == pytest.approx(4.0)
    assert result.observed_shares == (0.51, 0.0, 0.49)


def test_shares_may_be_in_any_unit():
    assert srm_test([51, 30, 19], [2, 1, 1]) == srm_test([51, 30, 19], [0.5, 0.25, 0.25])


@pytest.mark.parametrize(
    ("observed", "share"), [([821588, 815482], 0.5), ([7, 13], 0.25), ([1, 1], 0.5), ([0, 20], 0.5), ([990, 110], 0.9)]
)
def test_the_exact_check_is_scipys_binomial_test(observed, share):
    theirs = stats.binomtest(observed[0], sum(observed), share).pvalue
    assert srm_exact_binomial(observed, [share, 1 - share]) == pytest.approx(theirs, rel=1e-6)
    assert srm_exact_binomial([*observed, 3], [share, 1 - share, 0.0]) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("check", [srm_test, srm_exact_binomial])
class TestBadInput:
    def test_no_unit_at_all(self, check):
        with pytest.raises(NotEnoughDataError):
            check([0, 0], [0.5, 0.5])

    def test_units_only_where_none_are_planned(self, check):
        with pytest.raises(NotEnoughDataError):
            check([0, 0, 8], [0.5, 0.5, 0.0])

    @pytest.mark.parametrize("shares", [[1.0, 0.0], [0.0, 0.0]])
    def test_fewer_than_two_planned_arms(self, check, shares):
        with pytest.raises(DataError, match="two arms"):
            check([5, 5], shares)

    @pytest.mark.parametrize(
        ("observed", "shares"),
        [([5, 5], [1.0]), ([-1, 5], [0.5, 0.5]), ([1.5, 5], [0.5, 0.5]), ([1, 5], [-0.5, 0.5]), ([1, 5], [float("inf"), 1.0]), (5, 0.5)],
    )
    def test_counts_or_shares_that_are_none(self, check, observed, shares):
        with pytest.raises(UsageError):
            check(observed, shares)


def test_the_exact_check_is_for_two_arms():
    with pytest.raises(DataError, match="two arms"):
        srm_exact_binomial([1, 2, 3], [1, 1, 1])
