"""What a trial may still win: conditional and predictive power at an interim look.

Given Z = z at information fraction t, the final Z at full information is normal with mean
z sqrt(t) + drift (1 - t) and variance 1 - t (Brownian motion, Lan & Wittes 1988). So the
chance to end above a critical value c is

    conditional power = Phi((z sqrt(t) + drift (1 - t) - c) / sqrt(1 - t))

under an assumed drift: the planned one (`planned_drift`), or the trend so far z / sqrt(t),
which is noisy and makes a hard futility rule. Averaging over what the data leave
open about the drift gives the predictive power; with a flat prior

    predictive power = Phi((z - c sqrt(t)) / sqrt(1 - t))

All are one-sided: for harm turn the signs. Neither says whether there is an effect, and
stopping when they are large inflates the error rate; stopping when small does not.

References: Lan & Wittes (1988), Biometrics 44, 579-585; Spiegelhalter, Freedman &
Blackburn (1986), Controlled Clinical Trials 7, 8-17; Jennison & Turnbull (2000), ch. 10.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.sequential.recursion import Corridor, above, check_finite, check_fractions, check_sides, enter

Floats = NDArray[np.float64]


def conditional_power(z: float, fraction: float, critical: float, *, drift: float | None = None) -> float:
    """Chance to end above the final critical value at full information, given Z now.

    Args:
        z: Z at the look.
        fraction: Information fraction of the look, in (0, 1).
        critical: Critical value of the final look.
        drift: Assumed mean of Z at full information; None continues the trend so far, z / sqrt(fraction).

    Returns:
        A probability.

    Raises:
        UsageError: A value is not finite, or the fraction lies outside (0, 1).

    References:
        Lan & Wittes (1988), Biometrics 44, 579-585.
    """
    return conditional_power_batch(z, fraction, critical, drift=drift).item()


def conditional_power_batch(z: ArrayLike, fraction: ArrayLike, critical: ArrayLike, *, drift: ArrayLike | None = None) -> Floats:
    """Conditional power of many looks at once; see `conditional_power`.

    Args:
        z: Z at the looks, any shape.
        fraction: Information fractions of the looks, in (0, 1), broadcast against `z`.
        critical: Critical values of the final looks.
        drift: Assumed means of Z at full information; None continues the trends so far.

    Returns:
        Probabilities, of the broadcast shape.

    Raises:
        UsageError: A value is not finite, or a fraction lies outside (0, 1).
    """
    seen, t, c = _checked(z, fraction, critical)
    trend: Floats = seen / np.sqrt(t) if drift is None else np.asarray(drift, dtype=np.float64)
    check_finite("drift", trend)
    return np.asarray(special.ndtr((seen * np.sqrt(t) + trend * (1.0 - t) - c) / np.sqrt(1.0 - t)))


def predictive_power(z: float, fraction: float, critical: float, *, prior_mean: float = 0.0, prior_variance: float | None = None) -> float:
    """Conditional power averaged over the posterior of the drift.

    Args:
        z: Z at the look.
        fraction: Information fraction of the look, in (0, 1).
        critical: Critical value of the final look.
        prior_mean: Mean of a normal prior of the drift.
        prior_variance: Its variance, > 0; None for a flat prior, whose posterior is N(z / sqrt(t), 1 / t).

    Returns:
        A probability.

    Raises:
        UsageError: A value is not finite, or the fraction or the variance is out of its range.

    References:
        Spiegelhalter, Freedman & Blackburn (1986), Controlled Clinical Trials 7, 8-17.
    """
    return predictive_power_batch(z, fraction, critical, prior_mean=prior_mean, prior_variance=prior_variance).item()


def predictive_power_batch(
    z: ArrayLike, fraction: ArrayLike, critical: ArrayLike, *, prior_mean: float = 0.0, prior_variance: float | None = None
) -> Floats:
    """Predictive power of many looks at once; see `predictive_power`.

    Args:
        z: Z at the looks, any shape.
        fraction: Information fractions of the looks, in (0, 1), broadcast against `z`.
        critical: Critical values of the final looks.
        prior_mean: Mean of a normal prior of the drift.
        prior_variance: Its variance, > 0; None for a flat prior.

    Returns:
        Probabilities, of the broadcast shape.

    Raises:
        UsageError: A value is not finite, or a fraction or the variance is out of its range.
    """
    seen, t, c = _checked(z, fraction, critical)
    check_finite("prior_mean", np.asarray(prior_mean, dtype=np.float64))
    if prior_variance is not None and not (math.isfinite(prior_variance) and prior_variance > 0.0):
        raise UsageError(f"prior_variance must be positive and finite, got {prior_variance}.", hint="For a flat prior leave it out.")
    weight = 0.0 if prior_variance is None else 1.0 / prior_variance
    mean = (seen * np.sqrt(t) + weight * prior_mean) / (t + weight)
    variance = (1.0 - t) ** 2 / (t + weight) + 1.0 - t
    return np.asarray(special.ndtr((seen * np.sqrt(t) + mean * (1.0 - t) - c) / np.sqrt(variance)))


def conditional_power_of_looks(
    z: ArrayLike, fraction: float, *, fractions: Sequence[float], critical: Sequence[float], drift: ArrayLike, sides: int = 2
) -> Floats:
    """Chance to stop above at any of several later looks, given Z now.

    Args:
        z: Z at the look, any shape.
        fraction: Its information fraction, > 0.
        fractions: Information fractions of the later looks, rising from above `fraction`.
        critical: Their critical values.
        drift: Assumed means of Z at full information, broadcast against `z`.
        sides: 2 when the later looks also stop at Z < -critical.

    Returns:
        Probabilities, of the broadcast shape.

    Raises:
        UsageError: A value is not finite, the fractions do not rise, or there is not one critical value a look.

    References:
        Jennison & Turnbull (2000), Group Sequential Methods, ch. 10.2.
    """
    times = check_fractions((fraction, *fractions), what="fraction and fractions")
    if len(times) == 1 or len(critical) != len(fractions):
        raise UsageError(f"critical must name one value for each of the later looks, got {len(critical)} for {len(fractions)}.")
    check_sides(sides)
    seen, theta = np.broadcast_arrays(np.asarray(z, dtype=np.float64), np.asarray(drift, dtype=np.float64))
    limits = np.array([float(c) for c in critical])
    for name, values in (("z", seen), ("drift", theta), ("critical", limits)):
        check_finite(name, values)
    start, means = seen.ravel() * math.sqrt(times[0]), theta.ravel()
    if start.size == 0:
        return np.empty(seen.shape)
    # What is still to come is a trial of its own: independent of the past, with moved critical values.
    gained = [time - times[0] for time in times[1:]]
    chance, corridor = np.zeros(start.size), None
    for look, (time, gain, limit) in enumerate(zip(times[1:], gained, limits, strict=True)):
        high, low = ((side * limit * math.sqrt(time) - start) / math.sqrt(gain) for side in (1.0, -1.0))
        chance += above(corridor, gain, high, means)
        if look + 1 < len(gained):
            corridor = _enter(corridor, gain, low if sides == 2 else np.full_like(high, -np.inf), high, gained[look + 1], means)
    return np.minimum(chance, 1.0).reshape(seen.shape)


def _enter(before: Corridor | None, gain: float, low: Floats, high: Floats, following: float, means: Floats) -> Corridor:
    extremes = (float(means.min()) * math.sqrt(gain), float(means.max()) * math.sqrt(gain))
    return enter(before, gain, low=low, high=high, following=following, means=extremes)


def _checked(z: ArrayLike, fraction: ArrayLike, critical: ArrayLike) -> tuple[Floats, Floats, Floats]:
    seen, t, c = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (z, fraction, critical)))
    for name, values in (("z", seen), ("critical", c)):
        check_finite(name, values)
    wrong = t[~((t > 0.0) & (t < 1.0))]
    if wrong.size:
        raise UsageError(f"fraction must lie in (0, 1), got {wrong.flat[0]}.", hint="At full information the trial is decided.")
    return seen, t, c
