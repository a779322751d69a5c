"""A simulated experiment of models: a fraud model beside its challenger, with labels that come later."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from fairtrial.service.demo.holdouts import DEMO
from fairtrial.serving.desk import register
from fairtrial.serving.records import iso
from fairtrial.spec.model_file import parse_model_experiment
from fairtrial.storage.predictions import store_comparisons, store_labels, store_predictions

CHAMPION, CHALLENGER = "fraud_detector_v1.3", "fraud_detector_v2.0"
NAME = "fraud_model_v2_test"
DAYS = 9
PREDICTIONS = 12_000
SPEC: dict[str, Any] = {
    "name": NAME,
    "champion_model": CHAMPION,
    "challenger_models": [CHALLENGER],
    "traffic_allocation": {CHAMPION: 0.75, CHALLENGER: 0.25},
    "primary_metric": "fraud_detection_rate",
    "secondary_metrics": ["false_positive_rate"],
    "guardrail_metrics": {"p95_latency_ms": [0, 200], "error_rate": [0, 0.01]},
    "min_sample_size": 2_000,
    "max_duration_days": 14,
    "minimum_detectable_effect": 0.1,
    "metric_types": {"fraud_detection_rate": "proportion", "false_positive_rate": "proportion"},
    "directions": {"fraud_detection_rate": "increase", "false_positive_rate": "decrease"},
    "serving": {
        "models": {name: {"url": "http://127.0.0.1:9", "protocol": "json"} for name in (CHAMPION, CHALLENGER)},
        "shadow": {"share": 0.2},
        "rollout": {
            "stages": [
                {"name": "canary", "kind": "canary", "share": 0.25, "gate": "approval"},
                {"name": "all", "kind": "ramp", "share": 1.0, "gate": "approval"},
            ]
        },
    },
}


def add_models(session: Session, rng: np.random.Generator, *, now: dt.datetime) -> None:
    """Register the experiment, and store the predictions of its days with most of their labels."""
    start = now - dt.timedelta(days=DAYS)
    register(session, parse_model_experiment(SPEC), by=DEMO.name, role=DEMO.role.name, now=start)
    seconds = np.sort(rng.uniform(60.0, DAYS * 86_400.0 - 60.0, PREDICTIONS))
    challenger = rng.random(PREDICTIONS) < 0.25
    fraud = rng.random(PREDICTIONS) < 0.18
    hit = np.where(challenger, 0.80, 0.72)
    score = np.where(fraud, np.where(rng.random(PREDICTIONS) < hit, 0.9, 0.3), np.where(rng.random(PREDICTIONS) < 0.03, 0.8, 0.1))
    score = (score + rng.normal(0.0, 0.03, PREDICTIONS)).clip(0.01, 0.99)
    latency = rng.gamma(6.0, np.where(challenger, 9.0, 7.0)) + 4.0
    error = rng.random(PREDICTIONS) < 0.002
    at = [start + dt.timedelta(seconds=float(second)) for second in seconds]
    store_predictions(
        session,
        [
            {
                "prediction_id": f"demo-{i}", "experiment": NAME, "assignment_id": f"account{i % 7000}_{NAME}",
                "user_id": f"account{i % 7000}",
                "variant": "challenger" if challenger[i] else "champion", "model_name": CHALLENGER if challenger[i] else CHAMPION,
                "served_by": CHAMPION if error[i] else CHALLENGER if challenger[i] else CHAMPION, "prediction": float(score[i]),
                "timestamp": iso(at[i]), "latency_ms": float(latency[i]), "error": bool(error[i]), "timeout": False,
                "fallback": bool(error[i] and challenger[i]),
                "propensity": 0.25 if challenger[i] else 0.75, "stage": "canary", "features": {},
            }
            for i in range(PREDICTIONS)
        ],
    )  # fmt: skip
    known = [i for i in range(PREDICTIONS) if at[i] < now - dt.timedelta(days=1)]
    store_labels(session, NAME, [(f"demo-{i}", float(fraud[i])) for i in known], now=now)
    mirrored = np.flatnonzero(~challenger & (rng.random(PREDICTIONS) < 0.2))
    other = (score + rng.normal(0.0, 0.045, PREDICTIONS)).clip(0.0, 1.0)
    store_comparisons(
        session,
        [
            {
                "prediction_id": f"demo-{i}", "experiment": NAME, "challenger": CHALLENGER, "timestamp": iso(at[i]),
                "champion_prediction": float(score[i]), "challenger_prediction": float(other[i]),
                "prediction_difference": float(abs(other[i] - score[i])), "diverged": bool(abs(other[i] - score[i]) > 0.1),
                "label_flip": bool((other[i] >= 0.5) != (score[i] >= 0.5)), "champion_latency_ms": float(latency[i]),
                "challenger_latency_ms": float(latency[i] * 1.2), "challenger_error": False, "challenger_timeout": False,
                "dropped": False, "features": {},
            }
            for i in mirrored.tolist()
        ],
    )  # fmt: skip
