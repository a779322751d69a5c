"""Assignment as a pure function of unit, experiment and salt."""

from fairtrial.assignment.allocation import Allocation, HexThreshold
from fairtrial.assignment.blocks import StratifiedAssignment, assign_in_blocks
from fairtrial.assignment.hashing import HASH_SPACE, u, unit_hash
from fairtrial.assignment.layers import SLOTS, Gate, GlobalHoldout, LayerPlace, SlotRange, take_slots
from fairtrial.assignment.ranges import Segment
from fairtrial.assignment.routing import Decision, Routing

__all__ = [
    "HASH_SPACE",
    "SLOTS",
    "Allocation",
    "Decision",
    "Gate",
    "GlobalHoldout",
    "HexThreshold",
    "LayerPlace",
    "Routing",
    "Segment",
    "SlotRange",
    "StratifiedAssignment",
    "assign_in_blocks",
    "take_slots",
    "u",
    "unit_hash",
]
