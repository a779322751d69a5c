"""Stratified block randomisation: within each stratum every block of units holds the arms in their shares.

For units that are known when they are assigned: a list of customers, stores, regions. The
units of a stratum stand in the order of their hash, those assigned before first; each block
of them is given the arms in an order that a hash of stratum and block draws. The same
list gives the same arms, and a longer list leaves those given before as they are.

Reference: Kernan et al. (1999), Stratified randomization for clinical trials, Journal of
Clinical Epidemiology 52, 19-26.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from fairtrial.assignment.hashing import unit_hash
from fairtrial.errors import UsageError

ORDER_SALT = "/order"
"""Added to the salt where units are put in order."""
BLOCK_SALT = "/block"
"""Added to the salt where a block's arms are."""
SMALL = "(small strata)"
"""Name of the stratum that pools those too small to stand alone."""
JOINED = " / "
"""Between the values of several stratum columns."""
MISSING = "(missing)"
"""Stands for the value of a unit that has none."""
LONGEST_BLOCK = 100
SHORTEST_BLOCK = 4
"""Blocks of two would let who knows one arm know the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StratifiedAssignment:
    """Who was given what, and within which stratum.

    Attributes:
        arms: Arm of each unit, in the order in which the units were given.
        strata: Stratum of each unit as it was used: small ones are pooled.
        counts: Units by stratum and arm.
        block: Units of a block.
        pooled: Names of the strata that were too small and were pooled.
    """

    arms: tuple[str, ...]
    strata: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    block: int
    pooled: tuple[str, ...]


def stratum_of(values: Iterable[object]) -> str:
    """Name of the stratum of a unit with these values of the stratum columns, None where it has none."""
    return JOINED.join(MISSING if value is None else str(value) for value in values)


def assign_in_blocks(
    units: Sequence[str],
    strata: Sequence[str],
    shares: Mapping[str, float],
    *,
    hash_key: str,
    salt: str = "",
    given: Mapping[str, str] | None = None,
    before: Mapping[str, int] | None = None,
    least: int = 1,
) -> StratifiedAssignment:
    """Assign a list of units so that every stratum has the arms in their shares, to less than a block.

    Args:
        units: Ids, each once, shape (n,).
        strata: Stratum of each, shape (n,).
        shares: Planned share of each arm, summing to 1; hundredths, or thirds, sixths and the like.
        hash_key: The experiment's.
        salt: Separates independent draws of one experiment.
        given: Arms of units of the list that were assigned before; they keep them.
        before: Units by stratum that earlier lists held and this one does not; its blocks go on after theirs.
        least: Units that a stratum needs; smaller ones are pooled into one, which may stay smaller.

    Raises:
        UsageError: Lengths differ, a unit comes twice, shares do not add up or have no block of at most 100, or an arm is unknown.
    """
    _check(units, strata, shares, given or {})
    block = block_size(shares)
    held = before or {}
    sizes = Counter(strata) + Counter(held)
    pooled = tuple(sorted(name for name in set(strata) if sizes[name] < least and name != SMALL))
    used = tuple(SMALL if name in set(pooled) else name for name in strata)
    members: dict[str, list[int]] = {}
    for place, stratum in enumerate(used):
        members.setdefault(stratum, []).append(place)
    kept = given or {}
    arms = [kept.get(unit, "") for unit in units]
    for stratum, places in members.items():
        first = held.get(stratum, 0) + sum(bool(arms[place]) for place in places)
        new = sorted((place for place in places if not arms[place]), key=lambda place: unit_hash(units[place], hash_key, salt + ORDER_SALT))
        drawn: list[str] = []
        for rank, place in enumerate(new, start=first):
            if not drawn or rank % block == 0:
                drawn = _arms_of_block(stratum, rank // block, shares, block, hash_key, salt)
            arms[place] = drawn[rank % block]
    counts = {stratum: Counter(arms[place] for place in places) for stratum, places in sorted(members.items())}
    return StratifiedAssignment(
        arms=tuple(arms),
        strata=used,
        counts={stratum: {arm: count.get(arm, 0) for arm in shares} for stratum, count in counts.items()},
        block=block,
        pooled=pooled,
    )


def block_size(shares: Mapping[str, float]) -> int:
    """The smallest number of units, at least 4, that holds every share in whole units.

    Raises:
        UsageError: There is none up to 100.
    """
    exact = [Fraction(share).limit_denominator(LONGEST_BLOCK) for share in shares.values()]
    size = math.lcm(*(part.denominator for part in exact))
    if size > LONGEST_BLOCK or any(
        not math.isclose(float(part), share, abs_tol=1e-9) for part, share in zip(exact, shares.values(), strict=True)
    ):
        raise UsageError(
            f"A block holds every share in whole units, at most {LONGEST_BLOCK} of them; {dict(shares)} has no such block.",
            hint="Choose shares in hundredths, or in thirds, sixths and the like.",
        )
    return size * math.ceil(SHORTEST_BLOCK / size)


def _arms_of_block(stratum: str, number: int, shares: Mapping[str, float], block: int, hash_key: str, salt: str) -> list[str]:
    """The arms of a block in their drawn order."""
    arms = [arm for arm, share in shares.items() for _ in range(round(share * block))]
    draws = [unit_hash(f"{stratum}/{number}/{slot}", hash_key, salt + BLOCK_SALT) for slot in range(block)]
    return [arm for _, arm in sorted(zip(draws, arms, strict=True))]


def _check(units: Sequence[str], strata: Sequence[str], shares: Mapping[str, float], given: Mapping[str, str]) -> None:
    if len(units) != len(strata):
        raise UsageError(f"Every unit has one stratum, got {len(units)} units and {len(strata)} strata.")
    if len(set(units)) != len(units):
        twice = next(unit for unit, count in Counter(units).items() if count > 1)
        raise UsageError(f"Every unit comes once, {twice!r} comes more often.", hint="Drop the repeated rows.")
    if len(shares) < 2 or not math.isclose(math.fsum(shares.values()), 1.0, abs_tol=1e-9) or min(shares.values()) <= 0.0:
        raise UsageError(f"Shares of two arms or more must be above 0 and add up to 1, got {dict(shares)}.")
    if strange := sorted(set(given.values()) - set(shares)):
        raise UsageError(f"Units that were assigned before must have one of the arms {list(shares)}, got {strange}.")
