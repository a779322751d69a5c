"""Effects by segment: does the effect differ, what is it in each level, who is hurt.

First comes the test of whether the levels differ (Cochran's), then the effects of the levels, by
the test of the whole, corrected, and beside them shrunken ones. One metric is one family: all its
levels, columns and treatments together. Levels are read two-sided and against no effect, whatever
the plan's alternative and objective, because harm is what is looked for. Nothing here reaches a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np

from fairtrial.evaluation.batch import Batch, Member, Pair, batch_of, grouped, sides_of
from fairtrial.evaluation.compare import estimates_of
from fairtrial.evaluation.control import PlannedLook
from fairtrial.evaluation.corrections import Level
from fairtrial.evaluation.credible import believe
from fairtrial.evaluation.evidence import read_direction
from fairtrial.evaluation.guard import oriented
from fairtrial.evaluation.planned_looks import planned_control
from fairtrial.evaluation.rowwise import is_of_units
from fairtrial.evaluation.scorecard import LookStatus
from fairtrial.evaluation.segment_report import (
    Harm,
    LevelEffect,
    LevelsDiffer,
    SegmentColumn,
    SegmentComparison,
    SegmentLevel,
    Segments,
)
from fairtrial.metrics import Metric
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import MetricSpec
from fairtrial.spec.segments import SegmentsSpec
from fairtrial.stats.heterogeneity import LEAST_GROUPS, Heterogeneity, Shrunken, cochran_q, shrink
from fairtrial.stats.multiplicity import adjust
from fairtrial.stats.reading import LevelStats, Reading, SegmentStats
from fairtrial.stats.result import Estimate, Interval, Unavailable
from fairtrial.stats.tables import chi_square_independence

TWO_SIDED = "Levels are read two-sided by the tests of the whole, "
BASES: Mapping[str, str] = {
    "fixed": "at one look.",
    "group_sequential": "at this look's boundary, taking every level to fill up as the whole does; whether levels differ is tested at "
    "one look's level and is descriptive.",
    "always_valid": "by intervals that hold at every look; whether levels differ is tested at one look's level and is descriptive.",
    "hybrid": "at this look's boundary, guardrails at every look; whether levels differ is tested at one look's level and is descriptive.",
    "bayesian": "as credible intervals, each by itself; harm is read from the shrunken effects. Whether levels differ is tested at one "
    "look's level and is descriptive.",
}
"""What reads by segment promise, by the plan's method."""
NOT_BY_SEGMENT = Unavailable(code="not_by_segment", reason="The metric's test reads units; by segment only tests made of moments are read.")


class Place(NamedTuple):
    """One effect: place of its column and level, its metric and treatment."""

    column: int
    level: int
    metric: str
    treatment: str


@dataclass(slots=True)
class _Reads:
    """What is gathered about each effect on the way.

    Attributes:
        batches: The comparisons of each column and level, by formula.
        results: Estimates, or why there are none.
        simultaneous: Bonferroni's intervals.
        spread: Effect and standard error, free of any null hypothesis, where both are good for a normal model.
    """

    batches: list[tuple[int, int, Batch]] = field(default_factory=list[tuple[int, int, Batch]])
    results: dict[Place, Estimate | Unavailable] = field(default_factory=dict[Place, "Estimate | Unavailable"])
    simultaneous: dict[Place, Interval] = field(default_factory=dict[Place, Interval])
    spread: dict[Place, tuple[float, float]] = field(default_factory=dict[Place, tuple[float, float]])


def read_segments(
    spec: ExperimentSpec,
    metrics: Sequence[Metric],
    reading: Reading,
    whole: Mapping[Pair, Estimate | Unavailable],
    look: LookStatus | None,
) -> Segments | None:
    """Everything by segment.

    Args:
        spec: The experiment.
        metrics: Its metrics.
        reading: With arms by segment.
        whole: Comparisons over all units, by metric and treatment.
        look: This look, in a plan with planned looks.

    Returns:
        None where the spec asks for no segments, or the reading has none.
    """
    if spec.segments is None or not reading.segments:
        return None
    plain = _two_sided(spec)
    reads = _Reads()
    _compare(plain, spec.segments, metrics, reading.segments, _control(plain, look), reads)
    _estimate(plain, spec.segments, reads)
    rows = [_row(spec, segment, place, whole, reads) for place, segment in enumerate(reading.segments)]
    return Segments(
        columns=tuple(_column(segment) for segment in reading.segments),
        comparisons=tuple(_corrected_tests(spec, [row for of_column in rows for row in of_column])),
        alpha=spec.plan.alpha,
        correction=spec.segments.correction,
        min_units=spec.segments.min_units,
        basis=TWO_SIDED + BASES[spec.plan.method],
    )


def _two_sided(spec: ExperimentSpec) -> ExperimentSpec:
    """The spec with a plan that looks to both sides of no effect, and gives up on nobody."""
    sequential = spec.plan.sequential.model_copy(update={"binding": False})
    changes = {"alternative": "two-sided", "objective": "superiority", "sequential": sequential}
    return spec.model_copy(update={"plan": spec.plan.model_copy(update=changes)})


def _control(spec: ExperimentSpec, look: LookStatus | None) -> PlannedLook | None:
    """This look of the plan, two-sided."""
    return None if look is None else planned_control(spec, (*look.past, look.information), final=look.final)[0]


def _compare(
    spec: ExperimentSpec,
    segments: SegmentsSpec,
    metrics: Sequence[Metric],
    read: Sequence[SegmentStats],
    control: PlannedLook | None,
    reads: _Reads,
) -> None:
    """Contrasts of every metric and treatment in every level, uncorrected."""
    for column, segment in enumerate(read):
        for index, level in enumerate(segment.levels):
            ready: list[Member] = []
            for metric in metrics:
                for treatment in spec.treatments:
                    found = _sides(spec, segments, segment.column, metric, treatment, level)
                    if isinstance(found, Unavailable):
                        reads.results[Place(column, index, metric.spec.key, treatment)] = found
                    else:
                        ready.append(found)
            reads.batches += [(column, index, batch_of(spec, members, control)) for members in grouped(spec, ready)]


def _sides(
    spec: ExperimentSpec, segments: SegmentsSpec, column: str, metric: Metric, treatment: str, level: LevelStats
) -> Member | Unavailable:
    """A comparison that can be made in a level, or why it cannot."""
    if is_of_units(metric):
        return NOT_BY_SEGMENT
    for arm in (spec.control, treatment):
        if level.arms[arm].n < segments.min_units:
            return _thin(segments, column, level, f"{level.arms[arm].n} units in arm {arm}")
    sides = sides_of(spec, metric, treatment, level.arms)
    if isinstance(sides, Unavailable):
        return sides
    for arm, moments in zip((spec.control, treatment), sides, strict=True):
        if moments.n < segments.min_units:
            return _thin(segments, column, level, f"{moments.n} units with a value of {metric.spec.key} in arm {arm}")
    return metric, treatment, *sides


def _thin(segments: SegmentsSpec, column: str, level: LevelStats, got: str) -> Unavailable:
    return Unavailable(code="thin_segment", reason=f"{column} {level.name} has {got}, {segments.min_units} are asked for.")


def _estimate(spec: ExperimentSpec, segments: SegmentsSpec, reads: _Reads) -> None:
    """Corrected estimates, simultaneous intervals, and what the model of all levels is made of."""
    families: dict[str, list[tuple[Place, float]]] = {}
    for place, p_value in _p_values(reads):
        families.setdefault(place.metric, []).append((place, p_value))
    levels: dict[Place, Level] = {}
    for family in families.values():
        adjusted = adjust([p for _, p in family], segments.correction, alpha=spec.plan.alpha)
        ends = zip(family, adjusted.p_adjusted.tolist(), adjusted.local_alpha.tolist(), strict=True)
        levels |= {place: Level(alpha=local, p_adjusted=p, correction=segments.correction) for (place, _), p, local in ends}
    for column, index, batch in reads.batches:
        places = {pair: Place(column, index, *pair) for pair in batch.pairs}
        if batch.control.name == "bayesian":
            found = believe(spec, batch).results
        else:
            plain = Level(alpha=spec.plan.alpha)
            found = estimates_of(spec, batch, {pair: levels.get(place, plain) for pair, place in places.items()})
            shared = np.array([spec.plan.alpha / max(len(families.get(metric, ())), 1) for metric, _ in batch.pairs])
            low, high = batch.control.interval(batch.contrast, alpha=shared, alternative="two-sided")
            sums = zip(batch.pairs, low.tolist(), high.tolist(), strict=True)
            reads.simultaneous |= {places[pair]: Interval(low=a, high=b) for pair, a, b in sums if not math.isnan(a + b)}
        reads.results |= {places[pair]: result for pair, result in found.items()}
        reads.spread |= {places[pair]: entry for pair, entry in _spreads(batch) if isinstance(found[pair], Estimate)}


def _p_values(reads: _Reads) -> Iterator[tuple[Place, float]]:
    for column, index, batch in reads.batches:
        if batch.control.name != "bayesian":
            for pair, p_value in zip(batch.pairs, batch.p_value.tolist(), strict=True):
                if not math.isnan(p_value):
                    yield Place(column, index, *pair), p_value


def _spreads(batch: Batch) -> Iterator[tuple[Pair, tuple[float, float]]]:
    """Effects with the standard errors of their own arms, but for counts too small for the normal distribution."""
    contrast = batch.contrast
    variance = contrast.control_variance + contrast.treatment_variance - 2.0 * contrast.covariance
    columns = zip(batch.pairs, contrast.effect.tolist(), variance.tolist(), batch.small_counts.tolist(), strict=True)
    for pair, effect, square, small in columns:
        if not small and math.isfinite(effect) and math.isfinite(square) and square > 0.0:
            yield pair, (effect, math.sqrt(square))


def _column(segment: SegmentStats) -> SegmentColumn:
    total = sum(stats.n for level in segment.levels for stats in level.arms.values())
    levels = tuple(
        SegmentLevel(
            name=level.name,
            kind=level.kind,
            pooled=level.pooled,
            n={arm: stats.n for arm, stats in level.arms.items()},
            share=sum(stats.n for stats in level.arms.values()) / max(total, 1),
        )
        for level in segment.levels
    )
    return SegmentColumn(column=segment.column, levels=levels, shares_p_value=_shares_p_value(levels))


def _shares_p_value(levels: Sequence[SegmentLevel]) -> float | None:
    """Pearson's test of level by arm; arms and levels without units take no part."""
    table = np.array([list(level.n.values()) for level in levels], dtype=np.float64)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0] if table.size else table
    if table.ndim < 2 or min(table.shape) < 2:
        return None
    return float(chi_square_independence(table).p_value)


def _row(
    spec: ExperimentSpec, segment: SegmentStats, column: int, whole: Mapping[Pair, Estimate | Unavailable], reads: _Reads
) -> list[SegmentComparison]:
    return [
        _comparison(spec, segment, column, metric, treatment, (whole[metric.key, treatment], reads))
        for metric in spec.metrics
        for treatment in spec.treatments
    ]


def _comparison(
    spec: ExperimentSpec,
    segment: SegmentStats,
    column: int,
    metric: MetricSpec,
    treatment: str,
    gathered: tuple[Estimate | Unavailable, _Reads],
) -> SegmentComparison:
    """One metric and treatment by one column; the test's p-value is corrected later, with those of other columns."""
    whole, reads = gathered
    places = [Place(column, index, metric.key, treatment) for index in range(len(segment.levels))]
    usable = [place for place in places if place in reads.spread]
    tested: Heterogeneity | None = None
    drawn: dict[Place, tuple[float, Interval]] = {}
    tau = 0.0
    if len(usable) >= LEAST_GROUPS:
        effects, errors = zip(*(reads.spread[place] for place in usable), strict=True)
        tested, model = cochran_q(effects, errors), shrink(effects, errors, alpha=spec.plan.alpha)
        drawn, tau = _by_place(usable, model), model.tau
    overall = whole.effect if isinstance(whole, Estimate) else None
    levels = tuple(
        _level(spec, metric, level.name, reads.results[place], (reads.simultaneous.get(place), drawn.get(place)), overall)
        for level, place in zip(segment.levels, places, strict=True)
    )
    return SegmentComparison(
        column=segment.column,
        metric=metric.key,
        kind=metric.kind,
        role=metric.role,
        direction=metric.direction,
        treatment=treatment,
        differ=None if tested is None else _differ(tested, tau),
        unavailable=_too_few(segment, len(usable), [reads.results[place] for place in places]) if tested is None else None,
        levels=levels,
        reversed=_is_reversed(overall, [level.estimate.effect for level in levels if level.estimate is not None]),
    )


def _by_place(places: Sequence[Place], model: Shrunken) -> dict[Place, tuple[float, Interval]]:
    return dict(zip(places, zip(model.effects, model.intervals, strict=True), strict=True))


def _differ(tested: Heterogeneity, tau: float) -> LevelsDiffer:
    return LevelsDiffer(
        q=tested.q,
        df=tested.df,
        p_value=tested.p_value,
        p_adjusted=tested.p_value,
        i_squared=tested.i_squared,
        pooled=tested.pooled,
        tau=tau,
    )


def _too_few(segment: SegmentStats, usable: int, results: Sequence[Estimate | Unavailable]) -> Unavailable:
    gone = [result for result in results if isinstance(result, Unavailable)]
    if gone and len(gone) == len(results) and len({one.code for one in gone}) == 1 and gone[0].code != "thin_segment":
        return gone[0]
    return Unavailable(
        code="too_few_levels",
        reason=f"Levels can differ from {LEAST_GROUPS} on; {usable} of the {len(segment.levels)} of {segment.column} could be read.",
    )


def _level(
    spec: ExperimentSpec,
    metric: MetricSpec,
    name: str,
    result: Estimate | Unavailable,
    around: tuple[Interval | None, tuple[float, Interval] | None],
    overall: float | None,
) -> LevelEffect:
    if isinstance(result, Unavailable):
        return LevelEffect(level=name, estimate=None, unavailable=result, reading="unavailable")
    simultaneous, drawn = around
    reading = read_direction(metric, result, spec.plan.alpha)
    if result.error_control == "bayesian":
        reading = _read_shrunken(metric, drawn)
    return LevelEffect(
        level=name,
        estimate=result,
        unavailable=None,
        reading=reading,
        simultaneous=simultaneous,
        shrunken=None if drawn is None else drawn[0],
        shrunken_interval=None if drawn is None else drawn[1],
        harm=_harm(metric, result, overall, worse=reading == "worse"),
    )


def _read_shrunken(metric: MetricSpec, drawn: tuple[float, Interval] | None) -> Literal["better", "worse", "inconclusive"]:
    """In a Bayesian plan the model of all levels is what allows for there being many."""
    if drawn is None:
        return "inconclusive"
    interval = oriented(drawn[1], increase_is_better=metric.direction == "increase")
    return "better" if interval.low > 0 else "worse" if interval.high < 0 else "inconclusive"


def _harm(metric: MetricSpec, estimate: Estimate, overall: float | None, *, worse: bool) -> Harm | None:
    """III.b: the whole is better, and the level's corrected interval, or at least its estimate, is on the harmful side."""
    sign = 1.0 if metric.direction == "increase" else -1.0
    if overall is None or sign * overall <= 0.0 or sign * estimate.effect >= 0.0:
        return None
    return "hidden_regression" if worse else "suspected"


def _is_reversed(overall: float | None, effects: Sequence[float]) -> bool:
    return overall is not None and len(effects) >= LEAST_GROUPS and all(effect * overall < 0.0 for effect in effects)


def _corrected_tests(spec: ExperimentSpec, rows: Sequence[SegmentComparison]) -> list[SegmentComparison]:
    """The rows with the tests of whether levels differ corrected over each metric's columns and treatments."""
    correction = "holm" if spec.segments is None else spec.segments.correction
    done = list(rows)
    for metric in spec.metrics:
        family = [(i, row.differ) for i, row in enumerate(rows) if row.metric == metric.key and row.differ is not None]
        if family:
            adjusted = adjust([tested.p_value for _, tested in family], correction, alpha=spec.plan.alpha).p_adjusted.tolist()
            for (i, tested), p_adjusted in zip(family, adjusted, strict=True):
                done[i] = replace(done[i], differ=replace(tested, p_adjusted=p_adjusted))
    return done
