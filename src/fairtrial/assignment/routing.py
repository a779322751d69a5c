"""The whole way of a unit into an arm: gate, traffic, arm; and its JSON form.

What is packed here is stored when units may first be assigned and is all that a
decision needs, so that no later change of a layer, a holdout or a share moves a unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from fairtrial.assignment.allocation import Allocation
from fairtrial.assignment.layers import Gate, GlobalHoldout, LayerPlace, SlotRange
from fairtrial.assignment.ranges import Segment, Share

OPEN = Gate()
"""The gate that lets everybody in."""

Left = Literal["holdout", "exclusion_group", "traffic"]
"""Why a unit has no arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where a unit goes.

    Attributes:
        arm: Key of its arm; None when it is in none.
        reason: Why it is in none; None when it has an arm.
    """

    arm: str | None
    reason: Left | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Gate and allocation of one experiment.

    Attributes:
        allocation: Traffic and arms.
        gate: What comes before them.
    """

    allocation: Allocation
    gate: Gate = OPEN

    def decide(self, unit: str) -> Decision:
        """Where a unit goes, the same for ever.

        Raises:
            UsageError: The unit is no Unicode text.
        """
        outside = self.gate.outside(unit)
        if outside is not None:
            return Decision(arm=None, reason=outside)
        arm = self.allocation.decide(unit)
        return Decision(arm=arm, reason="traffic" if arm is None else None)

    def extended(self, shares: Mapping[str, Share]) -> Routing:
        """The same at other shares, moving as few units as that takes.

        Raises:
            UsageError: An arm is left out, or the shares break a rule.
        """
        return replace(self, allocation=self.allocation.extended(shares))


def pack(routing: Routing) -> dict[str, Any]:
    """A routing as JSON; hashes as text, for they pass 2^53."""
    allocation, gate = routing.allocation, routing.gate
    holdout = gate.holdout
    return {
        "hash_key": allocation.hash_key,
        "salt": allocation.salt,
        "arms": list(allocation.arms),
        "segments": [[str(segment.low), str(segment.high), segment.arm] for segment in allocation.segments],
        "traffic": str(allocation.traffic),
        "holdout": None if holdout is None else {"name": holdout.name, "salt": holdout.salt, "share": holdout.share},
        "places": [
            {"layer": place.layer, "salt": place.salt, "slots": [[slots.low, slots.high] for slots in place.slots]} for place in gate.places
        ],
    }


def unpack(packed: Mapping[str, Any]) -> Routing:
    """A routing from its JSON.

    Raises:
        UsageError: The stored ranges do not cover the hash space once.
    """
    holdout = packed["holdout"]
    return Routing(
        allocation=Allocation(
            hash_key=packed["hash_key"],
            salt=packed["salt"],
            arms=tuple(packed["arms"]),
            segments=tuple(Segment(low=int(low), high=int(high), arm=arm) for low, high, arm in packed["segments"]),
            traffic=int(packed["traffic"]),
        ),
        gate=Gate(
            holdout=None if holdout is None else GlobalHoldout(**holdout),
            places=tuple(
                LayerPlace(layer=place["layer"], salt=place["salt"], slots=tuple(SlotRange(low, high) for low, high in place["slots"]))
                for place in packed["places"]
            ),
        ),
    )
