"""From the service's tables to the cells of every pair of experiments (diagnostics.pair_cells).

Each experiment's units are read once. All of them are sorted by unit, so that the
experiments of one unit stand side by side; then the pairs of neighbours, of neighbours
but one, and so on, are counted into their cells. That costs as much as there are shared
memberships, however many pairs of experiments there are.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from fairtrial.diagnostics.memberships import Members as ArrayMembers
from fairtrial.diagnostics.pair_cells import MeanOutcome, Outcome, PairCells, RateOutcome, Side, Untested
from fairtrial.service.experiments.holdout import CONVERTED, VALUE
from fairtrial.service.experiments.routing import stored_spec
from fairtrial.service.results.reading import window_of
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.storage.layers import layers_of_experiments
from fairtrial.storage.memberships import Members, read_members
from fairtrial.storage.tables import Experiment

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TESTED = {CONVERTED: "proportion", VALUE: "mean"}
"""Primary metrics that the service's outcomes give, and their kind."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaded:
    """An experiment with its units.

    Attributes:
        row: The experiment.
        spec: Its spec.
        members: Its units.
        group: The exclusion group that it owns slots of; None for none.
        metric: Its primary metric, or why there is none to test.
    """

    row: Experiment
    spec: ExperimentSpec
    members: Members
    group: int | None
    metric: str | Untested

    @property
    def tested(self) -> bool:
        """Whether its primary metric can be tested."""
        return self.metric in TESTED

    @property
    def outcome(self) -> Floats:
        """The primary metric of each unit, 0 where it cannot be tested."""
        if self.metric == CONVERTED:
            return self.members.converted.astype(np.float64)
        return self.members.value if self.metric == VALUE else np.zeros(self.members.n)

    @property
    def side(self) -> Side:
        """The experiment as one side of a pair."""
        arms = tuple(arm.key for arm in self.spec.arms)
        return Side(
            key=self.row.key,
            arms=arms,
            units=tuple(np.bincount(self.members.arm, minlength=len(arms)).tolist()),
            control=self.spec.control,
            surface=self.spec.surface,
            higher_is_better=self.spec.primary.direction == "increase",
        )


def as_members(one: Loaded) -> ArrayMembers:
    """An experiment as the arrays that a scan of many takes."""
    order = np.argsort(one.members.unit)
    is_rate = one.metric == CONVERTED
    value = one.members.converted if is_rate else one.members.value
    begun, ended = _span(one.row)
    return ArrayMembers(
        side=one.side,
        unit=one.members.unit[order].astype(np.uint32),
        arm=one.members.arm[order].astype(np.uint8),
        value=value[order] if one.tested else None,
        is_rate=is_rate,
        metric=one.metric,
        untested=None if one.tested else "unsupported_metric",
        group=one.spec.exclusion_group if one.group is None else one.group,
        span=(-np.inf if begun is None else begun.timestamp(), np.inf if ended is None else ended.timestamp()),
    )


def load(session: Session, rows: Sequence[Experiment]) -> list[Loaded]:
    """Read the units of experiments, each once.

    Raises:
        StorageError: The store failed: that is never an empty set of units.
    """
    numbers: dict[str, int] = {}
    groups = layers_of_experiments(session, [row.id for row in rows])
    found: list[Loaded] = []
    for row in rows:
        spec = stored_spec(row)
        members = read_members(session, window_of(row), [arm.key for arm in spec.arms], numbers)
        found.append(Loaded(row=row, spec=spec, members=members, group=groups.get(row.id), metric=_metric(spec)))
    return found


def all_cells(loaded: Sequence[Loaded]) -> list[PairCells]:
    """The cells of every pair, in the order of the experiments."""
    sums = _count(loaded)
    sides = [one.side for one in loaded]
    return [_cells(loaded[i], loaded[j], (sides[i], sides[j]), sums[i, j]) for i, j in itertools.combinations(range(len(loaded)), 2)]


def cells_with(loaded: Sequence[Loaded], places: Sequence[int]) -> list[PairCells]:
    """The cells of the pairs that one of these experiments is in."""
    wanted = set(places)
    pairs = itertools.combinations(range(len(loaded)), 2)
    return [cells for (i, j), cells in zip(pairs, all_cells(loaded), strict=True) if i in wanted or j in wanted]


def _metric(spec: ExperimentSpec) -> str | Untested:
    primary = spec.primary
    return primary.key if TESTED.get(primary.key) == primary.kind else "unsupported_metric"


def _count(loaded: Sequence[Loaded]) -> NDArray[np.float64]:
    """Sums over shared units: shape (E, E, 5, A, A) with n, and the sum and the squares of both outcomes about their centres."""
    experiments, arms = len(loaded), max((len(one.spec.arms) for one in loaded), default=0)
    sums = np.zeros((5, experiments * experiments * arms * arms))
    if experiments:
        unit = np.concatenate([one.members.unit for one in loaded])
        place = np.repeat(np.arange(experiments), [one.members.n for one in loaded])
        arm = np.concatenate([one.members.arm for one in loaded]).astype(np.int64)
        off = np.concatenate([one.outcome - centre_of(one) for one in loaded])
        order = np.argsort(unit, kind="stable")  # within a unit the experiments stay in their order
        unit, place, arm, off = unit[order], place[order], arm[order], off[order]
        for lag in range(1, experiments):
            left = np.flatnonzero(unit[lag:] == unit[:-lag])
            if left.size == 0:
                break
            right = left + lag
            code = ((place[left] * experiments + place[right]) * arms + arm[left]) * arms + arm[right]
            for row, weights in enumerate((None, off[left], off[left] ** 2, off[right], off[right] ** 2)):
                sums[row] += np.bincount(code, weights=weights, minlength=sums.shape[1])
    return np.moveaxis(sums.reshape(5, experiments, experiments, arms, arms), 0, 2)


def centre_of(one: Loaded) -> float:
    """A constant near the middle of an experiment's values, about which they are summed; 0 for rates."""
    return float(one.members.value.mean()) if one.metric == VALUE and one.members.n else 0.0


def _cells(a: Loaded, b: Loaded, sides: tuple[Side, Side], sums: Floats) -> PairCells:
    own = sums[:, : len(a.spec.arms), : len(b.spec.arms)]
    n = np.rint(own[0]).astype(np.int64)
    return PairCells(
        a=sides[0],
        b=sides[1],
        n=n,
        outcome_a=_outcome(a, n, own[1], own[2]),
        outcome_b=_outcome(b, n, own[3], own[4]),
        exclusion_group=_group(a, b),
        concurrent=concurrent(a.row, b.row),
    )


def _outcome(one: Loaded, n: Integers, off: Floats, squares: Floats) -> Outcome | Untested:
    if one.metric == CONVERTED:
        return RateOutcome(metric=CONVERTED, successes=np.rint(off).astype(np.int64))
    if one.metric == VALUE:
        some = np.maximum(n, 1)
        # Sums about a constant near the mean, brought back to the mean (Chan, Golub & LeVeque 1983).
        mean = np.where(n > 0, centre_of(one) + off / some, 0.0)
        return MeanOutcome(metric=VALUE, mean=mean, m2=np.maximum(squares - off * off / some, 0.0))
    return "unsupported_metric"


def _group(a: Loaded, b: Loaded) -> int | str | None:
    if a.group is not None and a.group == b.group:
        return a.group
    declared = a.spec.exclusion_group
    return declared if declared is not None and declared == b.spec.exclusion_group else None


def concurrent(a: Experiment, b: Experiment) -> bool:
    """Whether two experiments run, or ran, at the same time; one that has not begun may yet."""
    (begun_a, ended_a), (begun_b, ended_b) = _span(a), _span(b)
    return not (_over(ended_a, begun_b) or _over(ended_b, begun_a))


def _span(row: Experiment) -> tuple[dt.datetime | None, dt.datetime | None]:
    if row.started_at is None:
        return None, None
    ends = [moment for moment in (row.ended_at, row.end_at) if moment is not None]
    return row.start_at or row.started_at, None if row.ended_at is None else min(ends)


def _over(ended: dt.datetime | None, begun: dt.datetime | None) -> bool:
    return ended is not None and begun is not None and ended <= begun
