"""Bandits as the service runs them, over and over (XC-40, AD-18): what their intervals cover and what they lose.

A run is `run_bandit`: the service's own plans, propensities and slice. Bounds are exact binomial ones.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fairtrial.bandits.readout import read_bandit
from fairtrial.simulation.bandit_runs import World, run_bandit
from fairtrial.spec.bandit import parse_bandit
from fairtrial.stats.result import Unavailable

pytestmark = pytest.mark.slow

RUNS = 1_000
LEVEL = 0.001
ARMS = ("control", "a", "b")


def spec_of(policy: str, **fields):
    return parse_bandit({"kind": "bandit", "key": "k", "arms": list(ARMS), "policy": policy, "fixed_share": 0.2, **fields})


def share_agrees(hits: int, runs: int, share: float) -> bool:
    """Whether so many hits agree with a true share, two-sided, at an exact level of one in a thousand."""
    return bool(stats.binomtest(hits, runs, share).pvalue > LEVEL)


def covered(spec, world, truth, *, readings, periods=8, decisions=400, runs=RUNS):
    """Runs whose interval of `a` less `control` holds the truth, by reading, and those that gave none."""
    hits, silent = dict.fromkeys(readings, 0), dict.fromkeys(readings, 0)
    for seed in range(runs):
        run = run_bandit(spec, world, periods=periods, decisions=decisions, rng=np.random.default_rng([7, seed]))
        (contrast,) = [one for one in read_bandit(spec, run.log).contrasts if one.arm == "a"]
        for name in readings:
            found = getattr(contrast, name)
            if isinstance(found, Unavailable):
                silent[name] += 1
            else:
                hits[name] += not found.interval.excludes(truth(run) if callable(truth) else truth)
    assert not any(silent.values()), silent
    return hits


@pytest.mark.parametrize("policy", ["thompson", "top_two", "ucb", "epsilon_greedy"])
@pytest.mark.parametrize("gap", [0.0, 0.08])
def test_every_reading_covers_the_truth_in_95_of_100_runs(policy, gap):
    """Adaptation, floor, step and slice do not bias what is read, with and without an effect."""
    world = World(means={"control": 0.2, "a": 0.2 + gap, "b": 0.2})
    hits = covered(spec_of(policy), world, gap, readings=("adaptive", "over_time", "fixed"))
    for name, count in hits.items():
        assert share_agrees(count, RUNS, 0.95), (name, count)


def test_rewards_that_come_late_and_better_days_for_all_spare_every_reading():
    """Weekends are better for every arm, and rewards are known two periods late."""
    world = World(
        means={"control": 0.2, "a": 0.26, "b": 0.2},
        change=lambda period: dict.fromkeys(ARMS, 0.15 if period % 7 in (6, 0) else 0.0),
        late_periods=2,
    )
    hits = covered(spec_of("thompson"), world, 0.06, readings=("adaptive", "over_time", "fixed"))
    for name, count in hits.items():
        assert share_agrees(count, RUNS, 0.95), (name, hits)


def test_an_effect_that_fades_is_averaged_over_the_decisions_and_plain_means_are_not():
    """The reading `over_time` covers the mean effect of all decisions; the plain difference of an adaptive log does not."""
    effects = np.array([0.20, 0.16, 0.12, 0.08, 0.04, 0.0, 0.0, 0.0])
    world = World(
        means={"control": 0.2, "a": 0.2, "b": 0.2},
        change=lambda period: {"a": float(effects[period - 1])} | dict.fromkeys(("control", "b"), 0.06 * period),
    )
    truth = float(effects.mean() - 0.06 * np.arange(1, 9).mean())
    spec = spec_of("thompson", drift={"window": 2})
    hits = covered(spec, world, truth, readings=("over_time",))
    assert share_agrees(hits["over_time"], RUNS, 0.95), hits
    plain = 0
    for seed in range(300):
        log = run_bandit(spec, world, periods=8, decisions=400, rng=np.random.default_rng([7, seed])).log
        arms = [log.rewards[log.actions == arm] for arm in (1, 0)]
        error = np.sqrt(sum(arm.var(ddof=1) / arm.size for arm in arms))
        plain += abs(arms[0].mean() - arms[1].mean() - truth) <= 1.96 * error
    assert not share_agrees(int(plain), 300, 0.95), plain


def test_wrong_propensities_would_be_seen():
    """The check can fail: propensities of an even split, logged in place of those that were used, miss the truth."""
    world = World(
        means=dict.fromkeys(ARMS, 0.2),
        change=lambda period: dict.fromkeys(ARMS, 0.07 * period) | {"a": 0.12 + 0.07 * period},
    )
    spec = spec_of("thompson", preset="explore")
    missed = 0
    for seed in range(60):
        log = run_bandit(spec, world, periods=8, decisions=400, rng=np.random.default_rng([9, seed])).log
        log.propensities[:] = 1.0 / len(ARMS)
        (contrast,) = [one for one in read_bandit(spec, log).contrasts if one.arm == "a"]
        missed += isinstance(contrast.over_time, Unavailable) or contrast.over_time.interval.excludes(0.12)
    assert missed > 20, missed


@pytest.mark.parametrize("policy", ["thompson", "top_two", "ucb", "epsilon_greedy"])
def test_a_bandit_loses_less_than_a_fixed_split(policy):
    """Mean regret over runs, against the even split's exact one, by a one-sided t-test; limits have their price, shown as a bound."""
    means = {"control": 0.10, "a": 0.16, "b": 0.10}
    spec = spec_of(policy)
    regrets = np.array(
        [run_bandit(spec, World(means=means), periods=10, decisions=500, rng=np.random.default_rng([3, seed])).regret for seed in range(60)]
    )
    even = 10 * 500 * 0.06 * 2 / 3
    assert stats.ttest_1samp(regrets, even, alternative="less").pvalue < LEVEL
    slice_alone = 10 * 500 * spec.slice * 0.06 * 2 / 3
    assert regrets.min() > 0.8 * slice_alone, "nobody loses less than the slice that is split evenly"
