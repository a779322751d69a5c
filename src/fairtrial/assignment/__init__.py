"""Assignment as a pure function of unit, experiment and salt."""

from fairtrial.assignment.allocation import Allocation, HexThreshold
from fairtrial.assignment.hashing import HASH_SPACE, u, unit_hash
from fairtrial.assignment.ranges import Segment

__all__ = ["HASH_SPACE", "Allocation", "HexThreshold", "Segment", "u", "unit_hash"]
