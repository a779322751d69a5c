"""Roots of many increasing functions at once, by a secant that never leaves its bracket.

Each element of an array is one equation `function(x) = 0` with a function that
increases through its root on a bracket. The secant through the last two points
is taken where it falls inside the bracket, else the bracket is halved; so the
pace is the secant's and the guarantee bisection's (Dekker 1969; Brent 1973,
Algorithms for Minimization without Derivatives, ch. 4).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

TOLERANCE = 4.0 * float(np.finfo(np.float64).eps)
"""An expected error below this fraction of the root (or of the scale given) ends the search."""
SECANTS = 12
"""After so many steps every other one halves the bracket, whatever the secant says."""
MAX_STEPS = 200


def solve_increasing(
    function: Callable[[Floats], Floats],
    low: Floats,
    high: Floats,
    guess: Floats,
    *,
    slope: ArrayLike = 1.0,
    scale: float = 1e-3,
    tolerance: float = TOLERANCE,
) -> Floats:
    """Where increasing functions cross zero, elementwise.

    Args:
        function: Maps an array of points to an array of values of the same shape, without NaN.
        low: Lower ends, where the function is taken to be <= 0.
        high: Upper ends, where it is taken to be >= 0; `low` <= `high`.
        guess: First points; moved into the bracket where they lie outside.
        slope: The functions' slopes near the roots, roughly; they serve for the first step alone.
        scale: Roots smaller than this are sought to an absolute error of `tolerance` times `scale`, as the
            last step's size tells it; a few 1e-16 of the bracket may remain.
        tolerance: Expected error that ends the search, as a fraction of the root.

    Returns:
        The roots, each within its bracket; an end of the bracket where the function does not change sign.
    """
    low, high = low.copy(), high.copy()
    x = np.clip(guess, low, high)
    inverse_slope = np.broadcast_to(1.0 / np.asarray(slope, dtype=np.float64), x.shape)
    curved = np.ones_like(x)
    previous, value_before = x, np.zeros_like(x)
    for step in range(MAX_STEPS):
        value = function(x)
        low = np.where(value <= 0.0, x, low)
        high = np.where(value >= 0.0, x, high)
        if step:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                # Two equal values have no secant: they are rounding, or a flat stretch; the last slope stays.
                flat = value == value_before
                secant = np.where(flat, inverse_slope, (x - previous) / (value - value_before))
                # The first secant is compared with a guess, which says nothing of how straight the function is.
                curved = np.where(flat, 1.0, np.abs(secant / inverse_slope - 1.0)) if step > 1 else curved
                inverse_slope = secant
        following, straight = _next(step, x, value, inverse_slope, low, high)
        # The step that follows a secant's step shrinks by about as much as the slope just changed.
        error = np.abs(following - x) * np.where(straight, np.minimum(curved, 1.0), 1.0)
        previous, value_before, x = x, value, following
        if (error <= tolerance * np.maximum(np.abs(x), scale)).all():
            break
    return x


def _next(step: int, x: Floats, value: Floats, inverse_slope: Floats, low: Floats, high: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """The secant's point where it lies inside the bracket, else the bracket's middle, and which it was; a point that solves stays."""
    with np.errstate(invalid="ignore", over="ignore"):
        secant = x - value * inverse_slope
    solved = value == 0.0
    straight = solved | ((secant >= low) & (secant <= high) & (step <= SECANTS or step % 2 == 0))
    return np.where(solved, x, np.where(straight, secant, 0.5 * (low + high))), straight
