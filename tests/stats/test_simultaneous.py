"""All pairs of arms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.joint_tails import studentised_range_quantile
from fairtrial.stats.moments import Moments
from fairtrial.stats.simultaneous import tukey_hsd

BLOOD = [[7.4, 8.5, 7.2, 8.24, 9.84, 8.32], [9.76, 8.8, 7.68, 9.36], [12.8, 9.68, 12.16, 9.2, 10.55]]
"""Blood counts of three groups of animals (Dunnett 1955, section 5)."""


def moments(groups):
    return [Moments.from_values(values) for values in groups]


def test_uneven_arms_as_scipy_compares_them():
    """scipy.stats.tukey_hsd (Tukey-Kramer), relative 1e-6."""
    theirs = stats.tukey_hsd(*BLOOD)
    interval = theirs.confidence_interval(0.9)
    found = tukey_hsd(moments(BLOOD), alpha=0.1)
    for place, (i, j) in enumerate(found.pairs.tolist()):
        assert found.effect[place] == pytest.approx(theirs.statistic[j, i])
        assert found.p_adjusted[place] == pytest.approx(theirs.pvalue[i, j], rel=1e-6)
        assert (found.low[place], found.high[place]) == pytest.approx((interval.low[j, i], interval.high[j, i]), rel=1e-6)


def test_unequal_variances_as_games_and_howell():
    """Their statistic is Welch's t, judged by the studentised range of all groups with Welch's degrees of freedom (scipy)."""
    found = tukey_hsd(moments(BLOOD), variances="unequal")
    for place, (i, j) in enumerate(found.pairs.tolist()):
        welch = stats.ttest_ind(BLOOD[j], BLOOD[i], equal_var=False)
        assert found.df[place] == pytest.approx(welch.df)
        expected = stats.studentized_range.sf(abs(welch.statistic) * 2**0.5, 3, welch.df)
        assert found.p_adjusted[place] == pytest.approx(expected, rel=1e-6)


def test_two_arms_are_students_test():
    found = tukey_hsd(moments(BLOOD[:2]))
    assert found.p_adjusted[0] == pytest.approx(stats.ttest_ind(*BLOOD[:2]).pvalue, rel=1e-9)


@given(shift=st.floats(-5, 5), alpha=st.floats(0.01, 0.3), variances=st.sampled_from(["equal", "unequal"]))
@settings(max_examples=40, deadline=None)
def test_an_interval_leaves_0_out_exactly_when_its_p_lies_below_alpha(shift, alpha, variances):
    groups = [BLOOD[0], (np.array(BLOOD[1]) + shift).tolist(), BLOOD[2]]
    found = tukey_hsd(moments(groups), variances=variances, alpha=alpha)
    clear = np.abs(found.p_adjusted - alpha) > 1e-7
    assert (((found.low > 0) | (found.high < 0)) == (found.p_adjusted < alpha))[clear].all()


ONE, LONE, FLAT = Moments.from_values([1.0, 2.0]), Moments.from_values([1.0]), Moments.from_values([2.0, 2.0])


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: tukey_hsd([ONE]), UsageError, "two arms, got 1"),
        (lambda: tukey_hsd([ONE, ONE], alpha=0), UsageError, "alpha"),
        (lambda: tukey_hsd([ONE, ONE], variances="pooled"), UsageError, "variances"),
        (lambda: tukey_hsd([LONE, LONE]), NotEnoughDataError, "two units"),
        (lambda: tukey_hsd([ONE, LONE], variances="unequal"), NotEnoughDataError, "two units"),
        (lambda: tukey_hsd([FLAT, FLAT]), DataError, "does not vary"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()


@pytest.mark.slow
def test_tukeys_family_wise_error_is_at_most_alpha():
    """100,000 families of five normal arms; exact for equal sizes, cautious for unequal ones (Hayter 1984)."""
    rng, families = np.random.default_rng(8), 100_000
    for sizes, sided in (((7,) * 5, "two-sided"), ((4, 8, 12, 20, 30), "greater")):
        means = np.array([rng.normal(0, n**-0.5, families) for n in sizes])
        df = sum(sizes) - 5
        pooled = np.sqrt(rng.chisquare(df, families) / df)
        value = studentised_range_quantile(0.05, 5, df=df) / 2**0.5
        i, j = np.triu_indices(5, 1)
        n = np.array(sizes, dtype=float)
        t = np.abs(means[j] - means[i]) / pooled / np.sqrt(1 / n[i] + 1 / n[j])[:, None]
        wrong = int((t.max(axis=0) > value).sum())
        assert stats.binomtest(wrong, families, 0.05, alternative=sided).pvalue > 1e-4
