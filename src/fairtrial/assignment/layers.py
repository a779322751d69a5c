"""Who may be in an experiment at all: layers of 10,000 slots, and the global holdout.

A layer (an exclusion group is one) hashes a unit to a slot by its own salt; an
experiment in it takes only units whose slot it owns, so two experiments of one layer
never share a unit. A slot belongs to one experiment until it is released, so nothing
that happens to others moves a unit of a running experiment. The holdout is a share of
all units, by its own salt, that no experiment takes.

As SQL: the slot is `floor(hash * 10000 / 2^64)`, so that "slot in [low, high)" is a
range of hashes, and the comparison is one of hexadecimal texts, as for arms.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from fairtrial.assignment.hashing import HASH_SPACE, key_suffix, utf8
from fairtrial.errors import ConflictError, UsageError

SLOTS = 10_000
"""Slots of a layer."""

Outside = Literal["holdout", "exclusion_group"]
"""Why a unit is kept out of an experiment."""


@dataclass(frozen=True, slots=True)
class SlotRange:
    """Slots [low, high) of a layer."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= SLOTS:
            raise UsageError(f"A range of slots must lie in 0..{SLOTS} and hold one at least, got [{self.low}, {self.high}).")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlace:
    """An experiment's place in a layer.

    Attributes:
        layer: Name of the layer as it is hashed; never changed.
        salt: The layer's own salt.
        slots: The slots that the experiment owns.
    """

    layer: str
    salt: str
    slots: tuple[SlotRange, ...]
    _suffix: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_suffix", key_suffix(self.layer, self.salt))

    def slot(self, unit: str) -> int:
        """The unit's slot, 0 to 9,999.

        Raises:
            UsageError: The unit is no Unicode text.
        """
        return (_hash(unit, self._suffix) * SLOTS) // HASH_SPACE

    def holds(self, unit: str) -> bool:
        """Whether the unit's slot is one of the experiment's."""
        slot = self.slot(unit)
        return any(place.low <= slot < place.high for place in self.slots)

    @property
    def hex_ranges(self) -> tuple[tuple[str, str | None], ...]:
        """For SQL: from and below, as 16 hex digits of the hash; None where there is no upper test."""
        return tuple(
            (f"{_first_hash(place.low):016x}", None if place.high == SLOTS else f"{_first_hash(place.high):016x}") for place in self.slots
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalHoldout:
    """A share of units that no experiment takes.

    Attributes:
        name: Name as it is hashed; never changed.
        salt: Its own salt.
        share: Share of units held out, in [0, 1].
    """

    name: str
    salt: str
    share: float
    _border: int = field(init=False, repr=False, compare=False)
    _suffix: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise UsageError(f"The share of a holdout must lie in [0, 1], got {self.share}.")
        object.__setattr__(self, "_border", math.ceil(Fraction(str(self.share)) * HASH_SPACE))
        object.__setattr__(self, "_suffix", key_suffix(self.name, self.salt))

    def holds(self, unit: str) -> bool:
        """Whether the unit is held out of everything.

        Raises:
            UsageError: The unit is no Unicode text.
        """
        return _hash(unit, self._suffix) < self._border

    @property
    def threshold_hex(self) -> str | None:
        """For SQL: below these 16 hex digits a unit is held out; None where all are and there is no test."""
        return None if self._border == HASH_SPACE else f"{self._border:016x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a unit passes before an experiment's own draw.

    Attributes:
        holdout: The global holdout in force when the experiment started, if any.
        places: The experiment's places in layers.
    """

    holdout: GlobalHoldout | None = None
    places: tuple[LayerPlace, ...] = ()

    def outside(self, unit: str) -> Outside | None:
        """Why the unit is kept out; None when it may come in.

        Raises:
            UsageError: The unit is no Unicode text.
        """
        if self.holdout is not None and self.holdout.holds(unit):
            return "holdout"
        if any(not place.holds(unit) for place in self.places):
            return "exclusion_group"
        return None


def take_slots(taken: Sequence[SlotRange], share: float, *, capacity: float = 1.0) -> tuple[SlotRange, ...]:
    """The first free slots of a layer that make up `share` of its units.

    Args:
        taken: Slots that others own, not overlapping.
        share: Share of the layer's units, in (0, 1]; rounded to whole slots.
        capacity: Share of the layer that experiments may use at all, in (0, 1].

    Raises:
        UsageError: The share lies outside (0, 1] or is less than one slot.
        ConflictError: Not so many slots are free.
    """
    if not 0 < share <= 1:
        raise UsageError(f"The share of a layer must lie in (0, 1], got {share}.")
    wanted = round(Fraction(str(share)) * SLOTS)
    if wanted == 0:
        raise UsageError(f"The share of a layer must be a slot at least (1/{SLOTS}), got {share}.")
    room = math.floor(Fraction(str(capacity)) * SLOTS)
    free = _free(sorted(taken, key=lambda place: place.low), room)
    if sum(place.high - place.low for place in free) < wanted:
        left = sum(place.high - place.low for place in free) / SLOTS
        raise ConflictError(f"A share of {share:g} of the layer is asked for, {left:g} is free.", hint="Ask for less, or stop another.")
    found: list[SlotRange] = []
    for place in free:
        part = min(wanted, place.high - place.low)
        found.append(SlotRange(place.low, place.low + part))
        wanted -= part
        if not wanted:
            break
    return tuple(found)


def _free(taken: Sequence[SlotRange], room: int) -> list[SlotRange]:
    free: list[SlotRange] = []
    reached = 0
    for place in taken:
        if reached < min(place.low, room):
            free.append(SlotRange(reached, min(place.low, room)))
        reached = max(reached, place.high)
    if reached < room:
        free.append(SlotRange(reached, room))
    return free


def _hash(unit: str, suffix: bytes) -> int:
    return int.from_bytes(hashlib.sha256(utf8(unit) + suffix).digest()[:8], "big")


def _first_hash(slot: int) -> int:
    """The smallest hash of a slot."""
    return -(-slot * HASH_SPACE // SLOTS)
