"""The level of one planned look when trials below a futility bound were stopped for good.

Trials that gave up can no longer err, so what their later looks would have spent goes
to those that went on: the efficacy boundary comes down, and the error rate holds only
for who obeys. As without futility (`levels`), a look has a level for every overall error rate, with the
same futility bounds under each: the bounds are what was done, the rate is what is asked. A p-value then
is the smallest rate whose boundary the look would have crossed.

At rates so large (beyond a third or so) that boundary and futility bound would meet, nobody is left to
spend them; there the boundary keeps the last value that it had, or that without futility once
this lies lower. p-values above that rate are right in size only.

References: Pampallona, Tsiatis & Kim (2001), Drug Information Journal 35, 1113-1121; Jennison &
Turnbull (2000), Group Sequential Methods, ch. 5 and 9.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.boundaries import Boundaries, GroupSequentialDesign, actual_boundaries, family_boundaries, looks_taken
from fairtrial.stats.sequential.boundary_solver import LOWEST, spending_boundary
from fairtrial.stats.sequential.levels import LookLevels

Floats = NDArray[np.float64]

QUANTILES = np.concatenate([np.arange(0.3, 1.0, 0.1), np.arange(1.0, 5.0, 0.05), np.arange(5.0, 10.5, 0.5)])
"""Normal quantiles of the error rates at which boundaries are tabulated: from 0.38 to 1e-23."""
FAR_QUANTILES = np.array([12.0, 15.0, 20.0, 28.0, 37.5])
"""Quantiles between which straight lines serve."""
LEAST_RISE = 1e-12
"""Critical values that rise by less are noise of the quadrature, not a boundary."""


@lru_cache(maxsize=1024)
def binding_boundaries(
    design: GroupSequentialDesign, fractions: tuple[float, ...], given_up: tuple[float, ...], *, final: bool
) -> Boundaries:
    """The efficacy boundary of a one-sided design whose earlier looks gave up for good below these values.

    Args:
        design: The plan.
        fractions: Information fractions of the looks so far, this one last.
        given_up: Z below which the looks before this one stopped; `-inf` where nobody was stopped.
        final: Whether this look spends all that is left.

    Returns:
        Boundaries of the looks so far, never above those without futility; `cumulative_alpha` is what obeyed bounds spend.

    Raises:
        UsageError: The design is two-sided, the fractions are not looks, or there is not one value for each earlier look.
    """
    taken = _checked(design, fractions, given_up)
    loose = actual_boundaries(design, taken, final=final)
    critical = np.minimum(_solved(design, np.log(np.array([design.alpha])), taken, given_up, final=final)[0], loose.critical)
    critical = np.where(critical <= LOWEST, loose.critical, critical)
    return Boundaries(
        information_fractions=loose.information_fractions,
        critical=critical,
        nominal_p=np.asarray(special.ndtr(-critical), dtype=np.float64),
        cumulative_alpha=loose.cumulative_alpha,
    )


@lru_cache(maxsize=1024)
def binding_levels(design: GroupSequentialDesign, fractions: tuple[float, ...], given_up: tuple[float, ...], *, final: bool) -> LookLevels:
    """The levels of the last of the looks at `fractions`; see `binding_boundaries`.

    Args:
        design: The plan, one-sided.
        fractions: Information fractions of the looks so far, this one last.
        given_up: Z below which the looks before this one stopped; `-inf` where nobody was stopped.
        final: Whether this look spends all that is left.

    Raises:
        UsageError: As `binding_boundaries`.
    """
    taken = _checked(design, fractions, given_up)
    own = -float(special.ndtri(design.alpha))
    asked = np.concatenate([QUANTILES, FAR_QUANTILES])
    asked = asked[np.abs(asked - own) > 1e-6]
    log_alphas = np.asarray(special.log_ndtr(-asked))
    loose = family_boundaries(design, log_alphas.copy(), taken, final=final).critical[:, -1]
    tight = np.minimum(_solved(design, log_alphas, taken, given_up, final=final)[:, -1], loose)
    at = int(np.searchsorted(asked, own))
    exact = float(binding_boundaries(design, fractions, given_up, final=final).critical[-1])
    quantiles, critical = np.insert(asked, at, own), np.insert(tight, at, exact)
    solved = np.insert(tight > LOWEST, at, True)
    # From the design's own rate upwards the table ends where the boundary no longer falls.
    falls = np.diff(critical) > LEAST_RISE
    stop = next((i for i in range(at - 1, -1, -1) if not (falls[i] and solved[i])), -1) + 1
    flat = np.minimum(critical[stop], np.insert(loose, at, math.inf))[:stop]
    critical[:stop] = np.minimum.accumulate(flat[::-1])[::-1]
    critical[at:] = np.maximum.accumulate(critical[at:])
    return LookLevels(sides=1, quantiles=quantiles, critical=critical, gains=True)


def _checked(design: GroupSequentialDesign, fractions: tuple[float, ...], given_up: tuple[float, ...]) -> tuple[float, ...]:
    if design.sides != 1:
        raise UsageError("Binding futility needs a one-sided design, got sides=2.", hint="Take a bound that does not bind, or sides=1.")
    taken = looks_taken(design, fractions)
    if len(given_up) != len(taken) - 1 or any(math.isnan(value) for value in given_up):
        raise UsageError(
            f"given_up must name one value for each of the {len(taken) - 1} looks before the last, got {list(given_up)}.",
            hint="-inf stands for a look that gave nobody up.",
        )
    return taken


def _solved(
    design: GroupSequentialDesign, log_alphas: Floats, fractions: tuple[float, ...], given_up: tuple[float, ...], *, final: bool
) -> Floats:
    """Critical values at many error rates, shape (rates, looks)."""
    family = family_boundaries(design, log_alphas.copy(), fractions, final=final)
    return spending_boundary(family.log_spent.copy(), fractions, sides=1, given_up=given_up)
