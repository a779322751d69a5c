"""What a decision says under a Bayesian plan (V.b, 504): nothing that needs a controlled error rate."""

from dataclasses import replace

import pytest

from fairtrial.decisions import Evidence, Policy, decide
from fairtrial.stats.result import Interval

LAUNCHED = Evidence(
    invalid=(),
    insufficient=None,
    effect=0.02,
    interval=Interval(low=0.01, high=0.03),
    lift=0.20,
    lift_interval=Interval(low=0.04, high=0.30),
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
    error_controlled=False,
)
NOTHING = Interval(low=-0.01, high=0.002)
INCONCLUSIVE = replace(
    LAUNCHED,
    effect=0.001,
    interval=Interval(low=-0.02, high=0.03),
    lift=0.01,
    lift_interval=Interval(low=-0.2, high=0.3),
    significant=False,
    harm_interval=None,
)
HARMED = replace(LAUNCHED, effect=-0.02, interval=Interval(low=-0.03, high=-0.01), harm_interval=Interval(low=-0.03, high=-0.01), live=True)
CASES = {
    "strong": replace(LAUNCHED, lift_interval=Interval(low=0.1, high=0.3)),
    "practical": LAUNCHED,
    "small": replace(LAUNCHED, lift=0.03, lift_interval=Interval(low=0.01, high=0.06)),
    "plan_incomplete": replace(LAUNCHED, plan_complete=False),
    "inconclusive": INCONCLUSIVE,
    "futile": replace(INCONCLUSIVE, interval=NOTHING, lift_interval=Interval(low=-0.1, high=0.02)),
    "harm": HARMED,
}
FIVE_PERCENT = Policy(practical=0.05, strong=0.05, origin="declared")


def said(evidence):
    decision = decide(evidence, FIVE_PERCENT)
    return decision.reason, " ".join((*decision.reasoning, *decision.next_steps))


@pytest.mark.parametrize("reason", CASES)
def test_a_posterior_never_claims_to_control_or_rule_out(reason):
    found, text = said(CASES[reason])
    assert found == reason
    assert "controls the error" not in text
    assert "ruled out" not in text
    assert "credible interval" in text


@pytest.mark.parametrize("reason", ["strong", "practical", "small"])
def test_a_launch_names_the_rate_that_nobody_promised_and_how_to_measure_it(reason):
    _, text = said(CASES[reason])
    assert "is not controlled: `fairtrial oc` measures it" in text


def test_a_plan_that_tests_still_says_what_its_plan_does():
    """The other half: with a controlled error the sentences are the old ones, and nothing points away from the plan."""
    _, text = said(replace(CASES["plan_incomplete"], error_controlled=True))
    assert "the plan controls the error" in text
    assert "credible" not in text
    _, launched = said(replace(LAUNCHED, error_controlled=True))
    assert "fairtrial oc" not in launched
    _, futile = said(replace(CASES["futile"], error_controlled=True))
    assert "ruled out" in futile


def test_without_a_size_a_plan_that_has_not_ended_is_not_said_to_be_read_as_complete():
    _, waiting = said(replace(CASES["plan_incomplete"], planned=False))
    assert "read as complete" not in waiting
    assert "what ends the plan has not come yet" in waiting
    _, ended = said(replace(LAUNCHED, planned=False))
    assert "read as complete" in ended
