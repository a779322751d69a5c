"""Tests of contingency tables are those of SciPy and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.tables import chi_square_independence, cochran_mantel_haenszel, fisher_exact_test, yates_test

arms = st.integers(2, 300).flatmap(lambda n: st.tuples(st.integers(1, n - 1), st.just(n)))
STRATA = [(30, 100, 45, 110), (60, 300, 70, 290), (5, 40, 11, 38)]


@settings(max_examples=60, deadline=None)
@given(table=st.integers(2, 4).flatmap(lambda k: st.lists(st.lists(st.integers(1, 500), min_size=k, max_size=k), min_size=2, max_size=5)))
def test_independence_is_that_of_scipy(table):
    ours, theirs = chi_square_independence(table), stats.chi2_contingency(table, correction=False)
    assert (ours.chi_square, ours.df, ours.p_value) == pytest.approx((theirs.statistic, theirs.dof, theirs.pvalue), rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(ours.expected, theirs.expected_freq, rtol=1e-12)
    assert ours.g_statistic == pytest.approx(
        stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic, rel=1e-6, abs=1e-9
    )
    assert ours.cramers_v == pytest.approx(stats.contingency.association(np.array(table)), rel=1e-9, abs=1e-12)


def test_an_empty_cell_adds_nothing_to_the_likelihood_ratio():
    table = [[0, 10], [10, 10]]
    assert chi_square_independence(table).g_statistic == pytest.approx(
        stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic, rel=1e-12
    )


@settings(max_examples=60, deadline=None)
@given(control=arms, treatment=arms)
def test_yates_is_that_of_scipy(control, treatment):
    table = [[x, n - x] for x, n in (control, treatment)]
    theirs = stats.chi2_contingency(table, correction=True)
    assert yates_test(*control, *treatment) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9, abs=1e-12)


def test_yates_never_corrects_past_zero():
    assert yates_test(50, 100, 50, 100) == (0.0, 1.0)
    assert yates_test(1, 3, 1, 2) == (0.0, 1.0)


def test_fisher_takes_the_side_of_the_treatment():
    assert fisher_exact_test(1, 4, 3, 4, alternative="greater") == pytest.approx(17 / 70)
    assert fisher_exact_test(1, 4, 3, 4, alternative="less") == pytest.approx(69 / 70)
    assert fisher_exact_test(1, 4, 3, 4) == pytest.approx(34 / 70)


def test_strata_are_those_of_statsmodels():
    theirs = StratifiedTable([np.array([[x_t, n_t - x_t], [x_c, n_c - x_c]], dtype=float) for x_c, n_c, x_t, n_t in STRATA])
    ours, plain, corrected = cochran_mantel_haenszel(STRATA), theirs.test_null_odds(), theirs.test_null_odds(correction=True)
    assert ours.common_odds_ratio == pytest.approx(theirs.oddsratio_pooled, rel=1e-12)
    assert (ours.chi_square, ours.p_value) == pytest.approx((plain.statistic, plain.pvalue), rel=1e-9)
    assert (ours.chi_square_corrected, ours.p_value_corrected) == pytest.approx((corrected.statistic, corrected.pvalue), rel=1e-9)


def test_a_stratum_of_one_unit_changes_nothing():
    assert cochran_mantel_haenszel([*STRATA, (1, 1, 0, 0)]) == cochran_mantel_haenszel(STRATA)


def test_strata_without_failures_on_one_side_have_no_odds_ratio():
    assert cochran_mantel_haenszel([(0, 5, 3, 5)]).common_odds_ratio is None


def test_what_cannot_be_tested_is_refused():
    for table in ([[1, 2]], [[1], [2]], [[1, -2], [3, 4]], [[1, float("nan")], [3, 4]], [1, 2, 3]):
        with pytest.raises(UsageError, match="table"):
            chi_square_independence(table)
    with pytest.raises(DataError, match="every row and column"):
        chi_square_independence([[0, 0], [3, 4]])
    with pytest.raises(DataError):
        yates_test(0, 5, 0, 7)
    with pytest.raises(UsageError):
        yates_test(6, 5, 1, 7)
    with pytest.raises(UsageError):
        cochran_mantel_haenszel([(3, 2, 1, 1)])
    with pytest.raises(DataError):
        cochran_mantel_haenszel([(0, 5, 0, 5)])
