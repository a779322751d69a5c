"""A number found by simulation, with how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError
from fairtrial.stats.proportion_intervals import clopper_pearson_interval
from fairtrial.stats.result import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """An estimate from independent simulations.

    Attributes:
        value: The mean over simulations; a share in [0, 1] where they are yes or no.
        std_error: Its Monte-Carlo standard error.
        n: Simulations behind it, >= 1.
    """

    value: float
    std_error: float
    n: int

    def exact_bounds(self, *, alpha: float = 0.01) -> Interval:
        """Clopper and Pearson's interval, for a share.

        Raises:
            UsageError: The value is no share of `n`.
        """
        successes = self.value * self.n
        if abs(successes - round(successes)) > 1e-6 * max(1.0, successes):
            raise UsageError(f"Exact bounds are for shares of {self.n} simulations, got {self.value:g}.")
        return clopper_pearson_interval(round(successes), self.n, alpha=alpha)


def share_of(answers: NDArray[np.bool_]) -> Measured:
    """Share of simulations that answer yes.

    Raises:
        UsageError: There are none.
    """
    if answers.size == 0:
        raise UsageError("A share needs a simulation, got none.")
    share = float(np.mean(answers))
    return Measured(value=share, std_error=math.sqrt(share * (1.0 - share) / answers.size), n=answers.size)


def mean_of(values: NDArray[np.float64]) -> Measured:
    """Mean of a number over simulations.

    Raises:
        UsageError: There are none, or one is not finite.
    """
    if values.size == 0 or not np.isfinite(values).all():
        raise UsageError(f"A mean needs finite simulations, got {values.size} values.")
    spread = float(np.std(values, ddof=1)) if values.size > 1 else 0.0
    return Measured(value=float(np.mean(values)), std_error=spread / math.sqrt(values.size), n=values.size)
