"""Models in traffic: who is routed where, what runs in the shadow, what is logged."""

from fairtrial.serving.log import PredictionLog, read_log
from fairtrial.serving.models import load_model
from fairtrial.serving.records import FeatureLog, PredictionEvent
from fairtrial.serving.router import RoutingDecision, TrafficRouter
from fairtrial.serving.server import ModelServer
from fairtrial.serving.shadow import ShadowDeployment
from fairtrial.serving.shadow_tally import Comparison, ShadowTally, compare_predictions
from fairtrial.stats.power_proportions import calculate_sample_size, calculate_sample_size_by_arm

__all__ = [
    "Comparison",
    "FeatureLog",
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
