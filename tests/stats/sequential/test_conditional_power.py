"""Conditional and predictive power: goldens, definitions by integration, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.conditional_power import (
    conditional_power,
    conditional_power_batch,
    conditional_power_of_looks,
    predictive_power,
    predictive_power_batch,
)
from fairtrial.stats.sequential.group_power import planned_drift


def test_conditional_power_is_the_one_of_the_plan():
    """Section V.b, four decimals."""
    theta = planned_drift(0.8)
    assert theta == pytest.approx(2.8016, abs=5e-5)
    assert conditional_power(1.0, 0.5, stats.norm.isf(0.025), drift=theta) == pytest.approx(0.5829, abs=5e-5)
    assert conditional_power(1.5, 0.5, 1.96) == pytest.approx(0.5902, abs=6e-5)
    assert conditional_power(2.4068, 0.5, 2.102, drift=theta) == pytest.approx(0.9215, abs=6e-5)


def test_predictive_power_is_conditional_power_averaged_over_the_posterior():
    """Spiegelhalter, Freedman & Blackburn (1986); SciPy's quadrature, tolerance 1e-8."""
    z, t, c = 1.3, 0.4, 2.0

    def averaged(mean, variance):
        law = stats.norm(mean, math.sqrt(variance))
        return integrate.quad(lambda drift: law.pdf(drift) * conditional_power(z, t, c, drift=drift), mean - 12, mean + 12)[0]

    assert predictive_power(z, t, c) == pytest.approx(averaged(z / math.sqrt(t), 1 / t), abs=1e-8)
    precision = t + 1 / 0.7
    mean = (z * math.sqrt(t) + 2.0 / 0.7) / precision
    assert predictive_power(z, t, c, prior_mean=2.0, prior_variance=0.7) == pytest.approx(averaged(mean, 1 / precision), abs=1e-8)


def test_a_flat_prior_is_the_limit_of_a_wide_one():
    assert predictive_power(1.0, 0.5, 2.0, prior_variance=1e12) == pytest.approx(predictive_power(1.0, 0.5, 2.0), abs=1e-9)


def test_one_later_look_is_the_plain_conditional_power():
    z = np.array([[-1.0, 0.0], [1.5, 3.0]])
    one = conditional_power_of_looks(z, 0.4, fractions=[1.0], critical=[2.0], drift=2.5)
    assert one == pytest.approx(conditional_power_batch(z, 0.4, 2.0, drift=2.5), abs=1e-14)


@pytest.mark.parametrize("sides", [1, 2])
def test_power_over_several_later_looks_is_the_share_of_paths_that_cross(sides):
    """Drawn paths, four Monte Carlo standard errors."""
    rng = np.random.default_rng(11)
    z, times, critical, drift, runs = 0.8, np.array([0.3, 0.5, 0.8, 1.0]), np.array([2.9, 2.3, 2.1]), 2.0, 200_000
    steps = rng.normal(drift * np.diff(times), np.sqrt(np.diff(times)), (runs, 3))
    paths = (z * math.sqrt(0.3) + steps.cumsum(axis=1)) / np.sqrt(times[1:])
    up = paths > critical
    down = (paths < -critical) if sides == 2 else np.zeros_like(up)
    first_up = np.where(up.any(axis=1), up.argmax(axis=1), 9)
    first_down = np.where(down.any(axis=1), down.argmax(axis=1), 9)
    expected = (first_up < first_down).mean()
    found = conditional_power_of_looks(z, 0.3, fractions=times[1:], critical=critical, drift=drift, sides=sides).item()
    assert abs(found - expected) < 4 * math.sqrt(expected * (1 - expected) / runs)


def test_a_hopeless_and_a_won_trial_have_power_0_and_1():
    found = conditional_power_of_looks([-60.0, 60.0], 0.5, fractions=[0.75, 1.0], critical=[2.4, 2.0], drift=0.0)
    assert found == pytest.approx([0.0, 1.0], abs=1e-12)
    assert conditional_power_of_looks([], 0.5, fractions=[1.0], critical=[2.0], drift=0.0).shape == (0,)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, math.nan])
def test_a_fraction_that_is_no_interim_look_is_refused(fraction):
    with pytest.raises(UsageError, match="fraction must lie in"):
        conditional_power(1.0, fraction, 1.96)
    with pytest.raises(UsageError, match="fraction must lie in"):
        predictive_power_batch([1.0, 2.0], fraction, 1.96)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conditional_power(math.nan, 0.5, 1.96), "z must be finite"),
        (lambda: conditional_power(1.0, 0.5, math.inf), "critical must be finite"),
        (lambda: conditional_power(1.0, 0.5, 1.96, drift=math.inf), "drift must be finite"),
        (lambda: predictive_power(1.0, 0.5, 1.96, prior_mean=math.nan), "prior_mean must be finite"),
        (lambda: predictive_power(1.0, 0.5, 1.96, prior_variance=0.0), "prior_variance must be positive"),
        (lambda: conditional_power_of_looks(1.0, 0.5, fractions=[], critical=[], drift=1.0), "critical must name"),
        (lambda: conditional_power_of_looks(1.0, 0.5, fractions=[0.8, 1.0], critical=[2.0], drift=1.0), "critical must name"),
        (lambda: conditional_power_of_looks(1.0, 0.5, fractions=[0.4], critical=[2.0], drift=1.0), "rise by at least"),
        (lambda: conditional_power_of_looks(1.0, 0.5, fractions=[1.0], critical=[2.0], drift=1.0, sides=0), "sides must be"),
        (lambda: conditional_power_of_looks(1.0, 0.5, fractions=[1.0], critical=[2.0], drift=math.nan), "drift must be finite"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()
