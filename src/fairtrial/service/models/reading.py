"""What is known of an experiment of models: where it stands, its shadow, and whether a rollout may go on."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy.orm import Session

from fairtrial import analysis
from fairtrial.diagnostics.guarded_values import Values
from fairtrial.diagnostics.model_guardrails import judge_values
from fairtrial.errors import NotEnoughDataError, UnknownNameError, UsageError
from fairtrial.service.models.control import served_of, shown, state_of, tally_of, watched
from fairtrial.service.models.monitor import frame_of, stored_watch, windowed
from fairtrial.service.models.schemas import AnalysisIn, AnalysisOut, MetricIn, ModelExperimentOut, Phase, ShadowOut
from fairtrial.serving.rollout import analysis_phase
from fairtrial.storage.deployments import get_deployment
from fairtrial.storage.predictions import read_predictions

PHASES: dict[str, Phase] = {"violated": "fail", "ok": "pass"}
"""What a deployment tool hears of a guardrail; of any other status, that nothing can be said."""


def one(session: Session, name: str) -> ModelExperimentOut:
    """An experiment.

    Raises:
        UnknownNameError: There is none of that name.
    """
    return shown(get_deployment(session, name))


def shadow(session: Session, name: str, challenger: str | None) -> ShadowOut:
    """The comparisons of an experiment, of all challengers or of one.

    Raises:
        UnknownNameError: There is no such experiment, or no such challenger.
    """
    served = served_of(get_deployment(session, name))
    if challenger is not None and challenger not in served.config.challenger_models:
        raise UnknownNameError.among("challenger", challenger, served.config.challenger_models)
    tally = tally_of(session, served, challenger)
    return ShadowOut.model_validate(tally.summary(limit=served.serving.shadow.limit))


def report(session: Session, name: str, start: dt.datetime | None, end: dt.datetime | None, *, now: dt.datetime) -> dict[str, Any]:
    """The report of the predictions in [start, end): what `ExperimentAnalyzer.generate_report` says of them.

    Raises:
        UnknownNameError: There is no such experiment.
        UsageError: The moments are in the wrong order.
        DataError: The log cannot answer.
    """
    row = get_deployment(session, name)
    served = served_of(row)
    first, last = start or row.created_at, end or now
    if last <= first:
        raise UsageError(f"end must come after start, got {first.isoformat()} and {last.isoformat()}.")
    rows = read_predictions(session, name, first, last)
    if not rows:
        raise NotEnoughDataError(f"There is no prediction of {name!r} from {first.isoformat()} to {last.isoformat()}.")
    return analysis.ExperimentAnalyzer(served.config).generate_report(frame_of(rows), start_date=first, end_date=last)


def guardrails(session: Session, name: str, *, now: dt.datetime, minutes: float) -> dict[str, Any]:
    """The guardrails on the latest rows (ML-17), and on all of this epoch with one error rate (`watch`).

    Raises:
        UnknownNameError: There is no such experiment.
    """
    row = get_deployment(session, name)
    served, state = served_of(row), state_of(row)
    latest = windowed(session, served, state, now=now, minutes=minutes)
    return {**latest, "watch": stored_watch(session, served, state, now=now).as_json()}


def analyse(session: Session, body: AnalysisIn, *, now: dt.datetime) -> AnalysisOut:
    """Whether a rollout may go on.

    Raises:
        UsageError: Neither an experiment nor rates are given, or both.
        UnknownNameError: There is no such experiment.
    """
    if (body.experiment is None) == (not body.metrics):
        raise UsageError("An analysis is of an experiment or of metrics: give `experiment`, or `metrics` that are not empty.")
    if body.experiment is not None:
        row = get_deployment(session, body.experiment)
        served, state = served_of(row), state_of(row)
        found = watched(session, served, state, now=now)
        phase = analysis_phase(state, found.status)
        reason = state.reason if state.status == "stopped" else found.reason or f"guardrails say {found.status}"
        return AnalysisOut(phase=phase, reason=reason, metrics={"guardrails": found.as_json()})
    judged = {name: _judged(metric) for name, metric in (body.metrics or {}).items()}
    order: tuple[Phase, ...] = ("fail", "inconclusive", "pass")
    worst = min(judged, key=lambda name: order.index(judged[name][0]))
    return AnalysisOut(
        phase=judged[worst][0],
        reason=f"{worst}: {judged[worst][1]}",
        metrics={name: {"phase": phase, "reason": reason} for name, (phase, reason) in judged.items()},
    )


def _judged(metric: MetricIn) -> tuple[Phase, str]:
    """A rate against its limit, by the rule of every guardrail.

    Raises:
        UsageError: There are more events than requests.
    """
    if metric.events > metric.n:
        raise UsageError(f"events must not exceed n, got {metric.events} of {metric.n}.")
    found = judge_values("the rate", (None, metric.limit), Values(kind="rate", n=metric.n, events=metric.events))
    phase = PHASES.get(found.status, "inconclusive")
    return phase, found.reason or f"{found.value:.4g} is not shown to be above {metric.limit:g}"
