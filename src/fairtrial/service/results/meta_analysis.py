"""Several holdouts as one (HO-42): their effects pooled, with the spread between them.

Each experiment gives the effect and standard error of its counts, whatever the method of
its own plan. One that would mislead is left out and named with the reason: too few profiles, a sample
ratio mismatch, groups that were drawn after the fact.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any, assert_never

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairtrial.errors import UsageError
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.results.meta_schemas import LeftOutOfMeta, Measure, MetaRequest
from fairtrial.service.results.reading import SOURCE, Counted, count
from fairtrial.service.results.results import flat_now
from fairtrial.stats.meta_analysis import LEAST_TO_PREDICT, MetaAnalysis, Pooled, meta_analysis
from fairtrial.stats.result import Interval
from fairtrial.storage.tables import Experiment, ExperimentResult

TWO = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One experiment's contribution.

    Attributes:
        row: The experiment.
        effect: On the scale on which it is pooled; the logarithm of the ratio of rates for `uplift_rel`.
        std_error: Its standard error.
        n: Profiles of both groups.
        source: `counted` now, or `stored` by its last look.
    """

    row: Experiment
    effect: float
    std_error: float
    n: int
    source: str


def pool_experiments(session: Session, asked: MetaRequest, *, now: dt.datetime) -> dict[str, Any]:
    """Pool the effects of holdouts.

    Raises:
        NotFoundError: There is no such experiment.
    """
    rows = {row.id: row for row in (get_experiment(session, str(reference)) for reference in asked.experiment_ids)}
    used: list[Effect] = []
    left_out: list[LeftOutOfMeta] = []
    for row in rows.values():
        found = _effect(session, row, asked.measure, now=now)
        if isinstance(found, str):
            left_out.append(LeftOutOfMeta(experiment_id=row.id, name=row.name, reason=found))
        else:
            used.append(found)
    pooled, reason = None, f"fewer than {TWO} experiments can be pooled"
    if len(used) >= TWO:
        pooled = meta_analysis(
            [one.effect for one in used], [one.std_error for one in used], alpha=asked.alpha, tau2_method=asked.tau2_method
        )
        reason = None
    return {
        "measure": asked.measure,
        "alpha": asked.alpha,
        "tau2_method": asked.tau2_method,
        "interval_method": "hartung_knapp",
        "k": len(used),
        **_pooled(pooled, asked.measure),
        "reason": reason,
        "experiments": [_one(one, place, pooled, asked) for place, one in enumerate(used)],
        "left_out": left_out,
        "notes": _notes(used),
        "data_source": SOURCE,
    }


def _effect(session: Session, row: Experiment, measure: Measure, *, now: dt.datetime) -> Effect | str:
    """What an experiment contributes, or why it does not."""
    try:
        counted = count(session, row)
    except UsageError as error:
        return str(error)
    if len(counted.spec.arms) != TWO:
        return f"it has {len(counted.spec.arms)} arms, not two"
    fields, source = flat_now(session, counted, now=now), "counted"
    kept = session.scalar(select(ExperimentResult).where(ExperimentResult.experiment_id == row.id))
    if counted.treatment.n + counted.control.n == 0 and kept is not None and "results" in kept.meta_json:
        fields, source = kept.meta_json["results"], "stored"  # the rows of old experiments may be deleted, their results stay
    found = _misleading(fields) or _contrast(fields, counted if source == "counted" else None, measure)
    if isinstance(found, str):
        return found
    return Effect(row=row, effect=found[0], std_error=found[1], n=fields["treatment"]["n"] + fields["control"]["n"], source=source)


def _misleading(fields: dict[str, Any]) -> str | None:
    if not fields.get("causal", True):
        return str(fields["causal_reason"])
    if fields["insufficient_data"]:
        return str(fields["reason"])
    if fields["srm"] is not None and fields["srm"]["status"] == "mismatch":
        return f"sample ratio mismatch (p={fields['srm']['p_value']:.2g})"
    return None


def _contrast(fields: dict[str, Any], counted: Counted | None, measure: Measure) -> tuple[float, float] | str:
    (n1, x1), (n0, x0) = ((fields[group]["n"], fields[group]["conversions"]) for group in ("treatment", "control"))
    match measure:
        case "uplift_abs":
            variance = x1 * (n1 - x1) / n1**3 + x0 * (n0 - x0) / n0**3
            return "no rate varies" if variance <= 0.0 else (x1 / n1 - x0 / n0, math.sqrt(variance))
        case "uplift_rel":
            if x1 == 0 or x0 == 0:
                return "nobody converted in a group, so there is no ratio of rates"
            variance = (n1 - x1) / (x1 * n1) + (n0 - x0) / (x0 * n0)
            return "no rate varies" if variance <= 0.0 else (math.log(x1 / n1 / (x0 / n0)), math.sqrt(variance))
        case "value_per_profile":
            if counted is None or counted.treatment.value is None or counted.control.value is None:
                return "its rows are no longer stored, so the spread of its values is not known"
            treatment, control = counted.treatment.value, counted.control.value
            variance = treatment.variance / treatment.n + control.variance / control.n
            return "no value varies" if variance <= 0.0 else (treatment.mean - control.mean, math.sqrt(variance))
        case _:
            assert_never(measure)


def _pooled(found: MetaAnalysis | None, measure: Measure) -> dict[str, Any]:
    if found is None:
        return {"fixed": None, "random": None, "heterogeneity": None, "prediction": None}
    spread = found.heterogeneity
    return {
        "fixed": _pooled_effect(found.fixed, measure),
        "random": _pooled_effect(found.random, measure),
        "heterogeneity": {"q": spread.q, "df": spread.df, "p_value": spread.p_value, "i_squared": found.i_squared, "tau2": found.tau2},
        "prediction": None if found.prediction is None else _ends(found.prediction, measure),
    }


def _pooled_effect(found: Pooled, measure: Measure) -> dict[str, Any]:
    interval = _ends(found.interval, measure)
    return {
        "effect": _shown(found.effect, measure),
        "ci_low": interval[0],
        "ci_high": interval[1],
        "p_value": found.p_value,
        "std_error": found.std_error,
        "df": found.df,
    }


def _one(one: Effect, place: int, pooled: MetaAnalysis | None, asked: MetaRequest) -> dict[str, Any]:
    return {
        "experiment_id": one.row.id,
        "name": one.row.name,
        "channel": one.row.channel,
        "status": one.row.status,
        "n": one.n,
        "effect": _shown(one.effect, asked.measure),
        "std_error": one.std_error,
        "weight_fixed": None if pooled is None else pooled.fixed.weights[place],
        "weight_random": None if pooled is None else pooled.random.weights[place],
        "source": one.source,
    }


def _notes(used: list[Effect]) -> list[str]:
    notes: list[str] = []
    running = sum(one.row.status in {"draft", "running"} for one in used)
    if running:
        notes.append(f"{running} of the experiments still run: choosing the moment by what is seen here inflates the error rate.")
    if len({one.row.conversion_key for one in used}) > 1:
        notes.append("The experiments count different conversions; a pooled effect answers no one question.")
    if TWO <= len(used) < LEAST_TO_PREDICT:
        notes.append(f"A prediction interval needs {LEAST_TO_PREDICT} experiments.")
    return notes


def _shown(value: float, measure: Measure) -> float:
    return math.expm1(value) if measure == "uplift_rel" else value


def _ends(interval: Interval, measure: Measure) -> list[float | None]:
    return [_finite(end, measure) for end in (interval.low, interval.high)]


def _finite(end: float, measure: Measure) -> float | None:
    """The end as it is shown; null beyond what a double holds (e to the 709th)."""
    try:
        return _shown(end, measure)
    except OverflowError:
        return None
