"""Asymptotic confidence sequences of effects and lifts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.batch import expand
from fairtrial.stats.contrast import linear_contrast
from fairtrial.stats.lift import lift_std_error
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.sequential.confidence_sequences import (
    MIN_ARM_EVENTS,
    MIN_ARM_UNITS,
    Mixture,
    always_valid_difference,
    always_valid_effect,
    always_valid_lift,
    asymptotic_confidence_sequence,
    few_events,
)
from fairtrial.stats.sequential.msprt import always_valid_p_values, msprt
from fairtrial.stats.sequential.normal_mixture import tune_tau2
from fairtrial.stats.sequential.running import running_intersection, running_p_values

SIDES = ("two-sided", "greater", "less")
PLANNED = Mixture(n_opt=10_000)


def rates(x_c, n_c, x_t, n_t):
    arrays = (np.atleast_1d(np.asarray(v, dtype=float)) for v in (x_c, n_c, x_t, n_t))
    return ProportionContrast(**dict(zip(("successes_control", "n_control", "successes_treatment", "n_treatment"), arrays, strict=True)))


def test_the_half_width_is_the_papers():
    """Waudby-Smith et al. (2024), equation 9, written out."""
    n, variance, rho2 = 500, 3.0, (-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 10_000
    half = math.sqrt(variance) * math.sqrt((n * rho2 + 1) / (n * n * rho2) * math.log((n * rho2 + 1) / 0.05**2))
    looks = asymptotic_confidence_sequence(1.0, variance, n, mixture=PLANNED)
    assert (looks.low, looks.high) == pytest.approx((1 - half, 1 + half), rel=1e-12)


def test_the_one_sided_closed_form_is_the_papers_and_wider_than_the_exact_one():
    """Waudby-Smith et al. (2024), equation 134, tuned at twice alpha."""
    n, rho2 = 500, (-2 * math.log(0.1) + math.log(-2 * math.log(0.1) + 1)) / 10_000
    half = math.sqrt(2 * (n * rho2 + 1) / (n * n * rho2) * math.log(1 + math.sqrt(n * rho2 + 1) / (2 * 0.05)))
    closed = Mixture(n_opt=10_000, one_sided="closed_form")
    up, down = (asymptotic_confidence_sequence(1.0, 1.0, n, mixture=closed, alternative=side) for side in ("greater", "less"))
    assert (up.low, down.high) == pytest.approx((1 - half, 1 + half), rel=1e-12)
    assert (up.high, down.low) == (math.inf, -math.inf)
    exact = asymptotic_confidence_sequence(1.0, 1.0, n, mixture=PLANNED, alternative="greater")
    assert up.low < exact.low < up.low * 1.01
    assert up.log_e_value <= exact.log_e_value


def test_with_tau2_it_is_the_msprt():
    look, single = (
        always_valid_effect(0.03, 0.01, 900, 1000, mixture=Mixture(tau2=1e-4), null=0.01),
        msprt(0.03, 1e-4, tau2=1e-4, null=0.01),
    )
    assert look.interval() == single.interval
    assert (look.p_value, look.log_e_value) == (single.p_value, single.log_likelihood_ratio)


def test_planned_from_units_it_is_the_msprt_with_tau2_tuned_to_the_variance_at_those_units():
    """At n units of n_opt the variance planned for is V n / n_opt, whatever the unit of the metric."""
    look = always_valid_effect(0.03, 0.01, 900, 1100, mixture=PLANNED)
    assert look.tau2 == pytest.approx(float(tune_tau2(1e-4 * 2000 / 10_000)), rel=1e-12)


def test_it_is_tightest_where_it_was_planned_to_be():
    """Half width times sqrt(n): least at n_opt to the first order, over n from 1/10 to 10 times n_opt."""
    n = np.geomspace(1000, 100_000, 41)
    looks = always_valid_effect(0.0, 1 / np.sqrt(n), n / 2, n / 2, mixture=PLANNED)
    assert n[np.argmin(looks.high * np.sqrt(n))] == pytest.approx(10_000, rel=0.13)


@given(
    effect=st.floats(-5, 5),
    std_error=st.floats(0.01, 2),
    n=st.integers(2, 10**7),
    alpha=st.floats(1e-4, 0.7),
    null=st.floats(-1, 1),
    side=st.sampled_from(SIDES),
    one_sided=st.sampled_from(["exact", "closed_form"]),
)
@settings(max_examples=300, deadline=None)
def test_p_is_below_alpha_exactly_when_the_interval_excludes_the_null(effect, std_error, n, alpha, null, side, one_sided):
    """At every alpha, for any null, one- and two-sided: one mixture, tuned once."""
    mixture = Mixture(n_opt=1000, one_sided=one_sided)
    look = always_valid_effect(effect, std_error, n, n, mixture=mixture, alpha=alpha, null=null, alternative=side)
    if abs(look.p_value - alpha) > 1e-9:
        assert look.interval().excludes(null) == (look.p_value < alpha)


@given(effect=st.floats(-3, 3), shift=st.floats(-5, 5), scale=st.floats(0.01, 100), side=st.sampled_from(SIDES))
@settings(max_examples=100, deadline=None)
def test_unit_and_origin_of_the_metric_do_not_matter(effect, shift, scale, side):
    one = always_valid_effect(effect, 0.5, 400, 400, mixture=PLANNED, alternative=side)
    other = always_valid_effect(effect * scale + shift, 0.5 * scale, 400, 400, mixture=PLANNED, null=shift, alternative=side)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-6)


def test_swapping_the_arms_mirrors_the_answer():
    up = always_valid_effect(0.7, 0.2, 300, 500, mixture=PLANNED, alternative="greater")
    down = always_valid_effect(-0.7, 0.2, 500, 300, mixture=PLANNED, alternative="less")
    assert (up.low, up.p_value) == (-down.high, down.p_value)


def test_intervals_at_local_levels_leave_the_p_values_alone():
    """Corrections give each entry its own alpha; entries without one (NaN) have a p-value and no interval."""
    looks = always_valid_effect([0.7, 0.7, 0.7], 0.2, 300, 500, mixture=PLANNED, alpha=[0.05, 0.01, np.nan])
    assert looks.p_value.tolist() == [looks.p_value[0]] * 3
    assert looks.low[1] < looks.low[0]
    assert np.isnan(looks.low[2])


def test_a_difference_of_means_takes_the_contrasts_standard_error_with_and_without_covariate():
    """DESIGN, variance reduction in every view: CUPED's contrast goes through the same door."""
    rng = np.random.default_rng(3)
    x = rng.normal(1e4, 2, (2, 800))
    y = x + rng.normal(0, 1, (2, 800)) + np.array([[0.0], [0.2]])
    for columns, layout in (([y], "mean"), ([y, x], "mean_cuped")):
        arms = [expand([CoMoments.from_values(np.column_stack([c[arm] for c in columns]))], layout) for arm in (0, 1)]
        contrast = linear_contrast(*arms)
        looks = always_valid_difference(contrast, mixture=PLANNED)
        raw = always_valid_effect(contrast.effect, contrast.std_error, 800, 800, mixture=PLANNED)
        assert looks.low == pytest.approx(raw.low, rel=1e-7)
        assert looks.p_value == pytest.approx(raw.p_value, rel=1e-6)


def test_a_difference_of_proportions_takes_the_unpooled_variance():
    """Requirements, Part I: 200/2000 against 260/2000, MDE .01: ln L of the published example."""
    looks = always_valid_difference(rates(200, 2000, 260, 2000), mixture=Mixture(tau2=1e-4))
    assert math.exp(looks.log_e_value[0]) == pytest.approx(6.397293, abs=1e-6)
    assert looks.interval(0).low == pytest.approx(-0.006968, abs=1e-6)


def test_a_lift_is_bounded_on_either_scale():
    contrast = rates(1396, 3000, 2422, 3461)
    delta = always_valid_lift(contrast, mixture=PLANNED)
    log = always_valid_lift(contrast, mixture=PLANNED, method="log")
    assert delta.estimate == log.estimate == pytest.approx([2422 / 3461 / (1396 / 3000) - 1], rel=1e-12)
    assert delta.std_error == lift_std_error(contrast)[0]
    assert log.low[0] < delta.estimate[0] < log.high[0]
    reach = np.log1p(log.high) - np.log1p(log.estimate)
    assert reach == pytest.approx(np.log1p(log.estimate) - np.log1p(log.low), rel=1e-9)
    assert always_valid_lift(contrast, mixture=PLANNED, method="log", null=delta.low[0]).p_value < 0.2
    assert always_valid_lift(contrast, mixture=PLANNED, method="log", alternative="less").low == -np.inf


def test_what_cannot_be_estimated_is_flagged_and_leaves_the_others_alone():
    """G-5: an empty arm, no variance, no control to divide by: flagged, NaN, and refused when asked for."""
    contrast = rates([0, 0, 30], [0, 500, 500], [5, 20, 40], [50, 500, 500])
    difference = always_valid_difference(contrast, mixture=PLANNED)
    lift = always_valid_lift(contrast, mixture=PLANNED, method="log")
    assert difference.undefined.tolist() == [True, False, False]
    assert lift.undefined.tolist() == [True, True, False]
    assert np.isnan(lift.p_value).tolist() == lift.undefined.tolist()
    alone = always_valid_lift(rates(30, 500, 40, 500), mixture=PLANNED, method="log")
    assert (lift.low[2], lift.p_value[2]) == (alone.low[0], alone.p_value[0])
    with pytest.raises(DataError, match="no interval"):
        lift.interval(0)


def test_early_looks_are_flagged():
    looks = always_valid_effect(0.0, 1.0, [MIN_ARM_UNITS - 1, MIN_ARM_UNITS], 10**6, mixture=PLANNED)
    assert looks.too_early.tolist() == [True, False]
    k = MIN_ARM_EVENTS
    assert few_events([k, k - 1, k], 1000, [k, k, 1000 - k + 1], 1000).tolist() == [False, True, True]


def test_a_million_million_units_and_a_rate_of_1e_9_are_no_trouble():
    looks = always_valid_lift(rates(1000, 10**12, 1500, 10**12), mixture=Mixture(n_opt=2e12))
    assert looks.low[0] > 0
    assert looks.high[0] < 1
    sure = always_valid_effect(1e9 + 1.0, 1e-3, 10**12, 10**12, mixture=Mixture(tau2=1.0), null=1e9)
    assert sure.log_e_value > 4e5
    assert sure.p_value == 0.0


@pytest.mark.parametrize("side", SIDES)
def test_many_looks_at_once_are_the_same_as_one_by_one(side):
    """Replicates, looks and metrics in one call."""
    effects = np.random.default_rng(0).normal(size=(40, 5, 5))
    looks = always_valid_effect(effects, 1.0, 5000, 5000, mixture=PLANNED, alternative=side)
    one = always_valid_effect(effects[7, 3, 2], 1.0, 5000, 5000, mixture=PLANNED, alternative=side)
    assert looks.low.shape == (40, 5, 5)
    assert (looks.low[7, 3, 2], looks.high[7, 3, 2], looks.p_value[7, 3, 2]) == (one.low, one.high, one.p_value)


def test_the_running_intersection_excludes_the_null_exactly_when_the_running_p_value_is_below_alpha():
    rng = np.random.default_rng(11)
    n = np.arange(50, 1050, 50.0)
    effect = np.cumsum(rng.normal(0.1 * np.sqrt(50), 1, (300, n.size)) * np.sqrt(50), axis=1) / n
    looks = always_valid_effect(effect, 1 / np.sqrt(n), n, n, mixture=Mixture(n_opt=2000))
    running, p_values = running_intersection(looks.low, looks.high), running_p_values(looks.p_value)
    excluded = (running.low > 0) | (running.high < 0)
    assert (excluded == (p_values < 0.05)).all()
    assert 10 < excluded[:, -1].sum() < 290
    assert (np.diff(running.high - running.low, axis=1) <= 0).all()
    assert p_values == pytest.approx(always_valid_p_values(looks.log_e_value), rel=1e-12)


def test_a_look_that_gave_nothing_changes_nothing():
    running = running_intersection([np.nan, -1.0, np.nan, 0.0, 5.0], [np.nan, 2.0, np.nan, 3.0, 6.0])
    assert running.low.tolist() == [-np.inf, -1.0, -1.0, 0.0, 5.0]
    assert running.high.tolist() == [np.inf, 2.0, 2.0, 2.0, 2.0]
    assert running.empty.tolist() == [False] * 4 + [True]
    assert running_p_values([np.nan, 0.3, np.nan, 0.5]).tolist() == [1.0, 0.3, 0.3, 0.3]


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (Mixture, "either n_opt or tau2"),
        (lambda: Mixture(n_opt=10, tau2=1.0), "either n_opt or tau2"),
        (lambda: Mixture(n_opt=0), "n_opt must be positive"),
        (lambda: Mixture(tau2=math.inf), "tau2 must be positive"),
        (lambda: Mixture(tau2=1.0, alpha_opt=5), "alpha must lie"),
        (lambda: Mixture(tau2=1.0, one_sided="wide"), "one_sided must be one of"),
        (lambda: always_valid_effect(math.nan, 1, 5, 5, mixture=PLANNED), "effect must be finite"),
        (lambda: always_valid_effect(0, 0, 5, 5, mixture=PLANNED), "std_error must be positive"),
        (lambda: always_valid_effect(0, 1, 0, 5, mixture=PLANNED), "n_control must be"),
        (lambda: always_valid_effect(0, 1, 5, math.inf, mixture=PLANNED), "n_treatment must be"),
        (lambda: always_valid_effect(0, 1, 5, 5, mixture=PLANNED, alpha=95), "alpha must lie"),
        (lambda: always_valid_effect(0, 1, 5, 5, mixture=PLANNED, null=math.nan), "null must be finite"),
        (lambda: always_valid_effect(0, 1, 5, 5, mixture=PLANNED, alternative="up"), "alternative must be"),
        (lambda: always_valid_effect(0, 1, 5, 5, mixture=Mixture(n_opt=9, alpha_opt=0.6), alternative="less"), "below 1/2"),
        (lambda: always_valid_difference(rates(1, 9, 2, 9), mixture=PLANNED, null=math.inf), "null must be finite"),
        (lambda: always_valid_lift(rates(1, 9, 2, 9), mixture=PLANNED, method="fieller"), "method 'delta' or 'log'"),
        (lambda: always_valid_lift(rates(1, 9, 2, 9), mixture=PLANNED, method="log", null=-1.0), "above -1"),
        (lambda: asymptotic_confidence_sequence(0, -1.0, 5, mixture=PLANNED), "variance must be positive"),
        (lambda: asymptotic_confidence_sequence(0, 1.0, 0, mixture=PLANNED), "n must be"),
        (lambda: few_events(5, 4, 1, 4), "Successes must lie in"),
        (lambda: few_events(-1, 4, 1, 4), "successes_control must be"),
        (lambda: running_intersection(0.0, 1.0), "arrays of one shape"),
        (lambda: running_intersection([0.0], [1.0, 2.0]), "arrays of one shape"),
        (lambda: running_intersection([2.0], [1.0]), "must not lie above"),
        (lambda: running_p_values(0.5), "p-values must be"),
        (lambda: running_p_values([1.5]), "p-values must be"),
    ],
)
def test_what_breaks_a_rule_is_refused(call, rule):
    with pytest.raises(UsageError, match=rule):
        call()
