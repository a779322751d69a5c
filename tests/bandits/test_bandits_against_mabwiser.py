"""Regret and choices beside those of mabwiser, an independent library (XC-40, AD-18)."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

from fairtrial.bandits import BanditState, LinearState, build_policy

pytestmark = [
    pytest.mark.cate,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

MEANS = np.array([0.10, 0.12, 0.16])
ARMS = ["a", "b", "c"]
BATCHES, SIZE = 20, 50


@pytest.fixture
def theirs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("mabwiser.mab")


def first_batch(rng):
    actions = rng.permutation(np.arange(SIZE) % 3)
    return actions, (rng.random(SIZE) < MEANS[actions]).astype(float)


def our_regret(name, options, seed):
    rng = np.random.default_rng([1, seed])
    policy = build_policy(name, options)
    actions, rewards = first_batch(rng)
    state, lost = BanditState.from_log(ARMS, actions, rewards, np.full(SIZE, 1 / 3)), 0.0
    for _ in range(BATCHES):
        p = policy.propensities(state)
        actions = rng.choice(3, SIZE, p=p)
        lost += (MEANS.max() - MEANS[actions]).sum()
        rewards = (rng.random(SIZE) < MEANS[actions]).astype(float)
        state = state + BanditState.from_log(ARMS, actions, rewards, p[actions])
    return lost


def their_regret(theirs, learning, seed):
    rng = np.random.default_rng([2, seed])
    mab = theirs.MAB(arms=[0, 1, 2], learning_policy=learning, seed=seed)
    actions, rewards = first_batch(rng)
    mab.fit(actions, rewards)
    lost = 0.0
    for _ in range(BATCHES):
        actions = np.array([mab.predict() for _ in range(SIZE)])
        lost += (MEANS.max() - MEANS[actions]).sum()
        mab.partial_fit(actions, (rng.random(SIZE) < MEANS[actions]).astype(float))
    return lost


@pytest.mark.parametrize(
    ("name", "options", "learning"),
    [
        ("thompson", {}, ("ThompsonSampling", {})),
        ("epsilon_greedy", {"epsilon": 0.1}, ("EpsilonGreedy", {"epsilon": 0.1})),
        ("ucb1", {}, ("UCB1", {"alpha": 1.0})),
    ],
)
def test_the_same_policy_loses_as_much_as_theirs_and_an_even_split_more(theirs, name, options, learning):
    """1,000 decisions in batches of 50 after one even batch, 100 runs each. Two-sided Welch at one in a thousand."""
    kind, given = learning
    mine = np.array([our_regret(name, options, seed) for seed in range(100)])
    other = np.array([their_regret(theirs, getattr(theirs.LearningPolicy, kind)(**given), seed) for seed in range(100)])
    even = BATCHES * SIZE * (MEANS.max() - MEANS.mean())
    print(
        f"{name}: ours {mine.mean():.1f} +- {stats.sem(mine):.1f}, mabwiser {other.mean():.1f} +- {stats.sem(other):.1f}, even {even:.1f}"
    )
    assert stats.ttest_ind(mine, other, equal_var=False).pvalue > 0.001
    assert stats.ttest_1samp(mine, even, alternative="less").pvalue < 0.001


def test_linucb_chooses_what_theirs_chooses(theirs):
    """The same rows, alpha and ridge: the same arm at every one of 300 contexts."""
    rng = np.random.default_rng(3)
    contexts = np.column_stack([np.ones(400), rng.normal(size=(400, 2))])
    actions = rng.integers(0, 3, 400)
    rewards = contexts[:, 1] * (actions - 1) + 0.6 * (actions == 1) + rng.normal(0.0, 0.5, 400)
    mab = theirs.MAB(arms=[0, 1, 2], learning_policy=theirs.LearningPolicy.LinUCB(alpha=1.0, l2_lambda=1.0))
    mab.fit(actions, rewards, contexts)
    policy = build_policy("linucb", {"alpha": 1.0, "ridge": 1.0})
    state = LinearState.from_log(ARMS, contexts, actions, rewards)
    asked = np.column_stack([np.ones(300), rng.normal(size=(300, 2))])
    mine = [int(np.argmax(policy.propensities(state.at(row)))) for row in asked]
    assert mine == [int(arm) for arm in mab.predict(asked)]
    assert len(set(mine)) == 3
