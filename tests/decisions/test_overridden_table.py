"""The decision table as a plan may change it: by data, more careful, never towards a launch (XC-24, XC-37)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_rules import BETWEEN_LOOKS, CLEAR_WIN, FIVE_PERCENT, UNDECIDED, evidences

from fairtrial import parse_spec
from fairtrial.decisions import RULES, Override, decide
from fairtrial.errors import SpecError
from fairtrial.evaluation.evidence import policy_of
from fairtrial.spec.decision_table import ALLOWED
from fairtrial.stats.result import Interval, Unavailable

LAUNCHES = {"STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH"}
CARE = ("STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH", "EXTEND_TEST", "NO_LAUNCH", "ROLLBACK")
SMALL = replace(CLEAR_WIN, lift=0.03, lift_interval=Interval(low=0.01, high=0.05))
PLAIN = replace(CLEAR_WIN, guardrails_non_inferior=False)

overrides = st.dictionaries(
    st.sampled_from([rule.number for rule in RULES]),
    st.builds(
        Override,
        verdict=st.none() | st.sampled_from(CARE),
        confidence=st.none() | st.sampled_from(["LOW", "HIGH"]),
        risk=st.none() | st.sampled_from(["low", "critical"]),
        next_steps=st.none() | st.just(("Ask.",)),
    ),
)


def spec(table):
    return parse_spec(
        {
            "key": "shop",
            "arms": ["control", "treatment"],
            "metrics": [{"key": "bought", "kind": "proportion"}],
            "plan": {"decision_table": table},
        }
    )


def read(evidence, table):
    own = policy_of(spec(table), Unavailable(code="pending", reason="No estimate yet.")).overrides
    return decide(evidence, replace(FIVE_PERCENT, overrides=own))


KNOWN = (
    CLEAR_WIN,
    PLAIN,
    SMALL,
    UNDECIDED,
    BETWEEN_LOOKS,
    *(replace(CLEAR_WIN, guardrails=g) for g in ("ALERT", "WARNING", "UNAVAILABLE")),
)


@pytest.mark.parametrize("evidence", [SMALL, UNDECIDED, BETWEEN_LOOKS], ids=["7", "10", "9"])
def test_a_less_careful_verdict_is_not_obeyed_even_past_the_spec(evidence):
    usual = decide(evidence, FIVE_PERCENT)
    bold = {rule.number: Override(verdict="STRONG_LAUNCH") for rule in RULES if rule.number != "5"}
    assert decide(evidence, replace(FIVE_PERCENT, overrides=bold)).verdict == usual.verdict


@given(evidence=st.sampled_from(KNOWN) | evidences, own=overrides)
def test_no_table_launches_what_the_usual_one_does_not(evidence, own):
    """V.c: a launch needs L > 0, an ALERT stops one; whatever the overrides, even such as a spec refuses."""
    usual, decision = decide(evidence, FIVE_PERCENT), decide(evidence, replace(FIVE_PERCENT, overrides=own))
    assert decision.rule == usual.rule
    assert (decision.reason, decision.state) == (usual.reason, usual.state)
    if usual.verdict is None:
        assert decision.verdict is None
    else:
        assert CARE.index(decision.verdict) >= CARE.index(usual.verdict)
    if decision.verdict in LAUNCHES:
        assert evidence.guardrails not in {"ALERT", "UNAVAILABLE"}
        assert evidence.interval.low > 0
        assert evidence.significant
        assert not evidence.invalid
    if decision.rule in {"0", "0b", "1", "2", "3", "4"}:
        assert decision == usual
    if decision.verdict in LAUNCHES and evidence.guardrails == "WARNING":
        assert decision.risk_level != "low"


@pytest.mark.parametrize(
    ("evidence", "table", "verdict", "said", "step"),
    [
        (SMALL, {7: {"verdict": "NO_LAUNCH"}}, "NO_LAUNCH", "makes rule 7 NO_LAUNCH; it is CONSIDER_LAUNCH otherwise", "Do not launch"),
        (PLAIN, {"6": {"verdict": "CONSIDER_LAUNCH"}}, "CONSIDER_LAUNCH", "makes rule 6 CONSIDER_LAUNCH", "Weigh the gain"),
        (CLEAR_WIN, {"5": {"verdict": "LAUNCH"}}, "LAUNCH", "makes rule 5 LAUNCH", "Launch in stages"),
        (BETWEEN_LOOKS, {"9": {"verdict": "NO_LAUNCH"}}, "NO_LAUNCH", "makes rule 9 NO_LAUNCH", "Do not launch"),
        (UNDECIDED, {"10": {"risk": "high", "next_steps": ["Ask Ada."]}}, "NO_LAUNCH", "has its own words for rule 10", "Ask Ada."),
    ],
    ids=["7-none", "6-consider", "5-launch", "9-stop", "10-words"],
)
def test_an_overridden_rule_says_so(evidence, table, verdict, said, step):
    decision = read(evidence, table)
    assert decision.verdict == verdict
    assert any(said in sentence for sentence in decision.reasoning)
    assert decision.next_steps[0].startswith(step)


def test_what_a_table_leaves_out_stays_and_other_rules_are_not_touched():
    decision, usual = read(SMALL, {"7": {"confidence": "LOW"}}), decide(SMALL, FIVE_PERCENT)
    assert (decision.verdict, decision.risk_level, decision.confidence) == (usual.verdict, usual.risk_level, "LOW")
    assert decision.next_steps == usual.next_steps
    assert read(CLEAR_WIN, {"7": {"verdict": "NO_LAUNCH"}}) == decide(CLEAR_WIN, FIVE_PERCENT)


def test_a_warning_keeps_its_step_and_its_risk():
    """V.b: a WARNING keeps LAUNCH with mitigation text and risk at least medium, own words or not."""
    warned = replace(PLAIN, guardrails="WARNING", guardrail_reasons=("latency warns",))
    decision = read(warned, {"6": {"verdict": "CONSIDER_LAUNCH", "risk": "low", "next_steps": ["Ask Ada."]}})
    assert decision.risk_level == "medium"
    assert decision.next_steps == ("Ask Ada.", "Mitigate the guardrail warning first: latency warns.")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"1": {"verdict": "NO_LAUNCH"}}, "rule '1' cannot be overridden"),
        ({"0b": {"risk": "low"}}, "rule '0b' cannot be overridden"),
        ({"7": {"verdict": "LAUNCH"}}, "rule 7 may be CONSIDER_LAUNCH or NO_LAUNCH, got LAUNCH"),
        ({"10": {"verdict": "STRONG_LAUNCH"}}, "never less"),
        ({"6": {"verdict": "EXTEND_TEST"}}, "no row sends a finished plan back"),
        ({"6": {"verdict": "ROLLBACK"}}, "ROLLBACK"),
        ({"6": {}}, "rule 6 changes nothing"),
        ({"6": {"risks": "low"}}, "risk"),
        ({"6": {"next_steps": []}}, "next_steps"),
    ],
)
def test_a_table_that_is_less_careful_is_refused(table, said):
    with pytest.raises(SpecError, match=said):
        spec(table)


def test_the_table_is_part_of_the_design():
    """A changed rule is another experiment; none said is the usual one."""
    assert spec({}).spec_hash == parse_spec({**spec({}).model_dump(mode="json"), "plan": {}}).spec_hash
    assert spec({7: {"verdict": "NO_LAUNCH"}}).spec_hash != spec({}).spec_hash
    again = parse_spec(spec({7: {"verdict": "NO_LAUNCH"}}).model_dump(mode="json"))
    assert again.plan.decision_table["7"].verdict == "NO_LAUNCH"


def test_every_rule_that_may_be_overridden_keeps_its_own_verdict():
    """The list of what is allowed begins with what the rule says anyway."""
    for rule in RULES:
        if rule.number in ALLOWED:
            assert ALLOWED[rule.number][0] == rule.outcome(CLEAR_WIN).verdict
