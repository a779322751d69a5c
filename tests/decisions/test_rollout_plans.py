"""Rollout plans of model experiments (ML-20 to ML-23, IV.b last bullet, IV.c, V.b's mapping)."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.decisions import RolloutPlan, make_rollout_decision
from fairtrial.errors import UsageError


def report(
    *, champion: float = 0.15, challenger: float = 0.165, interval: Any = (0.004709, 0.02578), days: float = 14, **more: Any
) -> dict[str, Any]:
    """The keys that every report has (ML-15), and more."""
    low, high = interval
    lift = None if champion == 0 else challenger / champion - 1
    primary = {
        "name": "conversion_rate",
        "champion": champion,
        "challenger": challenger,
        "absolute_lift": challenger - champion,
        "relative_lift": lift,
        "confidence_interval": [low, high],
        "p_value": 0.003861,
        "significant": low > 0 or high < 0,
    }
    return {"duration_days": days, "primary_metric": primary, **more}


def test_a_moderate_improvement_goes_to_25_50_and_100_percent() -> None:
    """ML-22, with the words of the requirement."""
    assert make_rollout_decision(report()) == RolloutPlan(
        decision="gradual_rollout",
        reason="Moderate improvement (10.0% lift)",
        next_steps=("Week 1: Increase to 25% traffic", "Week 2: Increase to 50% traffic", "Week 3: Increase to 100% if stable"),
        risk_level="medium",
        unchecked=("guardrails", "srm"),
    )


def test_a_large_improvement_needs_its_lower_bound_above_the_strong_threshold() -> None:
    """ML-22 and IV.c: a point lift above 20% is not evidence, and no rollout goes to 100% at once."""
    strong = make_rollout_decision(report(challenger=0.2, interval=(0.04, 0.06)))
    assert (strong.decision, strong.risk_level, strong.reason) == ("full_rollout", "low", "Large significant improvement (33.3% lift)")
    assert strong.next_steps == (
        "Update routing to 100% challenger in steps 25/50/100",
        "Archive champion model as v1_backup",
        "Update monitoring dashboards",
    )
    assert make_rollout_decision(report(challenger=0.2, interval=(0.005, 0.095))).decision == "gradual_rollout"


def test_an_improvement_below_the_practical_threshold_keeps_the_champion() -> None:
    """ML-22."""
    plan = make_rollout_decision(report(challenger=0.153, interval=(0.001, 0.005)))
    assert (plan.decision, plan.risk_level, plan.reason) == ("keep_champion", "low", "Improvement too small to justify change (2.0%)")
    assert plan.next_steps == ("Consider cost/benefit of model complexity", "Test on high-value user segments only")


def test_an_interval_that_holds_0_extends_before_day_14_and_keeps_the_champion_from_then_on() -> None:
    """ML-21 and IV.b: without a known plan the day decides."""
    early = make_rollout_decision(report(interval=(-0.01, 0.04), days=13, planned={"old": 91_233, "new": 4_802}))
    assert (early.decision, early.risk_level, early.reason) == ("extend_test", "low", "Not yet significant, need more data")
    assert early.next_steps == ("Continue test until 4802 challenger samples", "Monitor for seasonal effects")
    late = make_rollout_decision(report(interval=(-0.01, 0.04), days=14))
    assert (late.decision, late.risk_level, late.reason) == ("keep_champion", "low", "No significant difference after 14 days")
    assert late.next_steps == ("Consider testing larger changes", "Analyze per-segment performance")
    assert make_rollout_decision(report(interval=(-0.01, 0.04), days=14, max_duration_days=28)).decision == "extend_test"


def test_a_worse_challenger_is_rolled_back() -> None:
    """ML-23."""
    plan = make_rollout_decision(report(challenger=0.13, interval=(-0.03, -0.01), days=2))
    assert (plan.decision, plan.risk_level, plan.reason) == ("rollback", "critical", "Challenger performed worse than champion")
    assert plan.next_steps == (
        "Immediately route 100% to champion",
        "Investigate why challenger underperformed",
        "Retrain with more recent data",
    )


def test_a_metric_that_should_fall_is_turned_round() -> None:
    """IV.c: direction comes from the config."""
    falling = report(champion=0.05, challenger=0.045, interval=(-0.007, -0.003))
    falling["primary_metric"]["direction"] = "decrease"
    assert make_rollout_decision(falling).reason == "Moderate improvement (10.0% lift)"
    falling["primary_metric"]["direction"] = "increase"
    assert make_rollout_decision(falling).decision == "rollback"


def test_a_lift_that_is_not_there_is_compared_with_nothing() -> None:
    """IV.c: relative_lift null must not be compared with a number."""
    plan = make_rollout_decision(report(champion=0.0, challenger=0.01, interval=(0.004, 0.02)))
    assert (plan.decision, plan.risk_level) == ("keep_champion", "low")
    assert "no relative size" in plan.reason


@pytest.mark.parametrize(
    ("verdict", "why", "decision", "risk"),
    [
        ("STRONG_LAUNCH", "strong", "full_rollout", "low"),
        ("LAUNCH", "practical", "gradual_rollout", "medium"),
        ("CONSIDER_LAUNCH", "small", "keep_champion", "low"),
        ("EXTEND_TEST", "plan_incomplete", "extend_test", "low"),
        ("NO_LAUNCH", "inconclusive", "keep_champion", "low"),
        ("NO_LAUNCH", "futile", "keep_champion", "low"),
        ("NO_LAUNCH", "guardrail", "rollback", "critical"),
        ("NO_LAUNCH", "harm", "rollback", "critical"),
        ("ROLLBACK", "harm", "rollback", "critical"),
    ],
)
def test_each_verdict_has_its_plan(verdict: str, why: str, decision: str, risk: str) -> None:
    """V.b, the table of vocabularies."""
    plan = make_rollout_decision(report(verdict=verdict, verdict_reason=why, state="valid", srm={"status": "ok"}, guardrails={}))
    assert (plan.decision, plan.risk_level, plan.unchecked) == (decision, risk, ())


def test_invalid_data_is_fixed_first() -> None:
    """V.b: a null verdict, and a split that is off (ML-24) whatever the verdict says."""
    for broken in ({"verdict": None, "state": "invalid"}, {"verdict": "LAUNCH", "state": "valid", "srm": {"status": "mismatch"}}):
        plan = make_rollout_decision(report(**broken))
        assert (plan.decision, plan.risk_level) == ("extend_test", "high")
        assert plan.next_steps[0].startswith("Fix the data first")
    empty = report(verdict=None, state="not_enough_data")
    empty["primary_metric"] = {"name": "conversion_rate", "confidence_interval": None}
    assert make_rollout_decision(empty).decision == "keep_champion"


def test_a_guardrail_without_data_is_no_pass() -> None:
    """IV.b: status `insufficient` or `no_data` holds the rollout back."""
    for status in ("insufficient", "no_data"):
        blind = {"metrics": {"error_rate": {"value": None, "violated": None, "status": status}}}
        assert make_rollout_decision(report(guardrails=blind)).decision == "keep_champion"
        assert make_rollout_decision(report(guardrails=blind, days=5)).decision == "extend_test"
    unproven = {"error_rate": {"status": "PASS", "non_inferior": False}}
    assert make_rollout_decision(report(challenger=0.2, interval=(0.04, 0.06), guardrails=unproven)).decision == "gradual_rollout"


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"duration_days": 14},
        {"duration_days": 14, "primary_metric": {"champion": 0.1}},
        {**report(), "duration_days": float("nan")},
        {**report(), "verdict": "LUNCH"},
        {**report(), "guardrails": [1]},
    ],
)
def test_a_report_that_says_too_little_is_refused(broken: dict[str, Any]) -> None:
    """ML-20."""
    with pytest.raises(UsageError):
        make_rollout_decision(broken)


NUMBERS = st.floats(-1, 1, allow_nan=False)
STATES = st.sampled_from(["PASS", "WARNING", "ALERT", "UNAVAILABLE"])


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(st.just(0.0), st.floats(1e-6, 1)),
    st.floats(0, 1),
    st.tuples(NUMBERS, NUMBERS).map(lambda ends: tuple(sorted(ends))),
    st.floats(0, 60),
    st.sampled_from([None, "STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH", "EXTEND_TEST", "NO_LAUNCH", "ROLLBACK"]),
    st.dictionaries(st.sampled_from(["error_rate", "p95_latency_ms", "_overall"]), STATES, min_size=1),
    st.sampled_from(["valid", "invalid", None]),
)
def test_a_guardrail_alert_never_ends_in_a_rollout(
    champion: float,
    challenger: float,
    interval: tuple[float, float],
    days: float,
    verdict: str | None,
    states: dict[str, str],
    state: str | None,
) -> None:
    """ML-20: whatever else a report says; and every plan is JSON."""
    rows = {name: {"status": status, "non_inferior": status == "PASS"} for name, status in states.items()}
    more = {} if state is None else {"state": state}
    plan = make_rollout_decision(
        report(champion=champion, challenger=challenger, interval=interval, days=days, verdict=verdict, guardrails=rows, **more)
    )
    if "ALERT" in states.values():
        assert (plan.decision, plan.risk_level) == ("rollback", "critical")
    if plan.decision == "full_rollout" and verdict is None:
        assert interval[0] > 0.2 * champion
    json.dumps(plan.to_dict(), allow_nan=False)
