"""The decision rule as a table: the first row that applies decides.

Rows, verdicts, reasons, confidence and risk are those of the project's decision
table (docs/reference/decisions.md); a test walks the table row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fairtrial.decisions.decision import Confidence, Decision, Risk, State, Verdict
from fairtrial.decisions.evidence import Evidence, Policy
from fairtrial.decisions.wording import next_steps, reasoning
from fairtrial.spec.decision_table import ALLOWED


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a rule says when it applies."""

    verdict: Verdict | None
    reason: str
    confidence: Confidence | None
    risk: Risk
    state: State = "valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of the table."""

    number: str
    applies: Callable[[Evidence, Policy], bool]
    outcome: Callable[[Evidence], Outcome]


def decide(evidence: Evidence, policy: Policy) -> Decision:
    """Read the evidence by the table.

    Returns:
        The decision of the first rule that applies, with its reasons in order.
    """
    rule, outcome = read_table(evidence, policy)
    usual = rule.outcome(evidence).verdict
    launched = outcome.verdict in LAUNCHES
    risk: Risk = outcome.risk
    if launched and evidence.guardrails == "WARNING" and risk == "low":
        risk = "medium"
    own = policy.overrides.get(rule.number) if rule.number in ALLOWED else None
    because = reasoning(rule.number, evidence, policy)
    steps = next_steps(
        outcome.verdict,
        outcome.reason if outcome.verdict == usual else STEPS_OF[outcome.verdict],
        outcome.state,
        evidence,
        own=None if own is None else own.next_steps,
        mitigate=launched and "LAUNCH" in {usual, outcome.verdict},
    )
    return Decision(
        verdict=outcome.verdict,
        state=outcome.state,
        rule=rule.number,
        reason=outcome.reason,
        confidence=outcome.confidence,
        risk_level=risk,
        reasoning=because if own is None else (*because, _on_override(rule.number, usual, outcome.verdict)),
        next_steps=steps,
    )


def read_table(evidence: Evidence, policy: Policy) -> tuple[Rule, Outcome]:
    """The first rule that applies and what it says, as the plan's own table has it."""
    rule = next(rule for rule in RULES if rule.applies(evidence, policy))
    outcome = rule.outcome(evidence)
    allowed, own = ALLOWED.get(rule.number), policy.overrides.get(rule.number)
    if allowed is None or own is None:
        return rule, outcome
    return rule, replace(
        outcome,
        verdict=own.verdict if own.verdict in allowed else outcome.verdict,
        confidence=own.confidence or outcome.confidence,
        risk=own.risk or outcome.risk,
    )


def _on_override(number: str, usual: Verdict | None, verdict: Verdict | None) -> str:
    """That the plan's own table spoke, and what the usual one would have said."""
    if usual == verdict:
        return f"the plan's own decision table has its own words for rule {number}"
    return f"the plan's own decision table makes rule {number} {verdict}; it is {usual} otherwise"


def best_treatment(decisions: dict[str, Decision], lower_bounds: dict[str, float | None]) -> str:
    """The treatment that speaks for the experiment: the best lower bound among those not stopped.

    Args:
        decisions: By treatment, in declared order.
        lower_bounds: Lower end of each improvement's interval; None where there is none.
    """
    going = [key for key, decision in decisions.items() if decision.reason not in STOPPED]
    candidates: Sequence[str] = going or list(decisions)

    def rank(key: str) -> tuple[bool, float]:
        low = lower_bounds[key]
        return (low is not None, low if low is not None else 0.0)

    return max(candidates, key=rank)


LAUNCHES: frozenset[Verdict | None] = frozenset({"STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH"})
"""Verdicts that put the treatment before more units."""

STEPS_OF: Mapping[Verdict | None, str] = {"LAUNCH": "practical", "CONSIDER_LAUNCH": "small", "NO_LAUNCH": "held_back"}
"""By a verdict that is not the rule's own, the reason whose next steps fit it."""

STOPPED = frozenset({"guardrail", "harm"})
"""Reasons that take a treatment out of the running."""


def _benefit(e: Evidence, p: Policy) -> bool:
    return e.interval is not None and e.significant and e.interval.low > _null(p)


def _null(p: Policy) -> float:
    return -p.margin if p.objective == "non_inferiority" else 0.0


def _harm(e: Evidence, p: Policy) -> bool:
    return e.harm_interval is not None and e.harm_interval.high < _null(p)


def _incomplete(e: Evidence, _: Policy) -> bool:
    return not e.min_days_met or (e.fixed_horizon and not e.plan_complete)


def _guardrail_missing(e: Evidence, p: Policy) -> bool:
    return _benefit(e, p) and e.guardrails == "UNAVAILABLE"


def _strong(e: Evidence, p: Policy) -> bool:
    low = _scaled_low(e, p)
    safe = e.guardrails in {None, "PASS"} and e.guardrails_non_inferior
    return _benefit(e, p) and p.strong is not None and low is not None and low > p.strong and safe


def _practical(e: Evidence, p: Policy) -> bool:
    if p.objective == "non_inferiority":
        return _benefit(e, p)
    size = e.lift if p.scale == "relative" else e.effect
    return _benefit(e, p) and p.practical is not None and size is not None and size >= p.practical


def _futile(e: Evidence, p: Policy) -> bool:
    if p.objective == "non_inferiority":
        return e.interval is not None and e.interval.high < -p.margin
    bounds = e.lift_interval if p.scale == "relative" else e.interval
    return p.practical is not None and bounds is not None and bounds.high < p.practical


def _going_on(e: Evidence, p: Policy) -> bool:
    if e.gave_up:
        return False
    return e.looks_left and (e.conditional_power is None or e.conditional_power >= p.futility_power)


def _scaled_low(e: Evidence, p: Policy) -> float | None:
    bounds = e.lift_interval if p.scale == "relative" else e.interval
    return None if bounds is None else bounds.low


def _always(*_: object) -> bool:
    return True


def _stop(reason: str) -> Callable[[Evidence], Outcome]:
    def outcome(e: Evidence) -> Outcome:
        if e.live:
            return Outcome(verdict="ROLLBACK", reason=reason, confidence="HIGH", risk="critical")
        return Outcome(verdict="NO_LAUNCH", reason=reason, confidence="HIGH", risk="high")

    return outcome


def _fixed(verdict: Verdict, reason: str, confidence: Confidence, risk: Risk) -> Callable[[Evidence], Outcome]:
    def outcome(_: Evidence) -> Outcome:
        return Outcome(verdict=verdict, reason=reason, confidence=confidence, risk=risk)

    return outcome


def _invalid(_: Evidence) -> Outcome:
    return Outcome(verdict=None, reason="invalid", confidence=None, risk="high", state="invalid")


def _too_little(e: Evidence) -> Outcome:
    if e.max_days_reached:
        return Outcome(verdict=None, reason="not_enough_data", confidence="LOW", risk="low", state="not_enough_data")
    return Outcome(verdict="EXTEND_TEST", reason="plan_incomplete", confidence="LOW", risk="low")


def _continue(e: Evidence) -> Outcome:
    reason = "promising" if e.effect is not None and e.effect > 0 else "plan_incomplete"
    return Outcome(verdict="EXTEND_TEST", reason=reason, confidence="LOW", risk="low")


def _no_evidence(e: Evidence) -> Outcome:
    return Outcome(verdict="NO_LAUNCH", reason="futile" if e.looks_left else "inconclusive", confidence="LOW", risk="low")


def _no_guardrail_data(e: Evidence) -> Outcome:
    verdict: Verdict = "NO_LAUNCH" if e.max_days_reached else "EXTEND_TEST"
    return Outcome(verdict=verdict, reason="guardrail_unavailable", confidence="LOW", risk="medium")


RULES: tuple[Rule, ...] = (
    Rule(number="0", applies=lambda e, _: bool(e.invalid), outcome=_invalid),
    Rule(number="0b", applies=lambda e, _: e.insufficient is not None, outcome=_too_little),
    Rule(number="1", applies=lambda e, _: e.guardrails == "ALERT", outcome=_stop("guardrail")),
    Rule(number="2", applies=_harm, outcome=_stop("harm")),
    Rule(number="3", applies=_incomplete, outcome=_fixed("EXTEND_TEST", "plan_incomplete", "LOW", "low")),
    Rule(number="4", applies=_guardrail_missing, outcome=_no_guardrail_data),
    Rule(number="5", applies=_strong, outcome=_fixed("STRONG_LAUNCH", "strong", "HIGH", "low")),
    Rule(number="6", applies=_practical, outcome=_fixed("LAUNCH", "practical", "MEDIUM-HIGH", "medium")),
    Rule(number="7", applies=_benefit, outcome=_fixed("CONSIDER_LAUNCH", "small", "MEDIUM", "medium")),
    Rule(number="8", applies=_futile, outcome=_fixed("NO_LAUNCH", "futile", "MEDIUM", "low")),
    Rule(number="9", applies=_going_on, outcome=_continue),
    Rule(number="10", applies=_always, outcome=_no_evidence),
)
"""In order. Rule 9 belongs to sequential plans, which may have looks left."""
