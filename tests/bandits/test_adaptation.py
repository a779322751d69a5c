"""Updates of a bandit: limits that hold whatever came (AD-17), by property; what is drawn; what the log says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.bandits.adaptation import Known, faded, next_plan
from fairtrial.bandits.plans import Plan, draw, first_plan, propensities
from fairtrial.bandits.readout import BanditLog, fixed_difference, read_bandit
from fairtrial.bandits.state import ArmRewards, BanditState
from fairtrial.errors import DataError, SpecError
from fairtrial.simulation.bandit_runs import World, run_bandit
from fairtrial.spec.bandit import PRESETS, BanditSpec, parse_bandit
from fairtrial.stats.result import Unavailable

ARMS = ["control", "a", "b", "c", "d"]


def spec_of(**fields) -> BanditSpec:
    return parse_bandit({"kind": "bandit", "key": "k", "arms": ARMS[:3], **fields})


@st.composite
def bandits(draw):
    k = draw(st.integers(2, 5))
    floor = draw(st.floats(0.0, 1.0 / k))
    constraints = [{"metric": "m", "max_value": 1.0, "then": draw(st.sampled_from(["floor", "out"])), "confidence": 0.5, "min_trials": 2}]
    spec = parse_bandit(
        {
            "kind": "bandit",
            "key": "k",
            "arms": ARMS[:k],
            "policy": draw(st.sampled_from(["thompson", "top_two", "ucb", "epsilon_greedy"])),
            "min_weight": floor,
            "max_step": draw(st.floats(0.01, 1.0)),
            "min_trials": draw(st.sampled_from([0, 5, 50])),
            "fixed_share": draw(st.floats(0.0, 0.9)),
            "constraints": constraints,
            "drift": {"discount": draw(st.floats(0.3, 1.0)), "window": draw(st.sampled_from([None, 1, 3]))},
        }
    )
    rounds = []
    for _ in range(draw(st.integers(1, 4))):
        counts = draw(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 1)), min_size=k, max_size=k))
        sums = [round(n * rate) for n, rate in counts]
        state = BanditState.from_sums(ARMS[:k], [n for n, _ in counts], sums)
        metrics = {"m": {arm: ArmRewards(n=10, mean=draw(st.sampled_from([0.5, 0.5, 0.5, 1.5])), m2=0.1) for arm in ARMS[:k]}}
        rounds.append((state, metrics))
    return spec, rounds


@settings(max_examples=150, deadline=None)
@given(bandits())
def test_limits_hold_whatever_was_earned(made):
    """AD-17: sums, floors, steps, the hold, and guardrails; a constraint that acted is named."""
    spec, rounds = made
    plan, states = first_plan(spec), []
    for state, metrics in rounds:
        states.append(state)
        before, plan = plan, next_plan(spec, Known(periods=states, metrics=metrics), plan)
        shares = np.array([plan.shares[arm] for arm in spec.arms])
        previous = np.array([before.shares[arm] for arm in spec.arms])
        assert abs(shares.sum() - 1.0) < 1e-9
        assert abs(propensities(spec, plan).sum() - 1.0) < 1e-12
        assert spec.control not in plan.capped
        for arm, share in plan.shares.items():
            cap = plan.capped.get(arm)
            assert share >= (0.0 if cap == "out" else spec.floor - 1e-9)
            if cap is not None:
                assert share == pytest.approx(spec.floor if cap == "floor" else 0.0, abs=1e-9)
                if before.capped.get(arm) is None:
                    assert any(one.constraint == "guardrail" and one.arm == arm for one in plan.acted)
        if plan.capped == before.capped:
            assert np.abs(shares - previous).max() <= spec.step + 1e-9
        total = Known(periods=states, metrics={}).total
        if any(seen.n < spec.trials for arm, seen in zip(spec.arms, total.rewards, strict=True) if arm not in plan.capped):
            assert any(one.constraint == "min_trials" for one in plan.acted)
            if plan.capped == before.capped:
                assert np.allclose(shares, previous)
        assert Plan.from_json(plan.as_json()) == plan


@settings(max_examples=100, deadline=None)
@given(bandits(), st.floats(0, 1), st.floats(0, 1))
def test_what_is_drawn_had_a_chance_and_the_slice_is_even(made, first, second):
    """AD-18: the logged propensity is that of the arm drawn, over the slice and the adaptive part."""
    spec, rounds = made
    plan = next_plan(spec, Known(periods=[rounds[0][0]], metrics=rounds[0][1]), first_plan(spec))
    drawn = draw(spec, plan, (first, second))
    assert drawn.propensity == pytest.approx(propensities(spec, plan)[spec.arms.index(drawn.arm)])
    assert drawn.propensity > 0.0
    assert drawn.fixed == (first < spec.slice)
    assert plan.capped.get(drawn.arm) != "out"


def test_old_rewards_fade_by_their_period():
    old, new = BanditState.from_sums(["x", "y"], [100, 100], [10, 90]), BanditState.from_sums(["x", "y"], [100, 100], [90, 10])
    both = faded([old, new], discount=0.5)
    assert both.pulls.tolist() == [150, 150]
    assert both.means == pytest.approx([(5 + 90) / 150, (45 + 10) / 150])
    assert faded([old, new], window=1) == new
    assert faded([old, new]).pulls.tolist() == [200, 200]


def test_one_value_beyond_a_limit_by_chance_does_not_act():
    """The bound decides: at 0.9 a mean just above the limit is not beyond it, at 0.5 it is."""
    seen = {"m": {"a": ArmRewards(n=100, mean=1.01, m2=99.0)}}
    state = BanditState.from_sums(ARMS[:3], [10, 10, 10], [1, 1, 1])
    for confidence, capped in ((0.9, {}), (0.5, {"a": "floor"})):
        spec = spec_of(constraints=[{"metric": "m", "max_value": 1.0, "confidence": confidence}])
        assert next_plan(spec, Known(periods=[state], metrics=seen), first_plan(spec)).capped == capped
    low = spec_of(constraints=[{"metric": "m", "min_value": 2.0, "then": "out"}])
    assert next_plan(low, Known(periods=[state], metrics=seen), first_plan(low)).capped == {"a": "out"}


def test_presets_are_what_stands_where_nothing_is_said():
    """AD-17: safe moves late and slowly, explore early and far."""
    for name, values in PRESETS.items():
        spec = spec_of(preset=name)
        assert (spec.floor, spec.step, spec.trials, spec.slice) == (
            values["min_weight"],
            values["max_step"],
            values["min_trials"],
            values["fixed_share"],
        )
    assert spec_of(preset="safe", max_step=0.3).step == 0.3
    assert parse_bandit({"kind": "bandit", "key": "k", "arms": [f"a{i}" for i in range(20)], "preset": "safe"}).floor == 0.025


@pytest.mark.parametrize(
    "fields",
    [
        {"arms": ["a"]},
        {"arms": ["a", "a"]},
        {"control": "nobody"},
        {"min_weight": 0.4},
        {"policy": "linucb"},
        {"context": {"x": {"low": 0, "high": 1}}},
        {"context": {"x": {"low": 1, "high": 1}}, "policy": "linucb"},
        {"policy": {"name": "thompson", "epsilon": 0.1}},
        {"policy": "ucb", "reward": {"kind": "mean"}},
        {"reward": {"kind": "proportion", "low": 0}},
        {"reward": {"kind": "mean", "low": 2, "high": 1}},
        {"reward": {"kind": "mean", "low": 2, "zero_after_hours": 1}},
        {"period": {"hours": 1, "days": 1}},
        {"constraints": [{"metric": "m"}]},
        {"stop": {}},
        {"stop": {"probability": 0.9}, "policy": "linucb", "context": {"x": {"low": 0, "high": 1}}},
        {"key": "12"},
        {"unknown": 1},
    ],
)
def test_a_spec_that_breaks_a_rule_is_refused(fields):
    with pytest.raises(SpecError):
        spec_of(**fields)


def test_the_slice_counts_a_unit_once():
    """Errors by unit: the same rows twice, as visits of the same units, say no more than once."""
    rng = np.random.default_rng(1)
    actions, rewards = rng.integers(0, 2, 400), rng.normal(size=400)
    once = BanditLog(
        actions=actions,
        rewards=rewards,
        propensities=np.full((400, 2), 0.5),
        periods=np.ones(400, dtype=np.int64),
        fixed=np.ones(400, dtype=bool),
        units=np.arange(400),
    )
    twice = once.where(np.concatenate([np.arange(400), np.arange(400)]))
    assert fixed_difference(twice, 1, 0).std_error == pytest.approx(fixed_difference(once, 1, 0).std_error)
    with pytest.raises(DataError):
        fixed_difference(once.where(np.array([0])), 1, 0)


def test_a_log_too_short_says_so():
    spec = spec_of()
    empty = BanditLog(
        actions=np.zeros(0, dtype=np.int64),
        rewards=np.zeros(0),
        propensities=np.zeros((0, 3)),
        periods=np.zeros(0, dtype=np.int64),
        fixed=np.zeros(0, dtype=bool),
        units=np.zeros(0, dtype=np.int64),
    )
    found = read_bandit(spec, empty)
    assert all(isinstance(mean, Unavailable) for mean in found.arms.values())
    assert all(isinstance(one.adaptive, Unavailable) and isinstance(one.fixed, Unavailable) for one in found.contrasts)


def test_a_run_is_the_same_from_the_same_seed():
    spec = spec_of(fixed_share=0.1)
    world = World(means={"control": 0.1, "a": 0.2, "b": 0.1})
    first, second = (run_bandit(spec, world, periods=5, decisions=200, rng=np.random.default_rng(3)) for _ in range(2))
    assert first.regret == second.regret
    assert first.plans == second.plans
