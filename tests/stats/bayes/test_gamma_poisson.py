"""Two event rates with gamma priors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.stats.bayes.gamma_poisson import gamma_poisson_ab, gamma_poisson_batch
from fairtrial.stats.bayes.posterior import Rope
from fairtrial.stats.bayes.priors import GammaPrior

DATA = st.tuples(st.integers(0, 5000), st.floats(0.5, 1e4), st.integers(0, 5000), st.floats(0.5, 1e4))


def shares(data, prior):
    """Shapes of both posteriors, and the share of its rate that decides: P(T > C) = I_share(a_c, a_t)."""
    x_c, e_c, x_t, e_t = data
    return prior.shape + x_c, prior.shape + x_t, (prior.rate + e_c) / (2 * prior.rate + e_c + e_t)


@given(data=DATA, rate=st.sampled_from([0.2, 1.0]), shape=st.sampled_from([0.5, 1.0, 3.0]))
@settings(max_examples=25, deadline=None)
def test_the_chance_to_win_is_an_incomplete_beta(data, rate, shape):
    """C rate / (C rate + T rate') follows a beta; relative 1e-6 in the smaller tail, oracle SciPy."""
    prior = GammaPrior(shape=shape, rate=rate)
    got = gamma_poisson_ab(*data, prior=prior)
    a_c, a_t, share = shares(data, prior)
    greater, less = special.betainc(a_c, a_t, share), special.betaincc(a_c, a_t, share)
    assert got.prob_treatment_greater == pytest.approx(greater, rel=1e-6, abs=1e-300)
    assert got.prob_control_greater == pytest.approx(less, rel=1e-6, abs=1e-300)


@given(data=DATA, mass=st.floats(0.5, 0.99))
@settings(max_examples=20, deadline=None)
def test_the_lift_is_a_beta_prime(data, mass):
    """T / C times the ratio of the rates is beta prime (a_t, a_c): oracle SciPy's beta quantiles, 1e-7."""
    prior = GammaPrior()
    a_c, a_t, share = shares(data, prior)
    got = gamma_poisson_ab(*data, prior=prior, mass=mass)
    for end, p in ((got.lift_interval.low, (1 - mass) / 2), (got.lift, 0.5), (got.lift_interval.high, (1 + mass) / 2)):
        b = stats.beta.ppf(p, a_t, a_c)
        assert 1 + end == pytest.approx(b / (1 - b) * share / (1 - share), rel=1e-7)


@given(data=DATA)
@settings(max_examples=20, deadline=None)
def test_the_expected_loss_is_a_difference_of_shifted_chances(data):
    """E[max(C - T, 0)] = E[C] P(T < C | a_c + 1) - E[T] P(T < C | a_t + 1); 1e-9 of the larger rate."""
    a_c, a_t, share = shares(data, GammaPrior())
    got = gamma_poisson_ab(*data)
    expected = got.control * special.betaincc(a_c + 1, a_t, share) - got.treatment * special.betaincc(a_c, a_t + 1, share)
    assert got.shortfall == pytest.approx(expected, abs=1e-9 * max(got.control, got.treatment))


def test_the_unit_of_exposure_only_scales_the_answer():
    """Exposure in hours or seconds, the prior with it: effect and losses scale, chances and lifts stay."""
    hours = gamma_poisson_ab(30, 100.0, 42, 90.0, prior=GammaPrior(shape=2, rate=3))
    seconds = gamma_poisson_ab(30, 360_000.0, 42, 324_000.0, prior=GammaPrior(shape=2, rate=10_800))
    assert seconds.effect * 3600 == pytest.approx(hours.effect)
    assert seconds.interval.high * 3600 == pytest.approx(hours.interval.high, rel=1e-9)
    assert seconds.surplus * 3600 == pytest.approx(hours.surplus, rel=1e-9)
    assert seconds.lift_hdi.low == pytest.approx(hours.lift_hdi.low, abs=1e-7)
    assert seconds.log_bayes_factor == pytest.approx(hours.log_bayes_factor)


def test_the_interval_of_the_difference_holds_its_mass():
    got = gamma_poisson_ab(6, 20.0, 10, 22.0)
    rope = gamma_poisson_ab(6, 20.0, 10, 22.0, rope=Rope(low=got.hdi.low, high=got.hdi.high)).rope
    assert rope.inside == pytest.approx(0.95, abs=1e-9)
    draws = np.random.default_rng(1).gamma([[7], [11]], 1 / np.array([[21.0], [23.0]]), (2, 400_000))
    assert np.mean(draws[1] - draws[0] < got.interval.low) == pytest.approx(0.025, abs=0.001)


def test_the_bayes_factor_is_a_ratio_of_marginal_likelihoods():
    """Oracle: adding up over a grid of the rates, 1e-6."""
    prior = GammaPrior(shape=2, rate=1.5)
    rate = (np.arange(20_000) + 0.5) / 20_000 * 6
    weight = stats.gamma.pdf(rate, 2, scale=1 / 1.5) * 6 / 20_000
    like_c, like_t = stats.poisson.pmf(9, rate * 10), stats.poisson.pmf(25, rate * 14)
    expected = math.log((like_c @ weight) * (like_t @ weight) / ((like_c * like_t) @ weight))
    assert gamma_poisson_ab(9, 10.0, 25, 14.0, prior=prior).log_bayes_factor == pytest.approx(expected, abs=1e-6)


def test_a_batch_is_its_comparisons_and_flags_an_arm_without_exposure():
    batch = gamma_poisson_batch([3, 0, 7], [10.0, 0.0, 20.0], [5, 4, 9], 11.0)
    assert batch.undefined.tolist() == [False, True, False]
    assert batch.at(2).lift == pytest.approx(gamma_poisson_ab(7, 20.0, 9, 11.0).lift, abs=1e-10)
    with pytest.raises(NotEnoughDataError):
        gamma_poisson_ab(0, 0.0, 4, 11.0)


@pytest.mark.parametrize(
    "data", [(-1, 1.0, 1, 1.0), (1.5, 1.0, 1, 1.0), (1, -1.0, 1, 1.0), (1, 1.0, 1, 0.0), (1, 1.0, math.nan, 1.0), (1, math.inf, 1, 1.0)]
)
def test_what_is_no_count_or_exposure_is_refused(data):
    with pytest.raises(UsageError, match="events"):
        gamma_poisson_ab(*data)


def test_a_mass_is_no_percentage():
    with pytest.raises(UsageError, match="mass"):
        gamma_poisson_ab(1, 1.0, 1, 1.0, mass=95)


@pytest.mark.slow
def test_rates_drawn_from_the_prior_lie_in_their_intervals_as_often_as_stated():
    """Calibration: 1,500 experiments with rates from the prior; exact binomial bounds."""
    rng, runs, prior = np.random.default_rng(3), 1500, GammaPrior(shape=20, rate=10)
    rate_c, rate_t = (rng.gamma(20, 0.1, runs) for _ in range(2))
    batch = gamma_poisson_batch(rng.poisson(rate_c * 50), 50.0, rng.poisson(rate_t * 50), 50.0, prior=prior, mass=0.9)
    for truth, low, high in (
        (rate_t - rate_c, batch.low, batch.high),
        (rate_t - rate_c, batch.hdi_low, batch.hdi_high),
        (rate_t / rate_c - 1, batch.lift_low, batch.lift_high),
        (rate_t / rate_c - 1, batch.lift_hdi_low, batch.lift_hdi_high),
    ):
        assert stats.binomtest(int(((low <= truth) & (truth <= high)).sum()), runs, 0.9).pvalue > 1e-4
