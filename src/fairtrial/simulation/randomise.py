"""Assignments drawn anew under a design: by unit, by cluster, within strata.

Units are assigned independently with the planned shares, as a hash assigns them; whole
clusters share one draw; within a stratum the shares hold exactly (up to one unit), as in
stratified randomisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError, UsageError

Codes = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Randomisation:
    """How units are assigned.

    Attributes:
        shares: Planned share by arm, >= 0, summing to 1; the control first.
        units: Number of units, >= the number of arms.
        clusters: Cluster of every unit as a whole number 0, 1, ...; None randomises units.
        strata: Stratum of every unit; None for none. With clusters, a cluster lies in one stratum.
    """

    shares: tuple[float, ...]
    units: int
    clusters: Codes | None = None
    strata: Codes | None = None

    def __post_init__(self) -> None:
        shares = np.asarray(self.shares)
        if shares.size < 2 or (shares < 0.0).any() or abs(float(shares.sum()) - 1.0) > 1e-6:
            raise UsageError(f"Shares are of two arms or more, none negative, and sum to 1, got {list(self.shares)}.")
        for name, codes in (("clusters", self.clusters), ("strata", self.strata)):
            if codes is not None and (codes.shape != (self.units,) or codes.min(initial=0) < 0):
                raise UsageError(f"{name} must be a whole number >= 0 for each of {self.units} units, got shape {codes.shape}.")
        if self.drawn < len(self.shares):
            what = "units" if self.clusters is None else "clusters"
            raise DataError(f"Randomisation needs {what} for {len(self.shares)} arms, got {self.drawn}.", code="too_few_units")

    @property
    def drawn(self) -> int:
        """Number of things that are assigned: units or clusters."""
        return self.units if self.clusters is None else int(self.clusters.max()) + 1

    def draw(self, rng: np.random.Generator) -> NDArray[np.int8]:
        """The arm of every unit in one assignment, shape (units,)."""
        strata = self._strata_of_drawn()
        drawn = self._stratified(strata, rng) if strata is not None else self._independent(rng)
        return drawn if self.clusters is None else drawn[self.clusters]

    def _independent(self, rng: np.random.Generator) -> NDArray[np.int8]:
        bounds = np.cumsum(self.shares)[:-1]
        return np.searchsorted(bounds, rng.random(self.drawn), side="right").astype(np.int8)

    def _stratified(self, strata: Codes, rng: np.random.Generator) -> NDArray[np.int8]:
        order = np.lexsort((rng.random(strata.size), strata))
        sizes = np.bincount(strata)
        begins = np.repeat(np.cumsum(sizes) - sizes, sizes)
        # a random start within the stratum decides who gets the odd unit
        place = (np.arange(strata.size) - begins + rng.random(sizes.size)[np.repeat(np.arange(sizes.size), sizes)]) / np.repeat(
            sizes, sizes
        )
        arms = np.empty(strata.size, dtype=np.int8)
        arms[order] = np.searchsorted(np.cumsum(self.shares)[:-1], place % 1.0, side="right")
        return arms

    def _strata_of_drawn(self) -> Codes | None:
        if self.strata is None or self.clusters is None:
            return self.strata
        of_cluster = np.zeros(self.drawn, dtype=np.intp)
        of_cluster[self.clusters] = self.strata
        if (of_cluster[self.clusters] != self.strata).any():
            raise DataError("A cluster must lie in one stratum, some lie in several.", code="split_cluster")
        return of_cluster


def arm_sums(assignments: Sequence[NDArray[np.int8]], values: NDArray[np.float64], arms: int) -> NDArray[np.float64]:
    """Sums of columns by arm under several assignments, by one matrix product.

    Args:
        assignments: Arm of every unit, one array an assignment.
        values: Shape (units, k).
        arms: Number of arms.

    Returns:
        Shape (assignments, arms, k).
    """
    stacked = np.stack(assignments)
    sums = [(stacked == arm).astype(np.float64) @ values for arm in range(1, arms)]
    rest = values.sum(axis=0) - np.sum(sums, axis=0)
    return np.stack([rest, *sums], axis=1)
