"""Models in traffic: who is routed where, what runs in the shadow, what is logged, and what stops it.

`GuardrailMonitor` reads frames, so it is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairtrial.serving.log import PredictionLog, read_log
from fairtrial.serving.models import load_model
from fairtrial.serving.records import FeatureLog, PredictionEvent
from fairtrial.serving.router import RoutingDecision, TrafficRouter
from fairtrial.serving.server import ModelServer
from fairtrial.serving.shadow import ShadowDeployment
from fairtrial.serving.shadow_tally import Comparison, ShadowTally, compare_predictions
from fairtrial.stats.power_proportions import calculate_sample_size, calculate_sample_size_by_arm

if TYPE_CHECKING:
    from fairtrial.serving.guardrails import GuardrailMonitor

__all__ = [
    "Comparison",
    "FeatureLog",
    "GuardrailMonitor",
    "ModelServer",
    "PredictionEvent",
    "PredictionLog",
    "RoutingDecision",
    "ShadowDeployment",
    "ShadowTally",
    "TrafficRouter",
    "calculate_sample_size",
    "calculate_sample_size_by_arm",
    "compare_predictions",
    "load_model",
    "read_log",
]


def __getattr__(name: str) -> Any:
    if name == "GuardrailMonitor":
        from fairtrial.serving.guardrails import GuardrailMonitor  # noqa: PLC0415 - pandas is slow to load

        return GuardrailMonitor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
