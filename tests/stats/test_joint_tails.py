"""Tails of the largest of correlated t statistics and of the studentised range."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.joint_tails import max_t_quantile, max_t_tail, studentised_range_quantile, studentised_range_tail


@pytest.mark.parametrize("df", [1.0, 2.0, 3.5, 10.0, 100.0, 1e4, 1e8, 1e12, math.inf])
@pytest.mark.parametrize("statistic", [0.5, 2.0, 8.0, 30.0, 37.0])
def test_one_comparison_is_students_t_into_the_far_tail(df, statistic):
    """scipy.stats.t.sf, relative 1e-10 down to p = 1e-299, whatever the loading."""
    one_sided = stats.t.sf(statistic, df) if df < math.inf else stats.norm.sf(statistic)
    assert max_t_tail(statistic, [0.7], df=df) == pytest.approx(2 * one_sided, rel=1e-10)
    assert max_t_tail(statistic, [0.99], df=df, two_sided=False) == pytest.approx(one_sided, rel=1e-10)
    assert studentised_range_tail(statistic * math.sqrt(2), 2, df=df) == pytest.approx(2 * one_sided, rel=1e-10)


@pytest.mark.parametrize(("loadings", "point"), [((0.3, 0.6, 0.8), 2.1), ((0.7, -0.7), 1.5), ((0.0, 0.5, 0.95, 0.2), 2.8)])
def test_normal_statistics_as_scipy_integrates_them(loadings, point):
    """scipy.stats.multivariate_normal.cdf over the box, absolute 1e-6."""
    k = len(loadings)
    correlation = np.outer(loadings, loadings)
    np.fill_diagonal(correlation, 1.0)
    rng = np.random.default_rng(0)
    law = stats.multivariate_normal(np.zeros(k), correlation, abseps=1e-8, releps=1e-8, maxpts=4_000_000, seed=rng)
    assert max_t_tail(point, loadings, two_sided=False) == pytest.approx(1 - law.cdf(np.full(k, point)), abs=1e-6)
    box = law.cdf(np.full(k, point), lower_limit=np.full(k, -point))
    assert max_t_tail(point, loadings) == pytest.approx(1 - box, abs=1e-6)


def test_independent_statistics_have_the_product_of_their_tails():
    one = 2 * stats.norm.sf(2.2)
    assert max_t_tail(2.2, [0.0] * 5) == pytest.approx(1 - (1 - one) ** 5, rel=1e-12)


@pytest.mark.parametrize(("q", "groups", "df"), [(3.5, 3, 10), (4.0, 6, 20), (1.0, 10, 5), (3.0, 3, 1), (5.2, 8, math.inf)])
def test_the_studentised_range_as_scipy_integrates_it(q, groups, df):
    """scipy.stats.studentized_range.sf, relative 1e-8."""
    assert studentised_range_tail(q, groups, df=df) == pytest.approx(stats.studentized_range.sf(q, groups, df), rel=1e-8)


def test_a_printed_range():
    """Pearson & Hartley, Biometrika Tables I, table 29: the upper 5% of four means with 20 degrees of freedom is 3.96."""
    assert studentised_range_quantile(0.05, 4, df=20) == pytest.approx(3.96, abs=0.005)


@given(
    alpha=st.floats(1e-12, 0.5),
    load=st.lists(st.floats(-0.98, 0.98), min_size=1, max_size=5),
    df=st.one_of(st.floats(1, 1e6), st.just(math.inf)),
    two_sided=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_quantile_and_tail_undo_each_other(alpha, load, df, two_sided):
    value = max_t_quantile(alpha, load, df=df, two_sided=two_sided)
    assert max_t_tail(value, load, df=df, two_sided=two_sided) == pytest.approx(alpha, rel=1e-7)


@given(point=st.floats(0.1, 6), load=st.lists(st.floats(0, 0.95), min_size=2, max_size=5), df=st.floats(2, 100))
@settings(max_examples=40, deadline=None)
def test_the_tail_lies_between_one_comparison_and_bonferroni(point, load, df):
    one = 2 * stats.t.sf(point, df)
    assert one * (1 - 1e-9) <= max_t_tail(point, load, df=df) <= min(1.0, len(load) * one) * (1 + 1e-9)


def test_extreme_statistics_stay_in_range():
    assert max_t_tail(1e300, [0.5] * 3, df=1) == pytest.approx(3 * 2 / (math.pi * 1e300), rel=0.5)
    assert max_t_tail(1e300, [0.5] * 3) == 0.0
    assert max_t_tail(-1e300, [0.5] * 3, df=5, two_sided=False) == pytest.approx(1.0)
    assert max_t_tail(-0.5, [0.5]) == 1.0
    assert studentised_range_tail(0.0, 3) == 1.0
    assert studentised_range_tail(1e300, 3, df=4) == 0.0


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: max_t_tail(2.0, [1.0, 0.5]), UsageError, r"\(-1, 1\)"),
        (lambda: max_t_tail(2.0, []), UsageError, r"\(-1, 1\)"),
        (lambda: max_t_tail(math.nan, [0.5]), UsageError, "finite"),
        (lambda: max_t_tail(2.0, [0.5], df=0), UsageError, "Degrees of freedom"),
        (lambda: max_t_quantile(0.05, [0.5], df=-1), UsageError, "Degrees of freedom"),
        (lambda: max_t_quantile(1.0, [0.5]), UsageError, "alpha"),
        (lambda: max_t_quantile(1e-308, [0.5] * 9, df=1), DataError, "too large"),
        (lambda: studentised_range_tail(2.0, 1), UsageError, "two groups"),
        (lambda: studentised_range_quantile(0.05, 1), UsageError, "two groups"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()
