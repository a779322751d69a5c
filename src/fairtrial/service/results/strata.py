"""Arms compared within the strata in which they were assigned: the post-stratified moments of stratified blocks (HO-42)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from fairtrial.service.results.segments import plain_stats, together
from fairtrial.stats.reading import ArmStats, OutcomeStats
from fairtrial.stats.strata import LEAST_UNITS, pooled_shares, post_stratified_moments
from fairtrial.storage.readings import ArmCounts, Window
from fairtrial.storage.segments import count_by_stratum

Cells = Sequence[Mapping[str, ArmCounts]]
"""Of each stratum its arms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strata:
    """The arms by stratum.

    Attributes:
        cells: Of each stratum every arm, two units or more.
        merged: Strata that were joined to others, for an arm had fewer units there.
    """

    cells: Cells
    merged: int


def count_strata(session: Session, window: Window, arms: Sequence[str]) -> Strata:
    """Analysed units and outcomes by stratum and arm, strata joined until each arm has two units in every one."""
    counted = count_by_stratum(session, window)
    return joined([{arm: found.get(arm, ArmCounts()) for arm in arms} for found in counted.values()])


def joined(cells: Cells) -> Strata:
    """Join each stratum that is too thin to the smallest of the others; their units alone decide, no outcome."""
    waiting = sorted(cells, key=_size)
    before = len(waiting)
    while len(waiting) > 1 and (thin := next((i for i, cell in enumerate(waiting) if _is_thin(cell)), None)) is not None:
        cell = waiting.pop(thin)
        smallest = waiting.pop(0)
        waiting.append({arm: together([cell[arm], smallest[arm]]) for arm in cell})
        waiting.sort(key=_size)
    return Strata(cells=tuple(waiting), merged=before - len(waiting))


def with_strata(arms: Mapping[str, ArmStats], strata: Strata, metrics: Sequence[str]) -> dict[str, ArmStats]:
    """The arms' statistics, post-stratified beside them."""
    if len(strata.cells) < 2:
        return dict(arms)
    shares = list(pooled_shares([{str(i): cell[arm].n for i, cell in enumerate(strata.cells)} for arm in arms]).items())
    found: dict[str, ArmStats] = {}
    for arm, stats in arms.items():
        by_stratum = [plain_stats(strata.cells[int(place)][arm], metrics) for place, _ in shares]
        outcomes = dict(stats.outcomes)
        for metric in metrics:
            outcome, parts = outcomes[metric], [part.outcomes[metric] for part in by_stratum]
            if isinstance(outcome, OutcomeStats):
                moments = [part.moments for part in parts if isinstance(part, OutcomeStats)]
                outcomes[metric] = replace(outcome, stratified=post_stratified_moments(moments, [share for _, share in shares]))
        found[arm] = replace(stats, outcomes=outcomes)
    return found


def _size(cell: Mapping[str, ArmCounts]) -> int:
    return sum(arm.n for arm in cell.values())


def _is_thin(cell: Mapping[str, ArmCounts]) -> bool:
    return min(arm.n for arm in cell.values()) < LEAST_UNITS
