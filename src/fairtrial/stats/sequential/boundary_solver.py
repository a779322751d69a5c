"""Critical values that keep an error rate over several looks, solved for many rates at once.

All functions take batches of error rates that share their information fractions, on
one side and in logarithms, so that rates below 1e-300 have boundaries too. A look that
may spend less than 1e-25 takes the quantile of its own share: to all purposes the
same, and never less strict, for nobody exceeds a value more often for having been
watched before.

References: Armitage, McPherson & Rowe (1969), JRSS A 132, 235-244; Jennison & Turnbull
(2000), Group Sequential Methods, ch. 7 and 19.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.stats.roots import solve_increasing
from fairtrial.stats.sequential.recursion import Corridor, above, enter

Floats = NDArray[np.float64]

LEAST_SOLVED = 1e-25
"""Smaller chances are not integrated."""
ALMOST_ONE = 1.0 - 2.0**-53
"""The largest double below 1."""
SCALE = 1e3
"""Critical values are found to 1e-12: the quadrature is no finer."""
LOWEST = -9.0
"""Critical values of one-sided designs are sought from here on; P(Z < -9) = 1e-19."""


def spending_boundary(log_spent: Floats, fractions: tuple[float, ...], *, sides: int, given_up: Sequence[float] = ()) -> Floats:
    """Critical values that use up cumulative error rates, look by look.

    Args:
        log_spent: Logarithms of the one-sided rates to have spent by each look, shape (designs, looks), rising.
        fractions: Information fractions of the looks.
        sides: 2 when trials also stop below, symmetrically.
        given_up: Of a one-sided design: values of Z below which the looks before the last stop too, for good;
            none where none do.

    Returns:
        Critical values, shape (designs, looks); -9 where a look may spend more than is still there to stop.
    """
    critical = np.empty_like(log_spent)
    corridor: Corridor | None = None
    log_share = log_spent[:, 0]
    for look, fraction in enumerate(fractions):
        if look:
            low = given_up[look - 1] if given_up else None
            corridor = stay(corridor, fractions, look - 1, critical[:, look - 1], sides=sides, low=low)
            before, now = log_spent[:, look - 1], log_spent[:, look]
            with np.errstate(divide="ignore"):
                log_share = now + np.log(-np.expm1(np.minimum(before - now, 0.0)))
        critical[:, look] = _quantile(corridor, fraction, log_share, sides=sides)
    return critical


def shaped_boundary(shape: float, log_alphas: Floats, fractions: tuple[float, ...], *, sides: int) -> Floats:
    """Constants C for which the critical values C t^(shape - 1/2) keep error rates over all looks.

    Args:
        shape: Exponent delta: 0 is O'Brien-Fleming's, 1/2 Pocock's.
        log_alphas: Logarithms of one-sided rates, shape (designs,).
        fractions: Information fractions of the looks, ending at 1.
        sides: 2 when trials also stop below.

    Returns:
        Constants, shape (designs,).

    References:
        Wang & Tsiatis (1987), Biometrics 43, 193-199.
    """
    low = -special.ndtri_exp(log_alphas)
    if len(fractions) == 1:
        return low
    form = np.array(fractions) ** (shape - 0.5)
    high = np.maximum(-special.ndtri_exp(log_alphas - math.log(len(fractions))) / form.min(), low)
    aim = special.ndtri_exp(log_alphas + math.log(sides))

    def excess(constant: Floats) -> Floats:
        # On the scale of normal quantiles the chance is nearly a straight line.
        reached = special.logsumexp(log_crossings(constant[:, None] * form, fractions, sides=sides), axis=1)
        return aim - special.ndtri_exp(np.minimum(reached + math.log(sides), math.log(ALMOST_ONE)))

    return solve_increasing(excess, low, high, 0.5 * (low + high), scale=SCALE)


def log_crossings(critical: Floats, fractions: tuple[float, ...], *, sides: int) -> Floats:
    """Logarithms of the chances, under the null hypothesis, to stop above at each look.

    Args:
        critical: Critical values, shape (designs, looks).
        fractions: Information fractions of the looks.
        sides: 2 when trials also stop below.

    Returns:
        Shape (designs, looks).
    """
    result = np.empty_like(critical)
    corridor: Corridor | None = None
    for look, fraction in enumerate(fractions):
        unwatched = special.log_ndtr(-critical[:, look])
        chance = np.maximum(above(corridor, fraction, critical[:, look]), LEAST_SOLVED**2)
        result[:, look] = np.where((unwatched < math.log(LEAST_SOLVED)) | (corridor is None), unwatched, np.log(chance))
        if look + 1 < len(fractions):
            corridor = stay(corridor, fractions, look, critical[:, look], sides=sides)
    return result


def stay(
    before: Corridor | None, fractions: tuple[float, ...], look: int, critical: Floats, *, sides: int, low: float | None = None
) -> Corridor:
    """The corridor of a look between its critical values, or below its one when `sides` is 1.

    Args:
        before: Corridor of the look before; None at the first.
        fractions: Information fractions; one must follow the look's.
        look: Index of the look.
        critical: Its critical values, shape (designs,).
        sides: 2 when trials also stop below.
        low: Value of Z below which trials of a one-sided design stop too; None where they go on.
    """
    bottom = -critical if sides == 2 else -math.inf if low is None else low
    return enter(before, fractions[look], low=bottom, high=critical, following=fractions[look + 1])


def _quantile(before: Corridor | None, fraction: float, log_share: Floats, *, sides: int) -> Floats:
    """Critical values that Z exceeds, not stopped before, with the given chances."""
    log_share = np.clip(log_share, -np.finfo(np.float64).max, math.log(ALMOST_ONE))
    high = -special.ndtri_exp(log_share)
    if before is None:
        return high
    low = np.minimum(np.full_like(high, 0.0 if sides == 2 else LOWEST), high)
    solved = log_share > math.log(LEAST_SOLVED)
    aim = special.ndtri_exp(np.maximum(log_share, math.log(LEAST_SOLVED)))

    def shortfall(critical: Floats) -> Floats:
        reached = special.ndtri(np.clip(above(before, fraction, critical), LEAST_SOLVED**2, ALMOST_ONE))
        return np.where(solved, aim - reached, critical - high)

    return solve_increasing(shortfall, low, high, high, scale=SCALE)
