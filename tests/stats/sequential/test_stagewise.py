"""Final inference after a stop: the multivariate normal distribution, symmetries, and what it is the limit of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.stagewise import stagewise_estimate, stagewise_inference, stagewise_p_values

TIMES, CRITICAL = (0.4, 1.0), (2.4,)


def chance_above(z, drift, *, sides):
    """P(stop above at look 1, or go on and reach z at look 2), by SciPy's bivariate normal distribution."""
    mean = drift * np.sqrt(TIMES)
    law = stats.multivariate_normal(mean, [[1.0, math.sqrt(0.4)], [math.sqrt(0.4), 1.0]])
    bottom = -2.4 if sides == 2 else -40.0
    return stats.norm.sf(2.4 - mean[0]) + law.cdf([2.4, 60.0], lower_limit=[bottom, z])


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("z", [-1.0, 0.5, 2.1])
def test_p_value_estimate_and_interval_invert_the_bivariate_normal(z, sides):
    """Tsiatis, Rosner & Mehta (1984); SciPy, tolerance 1e-6."""
    found = stagewise_inference(z, fractions=TIMES, critical=CRITICAL, sides=sides, alpha=0.1)
    assert found.p_above.item() == pytest.approx(chance_above(z, 0.0, sides=sides), abs=1e-8)
    for drift, p in ((found.low, 0.05), (found.median_unbiased, 0.5), (found.high, 0.95)):
        expected = optimize.brentq(lambda theta, p=p: chance_above(z, theta, sides=sides) - p, -9.0, 9.0)
        assert drift.item() == pytest.approx(expected, abs=1e-6)
    assert found.naive.item() == z


def test_a_trial_of_one_look_is_a_fixed_test():
    """z +- 1.96 and the normal p-value, on the drift's scale z / sqrt(t)."""
    found = stagewise_inference([2.7, -1.0], fractions=(0.25,), critical=())
    assert found.p_value == pytest.approx(2.0 * stats.norm.sf([2.7, 1.0]), rel=1e-12)
    assert found.median_unbiased == pytest.approx([5.4, -2.0], abs=1e-10)
    assert found.low == pytest.approx((np.array([2.7, -1.0]) - stats.norm.isf(0.025)) / 0.5, abs=1e-10)
    assert found.high == pytest.approx((np.array([2.7, -1.0]) + stats.norm.isf(0.025)) / 0.5, abs=1e-10)


def test_looks_that_nobody_could_stop_at_change_nothing():
    alone = stagewise_inference(2.0, fractions=(1.0,), critical=())
    watched = stagewise_inference(2.0, fractions=(0.3, 0.7, 1.0), critical=(30.0, 30.0))
    for name in ("p_value", "low", "median_unbiased", "high"):
        assert getattr(watched, name).item() == pytest.approx(getattr(alone, name).item(), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(z=st.floats(-8.0, 8.0), early=st.floats(0.05, 0.9), limit=st.floats(1.5, 4.0), alpha=st.floats(0.001, 0.5))
def test_turning_all_signs_turns_the_two_sided_answer(z, early, limit, alpha):
    up, down = (stagewise_inference(s * z, fractions=(early, 1.0), critical=(limit,), alpha=alpha) for s in (1.0, -1.0))
    assert up.p_value.item() == pytest.approx(down.p_value.item(), abs=1e-10)
    assert up.median_unbiased.item() == pytest.approx(-down.median_unbiased.item(), abs=1e-7)
    assert up.low.item() == pytest.approx(-down.high.item(), abs=1e-7)


@settings(max_examples=30, deadline=None)
@given(z=st.floats(-6.0, 6.0), alpha=st.floats(0.001, 0.5), looks=st.integers(1, 4))
def test_a_p_value_lies_below_alpha_exactly_when_the_interval_leaves_0_out(z, alpha, looks):
    """DESIGN section 5."""
    fractions, critical = (0.2, 0.45, 0.7, 1.0)[:looks], (3.4, 2.6, 2.3)[: looks - 1]
    found = stagewise_inference(z, fractions=fractions, critical=critical, alpha=alpha)
    outside = (found.low > 1e-9) | (found.high < -1e-9)
    assert bool(outside) == bool(found.p_value < alpha - 1e-9)
    assert found.low < found.median_unbiased < found.high


def test_the_estimate_is_drawn_towards_the_null_after_a_stop():
    found = stagewise_inference([2.9, 3.5], fractions=(0.2, 0.4, 0.6), critical=(4.877, 3.357, 2.680))
    assert (found.median_unbiased < found.naive).all()


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("z", [-300.0, -40.0, 40.0, 300.0])
def test_a_z_far_out_has_the_answer_of_the_farthest_at_its_look(z, sides):
    """Nobody stops so far out; the ordering ranks it above all others of its look, and below those that stopped before."""
    options = {"fractions": (0.01, 0.4, 1.0), "critical": (2.3, 2.4), "sides": sides, "alpha": 0.01}
    found = stagewise_inference(z, **options)
    near = stagewise_inference(math.copysign(30.0, z), **options)
    if z > 0 or sides == 2:
        assert found.median_unbiased.item() == pytest.approx(near.median_unbiased.item(), abs=1e-6)
        assert found.p_value.item() == pytest.approx(near.p_value.item(), abs=1e-12)
    else:
        assert found.median_unbiased.item() == pytest.approx(z, abs=1e-6)
        assert found.p_value.item() == pytest.approx(1.0)


def test_tiny_p_values_keep_their_digits():
    found = stagewise_inference(38.0, fractions=(0.5,), critical=(), sides=1)
    assert found.p_value.item() == pytest.approx(stats.norm.sf(38.0), rel=1e-12)
    assert found.p_value.item() < 1e-300


def test_p_values_alone_are_the_same():
    z = np.array([[-3.0, 0.0], [1.9, 4.0]])
    for sides in (1, 2):
        whole = stagewise_inference(z, fractions=(0.3, 0.6, 1.0), critical=(3.0, 2.5), sides=sides)
        alone = stagewise_p_values(z, fractions=(0.3, 0.6, 1.0), critical=(3.0, 2.5), sides=sides)
        assert alone.tolist() == whole.p_value.tolist()
        assert whole.low.shape == (2, 2)


def test_the_metric_s_unit_is_kept():
    """An estimate of 1e9 + 0.03 with a null of 1e9; the drift's interval times the standard error at full information."""
    options = {"fractions": (0.3, 0.6), "critical": (3.0,)}
    found = stagewise_estimate(1e9 + 0.03, 0.0125, null=1e9, alpha=0.1, **options)
    drift = stagewise_inference(0.03 / 0.0125, alpha=0.1, **options)
    unit = 0.0125 * math.sqrt(0.6)
    assert found.effect - 1e9 == pytest.approx(unit * drift.median_unbiased.item(), abs=1e-6)
    assert found.interval.low - 1e9 == pytest.approx(unit * drift.low.item(), abs=1e-6)
    assert found.interval.high - 1e9 == pytest.approx(unit * drift.high.item(), abs=1e-6)
    assert found.p_value == pytest.approx(drift.p_value.item(), abs=1e-4)
    assert (found.naive, found.alpha) == (1e9 + 0.03, 0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": math.nan}, "z must be finite"),
        ({"z": []}, "z must hold"),
        ({"critical": ()}, "must name the 1 looks"),
        ({"critical": (math.inf,)}, "critical must be finite"),
        ({"critical": (-0.1,)}, "must be positive"),
        ({"sides": 3}, "sides must be"),
        ({"alpha": 0.0}, "alpha must lie"),
        ({"fractions": (0.5, 0.4)}, "rise by at least"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    options = {"z": 1.0, "fractions": TIMES, "critical": CRITICAL} | change
    with pytest.raises(UsageError, match=message):
        stagewise_inference(options.pop("z"), **options)


@pytest.mark.parametrize(
    ("estimate", "std_error", "null", "message"),
    [
        (math.nan, 1.0, 0.0, "estimate must be finite"),
        (1.0, 1.0, math.inf, "null must be finite"),
        (1.0, 0.0, 0.0, "std_error must be positive"),
        (1.0, math.nan, 0.0, "std_error must be positive"),
    ],
)
def test_an_estimate_that_is_none_is_refused(estimate, std_error, null, message):
    with pytest.raises(UsageError, match=message):
        stagewise_estimate(estimate, std_error, null=null, fractions=TIMES, critical=CRITICAL)
