"""Two means of few units: mean and variance unknown."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.bayes.normal_inverse_gamma import normal_inverse_gamma_ab, normal_inverse_gamma_posterior
from fairtrial.stats.bayes.posterior import Rope
from fairtrial.stats.bayes.priors import NormalInverseGammaPrior
from fairtrial.stats.moments import Moments

CONTROL = Moments.from_values([4.1, 5.0, 5.7, 4.4, 5.2, 4.9])
TREATMENT = Moments.from_values([5.3, 6.1, 5.0, 6.4])
VALUES = st.lists(st.floats(-50, 50), min_size=2, max_size=12)


@given(first=VALUES, second=VALUES)
@settings(max_examples=60, deadline=None)
def test_learning_in_two_steps_is_learning_at_once(first, second):
    """The posterior of the first values, as prior of the second, gives that of both together."""
    prior = NormalInverseGammaPrior(mean=1.0, kappa=0.5, alpha=2.0, beta=3.0)
    half = normal_inverse_gamma_posterior(Moments.from_values(first), prior=prior)
    step = NormalInverseGammaPrior(mean=half.mean, kappa=half.kappa, alpha=half.alpha, beta=half.beta)
    twice = normal_inverse_gamma_posterior(Moments.from_values(second), prior=step)
    once = normal_inverse_gamma_posterior(Moments.from_values(first + second), prior=prior)
    for name in ("mean", "kappa", "alpha", "beta"):
        assert getattr(twice, name) == pytest.approx(getattr(once, name), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e9])
@pytest.mark.parametrize("unit", [1.0, 1e-9, 1e6])
def test_under_the_reference_prior_the_mean_follows_students_t_in_any_unit_at_any_level(offset, unit):
    """n - 1 degrees of freedom; oracle SciPy's t interval."""
    moments = Moments(n=CONTROL.n, mean=offset + unit * CONTROL.mean, m2=unit * unit * CONTROL.m2)
    got = normal_inverse_gamma_posterior(moments).interval(0.9)
    low, high = stats.t.interval(0.9, 5, 0.0, math.sqrt(moments.variance / 6))
    assert (got.low, got.high) == pytest.approx((moments.mean + low, moments.mean + high), rel=1e-12)


def by_convolution(control, treatment):
    """P(T - C < x) of two Student t's: T's distribution function averaged over C's quantiles, by the trapezoidal rule."""
    c, t = (normal_inverse_gamma_posterior(m) for m in (control, treatment))
    law_c, law_t = (stats.t(2 * p.alpha, p.mean, p.scale) for p in (c, t))
    z = np.linspace(-8, 8, 801)
    weight, y = stats.norm.pdf(z) * 0.02, np.where(z < 0, law_c.ppf(stats.norm.cdf(z)), law_c.isf(stats.norm.sf(z)))

    def cdf(x):
        return float(weight @ law_t.cdf(x + y))

    return cdf, law_c, law_t


def test_the_difference_is_that_of_two_students_ts():
    """Behrens and Fisher's problem; oracle: SciPy's t distribution and the trapezoidal rule, 1e-8."""
    cdf, _, _ = by_convolution(CONTROL, TREATMENT)
    rope = Rope(low=0.1, high=0.6)
    got = normal_inverse_gamma_ab(CONTROL, TREATMENT, rope=rope)
    assert got.prob_control_greater == pytest.approx(cdf(0.0), abs=1e-8)
    assert cdf(got.interval.low) == pytest.approx(0.025, abs=1e-8)
    assert cdf(got.interval.high) == pytest.approx(0.975, abs=1e-8)
    assert (got.rope.below, got.rope.inside) == pytest.approx((cdf(0.1), cdf(0.6) - cdf(0.1)), abs=1e-8)
    steps = np.linspace(-20, 14, 1701)
    loss = sum(cdf(-math.exp(s)) * math.exp(s) * 0.02 for s in steps)
    assert got.shortfall == pytest.approx(loss, abs=1e-7)
    assert got.surplus - got.shortfall == pytest.approx(got.effect, abs=1e-10)
    assert got.log_bayes_factor is None


def test_the_lift_is_the_quotient_of_two_students_ts():
    """Oracle: 2,000,000 draws; 1% of the interval's width."""
    _, law_c, law_t = by_convolution(CONTROL, TREATMENT)
    rng = np.random.default_rng(4)
    lifts = law_t.rvs(2_000_000, random_state=rng) / law_c.rvs(2_000_000, random_state=rng) - 1
    got = normal_inverse_gamma_ab(CONTROL, TREATMENT, rope=Rope(low=0.0, high=0.2, scale="lift"))
    width = got.lift_interval.high - got.lift_interval.low
    for value, p in ((got.lift_interval.low, 0.025), (got.lift, 0.5), (got.lift_interval.high, 0.975)):
        assert value == pytest.approx(np.quantile(lifts, p), abs=0.01 * width)
    assert got.rope.inside == pytest.approx(np.mean((lifts > 0) & (lifts < 0.2)), abs=0.002)
    assert np.mean((lifts > got.lift_hdi.low) & (lifts < got.lift_hdi.high)) == pytest.approx(0.95, abs=0.001)
    assert got.lift_hdi.high - got.lift_hdi.low < width


def test_many_units_meet_the_normal_distribution():
    control, treatment = Moments(n=10**6, mean=1e3, m2=4e6), Moments(n=10**6, mean=1e3 + 0.005, m2=4e6)
    got = normal_inverse_gamma_ab(control, treatment)
    assert got.prob_treatment_greater == pytest.approx(stats.norm.cdf(0.005 / math.sqrt(8e-6)), abs=1e-5)


def test_a_control_near_zero_has_no_lift():
    near = Moments.from_values([-0.5, 0.2, 1.4])
    got = normal_inverse_gamma_ab(near, TREATMENT, rope=Rope(low=0.0, high=0.2, scale="lift"))
    assert (got.lift, got.lift_interval, got.lift_hdi, got.rope) == (None, None, None, None)
    three = Moments.from_values([1e3, 1e3 + 1e-3, 1e3])
    assert normal_inverse_gamma_ab(three, three).lift is None, "two degrees of freedom have no variance"


def test_one_unit_has_no_variance():
    proper = NormalInverseGammaPrior(kappa=1.0, alpha=2.0, beta=1.0)
    with pytest.raises(NotEnoughDataError, match="control arm has 1"):
        normal_inverse_gamma_ab(Moments.from_values([1.0]), TREATMENT, prior=proper)
    with pytest.raises(NotEnoughDataError, match="at least two units"):
        normal_inverse_gamma_posterior(Moments.from_values([1.0]))


def test_two_units_have_a_mean_without_expectation_unless_the_prior_helps():
    two = Moments.from_values([1.0, 2.0])
    with pytest.raises(NotEnoughDataError, match="treatment arm has 2"):
        normal_inverse_gamma_ab(CONTROL, two)
    assert normal_inverse_gamma_ab(CONTROL, two, prior=NormalInverseGammaPrior(alpha=0.5)).shortfall > 0.0


def test_values_that_are_all_the_same_say_nothing_of_the_variance():
    same = Moments.from_values([2.0, 2.0, 2.0])
    with pytest.raises(DataError, match="All 3 values") as caught:
        normal_inverse_gamma_ab(CONTROL, same)
    assert caught.value.code == "no_variance"
    assert normal_inverse_gamma_posterior(same, prior=NormalInverseGammaPrior(beta=1.0)).beta == 1.0


def test_a_mass_is_a_probability():
    with pytest.raises(UsageError, match="mass"):
        normal_inverse_gamma_ab(CONTROL, TREATMENT, mass=1.0)


@pytest.mark.slow
def test_means_of_five_units_lie_in_their_intervals_as_often_as_stated():
    """Calibration: 300 experiments of 5 and 8 units, mean and variance from the prior; exact binomial bound."""
    rng, runs, inside = np.random.default_rng(6), 300, 0
    prior = NormalInverseGammaPrior(mean=0.0, kappa=0.2, alpha=3.0, beta=2.0)
    for _ in range(runs):
        variance = 1 / rng.gamma(3.0, 0.5, 2)
        mean = rng.normal(0.0, np.sqrt(variance / 0.2))
        arms = [Moments.from_values(rng.normal(mean[i], math.sqrt(variance[i]), n)) for i, n in enumerate((5, 8))]
        got = normal_inverse_gamma_ab(*arms, prior=prior, mass=0.9)
        inside += got.interval.low <= mean[1] - mean[0] <= got.interval.high
    assert stats.binomtest(inside, runs, 0.9).pvalue > 1e-4
