"""Evidence in, verdict out: the decision rule as data."""

from fairtrial.decisions.decision import Decision, GuardrailState, State, Verdict
from fairtrial.decisions.evidence import Evidence, Override, Policy
from fairtrial.decisions.guardrails import HarmReading, guardrail_state
from fairtrial.decisions.rollout import RolloutPlan, make_rollout_decision
from fairtrial.decisions.rules import RULES, best_treatment, decide

__all__ = [
    "RULES",
    "Decision",
    "Evidence",
    "GuardrailState",
    "HarmReading",
    "Override",
    "Policy",
    "RolloutPlan",
    "State",
    "Verdict",
    "best_treatment",
    "decide",
    "guardrail_state",
    "make_rollout_decision",
]
