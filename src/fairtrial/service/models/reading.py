"""What is known of an experiment of models: where it stands, its shadow, and whether a rollout may go on."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.service.models.control import served_of, shown, state_of, tally_of, watched
from fairtrial.service.models.schemas import AnalysisIn, AnalysisOut, MetricIn, ModelExperimentOut, Phase, ShadowOut
from fairtrial.serving.rollout import analysis_phase
from fairtrial.stats.exact import binomial_exact_p
from fairtrial.storage.deployments import get_deployment

FEWEST = 200
"""Requests below which a rate says nothing good."""

LEVEL = 0.05


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
    """A rate against its limit, by the exact one-sided binomial test.

    Raises:
        UsageError: There are more events than requests.
    """
    if metric.events > metric.n:
        raise UsageError(f"events must not exceed n, got {metric.events} of {metric.n}.")
    if metric.n == 0:
        return "inconclusive", "there are no requests"
    rate = metric.events / metric.n
    p_value = binomial_exact_p(metric.events, metric.n, metric.limit, alternative="greater") if rate > metric.limit else 1.0
    if p_value < LEVEL:
        return "fail", f"{rate:.4g} is above {metric.limit:g} (p={p_value:.3g})"
    if metric.n < FEWEST:
        return "inconclusive", f"{metric.n} of {FEWEST} requests"
    return "pass", f"{rate:.4g} is not shown to be above {metric.limit:g}"
