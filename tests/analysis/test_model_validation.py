"""The validation list of a model experiment, and its novelty check (ML-25, ML-33)."""

import numpy as np
import pandas as pd
import pytest
from model_logs import CHALLENGER, CHAMPION, START, config, log
from test_experiment_analyzer import several_a_user

from fairtrial.analysis import ExperimentAnalyzer
from fairtrial.analysis.model_checks import Evidence
from fairtrial.errors import UnknownNameError, UsageError


def test_every_check_of_the_list_is_made_or_said_to_be_missing() -> None:
    """ML-33: split, one variant per user, sizes, p-values against a reference, alerts, shadow, intervals, the decision on record."""
    frame = log({CHAMPION: (4_000, 600), CHALLENGER: (4_000, 760)})
    analyzer = ExperimentAnalyzer(config(share=0.5))
    bare = {check.name: check.status for check in analyzer.validate_experiment(frame).checks}
    assert {"one_variant_per_unit", "plausible_size", "interval_reported", "reference_p_value"} <= {
        k for k, v in bare.items() if v == "pass"
    }
    assert {name for name in ("alert_in_time", "shadow_agrees", "decision_recorded") if bare[name] == "not_checked"} == {
        "alert_in_time", "shadow_agrees", "decision_recorded",
    }  # fmt: skip
    seen = Evidence(alert_seconds=[40.0, 299.0], shadow={"status": "ok", "divergence_rate": 0.03}, recorded_decision="ROLLOUT_CHALLENGER")
    assert analyzer.validate_experiment(frame, seen).status == "pass"
    late = Evidence(alert_seconds=[400.0], shadow={"status": "diverging"}, recorded_decision="KEEP_CHAMPION")
    found = {check.name: check.status for check in analyzer.validate_experiment(frame, late).checks}
    assert [found[name] for name in ("alert_in_time", "shadow_agrees", "decision_recorded")] == ["fail"] * 3
    lagging = Evidence(alert_seconds=[400.0], ingestion_lag_seconds=120.0)
    assert {c.name: c.status for c in analyzer.validate_experiment(frame, lagging).checks}["alert_in_time"] == "pass"


@pytest.mark.parametrize("primary", ["conversion_rate", "latency_ms"])
def test_p_values_are_held_against_another_implementation(primary: str) -> None:
    """ML-33: chi-square, Fisher and Welch by SciPy."""
    frame = log({CHAMPION: (900, 100), CHALLENGER: (900, 130)})
    frame["latency_ms"] = np.random.default_rng(3).gamma(3, 30, len(frame))
    own = config(primary, share=0.5, metric_types={"latency_ms": "continuous"} if primary == "latency_ms" else {})
    checks = {check.name: check for check in ExperimentAnalyzer(own).validate_experiment(frame).checks}
    assert checks["reference_p_value"].status == "pass"
    few = ExperimentAnalyzer(config()).validate_experiment(log({CHAMPION: (9_500, 28), CHALLENGER: (500, 5)}))
    assert {check.name: check.status for check in few.checks}["reference_p_value"] == "pass"


def test_an_effect_that_fades_is_seen_on_the_days_since_the_first_prediction() -> None:
    """ML-25: several predictions a user; the days of one user are correlated."""
    rng = np.random.default_rng(8)
    frame = several_a_user(4_000, 0.0, seed=5, each=12)
    first = frame.groupby("user_id")["timestamp"].transform("min")
    day = (frame["timestamp"] - first).dt.total_seconds() / 86_400
    lift = np.where(frame["model_name"] == CHALLENGER, np.clip(0.4 - 0.05 * day, 0, None), 0.0)
    fading = frame.assign(outcome=(rng.random(len(frame)) < 0.2 + lift).astype(float))
    analyzer = ExperimentAnalyzer(config(share=0.5))
    found = analyzer.novelty(fading)
    assert (found.has_novelty, found.axis, found.correlated_days) == (True, "exposure_day", True)
    steady = frame.assign(outcome=(rng.random(len(frame)) < 0.2 + 0.2 * (frame["model_name"] == CHALLENGER)).astype(float))
    assert analyzer.novelty(steady).has_novelty is False
    with pytest.raises(UnknownNameError):
        analyzer.novelty(steady, "nobody")
    with pytest.raises(UsageError):
        analyzer.novelty(steady.drop(columns="timestamp"))


def test_one_prediction_a_user_is_followed_by_calendar_day() -> None:
    """ML-25: each day's effect is that of its own users, as counted by hand."""
    frame = log({CHAMPION: (7_000, 1_000), CHALLENGER: (7_000, 1_400)})
    found = ExperimentAnalyzer(config(share=0.5)).novelty(frame)
    day = (frame["timestamp"] - START) // pd.Timedelta(days=1)
    rates = frame.groupby([day, "model_name"])["outcome"].agg(["mean", "size"]).unstack()
    assert found.axis == "assignment_day"
    assert [one.effect for one in found.trajectory] == pytest.approx((rates["mean"][CHALLENGER] - rates["mean"][CHAMPION]).tolist())
    first = rates.iloc[0]
    variance = sum(first["mean"][m] * (1 - first["mean"][m]) / first["size"][m] for m in (CHAMPION, CHALLENGER))
    assert found.trajectory[0].std_error == pytest.approx(np.sqrt(variance), rel=1e-9)
