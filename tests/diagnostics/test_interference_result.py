"""Contamination of the control and declared interference (IN-07, IN-13, IN-34, I.c)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fairtrial.diagnostics.interference import CONTAMINATED, find_interference
from fairtrial.errors import UsageError


@pytest.mark.parametrize(
    ("exposed", "assigned", "rate", "low", "high"), [(47, 4700, 0.01, 0.007529, 0.013272), (33, 4706, 0.007012, 0.004998, 0.009831)]
)
def test_the_golden_rates_and_their_wilson_intervals_in_07(exposed, assigned, rate, low, high):
    found = find_interference(exposed, assigned)
    assert (found.has_violation, found.warning_message, found.unavailable_reason) == (False, None, None)
    assert (found.contamination_rate, found.ci_low, found.ci_high) == pytest.approx((rate, low, high), abs=5.1e-7)
    assert (found.controls_exposed, found.controls_assigned) == (exposed, assigned)


def test_a_rate_certainly_above_five_percent_is_a_violation_in_34():
    found = find_interference(100, 1000)
    assert found.has_violation is True
    assert found.warning_message == CONTAMINATED == "Control users show treatment exposure. Effect estimates are likely biased."
    assert find_interference(2, 20).has_violation is False, "10% of 20 may well be less than 5%"


def test_the_bound_is_strict():
    """62 of 954 has its lower end just above 0.05, one fewer just below."""
    assigned = 954
    exposed = next(k for k in range(assigned) if find_interference(k, assigned).ci_low > 0.05)
    assert find_interference(exposed, assigned).has_violation is True
    assert find_interference(exposed - 1, assigned).has_violation is False
    assert (exposed - 1) / assigned > 0.05


@pytest.mark.parametrize("declared", ["shared_resource", "network_effects"])
def test_what_is_declared_is_a_violation_whatever_was_seen(declared):
    found = find_interference(0, 1000, **{declared: True})
    assert (found.has_violation, found.declared, found.contamination_rate) == (True, (declared,), 0.0)
    assert found.warning_message
    assert CONTAMINATED not in found.warning_message, "nobody was seen"
    unseen = find_interference(None, 1000, **{declared: True})
    assert (unseen.has_violation, unseen.contamination_rate, unseen.unavailable_reason) == (True, None, "no_exposure_log")


def test_what_is_not_known_is_null_with_a_reason():
    unseen = find_interference(None, 1000, missing="no_exposure_arm")
    assert (unseen.has_violation, unseen.contamination_rate, unseen.ci_low, unseen.unavailable_reason) == (
        None,
        None,
        None,
        "no_exposure_arm",
    )
    empty = find_interference(0, 0)
    assert (empty.has_violation, empty.contamination_rate, empty.unavailable_reason) == (None, None, "no_control_units")


@pytest.mark.parametrize(("exposed", "assigned"), [(-1, 10), (11, 10), (1.5, 10), (None, -1)])
def test_counts_that_cannot_be_are_refused(exposed, assigned):
    with pytest.raises(UsageError):
        find_interference(exposed, assigned)


@pytest.mark.slow
def test_contamination_of_just_five_percent_is_seldom_called_and_twice_that_is_found():
    """One-sided 2.5% at the limit (exact binomial bound at 1e-4, Wilson's own inexactness allowed for), and 10% of 2,000 nearly always."""
    rng = np.random.default_rng(5)
    runs, n = 20_000, 2000
    at_limit = sum(find_interference(int(k), n).has_violation is True for k in rng.binomial(n, 0.05, runs))
    assert at_limit <= stats.binom.isf(1e-4, runs, 0.03)
    planted = sum(find_interference(int(k), n).has_violation is True for k in rng.binomial(n, 0.10, 1000))
    assert planted == 1000
