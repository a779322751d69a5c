"""The always-valid single look."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.msprt import always_valid_p_values, msprt, msprt_batch


def test_the_golden_look():
    """G-13: est .02, V 1e-4, tau2 1e-4: ln L .653427, p .520260, interval [-.016564, .056564]."""
    look = msprt(0.02, 1e-4, tau2=1e-4)
    assert look.log_likelihood_ratio == pytest.approx(0.653427, abs=1e-6)
    assert look.p_value == pytest.approx(0.520260, abs=1e-6)
    assert (look.interval.low, look.interval.high) == pytest.approx((-0.016564, 0.056564), abs=1e-6)


@pytest.mark.parametrize(("n", "half"), [(1_000, 0.040890), (10_000, 0.013555), (10_000_000, 0.000552)])
def test_the_golden_half_widths(n, half):
    """G-13: at 10% and tau2 .001."""
    interval = msprt(0.0, 2 * 0.1 * 0.9 / n, tau2=0.001).interval
    assert interval.high == -interval.low == pytest.approx(half, abs=5e-7)


def test_the_example_of_the_sequential_endpoint():
    """Requirements, Part I: 200/2000 against 260/2000, MDE .01."""
    look = msprt(0.03, 0.1 * 0.9 / 2000 + 0.13 * 0.87 / 2000, tau2=1e-4)
    assert math.exp(look.log_likelihood_ratio) == pytest.approx(6.397293, abs=1e-6)
    assert look.p_value == pytest.approx(0.1563, abs=5e-5)
    assert (look.interval.low, look.interval.high) == pytest.approx((-0.006968, 0.066968), abs=1e-6)


def test_the_likelihood_ratio_is_the_mixture_integral():
    """Oracle: numerical integration over the mixing distribution, 1e-8."""
    estimate, variance, tau = 0.5, 0.04, 0.5

    def ratio(effect):
        return math.exp((effect * estimate - effect * effect / 2) / variance) * stats.norm.pdf(effect, 0, tau)

    mixed, _ = integrate.quad(ratio, -5, 5, epsabs=0, epsrel=1e-11)
    assert msprt(estimate, variance, tau2=tau**2).log_likelihood_ratio == pytest.approx(math.log(mixed), rel=1e-8)


@given(estimate=st.floats(-3, 3), variance=st.floats(1e-4, 2), tau2=st.floats(1e-4, 2), alpha=st.floats(0.001, 0.3), null=st.floats(-1, 1))
@settings(max_examples=150, deadline=None)
def test_the_interval_excludes_the_null_exactly_when_p_is_below_alpha(estimate, variance, tau2, alpha, null):
    look = msprt(estimate, variance, tau2=tau2, alpha=alpha, null=null)
    if abs(look.p_value - alpha) > 1e-9:
        assert look.interval.excludes(null) == (look.p_value < alpha)


@pytest.mark.parametrize(("alternative", "low", "high"), [("greater", 0.1, 6.0), ("less", -6.0, 0.1)])
def test_the_one_sided_ratio_mixes_over_the_effects_on_its_side(alternative, low, high):
    """Oracle: numerical integration over the half-normal beyond the null 0.1, 1e-8."""
    estimate, variance, tau, null = 0.3, 0.04, 0.5, 0.1

    def ratio(effect):
        shift = effect - null
        return math.exp((shift * (estimate - null) - shift * shift / 2) / variance) * 2 * stats.norm.pdf(effect, null, tau)

    mixed, _ = integrate.quad(ratio, low, high, epsabs=0, epsrel=1e-11, limit=200)
    look = msprt(estimate, variance, tau2=tau**2, null=null, alternative=alternative)
    assert look.log_likelihood_ratio == pytest.approx(math.log(mixed), rel=1e-8)
    assert math.isinf(look.interval.high if alternative == "greater" else look.interval.low)


@given(
    estimate=st.floats(-3, 3),
    variance=st.floats(1e-4, 2),
    tau2=st.floats(1e-4, 2),
    alpha=st.floats(1e-6, 0.9),
    side=st.sampled_from(["greater", "less"]),
)
@settings(max_examples=150, deadline=None)
def test_one_sided_the_interval_excludes_the_null_exactly_when_p_is_below_alpha(estimate, variance, tau2, alpha, side):
    look = msprt(estimate, variance, tau2=tau2, alpha=alpha, alternative=side)
    if abs(look.p_value - alpha) > 1e-9:
        assert look.interval.excludes(0.0) == (look.p_value < alpha)


def test_every_entry_may_have_its_own_alpha():
    looks = msprt_batch(0.1, 0.01, tau2=0.04, alpha=[0.1, 0.01])
    assert looks.low == pytest.approx([msprt(0.1, 0.01, tau2=0.04, alpha=a).interval.low for a in (0.1, 0.01)], rel=1e-14)


def test_a_look_that_gave_no_ratio_leaves_the_p_value_alone():
    assert always_valid_p_values([math.nan, 1.0, math.nan]) == pytest.approx([1.0, math.exp(-1), math.exp(-1)])


def test_a_batch_is_its_looks():
    estimates, variances = np.array([0.1, -0.2, 0.0]), np.array([0.01, 0.02, 0.03])
    batch = msprt_batch(estimates, variances, tau2=0.04, alpha=0.1)
    for i in range(3):
        look = msprt(estimates[i], variances[i], tau2=0.04, alpha=0.1)
        assert batch.log_likelihood_ratio[i] == look.log_likelihood_ratio
        assert (batch.p_value[i], batch.low[i], batch.high[i]) == (look.p_value, look.interval.low, look.interval.high)


def test_p_values_along_the_looks_never_rise():
    assert always_valid_p_values([-1.0, 2.0, 1.0, 3.0]) == pytest.approx([1.0, math.exp(-2), math.exp(-2), math.exp(-3)])


def test_overwhelming_evidence_does_not_overflow():
    look = msprt(10.0, 1e-6, tau2=1.0)
    assert look.log_likelihood_ratio > 1e7
    assert look.p_value == 0.0


@pytest.mark.parametrize(
    "arguments",
    [
        {"estimate": math.nan, "variance": 1.0, "tau2": 1.0},
        {"estimate": 0.0, "variance": 0.0, "tau2": 1.0},
        {"estimate": 0.0, "variance": 1.0, "tau2": -1.0},
        {"estimate": 0.0, "variance": 1.0, "tau2": 1.0, "alpha": 95},
        {"estimate": 0.0, "variance": 1.0, "tau2": 1.0, "null": math.inf},
        {"estimate": 0.0, "variance": 1.0, "tau2": 1.0, "alternative": "up"},
    ],
)
def test_what_breaks_a_rule_is_refused(arguments):
    with pytest.raises(UsageError):
        msprt(**arguments)


@pytest.mark.slow
def test_looking_after_every_unit_errs_no_more_often_than_alpha():
    """G-13: 4,000 paths of 2,000 looks under the null; crossings bounded by an exact binomial test."""
    rng, paths, looks = np.random.default_rng(7), 4000, 2000
    crossed = 0
    for _ in range(10):
        mean = np.cumsum(rng.normal(0, 1, (paths // 10, looks)), axis=1) / np.arange(1, looks + 1)
        p_values = always_valid_p_values(msprt_batch(mean, 1 / np.arange(1, looks + 1), tau2=0.05).log_likelihood_ratio)
        crossed += int((p_values[:, -1] < 0.05).sum())
    assert stats.binomtest(crossed, paths, 0.05, alternative="greater").pvalue > 1e-4
    assert crossed > 0
