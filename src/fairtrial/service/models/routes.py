"""Routes of model experiments: parse, one call, return. Fixed paths come first, so that none is taken for a name (G-8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query

from fairtrial.service.bodies import Time
from fairtrial.service.dependencies import AsAnalyst, AsDeveloper, AsViewer, DbRead, DbWrite, Now, State
from fairtrial.service.models import control, predict, reading, timeline
from fairtrial.service.models.schemas import (
    AnalysisIn,
    AnalysisOut,
    GuardrailsOut,
    GuardrailTimelineOut,
    LabelsIn,
    LabelsOut,
    ModelExperimentIn,
    ModelExperimentList,
    ModelExperimentOut,
    PredictIn,
    PredictOut,
    ReasonIn,
    ReportOut,
    ShadowOut,
    StoppedOut,
)

Minutes = Annotated[float, Query(gt=0, le=60)]
Hours = Annotated[float, Query(gt=0, le=24 * 31)]
Windows = Annotated[int, Query(ge=2, le=96)]

router = APIRouter(prefix="/models", tags=["models"])


@router.get("", response_model=ModelExperimentList)
def list_model_experiments(db: DbRead, actor: AsViewer) -> ModelExperimentList:
    """Every experiment of models, with where it stands."""
    del actor
    return control.listed(db)


@router.post("", response_model=ModelExperimentOut, status_code=201)
def create_model_experiment(db: DbWrite, actor: AsDeveloper, now: Now, body: ModelExperimentIn) -> ModelExperimentOut:
    """Begin an experiment at its first stage; gateways with the same spec join it."""
    return control.create(db, body, actor=actor, now=now)


@router.post("/analysis", response_model=AnalysisOut)
def analysis(db: DbRead, actor: AsAnalyst, now: Now, body: AnalysisIn) -> AnalysisOut:
    """May a rollout go on, by an experiment's guardrails or by rates that are sent? For analysis steps of Argo Rollouts and Flagger."""
    del actor
    return reading.analyse(db, body, now=now)


@router.get("/{name}", response_model=ModelExperimentOut)
def read_model_experiment(db: DbRead, actor: AsViewer, name: str) -> ModelExperimentOut:
    """Where an experiment stands, and every step that led there."""
    del actor
    return reading.one(db, name)


@router.post("/{name}/predict", response_model=PredictOut)
def make_prediction(state: State, actor: AsDeveloper, now: Now, name: str, body: PredictIn) -> PredictOut:
    """A prediction by the model of the user; the champion answers for a challenger that fails (ML-36)."""
    del actor
    return predict.predict(state.database, name, body, now=now, hash_key=state.settings.hash_key.get_secret_value())


@router.post("/{name}/labels", response_model=LabelsOut)
def label_predictions(db: DbWrite, actor: AsDeveloper, now: Now, name: str, body: LabelsIn) -> LabelsOut:
    """What turned out to be true of predictions, by their ids (ML-26)."""
    del actor
    return predict.keep_labels(db, name, body, now=now)


@router.get("/{name}/report", response_model=ReportOut)
def report(db: DbRead, actor: AsViewer, now: Now, name: str, start: Time | None = None, end: Time | None = None) -> dict[str, Any]:
    """Champion against challengers on the predictions of [start, end), with verdict and rollout plan (ML-15, ML-36)."""
    del actor
    return reading.report(db, name, start, end, now=now)


@router.get("/{name}/guardrails", response_model=GuardrailsOut)
def guardrails(db: DbRead, actor: AsViewer, now: Now, name: str, minutes: Minutes = 15.0) -> dict[str, Any]:
    """Guardrails on the latest rows, and on all of this run with one error rate (ML-17, ML-36)."""
    del actor
    return reading.guardrails(db, name, now=now, minutes=minutes)


@router.get("/{name}/guardrails/timeline", response_model=GuardrailTimelineOut)
def guardrail_timeline(
    db: DbRead, actor: AsViewer, now: Now, name: str, hours: Hours = 24.0, windows: Windows = 24
) -> GuardrailTimelineOut:
    """Guardrails of champion and challengers over the last hours of this run, in even windows."""
    del actor
    return timeline.timeline(db, name, now=now, hours=hours, windows=windows)


@router.get("/{name}/shadow", response_model=ShadowOut)
def shadow(db: DbRead, actor: AsViewer, name: str, challenger: str | None = None) -> ShadowOut:
    """How far champion and challenger agree on mirrored requests (ML-10, ML-36)."""
    del actor
    return reading.shadow(db, name, challenger)


def changing(change: control.Change) -> Callable[..., StoppedOut]:
    """The route of a person's word on a rollout."""

    def changed(db: DbWrite, state: State, actor: AsDeveloper, now: Now, name: str, body: ReasonIn) -> StoppedOut:
        return control.change(db, name, change, body.reason, actor=actor, now=now, settings=state.settings)

    return changed


CHANGES: dict[control.Change, str] = {
    "stop": "All traffic to the champion; only a restart gives any back (ML-36).",
    "pause": "Stay in this stage with its share; guardrails go on watching.",
    "resume": "Go on after a pause.",
    "approve": "One stage further by a person's word; guardrails that are broken or say nothing are not overruled.",
    "restart": "Begin at the first stage again, with evidence counted anew.",
}

for _change, _means in CHANGES.items():
    router.add_api_route(
        f"/{{name}}/{_change}", changing(_change), methods=["POST"], response_model=StoppedOut, name=_change, description=_means
    )
