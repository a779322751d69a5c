"""One read of an experiment's data: arm statistics and what happened on the way in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.stats.moments import CoMoments
from fairtrial.stats.quantiles import QuantileSummary
from fairtrial.stats.resampling.buckets import BucketSums
from fairtrial.stats.result import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeStats:
    """Sufficient statistics of one metric in one arm.

    Attributes:
        moments: Over the metric's columns in the order outcome (or numerator),
            denominator, covariate (or its numerator), covariate's denominator, further
            covariates; columns that the metric does not have are left out.
        missing: Units of the arm whose outcome was NULL or NaN, before the
            metric's `missing` rule was applied.
        missing_covariate: Units whose covariate was missing and was set to the
            covariate's pooled mean.
        minimum: Smallest outcome, after the `missing` rule; None when not read (of an outcome that
            is 0 or 1, or where even the smallest of all arms could not stand out in this one).
        maximum: Largest outcome, in the same way.
        stratified: Co-moments that say what the arm's strata say, weighted by their shares of all
            units, when the data is post-stratified: the mean is the weighted mean, and cross / (n - 1) / n
            the covariance of these means. `Unavailable` where a stratum is too thin.
        by_stratum: Moments of each stratum that holds units, when a test asks for them.
        rows: The units' own numbers over the outcome's columns (and the covariates', for a regression), shape
            (n, columns), sorted, when a test asks for them; of pairs, in the same order in both arms.
        buckets: Sums by bucket of units, when a bootstrap asks for them; `Unavailable` where there is one bucket only.
        quantile: The outcome's quantile with its order-statistic interval, when that is the metric;
            `Unavailable` where the arm is too small to bound it.
    """

    moments: CoMoments
    missing: int = 0
    missing_covariate: int = 0
    minimum: float | None = None
    maximum: float | None = None
    stratified: CoMoments | Unavailable | None = None
    by_stratum: Mapping[str, CoMoments] | None = field(default=None, repr=False, compare=False)
    rows: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    buckets: BucketSums | Unavailable | None = field(default=None, repr=False)
    quantile: QuantileSummary | Unavailable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmStats:
    """What an analysis needs to know of one arm.

    Attributes:
        n: Units assigned to the arm and analysed, >= 0.
        outcomes: By metric key; `Unavailable` where the data cannot give it.
    """

    n: int
    outcomes: Mapping[str, OutcomeStats | Unavailable]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What was read and what was left out, and why.

    Attributes:
        source: The data's address, without credentials.
        engine: Engine that computed the arm statistics ("duckdb", "memory", ...).
        fingerprint: SHA-256 of source, columns, row count and integer totals.
        shape: `units` (one row a unit), `logs` or `aggregates`.
        population: Who is analysed.
        rows: Rows read from the unit table or the assignment log.
        units: Distinct units analysed, over all arms; equal to the arms' sum.
        units_checked: Whether the unit column (or the pair's) was named, so that repeats could be seen.
        repeated_rows: Rows beyond the first of a unit that were collapsed into it.
        units_in_two_arms: Units seen in more than one arm, left out.
        unpaired: Rows by arm whose pair has no row in the other arm, or that name no pair, left out.
        rows_without_arm: Rows whose arm is NULL, left out.
        unknown_arms: Rows by arm name that the spec does not know, left out.
        duplicate_events: Outcome events dropped for a repeated event id.
        unknown_unit_events: Outcome events of units that were never assigned, left out.
        early_events: Outcome events before the unit's start, left out.
        late_events: Outcome events after the unit's window, left out.
        untimed_events: Outcome events without a time, left out.
        assigned: Units assigned per arm, when the population is `triggered`.
        clusters: Columns in which rows group and each group lies in one arm:
            name and number of groups; a sign that the rows are not the unit.
        notes: Plain sentences on rules that were applied while reading.
    """

    source: str
    engine: str
    fingerprint: str
    shape: Literal["units", "logs", "aggregates"]
    population: Literal["intention_to_treat", "triggered"] = "intention_to_treat"
    rows: int
    units: int
    units_checked: bool = True
    repeated_rows: int = 0
    units_in_two_arms: int = 0
    unpaired: Mapping[str, int] = field(default_factory=dict[str, int])
    rows_without_arm: int = 0
    unknown_arms: Mapping[str, int] = field(default_factory=dict[str, int])
    duplicate_events: int = 0
    unknown_unit_events: int = 0
    early_events: int = 0
    late_events: int = 0
    untimed_events: int = 0
    assigned: Mapping[str, int] = field(default_factory=dict[str, int])
    clusters: Mapping[str, int] = field(default_factory=dict[str, int])
    notes: tuple[str, ...] = ()


LevelKind = Literal["value", "missing", "other"]
"""`missing`: units without a value; `other`: the rarer values, pooled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelStats:
    """The arms within one level of a segment column.

    Attributes:
        name: The value as text; "(missing)" or "(other)" for the two kinds that are no value.
        kind: What the level is.
        arms: By arm of the spec, all of them. Metrics whose test needs more than moments are `Unavailable`.
        pooled: How many values the level holds, where it pools the rarer ones; else 1.
    """

    name: str
    kind: LevelKind
    arms: Mapping[str, ArmStats]
    pooled: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentStats:
    """One segment column: its levels, the most common first, missing and pooled ones last."""

    column: str
    levels: tuple[LevelStats, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Arm statistics by arm key, every arm of the spec present, and their intake.

    Attributes:
        segments: The same by segment column, where a spec asks for it.
        later_rows: Rows dated at or after the moment of the look, left out; None where no moment was held against the rows.
    """

    arms: Mapping[str, ArmStats]
    intake: Intake
    segments: tuple[SegmentStats, ...] = ()
    later_rows: int | None = None

    @property
    def stratified(self) -> bool:
        """Whether the arms are compared within strata."""
        outcomes = (outcome for arm in self.arms.values() for outcome in arm.outcomes.values())
        return any(isinstance(outcome, OutcomeStats) and outcome.stratified is not None for outcome in outcomes)
