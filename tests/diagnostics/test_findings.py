"""Diagnostics: what they see, and how bad they say it is (G-11, XC-47)."""

import pytest

from fairtrial.diagnostics import check_allocation, check_intake, check_outcomes
from fairtrial.diagnostics.outcomes import missing_differs_p
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.reading import ArmStats, Intake, OutcomeStats


def intake(**changes):
    plain = {"source": "memory", "engine": "memory", "fingerprint": "0" * 64, "shape": "units", "rows": 1000, "units": 1000}
    return Intake(**(plain | changes))


def codes(findings):
    return {finding.code: finding.severity for finding in findings}


@pytest.mark.parametrize(
    ("counts", "shares", "chi_square", "p_value", "status"),
    [
        ((5100, 4900), (0.5, 0.5), 4.0, 0.0455, "ok"),
        ((821588, 815482), (0.5, 0.5), 22.774369, 1.822e-6, "mismatch"),
        ((710, 290), (0.8, 0.2), 50.625, 1.118e-12, "mismatch"),
        ((920, 80), (0.95, 0.05), 18.947368, 1.344e-5, "mismatch"),
        ((8930, 1070), (0.9, 0.1), 5.444444, 0.01963, "ok"),
    ],
)
def test_the_sample_ratio_check_has_its_golden_values(counts, shares, chi_square, p_value, status):
    """G-11."""
    check, _ = check_allocation(dict(zip("ab", counts, strict=True)), dict(zip("ab", shares, strict=True)), "fixed")
    assert check.chi_square == pytest.approx(chi_square, rel=1e-6)
    assert check.p_value == pytest.approx(p_value, rel=1e-3)
    assert check.status == status


def test_arms_without_a_share_are_left_out_of_the_check_and_named():
    """G-11: arms with zero allocation are excluded."""
    check, findings = check_allocation({"a": 500, "b": 500, "off": 3}, {"a": 0.5, "b": 0.5, "off": 0.0}, "fixed")
    assert check.df == 1
    assert check.p_value == pytest.approx(1.0)
    assert codes(findings) == {"units_in_closed_arm": "warning"}


def test_units_in_two_arms_are_critical_above_a_tenth_of_a_percent():
    """V.b row 0."""
    assert codes(check_intake(intake(units_in_two_arms=1)))["units_in_two_arms"] == "warning"
    assert codes(check_intake(intake(units_in_two_arms=2)))["units_in_two_arms"] == "critical"


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        ({"repeated_rows": 400}, "rows_are_not_units", "warning"),
        ({"clusters": {"LocationID": 137}}, "clustered_assignment", "warning"),
        ({"units_checked": False}, "unit_unchecked", "info"),
        ({"rows_without_arm": 3}, "rows_without_arm", "warning"),
        ({"unknown_arms": {"tretment": 4}}, "unknown_arms", "warning"),
        ({"duplicate_events": 5}, "duplicate_events", "info"),
        ({"unknown_unit_events": 5}, "unknown_unit_events", "info"),
        ({"unknown_unit_events": 51}, "unknown_unit_events", "warning"),
        ({"early_events": 5}, "early_events", "info"),
        ({"late_events": 5}, "late_events", "info"),
        ({"untimed_events": 5}, "untimed_events", "warning"),
    ],
)
def test_everything_left_out_is_said(change, code, severity):
    found = check_intake(intake(**change))
    assert codes(found) == {code: severity}
    assert found[0].message
    assert found[0].action


def test_a_clean_intake_says_nothing():
    assert check_intake(intake()) == []


def arm(n, missing=0, *, mean=1.0, sd=1.0, minimum=None, maximum=None, missing_covariate=0):
    moments = CoMoments.of(Moments.from_summary(n=n - missing, mean=mean, sd=sd))
    outcome = OutcomeStats(moments=moments, missing=missing, minimum=minimum, maximum=maximum, missing_covariate=missing_covariate)
    return ArmStats(n=n, outcomes={"x": outcome})


@pytest.mark.parametrize(
    ("missing", "code", "severity"),
    [((10, 10), "missing_outcomes", "info"), ((10, 25), "missing_differs", "warning"), ((10, 60), "missing_differs", "critical")],
)
def test_missingness_that_differs_by_arm_warns_and_then_invalidates(missing, code, severity):
    """Issue: warning at p < .05, invalid at p < .001."""
    found = check_outcomes({"a": arm(1000, missing[0]), "b": arm(1000, missing[1])}, ["x"])
    assert codes(found) == {code: severity}


def test_the_missingness_test_is_the_two_by_two_chi_square():
    """AdSmart, expected/adsmart.json: 586 of 4,071 against 657 of 4,006 answered, p = .01249."""
    assert missing_differs_p([4071 - 586, 4006 - 657], [4071, 4006]) == pytest.approx(0.0124946391, rel=1e-8)
    assert missing_differs_p([0, 0], [10, 10]) is None
    assert missing_differs_p([10, 10], [10, 10]) is None


def test_one_unit_that_rules_an_arm_is_named():
    """Cookie Cats: one player with 49,854 rounds (sd 256.7 over 44,700)."""
    found = check_outcomes({"gate_30": arm(44700, mean=52.456, sd=256.716, minimum=0.0, maximum=49854.0)}, ["x"])
    assert codes(found) == {"outlier": "warning"}
    assert found[0].numbers["share"] == pytest.approx(0.842, abs=0.005)
    assert check_outcomes({"gate_40": arm(45489, mean=51.3, sd=103.3, minimum=0.0, maximum=2640.0)}, ["x"]) == []


def test_a_filled_covariate_is_said_with_its_coverage():
    found = check_outcomes({"a": arm(100, missing_covariate=20), "b": arm(100)}, ["x"])
    assert codes(found) == {"covariate_filled": "info"}
    assert found[0].numbers["coverage"] == pytest.approx(0.9)
