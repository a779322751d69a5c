"""Non-inferiority sizes against tables, the likelihood itself and simulated score tests."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize

from fairtrial.errors import DataError, NotEnoughDataError, UnknownNameError, UsageError
from fairtrial.stats.power import normal_power
from fairtrial.stats.power_noninferiority import (
    NONINFERIORITY_VARIANCES,
    detectable_margin_two_proportions,
    power_noninferiority_two_means,
    power_noninferiority_two_proportions,
    sample_size_noninferiority_two_means,
    sample_size_noninferiority_two_proportions,
)
from fairtrial.stats.power_proportions import power_two_proportions
from fairtrial.stats.restricted import restricted_variance

VARIANCES = st.sampled_from(NONINFERIORITY_VARIANCES)


def test_the_textbook_example_of_unpooled_variances():
    """Chow, Shao & Wang (2008), sec. 4.2.3: p = .65 against .85 with margin -.10, alpha .05, power .80: 25 an arm."""
    size = sample_size_noninferiority_two_proportions(0.65, -0.10, p_treatment=0.85, alpha=0.05, variance="unpooled")
    assert size.n_control_ceil == 25


def log_likelihood_maximum(p_control, p_treatment, margin, ratio):
    """Control's rate at the maximum of the expected likelihood under treatment - control = margin, by search."""

    def loss(x):
        y = x + margin
        return -(p_control * math.log(x) + (1 - p_control) * math.log(1 - x)) - ratio * (
            p_treatment * math.log(y) + (1 - p_treatment) * math.log(1 - y)
        )

    low, high = max(0.0, -margin), min(1.0, 1.0 - margin)
    return optimize.minimize_scalar(loss, bounds=(low + 1e-12, high - 1e-12), method="bounded", options={"xatol": 1e-12}).x


@pytest.mark.parametrize(
    ("p_control", "p_treatment", "margin", "ratio"),
    [(0.1, 0.1, -0.05, 1.0), (0.1, 0.12, -0.02, 2.0), (0.85, 0.8, -0.1, 0.4), (0.3, 0.28, 0.05, 3.0), (0.02, 0.02, -0.015, 1.0)],
)
def test_the_null_variance_is_that_of_the_most_likely_rates(p_control, p_treatment, margin, ratio):
    """Oracle: the likelihood's maximum found by bounded search; rel 1e-6."""
    x = log_likelihood_maximum(p_control, p_treatment, margin, ratio)
    n = 700.0
    se_null = math.sqrt(x * (1 - x) / n + (x + margin) * (1 - x - margin) / (n * ratio))
    se_true = math.sqrt(p_control * (1 - p_control) / n + p_treatment * (1 - p_treatment) / (n * ratio))
    expected = normal_power(abs(p_treatment - p_control - margin), se_null, se_true, alpha=0.025, alternative="greater")
    ours = power_noninferiority_two_proportions(p_control, margin, n, n * ratio, p_treatment=p_treatment)
    assert ours == pytest.approx(expected, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.05, 0.95), st.floats(-0.04, 0.04), st.floats(-0.2, -0.01), st.floats(0.1, 0.9), st.floats(0.5, 0.99), VARIANCES)
def test_power_at_the_size_found_is_the_power_asked(p_control, difference, margin, share, power, variance):
    p_treatment = p_control + difference
    assume(p_control + margin > 0.001 and 0.001 < p_treatment < 0.999 and difference > margin + 0.002)
    size = sample_size_noninferiority_two_proportions(
        p_control, margin, p_treatment=p_treatment, power=power, treatment_share=share, variance=variance
    )
    assume(min(size.n_control, size.n_treatment) >= 1)
    reached = power_noninferiority_two_proportions(
        p_control, margin, size.n_control, size.n_treatment, p_treatment=p_treatment, variance=variance
    )
    assert reached == pytest.approx(power, abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.05, 0.95), st.floats(0.01, 0.04), st.floats(0.1, 0.9), VARIANCES)
def test_a_margin_for_failures_mirrors_one_for_successes(rate, margin, share, variance):
    there = sample_size_noninferiority_two_proportions(rate, -margin, treatment_share=share, variance=variance)
    back = sample_size_noninferiority_two_proportions(1 - rate, margin, treatment_share=share, variance=variance)
    assert back.n_control == pytest.approx(there.n_control, rel=1e-7)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.05, 0.95), st.integers(200, 100_000), st.floats(0.1, 0.9), VARIANCES, st.sampled_from(["increase", "decrease"]))
def test_the_detectable_margin_is_cleared_with_the_power(rate, n, share, variance, direction):
    arms = (n * (1 - share), n * share)
    try:
        found = detectable_margin_two_proportions(rate, *arms, variance=variance, direction=direction)
    except NotEnoughDataError:
        return
    assert (found.effect < 0) == (direction == "decrease")
    assert power_noninferiority_two_proportions(rate, found.effect, *arms, variance=variance) == pytest.approx(0.8, abs=1e-7)


def test_a_margin_beyond_the_range_of_rates_says_that_units_are_too_few():
    with pytest.raises(NotEnoughDataError, match="A detectable margin must lie between"):
        detectable_margin_two_proportions(0.02, 20, 20)


def test_a_margin_of_nearly_nothing_is_the_one_sided_test_of_superiority():
    """As the margin vanishes the restricted rates meet at the pooled rate."""
    near = power_noninferiority_two_proportions(0.1, -1e-9, 2000, 3000, p_treatment=0.12)
    assert near == pytest.approx(power_two_proportions(0.1, 0.12, 2000, 3000, alpha=0.025, alternative="greater"), abs=1e-6)


@pytest.mark.slow
def test_the_power_is_that_of_the_score_test():
    """Calibration: 40,000 simulated trials of 400 + 400; 4 standard errors of the simulation are .01."""
    rng = np.random.default_rng(11)
    x, y = rng.binomial(400, 0.8, 40_000).astype(float), rng.binomial(400, 0.8, 40_000).astype(float)
    n = np.full_like(x, 400.0)
    z = (y / n - x / n + 0.08) / np.sqrt(restricted_variance(x, n, y, n, np.full_like(x, -0.08)))
    assert power_noninferiority_two_proportions(0.8, -0.08, 400, 400) == pytest.approx(float((z > 1.959964).mean()), abs=0.012)


def test_sizes_of_means_scale_with_the_spread_and_shrink_with_the_true_difference():
    base = sample_size_noninferiority_two_means(-0.5, 4.0)
    assert sample_size_noninferiority_two_means(-1.0, 8.0).n_control == pytest.approx(base.n_control, rel=1e-12)
    assert sample_size_noninferiority_two_means(-0.5, 4.0, true_difference=0.1).n_control < base.n_control
    assert sample_size_noninferiority_two_means(0.5, 4.0, true_difference=-0.1).n_control < base.n_control
    assert sample_size_noninferiority_two_means(-0.5, (4.0, 4.0)) == base


@settings(max_examples=40, deadline=None)
@given(st.floats(0.1, 5.0), st.floats(0.5, 20.0), st.floats(0.5, 20.0), st.floats(0.1, 0.9), st.floats(0.5, 0.99))
def test_power_of_means_at_the_size_found_is_the_power_asked(margin, sd_control, sd_treatment, share, power):
    sds = (sd_control, sd_treatment)
    size = sample_size_noninferiority_two_means(-margin, sds, power=power, treatment_share=share)
    assume(min(size.n_control, size.n_treatment) >= 1)
    assert power_noninferiority_two_means(-margin, sds, size.n_control, size.n_treatment) == pytest.approx(power, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "rule"),
    [
        (
            lambda: sample_size_noninferiority_two_means(0.0, 1.0),
            UsageError,
            r"margin must be a finite number other than 0, got 0\. Where higher",
        ),
        (lambda: sample_size_noninferiority_two_means(-1.0, 0.0), UsageError, "sd of the control must be a finite number above 0"),
        (lambda: sample_size_noninferiority_two_means(-1.0, 1.0, true_difference=-1.0), UsageError, r"inside the margin -1, got -1\."),
        (
            lambda: sample_size_noninferiority_two_proportions(0.1, -1.5),
            UsageError,
            r"margin must lie in \(-1, 1\) for a difference of rates",
        ),
        (lambda: sample_size_noninferiority_two_proportions(1.0, -0.1), UsageError, r"p_control must lie in \(0, 1\), got 1\."),
        (lambda: sample_size_noninferiority_two_proportions(0.1, -0.1, power=1.0), UsageError, r"power must lie in \(alpha, 1\)"),
        (lambda: sample_size_noninferiority_two_proportions(0.1, -0.1, variance="pooled"), UnknownNameError, "No variance named 'pooled'"),
        (lambda: power_noninferiority_two_proportions(0.1, -0.1, 0, 9), DataError, "at least one unit"),
        (lambda: power_noninferiority_two_means(-1.0, 1.0, 9, 0), DataError, "at least one unit"),
    ],
)
def test_an_argument_out_of_range_is_refused_with_the_rule(call, error, rule):
    with pytest.raises(error, match=rule):
        call()
