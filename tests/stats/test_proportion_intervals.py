"""Intervals of one rate and of a difference, by the published methods."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.proportion_intervals import (
    agresti_caffo_interval,
    agresti_coull_interval,
    clopper_pearson_interval,
    difference_interval,
    miettinen_nurminen_interval,
    newcombe_interval,
    score_interval,
    wald_interval,
    wilson_interval,
)

ONE_RATE = {"wilson": wilson_interval, "beta": clopper_pearson_interval, "agresti_coull": agresti_coull_interval}
DIFFERENCE = {
    "score": score_interval,
    "miettinen-nurminen": miettinen_nurminen_interval,
    "newcombe": newcombe_interval,
    "agresti-caffo": agresti_caffo_interval,
    "wald": wald_interval,
}


def ends(interval):
    return interval.low, interval.high


@pytest.mark.parametrize("method", ONE_RATE)
@settings(max_examples=60, deadline=None)
@given(part=st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), alpha=st.floats(0.001, 0.5))
def test_intervals_of_a_rate_are_those_of_statsmodels(method, part, alpha):
    x, n = part
    low, high = proportion_confint(x, n, alpha=alpha, method=method)
    theirs = max(0.0, low), min(1.0, high)
    assert ends(ONE_RATE[method](x, n, alpha=alpha)) == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("method", ONE_RATE)
def test_one_sided_intervals_of_a_rate_end_where_two_sided_ones_do(method):
    both = ONE_RATE[method](15, 148, alpha=0.1)
    assert ends(ONE_RATE[method](15, 148, alternative="greater")) == (pytest.approx(both.low, rel=1e-12), np.inf)
    assert ends(ONE_RATE[method](15, 148, alternative="less")) == (-np.inf, pytest.approx(both.high, rel=1e-12))


@pytest.mark.parametrize("method", ["wilson", "agresti_coull"])
def test_one_sided_intervals_of_less_than_half_cross_the_rate(method):
    both = ONE_RATE[method](15, 148, alpha=0.6)
    assert ends(ONE_RATE[method](15, 148, alpha=0.7, alternative="greater")) == (pytest.approx(both.high, rel=1e-12), np.inf)
    assert ends(ONE_RATE[method](15, 148, alpha=0.7, alternative="less")) == (-np.inf, pytest.approx(both.low, rel=1e-12))


@pytest.mark.parametrize("alpha", [0.05, 0.7])
def test_clopper_and_pearsons_limits_have_exact_tails(alpha):
    low, high = (clopper_pearson_interval(15, 148, alpha=alpha, alternative=side) for side in ("greater", "less"))
    assert stats.binom.sf(14, 148, low.low) == pytest.approx(alpha, rel=1e-10)
    assert stats.binom.cdf(15, 148, high.high) == pytest.approx(alpha, rel=1e-10)


def test_published_intervals_of_a_rate():
    # Newcombe (1998), Statistics in Medicine 17, 857-872, table I: 95% limits to 4 decimals.
    assert ends(wilson_interval(81, 263)) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert ends(wilson_interval(15, 148)) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert ends(wilson_interval(0, 20)) == pytest.approx((0.0000, 0.1611), abs=5e-5)
    assert ends(wilson_interval(1, 29)) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert ends(clopper_pearson_interval(81, 263)) == pytest.approx((0.2527, 0.3676), abs=5e-5)
    assert ends(clopper_pearson_interval(0, 20)) == pytest.approx((0.0000, 0.1684), abs=5e-5)


@pytest.mark.parametrize("method", DIFFERENCE)
def test_each_method_has_a_function_of_its_name(method):
    table = (48, 80, 56, 70)
    assert DIFFERENCE[method](*table, alpha=0.1) == difference_interval(*table, method=method, alpha=0.1)


@pytest.mark.parametrize("method", DIFFERENCE)
@pytest.mark.parametrize("alpha", [0.05, 0.8])
def test_one_sided_intervals_of_a_difference_end_where_two_sided_ones_do(method, alpha):
    table = (8, 200, 45, 800)
    both = difference_interval(*table, method=method, alpha=2 * min(alpha, 1 - alpha))
    greater = difference_interval(*table, method=method, alpha=alpha, alternative="greater")
    less = difference_interval(*table, method=method, alpha=alpha, alternative="less")
    low, high = ends(both) if alpha < 0.5 else reversed(ends(both))
    assert ends(greater) == (pytest.approx(low, rel=1e-12), np.inf)
    assert ends(less) == (-np.inf, pytest.approx(high, rel=1e-12))


@pytest.mark.parametrize("method", ["score", "miettinen-nurminen", "newcombe", "agresti-caffo"])
def test_a_difference_without_any_conversion_has_an_interval(method):
    low, high = ends(difference_interval(0, 20, 0, 10, method=method))
    assert low < 0.0 < high


@pytest.mark.parametrize("table", [(0, 20, 0, 10), (0, 20, 10, 10)])
def test_wald_refuses_an_interval_of_no_width(table):
    with pytest.raises(DataError, match="width would be 0"):
        wald_interval(*table)


@pytest.mark.parametrize("interval", ONE_RATE.values())
def test_bad_counts_of_one_rate_are_refused(interval):
    for x, n in ((3, 2), (-1, 2), (0.5, 2), (1, float("nan"))):
        with pytest.raises(UsageError, match="whole numbers"):
            interval(x, n)
    with pytest.raises(DataError):
        interval(0, 0)
    with pytest.raises(UsageError, match="alpha"):
        interval(1, 2, alpha=5)


@pytest.mark.parametrize("table", [(3, 2, 1, 2), (1, 2, 3, 2)])
def test_bad_counts_of_either_arm_are_refused(table):
    with pytest.raises(UsageError, match="whole numbers"):
        score_interval(*table)


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match="method"):
        difference_interval(1, 9, 2, 9, method="mee")
