"""Novelty and interference of one experiment, from its spec and the logs of its data (IN-06, IN-07, IN-09)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from fairtrial.analysis.interactions import Located, Progress
from fairtrial.analysis.run import data_of
from fairtrial.diagnostics.daily_effects import MAX_DAYS, DailyEffects, daily_effects
from fairtrial.diagnostics.interference import InterferenceResult, find_interference
from fairtrial.diagnostics.novelty import NoveltyResult
from fairtrial.errors import UsageError
from fairtrial.metrics import build_metrics
from fairtrial.spec.data import LogsData
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import ADDED_UP
from fairtrial.warehouse.contamination import count_contamination
from fairtrial.warehouse.daily import read_daily
from fairtrial.warehouse.past import micros_at, past_source, times_of
from fairtrial.warehouse.sources import Source, open_source

KINDS = {"proportion", "mean", "count"}
"""Kinds of metric whose daily values can be added up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentNovelty:
    """Whether the effect of one treatment fades, with what it rests on.

    Attributes:
        experiment: Key of the experiment.
        control: Key of the control.
        treatment: Key of the treatment.
        metric: Key of the primary metric, whose daily values are compared.
        kind: Its kind.
        effects: Daily effects, and the days left out.
        novelty: What they say.
        interference: Contamination of the control, and what the spec declares.
        until: Moment that the data reaches to; None without any time.
        data_source: What was read.
    """

    experiment: str
    control: str
    treatment: str
    metric: str
    kind: str
    effects: DailyEffects
    novelty: NoveltyResult
    interference: InterferenceResult
    until: dt.datetime | None
    data_source: str


def analyze_novelty(
    one: Located,
    *,
    treatment: str | None = None,
    as_of: dt.datetime | None = None,
    days: int = MAX_DAYS,
    alpha: float = 0.05,
    progress: Progress | None = None,
) -> ExperimentNovelty:
    """Whether the effect on the primary metric fades with the days since first exposure.

    Args:
        one: The experiment; its data are logs.
        treatment: Key of the treatment; default: the first.
        as_of: Nothing dated from then on is read; default: the whole of the data.
        days: Days since first exposure to look at, at most.
        alpha: Error rate in (0, 1).
        progress: Called with a sentence as each step begins.

    Raises:
        UsageError: The data are no logs, the metric cannot be added up by day, or there is no such treatment.
        DataError: The data cannot answer.
        ConnectorError: The source cannot be reached.
    """
    spec = one.spec
    data = _logs_of(one)
    chosen = _treatment(spec, treatment)
    primary = next(metric for metric in build_metrics(spec) if metric.spec.key == spec.primary.key)
    test = getattr(primary.spec, "test", "welch")
    if primary.spec.kind not in KINDS or not (test in ADDED_UP or test in {"score", "mantel_haenszel"}):
        raise UsageError(
            f"Daily effects are of a rate, a mean or a count compared by its mean, {spec.primary.key!r} is none.",
            hint="Novelty is read on the primary metric.",
        )
    _say(progress, f"Reading {spec.key} day by day")
    with _opened(one, data, as_of) as source:
        found = read_daily(source, data, primary.needs, [arm.key for arm in spec.arms], days=days)
        _say(progress, "Looking for exposed controls")
        interference = _interference(source, spec, data, listed=0, alpha=alpha)
    effects = daily_effects(found.arms[spec.control], found.arms[chosen], is_rate=primary.spec.kind == "proportion")
    return ExperimentNovelty(
        experiment=spec.key,
        control=spec.control,
        treatment=chosen,
        metric=spec.primary.key,
        kind=primary.spec.kind,
        effects=effects,
        novelty=effects.novelty(axis=found.axis, alpha=alpha),
        interference=interference,
        until=found.until,
        data_source=found.label,
    )


def analyze_interference(
    one: Located, *, as_of: dt.datetime | None = None, listed: int = 0, alpha: float = 0.05, progress: Progress | None = None
) -> InterferenceResult:
    """Whether control units saw the treatment, and what the spec declares.

    Args:
        one: The experiment; its data are logs.
        as_of: Nothing dated from then on is read; default: the whole of the data.
        listed: How many ids of exposed controls to list.
        alpha: Error rate in (0, 1) of the interval.
        progress: Called with a sentence as each step begins.

    Raises:
        UsageError: The data are no logs.
        DataError: The data cannot answer.
        ConnectorError: The source cannot be reached.
    """
    data = _logs_of(one)
    _say(progress, f"Looking for exposed controls of {one.spec.key}")
    with _opened(one, data, as_of) as source:
        return _interference(source, one.spec, data, listed=listed, alpha=alpha)


def _interference(source: Source, spec: ExperimentSpec, data: LogsData, *, listed: int, alpha: float) -> InterferenceResult:
    arms = [arm.key for arm in spec.arms]
    counts = count_contamination(source, data, arms, spec.control, any_exposure=spec.kind == "holdout", listed=listed)
    return find_interference(
        counts.exposed,
        counts.assigned,
        shared_resource=spec.interference.shared_resource,
        network_effects=spec.interference.network_effects,
        exposed_units=counts.units,
        missing=counts.missing or "no_exposure_log",
        alpha=alpha,
    )


def _opened(one: Located, data: LogsData, as_of: dt.datetime | None) -> Source:
    source = open_source(data.source, one.base)
    return source if as_of is None else past_source(source, micros_at(as_of), times_of(data))


def _logs_of(one: Located) -> LogsData:
    spec = one.spec
    if spec.design is not None:
        raise UsageError(f"Experiment {spec.key!r} is of kind {spec.kind!r}, in which nobody is assigned.", hint="Leave it out.")
    data = data_of(spec, one.source)
    if not isinstance(data, LogsData):
        raise UsageError(
            f"Days since first exposure need times: data of shape 'logs', {spec.key!r} has {data.shape!r}.",
            hint="Name the logs: `assignments`, `exposures` and `facts` in the data section.",
        )
    return data


def _treatment(spec: ExperimentSpec, wanted: str | None) -> str:
    if wanted is None:
        return spec.treatments[0]
    if wanted not in spec.treatments:
        raise UsageError(f"{spec.key!r} has no treatment {wanted!r}, it has {list(spec.treatments)}.", hint="Set --treatment to one.")
    return wanted


def _say(progress: Progress | None, sentence: str) -> None:
    if progress is not None:
        progress(sentence)
