"""Wilson's score limits of one rate, and Newcombe's interval of a difference made of them, on arrays.

Wilson (1927), Journal of the American Statistical Association 22, 209-212;
Newcombe (1998), Statistics in Medicine 17, 873-890, method 10: the interval of a
difference joins, squared, the distances of both rates from their Wilson limits.
A Wilson limit l satisfies |p - l| = z sqrt(l (1 - l) / n), which gives those
distances without cancellation in large arms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fairtrial.stats.roots import solve_increasing

Floats = NDArray[np.float64]

LARGEST_Z = 40.0
"""A normal tail beyond this is zero in double precision."""


def wilson_low(successes: Floats, n: Floats, z: Floats) -> Floats:
    """Lower Wilson limit of a rate; the upper one is 1 minus the lower limit of the failures.

    Args:
        successes: Successes, in [0, n], any shape.
        n: Units, > 0.
        z: Normal quantile of the limit, >= 0.

    Returns:
        Limits in [0, 1], exactly 0 without successes.
    """
    half_square = 0.5 * z * z
    root = z * np.sqrt(successes * (n - successes) / n + 0.5 * half_square)
    return np.divide(successes * successes / n, successes + half_square + root, out=np.zeros_like(root), where=root + successes > 0.0)


def newcombe_distance(successes_down: Floats, n_down: Floats, successes_up: Floats, n_up: Floats, z: Floats) -> Floats:
    """How far Newcombe's limit lies from the observed difference.

    Args:
        successes_down: Successes of the arm whose rate moves down to its lower Wilson limit
            (treatment for the lower limit of the difference, control for the upper one).
        n_down: Its units, > 0.
        successes_up: Successes of the arm whose rate moves up to its upper Wilson limit.
        n_up: Its units, > 0.
        z: Normal quantile of the limit, >= 0.

    Returns:
        Distances >= 0; they increase in z and stay below a bound that the rates set.
    """
    down = wilson_low(successes_down, n_down, z)
    up_failure = wilson_low(n_up - successes_up, n_up, z)
    return z * np.sqrt(down * (1.0 - down) / n_down + up_failure * (1.0 - up_failure) / n_up)


def newcombe_z(successes_control: Floats, n_control: Floats, successes_treatment: Floats, n_treatment: Floats, margin: Floats) -> Floats:
    """The z at which Newcombe's limit touches `margin`, with the sign of `effect - margin`.

    Args:
        successes_control: Successes in the control arm, any shape.
        n_control: Units in the control arm, > 0.
        successes_treatment: Successes in the treatment arm, of the same shape.
        n_treatment: Units in the treatment arm, of the same shape.
        margin: Difference treatment - control under the hypothesis, of the same shape.

    Returns:
        Values in [-40, 40], to rounding an end where no limit below it reaches the margin (the tail there is zero in double precision).
    """
    gap = successes_treatment / n_treatment - successes_control / n_control - margin
    above = gap >= 0.0
    x_down, n_down = np.where(above, successes_treatment, successes_control), np.where(above, n_treatment, n_control)
    x_up, n_up = np.where(above, successes_control, successes_treatment), np.where(above, n_control, n_treatment)
    distance = np.abs(gap)
    least = newcombe_distance(x_down, n_down, x_up, n_up, np.full_like(distance, 0.5)) / 0.5
    z = solve_increasing(
        lambda z: newcombe_distance(x_down, n_down, x_up, n_up, z) - distance,
        np.zeros_like(distance),
        np.full_like(distance, LARGEST_Z),
        distance / least,
        slope=least,
    )
    return np.copysign(z, gap)
