"""Effects with a standard error, a normal prior on the lift or on the effect."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.bayes.normal import normal_ab, normal_ab_batch, normal_ab_of_contrast
from fairtrial.stats.bayes.normal_posterior import log_bayes_factor, normal_posterior
from fairtrial.stats.bayes.posterior import Rope
from fairtrial.stats.bayes.priors import NormalPrior
from fairtrial.stats.contrast import expand, linear_contrast
from fairtrial.stats.lift import lift_interval, lift_std_error
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.tails import p_value_of

FLAT = NormalPrior(sd=None, scale="effect")


@given(estimate=st.floats(-3, 3), error=st.floats(0.01, 2), mean=st.floats(-1, 1), sd=st.floats(0.05, 3))
@settings(max_examples=60, deadline=None)
def test_the_posterior_is_proportional_to_prior_times_likelihood(estimate, error, mean, sd):
    """XC-39; oracle: mean, spread and losses by adding up over a fine grid, 1e-7."""
    posterior = normal_posterior(estimate, error, prior=NormalPrior(mean=mean, sd=sd))
    x = posterior.mean.item() + posterior.sd.item() * np.linspace(-10, 10, 20_001)
    logs = stats.norm.logpdf(x, mean, sd) + stats.norm.logpdf(estimate, x, error)
    weight = np.exp(logs - logs.max())
    weight /= weight.sum()
    assert weight @ x == pytest.approx(posterior.mean.item(), abs=1e-9)
    assert math.sqrt(weight @ (x - weight @ x) ** 2) == pytest.approx(posterior.sd.item(), rel=1e-7)
    assert weight @ np.maximum(-x, 0) == pytest.approx(posterior.shortfall.item(), abs=1e-6 * posterior.sd.item())
    assert posterior.surplus.item() - posterior.shortfall.item() == pytest.approx(posterior.mean.item(), abs=1e-12)


def test_tails_and_losses_keep_their_digits_far_out():
    """At 30 and 37 standard errors; oracle: SciPy's log tail, and the loss by integration of exp(-u z - u^2 / 2)."""
    for z in (30.0, 37.0):
        posterior = normal_posterior(z, 1.0, prior=FLAT)
        assert math.log(posterior.prob_negative.item()) == pytest.approx(special.log_ndtr(-z), rel=1e-12)
        inner, _ = integrate.quad(lambda u, z=z: u * math.exp(-u * z - u * u / 2), 0, 3)
        assert posterior.shortfall.item() == pytest.approx(inner * math.exp(-z * z / 2) / math.sqrt(2 * math.pi), rel=1e-9)


@given(estimate=st.floats(-3, 3), error=st.floats(0.05, 2), mean=st.floats(-1, 1), sd=st.floats(0.05, 3))
@settings(max_examples=60, deadline=None)
def test_the_bayes_factor_is_the_ratio_of_densities_at_no_difference(estimate, error, mean, sd):
    """Savage and Dickey: prior density at 0 over posterior density at 0 (Dickey 1971, Annals of Mathematical Statistics 42, 204-223)."""
    prior = NormalPrior(mean=mean, sd=sd)
    posterior = normal_posterior(estimate, error, prior=prior)
    ratio = stats.norm.logpdf(0, mean, sd) - stats.norm.logpdf(0, posterior.mean, posterior.sd)
    assert log_bayes_factor(estimate, error, prior=prior).item() == pytest.approx(float(ratio), abs=1e-9)


@given(effect=st.floats(-2, 2), error=st.floats(0.05, 2), mass=st.floats(0.5, 0.99))
@settings(max_examples=40, deadline=None)
def test_under_a_flat_prior_the_interval_is_the_frequentist_one(effect, error, mass):
    got = normal_ab(effect, error, prior=FLAT, mass=mass)
    z = stats.norm.ppf((1 + mass) / 2)
    assert (got.interval.low, got.interval.high) == pytest.approx((effect - z * error, effect + z * error), abs=1e-12)
    assert got.hdi == got.interval
    assert got.prob_control_greater == pytest.approx(p_value_of(effect / error, math.inf, "greater").item())
    assert (got.lift, got.lift_interval, got.control, got.log_bayes_factor) == (None, None, None, None)


def test_under_a_flat_prior_the_lift_is_the_delta_methods_or_fiellers():
    """A prior on the lift gives the delta interval, one on the effect Fieller's: oracle `stats.lift` over CUPED contrasts."""
    rng = np.random.default_rng(5)
    arms = []
    for shift in (0.0, 0.4):
        past = rng.normal(10, 2, (300, 1))
        now = 0.7 * past + rng.normal(3 + shift, 1, (300, 1))
        arms.append(expand([CoMoments.from_values(np.hstack([now, past]))], "mean_cuped"))
    contrast = linear_contrast(*arms)
    for scale, method in (("lift", "delta"), ("effect", "fieller")):
        got = normal_ab_of_contrast(contrast, prior=NormalPrior(sd=None, scale=scale)).at(0)
        expected = lift_interval(contrast, alpha=0.05, method=method)
        assert (got.lift_interval.low, got.lift_interval.high) == pytest.approx((expected.low[0], expected.high[0]), rel=1e-9)
    adjusted = normal_ab_of_contrast(contrast, prior=FLAT).at(0)
    assert adjusted.interval.high - adjusted.effect == pytest.approx(1.959963984540054 * contrast.std_error[0])
    assert contrast.variance_reduction[0] > 0.3


def test_a_prior_on_the_lift_shrinks_the_lift():
    """Closed formula: weight 1 / (1 + se^2 / sd^2) with the delta method's standard error."""
    values = linear_contrast(*(expand([CoMoments(n=50, mean=np.array([m]), cross=np.array([[400.0]]))]) for m in (10.0, 11.0)))
    error = lift_std_error(values)[0][0]
    got = normal_ab_of_contrast(values, prior=NormalPrior(mean=0.02, sd=0.05)).at(0)
    weight = 1 / (1 + error**2 / 0.05**2)
    assert got.lift == pytest.approx(0.02 + weight * 0.08)
    assert got.effect == pytest.approx(10 * got.lift)
    assert got.treatment == pytest.approx(got.control + got.effect)
    assert got.lift_interval.high - got.lift == pytest.approx(1.959963984540054 * error * math.sqrt(weight))


def test_under_a_prior_on_the_effect_effect_and_lift_have_one_joint_posterior():
    """Oracle: 400,000 draws of (control, effect) weighted by the prior; 1% of an interval's width."""
    rng = np.random.default_rng(8)
    effect, error, control, variance = 0.5, 0.4, 5.0, 0.2
    got = normal_ab(
        effect, error, control=control, control_variance=variance, covariance=-0.1, prior=NormalPrior(sd=0.3, scale="effect"),
        rope=Rope(low=-0.02, high=0.05, scale="lift"),
    )  # fmt: skip
    draws = rng.multivariate_normal([control, effect], [[variance, -0.1], [-0.1, error**2]], 400_000)
    kept = draws[rng.random(400_000) < np.exp(-0.5 * (draws[:, 1] / 0.3) ** 2)]
    lifts = kept[:, 1] / kept[:, 0]
    width = got.lift_interval.high - got.lift_interval.low
    for value, p in ((got.lift_interval.low, 0.025), (got.lift, 0.5), (got.lift_interval.high, 0.975)):
        assert value == pytest.approx(np.quantile(lifts, p), abs=0.012 * width)
    assert got.rope.inside == pytest.approx(np.mean((lifts > -0.02) & (lifts < 0.05)), abs=0.005)
    assert got.rope.below + got.rope.inside + got.rope.above == pytest.approx(1.0, abs=1e-12)
    assert got.control == pytest.approx(kept[:, 0].mean(), abs=0.01)
    assert got.lift_hdi.high - got.lift_hdi.low < width


def test_regions_of_effect_and_lift_are_the_same_when_they_mean_the_same():
    one = normal_ab(0.3, 0.2, control=4.0, rope=Rope(low=-0.1, high=0.2))
    other = normal_ab(0.3, 0.2, control=4.0, rope=Rope(low=-0.025, high=0.05, scale="lift"))
    assert one.rope.inside == pytest.approx(other.rope.inside, abs=1e-14)
    assert one.rope.above == pytest.approx(stats.norm.sf(0.2, one.effect, (one.interval.high - one.effect) / 1.959963984540054))


def test_a_region_in_the_upper_tail_keeps_its_digits():
    below, inside, above = normal_posterior(0.0, 1.0, prior=FLAT).regions(30.0, 31.0)
    assert below == pytest.approx(1.0)
    assert inside == pytest.approx(stats.norm.sf(30) - stats.norm.sf(31), rel=1e-12)
    assert above == pytest.approx(stats.norm.sf(31), rel=1e-12)


def test_which_way_is_better_turns_the_decision_round():
    got = normal_ab(0.3, 0.2, prior=FLAT)
    assert got.chance_to_win("decrease") == got.prob_control_greater
    assert got.loss_of_treatment("decrease") == got.surplus == got.loss_of_control()
    assert got.loss_of_control("decrease") == got.shortfall == got.loss_of_treatment()
    with pytest.raises(UsageError, match="direction"):
        got.chance_to_win("up")


def test_two_hundred_comparisons_are_one_batch_that_flags_its_gaps():
    rng = np.random.default_rng(1)
    effect, error = rng.normal(0, 0.01, 200), rng.uniform(0.005, 0.02, 200)
    control = rng.uniform(0.1, 1, 200)
    effect[3], error[4], control[5], control[6] = np.nan, 0.0, -0.2, np.nan
    batch = normal_ab_batch(effect, error, control=control, rope=Rope(low=-0.01, high=0.01, scale="lift"))
    assert np.flatnonzero(batch.undefined).tolist() == [3, 4, 5, 6]
    assert [batch.unavailable(i).code for i in (3, 4, 5, 6)] == ["not_finite", "not_finite", "no_lift", "no_lift"]
    one = normal_ab(effect[7], error[7], control=control[7], rope=Rope(low=-0.01, high=0.01, scale="lift"))
    assert batch.at(7) == one
    with pytest.raises(DataError, match="no posterior"):
        batch.at(4)


def test_a_control_near_zero_has_an_effect_but_no_lift():
    batch = normal_ab_batch(
        [0.1, 0.1], 0.2, control=[0.5, -3.0], control_variance=0.04, prior=NormalPrior(sd=1.0, scale="effect"),
        rope=Rope(low=-0.1, high=0.1, scale="lift"),
    )  # fmt: skip
    assert not batch.lift_defined.any()
    for index in (0, 1):
        one = batch.at(index)
        assert (one.lift, one.lift_interval, one.lift_hdi, one.rope) == (None, None, None, None)
        assert one.prob_treatment_greater > 0.5


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: normal_ab(math.nan, 1.0, prior=FLAT), "finite number"),
        (lambda: normal_ab(0.0, 0.0, prior=FLAT), "standard error"),
        (lambda: normal_ab(0.0, math.inf, prior=FLAT), "standard error"),
        (lambda: normal_ab(0.0, 1.0), "needs the control's mean"),
        (lambda: normal_ab(0.0, 1.0, prior=FLAT, rope=Rope(low=-1, high=1, scale="lift")), "needs the control's mean"),
        (lambda: normal_ab(0.0, 1.0, prior=FLAT, mass=2.0), "mass"),
        (lambda: normal_posterior(0.0, -1.0), "standard error"),
        (lambda: normal_posterior(0.0, 1.0).interval(0.0), "mass"),
        (lambda: log_bayes_factor(0.0, 1.0, prior=FLAT), "proper prior"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, rule):
    with pytest.raises(UsageError) as caught:
        call()
    assert rule in str(caught.value)


def test_a_lift_of_a_control_below_zero_is_refused():
    with pytest.raises(DataError, match="not positive") as caught:
        normal_ab(0.1, 0.2, control=-1.0)
    assert caught.value.code == "no_lift"


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["lift", "effect"])
def test_effects_drawn_from_the_prior_lie_in_their_intervals_as_often_as_stated(scale):
    """Calibration: 20,000 experiments, lift or effect from the prior; exact binomial bounds."""
    rng, runs = np.random.default_rng(12), 20_000
    control, prior = 2.0, NormalPrior(mean=0.01, sd=0.05 if scale == "lift" else 0.1, scale=scale)
    drawn = rng.normal(prior.mean, prior.sd, runs)
    effect = drawn * control if scale == "lift" else drawn
    batch = normal_ab_batch(rng.normal(effect, 0.08), 0.08, control=control, prior=prior, mass=0.9)
    for truth, low, high in ((effect, batch.low, batch.high), (effect / control, batch.lift_low, batch.lift_high)):
        assert stats.binomtest(int(((low <= truth) & (truth <= high)).sum()), runs, 0.9).pvalue > 1e-4
    expected_loss = float(batch.shortfall.mean())
    assert np.maximum(-effect, 0).mean() == pytest.approx(expected_loss, abs=4 * np.maximum(-effect, 0).std() / math.sqrt(runs))
