"""Along the looks: the intersection of the intervals so far, and the least p-value so far.

A confidence sequence holds at all looks at once, so the value it covers lies in
every interval, and what they have in common may be reported at each look. It
never widens, and its p-value, the least so far, never rises; the two stay one
fact. Both take looks that gave no interval (NaN) as looks that say nothing.
They are a step of their own, for a reader must know which of the two he is
shown: an estimate can lie outside the intersection, never outside its own interval.

References: Howard, Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49,
1055-1080; Johari, Koomen, Pekelis & Walsh (2022), Operations
Research 70, 1806-1821, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import UsageError

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunningIntervals:
    """Intersections of all intervals so far.

    Attributes:
        low: Greatest lower end so far, along the last axis.
        high: Least upper end so far.
        empty: Where they have crossed: no value was inside all intervals, so an assumption is broken
            (a drifting effect, or looks too early) or the unlucky alpha has struck.
    """

    low: Floats
    high: Floats
    empty: Booleans


def running_intersection(low: ArrayLike, high: ArrayLike) -> RunningIntervals:
    """What all intervals so far have in common: itself a confidence sequence, and never wider than the last interval.

    Args:
        low: Lower ends of the looks in order, along the last axis; NaN where a look gave none.
        high: Upper ends.

    Returns:
        The intersections; `-inf` and `inf` before the first look that gave an interval.

    Raises:
        UsageError: A lower end lies above its upper end, the shapes differ, or there is no axis of looks.

    References:
        Howard et al. (2021) (the intersection keeps the coverage, as it holds at all times at once).
    """
    lower, upper = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if lower.shape != upper.shape or lower.ndim == 0:
        raise UsageError(f"Ends of intervals must be arrays of one shape, looks last, got {lower.shape} and {upper.shape}.")
    if (lower > upper).any():
        raise UsageError("A lower end must not lie above its upper end.")
    least = np.minimum.accumulate(np.fmin(upper, np.inf), axis=-1)
    greatest = np.maximum.accumulate(np.fmax(lower, -np.inf), axis=-1)
    return RunningIntervals(low=greatest, high=least, empty=greatest > least)


def running_p_values(p_values: ArrayLike) -> Floats:
    """P-values along the looks: the least so far, dual to `running_intersection`.

    Args:
        p_values: Of the looks in order, in [0, 1], along the last axis; NaN where a look gave none.

    Returns:
        P-values that never rise along the last axis; 1 before the first look that gave one, as no evidence yet.

    Raises:
        UsageError: A p-value lies outside [0, 1], or there is no axis of looks.

    References:
        Johari et al. (2022), section 3.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim == 0 or ((values < 0.0) | (values > 1.0)).any():
        raise UsageError("p-values must be an array within [0, 1], looks last.")
    return np.minimum.accumulate(np.fmin(values, 1.0), axis=-1)
