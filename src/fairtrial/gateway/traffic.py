"""One prediction through the gateway: who answers, who answers instead, what is written down."""

from __future__ import annotations

import datetime as dt
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import Counter, Histogram

from fairtrial.errors import FairtrialError
from fairtrial.gateway.mirror import Mirror, Mirrored
from fairtrial.gateway.upstream import Answer, Upstream
from fairtrial.serving.log import PredictionLog
from fairtrial.serving.protocol import Asked, RefusedError, encoded, read_request
from fairtrial.serving.records import FeatureLog, PredictionEvent
from fairtrial.serving.router import RoutingDecision, TrafficRouter
from fairtrial.serving.shadow_tally import ShadowRecord
from fairtrial.spec.model_file import ModelExperiment

log = logging.getLogger("fairtrial.gateway")

PREDICTIONS = Counter("fairtrial_gateway_predictions", "Predictions answered.", ("model", "served_by", "outcome"))
LATENCY = Histogram(
    "fairtrial_gateway_model_seconds",
    "Time that a model took.",
    ("model",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

Headers = list[tuple[bytes, bytes]]
JSON: Headers = [(b"content-type", b"application/json")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the caller gets."""

    status: int
    body: bytes
    headers: Headers


@dataclass(slots=True)
class Counts:
    """What a process has seen since it began.

    Attributes:
        requests: Predictions asked for.
        refused: Not taken: no JSON, nobody named, too long.
        fallbacks: Answered by the champion for a challenger.
        failed: Answered with an error, the champion's own.
        outside: Answered by the champion outside the experiment, for nobody was named.
        unlogged: Answered, but not written down.
    """

    requests: int = 0
    refused: int = 0
    fallbacks: int = 0
    failed: int = 0
    outside: int = 0
    unlogged: int = 0


@dataclass(slots=True, kw_only=True)
class Traffic:
    """The way of a prediction.

    Attributes:
        served: The experiment.
        router: Who gets which model.
        upstream: The models.
        mirror: Challengers in the shadow.
        predictions: The log.
        features: What of a request is logged.
        clock: The time.
        on_event: Told of every logged prediction.
        log_failed: Whether the last line could not be written: challengers then get nothing until one can.
        stage: Name of the rollout's stage.
        mirroring: Whether the stage mirrors.
        counts: What was seen.
        chance: Which requests are mirrored.
        measures: Counters for Prometheus, by model, model that answered, and outcome.
    """

    served: ModelExperiment
    router: TrafficRouter
    upstream: Upstream
    mirror: Mirror
    predictions: PredictionLog
    features: FeatureLog
    clock: Callable[[], dt.datetime]
    on_event: Callable[[PredictionEvent], None] | None = None
    log_failed: bool = False
    stage: str = ""
    mirroring: bool = True
    counts: Counts = field(default_factory=Counts)
    chance: random.Random = field(default_factory=random.Random)
    measures: dict[tuple[str, str, str], tuple[Counter, Histogram]] = field(
        default_factory=dict[tuple[str, str, str], tuple[Counter, Histogram]]
    )

    async def predict(self, body: bytes, headers: Headers) -> Reply:
        """Answer a request for a prediction."""
        self.counts.requests += 1
        serving = self.served.serving
        protocol = serving.models[self.router.traffic.champion].protocol
        try:
            asked = read_request(body, dict(headers), serving.identity, protocol)
        except RefusedError as error:
            self.counts.refused += 1
            return problem(error.status, error.code, error.message, error.hint)
        decision = self._decide(asked)
        if decision is None:
            return await self._outside(asked, headers)
        event = self._begun(asked, decision)
        answer = await self._answered(event, asked, headers)
        self._keep(event)
        if event.served_by == self.router.traffic.champion and answer.failure is None:
            self._mirror(event, answer, asked, headers)
        return self._reply(event, answer)

    def _decide(self, asked: Asked) -> RoutingDecision | None:
        """Where a request goes; None when nobody is named and the spec lets that pass."""
        if asked.user:
            return self.router.assign_variant(asked.user)
        return self.router.assign_random_variant(asked.session) if asked.session else None

    def _begun(self, asked: Asked, decision: RoutingDecision) -> PredictionEvent:
        return self.router.begin(decision, asked.features, log=self.features, at=self.clock(), user_id=asked.user, stage=self.stage)

    async def _answered(self, event: PredictionEvent, asked: Asked, headers: Headers) -> Answer:
        """The answer for a request: of the model that was to give it, else of the champion."""
        serving, champion = self.served.serving, self.router.traffic.champion
        seconds = serving.champion_timeout_seconds if event.model_name == champion else serving.timeout_seconds
        answer = await self.upstream.ask(event.model_name, asked.body, headers, seconds)
        event.latency_ms = answer.latency_ms
        event.error, event.timeout = answer.failure is not None, answer.failure == "timeout"
        if event.error and event.model_name != champion:
            blamed = answer.blames_the_request
            log.info("%s failed (%s), the champion answers", event.model_name, answer.reason)
            answer = await self.upstream.ask(champion, asked.body, headers, serving.champion_timeout_seconds)
            event.served_by = champion
            self.counts.fallbacks += 1
            if blamed and answer.blames_the_request:  # both say so: the request is wrong, not the challenger
                event.error = False
        elif event.error and answer.blames_the_request:
            event.error = False
        self.counts.failed += answer.failure is not None
        event.prediction = answer.prediction
        self._measure(event)
        return answer

    def _measure(self, event: PredictionEvent) -> None:
        outcome = "timeout" if event.timeout else "error" if event.error else "ok"
        key = (event.model_name, event.served_by, outcome)
        if key not in self.measures:
            self.measures[key] = (PREDICTIONS.labels(*key), LATENCY.labels(event.model_name))
        counter, latency = self.measures[key]
        counter.inc()
        latency.observe(event.latency_ms / 1000.0)

    def _keep(self, event: PredictionEvent) -> None:
        """Write the prediction down; what cannot be written down cannot be judged, so challengers get no more of it."""
        try:
            self.predictions.append(event.as_row())
        except FairtrialError as error:
            self.counts.unlogged += 1
            self.log_failed = self.router.shut = True
            log.error("prediction not logged, the champion answers all until it is: %s", error)  # noqa: TRY400 - foreseen
            return
        if self.on_event is not None:
            self.on_event(event)

    def _mirror(self, event: PredictionEvent, answer: Answer, asked: Asked, headers: Headers) -> None:
        shadow = self.served.serving.shadow
        if not self.mirroring or event.variant != "champion" or self.chance.random() >= shadow.share:
            return
        challengers = self.served.config.challenger_models
        record = ShadowRecord(
            experiment=event.experiment,
            prediction_id=event.prediction_id,
            challenger=challengers[0] if len(challengers) == 1 else self.chance.choice(list(challengers)),
            timestamp=event.timestamp,
            champion_prediction=event.prediction,
            challenger_prediction=None,
            comparison=None,
            champion_latency_ms=answer.latency_ms,
            challenger_latency_ms=None,
            failure=None,
            features=event.features,
        )
        self.mirror.put(Mirrored(record=record, body=asked.body, headers=headers))

    async def _outside(self, asked: Asked, headers: Headers) -> Reply:
        """The champion's answer for a request that is no part of the experiment."""
        self.counts.outside += 1
        champion = self.router.traffic.champion
        answer = await self.upstream.ask(champion, asked.body, headers, self.served.serving.champion_timeout_seconds)
        said: Headers = [(b"x-fairtrial-model", header_text(champion)), (b"x-fairtrial-variant", b"none")]
        return answer_reply(champion, answer, said)

    def _reply(self, event: PredictionEvent, answer: Answer) -> Reply:
        said: Headers = [
            (b"x-fairtrial-model", header_text(event.served_by)),
            (b"x-fairtrial-variant", event.variant.encode()),
            (b"x-fairtrial-prediction-id", event.prediction_id.encode()),
        ]
        return answer_reply(event.served_by, answer, said)


def answer_reply(model: str, answer: Answer, said: Headers) -> Reply:
    """A model's answer for the caller; what is no answer becomes a problem that says why."""
    if answer.status and (answer.failure is None or not 200 <= answer.status < 300):
        return Reply(status=answer.status, body=answer.body, headers=[*answer.headers, *said])
    if answer.failure == "timeout":
        return problem(504, "model_timeout", f"The model {model!r} gave {answer.reason}.", headers=said)
    return problem(502, "model_unavailable", f"The model {model!r} cannot be used: {answer.reason}.", headers=said)


def problem(status: int, code: str, detail: str, hint: str = "", headers: Headers | None = None) -> Reply:
    """An error in the body that every part of the system has; `error` is what V2 clients look for."""
    body = encoded({"code": code, "detail": detail, "hint": hint, "error": f"{detail} {hint}".strip()})
    return Reply(status=status, body=body, headers=[(b"content-type", b"application/problem+json"), *(headers or [])])


def header_text(name: str) -> bytes:
    """A name as a header's value, in UTF-8; names hold no line breaks."""
    return name.encode("utf-8")


def document(status: int, content: Mapping[str, Any]) -> Reply:
    """A JSON answer of the gateway's own."""
    return Reply(status=status, body=encoded(content), headers=JSON)
