"""Two Poisson rates against statsmodels and SciPy."""

from __future__ import annotations

import math

import pytest
from scipy import stats
from statsmodels.stats.rates import test_poisson_2indep as poisson_oracle

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.rates import Events, poisson_rate_difference, poisson_rate_ratio_test

CONTROL, TREATMENT = Events(count=60, exposure=51477.5), Events(count=30, exposure=54308.7)


@pytest.mark.parametrize(("side", "words"), [("two-sided", "two-sided"), ("greater", "larger"), ("less", "smaller")])
def test_the_wald_difference_is_that_of_statsmodels(side, words):
    """Oracle: statsmodels test_poisson_2indep(compare="diff", method="wald"), 1e-9."""
    ours = poisson_rate_difference(CONTROL, TREATMENT, alternative=side)
    theirs = poisson_oracle(30, 54308.7, 60, 51477.5, compare="diff", method="wald", alternative=words)
    assert (ours.statistic, ours.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)


@pytest.mark.parametrize("side", ["two-sided", "greater", "less"])
def test_the_exact_ratio_is_a_binomial_test_given_all_events(side):
    """Oracle: scipy.stats.binomtest on the treatment's share of exposure."""
    ours = poisson_rate_ratio_test(CONTROL, TREATMENT, alternative=side)
    test = stats.binomtest(30, 90, 54308.7 / (54308.7 + 51477.5), alternative=side)
    assert ours.estimate == pytest.approx(TREATMENT.rate / CONTROL.rate)
    assert ours.p_value == pytest.approx(test.pvalue, rel=1e-12)
    assert (ours.interval.low == -math.inf) == (side == "less")
    assert (ours.interval.high == math.inf) == (side == "greater")
    if side == "two-sided":
        swapped = poisson_rate_ratio_test(TREATMENT, CONTROL)
        assert (1 / swapped.interval.high, 1 / swapped.interval.low) == pytest.approx((ours.interval.low, ours.interval.high), rel=1e-9)


def test_a_ratio_over_no_events_has_a_bound_but_no_estimate():
    test = poisson_rate_ratio_test(Events(count=0, exposure=10.0), Events(count=7, exposure=10.0))
    assert test.estimate is None
    assert test.interval.high == math.inf
    assert test.interval.low > 1.0


@pytest.mark.parametrize("function", [poisson_rate_difference, poisson_rate_ratio_test])
def test_no_events_at_all_say_nothing(function):
    none = Events(count=0, exposure=10.0)
    with pytest.raises(DataError):
        function(none, none)


@pytest.mark.parametrize(("count", "exposure"), [(-1, 1.0), (1, 0.0), (1, math.inf)])
def test_impossible_events_are_refused(count, exposure):
    with pytest.raises(UsageError):
        Events(count=count, exposure=exposure)
