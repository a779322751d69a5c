"""Daily effects: slope, heterogeneity and rank trend."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.trends import daily_heterogeneity, mann_kendall, novelty_slope

STABLE = [0.0336, 0.016, 0.0348, 0.0253, 0.028, 0.0252, 0.0266], [0.0102, 0.0101, 0.0111, 0.0101, 0.0079, 0.0062, 0.0087]
FADING = [0.0776, 0.0691, 0.0639, 0.0492, 0.0556, 0.0493, 0.0497], [0.01] * 7


@pytest.mark.parametrize(
    ("days", "initial", "slope", "std_error", "p_value", "decline"),
    [(STABLE, 0.027797, -0.000327, 0.001704, 0.4238, 0.011771), (FADING, 0.0733, -0.0047, 0.00189, 0.006441, 0.06412)],
)
def test_the_golden_trajectories(days, initial, slope, std_error, p_value, decline):
    """I.b: day from 0, one-sided known-variance z; the share of the first day's effect lost a day is -slope / intercept."""
    fit = novelty_slope(*days, first_day=0, alternative="less")
    assert (fit.intercept, fit.slope, fit.std_error) == pytest.approx((initial, slope, std_error), abs=5.1e-7)
    assert fit.p_value == pytest.approx(p_value, rel=2e-4)
    assert -fit.slope / fit.intercept == pytest.approx(decline, abs=1e-6)


@pytest.mark.parametrize(("regressor", "of_day"), [("day", np.asarray), ("log_day", np.log), ("sqrt_day", np.sqrt)])
def test_the_slope_is_weighted_least_squares(regressor, of_day):
    """Oracle: statsmodels WLS, 1e-9; its standard error is the scaled one."""
    rng = np.random.default_rng(3)
    se = rng.uniform(0.5, 2.0, 20)
    y = rng.normal(0.0, se) + 3.0
    fit = sm.WLS(y, sm.add_constant(of_day(np.arange(2.0, 22.0))), weights=1 / se**2).fit()
    ours = novelty_slope(y, se, first_day=2, regressor=regressor)
    assert (ours.intercept, ours.slope, ours.std_error_scaled, ours.t) == pytest.approx((*fit.params, fit.bse[1], fit.tvalues[1]), rel=1e-9)
    assert ours.p_value_t == pytest.approx(fit.pvalues[1], rel=1e-8)
    assert ours.intercept_std_error == pytest.approx(fit.bse[0] / math.sqrt(fit.scale), rel=1e-9)
    assert ours.birge_ratio == pytest.approx(math.sqrt(fit.scale), rel=1e-9)


@given(offset=st.sampled_from([0.0, 1e3, 1e9]), day=st.sampled_from([0.0, 1.0, 20_000.0]))
@settings(max_examples=9, deadline=None)
def test_neither_an_offset_nor_the_number_of_the_first_day_moves_the_slope(offset, day):
    plain = novelty_slope(*FADING)
    moved = novelty_slope(np.array(FADING[0]) + offset, FADING[1], first_day=day)
    assert moved.slope == pytest.approx(plain.slope, abs=1e-12 + 1e-16 * offset)
    assert moved.std_error == pytest.approx(plain.std_error, rel=1e-12)


def test_the_interval_agrees_with_the_p_value():
    for alternative in ("two-sided", "greater", "less"):
        fit = novelty_slope(*FADING, alpha=0.01, alternative=alternative)
        assert fit.interval.excludes(0.0) == (fit.p_value < 0.01)


def test_a_line_without_scatter_has_no_t():
    fit = novelty_slope([1.0, 2.0, 3.0], [1.0, 1.0, 1.0])
    assert (fit.slope, fit.birge_ratio) == pytest.approx((1.0, 0.0), abs=1e-12)
    assert (fit.t, fit.p_value_t) == (None, None)


def test_heterogeneity_of_two_days_is_the_squared_z_of_their_difference():
    found = daily_heterogeneity([0.05, 0.02], [0.01, 0.02])
    assert found.cochran_q == pytest.approx(0.03**2 / 0.0005, rel=1e-12)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(math.sqrt(found.cochran_q)), rel=1e-10)
    assert found.i_squared == pytest.approx(1 - 1 / found.cochran_q, rel=1e-12)
    assert daily_heterogeneity([1e9, 1e9 + 1], [1.0, 1.0]).cochran_q == pytest.approx(0.5, rel=1e-9)


def test_equal_days_are_not_heterogeneous():
    found = daily_heterogeneity([0.3, 0.3, 0.3], [0.1, 0.2, 0.3])
    assert (found.effect, found.cochran_q, found.p_value, found.i_squared) == pytest.approx((0.3, 0.0, 1.0, 0.0))


def test_mann_kendall_counts_kendalls_pairs():
    """Oracle: scipy.stats.kendalltau (asymptotic, no continuity correction) and theilslopes, 1e-9."""
    y = np.random.default_rng(5).integers(0, 12, 25).astype(float)
    found = mann_kendall(y)
    tau = stats.kendalltau(np.arange(25), y, method="asymptotic")
    assert 2 * stats.norm.sf(abs(found.s) / math.sqrt(found.variance)) == pytest.approx(tau.pvalue, rel=1e-9)
    assert abs(found.z) == pytest.approx((abs(found.s) - 1) / math.sqrt(found.variance), rel=1e-12)
    assert found.sen_slope == pytest.approx(stats.theilslopes(y).slope, rel=1e-12)


@given(st.lists(st.integers(-9, 9), min_size=3, max_size=15).filter(lambda y: len(set(y)) > 1))
@settings(max_examples=60, deadline=None)
def test_a_series_backwards_has_the_opposite_trend(y):
    one, other = mann_kendall(y), mann_kendall(y[::-1])
    assert (other.s, other.z) == (-one.s, -one.z)
    assert other.sen_slope == pytest.approx(-one.sen_slope, abs=1e-12)
    assert mann_kendall(np.exp(np.array(y) / 3.0)).s == one.s


def test_a_series_without_trend_says_so():
    assert (mann_kendall([1.0, 2.0, 2.0, 1.0]).z, mann_kendall([1.0, 2.0, 2.0, 1.0]).p_value) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: novelty_slope([1, 2], [1, 1]), NotEnoughDataError),
        (lambda: novelty_slope([1, 2, 3], [1, 1]), UsageError),
        (lambda: novelty_slope([1, 2, 3], [1, 0, 1]), DataError),
        (lambda: novelty_slope([1, 2, math.nan], [1, 1, 1]), DataError),
        (lambda: novelty_slope(*FADING, regressor="cube"), UsageError),
        (lambda: novelty_slope(*FADING, regressor="log_day", first_day=0), UsageError),
        (lambda: novelty_slope(*FADING, first_day=math.inf), UsageError),
        (lambda: novelty_slope(*FADING, alpha=0), UsageError),
        (lambda: daily_heterogeneity([1], [1]), NotEnoughDataError),
        (lambda: mann_kendall([1, 2]), NotEnoughDataError),
        (lambda: mann_kendall([2, 2, 2]), DataError),
        (lambda: mann_kendall(np.arange(5001)), UsageError),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.slow
def test_trends_are_found_by_chance_as_often_as_alpha():
    """4,000 stable series of 14 days with unequal errors: known-variance z at .05, exact binomial; Mann-Kendall at most .05."""
    rng, se, slopes, ranks = np.random.default_rng(9), np.linspace(1, 3, 14), 0, 0
    for _ in range(4000):
        y = rng.normal(5.0, se)
        slopes += novelty_slope(y, se).p_value < 0.05
        ranks += mann_kendall(y).p_value < 0.05
    assert stats.binomtest(slopes, 4000, 0.05).pvalue > 1e-4
    assert stats.binomtest(ranks, 4000, 0.05, alternative="greater").pvalue > 1e-4
