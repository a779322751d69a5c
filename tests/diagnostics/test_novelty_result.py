"""Novelty: the golden trajectories, reasons, scale invariance, generalised least squares, calibration (IN-06, IN-09)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fairtrial.diagnostics.novelty import NO_NOVELTY, NOVELTY, PRIMACY, find_novelty
from fairtrial.errors import DataError, UsageError
from fairtrial.stats.trends import novelty_slope

A = [0.0336, 0.016, 0.0348, 0.0253, 0.028, 0.0252, 0.0266], [0.0102, 0.0101, 0.0111, 0.0101, 0.0079, 0.0062, 0.0087]
B = [0.0776, 0.0691, 0.0639, 0.0492, 0.0556, 0.0493, 0.0497], [0.01] * 7


def test_the_golden_trajectory_that_does_not_fade_in_06_in_09():
    found = find_novelty(*A)
    assert (found.has_novelty, found.unavailable_reason, found.trend) == (False, None, "steady")
    assert found.recommendation == NO_NOVELTY == "No significant novelty effect detected."
    for name, wanted in {
        "decline_rate": 0.011771,
        "initial_effect": 0.027797,
        "slope": -0.000327,
        "slope_std_error": 0.001704,
        "total_decline": 0.070626,
    }.items():
        assert getattr(found, name) == pytest.approx(wanted, abs=5.1e-7), name
    assert found.p_value == pytest.approx(0.4238, abs=5e-5)
    assert (found.axis, found.scale) == ("exposure_day", "absolute")
    first, last = found.trajectory[0], found.trajectory[-1]
    assert (first.day, first.effect, first.std_error) == (0, 0.0336, 0.0102)
    assert (first.ci_low, first.ci_high) == pytest.approx((0.013608, 0.053592), abs=5e-7)
    assert (last.day, last.ci_low, last.ci_high) == pytest.approx((6, 0.009548, 0.043652), abs=5e-7)


def test_the_golden_trajectory_that_fades_in_06_in_34():
    found = find_novelty(*B)
    assert (found.has_novelty, found.trend) == (True, "fades")
    assert found.recommendation == NOVELTY == "Significant novelty effect detected. Extend the experiment window before deciding."
    got = (found.decline_rate, found.initial_effect, found.slope, found.slope_std_error, found.total_decline)
    assert got == pytest.approx((0.06412, 0.0733, -0.0047, 0.00189, 0.38472), abs=5.1e-7)
    assert found.p_value == pytest.approx(0.006441, abs=5e-7)


def test_an_effect_below_zero_that_fades_is_as_much_a_novelty():
    up, down = find_novelty(*B), find_novelty([-effect for effect in B[0]], B[1])
    assert (down.has_novelty, down.decline_rate, down.slope, down.sign) == (True, up.decline_rate, up.slope, -1)


def test_an_effect_that_grows_is_primacy_and_no_novelty():
    found = find_novelty(B[0][::-1], B[1])
    assert (found.has_novelty, found.trend, found.recommendation) == (False, "grows", PRIMACY)
    assert found.decline_rate < 0
    assert found.p_value == pytest.approx(1 - 0.006441, abs=1e-6)


def test_less_than_a_week_says_nothing():
    found = find_novelty(A[0][:6], A[1][:6])
    assert (found.has_novelty, found.decline_rate, found.p_value, found.slope) == (None, None, None, None)
    assert found.unavailable_reason == "too_few_days"
    assert "there are 6" in found.recommendation
    assert len(found.trajectory) == 6
    assert find_novelty([], []).trajectory == ()


def test_without_an_initial_effect_there_is_nothing_to_fade():
    flat = find_novelty([0.001, -0.002, 0.001, 0.0, 0.002, -0.001, 0.0], [0.01] * 7)
    assert (flat.has_novelty, flat.decline_rate, flat.p_value, flat.unavailable_reason) == (None, None, None, "no_initial_effect")
    assert "not distinguishable from 0." in flat.recommendation
    assert "moves" not in flat.recommendation
    late = find_novelty([0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06], [0.005] * 7)
    assert (late.has_novelty, late.unavailable_reason) == (None, "no_initial_effect")
    assert "moves with the days" in late.recommendation


def test_a_small_but_certain_decline_is_no_novelty():
    effects = 0.05 * (1 - 0.03 * np.arange(8))
    found = find_novelty(effects, [1e-5] * 8)
    assert found.p_value < 1e-100
    assert found.total_decline == pytest.approx(0.21)
    assert found.has_novelty is False


def test_days_that_determine_each_other_hold_no_trend():
    found = find_novelty([0.02] * 7, [0.01] * 7, covariance=np.full((7, 7), 1e-4))
    assert (found.has_novelty, found.unavailable_reason) == (None, "singular_covariance")


def test_generalised_least_squares_against_the_textbook():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(9, 9)) * 0.004 + np.diag(np.full(9, 0.01))
    matrix = root @ root.T
    y = rng.normal(0.05, 0.01, 9)
    days = [0, 1, 2, 4, 5, 6, 7, 9, 12]
    found = find_novelty(y, np.sqrt(np.diag(matrix)), days=days, covariance=matrix)
    x = np.column_stack([np.ones(9), days])
    inverse = np.linalg.inv(matrix)
    cov = np.linalg.inv(x.T @ inverse @ x)
    a, b = cov @ x.T @ inverse @ y
    assert a > 0
    assert (found.initial_effect, found.slope) == pytest.approx((a, b), rel=1e-8)
    assert (found.initial_std_error, found.slope_std_error) == pytest.approx(tuple(np.sqrt(np.diag(cov))), rel=1e-8)
    assert found.p_value is None or found.p_value == pytest.approx(stats.norm.cdf(b / math.sqrt(cov[1, 1])), rel=1e-8)
    late = found.long_run_effect
    assert (late.first_day, late.last_day) == (7, 12)
    assert late.effect == pytest.approx(y[-3:].mean())
    assert late.std_error == pytest.approx(math.sqrt(matrix[-3:, -3:].sum() / 9))


@given(
    effects=st.lists(st.floats(0.01, 1.0), min_size=7, max_size=14),
    factor=st.sampled_from([1e-6, 3.0, -1.0, 1e6]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_unit_and_sign_of_the_effects_do_not_matter(effects, factor, seed):
    errors = np.random.default_rng(seed).uniform(0.001, 0.05, len(effects))
    one = find_novelty(effects, errors)
    other = find_novelty(factor * np.array(effects), abs(factor) * errors)
    assert (one.has_novelty, one.trend, one.unavailable_reason) == (other.has_novelty, other.trend, other.unavailable_reason)
    if one.decline_rate is not None:
        assert other.decline_rate == pytest.approx(one.decline_rate, rel=1e-6, abs=1e-9)
        assert other.p_value == pytest.approx(one.p_value, rel=1e-6, abs=1e-12)
    line = novelty_slope(effects, errors, first_day=0)
    assert one.slope * one.sign == pytest.approx(line.slope, rel=1e-8, abs=1e-12)
    assert one.slope_std_error == pytest.approx(line.std_error, rel=1e-8)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"std_errors": [0.01] * 6}, UsageError),
        ({"std_errors": [0.01] * 6 + [0.0]}, DataError),
        ({"effects": [0.01] * 6 + [math.nan]}, DataError),
        ({"days": [0, 1, 2, 3, 4, 5, 5]}, UsageError),
        ({"days": [-1, 1, 2, 3, 4, 5, 6]}, UsageError),
        ({"covariance": np.eye(6)}, UsageError),
        ({"covariance": np.eye(7)}, UsageError),
        ({"covariance": np.triu(np.ones((7, 7))) * 1e-4}, DataError),
        ({"alpha": 1.0}, UsageError),
    ],
)
def test_what_is_no_trajectory_is_refused(change, error):
    given_in = {"effects": [0.02] * 7, "std_errors": [0.01] * 7} | change
    with pytest.raises(error):
        find_novelty(given_in.pop("effects"), given_in.pop("std_errors"), **given_in)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, 2.0, 6.0])
def test_a_constant_effect_is_not_called_a_novelty_more_often_than_promised(level):
    """Effects of `level` standard errors of the intercept, 14 days: at most alpha, held to an exact binomial bound at 1e-4.

    Just where the sign of the initial effect is uncertain both tails may speak; the bound is then for 0.055.
    """
    rng = np.random.default_rng(20261123)
    runs, days = 4000, 14
    unit = find_novelty(np.ones(days), np.ones(days)).initial_std_error
    called = sum(find_novelty(rng.normal(level * unit, 1.0, days), np.ones(days)).has_novelty is True for _ in range(runs))
    assert called <= stats.binom.isf(1e-4, runs, 0.055 if 0.0 < level < 2.0 else 0.05)
    if level == 6.0:
        assert called >= stats.binom.ppf(1e-4, runs, 0.02)


@pytest.mark.slow
def test_a_planted_decay_is_found_at_the_power_of_the_normal_formula():
    """An effect that loses 5% of its start a day: power of the one-sided z test, where the other two rules hardly bind."""
    rng = np.random.default_rng(7)
    days, runs = 14, 4000
    x = np.arange(days)
    truth = 0.10 * (1 - 0.05 * x)
    se = 0.028
    shift = 0.005 / (se / math.sqrt(((x - x.mean()) ** 2).sum()))
    power = stats.norm.sf(stats.norm.isf(0.05) - shift)
    found = sum(find_novelty(truth + rng.normal(0, se, days), np.full(days, se)).has_novelty is True for _ in range(runs))
    low, high = stats.binom.ppf([1e-4, 1 - 1e-4], runs, power)
    assert low <= found <= high, (found / runs, power)
