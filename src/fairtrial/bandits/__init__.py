"""Bandits: policies over stored statistics, and what their logs say afterwards.

The names most used stand here; each module says the rest.
"""

from fairtrial.bandits.adaptive import AdaptiveLog, arm_contrast, arm_means
from fairtrial.bandits.allocation import allocate
from fairtrial.bandits.linear import LinearState
from fairtrial.bandits.offpolicy import compare_policies, evaluate_policy
from fairtrial.bandits.policies import Choice, Policy, choose
from fairtrial.bandits.registry import build_policy, known_policies
from fairtrial.bandits.state import ArmRewards, BanditState
from fairtrial.bandits.weights import ActionLog, diagnose_weights

__all__ = [
    "ActionLog",
    "AdaptiveLog",
    "ArmRewards",
    "BanditState",
    "Choice",
    "LinearState",
    "Policy",
    "allocate",
    "arm_contrast",
    "arm_means",
    "build_policy",
    "choose",
    "compare_policies",
    "diagnose_weights",
    "evaluate_policy",
    "known_policies",
]
