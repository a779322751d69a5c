"""Guardrail states (REQUIREMENTS III.b, XC-27)."""

import pytest

from fairtrial.decisions.guardrails import HarmReading, guardrail_state, is_non_inferior, worst
from fairtrial.stats.result import Interval


def reading(harm, low, high, margin, *, confirmed=False, beyond=False, surely=False):
    return HarmReading(
        harm=harm,
        interval=Interval(low=low, high=high),
        margin=margin,
        confirmed=confirmed,
        beyond_limit=beyond,
        surely_beyond_limit=surely,
    )


@pytest.mark.parametrize(
    ("given", "state"),
    [
        (reading(0.002, -0.004805, 0.010066, 0.005), "PASS"),  # III.a decide example, error_rate
        (reading(3.0, -0.113711, 6.113711, 10.0), "PASS"),  # III.a decide example, latency
        (reading(0.006, -0.001, 0.013, 0.005), "WARNING"),  # estimate beyond the margin
        (reading(0.002, 0.001, 0.003, 0.005), "WARNING"),  # surely harmful, within the margin
        (reading(0.006, 0.001, 0.011, 0.005), "ALERT"),  # beyond the margin and surely harmful
        (reading(0.010, 0.006, 0.014, 0.005), "ALERT"),  # surely beyond the margin
        (reading(0.001, -0.01, 0.01, 0.05, surely=True, beyond=True), "ALERT"),
        (reading(0.001, -0.01, 0.01, 0.05, beyond=True), "WARNING"),
    ],
)
def test_states_follow_the_rule(given, state):
    assert guardrail_state(given) == state


def test_with_no_margin_an_alert_needs_the_corrected_test():
    """V.b: with margin d = 0, ALERT only after Holm over the guardrails."""
    assert guardrail_state(reading(0.01, 0.001, 0.02, 0.0)) == "WARNING"
    assert guardrail_state(reading(0.01, 0.001, 0.02, 0.0, confirmed=True)) == "ALERT"


def test_with_only_a_limit_harm_against_the_control_is_not_judged():
    """IV.a: a guardrail such as latency (0, 200) declares a limit, no margin."""
    slower = reading(5.0, 3.0, 7.0, None)
    assert guardrail_state(slower) == "PASS"
    assert is_non_inferior(slower)
    near = HarmReading(harm=5.0, interval=Interval(low=3.0, high=7.0), margin=None, confirmed=False, possibly_beyond_limit=True)
    assert guardrail_state(near) == "PASS"
    assert not is_non_inferior(near)


def test_non_inferior_is_the_whole_interval_within_the_margin():
    assert is_non_inferior(reading(3.0, -0.113711, 6.113711, 10.0))
    assert not is_non_inferior(reading(0.002, -0.004805, 0.010066, 0.005))


def test_the_worst_state_leads_and_no_data_is_worse_than_a_warning():
    """III.b: ALERT > UNAVAILABLE > WARNING > PASS."""
    assert worst(["PASS", "WARNING", "UNAVAILABLE"]) == "UNAVAILABLE"
    assert worst(["UNAVAILABLE", "ALERT"]) == "ALERT"
    assert worst([]) is None
