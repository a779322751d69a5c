"""Predictions through the service: for callers without a gateway, each stored before it is answered."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import httpx
from sqlalchemy.orm import Session

from fairtrial.errors import ConnectorError, UsageError
from fairtrial.service.models.control import served_of, state_of
from fairtrial.service.models.schemas import LabelsIn, LabelsOut, PredictIn, PredictOut
from fairtrial.serving.protocol import UnreadableAnswerError, body_for, prediction_in, target_of
from fairtrial.serving.records import PredictionEvent, feature_log
from fairtrial.serving.rollout import RolloutState, traffic_of
from fairtrial.serving.router import TrafficRouter
from fairtrial.spec.model_file import ModelExperiment
from fairtrial.storage import Database
from fairtrial.storage.deployments import get_deployment
from fairtrial.storage.predictions import store_labels, store_predictions


def router_of(served: ModelExperiment, state: RolloutState) -> TrafficRouter:
    """The router in a state: the same as every gateway's."""
    router = TrafficRouter(served.config, seed=served.serving.seed)
    router.use(traffic_of(served.config, state))
    router.shut = state.share == 0.0
    return router


def predict(database: Database, name: str, body: PredictIn, *, now: dt.datetime, hash_key: str) -> PredictOut:
    """Ask the model of a user and store the prediction.

    Args:
        database: Read before the model is asked and written after: no transaction is open while a model thinks.
        name: Of the experiment.
        body: Who, and with which features.
        now: The moment.
        hash_key: Secret of hashed features.

    Raises:
        UnknownNameError: There is no such experiment.
        UsageError: Nobody is named.
        ConnectorError: The champion failed; that is stored too.
    """
    with database.reading() as session:
        row = get_deployment(session, name)
    served, state = served_of(row), state_of(row)
    router = router_of(served, state)
    if body.user_id is not None:
        decision = router.assign_variant(body.user_id)
    elif body.session_id is not None:
        decision = router.assign_random_variant(body.session_id)
    else:
        raise UsageError("A prediction is for somebody: user_id or session_id must be given, got neither.")
    stage = served.serving.rollout.steps[state.stage].name
    features = feature_log(served.serving.features, hash_key)
    event = router.begin(decision, body.features, log=features, at=now, user_id=body.user_id, stage=stage)
    failure = _ask(served, event, body)
    with database.writing() as session:
        store_predictions(session, [event.as_row()])
    if failure:
        raise ConnectorError(f"The model {event.served_by!r} cannot be used: {failure}.")
    return PredictOut(prediction=event.prediction, model_version=event.served_by, prediction_id=event.prediction_id)


def keep_labels(session: Session, name: str, body: LabelsIn, *, now: dt.datetime) -> LabelsOut:
    """Keep outcomes of predictions.

    Raises:
        UnknownNameError: There is no such experiment.
    """
    get_deployment(session, name)
    return LabelsOut(stored=store_labels(session, name, [(label.prediction_id, label.outcome) for label in body.labels], now=now))


def _ask(served: ModelExperiment, event: PredictionEvent, body: PredictIn) -> str:
    """Fill in the answer, the champion's where a challenger fails; why there is none, else nothing."""
    champion = served.config.champion_model
    seconds = served.serving.champion_timeout_seconds if event.model_name == champion else served.serving.timeout_seconds
    started = time.perf_counter()
    event.prediction, failure, event.timeout = _answer(served, event.model_name, body, seconds)
    event.latency_ms = (time.perf_counter() - started) * 1000.0
    event.error = bool(failure)
    if failure and event.model_name != champion:
        event.served_by = champion
        event.prediction, failure, _ = _answer(served, champion, body, served.serving.champion_timeout_seconds)
    return failure


def _answer(served: ModelExperiment, model: str, body: PredictIn, seconds: float) -> tuple[Any, str, bool]:
    """A model's prediction, why there is none, and whether it was too late."""
    endpoint = served.serving.models[model]
    given = body_for(endpoint, body.features, user=body.user_id, field=served.serving.identity.field)
    try:
        response = httpx.post(target_of(model, endpoint), content=given, headers={"content-type": "application/json"}, timeout=seconds)
        response.raise_for_status()
        return prediction_in(response.content, endpoint.protocol, served.serving.reading), "", False
    except httpx.TimeoutException:
        return None, f"no answer within {seconds:g} s", True
    except (httpx.HTTPError, httpx.InvalidURL, UnreadableAnswerError) as error:
        return None, f"{type(error).__name__}: {error}".rstrip(". "), False
