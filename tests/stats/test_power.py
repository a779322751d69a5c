"""What power calculations share: rounding, results, arguments, solvers."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.power import (
    DetectableEffect,
    SampleSize,
    allocation_ratio,
    apply_mde,
    brent_root,
    check_positive,
    check_power,
    check_rate,
    check_units,
    first_crossing,
    normal_power,
    round_up,
    tail_alpha,
    units_for_normal_power,
)


@pytest.mark.parametrize(
    ("n", "whole"),
    [(8157.73, 8158), (5200.0, 5200), (5200.0 + 4e-10, 5200), (5200.0 + 2e-9, 5201), (1e9 + 1e-6, 10**9), (0.3, 1)],
)
def test_sizes_are_rounded_up_but_for_float_noise(n, whole):
    """G-14: guard 1e-9."""
    assert round_up(n) == whole


def test_total_is_the_sum_of_arms_each_rounded_up():
    """G-14: rounding the unrounded total would lose a unit."""
    size = SampleSize(n_control=100.2, n_treatment=100.2)
    assert (size.n_control_ceil, size.n_treatment_ceil, size.total) == (101, 101, 202)
    assert size.n_total == pytest.approx(200.4)


def test_a_lift_needs_a_baseline_other_than_zero():
    found = DetectableEffect(effect=0.02)
    assert (found.lift, found.target) == (None, None)
    assert found.against(0.0).lift is None
    assert found.against(0.1).lift == pytest.approx(0.2)
    assert found.against(0.1).target == pytest.approx(0.12)


@pytest.mark.parametrize(
    ("call", "rule", "hint"),
    [
        (lambda: check_power(1.0, 0.05), "power must lie in (alpha, 1), got power=1 with alpha=0.05.", "no sample gives certainty"),
        (lambda: check_power(80, 0.05), "power must lie in (alpha, 1), got power=80 with alpha=0.05.", "pass power=0.8"),
        (lambda: check_power(0.05, 0.05), "power must lie in (alpha, 1), got power=0.05 with alpha=0.05.", "usual"),
        (lambda: check_power(math.nan, 0.05), "power must lie in (alpha, 1), got power=nan with alpha=0.05.", "usual"),
        (lambda: check_power(0.8, 95), "alpha must lie in (0, 1), got 95.", "pass alpha=0.05"),
        (lambda: check_rate("baseline", 5), "baseline must lie in (0, 1), got 5.", "for 5% pass 0.05"),
        (lambda: check_rate("baseline", 0.0), "baseline must lie in (0, 1), got 0.", ""),
        (lambda: check_rate("baseline", math.nan), "baseline must lie in (0, 1), got nan.", ""),
        (lambda: check_positive("sd", 0.0), "sd must be a finite number above 0, got 0.", ""),
        (lambda: check_positive("sd", math.inf), "sd must be a finite number above 0, got inf.", ""),
        (lambda: apply_mde(0.1, 0.0, "absolute"), "mde must be a finite number other than 0, got 0.", "exactly zero"),
        (lambda: apply_mde(0.1, math.nan, "absolute"), "mde must be a finite number other than 0, got nan.", ""),
        (lambda: apply_mde(0.1, 0.1, "percent"), "mde_kind must be 'absolute' or 'relative', got 'percent'.", ""),
        (lambda: tail_alpha(0.05, "both"), "alternative must be 'two-sided', 'one-sided', 'greater' or 'less', got 'both'.", ""),
        (lambda: allocation_ratio(0.0), "treatment_share must lie in (0, 1), got 0.", ""),
        (lambda: allocation_ratio(1.0), "treatment_share must lie in (0, 1), got 1.", ""),
    ],
)
def test_an_argument_out_of_range_names_rule_value_and_remedy(call, rule, hint):
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.message == rule
    assert hint in caught.value.hint


@pytest.mark.parametrize("n", [0, 0.5, -3, math.inf, math.nan])
def test_an_arm_without_a_unit_is_refused(n):
    with pytest.raises(DataError, match=r"at least one unit, got n_treatment="):
        check_units(10, n)


@settings(max_examples=60, deadline=None)
@given(
    effect=st.floats(0.01, 5.0),
    se_null=st.floats(0.1, 10.0),
    spread=st.floats(0.5, 2.0),
    alpha=st.floats(0.001, 0.2),
    power=st.floats(0.5, 0.99),
    shift=st.floats(0.0, 2.0),
    alternative=st.sampled_from(["two-sided", "one-sided", "greater"]),
)
def test_power_at_the_units_found_is_the_power_asked(effect, se_null, spread, alpha, power, shift, alternative):
    se_effect = se_null * spread
    n = units_for_normal_power(effect, se_null, se_effect, alpha=alpha, power=power, alternative=alternative, shift=shift)
    root = math.sqrt(n)
    reached = normal_power(effect, se_null / root, se_effect / root, alpha=alpha, alternative=alternative, shift=shift / n)
    assert reached == pytest.approx(power, abs=1e-9)


def test_a_normal_test_has_its_size_where_there_is_no_effect():
    assert normal_power(0.0, 1.0, 1.0, alpha=0.05, count_opposite_tail=True) == pytest.approx(0.05, rel=1e-12)
    assert normal_power(0.0, 1.0, 1.0, alpha=0.05) == pytest.approx(0.025, rel=1e-12)
    assert normal_power(0.0, 1.0, 1.0, alpha=0.05, alternative="greater") == pytest.approx(0.05, rel=1e-12)


def test_power_against_the_alternative_is_below_alpha():
    assert normal_power(-1.0, 1.0, 1.0, alternative="greater") == pytest.approx(normal_power(1.0, 1.0, 1.0, alternative="less"))
    assert normal_power(-1.0, 1.0, 1.0, alternative="greater") < 0.05


def test_an_effect_on_the_wrong_side_has_no_sample_size():
    with pytest.raises(UsageError, match=r"side of the alternative 'greater', got -1\. Turn its sign"):
        units_for_normal_power(-1.0, 1.0, 1.0, alternative="greater")


def test_a_power_reached_by_chance_alone_has_no_sample_size():
    with pytest.raises(UsageError, match="reached by chance alone"):
        units_for_normal_power(1.0, 1.0, 3.0, alpha=0.05, power=0.06)


def test_the_first_crossing_is_found_from_either_side():
    assert first_crossing(abs, 0.3, near=0.0, far=1.0, what="x") == pytest.approx(0.3, abs=1e-14)
    assert first_crossing(abs, 0.3, near=0.0, far=-1.0, what="x") == pytest.approx(-0.3, abs=1e-14)


def test_the_first_of_two_crossings_is_found():
    assert first_crossing(math.sin, 0.5, near=0.0, far=3.0, what="x") == pytest.approx(math.pi / 6, abs=1e-13)


def test_a_target_that_is_never_reached_raises():
    """V.c: never an optimiser stuck at its bound."""
    with pytest.raises(NotEnoughDataError, match=r"detectable rate must lie between 0 and 1: with these units none has power 0\.8\. Plan"):
        first_crossing(lambda x: 0.79 * x, 0.8, near=0.0, far=1.0, what="rate")


def test_a_root_is_found_to_machine_precision():
    assert brent_root(lambda x: x * x - 2.0, 0.0, 2.0) == pytest.approx(math.sqrt(2.0), rel=4e-16)
