"""What a scorecard says by segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fairtrial.spec.metric import Direction, Role
from fairtrial.stats.reading import LevelKind
from fairtrial.stats.result import Estimate, Interval, Unavailable

Kind = Literal["proportion", "mean", "count", "ratio", "quantile"]
Harm = Literal["hidden_regression", "suspected"]
"""`hidden_regression`: the whole is better and the level significantly worse; `suspected`: only its estimate is on the harmful side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentLevel:
    """One level of a segment column: who is in it.

    Attributes:
        name: The value; "(missing)" for units without one, "(other)" for the rarer values.
        kind: What the level is.
        pooled: How many values it holds.
        n: Units by arm.
        share: Its part of all units.
    """

    name: str
    kind: LevelKind
    pooled: int
    n: dict[str, int]
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentColumn:
    """One segment column.

    Attributes:
        levels: The most common first, missing and pooled ones last; never by their effects.
        shares_p_value: Of the null hypothesis that all arms have the same shares of the levels; None where there is one level.
    """

    column: str
    levels: tuple[SegmentLevel, ...]
    shares_p_value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelEffect:
    """A treatment's effect within one level; exactly one of `estimate` and `unavailable` is set.

    Attributes:
        level: Name of the level.
        estimate: By the test of the whole, two-sided; its interval stands at the corrected level, so that it agrees with `p_adjusted`.
        unavailable: Why there is none.
        reading: What it says in the metric's direction, after correction.
        simultaneous: Bonferroni's interval: those of all levels hold at once. None in a Bayesian plan.
        shrunken: The effect drawn towards the other levels' by as much as its noise asks for; None where fewer than two levels can be read.
        shrunken_interval: Its credible interval of mass 1 - alpha.
        harm: Whether the level is hurt while the whole is better.
    """

    level: str
    estimate: Estimate | None
    unavailable: Unavailable | None
    reading: Literal["better", "worse", "inconclusive", "unavailable"]
    simultaneous: Interval | None = None
    shrunken: float | None = None
    shrunken_interval: Interval | None = None
    harm: Harm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelsDiffer:
    """Whether the effect differs between the levels: Cochran's test on the effects' own scale.

    Attributes:
        q: Cochran's statistic.
        df: Degrees of freedom: levels read, less one.
        p_value: Of the null hypothesis of one effect in all levels, at a single look.
        p_adjusted: The same corrected over all columns and treatments of the metric.
        i_squared: Part of the spread of the effects that is not noise.
        pooled: Effect pooled over the levels by inverse variance.
        tau: Standard deviation of the effects between levels, from the model that shrinks them.
    """

    q: float
    df: int
    p_value: float
    p_adjusted: float
    i_squared: float
    pooled: float
    tau: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentComparison:
    """One metric and one treatment by the levels of one column.

    Attributes:
        differ: Whether the levels differ; None where fewer than two can be read.
        unavailable: Why that was not tested.
        levels: In the order of the column's levels.
        reversed: Whether every level that was read points the other way than the whole (Simpson's paradox).
    """

    column: str
    metric: str
    kind: Kind
    role: Role
    direction: Direction
    treatment: str
    differ: LevelsDiffer | None
    unavailable: Unavailable | None
    levels: tuple[LevelEffect, ...]
    reversed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Everything that was read by segment. No verdict rests on it.

    Attributes:
        columns: The segment columns and who is in their levels.
        comparisons: By column, metric and treatment, in declared order.
        alpha: Error rate of each metric's family of levels, and of its tests of whether levels differ.
        correction: Over all levels of all columns and treatments on one metric.
        min_units: Units that a level needed in each of the two arms.
        basis: What the p-values and intervals promise under this plan, in words.
    """

    columns: tuple[SegmentColumn, ...]
    comparisons: tuple[SegmentComparison, ...]
    alpha: float
    correction: str
    min_units: int
    basis: str
