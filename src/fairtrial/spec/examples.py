"""Experiments to start from, ready to be read, changed and analysed."""

from __future__ import annotations

from typing import Final

from fairtrial.spec.model_experiment import ExperimentConfig

FRAUD_DETECTION_EXPERIMENT: Final = ExperimentConfig(
    name="fraud_model_v2_test",
    champion_model="fraud_detector_v1.3",
    challenger_models=["fraud_detector_v2.0"],
    traffic_allocation={"fraud_detector_v1.3": 0.95, "fraud_detector_v2.0": 0.05},
    primary_metric="fraud_detection_rate",
    secondary_metrics=["false_positive_rate", "latency_ms"],
    guardrail_metrics={"p95_latency_ms": (0, 200), "error_rate": (0, 0.01)},
    min_sample_size=10_000,
    max_duration_days=14,
    significance_level=0.05,
    power=0.8,
    minimum_detectable_effect=0.10,
    directions={"fraud_detection_rate": "increase", "false_positive_rate": "decrease", "latency_ms": "decrease"},
    metric_types={"fraud_detection_rate": "proportion", "false_positive_rate": "proportion", "error_rate": "proportion"},
)
"""A new fraud model on 5% of the traffic, guarded by latency and errors."""
