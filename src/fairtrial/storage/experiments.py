"""Reading and writing experiments: every path accepts an id or a key (G-8)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from fairtrial.storage.tables import Experiment, ExperimentResult, ExperimentVersion

LARGEST_ID = 2**31 - 1


def find_experiment(session: Session, reference: str | int, *, for_update: bool = False) -> Experiment | None:
    """The experiment with this id or key.

    Args:
        session: An open session.
        reference: A decimal id, or a key.
        for_update: Lock the row until the session ends (Postgres; SQLite's writer is alone anyway).
    """
    text = str(reference)
    if text.isascii() and text.isdecimal():
        if int(text) > LARGEST_ID:
            return None
        statement = select(Experiment).where(Experiment.id == int(text))
    else:
        statement = select(Experiment).where(Experiment.key == text)
    return session.scalar(statement.with_for_update() if for_update else statement)


def list_experiments(
    session: Session,
    *,
    statuses: Sequence[str] = (),
    source_type: str | None = None,
    source_id: str | None = None,
    channel: str | None = None,
    search: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[Experiment], int]:
    """Experiments newest first, and how many there are in all.

    Args:
        session: An open session.
        statuses: Keep these only; empty keeps all.
        source_type: Keep those planned for this kind of source.
        source_id: Keep those planned for this source.
        channel: Keep this channel.
        search: Keep those whose name, key, channel, conversion key or source contains this, in any case.
        limit: At most so many.
        offset: Leave out so many first.
    """
    kept = _kept(statuses, source_type, source_id, channel, search)
    total = session.scalar(select(func.count()).select_from(kept.subquery())) or 0
    rows = session.scalars(kept.order_by(Experiment.id.desc()).limit(limit).offset(offset)).all()
    return list(rows), total


def running_experiments(session: Session) -> Sequence[Experiment]:
    """Every running experiment, in the order in which they were made."""
    return session.scalars(select(Experiment).where(Experiment.status == "running").order_by(Experiment.id)).all()


def stored_result(session: Session, experiment_id: int) -> ExperimentResult | None:
    """The latest stored results of an experiment."""
    return session.scalar(select(ExperimentResult).where(ExperimentResult.experiment_id == experiment_id))


def _kept(
    statuses: Sequence[str], source_type: str | None, source_id: str | None, channel: str | None, search: str | None
) -> Select[Experiment]:
    kept = select(Experiment)
    if statuses:
        kept = kept.where(Experiment.status.in_(statuses))
    for column, wanted in ((Experiment.source_type, source_type), (Experiment.source_id, source_id), (Experiment.channel, channel)):
        if wanted is not None:
            kept = kept.where(column == wanted)
    if search:
        escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        columns = (Experiment.name, Experiment.key, Experiment.channel, Experiment.conversion_key, Experiment.source_id)
        any_case = [func.lower(column).like(f"%{escaped.lower()}%", escape="\\") for column in columns]
        as_given = [column.like(f"%{escaped}%", escape="\\") for column in columns]  # a database without a locale lowers ASCII alone
        kept = kept.where(or_(*any_case, *as_given))
    return kept


def newest_version(session: Session, experiment: Experiment) -> ExperimentVersion:
    """The snapshot that the experiment runs by."""
    return session.scalars(
        select(ExperimentVersion).where(ExperimentVersion.experiment_id == experiment.id, ExperimentVersion.version == experiment.version)
    ).one()
