"""The words of a decision: verdict, state, reason, confidence, risk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["STRONG_LAUNCH", "LAUNCH", "CONSIDER_LAUNCH", "EXTEND_TEST", "NO_LAUNCH", "ROLLBACK"]
State = Literal["valid", "invalid", "not_enough_data"]
Confidence = Literal["LOW", "MEDIUM", "MEDIUM-HIGH", "HIGH"]
Risk = Literal["low", "medium", "high", "critical"]
GuardrailState = Literal["PASS", "WARNING", "ALERT", "UNAVAILABLE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the declared rule says of one treatment.

    Attributes:
        verdict: None when the state is not `valid`.
        state: `invalid` when the data cannot be trusted, `not_enough_data` when it is too little.
        rule: Number of the rule that applied, as in the documentation ("0", "6", ...).
        reason: Stable code of why (`launch`, `harm`, `inconclusive`, ...).
        confidence: None when the state is `invalid`.
        risk_level: Risk of acting on the verdict.
        reasoning: Sentences in the order in which they weighed.
        next_steps: What to do now.
    """

    verdict: Verdict | None
    state: State
    rule: str
    reason: str
    confidence: Confidence | None
    risk_level: Risk
    reasoning: tuple[str, ...]
    next_steps: tuple[str, ...]
