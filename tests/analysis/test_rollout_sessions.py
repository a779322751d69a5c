"""Sessions of a rollout compared (AD-04, AD-05, AD-06, AD-14): against other libraries, over stages, and by resampling of users."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from fairtrial.analysis.rollout_sessions import bootstrap_stages, combine_stages, session_metric, sessions_of, tail_contrast
from fairtrial.errors import DataError, NotEnoughDataError, UnknownNameError, UsageError
from fairtrial.simulation import RolloutConfig, RolloutEffects, simulate_rollout


@pytest.fixture(scope="module")
def frame():
    """Five days at an even split, in which the feature makes tasks 10% faster."""
    effects = RolloutEffects(task_completion_time=-0.10)
    return simulate_rollout(RolloutConfig(users=900, days=5, seed=11, effects=effects)).frame()


def of(frame, shares=(0.5,) * 5):
    return sessions_of({name: frame[name].to_numpy() for name in frame.columns}, shares)


def by_user(frame, values):
    means = frame.assign(value=values).groupby(["variant", "user_id"])["value"].mean()
    return means["treatment"].to_numpy(), means["control"].to_numpy()


@pytest.mark.parametrize("metric", ["task_completion_time", "latency"])
def test_a_mean_of_one_stage_is_welch_over_users(frame, metric):
    """AD-04: each user counts once; a task that was not accepted counts with 90 seconds."""
    values = frame["latency_ms"] if metric == "latency" else frame["task_completion_time"].where(frame["accepted"], 90.0)
    treatment, control = by_user(frame, values)
    expected = stats.ttest_ind(treatment, control, equal_var=False)
    found = combine_stages(of(frame), metric).contrast
    assert found.effect == pytest.approx(treatment.mean() - control.mean(), rel=1e-12)
    assert found.effect / found.std_error == pytest.approx(expected.statistic, rel=1e-10)
    assert (found.n_control, found.n_treatment) == (control.size, treatment.size)


@pytest.mark.parametrize(("metric", "column"), [("acceptance_rate", "accepted"), ("error_rate", "error")])
def test_a_rate_of_sessions_has_the_error_of_clusters(frame, metric, column):
    """AD-05: a regression of sessions with errors by user, by statsmodels."""
    design = sm.add_constant((frame["variant"] == "treatment").astype(float))
    groups = frame["user_id"].astype("category").cat.codes
    fitted = sm.OLS(frame[column].astype(float), design).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    found = combine_stages(of(frame), metric).contrast
    assert found.effect == pytest.approx(fitted.params.iloc[1], rel=1e-10)
    assert found.std_error == pytest.approx(fitted.bse.iloc[1], rel=5e-3)


def test_a_ramp_is_compared_within_its_stages():
    """AD-14: busy days fall together with a larger share; arms pooled over the ramp would show an effect that is not there."""
    rng = np.random.default_rng(5)
    rows = []
    for day, (share, level) in enumerate([(0.1, 40.0), (0.1, 40.0), (0.5, 60.0), (0.5, 60.0)], start=1):
        for user in range(1_500):
            treated = user < share * 1_500
            rows.append((f"u{user}", day, "treatment" if treated else "control", level + rng.normal(0, 8), 100.0))
    frame = pd.DataFrame(rows, columns=["user_id", "day", "variant", "task_completion_time", "latency_ms"])
    frame["accepted"], frame["error"] = True, False
    combined = combine_stages(of(frame, (0.1, 0.1, 0.5, 0.5)), "task_completion_time")
    treatment, control = by_user(frame, frame["task_completion_time"])
    assert treatment.mean() - control.mean() > 3.0, "the trap is set"
    assert abs(combined.contrast.effect) < 3.0 * combined.contrast.std_error
    assert combined.contrast.std_error < 0.5
    assert list(combined.weights) == [0, 1]
    assert sum(combined.weights.values()) == pytest.approx(1.0)

    parts = [combine_stages(of(frame[frame["day"].isin(days)], (0.1, 0.1, 0.5, 0.5)), "task_completion_time") for days in ((1, 2), (3, 4))]
    precision = np.array([part.contrast.std_error**-2 for part in parts])
    expected = precision @ np.array([part.contrast.effect for part in parts]) / precision.sum()
    assert combined.contrast.effect == pytest.approx(expected, rel=1e-9)


def test_resampled_users_vary_as_the_formula_says_and_seeds_repeat(frame):
    """AD-06: whole users are drawn; the same seed gives the same bytes, another seed others."""
    combined = combine_stages(of(frame), "task_completion_time")
    drawn = [bootstrap_stages(combined, resamples=4_000, rng=np.random.default_rng(seed)).draws for seed in (1, 1, 2)]
    assert drawn[0].tobytes() == drawn[1].tobytes() != drawn[2].tobytes()
    assert drawn[0].std(ddof=1) == pytest.approx(combined.contrast.std_error, rel=0.05)
    assert drawn[0].mean() == pytest.approx(combined.contrast.effect, abs=combined.contrast.std_error / 10)


def test_the_tail_of_latency_is_a_quantile_of_sessions_with_an_error_by_user(frame):
    """AD-05: the quantile is numpy's; its error is that of a bootstrap that draws users one by one."""
    found = tail_contrast(of(frame), 0, resamples=2_000, rng=np.random.default_rng(1))
    arms = dict(tuple(frame.groupby("variant")))
    exact = {arm: np.quantile(rows["latency_ms"], 0.95, method="inverted_cdf") for arm, rows in arms.items()}
    assert (found.control, found.treatment) == (exact["control"], exact["treatment"])
    rng = np.random.default_rng(2)
    spread = 0.0
    for rows in arms.values():
        of_users = [part.to_numpy() for _, part in rows.groupby("user_id")["latency_ms"]]
        draws = []
        for _ in range(600):
            chosen = rng.integers(len(of_users), size=len(of_users))
            draws.append(np.quantile(np.concatenate([of_users[one] for one in chosen]), 0.95, method="inverted_cdf"))
        spread += np.var(draws, ddof=1)
    assert found.std_error == pytest.approx(np.sqrt(spread), rel=0.15)


def test_what_cannot_be_compared_says_why(frame):
    lonely = frame[frame["variant"] == "control"]
    with pytest.raises(NotEnoughDataError, match="two users in each arm"):
        combine_stages(of(lonely), "latency")
    with pytest.raises(NotEnoughDataError, match="two users in each arm"):
        tail_contrast(of(lonely), 0, rng=np.random.default_rng(1))
    with pytest.raises(UnknownNameError, match="latency_p95"):
        combine_stages(of(frame), "latency_p95")
    with pytest.raises(UnknownNameError, match="latancy"):
        session_metric("latancy")
    with pytest.raises(UsageError):
        tail_contrast(of(frame), 0, resamples=5, rng=np.random.default_rng(1))
    still = frame.assign(latency_ms=10.0)
    with pytest.raises(DataError, match="same in every resample"):
        tail_contrast(of(still), 0, rng=np.random.default_rng(1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"variant": "blue"}, "'control' or 'treatment', got 'blue'"),
        ({"day": 6}, "Days must lie in 1..5"),
        ({"day": 0}, "Days must lie in 1..5"),
        ({"latency_ms": np.nan}, "Latency must be a finite number"),
        ({"accepted": True, "task_completion_time": np.nan}, "must have a finite completion time"),
    ],
)
def test_rows_that_break_a_rule_are_refused(frame, change, said):
    broken = frame.head(50).copy()
    for column, value in change.items():
        broken[column] = value
    with pytest.raises(DataError, match=said):
        of(broken)


def test_a_missing_column_and_a_user_in_both_arms_are_refused(frame):
    with pytest.raises(DataError, match="latency_ms"):
        of(frame.drop(columns="latency_ms"))
    torn = frame.head(2_000).copy()
    torn.loc[torn.index[::2], "variant"] = "control"
    torn.loc[torn.index[1::2], "variant"] = "treatment"
    with pytest.raises(DataError, match="one arm throughout a stage"):
        of(torn)
