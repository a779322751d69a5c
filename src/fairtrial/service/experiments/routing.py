"""The stored routing of an experiment: made when units may first be assigned, extended when shares change."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairtrial.assignment import Allocation, Gate, GlobalHoldout, LayerPlace, Routing, SlotRange
from fairtrial.assignment.ranges import Share
from fairtrial.assignment.routing import pack, unpack
from fairtrial.errors import ConflictError
from fairtrial.service.experiments.holdout import CONTROL, TREATMENT
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.storage.tables import Experiment, Holdout, Layer, LayerSlots

HOLDOUT_KEY = "holdout"
"""What is hashed as the global holdout (I.b)."""

CHANGES = "changes"
"""Beside the stored ranges: how often they were changed, so that units may lie where the hash no longer puts them."""


def stored_spec(row: Experiment) -> ExperimentSpec:
    """The spec that an experiment runs by."""
    return ExperimentSpec.model_validate(row.spec_json)


def stored_routing(row: Experiment) -> Routing | None:
    """The routing of an experiment; None before units may be assigned."""
    return None if row.allocation_json is None else unpack(row.allocation_json)


def ensure_routing(session: Session, row: Experiment) -> Routing:
    """The routing of an experiment, made now if it has none.

    Raises:
        ConflictError: Its shares are not fixed, so nothing can be laid out.
    """
    found = stored_routing(row)
    if found is None:
        found = Routing(allocation=first_allocation(row), gate=current_gate(session, row.id))
        row.allocation_json = pack(found)
    return found


def change_shares(row: Experiment, routing: Routing, shares: Mapping[str, Share], *, now: dt.datetime) -> Routing:
    """Extend the stored ranges to other shares and keep them."""
    changed = routing.extended(shares)
    row.allocation_json = {**pack(changed), CHANGES: (row.allocation_json or {}).get(CHANGES, 0)}
    mark_moved(row)
    row.updated_at = now
    return changed


def mark_moved(row: Experiment) -> None:
    """Say that the stored groups of some units may differ from what the hash says now, or do so no more."""
    packed = row.allocation_json or {}
    row.allocation_json = {**packed, CHANGES: packed.get(CHANGES, 0) + 1}


def first_allocation(row: Experiment) -> Allocation:
    """The arms laid out by the spec's shares, in declared order; a holdout has the treatment first (DESIGN 5).

    Raises:
        ConflictError: The shares are not fixed.
    """
    spec = stored_spec(row)
    shares = spec.shares
    if shares is None:
        raise ConflictError(f"Experiment {row.key!r} has no fixed shares, so the service cannot assign.", hint="Give each arm a share.")
    if row.kind == "holdout" and set(shares) == {TREATMENT, CONTROL}:
        return Allocation.holdout(row.key, row.treatment_rate or shares[TREATMENT], hash_key=row.hash_key, salt=row.salt)
    return Allocation.from_shares(row.key, shares, hash_key=row.hash_key, salt=row.salt)


def current_gate(session: Session, experiment_id: int) -> Gate:
    """The global holdout in force and the experiment's slots, as they are now."""
    holdout = session.scalar(select(Holdout).where(Holdout.active))
    owned = session.execute(
        select(Layer, LayerSlots)
        .join(LayerSlots, LayerSlots.layer_id == Layer.id)
        .where(LayerSlots.experiment_id == experiment_id, LayerSlots.released_at.is_(None))
        .order_by(Layer.id, LayerSlots.low)
    ).all()
    slots: dict[int, list[SlotRange]] = {}
    layers: dict[int, Layer] = {}
    for layer, place in owned:
        layers[layer.id] = layer
        slots.setdefault(layer.id, []).append(SlotRange(place.low, place.high))
    return Gate(
        holdout=None if holdout is None else GlobalHoldout(name=HOLDOUT_KEY, salt=holdout.salt, share=holdout.share),
        places=tuple(LayerPlace(layer=f"meg-{key}", salt=layers[key].salt, slots=tuple(found)) for key, found in slots.items()),
    )
