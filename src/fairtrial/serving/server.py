"""An experiment of models in one process: route, predict, fall back, log."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLateError
from typing import Any

from fairtrial.errors import UsageError
from fairtrial.serving.log import PredictionLog
from fairtrial.serving.models import Predict, load_model, named_models
from fairtrial.serving.records import FeatureLog, PredictionEvent
from fairtrial.serving.router import RoutingDecision, TrafficRouter

LOG_FOLDER = "experiment_logs"

log = logging.getLogger("fairtrial.serving")


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class ModelServer:
    """Predicts with the model that the router gives a user, and logs every prediction (ML-08).

    A challenger that fails or is too late is recorded as failed and the champion answers in its place. What a
    champion raises is logged and raised.

    Args:
        router: Who gets which model.
        models: Callable, fitted model, file or MLflow address by model name; None loads
            `models/<name>.joblib` of each.
        log: Where events go; None makes a log in the folder `experiment_logs`.
        features: What of the features is logged; None logs none of them.
        timeout_seconds: How long a challenger may take before the champion answers; None waits for it.
        clock: The time.

    Raises:
        UnknownNameError: A model of the experiment is missing in `models`.
        UsageError: A model cannot be loaded or called.
    """

    def __init__(
        self,
        router: TrafficRouter,
        models: Mapping[str, Any] | None = None,
        *,
        log: PredictionLog | None = None,
        features: FeatureLog | None = None,
        timeout_seconds: float | None = None,
        clock: Callable[[], dt.datetime] = _utc_now,
    ) -> None:
        if timeout_seconds is not None and not timeout_seconds > 0:
            raise UsageError(f"timeout_seconds must be above 0 or None, got {timeout_seconds}.")
        self.router = router
        names = router.traffic.models
        self._models = named_models({name: f"models/{name}.joblib" for name in names} if models is None else models, names)
        self.log = log or PredictionLog(LOG_FOLDER, router.config.name)
        self._features = features or FeatureLog()
        self._timeout = timeout_seconds
        self._pool = None if timeout_seconds is None else ThreadPoolExecutor(max_workers=8, thread_name_prefix="challenger")
        self._clock = clock

    load_model = staticmethod(load_model)

    def predict(self, user_id: str, features: Any) -> dict[str, Any]:
        """Predict for a user.

        Returns:
            `prediction`, `model_version` (the model whose answer it is) and `prediction_id`, by which the outcome is
            reported later.

        Raises:
            UsageError: The user's id is empty.
            StorageError: The prediction could not be logged: what is not logged is not given.
        """
        return self._predicted(self.router.assign_variant(user_id), user_id, features)

    def predict_anonymous(self, session_id: str, features: Any) -> dict[str, Any]:
        """Predict for an anonymous session; answer and errors as `predict`."""
        return self._predicted(self.router.assign_random_variant(session_id), None, features)

    def log_experiment_event(self, event: PredictionEvent) -> None:
        """Write one event to the log.

        Raises:
            StorageError: The log failed.
        """
        self.log.append(event.as_row())

    def close(self) -> None:
        """Close the log."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self.log.close()

    def _predicted(self, decision: RoutingDecision, user_id: str | None, features: Any) -> dict[str, Any]:
        event = self.router.begin(decision, features, log=self._features, at=self._clock(), user_id=user_id)
        started = time.perf_counter()
        try:
            event.prediction = self._asked(decision, features)
        except Exception as error:  # noqa: BLE001 - whatever a model raises is its failure
            event.latency_ms = (time.perf_counter() - started) * 1000.0
            event.error, event.timeout = True, isinstance(error, TooLateError)
            self._fall_back(event, error, features)
        else:
            event.latency_ms = (time.perf_counter() - started) * 1000.0
        self.log_experiment_event(event)
        return {"prediction": event.prediction, "model_version": event.served_by, "prediction_id": event.prediction_id}

    def _asked(self, decision: RoutingDecision, features: Any) -> Any:
        model: Predict = self._models[decision.model_name]
        if decision.variant == "champion" or self._pool is None:
            return model(features)
        return self._pool.submit(model, features).result(self._timeout)

    def _fall_back(self, event: PredictionEvent, error: Exception, features: Any) -> None:
        """Let the champion answer for a challenger.

        Raises:
            Exception: The champion's own failure, once it is logged.
        """
        champion = self.router.traffic.champion
        if event.variant == "champion":
            self.log_experiment_event(event)
            raise error
        log.warning("model %s failed, the champion answers: %s: %s", event.model_name, type(error).__name__, error)
        event.served_by = champion
        try:
            event.prediction = self._models[champion](features)
        except Exception:
            self.log_experiment_event(event)
            raise
