"""The always-valid single look: the normal-mixture sequential probability ratio test (mSPRT).

Under the null the likelihood ratio, mixed over effects drawn from
N(null, tau2), is a martingale of mean one, so it exceeds 1 / alpha at any time
with probability at most alpha: one may look as often as one likes. One-sided
tests mix over the half of that distribution on their side of the null. The
estimate is taken as normal with known variance V, which plug-in variances
fulfil for large samples only (`confidence_sequences` says how large).

References: Robbins (1970), Annals of Mathematical Statistics 41, 1397-1409;
Johari, Koomen, Pekelis & Walsh (2022), Operations Research 70, 1806-1821;
Howard, Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49, 1055-1080
(proposition 6, the one-sided mixture).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import UsageError
from fairtrial.stats.result import Alternative, Interval, check_alternative
from fairtrial.stats.sequential.normal_mixture import checked_alphas, positive, standard_log_e_value, standard_reach

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Msprt:
    """One look of a mixture sequential test.

    Attributes:
        log_likelihood_ratio: Natural logarithm of the mixture likelihood ratio, which is an e-value.
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
        low: Lower ends of the intervals; `-inf` when the alternative is `less`.
        high: Upper ends of the intervals; `inf` when the alternative is `greater`.
    """

    log_likelihood_ratio: Floats
    p_value: Floats
    low: Floats
    high: Floats


def msprt(
    estimate: float, variance: float, *, tau2: float, alpha: float = 0.05, null: float = 0.0, alternative: Alternative = "two-sided"
) -> Msprt:
    """Always-valid p-value and interval of one estimate.

    Args:
        estimate: The effect seen, in the metric's unit.
        variance: Variance V of the estimate, > 0.
        tau2: Variance of the mixing distribution, > 0; the square of the effect one hopes for.
        alpha: Error rate in (0, 1) over all looks together.
        null: Effect under the null hypothesis.
        alternative: Sidedness; `greater` is effect > null.

    Returns:
        ln L = 0.5 ln(V / (V + tau2)) + d^2 tau2 / (2 V (V + tau2)) with d = estimate - null, its
        p-value, and estimate -+ sqrt(V (V + tau2) / tau2 (2 ln(1 / alpha) + ln((V + tau2) / V))).
        One-sided: ln L + ln(2 Phi(+-d sqrt(tau2 / (V (V + tau2))))), and one end at which it is ln(1 / alpha).

    Raises:
        UsageError: `estimate` or `null` is not finite, `variance` or `tau2` not positive, `alpha` lies
            outside (0, 1), or `alternative` is another word.

    References:
        Johari, Koomen, Pekelis & Walsh (2022), Operations Research 70, 1806-1821 (mixture SPRT
        with a normal mixing distribution).
    """
    for name, value in (("estimate", estimate), ("null", null)):
        if not math.isfinite(value):
            raise UsageError(f"{name} must be a finite number, got {value}.")
    look = msprt_batch(estimate, variance, tau2=tau2, alpha=alpha, null=null, alternative=alternative)
    return Msprt(
        log_likelihood_ratio=look.log_likelihood_ratio.item(),
        p_value=look.p_value.item(),
        interval=Interval(low=look.low.item(), high=look.high.item()),
    )


def msprt_batch(
    estimate: ArrayLike,
    variance: ArrayLike,
    *,
    tau2: ArrayLike,
    alpha: ArrayLike = 0.05,
    null: ArrayLike = 0.0,
    alternative: Alternative = "two-sided",
) -> MsprtBatch:
    """Always-valid p-values and intervals of many estimates; see `msprt`.

    Args:
        estimate: Effects seen, any shape.
        variance: Their variances, > 0, broadcast against `estimate`.
        tau2: Variances of the mixing distribution, > 0.
        alpha: Error rates in (0, 1) over all looks together, one or an array (NaN where there is none).
        null: Effects under the null hypothesis.
        alternative: Sidedness; `greater` is effect > null.

    Returns:
        Arrays of the broadcast shape.

    Raises:
        UsageError: A variance or `tau2` is not positive, an `alpha` lies outside (0, 1), or `alternative` is another word.
    """
    check_alternative(alternative)
    rates = checked_alphas(alpha)
    arrays = (np.asarray(estimate, dtype=np.float64), positive("variance", variance), positive("tau2", tau2))
    seen, v, mix, center, rate = np.broadcast_arrays(*arrays, np.asarray(null, dtype=np.float64), rates)
    growth = np.log1p(mix / v)
    if alternative == "two-sided":
        log_ratio = 0.5 * ((seen - center) ** 2 / v * (mix / (v + mix)) - growth)
        reach = np.sqrt(v * (1.0 + v / mix) * (growth - 2.0 * np.log(rate)))
    else:
        log_ratio = standard_log_e_value((seen - center) / np.sqrt(v) * np.sqrt(mix / (v + mix)), growth, alternative=alternative)
        reach = np.sqrt(v) * np.sqrt(1.0 + v / mix) * standard_reach(growth, rate, alternative=alternative)
    return MsprtBatch(
        log_likelihood_ratio=np.asarray(log_ratio),
        p_value=p_value_of_log_e(log_ratio),
        low=np.where(alternative == "less", -np.inf, seen - reach),
        high=np.where(alternative == "greater", np.inf, seen + reach),
    )


def p_value_of_log_e(log_e_value: ArrayLike) -> Floats:
    """The p-value min(1, 1 / e) of e-values given by their logarithms.

    Args:
        log_e_value: Natural logarithms, any shape.

    Returns:
        P-values in [0, 1]; below 1e-323 they are 0 and the logarithm still tells them apart.
    """
    return np.asarray(np.exp(-np.maximum(np.asarray(log_e_value, dtype=np.float64), 0.0)))


def always_valid_p_values(log_likelihood_ratios: ArrayLike) -> Floats:
    """P-values along the looks of one experiment: the running minimum of min(1, 1 / L).

    Args:
        log_likelihood_ratios: Of the looks in order, along the last axis; NaN where a look gave none,
            which leaves the p-value where it was.

    Returns:
        P-values in [0, 1], never rising along the last axis.

    References:
        Johari, Koomen, Pekelis & Walsh (2022), Operations Research 70, 1806-1821.
    """
    logs = np.asarray(log_likelihood_ratios, dtype=np.float64)
    return np.exp(-np.maximum.accumulate(np.fmax(logs, 0.0), axis=-1))
