"""Sums by bucket of units, for a bootstrap: one GROUP BY arm and bucket, whatever the number of units.

A unit's bucket is made of the first three hexadecimal digits of the MD5 of its id (as the
engine writes it as text) with a suffix of its own, so that it says nothing of a bucket or
arm that another hash gave the unit. The 4,096 groups are folded into 1,024 buckets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fairtrial.errors import UsageError
from fairtrial.stats.resampling.buckets import BucketSums
from fairtrial.stats.result import Unavailable
from fairtrial.warehouse.capabilities import md5
from fairtrial.warehouse.pushdown import Scan
from fairtrial.warehouse.sums import ArmSums, centre_of
from fairtrial.warehouse.terms import Term, deviation, kept
from fairtrial.warehouse.unit_rows import arm_code
from fairtrial.warehouse.unit_table import UNIT

SUFFIX = ":bootstrap"
DIGITS = 3
BUCKETS = 1_024
"""A power of two that divides 16^3, so that every bucket is as likely as any other."""


def bucket_of(unit: str) -> int:
    """The bucket of a unit, 0 to 1,023."""
    return int(hashlib.md5(f"{unit}{SUFFIX}".encode(), usedforsecurity=False).hexdigest()[:DIGITS], 16) % BUCKETS


def read_buckets(
    scan: Scan, wanted: Mapping[str, tuple[Term, ...]], sums: Mapping[str, ArmSums]
) -> dict[str, dict[str, BucketSums | Unavailable]]:
    """Counts, sums and products by bucket, by metric and arm.

    Args:
        scan: The scan, whose constants the sums are taken about.
        wanted: By metric: its terms.
        sums: By arm: what was scanned.

    Raises:
        UsageError: The data names no unit.
    """
    units = scan.units
    if UNIT not in units.table.columns:
        raise UsageError(f"A bootstrap draws units by their id, and the data of {sorted(wanted)} names none.", hint="Set data.unit.")
    named = units.table[UNIT].cast("string") + SUFFIX
    asked: dict[tuple[object, ...], Any] = {}
    for terms in wanted.values():
        asked.setdefault(("n", terms[0].mask), _kept_count(scan, terms[0]))
        for i, left in enumerate(terms):
            apart = deviation(units, left, scan.centres.get(left, 0))
            asked.setdefault(("sum", left), apart.sum())
            for right in terms[i:]:
                asked.setdefault(("product", left, right), (apart * deviation(units, right, scan.centres.get(right, 0))).sum())
    names = {key: f"b{index}" for index, key in enumerate(asked)}
    groups = units.table.group_by(code=arm_code(units, sums), bucket=md5(named).substr(0, DIGITS))
    rows = units.source.rows(groups.agg(**{names[key]: expression for key, expression in asked.items()}))
    folded = _folded([row for row in rows if row[0] >= 0 and row[1] is not None], len(asked), len(sums))
    place = {key: index for index, key in enumerate(asked)}
    return {
        metric: {name: _sums(scan, arm, terms, folded[code], place) for code, (name, arm) in enumerate(sums.items())}
        for metric, terms in wanted.items()
    }


def _kept_count(scan: Scan, term: Term) -> Any:
    inside = kept(scan.units, term.mask)
    return scan.units.table.count() if inside is None else inside.cast("int32").sum()


def _folded(rows: Sequence[tuple[Any, ...]], width: int, arms: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.float64]]:
    """Aggregates by arm, bucket and column, shape (arms, 1024, width)."""
    folded = np.zeros((arms, BUCKETS, width))
    for code, digits, *numbers in sorted(rows, key=lambda row: (row[0], row[1])):
        folded[int(code), int(str(digits), 16) % BUCKETS] += [float(number or 0.0) for number in numbers]
    return folded


def _sums(
    scan: Scan,
    arm: ArmSums,
    terms: tuple[Term, ...],
    folded: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    place: Mapping[tuple[object, ...], int],
) -> BucketSums | Unavailable:
    n = folded[:, place["n", terms[0].mask]]
    held = n >= 1.0
    if held.sum() < 2:
        return Unavailable(code="too_few_units", reason="An arm has units in one bucket only, so a bootstrap has nothing to draw.")
    k = len(terms)
    products = np.empty((int(held.sum()), k, k))
    for i, left in enumerate(terms):
        for j, right in enumerate(terms[i:], start=i):
            products[:, i, j] = products[:, j, i] = folded[held, place["product", left, right]]
    return BucketSums(
        n=n[held],
        sums=folded[held][:, [place["sum", term] for term in terms]],
        center=np.array([float(centre_of(scan, term, arm.stored)) for term in terms]),
        products=products if k > 1 else None,
    )
