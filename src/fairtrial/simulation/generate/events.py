"""What units did: how many events of each fact, and of which values, before they get their times."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError
from fairtrial.simulation.generate.clock import DAY, Micros
from fairtrial.simulation.generate.expected import ASSUMED, Expected
from fairtrial.simulation.generate.laws import (
    CENTRE,
    SPREAD,
    Floats,
    draw_amounts,
    draw_beside,
    draw_counts,
    draw_exponential,
    draw_ratio,
    draw_successes,
    draw_trials,
)
from fairtrial.simulation.generate.recipe import Recipe
from fairtrial.spec.experiment import metric_sources
from fairtrial.spec.metric import EventValue, MetricSpec

FURTHER = 0.3
"""Mean of the Poisson number of events beyond the first, of those who have one."""
EVENTS_BEFORE, SPREAD_BEFORE = 10.0, 3.0
"""Mean and standard deviation of how many events a unit has before its start, where a covariate counts them."""


@dataclass(frozen=True, slots=True)
class Happened:
    """Events of one fact, arrays of shape (events,).

    Attributes:
        unit: Place of the unit, from 0.
        values: By column, of each event.
        before: 0 for an event of the window; otherwise it is one of so many microseconds before the start.
    """

    unit: Micros
    values: dict[str, Floats]
    before: Micros

    def __add__(self, other: Happened) -> Happened:
        values = {name: np.concatenate([self.values[name], other.values[name]]) for name in self.values}
        return Happened(np.concatenate([self.unit, other.unit]), values, np.concatenate([self.before, other.before]))


class FactEvents:
    """The events of every fact that a metric reads."""

    def __init__(self, expected: Expected, recipe: Recipe, *, factor: Floats) -> None:
        self._expected, self._recipe, self._factor = expected, recipe, factor
        self._events: dict[str, Happened] = {}
        self._first: dict[str, MetricSpec] = {}
        self._untreated: dict[str, NDArray[np.generic]] = {}

    def draw(self) -> dict[str, Happened]:
        """Events by fact, those of the primary metric first.

        Raises:
            UsageError: A metric is of a form for which none are generated.
        """
        spec = self._expected.spec
        metrics = sorted(spec.metrics, key=lambda metric: metric.role != "primary")
        for metric in metrics:
            factor = self._factor if metric is spec.primary else np.ones_like(self._factor)
            if metric.kind == "ratio":
                self._draw_ratio(metric, factor)
            else:
                self._draw_number(metric, factor)
        if len(metrics) > 1:
            self._expected.assume(f"The effect is on {spec.primary.key}; metrics of other facts are independent of it and not changed.")
        for fact in list(dict.fromkeys(source.fact for metric in metrics for source in _sources(metric).values())):
            self._add_values(fact, metrics)
            self._add_before(fact, metrics)
        return self._events

    def _draw_number(self, metric: MetricSpec, factor: Floats) -> None:
        """Events of a metric that reads one fact."""
        source = _sources(metric)["outcome"]
        if self._known(source.fact, metric):
            return
        rng, mean = self._stream(source.fact), self._expected.mean(metric)
        if metric.kind == "proportion":
            drawn = draw_successes(np.ones(factor.size, dtype=np.int64), mean, factor, rng)
            counts = drawn.observed.astype(np.int64) * (1 + rng.poisson(FURTHER, factor.size))
            self._keep(metric, source, counts, drawn.untreated)
        elif metric.kind == "quantile" or (metric.kind == "mean" and source.value is not None):
            self._draw_amounts(metric, source, mean, factor)
        else:
            drawn = draw_counts(mean, self._expected.planned_sd(metric), factor, rng)
            value = None if source.value is None else np.ones(int(drawn.observed.sum()))
            self._keep(metric, source, drawn.observed.astype(np.int64), drawn.untreated, value)

    def _draw_amounts(self, metric: MetricSpec, source: EventValue, mean: float, factor: Floats) -> None:
        """One event a unit where the sum spreads no more than its mean; otherwise seldom ones, each of an exponential value."""
        rng, ones = self._stream(source.fact), np.ones(factor.size, dtype=np.int64)
        if metric.kind == "quantile":
            if source.value is None:
                raise UsageError(f"No quantile of a number of events is generated, as {metric.key!r} is.", hint="Name a value to sum.")
            drawn = draw_exponential(mean, metric.q, factor, rng)
            self._keep(metric, source, ones, drawn.untreated, drawn.observed)
            return
        variation = self._expected.sd(metric, mean) / mean
        if variation <= 1.0:
            drawn = draw_amounts(mean, variation * mean, factor, rng)
            self._keep(metric, source, ones, drawn.untreated, drawn.observed)
            return
        often = 2.0 / variation**2
        counts = rng.poisson(often, factor.size)
        unit = np.repeat(np.arange(factor.size), counts)
        value = rng.exponential(mean / often, unit.size)
        self._keep(metric, source, counts, np.bincount(unit, value, factor.size), value * factor[unit])

    def _draw_ratio(self, metric: MetricSpec, factor: Floats) -> None:
        """Events of two facts of which the one's are some of the other's, or values of one fact over their number."""
        sources = _sources(metric)
        above, below = sources["numerator"], sources["denominator"]
        if below.value is not None or (above.fact == below.fact) != (above.value is not None):
            raise UsageError(
                f"A ratio is generated of counts of two facts, or of one fact's values over their number; {metric.key!r} is neither.",
                hint="Leave the metric out of a copy of the spec.",
            )
        rate = self._expected.mean(metric)
        if above.fact == below.fact:
            if not self._known(above.fact, metric):
                rng = self._stream(above.fact)
                trials = draw_trials(factor.size, rng)
                unit = np.repeat(np.arange(factor.size), trials)
                value = rng.exponential(rate, unit.size)
                self._keep(metric, above, trials, np.bincount(unit, value, factor.size) - rate * trials, value * factor[unit])
            return
        if not self._known(below.fact, metric):
            trials = draw_trials(factor.size, self._stream(below.fact))
            self._keep(metric, below, trials, trials)
        if not self._known(above.fact, metric):
            trials = np.bincount(self._events[below.fact].unit, minlength=factor.size)
            drawn = draw_ratio(trials, rate, factor, self._stream(above.fact))
            self._keep(metric, above, drawn.observed.astype(np.int64), drawn.untreated.astype(np.float64) - rate * trials)

    def _known(self, fact: str, metric: MetricSpec) -> bool:
        """Whether the fact is drawn already; what the metric then reads is said."""
        first = self._first.get(fact)
        if first is None:
            return False
        self._untreated.setdefault(metric.key, self._untreated[first.key])
        if first is not metric:
            self._expected.assume(f"{metric.key} reads the events of {fact} that were drawn for {first.key}.")
        return True

    def _keep(
        self,
        metric: MetricSpec,
        source: EventValue,
        counts: Micros,
        untreated: NDArray[np.generic],
        value: NDArray[np.generic] | None = None,
    ) -> None:
        unit = np.repeat(np.arange(counts.size), counts)
        values = {} if value is None or source.value is None else {source.value: value.astype(np.float64)}
        self._events[source.fact] = Happened(unit, values, np.zeros(unit.size, dtype=np.int64))
        self._first[source.fact] = metric
        self._untreated[metric.key] = untreated

    def _add_values(self, fact: str, metrics: list[MetricSpec]) -> None:
        """Columns that further metrics sum."""
        if fact not in self._events:
            none = np.zeros(0, dtype=np.int64)
            self._events[fact] = Happened(none, {}, none)
        happened = self._events[fact]
        values = dict(happened.values)
        for metric in metrics:
            for source in _sources(metric).values():
                if source.fact == fact and source.value is not None and source.value not in values:
                    values[source.value] = self._stream(fact, source.value).exponential(ASSUMED["mean"], happened.unit.size)
                    self._expected.assume(f"{fact}.{source.value} has a mean of {ASSUMED['mean']:g} an event: the plan does not say.")
        self._events[fact] = replace(happened, values=values)

    def _add_before(self, fact: str, metrics: list[MetricSpec]) -> None:
        """Events of the time before the start, beside the outcome without treatment of the first metric that reads them."""
        readers = [(m, s) for m in metrics for part, s in _sources(m).items() if part.startswith("covariate") and s.fact == fact]
        if not readers:
            return
        days = [source.before_days for _, source in readers if source.before_days is not None]
        if len(days) < len(readers):
            raise UsageError(
                f"A covariate is of the time before assignment: name before_days, {readers[0][0].key!r} has one without.",
                hint="Such as {fact: orders, before_days: 28}.",
            )
        metric, source = readers[0]
        score = draw_beside(self._untreated[metric.key], self._expected.correlation(self._recipe), self._stream(fact, "before"))
        counted = source.value is None
        often = np.maximum(np.rint(EVENTS_BEFORE + SPREAD_BEFORE * score), 0.0) if counted else np.ones(score.size)
        unit = np.repeat(np.arange(score.size), often.astype(np.int64))
        values = {name: np.full(unit.size, 1.0) for name in self._events[fact].values}
        if source.value is not None:
            values[source.value] = np.maximum(CENTRE + SPREAD * score, 0.0)
        reach = np.full(unit.size, round(min(days) * DAY))
        self._events[fact] = self._events[fact] + Happened(unit, values, reach)

    def _stream(self, *name: str) -> np.random.Generator:
        return self._recipe.stream(self._expected.spec.key, "events", *name)


def _sources(metric: MetricSpec) -> dict[str, EventValue]:
    """The events behind each part of a metric.

    Raises:
        UsageError: A part is a plain column, which logs have none of.
    """
    parts = metric_sources(metric)
    if plain := [source for source in parts.values() if not isinstance(source, EventValue)]:
        raise UsageError(
            f"Data of shape 'logs' has events and no column a unit, {metric.key!r} names {plain}.", hint="Name {fact: ..., value: ...}."
        )
    return {part: source for part, source in parts.items() if isinstance(source, EventValue)}
