"""Intervals and p-values read from a bootstrap distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.resampling.distribution import BootstrapDistribution, acceleration_of

METHODS = ("percentile", "basic", "studentised", "bca")


def distribution(seed=0, resamples=999, *, shift=0.3, acceleration=0.05, **changes):
    rng = np.random.default_rng(seed)
    draws = shift + rng.gamma(4.0, 0.5, resamples) - 2.0
    given = {
        "estimate": shift,
        "draws": draws,
        "n_control": 10,
        "n_treatment": 12,
        "statistic": "test",
        "formula_std_error": 1.0,
        "draw_std_errors": 0.8 + 0.1 * np.abs(draws),
        "acceleration": acceleration,
        "control": 1.0,
        "treatment": 1.0 + shift,
    }
    return BootstrapDistribution(**(given | changes))


def test_ends_of_the_percentile_interval_are_draws_at_their_ranks():
    """Davison & Hinkley (1997), section 5.3.1: with 999 draws at 95% those that leave 24 beyond them, so that 25 / 1000 is reached."""
    found = distribution()
    ordered = np.sort(found.draws)
    assert found.interval(method="percentile").low == ordered[23]
    assert found.interval(method="percentile").high == ordered[-24]
    assert found.interval(method="percentile", alternative="greater").low == ordered[48]


def test_the_basic_interval_is_the_percentile_interval_turned_round_the_estimate():
    found = distribution()
    percentile, basic = found.interval(method="percentile"), found.interval(method="basic")
    assert basic.low == pytest.approx(2 * found.estimate - percentile.high, abs=1e-12)
    assert basic.high == pytest.approx(2 * found.estimate - percentile.low, abs=1e-12)


def test_the_studentised_interval_scales_distances_by_their_own_errors():
    """Efron & Tibshirani (1993), equation 12.22."""
    found = distribution()
    pivots = np.sort((found.draws - found.estimate) / found.draw_std_errors)
    interval = found.interval(method="studentised")
    assert interval.low == pytest.approx(found.estimate - pivots[-24], abs=1e-12)
    assert interval.high == pytest.approx(found.estimate - pivots[23], abs=1e-12)


def test_bca_without_bias_and_acceleration_is_the_percentile_interval():
    draws = np.concatenate([-np.arange(1.0, 501.0), np.arange(1.0, 501.0)])
    found = distribution(estimate=0.0, draws=draws, acceleration=0.0, draw_std_errors=None)
    assert found.interval(method="bca") == found.interval(method="percentile")


def test_bca_levels_are_those_of_the_book():
    """Efron & Tibshirani (1993), section 14.3: z0 = .146, a = .061 move 5% and 95% to 11.0% and 98.5% (from z0 and a of more digits)."""
    share = stats.norm.cdf(0.146)
    draws = np.arange(100_000.0)
    found = distribution(estimate=share * 100_000 - 0.5, draws=draws, acceleration=0.061)
    interval = found.interval(method="bca", alpha=0.1)
    assert interval.low / 100_000 == pytest.approx(0.110, abs=1e-3)
    assert interval.high / 100_000 == pytest.approx(0.985, abs=1e-3)


@given(
    seed=st.integers(0, 50),
    method=st.sampled_from(METHODS),
    alternative=st.sampled_from(["two-sided", "greater", "less"]),
    alpha=st.floats(0.02, 0.4),
    null=st.floats(-3, 4),
)
@settings(max_examples=300, deadline=None)
def test_p_lies_below_alpha_exactly_when_the_interval_leaves_the_null_out(seed, method, alternative, alpha, null):
    """DESIGN 5: duality, draw by draw."""
    found = distribution(seed, resamples=4999)
    interval, p = (
        found.interval(method=method, alpha=alpha, alternative=alternative),
        found.p_value(null=null, method=method, alternative=alternative),
    )
    at_an_end = min(abs(null - interval.low), abs(null - interval.high)) < 1e-9
    if not at_an_end and abs(p - alpha) > 1e-9:
        assert interval.excludes(null) == (p < alpha)


@pytest.mark.parametrize("method", METHODS)
def test_a_p_value_is_never_below_the_finest_that_the_draws_allow(method):
    """(b + 1) / (R + 1), Davison & Hinkley (1997), equation 4.11."""
    found = distribution()
    assert found.p_value(null=-50.0, method=method) == pytest.approx(2 / 1000)
    assert found.p_value(null=-50.0, method=method, alternative="greater") == pytest.approx(1 / 1000)
    assert found.p_value(null=-50.0, method=method, alternative="less") == 1.0


@pytest.mark.parametrize("acceleration", [-0.6, 0.6])
@pytest.mark.parametrize("null", [-2.0, 8.0])
def test_far_beyond_the_reach_of_bca_the_p_value_stays_in_range(acceleration, null):
    """Where 1 + a (w - z0) <= 0 the inverse has left the line; the tail is then all or nothing."""
    found = distribution(acceleration=acceleration, draws=np.linspace(-1, 9, 20_001), estimate=3.0, draw_std_errors=None)
    for alternative in ("greater", "less"):
        assert 0.0 < found.p_value(null=null, method="bca", alternative=alternative) <= 1.0


def test_std_error_and_bias_are_the_draws_own():
    found = distribution()
    assert found.std_error == pytest.approx(found.draws.std(ddof=1), rel=1e-12)
    assert found.bias == pytest.approx(found.draws.mean() - 0.3, rel=1e-12)


def test_the_estimate_carries_both_arms():
    estimate = distribution().to_estimate(method="bca", alpha=0.1, margin=0.2)
    assert (estimate.effect, estimate.control, estimate.treatment) == (0.3, 1.0, 1.3)
    assert (estimate.n_control, estimate.n_treatment, estimate.margin) == (10, 12, 0.2)
    assert (estimate.method, estimate.interval_method) == ("bootstrap_test", "bootstrap_bca")
    assert estimate.statistic is None


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: distribution(draws=np.zeros(99)), UsageError, "at least 100 resamples, got 99"),
        (lambda: distribution(draws=np.array([1.0] * 200)), DataError, "the same in every resample"),
        (lambda: distribution(draws=np.array([1.0, math.nan] * 100)), DataError, "100 of 200 are not"),
        (lambda: distribution(estimate=math.inf), DataError, "finite number"),
        (lambda: distribution().interval(method="normal"), UsageError, "method must be one of"),
        (lambda: distribution().p_value(method="normal"), UsageError, "method must be one of"),
        (lambda: distribution().interval(alpha=5), UsageError, "alpha must lie"),
        (lambda: distribution().interval(alternative="more"), UsageError, "alternative must be"),
        (lambda: distribution().p_value(null=math.nan), UsageError, "null must be a finite number"),
        (lambda: distribution(resamples=100).interval(alpha=0.01), UsageError, "needs at least 200 resamples, got 100"),
        (lambda: distribution(acceleration=None).interval(method="bca"), DataError, "jackknife"),
        (lambda: distribution(draw_std_errors=None).interval(method="studentised"), DataError, "came without"),
        (lambda: distribution(formula_std_error=0.0).p_value(method="studentised"), DataError, "standard error is zero"),
        (lambda: distribution(estimate=-99.0).interval(method="bca"), DataError, "one side of the estimate"),
        (lambda: distribution(acceleration=-0.9).interval(method="bca", alpha=0.05), DataError, "too skewed"),
        (lambda: distribution(draw_std_errors=np.zeros(999)).interval(method="studentised"), DataError, "hold one value only"),
        (lambda: distribution(control=None).to_estimate(method="bca"), UsageError, "values of two arms"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_acceleration_is_a_sixth_of_the_skewness_of_the_jackknife_over_root_n():
    """Efron & Tibshirani (1993), equation 14.15; for a mean it is skewness / (6 sqrt(n))."""
    sample = np.random.default_rng(1).exponential(size=40)
    left_out = (sample.sum() - sample) / 39
    assert acceleration_of(left_out) == pytest.approx(stats.skew(sample) / (6 * math.sqrt(40)), rel=1e-10)


def test_without_influence_there_is_no_acceleration():
    assert acceleration_of(np.ones(5)) is None
    assert acceleration_of(np.array([1.0, math.nan])) is None
