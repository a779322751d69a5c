"""Days to plan, by the steps of XC-17."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import UsageError
from fairtrial.stats.duration import experiment_duration_days, plan_duration


def test_the_flagship_experiment_is_not_feasible():
    """XC-17, V.b, V.c: 54,033 per variant at 950 a day: 59,437; 126, 136, 140 days against 56."""
    plan = plan_duration(54_033, 950, daily_cv=0.15, maximum_days=56)
    assert (plan.target_per_arm, plan.target_total) == (59_437, 118_874)
    assert (plan.required_days, plan.variability_adjusted_days, plan.final_days) == (126, 136, 140)
    assert plan.status == "NOT_FEASIBLE"
    assert plan.reasons == ("final duration 140 days exceeds the business maximum of 56 days",)


def test_the_feasible_experiment_is():
    """XC-17, V.b: 9,509 per arm, buffered 10,460; 23, 25, 28 days."""
    plan = plan_duration(9_509, 950, daily_cv=0.15, maximum_days=56)
    assert (plan.target_per_arm, plan.required_days, plan.variability_adjusted_days, plan.final_days) == (10_460, 23, 25, 28)
    assert (plan.status, plan.reasons) == ("FEASIBLE", ())


def test_thin_traffic_makes_a_forecast_marginal():
    """XC-17: fewer than 100 users a day."""
    assert plan_duration(500, 99).status == "MARGINAL"
    assert plan_duration(500, 100).status == "FEASIBLE"
    plan = plan_duration(5_000, 99, maximum_days=56)
    assert plan.status == "NOT_FEASIBLE"
    assert len(plan.reasons) == 2


def test_float_noise_adds_no_unit_and_no_day():
    """G-14: 100 x 1.1 is 110.00000000000001."""
    assert plan_duration(100, 220).target_per_arm == 110
    assert plan_duration(100, 220).required_days == 1


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 10**6), st.floats(1, 1e5), st.integers(2, 6), st.floats(0, 2), st.integers(1, 60))
def test_a_plan_is_whole_weeks_of_at_least_two_and_long_enough(n, daily, arms, cv, minimum):
    plan = plan_duration(n, daily, arms=arms, daily_cv=cv, minimum_days=minimum)
    assert plan.final_days % 7 == 0
    assert plan.final_days >= max(14, minimum, plan.variability_adjusted_days)
    assert plan.final_days - 7 < max(14, minimum, plan.variability_adjusted_days)
    assert plan.required_days * daily >= plan.target_total - 1e-6 * daily


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: experiment_duration_days(0, 100), "n_total must be a finite number above 0"),
        (lambda: experiment_duration_days(100, 0), "daily_eligible_units must be a finite number above 0"),
        (lambda: experiment_duration_days(100, 10, traffic_share=0), r"traffic_share must lie in \(0, 1\], got 0\."),
        (lambda: plan_duration(0, 10), "at least 2 arms of at least 1 unit, got 2 arms of 0"),
        (lambda: plan_duration(10, 10, arms=1), "at least 2 arms of at least 1 unit, got 1 arms of 10"),
        (lambda: plan_duration(10, 10, buffer=0.9), r"buffer must be at least 1, got 0\.9\."),
        (lambda: plan_duration(10, 10, daily_cv=-1), r"daily_cv must be at least 0, got -1\."),
    ],
)
def test_an_argument_out_of_range_is_refused_with_the_rule(call, rule):
    with pytest.raises(UsageError, match=rule):
        call()
