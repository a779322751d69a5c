"""Error rate and power of the additive interaction test, by simulation, held to an exact binomial bound (Part I).

Each test draws many tables of known truth from a fixed seed and asks whether the number
of rejections could come from the promised rate (two-sided exact binomial test at 1e-4).
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fairtrial.diagnostics.interaction_scan import scan_members
from fairtrial.diagnostics.memberships import Members
from fairtrial.diagnostics.pair_cells import Side
from fairtrial.stats.additivity import additive_tests
from fairtrial.stats.interaction_mde import visible_interaction

pytestmark = pytest.mark.slow

REPLICATES = 20_000


def rejections(units, rates, seed):
    """Rejections at 5% among tables with `units` and `rates` of shape (2, J), control first."""
    units, rates = np.broadcast_arrays(units, rates)
    drawn = np.random.default_rng(seed).binomial(units, rates, (REPLICATES, *units.shape))
    n = np.broadcast_to(units, drawn.shape)
    return int((additive_tests(drawn[:, 0], n[:, 0], drawn[:, 1], n[:, 1]).p_value < 0.05).sum())


def assert_rate(count, rate):
    p_value = stats.binomtest(count, REPLICATES, rate).pvalue
    assert p_value > 1e-4, f"{count} of {REPLICATES} is not a rate of {rate:.4f} (p = {p_value:.2g})"


@pytest.mark.parametrize(
    "rates",
    [
        pytest.param([[0.05, 0.05], [0.05, 0.05]], id="no_effects"),
        pytest.param([[0.05, 0.07], [0.06, 0.08]], id="main_effects_only"),
        pytest.param([[0.05, 0.05, 0.05], [0.05, 0.05, 0.05]], id="two_by_three"),
    ],
)
def test_size_at_a_thousand_units_a_cell(rates):
    assert_rate(rejections(1_000, rates, 1), 0.05)


def test_size_with_small_arms_and_a_rare_event():
    """95/5 by 95/2.5/2.5 of a million units at 3%: the smallest cell holds 1,250."""
    units = np.rint(1_000_000 * np.outer([0.95, 0.05], [0.95, 0.025, 0.025])).astype(np.int64)
    assert_rate(rejections(units, 0.03, 2), 0.05)


@pytest.mark.parametrize(("n", "stated"), [(1_000, 0.11), (5_000, 0.35), (25_000, 0.94)])
def test_power_of_a_lift_in_one_arm_of_the_other_experiment_only(n, stated):
    """A lifts 5% by a fifth where B is control, and by nothing where B is treated."""
    rates = np.array([[0.05, 0.05], [0.06, 0.05]])
    z = 0.01 / np.sqrt((rates * (1.0 - rates)).sum() / n)
    power = stats.norm.cdf(z - stats.norm.isf(0.025)) + stats.norm.cdf(-z - stats.norm.isf(0.025))
    assert round(power, 2) == stated
    assert_rate(rejections(n, rates, 3), power)


def test_the_smallest_visible_interaction_is_found_with_the_stated_power():
    rates, n = np.array([[0.3, 0.3], [0.3, 0.3]]), 20_000
    delta = visible_interaction((rates * (1.0 - rates)).sum(axis=0) / n).item()
    assert_rate(rejections(n, rates + np.array([[0.0, 0.0], [0.0, delta]]), 4), 0.8)


UNITS, EXPERIMENTS, SCANS = 6_000, 200, 40


def made_up(rng, planted=0.0):
    """Experiments that each take half of the units; the first two disturb each other by `planted`, the rest do nothing."""
    arms = rng.integers(0, 2, (EXPERIMENTS, UNITS)).astype(np.uint8)
    inside = rng.random((EXPERIMENTS, UNITS)) < 0.5
    inside[:2] = True
    value = (rng.random(UNITS) < 0.3 + planted * arms[0] * arms[1]).astype(np.int8)
    found = []
    for place in range(EXPERIMENTS):
        unit = np.flatnonzero(inside[place])
        arm = arms[place, unit]
        sizes = tuple(np.bincount(arm, minlength=2).tolist())
        side = Side(key=f"e{place}", arms=("control", "treatment"), units=sizes, control="control")
        found.append(Members(side=side, unit=unit.astype(np.uint32), arm=arm, value=value[unit], is_rate=True, metric="m"))
    return found


def test_a_scan_of_two_hundred_null_experiments_rarely_finds_anything():
    """All 39,800 rows null: false discoveries are then whole scans with an alarm, at most 5 % of them (IN-28)."""
    rng = np.random.default_rng(6)
    alarms = 0
    for _ in range(SCANS):
        found = scan_members(made_up(rng))
        assert found.rows_tested == EXPERIMENTS * (EXPERIMENTS - 1)
        alarms += bool((found.interaction == 1).any())
    assert stats.binomtest(alarms, SCANS, 0.05, alternative="greater").pvalue > 1e-3, f"{alarms} of {SCANS} scans raised an alarm"


def test_a_planted_interaction_is_found_among_two_hundred_experiments_and_little_else():
    rng = np.random.default_rng(7)
    found = [scan_members(made_up(rng, planted=0.2)) for _ in range(5)]
    assert all(one.interaction[0] == 1 for one in found)
    assert all(one.riskiest(1) == [0] for one in found)
    others = sum(int((one.interaction[1:] == 1).sum()) for one in found)
    assert others <= 5, "at most a false discovery or so a scan beside the true one"
