"""Keeping and reading scans of experiments that run at once."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from fairtrial.storage.tables import InteractionPair, InteractionScan


def list_scans(session: Session, *, limit: int, offset: int) -> tuple[Sequence[InteractionScan], int]:
    """Kept scans, newest first, and how many there are in all."""
    total = session.scalar(select(func.count()).select_from(InteractionScan)) or 0
    newest = select(InteractionScan).order_by(InteractionScan.as_of.desc(), InteractionScan.id.desc())
    return session.scalars(newest.limit(limit).offset(offset)).all(), total


def pairs_of_scans(session: Session, scans: Sequence[int]) -> dict[int, list[InteractionPair]]:
    """The pairs of each scan, in the order in which it listed them."""
    found: dict[int, list[InteractionPair]] = {scan: [] for scan in scans}
    for pair in session.scalars(select(InteractionPair).where(InteractionPair.scan_id.in_(scans)).order_by(InteractionPair.id)):
        found[pair.scan_id].append(pair)
    return found


def history_of_pair(session: Session, first: int, second: int) -> Sequence[tuple[InteractionScan, InteractionPair]]:
    """What the kept scans said of two experiments, oldest first, whichever of the two comes first."""
    rows = session.execute(
        select(InteractionScan, InteractionPair)
        .join(InteractionPair, InteractionPair.scan_id == InteractionScan.id)
        .where(_pair_is(first, second))
        .order_by(InteractionScan.as_of, InteractionScan.id)
    )
    return [(scan, pair) for scan, pair in rows]


def latest_risks(session: Session) -> dict[tuple[int, int], str]:
    """The risk of each pair in the latest scan that looked at it."""
    newest = (
        select(func.max(InteractionPair.id)).group_by(InteractionPair.experiment_a_id, InteractionPair.experiment_b_id).scalar_subquery()
    )
    rows = session.scalars(select(InteractionPair).where(InteractionPair.id.in_(newest)))
    return {(pair.experiment_a_id, pair.experiment_b_id): pair.overall_risk for pair in rows}


def scanned_experiments(session: Session) -> set[int]:
    """Experiments that some scan has looked at."""
    first, second = select(InteractionPair.experiment_a_id), select(InteractionPair.experiment_b_id)
    return set(session.scalars(first.union(second)))


def _pair_is(first: int, second: int) -> ColumnElement[bool]:
    ahead = and_(InteractionPair.experiment_a_id == first, InteractionPair.experiment_b_id == second)
    return or_(ahead, and_(InteractionPair.experiment_a_id == second, InteractionPair.experiment_b_id == first))
