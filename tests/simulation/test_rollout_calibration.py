"""Calibration of rollouts: how often a useless feature is called anything else, and what is found in the levels (AD-07, AD-09)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fairtrial.analysis.rollout_days import RolloutRules
from fairtrial.analysis.rollout_run import run_rollout, segments_dict
from fairtrial.decisions.ramp_evidence import RolloutPolicy
from fairtrial.simulation import RolloutConfig, RolloutEffects, simulate_rollout

RUNS = 200
POLICY = RolloutPolicy(min_days=4, max_days=8, monitoring="continuous")


def at_most(events: int, runs: int, rate: float) -> bool:
    """Whether so many events agree with a true rate of at most `rate`, at an exact binomial level of one in a thousand."""
    return bool(stats.binomtest(events, runs, rate, alternative="greater").pvalue > 0.001)


def rules(name: str, seed: int) -> RolloutRules:
    return RolloutRules(name=name, policy=POLICY, seed=seed)


@pytest.mark.slow
def test_daily_looks_together_err_in_five_of_a_hundred_useless_features():
    """AD-07: the sequential boundary over the looks of days 4 to 8, a fixed share."""
    crossed = 0
    for seed in range(RUNS):
        run = run_rollout(RolloutConfig(users=600, days=8, seed=seed, effects=RolloutEffects.none()), rules("useless", seed))
        seen = [day.decision.primary for day in run.days if day.decision.primary is not None]
        crossed += any(one.crossed for one in seen)
    assert at_most(crossed, RUNS, 0.05), crossed


@pytest.mark.slow
def test_a_hidden_regression_is_found_and_seldom_where_there_is_none():
    """AD-09: most are helped by 20%, one level is hurt by 20%; where all are helped alike no level is called harmed."""
    found = false = 0
    runs = 24
    for seed in range(runs):
        mixed = RolloutEffects(task_completion_time={"low": 0.2, "medium": -0.2, "high": -0.2})
        alike = RolloutEffects(task_completion_time=-0.08)
        for effects, hidden in ((mixed, True), (alike, False)):
            run = run_rollout(
                RolloutConfig(users=4_000, days=5, seed=seed, effects=effects),
                RolloutRules(name="levels", policy=RolloutPolicy(min_days=3, max_days=5), seed=seed),
            )
            levels = [] if run.segments is None else segments_dict(run.segments)["levels"]
            harmed = any(row["harm"] == "hidden_regression" and row["level"] == "low" for row in levels)
            found += harmed and hidden
            false += any(row["harm"] == "hidden_regression" for row in levels) and not hidden
    assert found >= 0.8 * runs, found
    assert at_most(false, runs, 0.05), false


def test_equal_seeds_give_equal_bytes_and_other_seeds_do_not():
    """AD-01, AD-03."""
    first, again, other = (simulate_rollout(RolloutConfig(users=500, days=4, seed=seed)).frame() for seed in (5, 5, 6))
    assert first.equals(again)
    assert not first.equals(other)
    assert list(first.columns) == [
        "user_id", "session_id", "day", "variant", "engagement", "task_completion_time", "accepted", "latency_ms", "error",
    ]  # fmt: skip


def test_arms_are_sticky_and_a_raised_share_moves_control_users_only():
    """AD-02, AD-14."""
    frame = simulate_rollout(RolloutConfig(users=2_000, days=4, seed=1, shares=(0.1, 0.25, 0.5, 0.5))).frame()
    arms = frame.groupby(["user_id", "day"])["variant"].first().unstack()
    for before, after in ((1, 2), (2, 3), (3, 4)):
        both = arms[[before, after]].dropna()
        assert not ((both[before] == "treatment") & (both[after] == "control")).any()
    assert (arms[3].dropna().eq("treatment").mean() - 0.5) ** 2 < 16 * 0.25 / len(arms[3].dropna())


def test_the_truth_is_what_the_rows_show():
    """AD-01: ground truth beside the rows; effects by level are those that were asked for."""
    effects = RolloutEffects(task_completion_time={"low": 0.1, "high": -0.2}, error_rate=0.03)
    data = simulate_rollout(RolloutConfig(users=20_000, days=7, seed=3, effects=effects))
    frame = data.frame()
    error = frame.groupby("variant")["error"].agg(["mean", "sum", "count"])
    seen = error.loc["treatment", "mean"] - error.loc["control", "mean"]
    assert seen == pytest.approx(data.truth["error_rate"][""].effect, abs=0.004)
    done = frame[frame["accepted"]]
    times = done.groupby(["engagement", "variant"])["task_completion_time"].mean().unstack()
    lifts = times["treatment"] / times["control"] - 1.0
    assert np.allclose([lifts["low"], lifts["medium"], lifts["high"]], [0.1, 0.0, -0.2], atol=0.03)


@pytest.mark.slow
def test_the_interval_after_a_stop_covers_the_truth():
    """AD-07, III.b: the stagewise interval of the run's last look, whenever it came."""
    missed = read = 0
    high: list[float] = []
    for seed in range(RUNS):
        effects = RolloutEffects(task_completion_time=-0.05)
        run = run_rollout(RolloutConfig(users=700, days=8, seed=seed, effects=effects), rules("useful", seed))
        seen = run.last.primary
        if seen is None or seen.after_stop is None:
            continue
        truth = -run.truth["task_completion_time"][""].effect
        read += 1
        missed += not seen.after_stop.ci_low <= truth <= seen.after_stop.ci_high
        high.append(float(seen.after_stop.median_unbiased > truth))
    assert read > 0.9 * RUNS, read
    assert at_most(missed, read, 0.05), missed
    assert stats.binomtest(int(sum(high)), read, 0.5).pvalue > 0.001, sum(high)


def test_bootstrap_intervals_of_means_agree_with_the_normal_ones():
    """AD-06: within 3 % of the width with 1,000 users and more in each arm."""
    run = run_rollout(
        RolloutConfig(users=3_000, days=4, seed=2), RolloutRules(name="wide", policy=RolloutPolicy(min_days=4, max_days=4), seed=2)
    )
    for metric in run.metrics:
        assert min(metric.n_control, metric.n_treatment) >= 1000
        width = metric.normal_interval.high - metric.normal_interval.low
        assert metric.interval.high - metric.interval.low == pytest.approx(width, rel=0.03), metric.metric
