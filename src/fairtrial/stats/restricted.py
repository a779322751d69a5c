"""Two binomial rates under a given difference: the restricted maximum likelihood and its score statistic.

Under the hypothesis `treatment - control = delta` the likelihood's maximum is the
middle root of a cubic (Miettinen & Nurminen 1985, Statistics in Medicine 4, 213-226,
appendix; Farrington & Manning 1990, Statistics in Medicine 9, 1447-1454). The
score statistic divides the observed difference minus `delta` by its standard
error at those rates; at `delta = 0` the rates are the pooled rate and the
statistic is the pooled z.

The closed form loses digits where roots cluster, that is for rates near 0 or 1
in large arms. So the cubic is set up in the distance of the smaller rate from
its nearer bound, and the closed form is polished by Newton's steps that never
leave the root's bracket. Arms are counts: whole successes, whole units.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = tuple[Floats, Floats, Floats, Floats]

MAX_STEPS = 80
SETTLED = 4.0 * float(np.finfo(np.float64).eps)
TINY = 1e-200
"""Keeps the spread of three equal roots from 0: its square root's cube is still a number."""


def restricted_variance(
    successes_control: Floats, n_control: Floats, successes_treatment: Floats, n_treatment: Floats, delta: Floats
) -> Floats:
    """Variance of the difference of two rates at the likelihood's maximum under `treatment - control = delta`.

    Args:
        successes_control: Successes in the control arm, any shape.
        n_control: Units in the control arm, > 0.
        successes_treatment: Successes in the treatment arm.
        n_treatment: Units in the treatment arm, > 0.
        delta: Difference of the rates under the hypothesis, in [-1, 1].

    Returns:
        p_c (1 - p_c) / n_c + p_t (1 - p_t) / n_t at the restricted rates, of the broadcast shape.
    """
    gap = np.abs(delta)
    room = 1.0 - gap
    x_low, n_low, x_up, n_up = _oriented(delta, gap, room, (successes_control, n_control, successes_treatment, n_treatment))
    total = n_low + n_up
    u = _low_rate(x_low / total, (n_low - x_low) / total, x_up / total, (n_up - x_up) / total, gap, room)
    u = np.where(gap == 0.0, (x_low + x_up) / total, u)
    return u * (1.0 - u) / n_low + (u + gap) * (room - u) / n_up


def _oriented(delta: Floats, gap: Floats, room: Floats, counts: Counts) -> Counts:
    """The same two arms named and counted so that the smaller rate, u, lies in the lower half of [0, room].

    The arm with the smaller restricted rate is "low", the other's rate is u + gap. Where u lies in the
    upper half, failures are counted instead of successes: u is then the distance from the upper bound.
    """
    x_low, n_low, x_up, n_up = counts
    if (delta < 0.0).any():
        kept = delta >= 0.0
        x_low, x_up = np.where(kept, x_low, x_up), np.where(kept, x_up, x_low)
        n_low, n_up = np.where(kept, n_low, n_up), np.where(kept, n_up, n_low)
    # The sign of the likelihood's slope in u at half the room, (room - u) being u there.
    half = 0.5 * room
    other = half + gap
    slope = (x_low - n_low * half) * other + (x_up * half - (n_up - x_up) * other) * (1.0 - half)
    if (slope > 0.0).any():
        kept = slope <= 0.0
        x_low, x_up = np.where(kept, x_low, n_up - x_up), np.where(kept, x_up, n_low - x_low)
        n_low, n_up = np.where(kept, n_low, n_up), np.where(kept, n_up, n_low)
    return x_low, n_low, x_up, n_up


def _low_rate(x_low: Floats, y_low: Floats, x_up: Floats, y_up: Floats, gap: Floats, room: Floats) -> Floats:
    """Root in [0, room / 2] of u^3 + b u^2 + c u + e, successes x and failures y being shares of all units."""
    b = gap * y_low - x_up - room * (1.0 + x_low)
    c = room * (x_up + room * x_low) - gap * (x_low + room * y_low + y_up)
    e = gap * room * x_low
    u = _trigonometric_root(b, c, e)
    bare = x_low == 0.0
    if bare.any():
        # Without successes in the low arm u = 0 is a root; it is the maximum unless the likelihood rises there.
        root = np.sqrt(np.maximum(b * b - 4.0 * c, 0.0)) - b
        u = np.where(bare, np.divide(2.0 * c, root, out=np.zeros_like(c), where=c > 0.0), u)
    high = 0.5 * room
    return _polished(np.minimum(np.maximum(u, 0.0), high), b, c, e, high)


def _trigonometric_root(b: Floats, c: Floats, e: Floats) -> Floats:
    """Middle root of a cubic with three real roots (Farrington & Manning 1990, appendix)."""
    third = b / 3.0
    square = third * third
    v = third * (square - 0.5 * c) + 0.5 * e
    s = np.copysign(np.sqrt(np.maximum(square - c / 3.0, TINY)), v)
    cosine = np.minimum(np.maximum(v / (s * s * s), -1.0), 1.0)
    return 2.0 * s * np.cos((np.pi + np.arccos(cosine)) / 3.0) - third


def _polished(u: Floats, b: Floats, c: Floats, e: Floats, high: Floats) -> Floats:
    """Newton's steps on the cubic, falling on [0, high], kept inside the bracket of its root; mostly one step."""
    low = np.zeros_like(u)
    for _ in range(MAX_STEPS):
        value = ((u + b) * u + c) * u + e
        slope = (3.0 * u + 2.0 * b) * u + c
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = value / slope
            # A step of Newton's leaves an error of curvature / (2 slope) times its square.
            error = np.abs((3.0 * u + b) * step * step / slope)
        newton = u - step
        inside = (slope < 0.0) & (newton >= low) & (newton <= high)
        solved = (value == 0.0) | ((e == 0.0) & ~inside)
        if (solved | (inside & (error <= SETTLED * newton))).all():
            return np.where(solved, u, newton)
        low = np.where(value > 0.0, u, low)
        high = np.where(value < 0.0, u, high)
        u = np.where(solved, u, np.where(inside, newton, 0.5 * (low + high)))
    return u
