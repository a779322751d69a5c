"""How the models of an experiment are served: where they answer, who is routed how, what is logged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fairtrial.spec.base import Name, Share, SpecModel
from fairtrial.spec.stages import Rollout

Protocol = Literal["v2", "json"]
Seconds = Annotated[float, Field(gt=0, le=600)]


LOG_COLUMNS = frozenset({
    "prediction_id", "experiment", "assignment_id", "user_id", "variant", "model_name", "served_by", "prediction", "outcome",
    "timestamp", "latency_ms", "error", "timeout", "fallback", "propensity", "stage", "features", "labelled_at",
})  # fmt: skip
"""Columns that every line of the prediction log has."""


def _check_url(value: str) -> str:
    scheme, _, rest = value.partition("://")
    if scheme not in {"http", "https"} or not rest or any(ch in value for ch in "?#@ \t\r\n"):
        raise ValueError(f"an address such as http://127.0.0.1:8080, without user, query or fragment, got {value!r}")
    return value.rstrip("/")


def _check_path(value: str) -> str:
    if not value.startswith("/") or any(ch in value for ch in "?# \t\r\n"):
        raise ValueError(f"a path begins with / and has no query, got {value!r}")
    return value


Address = Annotated[str, AfterValidator(_check_url)]
UrlPath = Annotated[str, AfterValidator(_check_path)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")]


class Endpoint(SpecModel):
    """Where a model answers."""

    url: Address
    """Address of its server."""
    protocol: Protocol = "v2"
    """`v2`: Open Inference Protocol, `POST /v2/models/{model}/infer`; `json`: a body of its own at `path`."""
    model: Name | None = None
    """Name of the model on its server; default: its name in the experiment."""
    path: UrlPath = "/predict"
    """Where a `json` server takes predictions."""
    health: UrlPath | None = None
    """Where it says that it is ready; default: `/v2/models/{model}/ready`, and nothing for `json`."""


class Identity(SpecModel):
    """Who a request is for."""

    header: HeaderName = "X-User-Id"
    """Header with the user's id."""
    field: Name = "user_id"
    """Field of the body that has it, when the header has not: at the top, or among a V2 request's `parameters`."""
    session_header: HeaderName = "X-Session-Id"
    """Header with the session of an anonymous user."""
    missing: Literal["refuse", "champion"] = "refuse"
    """Without either: a request is refused with 422, or the champion answers and the request is left out of the experiment."""


class Reading(SpecModel):
    """What of an answer is the prediction."""

    output: Name | None = None
    """V2: name of the output, default the first; `json`: the field, default `prediction`."""
    position: int | None = None
    """Which number of each row, such as 1 for the second class's probability or -1 for the last; default: all."""


class Features(SpecModel):
    """What of a request is logged; all else stays out of the log."""

    allow: tuple[Name, ...] = ()
    """Fields logged as they came."""
    hashed: tuple[Name, ...] = ()
    """Fields logged as a keyed hash, so that equal values can be told without being known."""
    segments: tuple[Name, ...] = ()
    """Fields logged as columns of their own, for effects by segment."""

    @model_validator(mode="after")
    def _own_names(self) -> Features:
        taken = sorted({*self.segments} & LOG_COLUMNS)
        if taken:
            raise ValueError(f"a segment must not be named as a column of the log, got {taken}")
        return self

    @model_validator(mode="after")
    def _once(self) -> Features:
        twice = sorted(set(self.hashed) & {*self.allow, *self.segments})
        if twice:
            raise ValueError(f"a feature is logged as it is or hashed, got both for {twice}")
        return self


class Shadow(SpecModel):
    """A challenger that answers beside the champion without being heard."""

    share: Share = 0.1
    """Share of the champion's requests that is mirrored."""
    threshold: Annotated[float, Field(ge=0)] = 0.1
    """Two predictions diverge when they lie further apart than this."""
    label_threshold: float = 0.5
    """A label flips when one prediction is at or above this and the other below."""
    limit: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of diverging requests that is too many."""
    timeout_seconds: Seconds = 5.0
    """How long a mirrored request may take."""
    queue: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    """Requests that may wait; what comes when it is full is dropped and counted."""
    workers: Annotated[int, Field(ge=1, le=256)] = 4
    """Mirrored requests under way at once."""


class Serving(SpecModel):
    """How an experiment of models runs in traffic."""

    models: dict[Name, Endpoint]
    """Where each model answers; every model of the experiment has its place."""
    seed: int = 42
    """Seed of the routing hash."""
    identity: Identity = Identity()
    """Who a request is for."""
    reading: Reading = Reading()
    """What of an answer is the prediction."""
    features: Features = Features()
    """What of a request is logged."""
    shadow: Shadow = Shadow()
    """Challengers that answer without being heard."""
    rollout: Rollout = Rollout()
    """Stages, and the watch over them."""
    timeout_seconds: Seconds = 1.0
    """How long a challenger may take before the champion answers in its place."""
    champion_timeout_seconds: Seconds = 30.0
    """How long the champion may take."""
    max_body_bytes: Annotated[int, Field(ge=1_024, le=1_000_000_000)] = 10_000_000
    """Longest request body."""
