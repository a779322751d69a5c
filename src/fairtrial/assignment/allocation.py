"""Which arm a unit is in: a pure function of unit, experiment and stored ranges.

Two independent draws from one hash: *traffic* (is the unit in the experiment, salt
`salt + "/traffic"`) and *arm* (salt `salt`). Ramping traffic only moves units in;
changing shares keeps each arm's ranges and extends them. All comparisons are on
integers, and the last range has no upper test, so no unit is without an arm. The
same borders as 16 hex digits decide in SQL, by comparing text (G-9).
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from fairtrial.assignment.hashing import HASH_SPACE, HEX_DIGITS, key_suffix, utf8
from fairtrial.assignment.ranges import Segment, Share, check_partition, exact_shares, lay_out, move_borders, widths
from fairtrial.errors import UnknownNameError, UsageError

TRAFFIC_SALT = "/traffic"
"""What the traffic draw adds to an experiment's salt."""


@dataclass(frozen=True, slots=True)
class HexThreshold:
    """One step of the arm's decision in SQL: this arm if the first 16 hex digits sort below.

    Attributes:
        arm: Key of the arm.
        below: 16 lower-case hex digits; None for the last step, which has no test.
    """

    arm: str
    below: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Stored ranges of one experiment, ready to decide.

    Attributes:
        hash_key: What is hashed as the experiment; never changed once units are assigned.
        salt: Separates independent draws of one experiment.
        arms: Keys of the arms in declared order.
        segments: Ranges of [0, 2^64) in ascending order with their owners; an arm may own several or none.
        traffic: Hashes of the traffic draw that are in the experiment, 0 to 2^64.
    """

    hash_key: str
    salt: str = ""
    arms: tuple[str, ...]
    segments: tuple[Segment, ...]
    traffic: int = HASH_SPACE
    _lows: list[int] = field(init=False, repr=False, compare=False)
    _owners: list[str] = field(init=False, repr=False, compare=False)
    _suffix: bytes = field(init=False, repr=False, compare=False)
    _traffic_suffix: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.hash_key:
            raise UsageError("hash_key must not be empty: experiments without a key would share their draws.")
        if len(set(self.arms)) != len(self.arms):
            raise UsageError(f"Arm names must be unique, got {list(self.arms)}.")
        if not 0 <= self.traffic <= HASH_SPACE:
            raise UsageError(f"traffic must lie in 0..2^64, got {self.traffic}.")
        check_partition(self.segments)
        for segment in self.segments:
            if segment.arm not in self.arms:
                raise UnknownNameError.among("arm", segment.arm, self.arms)
        object.__setattr__(self, "_lows", [segment.low for segment in self.segments])
        object.__setattr__(self, "_owners", [segment.arm for segment in self.segments])
        object.__setattr__(self, "_suffix", key_suffix(self.hash_key, self.salt))
        object.__setattr__(self, "_traffic_suffix", key_suffix(self.hash_key, self.salt + TRAFFIC_SALT))

    @classmethod
    def from_shares(
        cls,
        experiment: str,
        shares: Mapping[str, Share],
        *,
        hash_key: str | None = None,
        salt: str = "",
        traffic: Share = 1.0,
    ) -> Allocation:
        """Lay out arms by their shares, in the order given (holdouts: treatment first).

        Args:
            experiment: Key of the experiment, not all digits.
            shares: Share by arm, each in [0, 1], summing to 1.
            hash_key: The stored hash key where it is not the experiment's key; this one
                may be all digits, as the ids of experiments made by the service are.
            salt: Separates independent draws of one experiment.
            traffic: Share of units that is in the experiment, in [0, 1].

        Raises:
            UsageError: The key is empty or all digits, or the shares break a rule.
        """
        if hash_key is None and experiment.isdecimal():
            raise UsageError(
                f"An experiment's key must not be all digits, got {experiment!r}.",
                hint="Those are the ids of experiments made by the service; pass one as hash_key.",
            )
        if not shares:
            raise UsageError("An allocation must have at least one arm, got none.")
        return cls(
            hash_key=experiment if hash_key is None else hash_key,
            salt=salt,
            arms=tuple(shares),
            segments=lay_out(exact_shares(shares)),
            traffic=_traffic_hashes(traffic),
        )

    @classmethod
    def holdout(
        cls, experiment: str, treatment_rate: float, *, hash_key: str | None = None, salt: str = "", traffic: Share = 1.0
    ) -> Allocation:
        """Treatment first, then control: a unit is treated when u < `treatment_rate`, exactly.

        Raises:
            UsageError: The key or the rate breaks a rule.
        """
        if not 0.0 <= treatment_rate <= 1.0:
            raise UsageError(f"treatment_rate must lie in [0, 1], got {treatment_rate}.")
        rate = Fraction(str(treatment_rate))
        return cls.from_shares(experiment, {"treatment": rate, "control": 1 - rate}, hash_key=hash_key, salt=salt, traffic=traffic)

    def arm(self, unit: str) -> str:
        """Arm of a unit, whether or not the traffic draw lets it in.

        Raises:
            UsageError: The unit is no Unicode text.
        """
        digest = hashlib.sha256(utf8(unit) + self._suffix).digest()
        return self._owners[bisect_right(self._lows, int.from_bytes(digest[:8], "big")) - 1]

    def in_traffic(self, unit: str) -> bool:
        """Whether a unit is in the experiment.

        Raises:
            UsageError: The unit is no Unicode text.
        """
        encoded = utf8(unit)
        if self.traffic == HASH_SPACE:
            return True
        return int.from_bytes(hashlib.sha256(encoded + self._traffic_suffix).digest()[:8], "big") < self.traffic

    def decide(self, unit: str) -> str | None:
        """Arm of a unit that is in the experiment, None for one that is not.

        Raises:
            UsageError: The unit is no Unicode text.
        """
        return self.arm(unit) if self.traffic == HASH_SPACE or self.in_traffic(unit) else None

    def assign(self, units: Sequence[str]) -> list[str | None]:
        """`decide` for many units, in their order.

        Raises:
            UsageError: A unit is no Unicode text.
        """
        decide = self.decide
        return [decide(unit) for unit in units]

    def arm_at(self, value: int) -> str:
        """Owner of a hash in [0, 2^64).

        Raises:
            UsageError: The hash lies outside.
        """
        if not 0 <= value < HASH_SPACE:
            raise UsageError(f"A hash must lie in [0, 2^64), got {value}.")
        return self._owners[bisect_right(self._lows, value) - 1]

    def ranges(self, arm: str) -> tuple[tuple[int, int], ...]:
        """Half-open ranges of an arm, ascending; empty where it has no share.

        Raises:
            UnknownNameError: No arm has this name.
        """
        if arm not in self.arms:
            raise UnknownNameError.among("arm", arm, self.arms)
        return tuple((segment.low, segment.high) for segment in self.segments if segment.arm == arm)

    @property
    def shares(self) -> dict[str, float]:
        """Share of each arm in declared order, as its ranges have it."""
        return {arm: sum(high - low for low, high in self.ranges(arm)) / HASH_SPACE for arm in self.arms}

    def extended(self, shares: Mapping[str, Share]) -> Allocation:
        """The same experiment at other shares, moving as few units as that takes.

        Arms that keep their share keep every unit; arms that grow keep all they had and
        take from those that shrink. A name not known yet is a new arm.

        Args:
            shares: New share by arm; every arm named, 0 for one that is closed.

        Raises:
            UsageError: An arm is left out, or the shares break a rule.
        """
        left_out = [arm for arm in self.arms if arm not in shares]
        if left_out:
            raise UsageError(f"Every arm must have a share, got none for {left_out}.", hint="Give a closed arm the share 0.")
        order = (*self.arms, *(arm for arm in shares if arm not in self.arms))
        exact = exact_shares({arm: shares[arm] for arm in order})
        return replace(self, arms=order, segments=move_borders(self.segments, self._wanted(exact)))

    def with_traffic(self, traffic: Share) -> Allocation:
        """The same experiment with another share of units in it; a larger one only adds units.

        Raises:
            UsageError: The share lies outside [0, 1].
        """
        return replace(self, traffic=_traffic_hashes(traffic))

    def thresholds_hex(self) -> tuple[HexThreshold, ...]:
        """The ranges as text borders, to be tried in order in SQL.

        `substr(lower(hex(sha256(key))), 1, 16) < below` in any engine equals the integer
        rule, since hex digits of equal length sort as the numbers do.
        """
        last = len(self.segments) - 1
        return tuple(
            HexThreshold(segment.arm, None if index == last else to_hex(segment.high)) for index, segment in enumerate(self.segments)
        )

    def traffic_threshold_hex(self) -> str | None:
        """The traffic border as 16 hex digits; None when all units are in and there is no test."""
        return None if self.traffic == HASH_SPACE else to_hex(self.traffic)

    def _wanted(self, exact: Mapping[str, Fraction]) -> dict[str, int]:
        """New widths, in which an arm whose share did not change keeps its own to the last hash."""
        owned = {arm: sum(high - low for low, high in self.ranges(arm)) if arm in self.arms else 0 for arm in exact}
        wanted = widths(exact)
        slack = 2 * len(exact)  # borders are rounded to whole hashes, one at each side
        kept = {arm for arm, width in wanted.items() if abs(width - owned[arm]) <= slack}
        wanted |= {arm: owned[arm] for arm in kept}
        moving = [arm for arm in wanted if arm not in kept]
        if moving:  # the rounding of the kept borders goes to an arm that changes anyway
            wide = [arm for arm in moving if wanted[arm] > slack * len(exact)] or list(wanted)
            wanted[max(wide, key=lambda arm: wanted[arm])] += HASH_SPACE - sum(wanted.values())
        return wanted


def to_hex(border: int) -> str:
    """A border below 2^64 as 16 lower-case hex digits."""
    return f"{border:0{HEX_DIGITS}x}"


def _traffic_hashes(traffic: Share) -> int:
    if not (math.isfinite(traffic) and 0 <= traffic <= 1):
        raise UsageError(f"traffic must lie in [0, 1], got {traffic}.")
    return math.ceil((traffic if isinstance(traffic, Fraction) else Fraction(str(traffic))) * HASH_SPACE)
