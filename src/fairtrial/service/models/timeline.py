"""Guardrails over time: each of them in even windows, for the champion and every challenger.

A window is judged by the rule of `diagnostics.model_guardrails` on its own rows. This is for eyes: many windows are many
tests, so a single one beyond its limit stops nothing. The watch with one error rate does (`serving.live_guardrails`).
"""

from __future__ import annotations

import datetime as dt

import numpy as np
from sqlalchemy.orm import Session

from fairtrial.diagnostics.guarded_values import Columns
from fairtrial.diagnostics.model_guardrails import check_guardrail
from fairtrial.service.models.control import served_of, state_of
from fairtrial.service.models.monitor import frame_of
from fairtrial.service.models.schemas import GuardrailPoint, GuardrailTimelineOut
from fairtrial.serving.guardrails import READ, columns_of
from fairtrial.serving.rollout import began_at
from fairtrial.spec.model_experiment import ExperimentConfig
from fairtrial.storage.deployments import get_deployment
from fairtrial.storage.predictions import read_predictions


def timeline(session: Session, name: str, *, now: dt.datetime, hours: float, windows: int) -> GuardrailTimelineOut:
    """The guardrails of the last hours of this run.

    Args:
        session: A session.
        name: Of the experiment.
        now: The moment.
        hours: How far back, at most to the begin of the run.
        windows: Number of even windows.

    Raises:
        UnknownNameError: There is no such experiment.
    """
    row = get_deployment(session, name)
    served, state = served_of(row), state_of(row)
    config = served.config
    start = min(max(now - dt.timedelta(hours=hours), began_at(state)), now)
    width = (now - start) / windows
    frame = frame_of(read_predictions(session, name, start, None))
    wanted = dict.fromkeys((*READ, *config.guardrail_metrics))
    seconds = np.array([(at - start).total_seconds() for at in frame["timestamp"]], dtype=np.float64)
    places = np.minimum(seconds / max(width.total_seconds(), 1e-9), windows - 1).astype(np.int64)
    models = np.asarray(frame["model_name"], dtype=object)
    points: list[GuardrailPoint] = []
    for model in (config.champion_model, *config.challenger_models):
        for window in range(windows):
            columns = columns_of(frame[(models == model) & (places == window)], wanted)
            points += _judged(served.config, columns, model=model, at=start + window * width)
    return GuardrailTimelineOut(experiment_name=name, start=start, end=now, window_minutes=width.total_seconds() / 60.0, points=points)


def _judged(config: ExperimentConfig, columns: Columns, *, model: str, at: dt.datetime) -> list[GuardrailPoint]:
    found: list[GuardrailPoint] = []
    for metric, limits in config.guardrail_metrics.items():
        check = check_guardrail(metric, limits, columns, proportion=config.metric_types.get(metric) == "proportion")
        found.append(
            GuardrailPoint(
                at=at,
                model=model,
                metric=metric,
                value=check.value,
                ci_low=check.ci_low,
                ci_high=check.ci_high,
                threshold=check.threshold,
                n=check.n,
                status=check.status,
            )
        )
    return found
