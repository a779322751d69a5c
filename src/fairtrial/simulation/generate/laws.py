"""How outcomes are drawn: first as they would be without the treatment, then with it.

Drawing both for each unit keeps what was known before assignment apart from the treatment, and
plants a relative effect exactly: the mean of `observed` is that of `untreated` times the factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDING = 1e-9
"""Part of a variance that is no difference."""
EVENTS_PER_UNIT = 8.0
"""Mean of the Poisson denominator of a ratio, to which one is added."""
CENTRE, SPREAD = 100.0, 20.0
"""Mean and standard deviation of a covariate."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outcome of every unit, arrays of shape (n,).

    Attributes:
        untreated: What it would be under the control.
        observed: What it is in the unit's own arm.
    """

    untreated: NDArray[np.generic]
    observed: NDArray[np.generic]


def draw_successes(trials: Ints, rate: float, factor: Floats, rng: np.random.Generator) -> Outcome:
    """Binomial successes of `rate` in (0, 1) times `factor`, out of `trials`, shape (n,).

    Raises:
        UsageError: The factor takes the rate to 1 or above.
    """
    highest = rate * float(factor.max())
    if highest >= 1.0:
        raise UsageError(f"The effect takes a rate of {rate:g} to {highest:g}; a rate is below 1.", hint="Plant a smaller one.")
    before = rng.binomial(trials, rate)
    gained = rng.binomial(trials - before, np.maximum(rate * (factor - 1.0), 0.0) / (1.0 - rate))
    kept = rng.binomial(before, np.minimum(factor, 1.0))
    return Outcome(before, kept + gained)


def draw_rates(rate: float, factor: Floats, rng: np.random.Generator) -> Outcome:
    """1 with a chance of `rate` in (0, 1) times `factor`, else 0, shape (n,); errors as `draw_successes`."""
    return draw_successes(np.ones(factor.size, dtype=np.int64), rate, factor, rng)


def draw_counts(mean: float, sd: float | None, factor: Floats, rng: np.random.Generator) -> Outcome:
    """Whole numbers of this mean > 0 and standard deviation (Poisson's where None), shape (n,).

    Wider than Poisson's they are negative binomial; narrower, a mixture of Poisson's with the two whole numbers around the mean.

    Raises:
        UsageError: No whole numbers of this mean spread so little.
    """
    return _multiplied(_counts(mean, sd, factor.size, rng), factor, rng)


def draw_amounts(mean: float, sd: float, factor: Floats, rng: np.random.Generator) -> Outcome:
    """Gamma numbers: positive, skewed to the right, of this mean and standard deviation, both > 0, shape (n,)."""
    shape = (mean / sd) ** 2
    before = rng.gamma(shape, mean / shape, factor.size)
    return Outcome(before, before * factor)


def draw_exponential(quantile: float, q: float, factor: Floats, rng: np.random.Generator) -> Outcome:
    """Exponential numbers of which the share `q` in (0, 1) lies below `quantile` > 0, shape (n,)."""
    before = rng.exponential(-quantile / math.log1p(-q), factor.size)
    return Outcome(before, before * factor)


def draw_trials(n: int, rng: np.random.Generator) -> Ints:
    """Denominators of a ratio, 1 or more, shape (n,)."""
    return 1 + rng.poisson(EVENTS_PER_UNIT, n)


def draw_ratio(trials: Ints, rate: float, factor: Floats, rng: np.random.Generator) -> Outcome:
    """Numerators of a ratio > 0 of sums: a share of `trials` where the ratio stays below 1, Poisson's otherwise, shape (n,)."""
    if rate * float(factor.max()) < 1.0:
        return draw_successes(trials, rate, factor, rng)
    return _multiplied(rng.poisson(rate * trials), factor, rng)


def draw_beside(outcome: NDArray[np.generic], correlation: float, rng: np.random.Generator) -> Floats:
    """Numbers of mean 0 and standard deviation 1 with this correlation to `outcome`, shape (n,)."""
    values = outcome.astype(np.float64)
    spread = float(values.std())
    score = (values - values.mean()) / spread if spread > 0.0 else np.zeros_like(values)
    return correlation * score + math.sqrt(1.0 - correlation**2) * rng.standard_normal(values.size)


def _multiplied(before: Ints, factor: Floats, rng: np.random.Generator) -> Outcome:
    """Whole numbers times a factor, rounded up or down by chance so that the mean is exact."""
    whole = np.floor(factor).astype(np.int64)
    return Outcome(before, before * whole + rng.binomial(before, factor - whole))


def _counts(mean: float, sd: float | None, n: int, rng: np.random.Generator) -> Ints:
    variance = mean if sd is None else sd**2
    if variance > mean * (1.0 + ROUNDING):
        size = mean**2 / (variance - mean)
        return rng.poisson(rng.gamma(size, mean / size, n))
    below = math.floor(mean)
    rest = mean - below
    least = rest * (1.0 - rest)
    if variance < least * (1.0 - ROUNDING):
        raise UsageError(
            f"Whole numbers of mean {mean:g} have a standard deviation of {math.sqrt(least):.3g} or more, got {sd:g}.",
            hint="Correct plan.baseline_sd, or make the metric one of kind mean.",
        )
    wide = rng.random(n) < ((variance - least) / (mean - least) if mean > least else 1.0)
    return np.where(wide, rng.poisson(mean, n), below + rng.binomial(1, rest, n))
