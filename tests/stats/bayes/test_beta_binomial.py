"""Two proportions with beta priors."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import special, stats

from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.stats.bayes.arm import Arm
from fairtrial.stats.bayes.beta_binomial import beta_binomial_ab, beta_binomial_batch, beta_hdi, beta_interval
from fairtrial.stats.bayes.pairs import Pair
from fairtrial.stats.bayes.posterior import Rope
from fairtrial.stats.bayes.priors import BetaPrior

COUNTS = st.tuples(st.integers(1, 400), st.integers(1, 400)).flatmap(
    lambda n: st.tuples(st.integers(0, n[0]), st.just(n[0]), st.integers(0, n[1]), st.just(n[1]))
)


def log_prob_greater(a_c, b_c, a_t, b_t):
    """Miller's closed sum for P(T > C), whole a_t: sum over i < a_t of B(a_c + i, b_t + b_c) / ((b_t + i) B(1 + i, b_t) B(a_c, b_c))."""
    i = np.arange(a_t)
    terms = special.betaln(a_c + i, b_t + b_c) - np.log(b_t + i) - special.betaln(1 + i, b_t) - special.betaln(a_c, b_c)
    return special.logsumexp(terms)


def pair_of(a_c, b_c, a_t, b_t):
    arms = (Arm(np.array([float(a)]), np.array([float(b)]), bounded=True) for a, b in ((a_c, b_c), (a_t, b_t)))
    control, treatment = arms
    return Pair(control=control, treatment=treatment)


def cdf_by_trapezoid(a_c, b_c, a_t, b_t, at):
    """P(T - C < at) as an average of T's own distribution function over a fine grid of the logit of C."""
    center, width = math.log(a_c / b_c), math.sqrt(1 / a_c + 1 / b_c)
    y = np.linspace(center - 9 * width - 40 / a_c, center + 9 * width + 40 / b_c, 200_001)
    weight = np.exp(a_c * (y - center) - (a_c + b_c) * np.log1p(a_c / (a_c + b_c) * np.expm1(y - center)))
    return float(weight @ special.betainc(a_t, b_t, np.clip(special.expit(y) + at, 0, 1)) / weight.sum())


@given(counts=COUNTS)
@settings(max_examples=25, deadline=None)
def test_the_chance_to_win_is_millers_sum(counts):
    """XC-39; source: Miller (2014), Formulas for Bayesian A/B Testing, equation 6; relative 1e-7 in either tail."""
    x_c, n_c, x_t, n_t = counts
    got = beta_binomial_ab(*counts)
    arms = 1 + x_c, 1 + n_c - x_c, 1 + x_t, 1 + n_t - x_t
    assert math.log(got.prob_treatment_greater) == pytest.approx(log_prob_greater(*arms), abs=1e-7)
    assert math.log(got.prob_control_greater) == pytest.approx(log_prob_greater(*arms[2:], *arms[:2]), abs=1e-7)


@given(counts=COUNTS)
@settings(max_examples=25, deadline=None)
def test_expected_losses_are_chances_under_shifted_posteriors(counts):
    """E[max(C - T, 0)] = E[C] P(T < C | a_c + 1) - E[T] P(T < C | a_t + 1) (Stucchio 2015); 1e-11, and their difference is the effect."""
    x_c, n_c, x_t, n_t = counts
    got = beta_binomial_ab(*counts)
    c, t = (1 + x_c, 1 + n_c - x_c), (1 + x_t, 1 + n_t - x_t)
    shortfall = got.control * math.exp(log_prob_greater(*t, c[0] + 1, c[1])) - got.treatment * math.exp(
        log_prob_greater(t[0] + 1, t[1], *c)
    )
    assert got.shortfall == pytest.approx(shortfall, abs=1e-11)
    assert got.surplus - got.shortfall == pytest.approx(got.effect, abs=1e-14)


@given(
    shapes=st.tuples(*[st.sampled_from([0.5, 1.0, 1.5, 2.0, 7.3, 40.0, 700.0, 30_000.0])] * 4),
    where=st.floats(-2.5, 2.5),
)
@settings(max_examples=25, deadline=None)
def test_the_difference_agrees_with_a_plain_average_whatever_the_shapes(shapes, where):
    """Narrow against broad, edges at 0 and 1, Fourier sums and integrals alike; the oracle's own error is about 1e-6."""
    pair = pair_of(*shapes)
    table = pair.difference()
    a_c, b_c, a_t, b_t = shapes
    sd = float(np.sqrt(pair.control.variance + pair.treatment.variance)[0])
    assume(pair.control.variance[0] < 1e3 * pair.treatment.variance[0])
    at = float(np.clip(a_t / (a_t + b_t) - a_c / (a_c + b_c) + where * sd, -0.999, 0.999))
    assert table.cdf(np.array([[at]]))[0, 0] == pytest.approx(cdf_by_trapezoid(*shapes, at), abs=5e-6)
    assert pair.log_ratio().cdf(np.zeros((1, 1)))[0, 0] == pytest.approx(table.cdf(np.zeros((1, 1)))[0, 0], abs=2e-9)


@pytest.mark.parametrize("shapes", [(30.0, 300.0, 9.0, 80.0), (5e3, 2e4, 300.0, 900.0), (12.0, 9e6, 10.0, 1e7), (2e8, 3e9, 2.0001e8, 3e9)])
def test_fourier_sums_and_integrals_are_the_same_density(shapes):
    """The fast route against the integral at the same points, both normalised: 1e-9 of the peak."""
    pair = pair_of(*shapes)
    sd = float(np.sqrt(pair.control.variance + pair.treatment.variance)[0])
    spread = math.sqrt(sum(1 / s for s in shapes))
    center = float((pair.treatment.mean - pair.control.mean)[0])
    middle = math.log(float(pair.treatment.mean[0] / pair.control.mean[0]))
    z, entry = np.linspace(-4, 4, 33), np.zeros(33, dtype=np.intp)
    for table, log_density, points, width in (
        (pair.difference(), pair.difference_log_density, center + sd * z, sd),
        (pair.log_ratio(), pair.log_ratio_log_density, middle + spread * z, spread),
    ):
        integral = np.exp(log_density(entry, points) - table.log_total[0])
        assert table.density(points[None])[0] * width == pytest.approx(integral * width, abs=2e-9)


@pytest.mark.parametrize("shapes", [(1.5, 76_410.0, 4.5, 1.0), (4807.0, 0.5, 4.5, 1.5), (1.0, 11.0, 9e5, 1e5), (2e6, 5e6, 1.0, 1.0)])
def test_an_edge_as_sharp_as_the_narrower_arm_is_seen(shapes):
    """A broad arm that ends abruptly at 0 or 1, against a narrow one: the step is 1e-3 to 1e-5 wide."""
    pair = pair_of(*shapes)
    a_c, b_c, a_t, b_t = shapes
    sd = float(np.sqrt(pair.control.variance + pair.treatment.variance)[0])
    points = np.clip(a_t / (a_t + b_t) - a_c / (a_c + b_c) + sd * np.array([-1.5, -0.5, 0.5, 1.0]), -0.99, 0.99)
    if pair.control.variance[0] < pair.treatment.variance[0]:
        expected = [cdf_by_trapezoid(*shapes, at) for at in points]
    else:
        expected = [1 - cdf_by_trapezoid(*shapes[2:], *shapes[:2], -at) for at in points]
    assert pair.difference().cdf(points[None])[0] == pytest.approx(expected, abs=2e-7)
    at_zero = pair.difference().cdf(np.zeros((1, 1)))[0, 0]
    assert pair.log_ratio().cdf(np.zeros((1, 1)))[0, 0] == pytest.approx(at_zero, abs=1e-9)


def test_the_difference_of_two_uniform_rates_is_triangular():
    table = pair_of(1, 1, 1, 1).difference()
    d = np.linspace(-0.95, 0.95, 20)
    assert table.density(d[None])[0] == pytest.approx(1 - np.abs(d), abs=1e-8)


@pytest.mark.parametrize(("n", "successes"), [(1_000, 20), (100_000, 50), (10**6, 400), (10**9, 900)])
def test_a_tiny_chance_keeps_its_digits(n, successes):
    """No success in the control: P(T < C) = B(a_t, b_t + n + 1) / B(a_t, b_t), down to 1e-271."""
    a, b = successes + 1, n - successes + 1
    expected = math.exp(math.fsum(math.log((b + i) / (b + n + 1 + i)) for i in range(a)))
    got = beta_binomial_ab(0, n, successes, n)
    assert got.prob_control_greater == pytest.approx(expected, rel=1e-7)
    assert 0.0 < got.shortfall < got.prob_control_greater


def test_at_a_trillion_units_the_normal_distribution_is_met():
    """Rates .05 and .0500001: skewness is 1e-5 there, so the normal approximation holds to 1e-7; nothing overflows."""
    n = 10**12
    got = beta_binomial_ab(50_000_000_000, n, 50_000_100_000, n)
    z = 1e-7 / math.sqrt(2 * 0.05 * 0.95 / n)
    assert got.prob_control_greater == pytest.approx(stats.norm.sf(z), abs=1e-7)
    assert got.interval.low == pytest.approx(1e-7 - 1.959963984540054 * 1e-7 / z, rel=1e-5)


def test_rates_of_a_billionth_behave_as_event_rates():
    """n = 1e9, 1 and 5 successes: the beta's upper end is far away, so P(T < C) is that of two gammas, a binomial tail."""
    got = beta_binomial_ab(1, 10**9, 5, 10**9)
    assert got.prob_control_greater == pytest.approx(stats.binom.cdf(1, 7, 0.5), rel=1e-7)


@given(counts=COUNTS)
@settings(max_examples=12, deadline=None)
def test_swapped_arms_give_the_mirrored_answer(counts):
    x_c, n_c, x_t, n_t = counts
    one, other = beta_binomial_ab(*counts), beta_binomial_ab(x_t, n_t, x_c, n_c)
    assert one.interval.low == pytest.approx(-other.interval.high, abs=1e-9)
    assert one.hdi.low == pytest.approx(-other.hdi.high, abs=1e-7)
    assert one.shortfall == pytest.approx(other.surplus, rel=1e-6)
    assert 1 + one.lift_interval.low == pytest.approx(1 / (1 + other.lift_interval.high), rel=1e-7)
    assert 1 + one.lift == pytest.approx(1 / (1 + other.lift), rel=1e-8)
    failures = beta_binomial_ab(n_c - x_c, n_c, n_t - x_t, n_t)
    assert failures.interval.high == pytest.approx(-one.interval.low, abs=1e-9)


@given(counts=COUNTS, mass=st.floats(0.5, 0.99))
@settings(max_examples=12, deadline=None)
def test_intervals_hold_their_mass_and_the_shortest_is_shortest(counts, mass):
    got = beta_binomial_ab(*counts, mass=mass)
    for scale, interval, hdi in (("effect", got.interval, got.hdi), ("lift", got.lift_interval, got.lift_hdi)):
        for ends in (interval, hdi):
            rope = beta_binomial_ab(*counts, rope=Rope(low=ends.low, high=ends.high, scale=scale)).rope
            assert rope.inside == pytest.approx(mass, abs=1e-7)
            assert rope.below + rope.inside + rope.above == pytest.approx(1.0, abs=1e-9)
        assert hdi.high - hdi.low <= (interval.high - interval.low) * (1 + 1e-9)


@pytest.mark.parametrize("counts", [(5, 40, 9, 40), (0, 12, 3, 15), (500, 10_000, 560, 10_000)])
def test_no_other_interval_of_the_same_mass_is_shorter_on_either_scale(counts):
    """Brute force: 400 intervals of mass .9 from the tables' quantiles."""
    x_c, n_c, x_t, n_t = counts
    got, pair = beta_binomial_ab(*counts, mass=0.9), pair_of(1 + x_c, 1 + n_c - x_c, 1 + x_t, 1 + n_t - x_t)
    tails = np.linspace(0, 0.1, 402)[1:-1]
    for table, scale, hdi in ((pair.difference(), np.asarray, got.hdi), (pair.log_ratio(), np.expm1, got.lift_hdi)):
        widths = scale(table.quantile(tails[None] + 0.9)[0]) - scale(table.quantile(tails[None])[0])
        assert hdi.high - hdi.low <= widths.min() * (1 + 1e-9)


def test_a_region_can_lie_beyond_what_is_possible():
    assert beta_binomial_ab(1, 3, 2, 3, rope=Rope(low=-1.5, high=2)).rope.inside == pytest.approx(1.0)
    assert beta_binomial_ab(1, 3, 2, 3, rope=Rope(low=-2, high=-1.5, scale="lift")).rope.above == pytest.approx(1.0)
    far = beta_binomial_ab(100, 1_000, 900, 1_000, rope=Rope(low=-0.1, high=0)).rope
    assert 0.0 < far.inside < 1e-300
    assert far.above == pytest.approx(1.0)


def test_regions_differ_from_comparison_to_comparison():
    rope = Rope(low=[-0.01, -0.1], high=[0.01, 0.1])
    batch = beta_binomial_batch([10, 10], 100, [12, 12], 100, rope=rope)
    assert batch.in_rope[0] == pytest.approx(beta_binomial_ab(10, 100, 12, 100, rope=Rope(low=-0.01, high=0.01)).rope.inside)
    assert batch.in_rope[1] > batch.in_rope[0]


def test_the_bayes_factor_is_a_ratio_of_marginal_likelihoods():
    """Oracle: the two marginal likelihoods by adding up over a grid of the rates, 1e-6."""
    p = (np.arange(4000) + 0.5) / 4000
    like_c, like_t = (stats.binom.pmf(x, n, p) * stats.beta.pdf(p, 2, 3) for x, n in ((5, 40), (14, 50)))
    expected = math.log(like_c.mean() * like_t.mean() / (like_c * like_t / stats.beta.pdf(p, 2, 3)).mean())
    got = beta_binomial_ab(5, 40, 14, 50, prior=BetaPrior(alpha=2, beta=3)).log_bayes_factor
    assert got == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("a", "b"), [(3.0, 5.0), (157.0, 2245.0), (1e6, 2e7), (0.5, 20.0), (1e8, 1e9), (1.0, 11.0)])
def test_one_rates_intervals_hold_their_mass(a, b):
    for interval in (beta_interval(a, b, mass=0.9), beta_hdi(a, b, mass=0.9)):
        assert special.betainc(a, b, interval.high) - special.betainc(a, b, interval.low) == pytest.approx(0.9, abs=1e-8)
    assert special.betainc(a, b, beta_interval(a, b, mass=0.9).low) == pytest.approx(0.05, abs=1e-9)


def test_a_batch_is_its_comparisons_and_flags_an_empty_arm():
    batch = beta_binomial_batch([[3, 0], [5, 2]], [[10, 0], [20, 9]], [[4, 1], [9, 3]], 30)
    assert batch.effect.shape == (2, 2)
    for index in ((0, 0), (1, 0), (1, 1)):
        one = batch.at(index)
        assert one.effect == pytest.approx(batch.effect[index])
        assert batch.unavailable(index) is None
    single = beta_binomial_ab(5, 20, 9, 30)
    assert batch.at((1, 0)).interval.low == pytest.approx(single.interval.low, abs=1e-10)
    assert batch.undefined.tolist() == [[False, True], [False, False]]
    assert np.isnan(batch.prob_treatment_greater[0, 1])
    assert not batch.lift_defined[0, 1]
    with pytest.raises(NotEnoughDataError, match="no units") as caught:
        batch.at((0, 1))
    assert caught.value.code == "empty_arm"


def test_no_comparisons_give_no_posteriors():
    assert beta_binomial_batch([], [], [], []).effect.shape == (0,)


def test_nothing_warns_at_the_extremes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = beta_binomial_ab(0, 10**6, 900_000, 10**6)
        assert got.prob_treatment_greater == pytest.approx(1.0)
        beta_binomial_ab(10**6, 10**6, 10**6, 10**6, prior=BetaPrior(alpha=0.5, beta=0.5))


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: beta_binomial_ab(11, 10, 1, 10), "successes in 0..n"),
        (lambda: beta_binomial_ab(0.5, 10, 1, 10), "whole numbers"),
        (lambda: beta_binomial_ab(1, math.inf, 1, 10), "whole numbers"),
        (lambda: beta_binomial_ab(1, 10, math.nan, 10), "treatment arm"),
        (lambda: beta_binomial_ab(1, 10, 1, 10, mass=95), "mass=0.95"),
        (lambda: beta_interval(0.0, 1.0), "positive and finite"),
        (lambda: beta_interval(1.0, 1.0, mass=1.0), "mass"),
        (lambda: beta_hdi(math.inf, 1.0), "positive and finite"),
        (lambda: beta_hdi(0.5, 0.5), "beta_interval"),
        (lambda: beta_hdi(2.0, 5.0, mass=0.0), "mass"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, rule):
    with pytest.raises(UsageError) as caught:
        call()
    assert rule in str(caught.value)


def test_an_empty_arm_is_refused():
    with pytest.raises(NotEnoughDataError):
        beta_binomial_ab(0, 0, 1, 10)


@pytest.mark.slow
@pytest.mark.parametrize("prior", [BetaPrior(), BetaPrior(alpha=2, beta=30)], ids=str)
def test_rates_drawn_from_the_prior_lie_in_their_intervals_as_often_as_stated(prior):
    """Calibration: 1,200 experiments of 300 units with rates from the prior; exact binomial bounds for intervals and chance."""
    rng, runs = np.random.default_rng(20), 1200
    rate_c, rate_t = (rng.beta(prior.alpha, prior.beta, runs) for _ in range(2))
    batch = beta_binomial_batch(rng.binomial(300, rate_c), 300, rng.binomial(300, rate_t), 300, prior=prior, mass=0.9)
    effect, lift = rate_t - rate_c, rate_t / rate_c - 1
    for truth, low, high in (
        (effect, batch.low, batch.high),
        (effect, batch.hdi_low, batch.hdi_high),
        (lift, batch.lift_low, batch.lift_high),
        (lift, batch.lift_hdi_low, batch.lift_hdi_high),
    ):
        assert stats.binomtest(int(((low <= truth) & (truth <= high)).sum()), runs, 0.9).pvalue > 1e-4
    sure = (batch.prob_treatment_greater > 0.7) & (batch.prob_treatment_greater < 0.9)
    expected = float(batch.prob_treatment_greater[sure].mean())
    assert stats.binomtest(int((effect[sure] > 0).sum()), int(sure.sum()), expected).pvalue > 1e-4
