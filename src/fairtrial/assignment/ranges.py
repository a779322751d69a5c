"""Integer ranges of the hash space and how they change hands when shares change.

The hash space [0, 2^64) is one line of segments, each owned by an arm. A change of
shares moves borders between segments and nothing else: an arm that keeps its share
keeps every hash, an arm that grows keeps all it had, and only arms that shrink give
up units. So a ramp never moves a unit between two arms that both grow or stay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from fairtrial.assignment.hashing import HASH_SPACE
from fairtrial.errors import UsageError

SHARE_TOLERANCE = Fraction(1, 10**6)
"""How far from 1 the shares of an allocation may sum before it is an error and not rounding."""

Share = float | Fraction
"""A share of units; a Fraction where it must be exact."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A half-open range of hashes owned by one arm.

    Attributes:
        low: First hash of the range.
        high: First hash after it, up to 2^64.
        arm: Key of the owner.
    """

    low: int
    high: int
    arm: str

    @property
    def width(self) -> int:
        """Number of hashes."""
        return self.high - self.low


def exact_shares(shares: Mapping[str, Share]) -> dict[str, Fraction]:
    """Shares as exact fractions that sum to 1: 0.1 is one tenth, as it is written.

    Args:
        shares: Share by arm, each in [0, 1], summing to 1 but for rounding.

    Raises:
        UsageError: A share is outside [0, 1], or they do not sum to 1.
    """
    exact: dict[str, Fraction] = {}
    for arm, share in shares.items():
        if not (math.isfinite(share) and 0 <= share <= 1):
            raise UsageError(f"The share of arm {arm!r} must lie in [0, 1], got {share}.")
        exact[arm] = share if isinstance(share, Fraction) else Fraction(str(share))
    total = sum(exact.values(), Fraction(0))
    if abs(total - 1) > SHARE_TOLERANCE:
        raise UsageError(f"Shares must sum to 1, got {float(total):g}.", hint="Shares are fractions of the units, every arm named.")
    return {arm: share / total for arm, share in exact.items()}


def widths(shares: Mapping[str, Fraction]) -> dict[str, int]:
    """Number of hashes per arm, summing to 2^64.

    The border after an arm is the first integer not below its cumulative share times
    2^64, so that "hash below the border" is "u below the share" without rounding.

    Args:
        shares: Exact shares by arm, summing to 1.
    """
    found: dict[str, int] = {}
    reached, cumulative = 0, Fraction(0)
    for arm, share in shares.items():
        cumulative += share
        border = math.ceil(cumulative * HASH_SPACE)
        found[arm] = border - reached
        reached = border
    return found


def lay_out(shares: Mapping[str, Fraction]) -> tuple[Segment, ...]:
    """One segment per arm with a share, in the order of the arms, covering the hash space."""
    segments: list[Segment] = []
    low = 0
    for arm, width in widths(shares).items():
        if width:
            segments.append(Segment(low, low + width, arm))
            low += width
    return tuple(segments)


def check_partition(segments: Sequence[Segment]) -> None:
    """Raise unless segments follow each other from 0 to 2^64 without gap or overlap.

    Raises:
        UsageError: They do not.
    """
    reached = 0
    for segment in segments:
        if segment.low != reached or segment.high <= segment.low:
            raise UsageError(
                f"Ranges must follow each other from 0 to 2^64, got [{segment.low}, {segment.high}) of {segment.arm!r} after {reached}."
            )
        reached = segment.high
    if reached != HASH_SPACE:
        raise UsageError(f"Ranges must end at 2^64, got {reached}.")


def move_borders(segments: Sequence[Segment], wanted: Mapping[str, int]) -> tuple[Segment, ...]:
    """Give each arm its wanted number of hashes, moving no more hashes than that takes.

    A growing arm first extends its own ranges into shrinking neighbours; then it takes a
    new range where its place in the declared order is, so that an arm that grows from
    nothing lands where it would have been laid out.

    Args:
        segments: A partition of the hash space.
        wanted: Hashes by arm in declared order, summing to 2^64.

    Returns:
        A partition in which arms own as many hashes as wanted.
    """
    line = list(segments)
    spare = {arm: -count for arm, count in wanted.items()}
    for segment in line:
        spare[segment.arm] += segment.width
    rank = {arm: index for index, arm in enumerate(wanted)}
    for arm in wanted:
        while spare[arm] < 0:
            givers = [index for index, segment in enumerate(line) if spare[segment.arm] > 0]
            index, from_low = _neighbour(line, arm, givers) or _newcomer(line, arm, givers, rank)
            giver = line[index]
            taken = min(-spare[arm], spare[giver.arm], giver.width)
            line[index : index + 1] = _split(giver, arm, taken, from_low=from_low)
            line = _merged(line)
            spare[arm] += taken
            spare[giver.arm] -= taken
    return tuple(line)


def _neighbour(line: Sequence[Segment], arm: str, givers: Sequence[int]) -> tuple[int, bool] | None:
    """The first giving segment beside one of the arm's, and whether its low end touches."""
    for index in givers:
        if index > 0 and line[index - 1].arm == arm:
            return index, True
        if index + 1 < len(line) and line[index + 1].arm == arm:
            return index, False
    return None


def _newcomer(line: Sequence[Segment], arm: str, givers: Sequence[int], rank: Mapping[str, int]) -> tuple[int, bool]:
    """The low end of the first giver declared after the arm, else the high end of the last giver."""
    after = [index for index in givers if rank[line[index].arm] > rank[arm]]
    return (after[0], True) if after else (givers[-1], False)


def _split(giver: Segment, arm: str, taken: int, *, from_low: bool) -> list[Segment]:
    """The giver's segment with `taken` hashes handed over at one end."""
    if from_low:
        border = giver.low + taken
        parts = [Segment(giver.low, border, arm), Segment(border, giver.high, giver.arm)]
    else:
        border = giver.high - taken
        parts = [Segment(giver.low, border, giver.arm), Segment(border, giver.high, arm)]
    return [part for part in parts if part.width]


def _merged(line: Sequence[Segment]) -> list[Segment]:
    """Join segments of one arm that touch."""
    joined: list[Segment] = []
    for segment in line:
        if joined and joined[-1].arm == segment.arm:
            joined[-1] = Segment(joined[-1].low, segment.high, segment.arm)
        else:
            joined.append(segment)
    return joined
