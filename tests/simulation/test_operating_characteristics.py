"""Operating characteristics of whole specs (issue 3): what the rule does to known truths."""

import time

import numpy as np
import pytest

from fairtrial.errors import DataError, UnknownNameError, UsageError
from fairtrial.simulation.characteristics import (
    OUTCOMES,
    absolute_effect,
    default_effects,
    operating_characteristics,
)
from fairtrial.simulation.looks import look_shares, simulated_looks
from fairtrial.simulation.monte_carlo import Measured, mean_of, share_of
from fairtrial.simulation.world import Baseline, world_of_plan
from fairtrial.spec.loader import parse_spec

RATE = {"key": "bought", "kind": "proportion", "role": "primary"}
SURE = 0.001
"""Level of the exact bounds that a measured share must keep."""


def spec(*metrics, arms=("control", "t"), schedule=None, **plan):
    raw = {"key": "x", "arms": list(arms), "metrics": list(metrics) or [RATE], "plan": {"baseline": 0.1, "mde": 0.1} | plan}
    return parse_spec(raw | ({"schedule": schedule} if schedule else {}))


def simulate(design, *effects, runs=10_000, looks=None, baselines=None, seed=3, **options):
    world = world_of_plan(design, baselines=baselines)
    return operating_characteristics(
        design,
        world,
        simulated_looks(design, looks=looks),
        effects=effects or default_effects(design),
        runs=runs,
        rng=np.random.default_rng(seed),
        **options,
    )


def holds(measured: Measured, truth: float) -> bool:
    bounds = measured.exact_bounds(alpha=SURE)
    return bounds.low <= truth <= bounds.high


def test_a_fixed_plan_launches_nothing_as_often_as_half_its_alpha_and_misses_what_its_power_leaves():
    """Reference: alpha / 2 = 0.025 on the side of benefit, 1 - power = 0.2; exact bounds at level 99.9%."""
    found = simulate(spec(), 0.0, 0.1)
    null, planned = found.rows
    assert holds(null.false_launch, 0.025)
    assert holds(planned.missed_win, 0.2)
    assert found.false_launch_rate == null.false_launch
    assert found.missed_win_rate == planned.missed_win
    assert null.missed_win is None
    assert planned.false_launch.value == 0.0


def test_verdicts_of_every_row_sum_to_one_and_launches_rise_with_the_effect():
    found = simulate(spec(), runs=2000)
    assert [row.effect for row in found.rows] == [-0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2]
    for row in found.rows:
        assert set(row.verdicts) == set(OUTCOMES)
        assert sum(share.value for share in row.verdicts.values()) == pytest.approx(1.0)
    launches = [row.launch.value for row in found.rows]
    assert launches == sorted(launches), "common random numbers make the curve monotone"


def test_a_launched_estimate_exaggerates_where_power_is_low():
    """Gelman & Carlin (2014): at power near 10% the exaggeration is large, at power near 1 it is 1."""
    low, high = simulate(spec(), 0.02, 0.3).rows
    assert low.exaggeration.value > 2.0
    assert high.exaggeration.value == pytest.approx(1.0, abs=0.01)
    assert high.sign_error.value == 0.0
    assert simulate(spec(), 0.0, runs=100).rows[0].exaggeration is None


def test_the_same_seed_gives_the_same_answer_and_another_another():
    assert simulate(spec(), 0.05, runs=500) == simulate(spec(), 0.05, runs=500)
    assert simulate(spec(), 0.05, runs=500) != simulate(spec(), 0.05, runs=500, seed=4)


def test_lower_is_better_means_an_improvement_is_a_decrease():
    design = spec(RATE | {"direction": "decrease"})
    world = world_of_plan(design)
    assert absolute_effect(design, world, 0.1) == pytest.approx(-0.01)
    assert simulate(design, 0.1, runs=2000).rows[0].launch.value > 0.7


@pytest.mark.parametrize("spending", ["lan-demets-obrien-fleming", "lan-demets-pocock"])
def test_planned_looks_keep_the_error_and_stop_early(spending):
    """alpha / 2 over five looks; non-binding futility can only lower it."""
    design = spec(method="group_sequential", sequential={"looks": 5, "spending": spending})
    found = simulate(design, 0.0, 0.1)
    assert found.rows[0].false_launch.exact_bounds(alpha=SURE).low <= 0.025
    assert found.rows[1].launch.value > 0.7
    assert found.rows[1].units.value < 0.9 * found.planned_units
    assert len(found.looks) == 5


def test_peeking_at_a_fixed_plan_does_not_launch_early_but_may_stop_for_harm():
    found = simulate(spec(), -0.2, 0.0, looks=5)
    harm, null = found.rows
    assert harm.verdicts["ROLLBACK"].value > 0.8
    assert harm.units.value < 0.8 * found.planned_units
    assert null.false_launch.exact_bounds(alpha=SURE).low <= 0.025
    assert null.verdicts["ROLLBACK"].exact_bounds(alpha=SURE).low <= 0.05


def test_an_always_valid_plan_errs_at_most_at_its_alpha():
    found = simulate(spec(method="always_valid"), 0.0, looks=20, runs=5000)
    assert found.rows[0].launch.exact_bounds(alpha=SURE).low <= 0.025


def test_holm_keeps_false_launches_over_several_treatments():
    """Three treatments without an effect: at most alpha / 2 together launch one."""
    found = simulate(spec(arms=("control", "a", "b", "c")), 0.0)
    assert found.rows[0].false_launch.exact_bounds(alpha=SURE).low <= 0.025
    assert found.rows[0].false_launch.value > 0.01
    assert any("Only the treatment 'a'" in said for said in found.assumptions)


def test_non_inferiority_errs_at_its_margin():
    """One-sided 2.5%: at the margin itself 2.5% launch; without a difference the planned power does."""
    design = spec(RATE | {"margin": 0.01}, objective="non_inferiority", alternative="one-sided", alpha=0.025)
    found = simulate(design, -0.01, 0.0)
    assert found.scale == "absolute"
    assert holds(found.rows[0].false_launch, 0.025)
    assert holds(found.rows[1].launch, 0.8)
    assert default_effects(design) == (-0.015, -0.01, -0.005, 0.0, 0.005)


def test_a_moved_guardrail_stops_launches():
    guard = {"key": "errors", "kind": "proportion", "role": "guardrail", "direction": "decrease", "margin": 0.002}
    base = {"errors": Baseline(mean=0.02)}
    safe = simulate(spec(RATE, guard), 0.1, runs=2000, baselines=base).rows[0]
    harmed = simulate(spec(RATE, guard), 0.1, runs=2000, baselines=base, others={"errors": 0.01}).rows[0]
    assert harmed.launch.value < 0.1 < safe.launch.value
    assert harmed.significant["errors"].value > 0.9


def test_a_metric_left_out_is_said():
    found = simulate(spec(RATE, {"key": "spend", "kind": "mean", "role": "guardrail"}), 0.0, runs=100)
    assert any("No baseline of 'spend' is known. The rule ran without this guardrail metric." in said for said in found.assumptions)


@pytest.mark.parametrize(
    ("effects", "options", "said"),
    [((0.1,), {"runs": 0}, "needs a run"), ((np.nan,), {}, "finite effect"), ((50.0,), {"runs": 10}, "A rate must stay")],
)
def test_impossible_simulations_are_refused(effects, options, said):
    with pytest.raises(UsageError, match=said):
        simulate(spec(), *effects, **options)
    with pytest.raises(UnknownNameError):
        simulate(spec(), 0.1, runs=10, others={"nothing": 1.0})


def test_effects_must_be_named_without_an_mde():
    with pytest.raises(UsageError, match="must be named"):
        default_effects(spec(mde=None, sample_size=100))


def test_looks_follow_the_plan_the_traffic_and_the_days():
    assert look_shares(spec(), None) == (1.0,)
    assert look_shares(spec(method="group_sequential", sequential={"looks": [0.3, 1.0]}), None) == (0.3, 1.0)
    assert len(look_shares(spec(method="always_valid"), None)) == 10
    looks = simulated_looks(spec(sample_size=1000, min_days=10, max_days=20), looks=(0.5, 1.0), daily_units=200)
    assert [look.total for look in looks] == [500, 1000]
    assert [look.days for look in looks] == [2.5, 10.0]
    assert [look.min_days_met for look in looks] == [False, True]
    short = simulated_looks(spec(sample_size=1000, max_days=20), daily_units=25)[0]
    assert (short.total, short.days, short.max_days_reached, short.complete) == (500, 20.0, True, True)
    dated = spec(sample_size=1000, schedule={"start": "2026-01-01", "end": "2026-01-11"})
    assert simulated_looks(dated)[0].days == pytest.approx(10.0)
    assert simulate(dated, 0.0, runs=50).rows[0].days.value == pytest.approx(10.0)


@pytest.mark.parametrize("looks", [0, 1000, (), (0.5,), (0.5, 0.4, 1.0)])
def test_looks_that_cannot_be_are_refused(looks):
    with pytest.raises(UsageError):
        look_shares(spec(), looks)


def test_a_design_without_a_size_or_with_impossible_traffic_is_refused():
    with pytest.raises(DataError, match="must have a size"):
        simulated_looks(spec(mde=None))
    with pytest.raises(UsageError, match="daily_units"):
        simulated_looks(spec(), daily_units=0)


def test_measured_numbers_know_their_error():
    half = share_of(np.array([True, False] * 50))
    assert (half.value, half.std_error, half.n) == (0.5, 0.05, 100)
    assert half.exact_bounds(alpha=0.05).low == pytest.approx(0.3983, abs=1e-4)
    assert mean_of(np.array([1.0, 3.0])) == Measured(value=2.0, std_error=1.0, n=2)
    for wrong in (lambda: share_of(np.array([], dtype=bool)), lambda: mean_of(np.array([np.nan]))):
        with pytest.raises(UsageError):
            wrong()
    with pytest.raises(UsageError, match="shares of"):
        mean_of(np.array([1.0, 2.5])).exact_bounds()


@pytest.mark.slow
def test_ten_thousand_runs_of_five_looks_and_five_metrics_take_far_less_than_a_minute():
    """Issue 3: under 60 s on two cores; measured by the processor, so that a busy machine does not fail it."""
    metrics = [
        RATE,
        {"key": "revenue", "kind": "mean"},
        {"key": "visits", "kind": "count"},
        {"key": "latency", "kind": "mean", "role": "guardrail", "direction": "decrease", "margin": 0.05, "margin_kind": "relative"},
        {"key": "returns", "kind": "proportion", "role": "guardrail", "direction": "decrease", "margin": 0.002},
    ]
    base = {
        "revenue": Baseline(mean=3, sd=10),
        "visits": Baseline(mean=2, sd=3),
        "latency": Baseline(mean=300, sd=200),
        "returns": Baseline(mean=0.01),
    }
    start = time.process_time()
    found = simulate(spec(*metrics, method="group_sequential", sequential={"looks": 5}), baselines=base)
    assert len(found.rows) == 7
    assert time.process_time() - start < 60
