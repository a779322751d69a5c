"""Several treatments against one control."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.many_to_one import dunnett_critical_value, dunnett_test, loadings_of, many_to_one
from fairtrial.stats.means import student_test, welch_test
from fairtrial.stats.moments import Moments

SIDES = ("two-sided", "greater", "less")


def arms(sizes=(20, 10, 14), seed=0, spread=(1.0, 1.0, 1.0)):
    rng = np.random.default_rng(seed)
    return [rng.normal(10 + 0.5 * i, sd, n) for i, (n, sd) in enumerate(zip(sizes, spread, strict=True))]


@pytest.mark.parametrize(
    ("treatments", "df", "two_sided", "one_sided"),
    [(2, 5, 3.03, 2.44), (4, 12, 2.81, 2.41), (5, 60, 2.58, 2.28), (9, math.inf, 2.69, 2.42)],
)
def test_printed_tables(treatments, df, two_sided, one_sided):
    """Dunnett (1964), table II, and (1955), table 1a, at joint 5%."""
    assert dunnett_critical_value(treatments, df=df) == pytest.approx(two_sided, abs=0.0101)
    assert dunnett_critical_value(treatments, df=df, alternative="greater") == pytest.approx(one_sided, abs=0.0101)


@pytest.mark.parametrize("alternative", SIDES)
def test_unequal_arms_as_scipy_samples_them(alternative):
    """scipy.stats.dunnett, a randomised quadrature: absolute 2e-3."""
    control, *treatments = arms()
    theirs = stats.dunnett(*treatments, control=control, alternative=alternative, rng=np.random.default_rng(1))
    found = dunnett_test(Moments.from_values(control), [Moments.from_values(x) for x in treatments], alternative=alternative)
    np.testing.assert_allclose(found.statistic, theirs.statistic, rtol=1e-10)
    np.testing.assert_allclose(found.p_adjusted, theirs.pvalue, atol=2e-3)
    interval = theirs.confidence_interval(0.95)
    np.testing.assert_allclose(found.low, interval.low, atol=0.02)
    np.testing.assert_allclose(found.high, interval.high, atol=0.02)


@pytest.mark.parametrize("alternative", SIDES)
@pytest.mark.parametrize("margin", [0.0, 0.4])
def test_one_treatment_is_students_or_welchs_test(alternative, margin):
    control, treatment = (Moments.from_values(x) for x in arms((12, 9), spread=(1, 3)))
    for variances, test in (("equal", student_test), ("unequal", welch_test)):
        ours = dunnett_test(control, [treatment], variances=variances, alternative=alternative, margin=margin)
        theirs = test(control, treatment, alternative=alternative, margin=margin)
        assert ours.p_adjusted[0] == pytest.approx(theirs.p_value, rel=1e-9)
        assert ours.p_value[0] == pytest.approx(theirs.p_value, rel=1e-12)
        assert (ours.low[0], ours.high[0]) == pytest.approx((theirs.interval.low, theirs.interval.high), rel=1e-9)
        assert ours.df[0] == pytest.approx(theirs.df)


@given(
    effects=st.lists(st.floats(-3, 3), min_size=1, max_size=4),
    own=st.floats(0.05, 0.95),
    df=st.sampled_from([3.0, 30.0, math.inf]),
    alpha=st.floats(0.01, 0.3),
    alternative=st.sampled_from(SIDES),
    margin=st.floats(-1, 1),
)
@settings(max_examples=60, deadline=None)
def test_an_interval_leaves_the_margin_out_exactly_when_its_adjusted_p_lies_below_alpha(effects, own, df, alpha, alternative, margin):
    found = many_to_one(effects, 1.0, own, df=df, alpha=alpha, alternative=alternative, margin=margin)
    excluded = (margin < found.low) | (margin > found.high)
    clear = np.abs(found.p_adjusted - alpha) > 1e-7
    assert (excluded == (found.p_adjusted < alpha))[clear].all()
    assert (found.p_adjusted >= found.p_value * (1 - 1e-9)).all()
    assert (found.p_adjusted <= len(effects) * found.p_value * (1 + 1e-9)).all()


def test_unequal_variances_give_each_comparison_its_own_degrees_of_freedom():
    control, *treatments = (Moments.from_values(x) for x in arms((30, 8, 50), spread=(1, 5, 0.5)))
    found = dunnett_test(control, treatments, variances="unequal")
    assert found.df.tolist() == [pytest.approx(welch_test(control, x).df) for x in treatments]
    assert found.critical_value[0] > found.critical_value[1]


def test_tiny_p_values_keep_their_digits():
    """At t = 30 with normal statistics the tails hardly overlap: Bonferroni's to 1e-6 relative."""
    found = many_to_one([30.0, 0.0], 1.0, 0.7)
    assert found.p_adjusted[0] == pytest.approx(4 * stats.norm.sf(30), rel=1e-6)
    assert found.p_adjusted[0] < 1e-190


def test_loadings_are_found_again():
    loads = np.array([0.3, 0.7, -0.5, 0.9])
    matrix = np.outer(loads, loads)
    np.fill_diagonal(matrix, 1.0)
    found = loadings_of(matrix, 4)
    np.testing.assert_allclose(np.outer(found, found) - np.diag(found**2), matrix - np.eye(4), atol=1e-12)
    two = loadings_of([[1, -0.4], [-0.4, 1]], 2)
    assert two[0] * two[1] == pytest.approx(-0.4)
    assert loadings_of([[1.0]], 1).tolist() == [0.0]
    assert loadings_of(np.eye(3), 3).tolist() == [0.0] * 3
    by_matrix = dunnett_critical_value(4, df=9, correlation=0.5 + 0.5 * np.eye(4))
    assert by_matrix == pytest.approx(dunnett_critical_value(4, df=9), rel=1e-9)


ONE = Moments.from_values([1.0, 2.0, 4.0])
LONE = Moments.from_values([1.0])
FLAT = Moments.from_values([2.0, 2.0])
NEGATIVE = [[1, 0.5, -0.5], [0.5, 1, 0.5], [-0.5, 0.5, 1]]
TRIDIAGONAL = [[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]]


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: dunnett_critical_value(0), UsageError, "at least one treatment, got 0"),
        (lambda: dunnett_critical_value(2, alpha=5), UsageError, "alpha=0.95"),
        (lambda: dunnett_critical_value(2, df=0), UsageError, "Degrees of freedom"),
        (lambda: dunnett_critical_value(2, alternative="one-sided"), UsageError, "alternative"),
        (lambda: dunnett_critical_value(3, correlation=-0.1), UsageError, r"\[0, 1\)"),
        (lambda: dunnett_critical_value(3, correlation=1.0), UsageError, r"\[0, 1\)"),
        (lambda: dunnett_critical_value(3, correlation=np.eye(2)), UsageError, "symmetric"),
        (lambda: dunnett_critical_value(3, correlation=NEGATIVE), UsageError, "products"),
        (lambda: dunnett_critical_value(3, correlation=TRIDIAGONAL), UsageError, "products"),
        (lambda: many_to_one([], 1.0, 0.5), UsageError, "one a treatment"),
        (lambda: many_to_one([math.nan], 1.0, 0.5), UsageError, "finite"),
        (lambda: many_to_one([1.0], 1.0, 1.0), UsageError, "control_std_error < std_error"),
        (lambda: many_to_one([1.0, 2.0], [1.0, 1.0, 1.0], 0.5), UsageError, "std_error must be one number"),
        (lambda: many_to_one([1.0], 1.0, 0.5, df=math.nan), UsageError, "df >= 1"),
        (lambda: many_to_one([1.0], 1.0, 0.5, margin=math.inf), UsageError, "margin"),
        (lambda: dunnett_test(ONE, []), UsageError, "got none"),
        (lambda: dunnett_test(ONE, [ONE], variances="welch"), UsageError, "variances"),
        (lambda: dunnett_test(LONE, [LONE]), NotEnoughDataError, "arm with two units"),
        (lambda: dunnett_test(ONE, [LONE], variances="unequal"), NotEnoughDataError, "at least two units"),
        (lambda: dunnett_test(FLAT, [FLAT]), DataError, "does not vary"),
        (lambda: dunnett_test(ONE, [FLAT], variances="unequal"), DataError, "does not vary"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "alternative"), [((10, 10, 10, 10), "two-sided"), ((30, 6, 9, 15), "two-sided"), ((8, 20, 20), "greater")]
)
def test_the_family_wise_error_is_alpha(sizes, alternative):
    """100,000 families of normal arms without any effect, judged by the critical value: exact binomial at 1e-4."""
    rng, families = np.random.default_rng(5), 100_000
    means = [rng.normal(0, 1 / math.sqrt(n), families) for n in sizes]
    df = sum(sizes) - len(sizes)
    pooled = np.sqrt(rng.chisquare(df, families) / df)
    zero = [Moments.from_summary(n=n, mean=0.0, sd=1.0) for n in sizes]
    value = dunnett_test(zero[0], zero[1:], alternative=alternative).critical_value[0]
    t = np.array([(m - means[0]) / pooled / math.sqrt(1 / n + 1 / sizes[0]) for m, n in zip(means[1:], sizes[1:], strict=True)])
    rejected = int(((np.abs(t) if alternative == "two-sided" else t).max(axis=0) > value).sum())
    assert stats.binomtest(rejected, families, 0.05).pvalue > 1e-4


@pytest.mark.slow
def test_each_arms_own_variance_holds_the_error_where_the_pooled_one_does_not():
    """A small arm of large spread, 200 families: pooled variances err in more than 10% (the check can fail), own ones stay near 5%."""
    rng, families = np.random.default_rng(6), 200
    wrong = {"equal": 0, "unequal": 0}
    for _ in range(families):
        drawn = [Moments.from_values(rng.normal(0, sd, n)) for n, sd in ((60, 1.0), (8, 4.0), (60, 1.0))]
        for variances in wrong:
            wrong[variances] += bool((dunnett_test(drawn[0], drawn[1:], variances=variances).p_adjusted < 0.05).any())
    assert wrong["equal"] > 0.1 * families
    assert stats.binomtest(wrong["unequal"], families, 0.06, alternative="greater").pvalue > 1e-4
