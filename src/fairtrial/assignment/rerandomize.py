"""Re-randomisation: draw again until the arms are alike in what is known of the units.

Assignments are drawn by the hash under salts `salt`, `salt + "#1"`, `salt + "#2"`, ... and the first whose
Mahalanobis distance between the arms' covariate means is small enough is taken: as small as the share
`accept` of all assignments. The rule is fixed before a draw is seen. Intervals that do not know of it stay
valid and are wider than need be; a randomisation test that draws under the same rule is exact
(`stats.resampling.designs.Rerandomized`).

References: Morgan & Rubin (2012), Annals of Statistics 40, 1263-1282; Li, Ding & Rubin (2018), PNAS 115, 9157-9162.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.assignment.allocation import Allocation
from fairtrial.errors import DataError, UsageError
from fairtrial.stats.resampling.designs import mahalanobis_distances

MOST_DRAWS = 20_000
"""Draws after which it is given up: with `accept` 0.1% about one in 500 million rules would come here by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerandomised:
    """The assignment that was taken.

    Attributes:
        arms: Arm of each unit.
        salt: The salt that it follows from: with it every unit's arm is a pure function again.
        draws: Assignments that were looked at.
        distance: Largest Mahalanobis distance of a treatment from the control.
        limit: The largest that would have been taken.
    """

    arms: tuple[str, ...]
    salt: str
    draws: int
    distance: float
    limit: float


def rerandomise(units: Sequence[str], covariates: ArrayLike, allocation: Allocation, *, control: str, accept: float = 0.01) -> Rerandomised:
    """Draw until the arms are balanced.

    Args:
        units: Ids, shape (n,).
        covariates: What is known of them before assignment, finite numbers, shape (n, k).
        allocation: The experiment's arms; its salt is the first that is tried.
        control: Key of the control arm.
        accept: Share of assignments that are taken, in [0.0001, 1].

    Raises:
        UsageError: Shapes do not match, `accept` is out of range, or the control is unknown.
        DataError: A covariate is constant or a combination of others, an arm stays empty, or no draw was balanced.
    """
    values = np.asarray(covariates, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != len(units) or not np.isfinite(values).all():
        raise UsageError(f"Covariates are finite numbers, a row a unit, got shape {values.shape} for {len(units)} units.")
    if not 1e-4 <= accept <= 1.0:
        raise UsageError(f"accept is the share of assignments that are taken, in [0.0001, 1], got {accept}.")
    treatments = [arm for arm in allocation.arms if arm != control]
    if len(treatments) == len(allocation.arms):
        raise UsageError(f"The control must be one of {list(allocation.arms)}, got {control!r}.")
    limit = float(special.chdtri(float(values.shape[1]), 1.0 - accept))
    for draw in range(MOST_DRAWS):
        salt = allocation.salt if draw == 0 else f"{allocation.salt}#{draw}"
        again = replace(allocation, salt=salt)
        arms = [again.arm(unit) for unit in units]
        distance = _largest(values, np.asarray(arms), control, treatments)
        if distance <= limit:
            return Rerandomised(arms=tuple(arms), salt=salt, draws=draw + 1, distance=distance, limit=limit)
    raise DataError(
        f"None of {MOST_DRAWS:,} assignments was balanced to a distance of {limit:.3g}.",
        hint="Raise the share that is accepted, or balance on fewer columns.",
        code="not_balanced",
    )


def _largest(values: NDArray[np.float64], arms: NDArray[np.str_], control: str, treatments: Sequence[str]) -> float:
    found: list[float] = []
    for treatment in treatments:
        inside = (arms == control) | (arms == treatment)
        treated = arms[inside] == treatment
        if treated.all() or not treated.any():
            return np.inf
        found.append(float(mahalanobis_distances(values[inside], treated[None, :])[0]))
    return max(found)
