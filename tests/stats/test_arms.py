"""Analysis of variance and post-stratification, from moments."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.arms import one_way_anova, post_stratified_difference
from fairtrial.stats.means import student_test, z_test_means
from fairtrial.stats.moments import Moments


def test_an_analysis_of_variance_is_that_of_scipy_and_of_student_for_two_arms():
    """Oracle: scipy.stats.f_oneway, 1e-10."""
    rng = np.random.default_rng(51)
    groups = [1e6 + rng.normal(mean, 1, n) for mean, n in ((0, 20), (0.5, 30), (0.2, 25))]
    arms = [Moments.from_values(group) for group in groups]
    ours, scipys = one_way_anova(arms), stats.f_oneway(*groups)
    assert (ours.statistic, ours.p_value) == pytest.approx((scipys.statistic, scipys.pvalue), rel=1e-6)
    student = student_test(*arms[:2])
    assert one_way_anova(arms[:2]).p_value == pytest.approx(student.p_value, rel=1e-9)


def test_one_stratum_is_no_stratification():
    rng = np.random.default_rng(52)
    pair = Moments.from_values(rng.normal(5, 1, 50)), Moments.from_values(rng.normal(6, 2, 60))
    one, plain = post_stratified_difference([pair]), z_test_means(*pair)
    assert (one.effect, one.std_error, one.p_value) == pytest.approx((plain.effect, plain.std_error, plain.p_value), rel=1e-12)


def test_post_stratification_is_the_fully_interacted_regression():
    """Oracle: statsmodels OLS with HC2 on treatment x (centred stratum), coefficient and error, 1e-9."""
    rng = np.random.default_rng(53)
    stratum, treated = rng.integers(0, 2, 300), rng.integers(0, 2, 300)
    y = 2.0 * stratum + 0.5 * treated + 0.4 * stratum * treated + rng.normal(0, 1, 300)
    centred = stratum - stratum.mean()
    fit = sm.OLS(y, np.column_stack([np.ones(300), treated, centred, treated * centred])).fit(cov_type="HC2")
    arms = [tuple(Moments.from_values(y[(stratum == s) & (treated == t)]) for t in (0, 1)) for s in (0, 1)]
    ours = post_stratified_difference(arms)
    assert (ours.effect, ours.std_error) == pytest.approx((fit.params[1], fit.bse[1]), rel=1e-9)


GOOD = Moments(n=5, mean=1.0, m2=2.0)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: one_way_anova([GOOD]), UsageError),
        (lambda: one_way_anova([Moments(n=1, mean=1.0, m2=0.0)] * 3), NotEnoughDataError),
        (lambda: one_way_anova([Moments(n=4, mean=1.0, m2=0.0)] * 3), DataError),
        (lambda: post_stratified_difference([]), UsageError),
        (lambda: post_stratified_difference([(GOOD, Moments(n=1, mean=1.0, m2=0.0))]), NotEnoughDataError),
        (lambda: post_stratified_difference([(GOOD, GOOD)], weights=[0.5]), UsageError),
        (lambda: post_stratified_difference([(GOOD, GOOD)], weights=[0.5, 0.5]), UsageError),
    ],
)
def test_what_cannot_be_answered_is_refused(call, error):
    with pytest.raises(error):
        call()
