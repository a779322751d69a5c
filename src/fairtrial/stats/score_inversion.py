"""The interval that inverts a score statistic whose standard error moves with the hypothesis.

A score test of `effect = delta` divides the distance between the observed effect
and delta by the standard error that the data has if delta is true. The interval
holds every delta in [-1, 1] that the test does not reject. Each end is sought
on that side of the null hypothesis on which the test itself says it lies, so that a
p-value below alpha and an interval that leaves the null out are one fact, whatever
the rounding.

Reference: Mee (1984), Biometrics 40, 1175-1176.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError
from fairtrial.stats.result import Alternative, Interval
from fairtrial.stats.roots import solve_increasing
from fairtrial.stats.tails import critical_value

Floats = NDArray[np.float64]
NullError = Callable[[Floats], Floats]
"""Standard errors of the effect under hypotheses delta, shape (k,), all in [-1, 1]."""


def check_margin(margin: float) -> None:
    """Raise unless a margin is a difference of two rates.

    Raises:
        UsageError: It lies outside (-1, 1).
    """
    if not -1.0 < margin < 1.0:
        raise UsageError(
            f"A margin of a difference of proportions must lie in (-1, 1), got {margin}.", hint="Pass a fraction, not a percentage."
        )


def inverted_interval(effect: float, null_error: NullError, *, margin: float, alpha: float, alternative: Alternative) -> Interval:
    """The differences that a score test of two rates does not reject.

    Args:
        effect: Observed difference, in [-1, 1].
        null_error: Standard error of it under a hypothesis; 0 at -1 and 1.
        margin: The hypothesis that the test is about, in (-1, 1).
        alpha: Error rate in (0, 1).
        alternative: `greater` leaves the upper end infinite, `less` the lower.

    Returns:
        The interval; it leaves `margin` out exactly when the statistic at `margin` lies beyond the critical value.

    Raises:
        UsageError: `alpha` lies outside (0, 1), or `alternative` is another word.
    """
    z = float(critical_value(alpha, np.inf, alternative))

    def end(sign: float) -> float:
        """The largest of sign * delta within z standard errors of the effect."""

        def beyond(distance: Floats) -> Floats:
            return distance - sign * effect - z * null_error(sign * distance)

        border = np.array([sign * margin])
        low, high = (np.array([-1.0]), border) if float(beyond(border)[0]) > 0.0 else (border, np.array([1.0]))
        return sign * float(solve_increasing(beyond, low, high, np.array([sign * effect]))[0])

    return Interval(low=-math.inf if alternative == "less" else end(-1.0), high=math.inf if alternative == "greater" else end(1.0))
