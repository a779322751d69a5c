"""Reading exclusion groups, who owns which of their slots, and the global holdout."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from fairtrial.storage.experiments import LARGEST_ID
from fairtrial.storage.tables import Experiment, Holdout, Layer, LayerSlots


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedSlots:
    """A run of slots [low, high) and the experiment that owned it first or owns it now.

    Attributes:
        experiment_id: Number of the experiment.
        key: Its key.
        low: First slot.
        high: First slot after the run.
        released: Whether it was given back.
    """

    experiment_id: int
    key: str
    low: int
    high: int
    released: bool


def find_layer(session: Session, layer_id: int, *, for_update: bool = False) -> Layer | None:
    """The layer with this id.

    Args:
        session: An open session.
        layer_id: Its number.
        for_update: Lock the row until the session ends, so that two takers of slots come one after the other.
    """
    if layer_id > LARGEST_ID:
        return None
    statement = select(Layer).where(Layer.id == layer_id)
    return session.scalar(statement.with_for_update() if for_update else statement)


def layer_named(session: Session, name: str) -> Layer | None:
    """The layer with this name, archived ones too."""
    return session.scalar(select(Layer).where(Layer.name == name))


def list_layers(session: Session, *, status: str | None, limit: int, offset: int) -> tuple[list[tuple[Layer, int]], int]:
    """Layers by their id with the number of experiments that own slots, and how many layers there are in all.

    Args:
        session: An open session.
        status: Keep these only.
        limit: At most so many.
        offset: Leave out so many first.
    """
    kept = select(Layer) if status is None else select(Layer).where(Layer.status == status)
    total = session.scalar(select(func.count()).select_from(kept.subquery())) or 0
    rows = session.scalars(kept.order_by(Layer.id).limit(limit).offset(offset)).all()
    counted = session.execute(
        select(LayerSlots.layer_id, func.count(func.distinct(LayerSlots.experiment_id)))
        .where(LayerSlots.released_at.is_(None), LayerSlots.layer_id.in_([row.id for row in rows]))
        .group_by(LayerSlots.layer_id)
    ).all()
    owners = {row[0]: row[1] for row in counted}
    return [(row, owners.get(row.id, 0)) for row in rows], total


def slots_of_layer(session: Session, layer_id: int) -> list[OwnedSlots]:
    """Every run of slots that was ever taken, by its place and then by when it was taken."""
    found = session.execute(
        select(LayerSlots, Experiment.key)
        .join(Experiment, Experiment.id == LayerSlots.experiment_id)
        .where(LayerSlots.layer_id == layer_id)
        .order_by(LayerSlots.low, LayerSlots.id)
    ).all()
    return [
        OwnedSlots(experiment_id=slots.experiment_id, key=key, low=slots.low, high=slots.high, released=slots.released_at is not None)
        for slots, key in found
    ]


def layers_of_experiments(session: Session, experiments: Sequence[int]) -> dict[int, int]:
    """The exclusion group that each of these experiments owns slots of now; those in none are left out."""
    rows = session.execute(
        select(LayerSlots.experiment_id, LayerSlots.layer_id).where(
            LayerSlots.experiment_id.in_(experiments), LayerSlots.released_at.is_(None)
        )
    )
    return {row.experiment_id: row.layer_id for row in rows}


def layer_of_experiment(session: Session, experiment_id: int) -> int | None:
    """The layer in which an experiment owns slots; None while it owns none."""
    return session.scalar(
        select(LayerSlots.layer_id).where(LayerSlots.experiment_id == experiment_id, LayerSlots.released_at.is_(None)).limit(1)
    )


def release_slots(session: Session, experiment_id: int, *, now: dt.datetime) -> int:
    """Give back every slot of an experiment; returns how many runs they were."""
    return len(
        session.scalars(
            update(LayerSlots)
            .where(LayerSlots.experiment_id == experiment_id, LayerSlots.released_at.is_(None))
            .values(released_at=now)
            .returning(LayerSlots.id)
        ).all()
    )


def active_holdout(session: Session, *, for_update: bool = False) -> Holdout | None:
    """The global holdout in force.

    Args:
        session: An open session.
        for_update: Lock the row until the session ends.
    """
    statement = select(Holdout).where(Holdout.active)
    return session.scalar(statement.with_for_update() if for_update else statement)


def list_holdouts(session: Session) -> Sequence[Holdout]:
    """All holdouts, newest first."""
    return session.scalars(select(Holdout).order_by(Holdout.id.desc())).all()
