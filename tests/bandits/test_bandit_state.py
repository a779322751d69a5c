"""What a bandit remembers adds up, whatever the order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.bandits.linear import LinearArm, LinearState
from fairtrial.bandits.state import ArmRewards, BanditState, rewards_of
from fairtrial.errors import DataError, UnknownNameError, UsageError

ARMS = ("a", "b", "c")
PULLS = st.lists(st.tuples(st.integers(0, 2), st.floats(-100, 100), st.floats(0.05, 1)), min_size=1, max_size=25)


def of(pulls):
    return BanditState.from_log(ARMS, *zip(*pulls, strict=True)) if pulls else BanditState.empty(ARMS)


def same(one, other):
    for mine, theirs in zip(one.rewards, other.rewards, strict=True):
        assert mine.n == theirs.n
        assert (mine.mean, mine.m2, mine.inverse_weighted) == pytest.approx(
            (theirs.mean, theirs.m2, theirs.inverse_weighted), rel=1e-9, abs=1e-7
        )


@given(PULLS, st.integers(0, 25))
@settings(max_examples=80, deadline=None)
def test_states_of_parts_add_to_the_state_of_the_whole(pulls, cut):
    whole = of(pulls)
    same(of(pulls[:cut]) + of(pulls[cut:]), whole)
    one_by_one = BanditState.empty(ARMS)
    for arm, reward, propensity in pulls:
        one_by_one = one_by_one.observe(ARMS[arm], reward, propensity=propensity)
    same(one_by_one, whole)


def test_moments_keep_their_digits_at_a_large_offset():
    values = 1e9 + np.arange(10.0)
    state = BanditState.from_log(ARMS, [0] * 10, values) + BanditState.from_log(ARMS, [0] * 10, values)
    assert state.rewards[0].m2 == pytest.approx(2 * 82.5, rel=1e-9)


def test_propensities_that_were_not_kept_stay_unknown():
    state = BanditState.empty(ARMS).observe("a", 1.0).observe("b", 1.0, propensity=0.5)
    assert [arm.inverse_weighted for arm in state.rewards] == [None, 2.0, 0.0]
    assert (state + state).rewards[0].inverse_weighted is None
    unknown = ArmRewards(inverse_weighted=None)
    assert (unknown + ArmRewards()).inverse_weighted is None
    assert (ArmRewards() + unknown).inverse_weighted is None


def test_sums_are_a_state_of_zeros_and_ones():
    state = BanditState.from_sums(ARMS, [10, 0, 4], [4, 0, 4])
    assert state.pulls.tolist() == [10, 0, 4]
    assert state.reward_sums == pytest.approx([4, 0, 4])
    assert state.rewards[0].m2 == pytest.approx(2.4)


def test_linear_states_add():
    rng = np.random.default_rng(1)
    x, y, a = rng.normal(size=(30, 2)), rng.normal(size=30), rng.integers(0, 3, 30)
    whole = LinearState.from_log(ARMS, x, a, y)
    parts = LinearState.from_log(ARMS, x[:7], a[:7], y[:7]) + LinearState.from_log(ARMS, x[7:], a[7:], y[7:])
    for mine, theirs in zip(parts.models, whole.models, strict=True):
        assert mine.n == theirs.n
        assert mine.gram == pytest.approx(theirs.gram)
        assert mine.response == pytest.approx(theirs.response)


TWO = LinearArm.empty(2)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: ArmRewards(n=-1), DataError),
        (lambda: ArmRewards(n=1, mean=math.nan), DataError),
        (lambda: ArmRewards(n=2, m2=-1.0), DataError),
        (lambda: ArmRewards(mean=1.0), DataError),
        (lambda: BanditState.empty(["a"]), UsageError),
        (lambda: BanditState.empty(["a", "a"]), UsageError),
        (lambda: BanditState(arms=("a", "b"), rewards=(ArmRewards(),)), UsageError),
        (lambda: BanditState.empty("ab") + BanditState.empty("ac"), UsageError),
        (lambda: BanditState.empty("ab").observe("c", 1.0), UnknownNameError),
        (lambda: BanditState.empty("ab").observe("a", 1.0, propensity=0.0), UsageError),
        (lambda: BanditState.empty("ab").observe("a", math.inf), DataError),
        (lambda: BanditState.from_sums("ab", [1], [1, 1]), UsageError),
        (lambda: BanditState.from_sums("ab", [1, 1], [2, 0]), UsageError),
        (lambda: BanditState.from_log("ab", [0, 2], [1, 1]), UsageError),
        (lambda: BanditState.from_log("ab", [0, 0.5], [1, 1]), UsageError),
        (lambda: BanditState.from_log("ab", [], []), UsageError),
        (lambda: BanditState.from_log("ab", [0, 1], [1]), UsageError),
        (lambda: BanditState.from_log("ab", [0, 1], [1, 1], [0.5]), UsageError),
        (lambda: BanditState.from_log("ab", [0, 1], [1, 1], [0.5, 1.5]), UsageError),
        (lambda: rewards_of([[1.0]]), DataError),
        (lambda: LinearArm(n=0, gram=np.zeros((2, 3)), response=np.zeros(2)), UsageError),
        (lambda: LinearArm(n=-1, gram=np.zeros((2, 2)), response=np.zeros(2)), DataError),
        (lambda: LinearArm.from_pulls([[1.0]], [1.0, 2.0]), UsageError),
        (lambda: TWO + LinearArm.empty(3), UsageError),
        (lambda: LinearState(arms=("a", "b"), models=(TWO,)), UsageError),
        (lambda: LinearState(arms=("a", "b"), models=(TWO, LinearArm.empty(3))), UsageError),
        (lambda: LinearState.from_log("ab", [[1.0]], [0, 1], [1.0, 2.0]), UsageError),
        (lambda: LinearState.empty("ab", 2) + LinearState.empty("ac", 2), UsageError),
        (lambda: LinearState.empty("ab", 2).at([1.0]), UsageError),
        (lambda: LinearState.empty("ab", 2).at([1.0, math.nan]), UsageError),
    ],
)
def test_what_breaks_a_rule_is_refused(call, error):
    with pytest.raises(error):
        call()
