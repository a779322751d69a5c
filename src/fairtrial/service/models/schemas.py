"""Bodies of the routes of model experiments (ML-36)."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fairtrial.service.bodies import Body, Time

ModelName = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(min_length=1, max_length=1_000)]
Phase = Literal["pass", "fail", "inconclusive"]


class ModelExperimentIn(Body):
    """A new experiment of models."""

    spec: dict[str, Any]
    """The form of `ExperimentConfig` with a `serving:` block, as in its file."""


class ModelExperimentOut(BaseModel):
    """Where an experiment of models stands."""

    experiment_name: str
    status: Literal["running", "paused", "stopped", "completed"]
    stage: str
    share: float
    """Of the traffic, all challengers together."""
    traffic_allocation: dict[str, float]
    reason: str
    epoch: int
    """How often it was begun."""
    entered_at: Time
    updated_at: Time
    updated_by: str
    history: list[dict[str, Any]]


class ModelExperimentList(BaseModel):
    """Experiments of models, by name."""

    items: list[ModelExperimentOut]


class PredictIn(Body):
    """A request for a prediction."""

    user_id: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None
    """Who it is for."""
    session_id: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None
    """The session of an anonymous user."""
    features: dict[str, Any]


class PredictOut(BaseModel):
    """A prediction."""

    model_config = ConfigDict(protected_namespaces=())

    prediction: Any
    model_version: str
    """The model whose answer it is."""
    prediction_id: str
    """By which its outcome is reported."""


class LabelIn(Body):
    """What turned out to be true of a prediction."""

    prediction_id: Annotated[str, Field(min_length=1, max_length=100)]
    outcome: float


class LabelsIn(Body):
    """Outcomes of predictions; a later one replaces an earlier."""

    labels: Annotated[list[LabelIn], Field(min_length=1, max_length=10_000)]


class LabelsOut(BaseModel):
    """What was kept."""

    stored: int


class ReasonIn(Body):
    """Why a rollout is changed."""

    reason: Text


class StoppedOut(BaseModel):
    """A rollout after a change."""

    experiment_name: str
    status: Literal["running", "paused", "stopped", "completed"]
    traffic_allocation: dict[str, float]
    stage: str
    reason: str


class ShadowOut(BaseModel):
    """What the comparisons of champion and challengers come to."""

    model_config = ConfigDict(extra="allow")

    requests: int
    compared: int
    challenger_errors: int
    challenger_timeouts: int
    dropped: int
    divergence_rate: float | None
    ci_low: float | None
    ci_high: float | None
    limit: float
    status: Literal["ok", "diverging", "inconclusive"]
    label_flip_rate: float | None
    always_valid: dict[str, float] | None
    """An interval that holds at every look."""
    latency: dict[str, float | None] | None
    """Mean of challenger minus champion in ms, with an interval that holds at every look."""
    gate: Literal["ok", "diverging", "inconclusive"]
    """By the interval that holds at every look, failures of the challenger counted too."""


class ReportOut(BaseModel):
    """The report of a model experiment (ML-15); more fields come with it."""

    model_config = ConfigDict(extra="allow")

    experiment_name: str
    duration_days: float | int
    total_samples: int
    champion_samples: int
    challenger_samples: int
    primary_metric: dict[str, Any]
    decision: Literal["ROLLOUT_CHALLENGER", "KEEP_CHAMPION", "INCONCLUSIVE"]
    reason: str
    verdict: str | None
    state: str
    planned: dict[str, int] | None
    srm: dict[str, Any]
    label_coverage: dict[str, float | None] | None
    rollout_plan: dict[str, Any]


class GuardrailsOut(BaseModel):
    """Guardrails on the latest rows, and on the whole run."""

    model_config = ConfigDict(extra="allow")

    has_violations: bool
    has_unknown: bool
    """Whether anything is neither kept nor broken."""
    violations: list[dict[str, Any]]
    metrics: dict[str, dict[str, Any]]
    should_stop: bool
    """Three windows of one metric within an hour, or one far beyond its limit."""
    watch: dict[str, Any]
    """The tests that may be read at any moment, with one error rate for the run."""


class GuardrailPoint(BaseModel):
    """A guardrail of a model in one window."""

    at: dt.datetime
    """Begin of the window."""
    model: str
    metric: str
    value: float | None
    """The rate, quantile or mean of the window; null without values."""
    ci_low: float | None
    """Lower end of its 95% interval, in this window alone."""
    ci_high: float | None
    threshold: tuple[float | None, float | None]
    """Smallest and largest value allowed."""
    n: int
    status: str
    """`ok`, `violated`, `insufficient` or `no_data`, by the rows of this window alone."""


class GuardrailTimelineOut(BaseModel):
    """Guardrails in even windows, models in declared order, the champion first."""

    experiment_name: str
    start: dt.datetime
    end: dt.datetime
    window_minutes: float
    points: list[GuardrailPoint]


class MetricIn(Body):
    """A rate to be judged against its limit."""

    events: Annotated[int, Field(ge=0)]
    n: Annotated[int, Field(ge=0)]
    limit: Annotated[float, Field(gt=0, lt=1)]


class AnalysisIn(Body):
    """What a deployment tool asks about: an experiment, or rates of its own."""

    experiment: ModelName | None = None
    metrics: dict[str, MetricIn] | None = None


class AnalysisOut(BaseModel):
    """The answer for a deployment tool."""

    phase: Phase
    reason: str
    metrics: dict[str, Any]
