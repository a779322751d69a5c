"""The next step of a staged rollout: evidence and policy in, one of five decisions out (AD-10, AD-14, AD-15).

The evidence is read by the decision table of every experiment (`decisions.rules`), and its verdict
by the stage rule, the first line that applies:

| line | when                                                                     | decision                                   |
| ---- | ------------------------------------------------------------------------ | ------------------------------------------ |
| 1    | the data cannot be trusted                                               | ROLLBACK on an alert or kill, else HOLD    |
| 2    | ROLLBACK, or NO_LAUNCH by guardrail or harm                              | ROLLBACK                                   |
| 3    | STRONG_LAUNCH or LAUNCH                                                  | ROLLOUT; HOLD for LAUNCH with a warning    |
| 4    | CONSIDER_LAUNCH                                                          | HOLD                                       |
| 5    | any other NO_LAUNCH                                                      | HOLD                                       |
| 6    | a guardrail warns or cannot be read                                      | HOLD                                       |
| 7    | EXTEND_TEST, the stage's days and users are met, the next stage is not 1 | RAMP_UP                                    |
| 8    | else                                                                     | CONTINUE                                   |

Limits of adaptation (`min_trials`, `max_step`, `min_weight`) are named where they acted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fairtrial.decisions.decision import Decision, GuardrailState, State, Verdict
from fairtrial.decisions.evidence import Evidence, Policy
from fairtrial.decisions.ramp_evidence import RolloutEvidence, RolloutPolicy
from fairtrial.decisions.ramp_guardrails import GuardrailReading, overall, read_harm
from fairtrial.decisions.ramp_looks import PrimaryReading, read_primary, saved_user_days
from fairtrial.decisions.rules import decide
from fairtrial.stats.srm import srm_test

RolloutStep = Literal["CONTINUE", "RAMP_UP", "ROLLOUT", "HOLD", "ROLLBACK"]
Constraint = Literal["min_trials", "max_step", "min_weight"]

MISMATCH, WARNING = 0.001, 0.01
"""P-values of the sample-ratio check below which the data cannot be trusted, and below which it warns (G-11)."""

SHARE_DIGITS = 12
"""Shares are rounded to so many digits, so that 0.1 + 0.2 is 0.3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioCheck:
    """The sample-ratio check of the stage.

    Attributes:
        status: `ok`, `warning`, `mismatch`, or `skipped` where there is nothing to compare.
        chi_square: Pearson's statistic; None where skipped.
        p_value: Its p-value; None where skipped.
    """

    status: Literal["ok", "warning", "mismatch", "skipped"]
    chi_square: float | None
    p_value: float | None

    def to_dict(self) -> dict[str, object]:
        """The check as plain JSON."""
        return {"chi_square": self.chi_square, "p_value": self.p_value, "status": self.status}


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutDecision:
    """What to do with a staged rollout now.

    Attributes:
        decision: One of five.
        verdict: Of the decision table; None where the data cannot be trusted or are too few.
        state: `valid`, `invalid` or `not_enough_data`.
        stage: Share of the treatment that the evidence comes from.
        next_stage: Share of the next stage; None after the last.
        target_share: Share to go to if the decision is applied, within the limits.
        reasons: Stable codes of why.
        constraints: Limits of adaptation that acted.
        explanation: Sentences for people, the limits that acted among them.
        primary: The primary metric; None where it has no estimate yet.
        guardrails: Each guardrail.
        overall: Worst of them; None where none is declared.
        srm: The sample-ratio check.
        stop_day: Day on which the test ends by this decision; None where it goes on.
        saved_user_days: User-days the stop saves; None where it goes on or the daily users are not known.
    """

    decision: RolloutStep
    verdict: Verdict | None
    state: State
    stage: float
    next_stage: float | None
    target_share: float
    reasons: tuple[str, ...]
    constraints: tuple[Constraint, ...]
    explanation: tuple[str, ...]
    primary: PrimaryReading | None
    guardrails: tuple[GuardrailReading, ...]
    overall: GuardrailState | None
    srm: RatioCheck
    stop_day: int | None
    saved_user_days: float | None

    def to_dict(self) -> dict[str, object]:
        """The decision as plain JSON."""
        return {
            "decision": self.decision,
            "verdict": self.verdict,
            "state": self.state,
            "stage": self.stage,
            "next_stage": self.next_stage,
            "target_share": self.target_share,
            "reasons": list(self.reasons),
            "constraints": list(self.constraints),
            "explanation": list(self.explanation),
            "primary": None if self.primary is None else self.primary.to_dict(),
            "guardrails": [reading.to_dict() for reading in self.guardrails],
            "overall": self.overall,
            "srm": self.srm.to_dict(),
            "stop_day": self.stop_day,
            "saved_user_days": self.saved_user_days,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """Everything that was read, before the stage rule."""

    evidence: RolloutEvidence
    policy: RolloutPolicy
    primary: PrimaryReading | None
    missing: str | None
    guardrails: tuple[GuardrailReading, ...]
    overall: GuardrailState | None
    srm: RatioCheck
    decided: Decision

    @property
    def killed(self) -> bool:
        """Whether the estimate is as bad as the kill threshold."""
        limit, primary = self.policy.kill_threshold, self.primary
        return limit is not None and primary is not None and primary.improvement is not None and primary.improvement <= -limit

    @property
    def guardrail_reason(self) -> str:
        """The code of the guardrails' state."""
        return (
            "no_guardrails" if self.overall is None else {"PASS": "guardrails_pass"}.get(self.overall, f"guardrail_{self.overall.lower()}")
        )

    @property
    def users(self) -> tuple[int, int]:
        """Users of the stage by arm."""
        return _users(self.evidence)


def decide_rollout(evidence: RolloutEvidence, policy: RolloutPolicy | None = None) -> RolloutDecision:
    """Decide the next step of a staged rollout.

    Args:
        evidence: Summaries of the day.
        policy: The rules; default: 7 to 14 days, 5%, O'Brien-Fleming spending.

    Returns:
        The decision with everything it rests on. It changes nothing by itself.

    Raises:
        UsageError: A number breaks its rule.
    """
    facts = _read(evidence, policy or RolloutPolicy())
    step, reasons = _stage_rule(facts)
    target, limits = _target(facts, step)
    if step == "RAMP_UP" and target <= evidence.stage:
        step, reasons = "CONTINUE", ("held_by_limits",)
    if step == "CONTINUE" and "stage_minimum_not_met" in reasons and _too_few(facts):
        limits = ("min_trials",)
    ends = step in {"ROLLOUT", "ROLLBACK"} or evidence.day >= facts.policy.max_days
    stop = min(evidence.day, facts.policy.max_days) if ends else None
    daily = evidence.daily_users
    saved = None if stop is None or daily is None else saved_user_days(facts.policy.max_days, stop, daily)
    return RolloutDecision(
        decision=step,
        verdict=facts.decided.verdict,
        state=facts.decided.state,
        stage=evidence.stage,
        next_stage=evidence.next_stage,
        target_share=target,
        reasons=reasons,
        constraints=limits,
        explanation=_explained(facts, limits),
        primary=facts.primary,
        guardrails=facts.guardrails,
        overall=facts.overall,
        srm=facts.srm,
        stop_day=stop,
        saved_user_days=saved,
    )


def _read(evidence: RolloutEvidence, policy: RolloutPolicy) -> _Facts:
    seen = read_primary(evidence, policy)
    primary, missing = (None, seen) if isinstance(seen, str) else (seen, None)
    guardrails = tuple(read_harm(one, alpha=policy.guardrail_alpha, monitoring=policy.monitoring) for one in evidence.guardrails)
    srm = _ratio(evidence)
    over = evidence.day >= policy.max_days
    read = Evidence(
        invalid=("the arms do not have their planned shares",) if srm.status == "mismatch" else (),
        # An alert does not wait for the primary metric's data.
        insufficient=None if overall(guardrails) == "ALERT" else missing,
        effect=None if primary is None else primary.improvement_abs,
        interval=None if primary is None else primary.interval,
        lift=None if primary is None else primary.improvement,
        lift_interval=None if primary is None else primary.relative_interval,
        significant=primary is not None and primary.crossed,
        harm_interval=None if primary is None else primary.interval,
        guardrails=overall(guardrails),
        guardrails_non_inferior=all(reading.non_inferior is True for reading in guardrails),
        guardrail_reasons=tuple(reading.reason for reading in guardrails if reading.status != "PASS"),
        planned=True,
        plan_complete=over,
        fixed_horizon=False,
        looks_left=not over,
        conditional_power=None,
        min_days_met=evidence.day >= policy.first_look,
        max_days_reached=over,
        live=True,
    )
    rule = Policy(
        practical=evidence.primary.practical_threshold, strong=evidence.primary.strong_threshold, scale="relative", origin="declared"
    )
    return _Facts(
        evidence=evidence,
        policy=policy,
        primary=primary,
        missing=missing,
        guardrails=guardrails,
        overall=overall(guardrails),
        srm=srm,
        decided=decide(read, rule),
    )


def _users(evidence: RolloutEvidence) -> tuple[int, int]:
    if evidence.users is not None:
        return evidence.users
    primary = evidence.primary
    if primary.contrast is not None:
        return primary.contrast.n_control, primary.contrast.n_treatment
    return (primary.control.n if primary.control else 0, primary.treatment.n if primary.treatment else 0)


def _ratio(evidence: RolloutEvidence) -> RatioCheck:
    users = _users(evidence)
    if sum(users) == 0 or not 0.0 < evidence.stage < 1.0:
        return RatioCheck(status="skipped", chi_square=None, p_value=None)
    found = srm_test(users, (1.0 - evidence.stage, evidence.stage))
    status = "mismatch" if found.p_value < MISMATCH else "warning" if found.p_value < WARNING else "ok"
    return RatioCheck(status=status, chi_square=found.chi_square, p_value=found.p_value)


Reasons = tuple[str, ...]


def _stage_rule(f: _Facts) -> tuple[RolloutStep, Reasons]:
    """The first line of the table that applies."""
    lines: Sequence[Callable[[_Facts], tuple[RolloutStep, Reasons] | None]] = (_invalid, _stopped, _launched, _held, _raised)
    return next((found for line in lines if (found := line(f)) is not None), ("CONTINUE", _why_not_raised(f)))


def _invalid(f: _Facts) -> tuple[RolloutStep, Reasons] | None:
    if f.decided.state != "invalid":
        return None
    grave = [*(["guardrail_alert"] if f.overall == "ALERT" else []), *(["kill_threshold"] if f.killed else [])]
    return ("ROLLBACK" if grave else "HOLD"), ("sample_ratio_mismatch", *grave)


def _stopped(f: _Facts) -> tuple[RolloutStep, Reasons] | None:
    if f.decided.verdict == "ROLLBACK" or (f.decided.verdict == "NO_LAUNCH" and f.decided.reason in {"guardrail", "harm"}):
        return "ROLLBACK", ("guardrail_alert" if f.decided.reason == "guardrail" else "harm",)
    return None


def _launched(f: _Facts) -> tuple[RolloutStep, Reasons] | None:
    if f.decided.verdict == "LAUNCH" and f.overall == "WARNING":
        return "HOLD", ("boundary_crossed", "guardrail_warning")
    if f.decided.verdict in {"STRONG_LAUNCH", "LAUNCH"}:
        size = "strong_effect" if f.decided.verdict == "STRONG_LAUNCH" else "practical_effect"
        return "ROLLOUT", ("boundary_crossed", size, f.guardrail_reason)
    return None


def _held(f: _Facts) -> tuple[RolloutStep, Reasons] | None:
    if f.decided.verdict == "CONSIDER_LAUNCH":
        return "HOLD", ("boundary_crossed", "effect_below_practical_threshold")
    if f.decided.verdict == "NO_LAUNCH":
        return "HOLD", (f.decided.reason,)
    if f.overall in {"WARNING", "UNAVAILABLE"}:
        return "HOLD", (f.guardrail_reason,)
    return None


def _raised(f: _Facts) -> tuple[RolloutStep, Reasons] | None:
    following = f.evidence.next_stage
    if f.decided.verdict != "EXTEND_TEST" or following is None or following >= 1.0 or not _minimum_met(f):
        return None
    looked = f.primary is not None and f.primary.boundary is not None
    return "RAMP_UP", ("boundary_not_crossed" if looked else "before_first_look", f.guardrail_reason, "stage_minimum_met")


def _why_not_raised(f: _Facts) -> Reasons:
    if f.decided.state == "not_enough_data":
        return ("not_enough_data",)
    if not _minimum_met(f):
        return ("stage_minimum_not_met",)
    return ("last_stage",) if f.evidence.next_stage is None else ("next_stage_is_full",)


def _minimum_met(f: _Facts) -> bool:
    return f.primary is not None and f.evidence.stage_days >= f.policy.min_stage_days and not _too_few(f)


def _too_few(f: _Facts) -> bool:
    return f.users[1] < f.policy.min_trials


def _target(f: _Facts, step: RolloutStep) -> tuple[float, tuple[Constraint, ...]]:
    """The share to go to, and the limits that made it another than wanted."""
    stage, policy = f.evidence.stage, f.policy
    if step == "ROLLBACK":
        return 0.0, ()
    if step not in {"RAMP_UP", "ROLLOUT"}:
        return stage, ()
    wanted = 1.0 if step == "ROLLOUT" or f.evidence.next_stage is None else f.evidence.next_stage
    limits: list[Constraint] = []
    if wanted > round(stage + policy.max_step, SHARE_DIGITS):
        wanted = round(stage + policy.max_step, SHARE_DIGITS)
        limits.append("max_step")
    if step == "RAMP_UP" and wanted > round(1.0 - policy.min_weight, SHARE_DIGITS):
        wanted = max(stage, round(1.0 - policy.min_weight, SHARE_DIGITS))
        limits.append("min_weight")
    if step == "RAMP_UP" and wanted < policy.min_weight:
        wanted = policy.min_weight
        limits.append("min_weight")
    return wanted, tuple(limits)


def _explained(f: _Facts, limits: tuple[Constraint, ...]) -> tuple[str, ...]:
    policy = f.policy
    words: dict[Constraint, str] = {
        "min_trials": f"min_trials acted: {f.users[1]} treated users in this stage, {policy.min_trials} are asked for before a raise",
        "max_step": f"max_step acted: the share rises by {policy.max_step:g} at most at one update",
        "min_weight": f"min_weight acted: each arm keeps a share of {policy.min_weight:g} at least until the rollout is decided",
    }
    missing = () if f.missing is None else (f.missing,)
    return (*missing, *f.decided.reasoning, *(words[limit] for limit in limits))
