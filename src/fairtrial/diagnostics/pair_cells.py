"""Two experiments that share units, as a table: one cell for each combination of arms.

A cell holds the units that are in arm i of A and in arm j of B, and what became of them
in the primary metric of A, and in that of B. Everything that is said of a pair is read
from this table; it comes from a warehouse, the service's tables or simulated units alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.diagnostics.overlap import AudienceOverlap, overlap_from_counts
from fairtrial.errors import UsageError

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

Untested = Literal["no_metric", "unsupported_metric"]
"""Why an experiment has no outcome to test: it names no primary metric, or one that cells of sums cannot hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One experiment of a pair.

    Attributes:
        key: Its key.
        arms: Keys of its arms, in the order of the table.
        units: Units assigned to each arm, whether in the other experiment or not.
        control: Key of the control arm; None where there is none.
        surface: What part of the product it changes, as declared; None where it is not.
        higher_is_better: Whether its primary metric is meant to rise.
    """

    key: str
    arms: tuple[str, ...]
    units: tuple[int, ...]
    control: str | None
    surface: str | None = None
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        if len(self.arms) != len(self.units) or len(set(self.arms)) != len(self.arms):
            raise UsageError(f"Experiment {self.key!r} needs one count for each of its arms, got {self.units} for {self.arms}.")
        if self.control is not None and self.control not in self.arms:
            raise UsageError(f"The control must be an arm of {self.key!r}, got {self.control!r}; arms: {list(self.arms)}.")

    @property
    def n(self) -> int:
        """Units assigned in all."""
        return sum(self.units)

    @property
    def treatments(self) -> tuple[str, ...]:
        """Arms other than the control; none where there is no control."""
        return () if self.control is None else tuple(arm for arm in self.arms if arm != self.control)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateOutcome:
    """A yes-or-no metric in the cells.

    Attributes:
        metric: Name of the metric.
        successes: Units with a yes, shape (arms of A, arms of B).
    """

    metric: str
    successes: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanOutcome:
    """A metric that is a number in the cells.

    Attributes:
        metric: Name of the metric.
        mean: Mean over the cell's units, shape (arms of A, arms of B); anything where a cell is empty.
        m2: Sum of squared deviations from that mean, the same shape.
    """

    metric: str
    mean: Floats
    m2: Floats


Outcome = RateOutcome | MeanOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCells:
    """Two experiments and the cells they share.

    Attributes:
        a: The first experiment.
        b: The second.
        n: Units in both, shape (arms of A, arms of B).
        outcome_a: Primary metric of A in the cells, or why there is none.
        outcome_b: The same of B.
        exclusion_group: Group that keeps the two apart; None where none does.
        concurrent: Whether both run, or ran, at the same time.
        universe: Units that could have been in either; None where that is not known.
    """

    a: Side
    b: Side
    n: Counts
    outcome_a: Outcome | Untested
    outcome_b: Outcome | Untested
    exclusion_group: int | str | None = None
    concurrent: bool = True
    universe: int | None = None

    def __post_init__(self) -> None:
        shape = len(self.a.arms), len(self.b.arms)
        tables: list[NDArray[np.generic]] = [self.n]
        for outcome in (self.outcome_a, self.outcome_b):
            if isinstance(outcome, RateOutcome):
                tables.append(outcome.successes)
            elif isinstance(outcome, MeanOutcome):
                tables += [outcome.mean, outcome.m2]
        if any(table.shape != shape for table in tables):
            raise UsageError(
                f"Cells of {self.a.key!r} and {self.b.key!r} must have shape {shape}, got {[table.shape for table in tables]}."
            )

    @property
    def shared(self) -> int:
        """Units in both experiments."""
        return int(self.n.sum())

    @property
    def overlap(self) -> AudienceOverlap:
        """How the two sets of units lie to each other."""
        return overlap_from_counts(self.a.n, self.b.n, self.shared, universe=self.universe)

    def swapped(self) -> PairCells:
        """The same with B first."""
        return PairCells(
            a=self.b,
            b=self.a,
            n=self.n.T,
            outcome_a=_transposed(self.outcome_b),
            outcome_b=_transposed(self.outcome_a),
            exclusion_group=self.exclusion_group,
            concurrent=self.concurrent,
            universe=self.universe,
        )


def rate_outcome(metric: str, successes: Sequence[Sequence[int]]) -> RateOutcome:
    """A yes-or-no metric from nested lists, one list an arm of A."""
    return RateOutcome(metric=metric, successes=np.array(successes, dtype=np.int64))


def _transposed(outcome: Outcome | Untested) -> Outcome | Untested:
    if isinstance(outcome, RateOutcome):
        return RateOutcome(metric=outcome.metric, successes=outcome.successes.T)
    if isinstance(outcome, MeanOutcome):
        return MeanOutcome(metric=outcome.metric, mean=outcome.mean.T, m2=outcome.m2.T)
    return outcome
