"""Models behind a router in one process."""

import math
import pickle
import threading
import time

import numpy as np
import pytest

from fairtrial.errors import ConnectorError, UnknownNameError, UsageError
from fairtrial.serving import FeatureLog, ModelServer, PredictionLog, TrafficRouter, load_model, read_log
from fairtrial.spec.examples import FRAUD_DETECTION_EXPERIMENT

CHAMPION, CHALLENGER = "fraud_detector_v1.3", "fraud_detector_v2.0"


class Classifier:
    """A fitted classifier with the methods of scikit-learn's: logistic in one column."""

    def predict_proba(self, frame):
        p = 1 / (1 + np.exp(-np.asarray(frame, dtype=float)[:, 0]))
        return np.column_stack([1 - p, p])


class Regressor:
    """A fitted regressor: twice the first column."""

    def predict(self, frame):
        return 2.0 * np.asarray(frame, dtype=float)[:, 0]


def serve(tmp_path, challenger=lambda _: 0.83, champion=lambda _: 0.21, **options):
    models = {CHAMPION: champion, CHALLENGER: challenger}
    return ModelServer(TrafficRouter(FRAUD_DETECTION_EXPERIMENT), models, log=PredictionLog(tmp_path, "fraud"), **options)


def test_each_user_is_answered_by_the_own_model_and_every_prediction_is_logged(tmp_path):
    """ML-08, ML-34."""
    server = serve(tmp_path, features=FeatureLog(allow=("amount",), segments=("country",)))
    given = [server.predict(f"user_{i}", {"amount": float(i), "country": "de", "card": "4111"}) for i in range(200)]
    assert (given[22]["prediction"], given[22]["model_version"]) == (0.83, CHALLENGER)
    assert (given[1]["prediction"], given[1]["model_version"]) == (0.21, CHAMPION)
    rows = read_log(tmp_path).rows
    assert [row["prediction_id"] for row in rows] == [answer["prediction_id"] for answer in given]
    row = rows[22]
    assert row["timestamp"].endswith("Z")
    assert row["latency_ms"] >= 0
    assert {name: row[name] for name in row if name not in {"timestamp", "latency_ms", "prediction_id"}} == {
        "experiment": "fraud_model_v2_test",
        "assignment_id": "user_22_fraud_model_v2_test",
        "user_id": "user_22",
        "variant": "challenger",
        "model_name": CHALLENGER,
        "served_by": CHALLENGER,
        "prediction": 0.83,
        "outcome": None,
        "error": False,
        "timeout": False,
        "fallback": False,
        "propensity": 0.05,
        "stage": "",
        "features": {"amount": 22.0},
        "country": "de",
    }


def test_a_session_is_logged_without_a_user(tmp_path):
    """ML-06."""
    serve(tmp_path).predict_anonymous("abc", {})
    (row,) = read_log(tmp_path).rows
    assert (row["user_id"], row["assignment_id"]) == (None, "session_abc")


def test_the_champion_answers_for_a_challenger_that_fails(tmp_path):
    def broken(features):
        raise RuntimeError("no weights")

    answer = serve(tmp_path, broken).predict("user_22", {})
    assert (answer["prediction"], answer["model_version"]) == (0.21, CHAMPION)
    (row,) = read_log(tmp_path).rows
    assert (row["model_name"], row["served_by"], row["error"], row["timeout"], row["fallback"]) == (CHALLENGER, CHAMPION, True, False, True)


def test_the_champion_answers_for_a_challenger_that_is_too_late(tmp_path):
    leave = threading.Event()
    server = serve(tmp_path, lambda _: leave.wait(10), timeout_seconds=0.05)
    started = time.perf_counter()
    assert server.predict("user_22", {})["prediction"] == 0.21
    assert time.perf_counter() - started < 5
    leave.set()
    (row,) = read_log(tmp_path).rows
    assert (row["error"], row["timeout"], row["fallback"]) == (True, True, True)
    assert row["latency_ms"] >= 50
    server.close()


def test_a_champion_that_fails_is_logged_and_heard(tmp_path):
    def broken(features):
        raise RuntimeError("no weights")

    server = serve(tmp_path, broken, broken)
    for user in ("user_1", "user_22"):
        with pytest.raises(RuntimeError, match="no weights"):
            server.predict(user, {})
    assert [(row["error"], row["prediction"]) for row in read_log(tmp_path).rows] == [(True, None), (True, None)]


def test_fitted_models_and_files_are_models(tmp_path):
    """ML-08: `load_model` loads from disk."""
    (tmp_path / "reg.pkl").write_bytes(pickle.dumps(Regressor()))
    (tmp_path / "fraud.joblib").write_bytes(pickle.dumps(Regressor()))
    server = serve(tmp_path / "log", challenger=Classifier(), champion=str(tmp_path / "reg.pkl"))
    assert server.predict("user_22", {"x": math.log(3)})["prediction"] == pytest.approx(0.75)
    assert server.predict("user_1", {"x": 2})["prediction"] == 4.0
    assert isinstance(load_model(tmp_path / "reg.pkl"), Regressor)
    assert isinstance(ModelServer.load_model(tmp_path / "reg.pkl"), Regressor)


def test_a_model_that_is_none_is_refused(tmp_path):
    with pytest.raises(UsageError, match="callable or has `predict`, got int"):
        serve(tmp_path, 7)
    with pytest.raises(UnknownNameError, match="No model"):
        ModelServer(TrafficRouter(FRAUD_DETECTION_EXPERIMENT), {CHAMPION: abs}, log=PredictionLog(tmp_path, "a"))
    with pytest.raises(UsageError, match=r"There is no model file .*models/fraud_detector_v1.3.joblib"):
        ModelServer(TrafficRouter(FRAUD_DETECTION_EXPERIMENT), log=PredictionLog(tmp_path, "a"))
    with pytest.raises(UsageError, match="A model is a file of"):
        load_model("model.onnx")
    (tmp_path / "broken.pkl").write_bytes(b"garbage")
    with pytest.raises(ConnectorError, match="cannot be read"):
        load_model(tmp_path / "broken.pkl")
    with pytest.raises(UsageError, match="timeout_seconds must be above 0"):
        serve(tmp_path, timeout_seconds=0)
