"""Which of many arms is best."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from fairtrial.errors import UsageError
from fairtrial.stats.bayes.best_arm import best_event_rate, best_mean, best_rate
from fairtrial.stats.bayes.beta_binomial import beta_binomial_ab
from fairtrial.stats.bayes.gamma_poisson import gamma_poisson_ab
from fairtrial.stats.bayes.normal_posterior import normal_posterior
from fairtrial.stats.bayes.priors import NormalPrior

RATES = st.lists(st.tuples(st.floats(0.5, 500), st.floats(0.5, 5000)), min_size=2, max_size=6)


@pytest.mark.parametrize("counts", [(3, 20, 9, 25), (500, 10_000, 560, 10_000), (0, 40, 3, 30)])
def test_of_two_rates_the_best_is_the_one_that_wins(counts):
    """Against the comparison of two, computed otherwise: 1e-10."""
    got = beta_binomial_ab(*counts)
    x_c, n_c, x_t, n_t = counts
    best = best_rate([1 + x_c, 1 + x_t], [1 + n_c - x_c, 1 + n_t - x_t])
    assert best.prob_best == pytest.approx([got.prob_control_greater, got.prob_treatment_greater], abs=1e-10)
    assert best.expected_loss == pytest.approx([got.surplus, got.shortfall], abs=1e-11)


def test_of_two_event_rates_the_best_is_the_one_that_wins():
    got = gamma_poisson_ab(30, 100.0, 42, 110.0)
    best = best_event_rate([31, 43], [101, 111])
    assert best.prob_best[1] == pytest.approx(got.prob_treatment_greater, abs=1e-10)
    assert best.expected_loss == pytest.approx([got.surplus, got.shortfall], abs=1e-11)
    assert best_event_rate([31, 43], [101, 111], direction="decrease").prob_best[0] == pytest.approx(got.prob_treatment_greater, abs=1e-10)


def test_of_two_means_the_best_is_the_one_that_wins():
    difference = normal_posterior(0.3, math.hypot(0.2, 0.5), prior=NormalPrior(sd=None))
    best = best_mean([1.0, 1.3], [0.2, 0.5])
    assert best.prob_best[1] == pytest.approx(difference.prob_positive.item(), abs=1e-12)
    assert best.expected_loss == pytest.approx([difference.surplus.item(), difference.shortfall.item()], abs=1e-12)
    least = best_mean([1.0, 1.3], [0.2, 0.5], direction="decrease")
    assert least.prob_best[0] == pytest.approx(best.prob_best[1], abs=1e-12)
    assert least.expected_best == pytest.approx(1.0 - difference.shortfall.item(), abs=1e-12)


def test_equal_arms_share_the_chance():
    """Expected maximum of three standard normals is 3 / (2 sqrt(pi)) (Jones 1948, Annals of Mathematical Statistics 19, 424-427)."""
    best = best_mean([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    assert best.prob_best == pytest.approx([1 / 3] * 3, abs=1e-12)
    assert best.expected_best == pytest.approx(1.5 / math.sqrt(math.pi), abs=1e-11)


@given(arms=RATES)
@settings(max_examples=25, deadline=None)
def test_the_best_and_the_worst_mirror_each_other(arms):
    alpha, beta = zip(*arms, strict=True)
    best, worst = best_rate(alpha, beta), best_rate(beta, alpha, direction="decrease")
    assert best.prob_best.sum() == pytest.approx(1.0, abs=1e-12)
    assert best.prob_best == pytest.approx(worst.prob_best, abs=1e-9)
    assert best.expected_loss == pytest.approx(worst.expected_loss, abs=1e-9)
    assert best.expected_best == pytest.approx(1 - worst.expected_best, abs=1e-9)
    assert best.mean + best.expected_loss == pytest.approx(np.full(len(arms), best.expected_best), abs=1e-9)


def test_many_arms_of_unlike_widths_agree_with_draws():
    """Ten arms, 400,000 draws, four standard errors."""
    rng = np.random.default_rng(2)
    alpha, beta = rng.uniform(1, 400, 10), rng.uniform(500, 9000, 10)
    best = best_rate(alpha, beta)
    draws = rng.beta(alpha, beta, (400_000, 10))
    share = np.bincount(draws.argmax(axis=1), minlength=10) / 400_000
    assert np.abs(share - best.prob_best).max() < 4 * 0.5 / math.sqrt(400_000)
    assert best.expected_best == pytest.approx(draws.max(axis=1).mean(), abs=4 * draws.max(axis=1).std() / math.sqrt(400_000))


def test_large_shapes_meet_the_normal_distribution():
    """a = 1e9 and 1e12: means and sds of the betas, as normals; skewness leaves 1e-5."""
    for size in (1e9, 1e12):
        alpha = size * np.array([1.0, 1.0 + 1.0 / math.sqrt(size)])
        beta = 20 * size - alpha
        mean, sd = alpha / (20 * size), np.sqrt(alpha * beta / (20 * size) ** 3)
        assert best_rate(alpha, beta).prob_best == pytest.approx(best_mean(mean, sd).prob_best, abs=2e-5)
        assert best_event_rate(alpha, [20 * size] * 2).prob_best[1] == pytest.approx(special.ndtr(1 / math.sqrt(2)), abs=2e-5)


def test_the_density_of_small_shapes_is_whole():
    """Shapes below 10 take the other branch of Stirling's remainder: P(best) of (0.5, 0.5) against itself shifted, by SciPy's quantiles."""
    best = best_rate([0.5, 3.0], [0.5, 1.5])
    u = (np.arange(200_000) + 0.5) / 200_000
    assert best.prob_best[1] == pytest.approx(stats.beta.cdf(stats.beta.ppf(u, 3.0, 1.5), 0.5, 0.5).mean(), abs=1e-5)


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: best_rate([1.0], [1.0]), "length >= 2"),
        (lambda: best_rate([1.0, 2.0], [1.0]), "length >= 2"),
        (lambda: best_rate([1.0, 0.0], [1.0, 1.0]), "positive and finite"),
        (lambda: best_event_rate([1.0, math.nan], [1.0, 1.0]), "positive and finite"),
        (lambda: best_mean([0.0, math.inf], [1.0, 1.0]), "finite means"),
        (lambda: best_mean([0.0, 0.0], [1.0, 0.0]), "sds > 0"),
        (lambda: best_mean([0.0, 0.0], [1.0, 1.0], direction="up"), "direction"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, rule):
    with pytest.raises(UsageError) as caught:
        call()
    assert rule in str(caught.value)
