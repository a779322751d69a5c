"""The probability to be best, by quadrature, in closed form and by draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from fairtrial.bandits.best_arm import (
    thompson_probabilities,
    thompson_probabilities_by_draws,
    top_two_from_probabilities,
    top_two_probabilities,
)
from fairtrial.bandits.posteriors import BetaPosteriors, NormalPosteriors, beta_posteriors, normal_posteriors
from fairtrial.bandits.state import ArmRewards, BanditState
from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.bayes.best_arm import best_mean, best_rate


def betas(*pairs):
    a, b = np.array(pairs, dtype=float).T
    return BetaPosteriors(a=a, b=b)


def normals(mean, sd):
    return NormalPosteriors(mean=np.array(mean, dtype=float), sd=np.array(sd, dtype=float))


@pytest.mark.parametrize(
    ("mean", "sd"),
    [([0, 0.5], [0.4, 0.4]), ([0, 37], [0.6, 0.8]), ([0, 1e-6], [1e-6, 1]), ([1e9, 1e9 + 1], [1, 2]), ([0, 1], [1e-9, 1e9])],
)
def test_two_normal_arms_have_a_closed_form(mean, sd):
    """Phi(difference / root of the summed variances), 1e-9; also at 5e-300 and over scales of 1e18."""
    z = (mean[1] - mean[0]) / math.hypot(*sd)
    assert thompson_probabilities(normals(mean, sd)) == pytest.approx([special.ndtr(-z), special.ndtr(z)], rel=1e-9)


def closed_form(a1, b1, a2, b2):
    """P(second > first) for whole second parameters (Miller 2015, equation 6), summed in logarithms."""
    i = np.arange(a2)
    terms = special.betaln(a1 + i, b1 + b2) - np.log(b2 + i) - special.betaln(1 + i, b2) - special.betaln(a1, b1)
    return float(np.exp(special.logsumexp(terms)))


@pytest.mark.parametrize(("first", "second"), [((101, 901), (106, 896)), ((50, 50), (80, 20)), ((1, 1), (3, 1)), ((2000, 3000), (40, 900))])
def test_two_beta_arms_have_a_closed_form(first, second):
    p = thompson_probabilities(betas(first, second))
    assert p[1] == pytest.approx(closed_form(*first, *second), rel=1e-9)


@pytest.mark.parametrize("pairs", [[(0.5, 0.5), (3.5, 1.5), (1.5, 2.5)], [(0.2, 5), (0.3, 9), (1, 8)], [(2.3, 7.1), (4.4, 9.8), (40, 90)]])
def test_three_beta_arms_against_numerical_integration(pairs):
    """Oracle: scipy.integrate.quad of f_i prod F_j over probabilities of the arm itself, 1e-6."""

    def one(i):
        mine, others = stats.beta(*pairs[i]), [stats.beta(*pair) for j, pair in enumerate(pairs) if j != i]
        return integrate.quad(lambda u: math.prod(other.cdf(mine.ppf(u)) for other in others), 0, 1, limit=400, epsabs=1e-11)[0]

    assert thompson_probabilities(betas(*pairs)) == pytest.approx([one(i) for i in range(3)], rel=1e-6)


@pytest.mark.parametrize(("p", "q"), [(0.1, 0.1000001), (1e-9, 1.2e-9), (0.5, 0.500001)])
def test_a_trillion_pulls_a_side_are_normal(p, q):
    """Oracle: the normal limit, 2% (skewness at 1,000 successes), 1e-5 elsewhere."""
    n = 1e12
    z = (q - p) / math.sqrt((p * (1 - p) + q * (1 - q)) / n)
    found = thompson_probabilities(betas((p * n, n - p * n), (q * n, n - q * n)))[0]
    assert found == pytest.approx(special.ndtr(-z), rel=0.02 if p < 1e-6 else 1e-5)


def test_a_hopeless_arm_keeps_a_share_in_logarithms():
    """P = 1000 B(1000, 1001) = e^-1382; among the hopeless, top-two still tells the better one."""
    p = top_two_probabilities(betas((1000, 1), (1, 1000), (1, 2000)))
    assert p[:2] == pytest.approx([0.5, 0.5])
    assert 0 < p[2] < 1e-200


@given(st.lists(st.tuples(st.floats(0.3, 300), st.floats(0.3, 300)), min_size=2, max_size=6))
@settings(max_examples=40, deadline=None)
def test_probabilities_sum_to_one_and_mirror(pairs):
    """Exchanging successes and failures asks for the worst arm; of two arms that is the other one."""
    p = thompson_probabilities(betas(*pairs))
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    two = thompson_probabilities(betas(*pairs[:2]))
    mirrored = thompson_probabilities(betas(*[(b, a) for a, b in pairs[:2]]))
    assert mirrored == pytest.approx(two[::-1], rel=1e-6, abs=1e-12)


def test_top_two_is_russos_formula_and_its_game():
    """Oracles: the formula on the probabilities, 1e-12; 200,000 played rounds, four standard errors."""
    posteriors, beta = betas((2, 2), (3, 2), (2, 4)), 0.6
    p = thompson_probabilities(posteriors)
    formula = [beta * p[i] + (1 - beta) * sum(p[j] * p[i] / (1 - p[j]) for j in range(3) if j != i) for i in range(3)]
    found = top_two_probabilities(posteriors, beta=beta)
    assert found == pytest.approx(formula, rel=1e-12)
    assert top_two_from_probabilities(p, beta=beta) == pytest.approx(formula, rel=1e-12)
    assert top_two_probabilities(posteriors, beta=1.0) == pytest.approx(p)
    rng = np.random.default_rng(4)
    leader = rng.choice(3, 200_000, p=p)
    second = np.array([rng.choice(3, 200_000, p=np.where(np.arange(3) == j, 0, p) / (1 - p[j])) for j in range(3)])[
        leader, np.arange(200_000)
    ]
    played = np.where(rng.random(200_000) < beta, leader, second)
    assert np.bincount(played, minlength=3) / 200_000 == pytest.approx(found, abs=4 * math.sqrt(0.25 / 200_000))


@pytest.mark.parametrize("posteriors", [betas((2, 2), (3, 2), (2, 4)), normals([0, 0.2, 0.1], [1, 1, 2])], ids=["beta", "normal"])
def test_draws_agree_with_quadrature(posteriors):
    """100,000 draws, four standard errors; the same generator gives the same shares."""
    draws = thompson_probabilities_by_draws(posteriors, rng=np.random.default_rng(1), draws=100_000)
    assert draws == pytest.approx(thompson_probabilities(posteriors), abs=4 * math.sqrt(0.25 / 100_000))
    assert draws.tolist() == thompson_probabilities_by_draws(posteriors, rng=np.random.default_rng(1), draws=100_000).tolist()


def test_many_bandits_are_drawn_at_once():
    many = BetaPosteriors(a=np.full((4, 5, 2), 3.0), b=np.tile([9.0, 2.0], (4, 5, 1)))
    p = thompson_probabilities_by_draws(many, rng=np.random.default_rng(2), draws=20_000)
    assert p.shape == (4, 5, 2)
    assert p.sum(axis=-1) == pytest.approx(np.ones((4, 5)))
    assert p[..., 1] == pytest.approx(np.full((4, 5), thompson_probabilities(betas((3, 9), (3, 2)))[1]), abs=0.01)


def test_normal_posteriors_weigh_prior_and_data():
    """Source: Gelman et al. (2013), equations 2.11 and 2.12, written as precisions; 1e-12."""
    state = BanditState.from_log("ab", [0, 0, 0, 1, 1], [1.0, 2.0, 4.0, -1.0, 3.0])
    found = normal_posteriors(state, prior_mean=1.0, prior_variance=4.0)
    s2 = (((np.array([1, 2, 4]) - 7 / 3) ** 2).sum() + 8) / 3
    precision = 1 / 4 + np.array([3, 2]) / s2
    assert found.mean == pytest.approx((1 / 4 + np.array([7.0, 2.0]) / s2) / precision, rel=1e-12)
    assert found.sd**2 == pytest.approx(1 / precision, rel=1e-12)


def test_beta_posteriors_of_an_empty_state_are_the_prior():
    found = beta_posteriors(BanditState.empty("abc"), prior=(0.5, 2.0))
    assert (found.a.tolist(), found.b.tolist()) == ([0.5] * 3, [2.0] * 3)
    assert found.mean == pytest.approx([0.2] * 3)


CONSTANT = BanditState(arms=("a", "b"), rewards=(ArmRewards(n=3, mean=2.0), ArmRewards(n=3, mean=1.0)))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: betas((0, 1), (1, 1)), UsageError),
        (lambda: BetaPosteriors(a=np.ones(2), b=np.ones(3)), UsageError),
        (lambda: normals([0, 1], [1, 0]), UsageError),
        (lambda: NormalPosteriors(mean=np.ones(2), sd=np.ones(3)), UsageError),
        (lambda: thompson_probabilities(betas((1, 1))), UsageError),
        (lambda: thompson_probabilities(normals(np.zeros(65), np.ones(65))), UsageError),
        (lambda: thompson_probabilities(normals(np.zeros((2, 2)), np.ones((2, 2)))), UsageError),
        (lambda: thompson_probabilities_by_draws(betas((1, 1)), rng=np.random.default_rng(0)), UsageError),
        (lambda: thompson_probabilities_by_draws(betas((1, 1), (1, 1)), rng=np.random.default_rng(0), draws=0), UsageError),
        (lambda: top_two_probabilities(betas((1, 1), (1, 1)), beta=0.0), UsageError),
        (lambda: top_two_from_probabilities([1.0, 0.0]), UsageError),
        (lambda: top_two_from_probabilities([1.5, -0.5]), UsageError),
        (lambda: beta_posteriors(CONSTANT), DataError),
        (lambda: beta_posteriors(BanditState.empty("ab"), prior=(0.0, 1.0)), UsageError),
        (lambda: normal_posteriors(CONSTANT, prior_variance=0.0), UsageError),
        (lambda: normal_posteriors(CONSTANT, prior_variance=1.0, reward_variance=-1.0), UsageError),
        (lambda: normal_posteriors(CONSTANT, prior_variance=1.0), DataError),
        (lambda: normal_posteriors(BanditState.empty("ab"), prior_variance=1.0), NotEnoughDataError),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.slow
def test_top_two_errs_less_on_the_best_arm_than_equal_shares_and_thompson_loses_less_than_both():
    """Russo (2020): ten arms, eight at .10, then .15 and .20; 1,500 pulls in 15 batches, 1,000 runs.

    Measured: the wrong arm is called best in 5% of the runs with top-two and in 15% with equal shares; the
    regret is 71 rewards with Thompson sampling, 87 with top-two, 128 with equal shares.
    """
    true, runs = np.array([0.1] * 8 + [0.15, 0.2]), 1000

    def play(want, seed):
        rng = np.random.default_rng(seed)
        won, pulled = np.zeros((runs, 10)), np.zeros((runs, 10))
        for _ in range(15):
            best = thompson_probabilities_by_draws(BetaPosteriors(a=1 + won, b=1 + pulled - won), rng=rng, draws=100)
            pulls = rng.multinomial(100, want((best + 1e-3) / 1.01))
            pulled, won = pulled + pulls, won + rng.binomial(pulls, true)
        wrong = int((np.argmax(won / np.maximum(pulled, 1.0), axis=1) != 9).sum())
        return wrong, float((pulled * (0.2 - true)).sum()) / runs

    two, two_regret = play(top_two_from_probabilities, 1)
    equal, equal_regret = play(lambda p: np.full(p.shape, 0.1), 2)
    _, thompson_regret = play(lambda p: p, 3)
    assert stats.fisher_exact([[two, runs - two], [equal, runs - equal]], alternative="less").pvalue < 1e-6
    assert thompson_regret < two_regret < equal_regret


@settings(max_examples=40, deadline=None)
@given(shapes=st.lists(st.tuples(st.floats(0.6, 1e5), st.floats(0.6, 1e5)), min_size=2, max_size=5))
def test_the_two_computations_of_the_best_arm_agree_where_both_have_digits(shapes):
    """That of reports and that of bandits: one number, two purposes."""
    p = thompson_probabilities(betas(*shapes))
    reported = best_rate(*np.array(shapes).T).prob_best
    np.testing.assert_allclose(p, reported, rtol=1e-8, atol=1e-10)


def test_only_the_bandits_computation_has_digits_left_for_a_hopeless_arm():
    """Why there are two: in closed form Phi(-40 / sqrt 2) = 2.7e-176, which the reports' sum misses by a fifth."""
    exact = special.ndtr(-40.0 / math.sqrt(2.0))
    assert thompson_probabilities(normals([0.0, 40.0], [1.0, 1.0]))[0] == pytest.approx(exact, rel=1e-9, abs=0.0)
    assert best_mean([0.0, 40.0], [1.0, 1.0]).prob_best[0] != pytest.approx(exact, rel=0.1, abs=0.0)
