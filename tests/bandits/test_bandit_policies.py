"""Policies: indices, exploration, linear models, floors, names (IN-32, XC-40)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from fairtrial.bandits import registry
from fairtrial.bandits.allocation import allocate, limit_step, shares_of, with_floor
from fairtrial.bandits.best_arm import thompson_probabilities
from fairtrial.bandits.exploration import epsilon_greedy_probabilities, exp3_log_weights, exp3_probabilities
from fairtrial.bandits.indices import kl_ucb_index, ucb1_index
from fairtrial.bandits.linear import LinearArm, LinearState, linear_posterior, linucb_index, query_posteriors
from fairtrial.bandits.policies import (
    EpsilonGreedy,
    Exp3,
    Fixed,
    Floored,
    LinearThompson,
    LinUcb,
    NormalFamily,
    Thompson,
    TopTwoThompson,
    Ucb1,
    choose,
)
from fairtrial.bandits.regret import pseudo_regret
from fairtrial.bandits.state import BanditState
from fairtrial.errors import DataError, UnknownNameError, UsageError

THREE = BanditState.from_sums(["a", "b", "c"], [10, 15, 5], [4, 9, 1])
LOGGED = BanditState.from_log(["a", "b"], [0, 1, 1, 0], [1.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.25, 0.75])
LINEAR = LinearState.from_log(["a", "b"], [[1, 0.5], [1, -1], [1, 2], [1, 0]], [0, 0, 1, 1], [1.0, 0.2, 0.4, 0.5]).at([1.0, 0.3])
SHARES = st.lists(st.floats(0, 1), min_size=2, max_size=6).filter(lambda p: sum(p) > 0.01).map(lambda p: (np.array(p) / sum(p)).tolist())


def test_the_golden_indices():
    """I.b: pulls [10, 15, 5], sums [4, 9, 1]: UCB1 plays the third arm, epsilon-greedy favours the second."""
    assert ucb1_index(THREE.pulls, THREE.reward_sums) == pytest.approx([1.224766, 1.273419, 1.366396], abs=5e-7)
    assert Ucb1().propensities(THREE).tolist() == [0.0, 0.0, 1.0]
    assert EpsilonGreedy().propensities(THREE) == pytest.approx([0.033333, 0.933333, 0.033333], abs=5e-7)


def test_the_golden_allocation():
    """IN-32: posteriors (5, 15) and (8, 12), floor .1: .218118 and .781882."""
    state = BanditState.from_sums(["control", "treatment"], [18, 18], [4, 7])
    policy = registry.build_policy("thompson_sampling", floor=0.1)
    assert policy.propensities(state) == pytest.approx([0.218118, 0.781882], abs=5e-7)


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 3))
@settings(max_examples=60, deadline=None)
def test_kl_ucb_reaches_exactly_as_far_as_its_level(pulls, mean, c):
    """n KL(mean, q) = ln t + c ln ln t unless q is 1."""
    sums = min(pulls * mean, pulls)
    q = kl_ucb_index([pulls, 10], [sums, 5], c=c)[0]
    t = pulls + 10
    level = math.log(t) + c * math.log(math.log(t))
    m = sums / pulls
    assert m <= q <= 1.0
    if q < 1 - 1e-12:
        reached = pulls * float(special.rel_entr(m, q) + special.rel_entr(1 - m, 1 - q))
        assert reached == pytest.approx(level, rel=1e-6)


def test_kl_ucb_at_rates_of_a_billionth():
    """Oracle: for small rates KL(p, q) = p ln(p/q) + q - p (Poisson), 1e-6."""
    q = kl_ucb_index([1e12, 1e12], [1000, 900])[0]
    assert 1e12 * (1e-9 * math.log(1e-9 / q) + q - 1e-9) == pytest.approx(math.log(2e12), rel=1e-6)


def test_an_arm_never_pulled_comes_first():
    for index in (ucb1_index([4, 0, 2], [4, 0, 1]), kl_ucb_index([4, 0, 2], [4, 0, 1])):
        assert np.argmax(index) == 1
        assert index[1] == np.inf
    assert epsilon_greedy_probabilities([4, 0, 2], [4, 0, 1], epsilon=0.3) == pytest.approx([0.1, 0.8, 0.1])
    assert kl_ucb_index([1, 0], [1, 0])[0] == 1.0


def test_exp3_weights_do_not_overflow():
    p = exp3_probabilities([1e9, 1e9 - 60, 0.0], gamma=0.1)
    assert p == pytest.approx(0.9 * special.softmax([2.0, 0.0, -np.inf]) + 0.1 / 3, rel=1e-12)


def test_exp3_reads_the_logged_propensities():
    assert Exp3(gamma=0.2).propensities(LOGGED) == pytest.approx(exp3_probabilities([2 + 4 / 3, 4.0], gamma=0.2))
    with pytest.raises(DataError, match="propensity of every pull"):
        Exp3().propensities(THREE)


def test_the_linear_posterior_is_bayes_rule():
    """Oracle: adding pulls one at a time through the normal update gives the same mean and covariance."""
    x, y = np.array([[1.0, 0.5], [1, -1], [0.3, 2]]), np.array([1.0, 0.2, -0.4])
    found = linear_posterior(LinearArm.from_pulls(x, y), noise_variance=0.5, ridge=2.0)
    mean, covariance = np.zeros(2), np.eye(2) * 0.25
    for row, reward in zip(x, y, strict=True):
        gain = covariance @ row / (row @ covariance @ row + 0.5)
        mean, covariance = mean + gain * (reward - row @ mean), covariance - np.outer(gain, row @ covariance)
    assert found.mean == pytest.approx(mean, rel=1e-10)
    assert found.covariance == pytest.approx(covariance, rel=1e-10)


def test_contextual_policies_ask_their_models():
    seen = query_posteriors(LINEAR, ridge=1.0)
    assert linucb_index(LINEAR, alpha=2.0) == pytest.approx(seen.mean + 2.0 * seen.sd)
    assert LinUcb(alpha=2.0).propensities(LINEAR).tolist() == np.eye(2)[np.argmax(linucb_index(LINEAR, alpha=2.0))].tolist()
    assert LinearThompson().propensities(LINEAR) == pytest.approx(thompson_probabilities(seen))


@given(SHARES, st.floats(0, 1), st.sampled_from(["mix", "raise"]))
@settings(max_examples=120, deadline=None)
def test_floors_hold_and_shares_sum_to_one(p, fraction, rule):
    floor = fraction / len(p)
    found = with_floor(p, floor=floor, rule=rule)
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    assert found.min() >= floor - 1e-12
    assert (np.argsort(found, kind="stable")[-1] == np.argmax(p)) or found.max() - found[np.argmax(p)] < 1e-9


def test_raising_leaves_arms_above_the_floor_in_proportion():
    assert with_floor([0.01, 0.33, 0.66], floor=0.1, rule="raise") == pytest.approx([0.1, 0.3, 0.6])
    assert with_floor([0.0, 0.11, 0.89], floor=0.1, rule="raise") == pytest.approx([0.1, 0.1, 0.8])
    assert with_floor([0.01, 0.33, 0.66], floor=0.1) == pytest.approx([0.107, 0.331, 0.562])


@given(SHARES, st.floats(0.01, 1))
@settings(max_examples=80, deadline=None)
def test_no_step_is_larger_than_allowed(p, step):
    even = np.full(len(p), 1 / len(p))
    found = limit_step(p, even, max_step=step)
    assert np.abs(found - even).max() <= step + 1e-12
    assert found.sum() == pytest.approx(1.0)
    assert np.abs(found - p).max() <= max(0.0, np.abs(np.array(p) - even).max() - step) + 1e-12


def test_a_floor_survives_a_step():
    found = allocate([0.0, 1.0], floor=0.1, previous=[0.5, 0.5], max_step=0.2)
    assert found == pytest.approx([0.3, 0.7])
    assert allocate([0.0, 1.0], floor=0.1) == pytest.approx([0.1, 0.9])


@pytest.mark.parametrize("name", registry.known_policies())
def test_every_named_policy_answers_with_propensities(name):
    """The registry is complete: each name builds a policy whose answer sums to 1, with a floor under every arm."""
    state = LINEAR if name in {"linucb", "linear_thompson"} else LOGGED
    p = registry.build_policy(name).propensities(state)
    assert p.shape == (2,)
    assert p.sum() == pytest.approx(1.0)
    assert registry.build_policy(name, floor=0.2).propensities(state).min() >= 0.2 - 1e-12


def test_options_come_as_a_spec_gives_them():
    normal = registry.build_policy("thompson", {"family": "normal", "prior_variance": 4.0, "reward_variance": 1.0})
    assert normal == Thompson(family=NormalFamily(prior_variance=4.0, reward_variance=1.0))
    assert normal.propensities(LOGGED).sum() == pytest.approx(1.0)
    jeffreys = registry.build_policy("top_two_thompson", {"prior": [0.5, 0.5], "beta": 0.7})
    assert jeffreys.family.prior == (0.5, 0.5)
    assert registry.build_policy("fixed", {"shares": [0.3, 0.7]}).propensities(LOGGED).tolist() == [0.3, 0.7]


def test_draws_are_repeatable_and_near_the_quadrature():
    exact = Thompson().propensities(THREE)
    drawn = Thompson(draws=40_000, seed=3)
    assert drawn.propensities(THREE) == pytest.approx(exact, abs=4 * math.sqrt(0.25 / 40_000))
    assert drawn.propensities(THREE).tolist() == drawn.propensities(THREE).tolist()
    two = TopTwoThompson(draws=40_000, seed=3).propensities(THREE)
    assert two == pytest.approx(TopTwoThompson().propensities(THREE), abs=0.02)


def test_choices_follow_the_propensities_they_report():
    policy, rng = Floored(policy=Thompson(), floor=0.1), np.random.default_rng(7)
    p = policy.propensities(THREE)
    picked = [choose(policy, THREE, rng=rng) for _ in range(400)]
    counts = [sum(choice.arm == arm for choice in picked) for arm in THREE.arms]
    assert stats.chisquare(counts, p * 400).pvalue > 1e-4
    assert {choice.arm: choice.propensity for choice in picked} == pytest.approx(dict(zip(THREE.arms, p, strict=True)))


def test_regret_counts_gaps_only():
    found = pseudo_regret([0.5, 0.45, 0.1], [1, 0, 2])
    assert found.cumulative == pytest.approx([0.05, 0.05, 0.45])
    assert found.total == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: ucb1_index([1], [1]), UsageError),
        (lambda: ucb1_index([1, -1], [1, 0]), UsageError),
        (lambda: ucb1_index([1, 1], [1, 3]), UsageError),
        (lambda: kl_ucb_index([1, 1], [1, 0], c=-1), UsageError),
        (lambda: epsilon_greedy_probabilities([1, 1], [1, 0], epsilon=2), UsageError),
        (lambda: epsilon_greedy_probabilities([1, 1], [1], epsilon=0.1), UsageError),
        (lambda: epsilon_greedy_probabilities([1, 1], [1, math.nan], epsilon=0.1), UsageError),
        (lambda: exp3_log_weights([1, 2], gamma=0), UsageError),
        (lambda: exp3_log_weights([1, math.inf], gamma=0.1), UsageError),
        (lambda: linear_posterior(LinearArm.empty(2), ridge=0), UsageError),
        (lambda: linear_posterior(LinearArm.empty(2), noise_variance=-1), UsageError),
        (lambda: linucb_index(LINEAR, alpha=-1), UsageError),
        (lambda: linucb_index(LinearState.empty("ab", 2)), UsageError),
        (lambda: linucb_index(LinearState.empty("ab", 2).at([0, 0])), UsageError),
        (lambda: shares_of([0.5, 0.6]), UsageError),
        (lambda: shares_of([1.0]), UsageError),
        (lambda: with_floor([0.5, 0.5], floor=0.6), UsageError),
        (lambda: with_floor([0.5, 0.5], floor=0.1, rule="clip"), UsageError),
        (lambda: limit_step([0.5, 0.5], [0.5, 0.5], max_step=0), UsageError),
        (lambda: limit_step([0.5, 0.5], [0.2, 0.3, 0.5], max_step=0.1), UsageError),
        (lambda: allocate([0.5, 0.5], max_step=0.1), UsageError),
        (lambda: Fixed(shares=(0.5, 0.5)).propensities(THREE), UsageError),
        (lambda: registry.build_policy("thomson"), UnknownNameError),
        (lambda: registry.build_policy("thompson", {"family": "gamma"}), UnknownNameError),
        (lambda: registry.build_policy("thompson", {"family": "normal"}), UsageError),
        (lambda: registry.build_policy("ucb1", {"c": 1}), UnknownNameError),
        (lambda: registry.builds("ucb1")(lambda _: Ucb1()), UsageError),
        (lambda: pseudo_regret([0.5], [0]), UsageError),
        (lambda: pseudo_regret([0.5, 0.4], [2]), UsageError),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error):
    with pytest.raises(error):
        call()
