"""What may be done with exclusion groups: slots are taken and given back, and nobody's units move.

The slots of an experiment are stored with its routing when units may first be
assigned. From then on it neither joins nor leaves a group; its slots are given back
when it is stopped, completed or archived. Slots given back are quarantined: slots that
nobody has had are taken first, so that units rest between two experiments where
there is room.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from sqlalchemy.orm import Session

from fairtrial.assignment import SLOTS, SlotRange, take_slots
from fairtrial.errors import ConflictError
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.audit import record_change
from fairtrial.service.experiments.lifecycle import get_experiment, require
from fairtrial.service.layers.schemas import GroupChange, GroupCreate, GroupItem, GroupList, GroupOut, Joining, OwnedRange, Range
from fairtrial.service.problems import NotFoundError
from fairtrial.storage.layers import (
    OwnedSlots,
    find_layer,
    layer_named,
    layer_of_experiment,
    list_layers,
    release_slots,
    slots_of_layer,
)
from fairtrial.storage.tables import Experiment, Layer, LayerSlots

OPEN_TO_ASSIGNMENT = {"draft", "running"}
"""Statuses in which an experiment may join a group, or still assign by the slots it has."""


def create_group(session: Session, asked: GroupCreate, *, actor: Actor, now: dt.datetime) -> GroupOut:
    """A new group without experiments.

    Raises:
        ConflictError: The name is taken.
    """
    _check_name(session, asked.name)
    row = Layer(
        name=asked.name,
        description=asked.description,
        salt="",  # I.b: a group is hashed by its id alone
        traffic_allocation=asked.traffic_allocation,
        status="active",
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    record_change(session, actor=actor, now=now, action="group.create", on=("group", row.id), after=_described(row))
    return as_group(session, row)


def listed(session: Session, *, status: str | None, limit: int, offset: int) -> GroupList:
    """Groups by their id."""
    rows, total = list_layers(session, status=status, limit=limit, offset=offset)
    items = [
        GroupItem.model_validate(
            {
                "id": row.id,
                "name": row.name,
                "description": row.description,
                "status": row.status,
                "traffic_allocation": row.traffic_allocation,
                "experiments": experiments,
            }
        )
        for row, experiments in rows
    ]
    return GroupList(items=items, total=total)


def get_group(session: Session, group_id: int, *, for_update: bool = False) -> Layer:
    """The group with this id.

    Raises:
        NotFoundError: There is none.
    """
    found = find_layer(session, group_id, for_update=for_update)
    if found is None:
        raise NotFoundError(f"No exclusion group {group_id}.", hint="GET /api/v1/mutual-exclusion-groups")
    return found


def change_group(session: Session, group_id: int, wanted: GroupChange, *, actor: Actor, now: dt.datetime) -> GroupOut:
    """Give a group another name, description, status or share of units.

    Raises:
        NotFoundError: There is no such group.
        ConflictError: It is archived, the name is taken, or experiments own slots beyond the share.
        AccessError: Archiving, and taking that back, needs an ADMIN.
    """
    row = get_group(session, group_id, for_update=True)
    before = _described(row)
    if wanted.status is not None and wanted.status != row.status:
        require(actor, Role.ADMIN, "Archiving a group, and taking that back,")
        row.status = wanted.status
    elif row.status == "archived":
        raise ConflictError(f"Exclusion group {row.name!r} is archived.", hint='An ADMIN may send {"status": "active"}.')
    if wanted.name is not None and wanted.name != row.name:
        _check_name(session, wanted.name)
        row.name = wanted.name
    if wanted.description is not None:
        row.description = wanted.description
    if wanted.traffic_allocation is not None:
        _check_room(session, row, wanted.traffic_allocation)
        row.traffic_allocation = wanted.traffic_allocation
    _keep(session, row, before, "group.change", actor=actor, now=now)
    return as_group(session, row)


def archive_group(session: Session, group_id: int, *, actor: Actor, now: dt.datetime) -> GroupOut:
    """Let nobody join any more; experiments that are in keep their slots to their end. Doing it again changes nothing.

    Raises:
        NotFoundError: There is no such group.
    """
    row = get_group(session, group_id, for_update=True)
    if row.status != "archived":
        before = _described(row)
        row.status = "archived"
        _keep(session, row, before, "group.archive", actor=actor, now=now)
    return as_group(session, row)


def add_experiment(session: Session, group_id: int, asked: Joining, *, actor: Actor, now: dt.datetime) -> GroupOut:
    """Give an experiment slots of its own; adding it again changes nothing (IN-19).

    Raises:
        NotFoundError: There is no such group or experiment.
        ConflictError: It is in another group, may have units already, or not so many slots are free.
        UsageError: The share is less than a slot.
    """
    experiment = get_experiment(session, str(asked.experiment_id), for_update=True)
    row = get_group(session, group_id, for_update=True)
    current = layer_of_experiment(session, experiment.id)
    if current == row.id:
        return as_group(session, row)
    _check_may_join(row, experiment, current)
    known = slots_of_layer(session, row.id)
    taken = _slots(row, known, asked.share)
    for slots in taken:
        session.add(LayerSlots(layer_id=row.id, experiment_id=experiment.id, low=slots.low, high=slots.high, taken_at=now))
    row.updated_at = now
    session.flush()
    record_change(
        session,
        actor=actor,
        now=now,
        action="group.add",
        on=("group", row.id),
        after={"experiment": experiment.key, "slots": [[slots.low, slots.high] for slots in taken]},
    )
    return as_group(session, row)


def remove_experiment(session: Session, group_id: int, reference: str, *, actor: Actor, now: dt.datetime) -> GroupOut:
    """Take an experiment out that has no units yet; where it is in no group or has ended, nothing changes.

    Raises:
        NotFoundError: There is no such group or experiment.
        ConflictError: It assigns units by the slots that it has, or is in another group.
    """
    experiment = get_experiment(session, reference, for_update=True)
    row = get_group(session, group_id, for_update=True)
    current = layer_of_experiment(session, experiment.id)
    if current is None:
        return as_group(session, row)
    if current != row.id:
        raise ConflictError(f"Experiment {experiment.key!r} is in exclusion group {current}, not in {row.id}.")
    if experiment.allocation_json is not None and experiment.status in OPEN_TO_ASSIGNMENT:
        raise ConflictError(
            f"Experiment {experiment.key!r} assigns units by the slots that it has; it gives them back when it ends.",
            hint="Stop it, or archive the draft.",
        )
    release_slots(session, experiment.id, now=now)
    row.updated_at = now
    record_change(session, actor=actor, now=now, action="group.remove", on=("group", row.id), before={"experiment": experiment.key})
    return as_group(session, row)


def as_group(session: Session, row: Layer) -> GroupOut:
    """A group as it is shown."""
    known = slots_of_layer(session, row.id)
    return GroupOut.model_validate(
        {
            "id": row.id,
            "name": row.name,
            "description": row.description,
            "traffic_allocation": row.traffic_allocation,
            "status": row.status,
            "slots": [
                OwnedRange(experiment_id=slots.key, low=slots.low / SLOTS, high=slots.high / SLOTS) for slots in known if not slots.released
            ],
            "quarantined": [Range(low=low / SLOTS, high=high / SLOTS) for low, high in _quarantined(known)],
        }
    )


def _check_name(session: Session, name: str) -> None:
    if layer_named(session, name) is not None:
        raise ConflictError(f"The name {name!r} is taken by another exclusion group.", hint="Choose another; archived groups keep theirs.")


def _check_room(session: Session, row: Layer, share: float) -> None:
    """Slots that are owned must lie below the share of units that the group may use."""
    reached = max((slots.high for slots in slots_of_layer(session, row.id) if not slots.released), default=0)
    if reached > Fraction(str(share)) * SLOTS:
        raise ConflictError(
            f"traffic_allocation must not be below {reached / SLOTS:g}, up to where experiments own slots, got {share:g}.",
            hint="Wait until they end.",
        )


def _check_may_join(row: Layer, experiment: Experiment, current: int | None) -> None:
    if current is not None:
        raise ConflictError(f"Experiment {experiment.key!r} is in exclusion group {current}; it may be in one at most.")
    if row.status != "active":
        raise ConflictError(f"Exclusion group {row.name!r} is archived, so no experiment can join.")
    if experiment.status not in OPEN_TO_ASSIGNMENT:
        raise ConflictError(f"Experiment {experiment.key!r} is {experiment.status}; only a draft can join a group.")
    if experiment.allocation_json is not None:
        raise ConflictError(
            f"Experiment {experiment.key!r} takes units of all slots already; joining would move them.",
            hint="Duplicate it, and add the duplicate before its first unit is assigned.",
        )


def _slots(row: Layer, known: Sequence[OwnedSlots], share: float) -> tuple[SlotRange, ...]:
    """Slots that nobody has had; where those do not suffice, slots that were given back too."""
    ever = [SlotRange(slots.low, slots.high) for slots in known]
    owned = [SlotRange(slots.low, slots.high) for slots in known if not slots.released]
    try:
        return take_slots(ever, share, capacity=row.traffic_allocation)
    except ConflictError:
        return take_slots(owned, share, capacity=row.traffic_allocation)


def _quarantined(known: Sequence[OwnedSlots]) -> list[tuple[int, int]]:
    """Slots that were given back and belong to nobody now, as runs."""
    owned = {slot for slots in known if not slots.released for slot in range(slots.low, slots.high)}
    free = sorted({slot for slots in known if slots.released for slot in range(slots.low, slots.high)} - owned)
    runs: list[tuple[int, int]] = []
    for slot in free:
        if runs and runs[-1][1] == slot:
            runs[-1] = (runs[-1][0], slot + 1)
        else:
            runs.append((slot, slot + 1))
    return runs


def _keep(session: Session, row: Layer, before: dict[str, Any], action: str, *, actor: Actor, now: dt.datetime) -> None:
    row.updated_at = now
    session.flush()
    record_change(session, actor=actor, now=now, action=action, on=("group", row.id), before=before, after=_described(row))


def _described(row: Layer) -> dict[str, Any]:
    return {"name": row.name, "description": row.description, "traffic_allocation": row.traffic_allocation, "status": row.status}
