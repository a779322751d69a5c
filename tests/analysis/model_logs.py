"""Prediction logs of made-up model experiments, for tests."""

from typing import Any

import numpy as np
import pandas as pd

from fairtrial.spec import ExperimentConfig

CHAMPION, CHALLENGER = "fraud_detector_v1.3", "fraud_detector_v2.0"
START, END = pd.Timestamp("2026-01-01", tz="UTC"), pd.Timestamp("2026-01-15", tz="UTC")


def config(primary: str = "conversion_rate", *, share: float = 0.05, **more: Any) -> ExperimentConfig:
    """The example of Part IV with another primary metric."""
    given: dict[str, Any] = {
        "name": "fraud_model_v2_test",
        "champion_model": CHAMPION,
        "challenger_models": [CHALLENGER],
        "traffic_allocation": {CHAMPION: 1 - share, CHALLENGER: share},
        "primary_metric": primary,
        "secondary_metrics": [],
        "guardrail_metrics": {},
        "min_sample_size": 100,
        "max_duration_days": 14,
        "minimum_detectable_effect": 0.10,
    }
    return ExperimentConfig(**(given | more))


def log(outcomes: dict[str, tuple[int, int]], **columns: Any) -> pd.DataFrame:
    """One prediction a user: by model, users and those with outcome 1; times spread evenly over 14 days."""
    parts: list[pd.DataFrame] = []
    for model, (n, ones) in outcomes.items():
        moments = START + pd.to_timedelta(np.linspace(0, 14 * 86_400 - 1, n), unit="s")
        outcome = np.zeros(n)
        # Ones evenly among the users, so that a day is like another.
        outcome[np.linspace(0, n - 1, ones).round().astype(int)] = 1.0
        parts.append(
            pd.DataFrame(
                {
                    "user_id": [f"{model}-{i}" for i in range(n)],
                    "variant": "champion" if model == CHAMPION else "challenger",
                    "model_name": model,
                    "prediction": 0.2,
                    "outcome": outcome,
                    "timestamp": moments.round("us"),
                    "latency_ms": 100.0,
                    "error": False,
                    "timeout": False,
                }
            )
        )
    frame = pd.concat(parts, ignore_index=True)
    frame.insert(0, "prediction_id", [f"p-{i}" for i in range(len(frame))])
    return frame.assign(**columns)
