"""What every scorecard says in the same way, whatever was read (G-4, G-5, G-15)."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial import parse_spec
from fairtrial.diagnostics.finding import Finding
from fairtrial.evaluation.card import SEVERITIES, arm_summaries, by_severity, comparison_of, declared_of, heading_of
from fairtrial.stats.result import Unavailable

SPEC = parse_spec(
    {"key": "cart", "arms": ["b", "control"], "metrics": [{"key": "paid", "kind": "proportion"}], "plan": {"mde": 0.1, "baseline": 0.05}}
)


def test_the_moment_of_a_reading_is_told_in_utc_whatever_zone_it_came_in():
    there = dt.datetime(2024, 3, 1, 1, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert heading_of(SPEC, there)["as_of"] == "2024-02-29T23:30:00Z"
    assert heading_of(SPEC, None)["as_of"] is None
    assert heading_of(SPEC, None)["spec_hash"] == SPEC.spec_hash


@given(severities=st.lists(st.sampled_from(SEVERITIES), max_size=12))
@settings(max_examples=40, deadline=None)
def test_findings_stand_worst_first_and_otherwise_as_they_came(severities):
    found = [Finding(code=str(i), severity=severity, message="m", action="a") for i, severity in enumerate(severities)]
    ranked = by_severity(found)
    assert [SEVERITIES.index(finding.severity) for finding in ranked] == sorted(SEVERITIES.index(s) for s in severities)
    for severity in SEVERITIES:
        assert [f.code for f in ranked if f.severity == severity] == [f.code for f in found if f.severity == severity]


def test_arms_keep_their_order_and_an_empty_reading_has_shares_of_zero():
    arms = arm_summaries(SPEC, {"b": 30, "control": 10}, shares=SPEC.shares, planned={"b": 5, "control": 7})
    assert [(arm.key, arm.role, arm.observed_share, arm.planned_share, arm.planned_n) for arm in arms] == [
        ("b", "treatment", 0.75, 0.5, 5),
        ("control", "control", 0.25, 0.5, 7),
    ]
    assert [(arm.observed_share, arm.planned_share, arm.planned_n) for arm in arm_summaries(SPEC, {"b": 0, "control": 0})] == [
        (0.0, None, None),
        (0.0, None, None),
    ]


def test_a_metric_without_an_estimate_says_why_and_nothing_else():
    why = Unavailable(code="no_variance", reason="Nothing varies.")
    row = comparison_of(SPEC, SPEC.primary, "b", why)
    assert (row.estimate, row.unavailable, row.reading) == (None, why, "unavailable")


@pytest.mark.parametrize(("method", "correction"), [("fixed", "benjamini-hochberg"), ("bayesian", "none")])
def test_a_bayesian_plan_declares_no_correction(method, correction):
    plan = SPEC.plan.model_copy(update={"method": method})
    assert declared_of(plan)["secondary_correction"] == correction
    assert (declared_of(plan)["planned_mde"], declared_of(plan)["method"]) == (0.1, method)
