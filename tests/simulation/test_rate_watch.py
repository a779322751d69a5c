"""Runs of a watched rate: false stops within the budget, and how soon a change is found (IV.b)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairtrial.errors import UsageError
from fairtrial.simulation.rate_watch import first_alarms, log_e_value_by_recursion
from fairtrial.stats.sequential.change import rate_change_log_e_value

WINDOWS = 1_344
UNLIKELY = 1e-4


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), limit=st.sampled_from([0.005, 0.01, 0.05, 0.3]), factor=st.floats(0.3, 1.5), windows=st.integers(0, 200))
def test_the_recursion_is_the_mean_over_change_points(seed, limit, factor, windows):
    """Two roads to M: the sum over change points, and Shiryaev and Roberts' recursion under the mixture."""
    rng = np.random.default_rng(seed)
    trials = rng.integers(0, 600, windows)
    counts = rng.binomial(trials, limit * factor)
    direct = rate_change_log_e_value(counts, trials, limit=limit, planned_windows=WINDOWS)
    assert log_e_value_by_recursion(counts, trials, limit=limit, planned_windows=WINDOWS) == pytest.approx(direct, rel=1e-3, abs=1e-3)


def watched(rate, per_check, *, limit, alpha, runs, seed, checks_per_window=3):
    rates = np.broadcast_to(rate, per_check.shape)
    return first_alarms(
        rates,
        per_check,
        checks_per_window=checks_per_window,
        limit=limit,
        alpha=alpha,
        planned_windows=WINDOWS,
        runs=runs,
        rng=np.random.default_rng(seed),
    )


def test_alarms_are_those_of_the_test_itself():
    """A few runs, check by check, against `rate_change_log_e_value`."""
    rng = np.random.default_rng(8)
    per_check = rng.integers(20, 60, 60)
    rates = np.r_[np.full(30, 0.01), np.full(30, 0.08)]
    runs, level = 6, np.log(1 / 0.01)
    alarms = first_alarms(
        rates, per_check, checks_per_window=3, limit=0.02, alpha=0.01, planned_windows=20, runs=runs, rng=np.random.default_rng(9)
    )
    draws = np.random.default_rng(9)
    counts = np.array([draws.binomial(n, p, runs) for n, p in zip(per_check, rates, strict=True)])
    for run in range(runs):
        expected = 0
        for check in range(60):
            last = check // 3
            x = [counts[3 * w : min(3 * w + 3, check + 1), run].sum() for w in range(last + 1)]
            n = [per_check[3 * w : min(3 * w + 3, check + 1)].sum() for w in range(last + 1)]
            if rate_change_log_e_value(x, n, limit=0.02, planned_windows=20) >= level:
                expected = check + 1
                break
        assert alarms[run] == expected


@pytest.mark.slow
def test_a_healthy_run_of_two_weeks_is_stopped_no_oftener_than_the_budget():
    """IV.b: four guardrails share .01, two exactly at their limits; three checks a window, 300 to 2,000 requests; 2,000 runs."""
    runs, stopped = 2_000, np.zeros(2_000, dtype=bool)
    per_check = np.random.default_rng(1).integers(100, 667, WINDOWS * 3)
    for seed, (limit, rate) in enumerate(((0.01, 0.01), (0.05, 0.05), (0.005, 0.002), (0.01, 0.008))):
        stopped |= watched(rate, per_check, limit=limit, alpha=0.0025, runs=runs, seed=seed) > 0
    assert stopped.sum() <= stats.binom.isf(UNLIKELY, runs, 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0.01, 0.05])
def test_at_the_limit_itself_ten_percent_are_promised_and_kept(limit):
    """A larger alpha shows what a small one hides: 1,500 runs at 10 %, of which a test without its weights would stop nearly all."""
    per_check = np.random.default_rng(2).integers(100, 667, WINDOWS * 3)
    stopped = int((watched(limit, per_check, limit=limit, alpha=0.10, runs=1_500, seed=20) > 0).sum())
    assert stopped <= stats.binom.isf(UNLIKELY, 1_500, 0.10)
    assert stopped >= stats.binom.ppf(UNLIKELY, 1_500, 0.02)  # nor is it so cautious as to be idle


@pytest.mark.slow
@pytest.mark.parametrize(("healthy", "rate", "minutes"), [(0, 0.2, 5), (0, 0.05, 20), (672, 0.2, 5), (672, 0.05, 20), (672, 0.02, 150)])
def test_a_degradation_is_found_within_minutes_from_the_start_and_after_a_week(healthy, rate, minutes):
    """Errors .5 % -> 2, 5, 20 %, limit 1 %, 100 requests a minute, alpha .005: nine runs of ten within so many minutes (exact bound)."""
    runs, before = 200, healthy * 15
    rates = np.r_[np.full(before, 0.005), np.full(300, rate)]
    alarms = watched(rates, np.full(rates.size, 100), limit=0.01, alpha=0.005, runs=runs, seed=30, checks_per_window=15)
    found = (alarms > before) & (alarms <= before + minutes)
    assert found.sum() >= stats.binom.ppf(UNLIKELY, runs, 0.9)


@pytest.mark.parametrize(("rates", "requests"), [([0.1], [1, 2]), ([[0.1]], [[1]]), ([0.1] * 5, [1] * 5)])
def test_a_simulation_fits_its_plan(rates, requests):
    with pytest.raises(UsageError, match="windows"):
        first_alarms(rates, requests, checks_per_window=2, limit=0.1, alpha=0.1, planned_windows=2, runs=3, rng=np.random.default_rng(1))
