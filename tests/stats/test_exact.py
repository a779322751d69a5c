"""Exact p-values are those of SciPy and R, in the far tails and in tables of millions too."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import UsageError
from fairtrial.stats.exact import binomial_exact_p, fisher_p_values

ALTERNATIVES = ["two-sided", "greater", "less"]
arms = st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def scipy_fisher(x_c, n_c, x_t, n_t, alternative):
    return stats.fisher_exact([[x_t, n_t - x_t], [x_c, n_c - x_c]], alternative=alternative).pvalue


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@settings(max_examples=150, deadline=None)
@given(control=arms, treatment=arms)
def test_fisher_agrees_with_scipy(alternative, control, treatment):
    expected = scipy_fisher(*control, *treatment, alternative)
    assert fisher_p_values(*control, *treatment, alternative=alternative).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize(
    "table",
    [
        (28, 9500, 5, 500),
        (8, 200, 45, 800),
        (3, 1_000_000, 14, 1_000_000),
        (999_990, 1_000_000, 999_999, 1_000_000),
        (1000, 50_000, 1300, 50_000),
    ],
)
def test_fisher_agrees_with_scipy_in_large_tables(table, alternative):
    # SciPy loses digits to log-gamma differences here: 1e-7 is what it keeps.
    expected = scipy_fisher(*table, alternative)
    assert fisher_p_values(*table, alternative=alternative).item() == pytest.approx(expected, rel=1e-7)


def test_published_values():
    # Fisher (1935), The Design of Experiments, section 5: the lady tasting tea, 3 of 4 right, p = 17/70 one-sided, 34/70 two-sided.
    assert fisher_p_values(1, 4, 3, 4, alternative="greater").item() == pytest.approx(17 / 70, rel=1e-14)
    assert fisher_p_values(1, 4, 3, 4).item() == pytest.approx(34 / 70, rel=1e-14)


def test_one_possible_table_has_p_value_1():
    assert fisher_p_values([0, 5, 0, 0], [9, 5, 0, 3], [0, 7, 3, 0], [4, 7, 5, 0]).tolist() == [1.0, 1.0, 1.0, 1.0]


def test_only_chosen_tables_are_computed():
    p = fisher_p_values([1, 2], [4, 9], [3, 3], [4, 9], where=[False, True])
    assert np.isnan(p[0])
    assert p[1] == pytest.approx(scipy_fisher(2, 9, 3, 9, "two-sided"))


@pytest.mark.parametrize("counts", [(5, 4, 1, 4), (-1, 4, 1, 4), (0.5, 4, 1, 4), (1, 4, 1, np.inf), (1, 4, np.nan, 4)])
def test_counts_that_are_none_are_refused(counts):
    with pytest.raises(UsageError, match="whole numbers"):
        fisher_p_values(*counts)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@settings(max_examples=150, deadline=None)
@given(n=st.integers(1, 400), part=st.floats(0, 1), share=st.floats(0.001, 0.999))
def test_binomial_agrees_with_scipy(alternative, n, part, share):
    x = round(n * part)
    expected = stats.binomtest(x, n, share, alternative=alternative).pvalue
    # Where outcomes tie to a rounding error SciPy and R differ by one of them; the smaller side decides nothing.
    # Deep in the tail SciPy's own digits go (5% at 1e-289); the next test has an exact sum there.
    assert binomial_exact_p(x, n, share, alternative=alternative) == pytest.approx(
        expected, rel=1e-6 if expected > 1e-200 else 0.2, abs=1e-300
    )


def test_the_far_tail_is_the_exact_sum():
    """P(X >= 286), 305 trials at 5/64: the sum in rationals."""
    share = Fraction(5, 64)
    exact = float(sum(math.comb(305, k) * share**k * (1 - share) ** (305 - k) for k in range(286, 306)))
    assert binomial_exact_p(286, 305, 5 / 64, alternative="greater") == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(("x", "n", "share"), [(821_588, 1_637_070, 0.5), (500_000_000, 1_000_030_000, 0.5), (4_990, 5_000_000, 0.001)])
def test_binomial_of_many_trials_agrees_with_scipy(x, n, share):
    assert binomial_exact_p(x, n, share) == pytest.approx(stats.binomtest(x, n, share).pvalue, rel=1e-6)


@pytest.mark.parametrize(("x", "n", "share"), [(3, 2, 0.5), (0, 0, 0.5), (1, 2, 0.0), (1, 2, 1.0), (1, 2, float("nan")), (1.5, 2, 0.5)])
def test_arguments_outside_their_range_are_refused(x, n, share):
    with pytest.raises(UsageError):
        binomial_exact_p(x, n, share)
