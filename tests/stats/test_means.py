"""Tests of two means against SciPy and the requirements' golden analysis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.means import noninferiority, paired_t_test, student_test, tost_equivalence, welch_test, z_test_means
from fairtrial.stats.moments import Moments

GOLDEN = (Moments.from_summary(n=578, mean=1.00692, sd=0.1017), Moments.from_summary(n=577, mean=1.18198, sd=0.4524))
ARMS = (Moments.from_summary(n=400, mean=50.0, sd=10.0), Moments.from_summary(n=380, mean=49.6, sd=11.0))
CONSTANT = Moments(n=10, mean=1.0, m2=0.0)


def test_the_golden_analysis():
    """Requirements, Part V (V.b, "Golden analysis"), to the digits printed there."""
    welch, student = welch_test(*GOLDEN), student_test(*GOLDEN)
    assert (welch.statistic, welch.df) == pytest.approx((9.069116, 633.971453), abs=1e-6)
    assert welch.p_value == pytest.approx(1.488e-18, rel=5e-4)
    assert welch.effect == pytest.approx(0.17506, abs=1e-9)
    assert (welch.interval.low, welch.interval.high) == pytest.approx((0.137155, 0.212965), abs=1e-6)
    assert (welch.lift_interval.low, welch.lift_interval.high) == pytest.approx((0.135945, 0.211769), abs=1e-6)
    assert student.statistic == pytest.approx(9.076221, abs=1e-6)
    assert student.p_value == pytest.approx(4.741e-19, rel=5e-4)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize(("test", "equal"), [(welch_test, False), (student_test, True)])
def test_t_tests_are_those_of_scipy(test, equal, alternative):
    """Oracle: scipy.stats.ttest_ind on raw values, 1e-10."""
    rng = np.random.default_rng(5)
    control, treatment = rng.gamma(2.0, 3.0, 34), rng.gamma(2.5, 3.0, 51)
    ours = test(Moments.from_values(control), Moments.from_values(treatment), alpha=0.1, alternative=alternative)
    scipys = stats.ttest_ind(treatment, control, equal_var=equal, alternative=alternative)
    ends = scipys.confidence_interval(0.9)
    assert (ours.statistic, ours.df, ours.p_value) == pytest.approx((scipys.statistic, scipys.df, scipys.pvalue), rel=1e-10)
    assert (ours.interval.low, ours.interval.high) == pytest.approx((ends.low, ends.high), rel=1e-10)


def test_a_z_test_uses_the_normal_distribution():
    estimate = z_test_means(*ARMS)
    assert estimate.df is None
    assert estimate.interval_method == "normal"
    assert estimate.p_value == pytest.approx(2 * stats.norm.sf(abs(estimate.statistic)), rel=1e-12)


def test_the_statistic_counts_from_the_margin():
    at_margin = welch_test(*ARMS, margin=-2.0, alternative="greater")
    assert at_margin.statistic == pytest.approx((at_margin.effect + 2.0) / at_margin.std_error)
    assert at_margin.p_value == pytest.approx(stats.t.sf(at_margin.statistic, at_margin.df), rel=1e-12)


def test_noninferiority_mirrors_with_the_direction():
    """b_tests: 50 +- 10 of 400 against 49.6 +- 11 of 380, margin 2, one-sided 0.025."""
    gain = noninferiority(*ARMS, margin=2.0)
    assert gain.p_value == pytest.approx(0.017071817480433592, rel=1e-9)
    assert gain.interval.low == pytest.approx(-1.8800410931591098, rel=1e-9)
    turned = [Moments(n=m.n, mean=-m.mean, m2=m.m2) for m in ARMS]
    loss = noninferiority(*turned, margin=2.0, direction="decrease")
    assert loss.p_value == pytest.approx(gain.p_value, rel=1e-9)
    assert loss.interval.high == pytest.approx(-gain.interval.low, rel=1e-9)


@given(margin=st.floats(0.1, 4.0), alpha=st.floats(0.005, 0.2))
@settings(max_examples=60, deadline=None)
def test_noninferiority_and_equivalence_decide_as_their_intervals_do(margin, alpha):
    test = noninferiority(*ARMS, margin=margin, alpha=alpha)
    assert (test.p_value < alpha) == (test.interval.low > -margin)
    equal = tost_equivalence(*ARMS, low=-margin, high=margin, alpha=alpha)
    interval = equal.estimate.interval
    assert equal.equivalent == (-margin < interval.low and interval.high < margin)


def test_a_paired_test_is_that_of_scipy():
    """Student's sleep data (1908): t = 4.0621, p = 0.002833 (R documentation); oracle scipy.stats.ttest_rel."""
    before, after = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    ours, scipys = paired_t_test(before, after), stats.ttest_rel(after, before)
    assert (ours.statistic, ours.p_value, ours.df) == pytest.approx((scipys.statistic, scipys.pvalue, 9), rel=1e-12)
    assert (ours.statistic, ours.p_value) == (pytest.approx(4.0621, abs=5e-5), pytest.approx(0.002833, abs=5e-7))
    assert ours.lift == pytest.approx(np.mean(after) / np.mean(before) - 1, rel=1e-12)


def test_the_lift_of_paired_units_profits_from_their_correlation():
    rng = np.random.default_rng(6)
    before = rng.normal(10, 2, 200)
    after = 1.1 * before + rng.normal(0, 0.1, 200)
    paired = paired_t_test(before, after)
    apart = welch_test(Moments.from_values(before), Moments.from_values(after))
    assert paired.lift_interval.high - paired.lift_interval.low < 0.1 * (apart.lift_interval.high - apart.lift_interval.low)


@pytest.mark.parametrize("test", [welch_test, student_test, z_test_means])
def test_data_that_cannot_answer_is_named(test):
    """G-12, G-5: no p-value of 1 for a constant metric, no division by n - 1 = 0."""
    with pytest.raises(NotEnoughDataError) as few:
        test(Moments(n=1, mean=1.0, m2=0.0), ARMS[1])
    with pytest.raises(DataError) as flat:
        test(CONSTANT, CONSTANT)
    assert (few.value.code, flat.value.code) == ("too_few_units", "no_variance")


def test_a_control_of_zero_has_an_effect_but_no_lift():
    estimate = welch_test(Moments(n=10, mean=0.0, m2=0.0), ARMS[1])
    assert estimate.effect == pytest.approx(49.6)
    assert (estimate.lift, estimate.lift_interval, estimate.lift_method) == (None, None, None)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: welch_test(*ARMS, alpha=95.0), UsageError),
        (lambda: welch_test(*ARMS, margin=float("nan")), UsageError),
        (lambda: welch_test(*ARMS, alternative="larger"), UsageError),
        (lambda: noninferiority(*ARMS, margin=-2.0), UsageError),
        (lambda: noninferiority(*ARMS, margin=float("nan")), UsageError),
        (lambda: noninferiority(*ARMS, margin=1.0, direction="up"), UsageError),
        (lambda: tost_equivalence(*ARMS, low=2.0, high=-2.0), UsageError),
        (lambda: tost_equivalence(*ARMS, low=-2.0, high=2.0, alpha=0.6), UsageError),
        (lambda: paired_t_test([1.0, 2.0], [1.0]), UsageError),
        (lambda: paired_t_test([1.0], [2.0]), NotEnoughDataError),
        (lambda: paired_t_test([0.1, 0.2, 0.3], [0.2, 0.3, 0.4]), DataError),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error):
    with pytest.raises(error):
        call()
