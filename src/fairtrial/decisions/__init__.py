"""Evidence in, verdict out: the decision rule as data."""

from fairtrial.decisions.decision import Decision, GuardrailState, State, Verdict
from fairtrial.decisions.evidence import Evidence, Override, Policy
from fairtrial.decisions.guardrails import HarmReading, guardrail_state
from fairtrial.decisions.ramp import RatioCheck, RolloutDecision, decide_rollout
from fairtrial.decisions.ramp_evidence import (
    LADDER,
    PRESETS,
    Contrast,
    GuardrailEvidence,
    MeanArm,
    PrimaryEvidence,
    RateArm,
    RolloutEvidence,
    RolloutPolicy,
    preset_policy,
)
from fairtrial.decisions.ramp_guardrails import GuardrailReading, read_harm
from fairtrial.decisions.ramp_looks import AfterStop, PrimaryReading, recommended_stop_day, rollout_boundary, saved_user_days
from fairtrial.decisions.rollout import RolloutPlan, make_rollout_decision
from fairtrial.decisions.rules import RULES, best_treatment, decide

__all__ = [
    "LADDER",
    "PRESETS",
    "RULES",
    "AfterStop",
    "Contrast",
    "Decision",
    "Evidence",
    "GuardrailEvidence",
    "GuardrailReading",
    "GuardrailState",
    "HarmReading",
    "MeanArm",
    "Override",
    "Policy",
    "PrimaryEvidence",
    "PrimaryReading",
    "RateArm",
    "RatioCheck",
    "RolloutDecision",
    "RolloutEvidence",
    "RolloutPlan",
    "RolloutPolicy",
    "State",
    "Verdict",
    "best_treatment",
    "decide",
    "decide_rollout",
    "guardrail_state",
    "make_rollout_decision",
    "preset_policy",
    "read_harm",
    "recommended_stop_day",
    "rollout_boundary",
    "saved_user_days",
]
