"""A made-up unit table: a row a unit, under the column names that the spec declares."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError
from fairtrial.simulation.generate.clock import as_timestamps, draw_times, enrolment
from fairtrial.simulation.generate.columns import Column, put
from fairtrial.simulation.generate.expected import Expected
from fairtrial.simulation.generate.laws import (
    CENTRE,
    EVENTS_PER_UNIT,
    SPREAD,
    Floats,
    Outcome,
    draw_amounts,
    draw_beside,
    draw_counts,
    draw_exponential,
    draw_rates,
    draw_ratio,
    draw_trials,
)
from fairtrial.simulation.generate.recipe import LABEL, Recipe
from fairtrial.spec.data import UnitsData
from fairtrial.spec.experiment import metric_sources
from fairtrial.spec.metric import MetricSpec

Law = Callable[[Floats, np.random.Generator], Outcome]
"""Draws the outcomes of units with these factors; those without the treatment first, whatever the factors."""
FIRST_SEEN = "first_seen"
"""The column of when a unit came, where the spec has no other use for the name."""
LEVELS = np.array(["a", "b", "c"])
BORDERS = (0.0, 0.84)
"""Normal scores between the levels of a stratum or segment: half, three tenths and a fifth of the units."""


def unit_table(expected: Expected, recipe: Recipe, data: UnitsData, names: list[str], arms: list[str], factor: Floats) -> dict[str, Column]:
    """Columns by name, each as long as there are units.

    Args:
        expected: The plan.
        recipe: What is asked.
        data: Names of the columns.
        names: The units; of pairs their names, the first half of the rows one of each, the second half the others.
        arms: Their arms.
        factor: What the primary metric is multiplied by, shape (n,).

    Raises:
        UsageError: A column has two meanings, or a baseline or effect is impossible.
    """
    table = _Table(expected, recipe, factor=factor, paired=data.pair is not None)
    if data.pair is not None:
        table.put(data.pair, names)
    if data.unit is not None or data.pair is None:
        table.put(data.unit or "unit", names if data.pair is None else [f"{name}-{arm}" for name, arm in zip(names, arms, strict=True)])
    if data.factors:
        levels = {arm.key: arm.levels for arm in expected.spec.arms}
        for name, column in data.factors.items():
            table.put(column, [levels[arm][name] for arm in arms])
    else:
        table.put(data.arm, arms)
    table.outcomes()
    table.covariates()
    table.levels(data)
    for name, value in data.where.items():
        table.put(name, np.full(len(names), value) if not isinstance(value, str) else [value] * len(names))
    table.put(LABEL, np.ones(len(names), dtype=np.bool_))
    if FIRST_SEEN not in table.columns:
        first, end = enrolment(expected)
        low = np.full(len(names), first)
        table.put(FIRST_SEEN, as_timestamps(draw_times(low, low + (end - first), recipe.stream(expected.spec.key, "arrival"))))
    return table.columns


class _Table:
    """The table while it is made."""

    def __init__(self, expected: Expected, recipe: Recipe, *, factor: Floats, paired: bool = False) -> None:
        self.columns: dict[str, Column] = {}
        self._expected, self._recipe, self._factor, self._paired = expected, recipe, factor, paired
        self._primary_first = sorted(expected.spec.metrics, key=lambda metric: metric.role != "primary")
        self._drawn_by: dict[str, MetricSpec] = {}
        self._untreated: dict[str, NDArray[np.generic]] = {}

    def put(self, name: str, column: Column) -> None:
        """Add a column; a name that is taken is refused."""
        put(self.columns, name, column)

    def outcomes(self) -> None:
        """The columns of every metric, those of the primary one first."""
        spec = self._expected.spec
        for metric in self._primary_first:
            if self._seen_before(metric):
                continue
            factor = self._factor if metric is spec.primary else np.ones_like(self._factor)
            self._draw(metric, factor)
        if len(spec.metrics) > 1:
            self._expected.assume(f"The effect is on {spec.primary.key}; other metrics are independent of it and not changed.")

    def covariates(self) -> None:
        """Numbers known before assignment, beside the outcome without treatment of the first metric that uses them."""
        for metric in self._primary_first:
            parts = metric_sources(metric)
            ratio = parts.get("covariate_denominator")
            below: NDArray[np.generic] = np.ones(self._factor.size)
            if isinstance(ratio, str) and ratio not in self.columns:
                below = draw_trials(self._factor.size, self._stream(ratio))
                self.put(ratio, below)
            for part, name in parts.items():
                if part.startswith("covariate") and part != "covariate_denominator" and isinstance(name, str) and name not in self.columns:
                    score = draw_beside(self._untreated[metric.key], self._expected.correlation(self._recipe), self._stream(name))
                    self.put(name, (CENTRE + SPREAD * score) * below)

    def levels(self, data: UnitsData) -> None:
        """Strata and segments: groups known before assignment, in which outcomes differ and effects do not."""
        segments = self._expected.spec.segments
        for name in dict.fromkeys((*data.strata, *(segments.columns if segments else ()))):
            score = draw_beside(
                self._untreated[self._expected.spec.primary.key], self._expected.correlation(self._recipe), self._stream(name)
            )
            self.put(name, LEVELS[np.digitize(score, BORDERS)].tolist())
            self._expected.assume("The relative effect is the same in every stratum and segment.")

    def _seen_before(self, metric: MetricSpec) -> bool:
        """Whether another metric has drawn this one's column.

        Raises:
            UsageError: It drew numbers that this metric cannot read.
        """
        parts = metric_sources(metric)
        first = self._drawn_by.get(str(parts.get("outcome")))
        if first is None:
            return False
        if metric.kind != first.kind and not (metric.kind in {"mean", "quantile"} and first.kind in {"mean", "quantile", "count"}):
            raise UsageError(
                f"Metrics {first.key!r} and {metric.key!r} read one column as a {first.kind} and as a {metric.kind}.",
                hint="Name a column for each in a copy of the spec.",
            )
        self._untreated[metric.key] = self._untreated[first.key]
        self._expected.assume(f"{metric.key} reads the column of {first.key}, drawn for that.")
        return True

    def _draw(self, metric: MetricSpec, factor: Floats) -> None:
        sources = {part: str(source) for part, source in metric_sources(metric).items()}
        mean = self._expected.mean(metric)
        if metric.kind == "ratio":
            self._put_ratio(metric, sources, mean, factor)
            return
        if metric.kind == "proportion":
            law: Law = partial(draw_rates, mean)
        elif metric.kind == "count":
            law = partial(draw_counts, mean, self._expected.planned_sd(metric))
        elif metric.kind == "mean":
            law = partial(draw_amounts, mean, self._expected.sd(metric, mean))
        else:
            law = partial(draw_exponential, mean, metric.q)
            self._expected.assume(f"{metric.key} is of an exponential distribution.")
        drawn = self._in_pairs(metric, law, factor) if self._paired else law(factor, self._stream(metric.key))
        self._keep(metric, sources["outcome"], drawn)

    def _in_pairs(self, metric: MetricSpec, law: Law, factor: Floats) -> Outcome:
        """Outcomes of pairs: some share of the second ones is, untreated, as the first, which is their correlation.

        Raises:
            UsageError: The correlation is below 0.
        """
        alike = self._expected.correlation(self._recipe, "The other of a pair, untreated,")
        if alike < 0.0:
            raise UsageError(f"The two of a pair have a correlation of 0 or more, got {alike:g}.", hint="Give --correlation another value.")
        half = factor.size // 2
        one, same = (law(part, self._stream(metric.key)) for part in (factor[:half], factor[half:]))
        other = law(factor[half:], self._stream(f"{metric.key} of the other"))
        is_same = self._stream(f"{metric.key} in pairs").random(half) < alike
        return Outcome(
            np.concatenate([one.untreated, np.where(is_same, same.untreated, other.untreated)]),
            np.concatenate([one.observed, np.where(is_same, same.observed, other.observed)]),
        )

    def _put_ratio(self, metric: MetricSpec, sources: dict[str, str], rate: float, factor: Floats) -> None:
        """Numerator and denominator; the first is a share of the second where the ratio is below 1 and stays so."""
        below = sources["denominator"]
        if below not in self.columns:
            self.put(below, draw_trials(factor.size, self._stream(below)))
            self._expected.assume(f"{below} is 1 and a Poisson number of mean {EVENTS_PER_UNIT:g}.")
        trials = np.asarray(self.columns[below]).astype(np.int64)
        drawn = draw_ratio(trials, rate, factor, self._stream(metric.key))
        self._keep(metric, sources["numerator"], drawn)
        self._untreated[metric.key] = drawn.untreated.astype(np.float64) - rate * trials

    def _keep(self, metric: MetricSpec, name: str, drawn: Outcome) -> None:
        self.put(name, drawn.observed)
        self._drawn_by[name] = metric
        self._untreated[metric.key] = drawn.untreated

    def _stream(self, name: str) -> np.random.Generator:
        return self._recipe.stream(self._expected.spec.key, "column", name)
