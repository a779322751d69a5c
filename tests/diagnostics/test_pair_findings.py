"""Novelty and contamination: the printed figures, and what cannot be told (IN-06, IN-07, IN-09, IN-34, I.b)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from fairtrial.diagnostics.pair_findings import judge_contamination, judge_novelty
from fairtrial.errors import UsageError

STEADY = ([0.0336, 0.016, 0.0348, 0.0253, 0.028, 0.0252, 0.0266], [0.0102, 0.0101, 0.0111, 0.0101, 0.0079, 0.0062, 0.0087])
FADING = ([0.0776, 0.0691, 0.0639, 0.0492, 0.0556, 0.0493, 0.0497], [0.01] * 7)


def test_the_printed_trajectory_that_stays():
    """IN-06, IN-09: experiment A of the examples."""
    found = judge_novelty(*STEADY)
    assert found.has_novelty is False
    assert found.decline_rate == pytest.approx(0.011771, abs=6e-7)
    assert found.p_value == pytest.approx(0.4238, abs=5e-5)
    assert found.initial_effect == pytest.approx(0.027797, abs=6e-7)
    assert found.slope == pytest.approx(-0.000327, abs=6e-7)
    assert found.slope_std_error == pytest.approx(0.001704, abs=6e-7)
    assert found.total_decline == pytest.approx(0.070626, abs=6e-7)
    assert found.recommendation == "No significant novelty effect detected."
    day = found.trajectory[0]
    assert (day.day, day.effect, day.std_error) == (0, 0.0336, 0.0102)
    assert (day.ci_low, day.ci_high) == (pytest.approx(0.013608, abs=6e-7), pytest.approx(0.053592, abs=6e-7))


def test_the_printed_trajectory_that_fades():
    """IN-06, IN-22, IN-34: experiment B of the examples."""
    found = judge_novelty(*FADING)
    assert found.has_novelty is True
    assert found.decline_rate == pytest.approx(0.06412, abs=6e-7)
    assert found.p_value == pytest.approx(0.006441, abs=5e-7)
    assert found.initial_effect == pytest.approx(0.0733, abs=6e-7)
    assert found.slope == pytest.approx(-0.0047, abs=6e-7)
    assert found.total_decline == pytest.approx(0.38472, abs=6e-7)
    assert found.recommendation == "Significant novelty effect detected. Extend the experiment window before deciding."


@given(st.lists(st.floats(-0.2, 0.2), min_size=7, max_size=30), st.floats(0.002, 0.05), st.floats(0.1, 50.0))
def test_neither_the_sign_nor_the_unit_matters(effects, error, scale):
    """A harm that fades is as much novelty as a benefit, whatever it is measured in."""
    errors = np.full(len(effects), error)
    one, other = judge_novelty(effects, errors), judge_novelty(-scale * np.array(effects), scale * errors)
    if one.unavailable_reason != other.unavailable_reason:  # on the edge of having an effect at all
        return
    assert one.has_novelty == other.has_novelty or abs((one.total_decline or 0.0) - 0.25) < 1e-9 or abs((one.p_value or 0.0) - 0.05) < 1e-9
    if one.decline_rate is not None:
        assert other.decline_rate == pytest.approx(one.decline_rate, rel=1e-6, abs=1e-9)


def test_a_small_effect_that_fades_wholly_is_found():
    """I.c: from 2 to 0.5 points in 14 days the slope is far from -0.05 a day."""
    found = judge_novelty(np.linspace(0.02, 0.005, 14), np.full(14, 0.002))
    assert found.slope is not None
    assert found.slope > -0.05
    assert found.has_novelty is True


def test_a_significant_but_slight_decline_is_no_novelty():
    """I.b: a quarter of the initial effect must be lost."""
    found = judge_novelty(np.linspace(1.0, 0.8, 10), np.full(10, 0.001))
    assert (found.has_novelty, found.p_value < 1e-6) == (False, True)
    assert found.total_decline == pytest.approx(0.2)


def test_what_cannot_be_told_is_null_and_says_why():
    """I.b, G-5: fewer than 7 days, or no effect to fade."""
    short = judge_novelty(FADING[0][:6], FADING[1][:6])
    assert (short.has_novelty, short.decline_rate, short.unavailable_reason) == (None, None, "too_few_days")
    assert len(short.trajectory) == 6
    flat = judge_novelty([0.001, -0.001] * 5, [0.01] * 10)
    assert (flat.has_novelty, flat.p_value, flat.unavailable_reason) == (None, None, "no_initial_effect")
    assert judge_novelty([], []).trajectory == ()
    with pytest.raises(UsageError, match="needs a standard error"):
        judge_novelty([0.1], [])


@pytest.mark.slow
def test_a_steady_effect_is_called_fading_at_most_at_its_rate():
    """I.b: at most alpha of steady effects are called fading; the second condition only lowers it."""
    rng = np.random.default_rng(11)
    errors = np.full(10, 0.01)
    called = sum(bool(judge_novelty(0.03 + errors * rng.standard_normal(10), errors).has_novelty) for _ in range(4000))
    assert called <= binom.isf(1e-3, 4000, 0.05)


@pytest.mark.parametrize(
    ("exposed", "assigned", "rate", "low", "high"), [(47, 4700, 0.01, 0.007529, 0.013272), (33, 4706, 0.007012, 0.004998, 0.009831)]
)
def test_the_printed_contaminations(exposed, assigned, rate, low, high):
    """IN-07: over controls assigned, with Wilson's interval."""
    found = judge_contamination(exposed, assigned)
    assert (found.has_violation, found.warning_message) == (False, None)
    for got, printed in ((found.contamination_rate, rate), (found.ci_low, low), (found.ci_high, high)):
        assert got == pytest.approx(printed, abs=6e-7)


def test_a_violation_needs_the_lower_end_above_a_twentieth():
    """I.b: 6 of 100 is no evidence yet, 600 of 10,000 is."""
    assert judge_contamination(6, 100).has_violation is False
    found = judge_contamination(600, 10_000)
    assert found.has_violation is True
    assert found.warning_message == "Control users show treatment exposure. Effect estimates are likely biased."


def test_what_is_declared_is_a_violation_whatever_was_seen():
    """I.b: `shared_resource` and `network_effects`."""
    assert judge_contamination(0, 1000, declared=("network_effects",)).has_violation is True
    assert judge_contamination(0, 1000, observed=False, declared=("shared_resource",)).contamination_rate is None


def test_no_evidence_is_not_evidence_of_none():
    """G-5: without recorded exposures, or without controls, there is no rate."""
    unseen = judge_contamination(0, 1000, observed=False)
    assert (unseen.has_violation, unseen.contamination_rate, unseen.unavailable_reason) == (None, None, "no_exposures")
    assert judge_contamination(0, 0).unavailable_reason == "no_controls"
    with pytest.raises(UsageError, match="Exposed controls"):
        judge_contamination(5, 4)
