"""The always-valid single look: the normal-mixture sequential probability ratio test (mSPRT).

Under the null the likelihood ratio, mixed over effects drawn from
N(null, tau2), is a martingale of mean one, so it exceeds 1 / alpha at any time
with probability at most alpha: one may look as often as one likes. The estimate
is taken as normal with known variance V, which plug-in variances fulfil for
large samples only.

References: Robbins (1970), Annals of Mathematical Statistics 41, 1397-1409;
Johari, Koomen, Pekelis & Walsh (2022), Operations Research 70, 1806-1821.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import UsageError
from fairtrial.stats.result import Interval, check_alpha

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Msprt:
    """One look of a mixture sequential test.

    Attributes:
        log_likelihood_ratio: Natural logarithm of the mixture likelihood ratio.
        p_value: min(1, 1 / likelihood ratio) of this look alone; over looks take the running minimum.
        interval: Confidence interval of the effect, part of a sequence valid at all times.
    """

    log_likelihood_ratio: float
    p_value: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MsprtBatch:
    """Many looks at once; arrays of one shape.

    Attributes:
        log_likelihood_ratio: Natural logarithms of the mixture likelihood ratios.
        p_value: min(1, 1 / likelihood ratio) of each look alone.
        low: Lower ends of the intervals.
        high: Upper ends of the intervals.
    """

    log_likelihood_ratio: Floats
    p_value: Floats
    low: Floats
    high: Floats


def msprt(estimate: float, variance: float, *, tau2: float, alpha: float = 0.05, null: float = 0.0) -> Msprt:
    """Always-valid p-value and interval of one estimate.

    Args:
        estimate: The effect seen, in the metric's unit.
        variance: Variance V of the estimate, > 0.
        tau2: Variance of the mixing distribution, > 0; the square of the effect one hopes for.
        alpha: Error rate in (0, 1) over all looks together.
        null: Effect under the null hypothesis.

    Returns:
        ln L = 0.5 ln(V / (V + tau2)) + d^2 tau2 / (2 V (V + tau2)) with d = estimate - null, its
        p-value, and estimate -+ sqrt(V (V + tau2) / tau2 (2 ln(1 / alpha) + ln((V + tau2) / V))).

    Raises:
        UsageError: `variance` or `tau2` is not positive, or `alpha` lies outside (0, 1).

    References:
        Johari, Koomen, Pekelis & Walsh (2022), Operations Research 70, 1806-1821 (mixture SPRT
        with a normal mixing distribution).
    """
    if not math.isfinite(estimate):
        raise UsageError(f"estimate must be a finite number, got {estimate}.")
    look = msprt_batch(estimate, variance, tau2=tau2, alpha=alpha, null=null)
    return Msprt(
        log_likelihood_ratio=look.log_likelihood_ratio.item(),
        p_value=look.p_value.item(),
        interval=Interval(low=look.low.item(), high=look.high.item()),
    )


def msprt_batch(estimate: ArrayLike, variance: ArrayLike, *, tau2: ArrayLike, alpha: float = 0.05, null: ArrayLike = 0.0) -> MsprtBatch:
    """Always-valid p-values and intervals of many estimates; see `msprt`.

    Args:
        estimate: Effects seen, any shape.
        variance: Their variances, > 0, broadcast against `estimate`.
        tau2: Variances of the mixing distribution, > 0.
        alpha: Error rate in (0, 1) over all looks together.
        null: Effects under the null hypothesis.

    Returns:
        Arrays of the broadcast shape.

    Raises:
        UsageError: A variance or `tau2` is not positive, or `alpha` lies outside (0, 1).
    """
    check_alpha(alpha)
    seen, v, mix, center = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (estimate, variance, tau2, null)))
    for name, values in (("variance", v), ("tau2", mix)):
        if not (np.isfinite(values) & (values > 0.0)).all():
            raise UsageError(f"{name} must be positive and finite, got {values.min() if values.size else values}.")
    growth = np.log1p(mix / v)
    distance = (seen - center) ** 2
    log_ratio = 0.5 * (distance / v * (mix / (v + mix)) - growth)
    reach = np.sqrt(v * (1.0 + v / mix) * (growth - 2.0 * np.log(alpha)))
    return MsprtBatch(
        log_likelihood_ratio=np.asarray(log_ratio),
        p_value=np.asarray(np.exp(-np.maximum(log_ratio, 0.0))),
        low=np.asarray(seen - reach),
        high=np.asarray(seen + reach),
    )


def always_valid_p_values(log_likelihood_ratios: ArrayLike) -> Floats:
    """P-values along the looks of one experiment: the running minimum of min(1, 1 / L).

    Args:
        log_likelihood_ratios: Of the looks in order, along the last axis.

    Returns:
        P-values in (0, 1], never rising along the last axis.

    References:
        Johari, Koomen, Pekelis & Walsh (2022), Operations Research 70, 1806-1821.
    """
    logs = np.asarray(log_likelihood_ratios, dtype=np.float64)
    return np.exp(-np.maximum.accumulate(np.maximum(logs, 0.0), axis=-1))
