"""Who is in which experiments, as dense numbers: shared units of all pairs at once.

Units are numbered densely once; an experiment is then an array of numbers. Two ways to
count what all pairs share, both exact:

- bits: one bit row an experiment, AND and popcount (`shared_counts`), which is the
  cheapest for overlap alone while experiments are few hundred;
- sparse products: with A the units x (experiment, arm) matrix of zeros and ones and V the
  same with the units' outcomes in it, A'A holds the units of every cell of every pair and
  A'V the sums of their outcomes (`joint_counts`). The cost is the number of shared
  memberships, however many pairs there are.

Both go through the units in blocks, so that memory stays with the memberships themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fairtrial.diagnostics.pair_cells import Side, Untested
from fairtrial.errors import UsageError

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

WORDS = 4_096
"""Words of 64 units that are taken together, so that a block of rows stays in the cache."""
MEMBERS_AT_ONCE = 1_000_000
"""Memberships in one block of units, at least: their matrices then fit a processor's cache. Where the table of all pairs
is larger than that, a block is as large as the table, so that adding it up costs no more than counting."""
SAMPLED = 32
"""One unit in so many is kept by the coordinated sample."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Members:
    """The units of one experiment.

    Attributes:
        side: The experiment; its `units` are those of all arms, sampled or not.
        unit: Dense number of each unit, ascending, each once, shape (n,).
        arm: Place of its arm in `side.arms`, shape (n,).
        value: The primary metric of each unit, shape (n,); None where there is none to test.
        is_rate: Whether the metric is 0 or 1.
        metric: Name of the metric, or why there is none.
        group: Exclusion group that the experiment is in; None for none.
        span: First moment of the experiment and the first that no longer belongs to it, in any one unit of time.
    """

    side: Side
    unit: NDArray[np.uint32]
    arm: NDArray[np.uint8]
    value: NDArray[Any] | None
    is_rate: bool
    metric: str
    untested: Untested | None = None
    group: int | str | None = None
    span: tuple[float, float] = (-np.inf, np.inf)

    def __post_init__(self) -> None:
        n = self.unit.size
        if self.arm.shape != (n,) or (self.value is not None and self.value.shape != (n,)):
            raise UsageError(f"Experiment {self.side.key!r} needs an arm and a value for each of its {n} units.")
        if n > 1 and not bool((self.unit[1:] > self.unit[:-1]).all()):
            raise UsageError(f"Units of {self.side.key!r} must be ascending and each there once.")

    def sampled(self, one_in: int = SAMPLED) -> Members:
        """Only the units whose number's hash falls into one of `one_in` parts: the same units in every experiment."""
        kept = _mixed(self.unit) % np.uint64(one_in) == 0
        value = None if self.value is None else self.value[kept]
        return Members(
            side=self.side,
            unit=self.unit[kept],
            arm=self.arm[kept],
            value=value,
            is_rate=self.is_rate,
            metric=self.metric,
            untested=self.untested,
            group=self.group,
            span=self.span,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JointCounts:
    """What all pairs of experiments share, by arm; R is the number of (experiment, arm) rows.

    Attributes:
        first_row: Row of the first arm of each experiment, and R at the end, shape (E + 1,).
        n: Units in both rows, shape (R, R).
        sums: By (row of the other, row of the tested): sum of the tested metric's values about `centres`, shape (R, R).
        squares: Sum of their squares, the same shape; None where every metric is a rate.
        centres: Constant that the values of each experiment were summed about, shape (E,).
    """

    first_row: NDArray[np.intp]
    n: Counts
    sums: Floats
    squares: Floats | None
    centres: Floats


def shared_counts(units: Sequence[NDArray[np.uint32]], *, universe: int) -> Counts:
    """Units that every pair of experiments shares, by bits and popcount.

    Args:
        units: Dense numbers of each experiment's units, in any order, each once, E arrays.
        universe: Every number is below it.

    Returns:
        Shape (E, E), symmetric; the diagonal holds the sizes.
    """
    experiments = len(units)
    words = -(-universe // 64)
    bits = np.zeros((experiments, words), dtype=np.uint64)
    for row, numbers in zip(bits, units, strict=True):
        flags = np.zeros(words * 64, dtype=np.bool_)
        flags[numbers] = True
        row[:] = np.packbits(flags, bitorder="little").view(np.uint64)
    shared = np.zeros((experiments, experiments), dtype=np.int64)
    for start in range(0, words, WORDS):
        block = bits[:, start : start + WORDS]
        for place in range(experiments):
            shared[place, place:] += np.bitwise_count(block[place:] & block[place]).sum(axis=1, dtype=np.uint32)
    return shared + np.triu(shared, 1).T


def joint_counts(members: Sequence[Members]) -> JointCounts:
    """Cells of every pair, by sparse products over blocks of units."""
    first_row = np.concatenate([[0], np.cumsum([len(one.side.arms) for one in members])]).astype(np.intp)
    rows = int(first_row[-1])
    squared = any(one.value is not None and not one.is_rate for one in members)
    centres = np.array([_centre(one) for one in members])
    n = np.zeros((rows, rows), dtype=np.int64)
    sums = np.zeros((rows, rows))
    squares = np.zeros((rows, rows)) if squared else None
    for low, high in _blocks(members, max(MEMBERS_AT_ONCE, rows * rows)):
        inside, worth = _matrices(members, first_row, centres, low, high)
        n += (inside @ inside.T.tocsr()).toarray()
        sums += (inside @ worth).toarray()
        if squares is not None:
            worth.data **= 2
            squares += (inside @ worth).toarray()
    return JointCounts(first_row=first_row, n=n, sums=sums, squares=squares, centres=centres)


def shared_memberships(members: Sequence[Members]) -> float:
    """Expected number of shared memberships if units were spread evenly: what `joint_counts` costs."""
    sizes = np.array([one.unit.size for one in members], dtype=np.float64)
    universe = max((int(one.unit[-1]) + 1 for one in members if one.unit.size), default=1)
    return float(sizes.sum() ** 2 / universe)


Method = Literal["exact", "sample"]


def _mixed(unit: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea & Flood 2014): numbers in a row fall apart."""
    z = unit.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _centre(one: Members) -> float:
    return 0.0 if one.value is None or one.is_rate or not one.value.size else float(one.value.mean())


def _blocks(members: Sequence[Members], at_once: int) -> list[tuple[int, int]]:
    """Ranges of unit numbers with about so many memberships each."""
    universe = max((int(one.unit[-1]) + 1 for one in members if one.unit.size), default=0)
    count = max(1, -(-sum(one.unit.size for one in members) // at_once))
    edges = np.linspace(0, universe, count + 1).astype(int).tolist()
    return [(low, high) for low, high in itertools.pairwise(edges) if low < high]


def _matrices(members: Sequence[Members], first_row: NDArray[np.intp], centres: Floats, low: int, high: int) -> tuple[Any, Any]:
    """Of the units in [low, high): rows x units with ones, and units x rows with the values about their centres where these are not 0."""
    rows = int(first_row[-1])
    units: list[NDArray[np.int32]] = []
    values: list[NDArray[Any]] = []
    for one, centre in zip(members, centres.tolist(), strict=True):
        inside = slice(*np.searchsorted(one.unit, [low, high]).tolist())
        arm, unit = one.arm[inside], (one.unit[inside] - np.uint32(low)).astype(np.int32)
        value = None if one.value is None else one.value[inside]
        for place in range(len(one.side.arms)):
            mine = arm == place
            units.append(unit[mine])
            values.append(_worth(one, value, mine, centre))
    sizes = np.cumsum([0, *(unit.size for unit in units)])
    shape = (rows, high - low)
    index = np.concatenate(units)
    ones = sparse.csr_matrix((np.ones(index.size, dtype=np.int32), index, sizes), shape=shape)
    value = np.concatenate(values)
    some = np.flatnonzero(value)
    edges = np.searchsorted(some, sizes)
    worth = sparse.csr_matrix((value[some].astype(np.float64), index[some], edges), shape=shape)
    return ones, worth.T.tocsr()


def _worth(one: Members, value: NDArray[Any] | None, mine: NDArray[np.bool_], centre: float) -> NDArray[Any]:
    if value is None:
        return np.zeros(int(mine.sum()), dtype=np.int8)
    return value[mine].astype(np.int8) if one.is_rate else value[mine] - centre
