"""The decision table, row by row (REQUIREMENTS V.b, G-15, XC-24)."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.decisions import RULES, Evidence, Policy, best_treatment, decide
from fairtrial.decisions.decision import Decision
from fairtrial.stats.result import Interval

CLEAR_WIN = Evidence(
    invalid=(),
    insufficient=None,
    effect=0.02,
    interval=Interval(low=0.01, high=0.03),
    lift=0.20,
    lift_interval=Interval(low=0.10, high=0.30),
    significant=True,
    harm_interval=Interval(low=0.01, high=0.03),
    guardrails="PASS",
    guardrails_non_inferior=True,
    guardrail_reasons=(),
    planned=True,
    plan_complete=True,
    fixed_horizon=True,
    looks_left=False,
    conditional_power=None,
    min_days_met=True,
    max_days_reached=False,
    live=False,
)
FIVE_PERCENT = Policy(practical=0.05, strong=0.05, origin="declared")

INVALID = replace(CLEAR_WIN, invalid=("the arms do not have their planned sizes",))
TOO_LITTLE = replace(CLEAR_WIN, insufficient="nobody converted", interval=None, effect=None, lift=None, lift_interval=None)
HARMED = replace(
    CLEAR_WIN,
    effect=-0.02,
    interval=Interval(low=-0.03, high=-0.01),
    harm_interval=Interval(low=-0.03, high=-0.01),
    lift=-0.2,
    lift_interval=Interval(low=-0.3, high=-0.1),
)
UNDECIDED = replace(
    CLEAR_WIN,
    effect=0.001,
    interval=Interval(low=-0.02, high=0.03),
    harm_interval=None,
    lift=0.01,
    lift_interval=Interval(low=-0.2, high=0.3),
    significant=False,
)
UNFINISHED = replace(CLEAR_WIN, plan_complete=False, harm_interval=Interval(low=-0.01, high=0.05))
BETWEEN_LOOKS = replace(UNDECIDED, plan_complete=False, fixed_horizon=False, looks_left=True, conditional_power=0.6)
LOSING = replace(BETWEEN_LOOKS, effect=-0.001, lift=-0.01)

ROWS = [
    ("0", INVALID, None, "invalid", None, "high"),
    ("0b", TOO_LITTLE, "EXTEND_TEST", "plan_incomplete", "LOW", "low"),
    ("0b", replace(TOO_LITTLE, max_days_reached=True), None, "not_enough_data", "LOW", "low"),
    ("1", replace(CLEAR_WIN, guardrails="ALERT"), "NO_LAUNCH", "guardrail", "HIGH", "high"),
    ("1", replace(CLEAR_WIN, guardrails="ALERT", live=True), "ROLLBACK", "guardrail", "HIGH", "critical"),
    ("2", HARMED, "NO_LAUNCH", "harm", "HIGH", "high"),
    ("2", replace(HARMED, live=True), "ROLLBACK", "harm", "HIGH", "critical"),
    ("3", UNFINISHED, "EXTEND_TEST", "plan_incomplete", "LOW", "low"),
    ("3", replace(CLEAR_WIN, min_days_met=False), "EXTEND_TEST", "plan_incomplete", "LOW", "low"),
    ("4", replace(CLEAR_WIN, guardrails="UNAVAILABLE"), "EXTEND_TEST", "guardrail_unavailable", "LOW", "medium"),
    ("4", replace(CLEAR_WIN, guardrails="UNAVAILABLE", max_days_reached=True), "NO_LAUNCH", "guardrail_unavailable", "LOW", "medium"),
    ("5", CLEAR_WIN, "STRONG_LAUNCH", "strong", "HIGH", "low"),
    ("6", replace(CLEAR_WIN, guardrails_non_inferior=False), "LAUNCH", "practical", "MEDIUM-HIGH", "medium"),
    ("6", replace(CLEAR_WIN, guardrails="WARNING"), "LAUNCH", "practical", "MEDIUM-HIGH", "medium"),
    ("7", replace(CLEAR_WIN, lift=0.03, lift_interval=Interval(low=0.01, high=0.05)), "CONSIDER_LAUNCH", "small", "MEDIUM", "medium"),
    ("8", replace(UNDECIDED, lift_interval=Interval(low=-0.02, high=0.04)), "NO_LAUNCH", "futile", "MEDIUM", "low"),
    (
        "6",
        replace(CLEAR_WIN, fixed_horizon=False, looks_left=True, plan_complete=False, guardrails_non_inferior=False),
        "LAUNCH",
        "practical",
        "MEDIUM-HIGH",
        "medium",
    ),
    ("9", BETWEEN_LOOKS, "EXTEND_TEST", "promising", "LOW", "low"),
    ("9", LOSING, "EXTEND_TEST", "plan_incomplete", "LOW", "low"),
    ("9", replace(LOSING, conditional_power=None), "EXTEND_TEST", "plan_incomplete", "LOW", "low"),
    ("9", replace(LOSING, conditional_power=0.2), "EXTEND_TEST", "plan_incomplete", "LOW", "low"),
    ("10", replace(LOSING, conditional_power=0.19), "NO_LAUNCH", "futile", "LOW", "low"),
    ("10", UNDECIDED, "NO_LAUNCH", "inconclusive", "LOW", "low"),
]


@pytest.mark.parametrize(("number", "evidence", "verdict", "reason", "confidence", "risk"), ROWS)
def test_each_row_gives_its_verdict_reason_confidence_and_risk(number, evidence, verdict, reason, confidence, risk):
    """V.b, the table."""
    decision = decide(evidence, FIVE_PERCENT)
    assert (decision.rule, decision.verdict, decision.reason) == (number, verdict, reason)
    assert (decision.confidence, decision.risk_level) == (confidence, risk)
    assert decision.reasoning
    assert decision.next_steps


def test_every_rule_of_the_table_is_reached_by_a_row():
    assert {row[0] for row in ROWS} == {rule.number for rule in RULES}


def test_harm_before_the_plan_is_complete_needs_the_always_valid_interval():
    """V.b: before the first complete read the fixed interval is not read, not even for harm."""
    early = replace(HARMED, plan_complete=False, harm_interval=Interval(low=-0.06, high=0.02), live=True)
    assert decide(early, FIVE_PERCENT).verdict == "EXTEND_TEST"
    sure = replace(early, harm_interval=Interval(low=-0.06, high=-0.001))
    assert decide(sure, FIVE_PERCENT).verdict == "ROLLBACK"


def test_a_futile_look_says_what_power_is_left_and_to_stop():
    """V.b rules 9 and 10: conditional power at the planned MDE below .20."""
    futile = decide(replace(BETWEEN_LOOKS, conditional_power=0.05), FIVE_PERCENT)
    assert any("0.05, below the 0.2" in sentence for sentence in futile.reasoning)
    assert futile.next_steps[0].startswith("Stop")
    going = decide(BETWEEN_LOOKS, FIVE_PERCENT)
    assert any("0.60, at least the 0.2" in sentence for sentence in going.reasoning)


def test_an_interval_above_zero_without_significance_is_no_benefit():
    """G-12: L > 0 is read only together with p < alpha (Fisher on small counts may disagree with the interval)."""
    small = replace(CLEAR_WIN, significant=False)
    assert decide(small, FIVE_PERCENT).verdict == "NO_LAUNCH"


def test_without_a_threshold_size_is_not_judged_and_that_is_said():
    """V.b: without m rules 5, 6 and 8 are skipped and that is said."""
    decision = decide(CLEAR_WIN, Policy())
    assert decision.verdict == "CONSIDER_LAUNCH"
    assert any("no practical threshold" in sentence for sentence in decision.reasoning)


def test_no_guardrails_declared_passes_and_says_so():
    decision = decide(replace(CLEAR_WIN, guardrails=None), FIVE_PERCENT)
    assert decision.verdict == "STRONG_LAUNCH"
    assert "no guardrails were declared" in decision.reasoning


def test_a_guardrail_warning_bars_the_strong_launch_and_asks_for_mitigation():
    warned = replace(CLEAR_WIN, guardrails="WARNING", guardrail_reasons=("guardrail latency warns",))
    decision = decide(warned, FIVE_PERCENT)
    assert decision.verdict == "LAUNCH"
    assert any("Mitigate" in step for step in decision.next_steps)


def test_non_inferiority_reads_the_interval_against_the_margin():
    """V.b: rules 2 and 5-7 read L, U against -d, rule 6 needs no m."""
    policy = Policy(objective="non_inferiority", margin=0.02)
    near_zero = replace(
        CLEAR_WIN, effect=0.0, interval=Interval(low=-0.01, high=0.01), lift=0.0, lift_interval=Interval(low=-0.1, high=0.1)
    )
    assert decide(near_zero, policy).verdict == "LAUNCH"
    worse = replace(near_zero, interval=Interval(low=-0.05, high=-0.03), harm_interval=Interval(low=-0.05, high=-0.03))
    assert decide(worse, policy).reason == "harm"
    open_end = replace(near_zero, interval=Interval(low=-0.05, high=0.03), significant=False)
    assert decide(open_end, policy).reason == "inconclusive"


def test_absolute_thresholds_stand_in_where_the_control_is_not_positive():
    absolute = Policy(practical=0.01, strong=0.05, scale="absolute", origin="declared")
    negative_base = replace(CLEAR_WIN, lift=None, lift_interval=None)
    assert decide(negative_base, absolute).verdict == "LAUNCH"
    assert decide(negative_base, FIVE_PERCENT).verdict == "CONSIDER_LAUNCH"


def test_invalid_data_with_an_alarm_while_live_stops_the_traffic():
    alarm = replace(INVALID, guardrails="ALERT", live=True)
    decision = decide(alarm, FIVE_PERCENT)
    assert decision.state == "invalid"
    assert decision.next_steps[0].startswith("Stop the traffic")


def test_the_experiment_speaks_for_the_best_treatment_that_is_not_stopped():
    harmed, win = decide(HARMED, FIVE_PERCENT), decide(CLEAR_WIN, FIVE_PERCENT)
    guarded = decide(replace(CLEAR_WIN, guardrails="ALERT"), FIVE_PERCENT)
    lows = {"a": -0.03, "b": 0.01, "c": 0.02}
    assert best_treatment({"a": harmed, "b": win, "c": guarded}, lows) == "b"
    assert best_treatment({"a": harmed, "c": guarded}, lows) == "c"
    assert best_treatment({"x": win, "y": win}, {"x": None, "y": 0.0}) == "y"


bounds = st.tuples(st.floats(-1, 1), st.floats(0, 1)).map(lambda t: Interval(low=t[0], high=t[0] + t[1]))
states = st.sampled_from([None, "PASS", "WARNING", "ALERT", "UNAVAILABLE"])
evidences = st.builds(
    Evidence,
    invalid=st.sampled_from([(), ("srm",)]),
    insufficient=st.sampled_from([None, "nobody converted"]),
    effect=st.floats(-1, 1),
    interval=st.none() | bounds,
    lift=st.none() | st.floats(-1, 1),
    lift_interval=st.none() | bounds,
    significant=st.booleans(),
    harm_interval=st.none() | bounds,
    guardrails=states,
    guardrails_non_inferior=st.booleans(),
    guardrail_reasons=st.just(("guardrail x warns",)),
    planned=st.booleans(),
    plan_complete=st.booleans(),
    fixed_horizon=st.booleans(),
    looks_left=st.booleans(),
    conditional_power=st.none() | st.floats(0, 1),
    min_days_met=st.booleans(),
    max_days_reached=st.booleans(),
    live=st.booleans(),
)
LAUNCHES = {"STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH"}


@given(evidences, st.sampled_from([FIVE_PERCENT, Policy(), Policy(objective="non_inferiority", margin=0.1)]))
@settings(max_examples=400, deadline=None)
def test_no_evidence_launches_against_an_alarm_missing_data_or_an_unfinished_plan(evidence: Evidence, policy: Policy):
    """V.c: a secondary ALERT must stop a launch; no guardrail data is not a pass."""
    decision: Decision = decide(evidence, policy)
    if decision.verdict in LAUNCHES:
        assert not evidence.invalid
        assert evidence.guardrails not in {"ALERT", "UNAVAILABLE"}
        assert evidence.plan_complete or not evidence.fixed_horizon
        assert evidence.min_days_met
        assert evidence.significant
        assert evidence.interval is not None
        assert evidence.interval.low > -policy.margin
    assert (decision.verdict is None) == (decision.state != "valid")
