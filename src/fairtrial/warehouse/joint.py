"""Cells of experiments that share units, counted in the engine.

One pair is one join and one GROUP BY of both arms. All pairs of many experiments are one
self-join of their stacked memberships, whose cost is the number of shared memberships;
no row leaves the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairtrial.warehouse.memberships import VALUE, Membership
from fairtrial.warehouse.untyped import ibis

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class JointSums:
    """What the units that two experiments share add up to.

    Attributes:
        n: Units by (arm of A, arm of B).
        mean_a: Mean of A's metric in each cell, 0 where it is empty; None without a metric.
        m2_a: Sum of squared deviations from it.
        mean_b: The same of B's metric.
        m2_b: The same of B's.
    """

    n: NDArray[np.int64]
    mean_a: Floats | None
    m2_a: Floats | None
    mean_b: Floats | None
    m2_b: Floats | None


def joint_sums(a: Membership, b: Membership) -> JointSums:
    """Cells of two experiments that live in one engine (`memberships.together`)."""
    left = a.table.rename({"arm_a": "arm", **({"value_a": VALUE} if a.metric else {})})
    right = b.table.rename({"arm_b": "arm", **({"value_b": VALUE} if b.metric else {})})
    joined = left.inner_join(right, "unit")
    rows = a.source.rows(joined.group_by("arm_a", "arm_b").agg(**_asked(joined, a, b)))
    return _sums(a, b, rows)


def all_joint_sums(members: Sequence[Membership]) -> dict[tuple[int, int], JointSums]:
    """Cells of every pair of experiments that share a unit, by their places; all live in one engine."""
    stacked = ibis.union(*(_stack(place, member) for place, member in enumerate(members)), distinct=False)
    left = stacked.rename(e_a="e", arm_a="arm", value_a="value")
    right = stacked.rename(e_b="e", arm_b="arm", value_b="value")
    joined = left.join(right, [left.unit == right.unit, left.e_a < right.e_b])
    grouped = joined.group_by("e_a", "e_b", "arm_a", "arm_b").agg(
        n=joined.count(),
        sum_a=joined.value_a.sum(),
        squares_a=(joined.value_a * joined.value_a).sum(),
        sum_b=joined.value_b.sum(),
        squares_b=(joined.value_b * joined.value_b).sum(),
    )
    found: dict[tuple[int, int], list[tuple[Any, ...]]] = {}
    for row in members[0].source.rows(grouped):
        found.setdefault((int(row[0]), int(row[1])), []).append(tuple(row[2:]))
    return {pair: _sums(members[pair[0]], members[pair[1]], found[pair]) for pair in sorted(found)}


def _stack(place: int, member: Membership) -> Any:
    value = member.table[VALUE] - member.centre if member.metric else ibis.literal(0.0)
    return member.table.select("unit", e=ibis.literal(place).cast("int32"), arm=member.table.arm, value=value.cast("float64"))


def _asked(joined: Any, a: Membership, b: Membership) -> Mapping[str, Any]:
    asked: dict[str, Any] = {"n": joined.count()}
    for side, member in (("a", a), ("b", b)):
        off = joined[f"value_{side}"] - member.centre if member.metric else joined.arm_a * 0.0
        asked |= {f"sum_{side}": off.sum(), f"squares_{side}": (off * off).sum()}
    return asked


def _sums(a: Membership, b: Membership, rows: Sequence[tuple[Any, ...]]) -> JointSums:
    """Sums about a constant, brought back to the mean of each cell (Chan, Golub & LeVeque 1983)."""
    shape = len(a.arms), len(b.arms)
    n = np.zeros(shape, dtype=np.int64)
    sums = np.zeros((4, *shape))
    for arm_a, arm_b, count, *numbers in rows:
        n[int(arm_a), int(arm_b)] = int(count)
        sums[:, int(arm_a), int(arm_b)] = [float(number or 0.0) for number in numbers]
    some = np.maximum(n, 1)

    def centred(off: Floats, squares: Floats, centre: float) -> tuple[Floats, Floats]:
        return np.where(n > 0, centre + off / some, 0.0), np.maximum(squares - off * off / some, 0.0)

    mean_a, m2_a = centred(sums[0], sums[1], a.centre) if a.metric else (None, None)
    mean_b, m2_b = centred(sums[2], sums[3], b.centre) if b.metric else (None, None)
    return JointSums(n=n, mean_a=mean_a, m2_a=m2_a, mean_b=mean_b, m2_b=m2_b)
