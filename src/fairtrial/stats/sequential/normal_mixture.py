"""The normal mixture: one boundary, and one e-value, for a sum watched at every moment.

For a sum S with intrinsic time v (its variance so far, n sigma^2 for n
independent values), exp(lambda S - lambda^2 v / 2) is a supermartingale that
starts at one, for every lambda; so is its average over lambda ~ N(0, 1 / rho),

    two-sided   log M = S^2 / (2 (v + rho)) - 0.5 log((v + rho) / rho)
    one-sided   the same + log(2 Phi(S / sqrt(v + rho)))      (lambda half-normal, above 0)

By Ville's inequality M ever reaches 1 / alpha with probability at most alpha,
so the S at which it does is a boundary valid at all times at once. `rho` says at
which v the boundary is tightest; it must be fixed before the data are seen.

Assumes sub-Gaussian steps with known variance factor: exact for normal sums,
and for estimates by the central limit theorem (`confidence_sequences`).

References: Robbins (1970), Annals of Mathematical Statistics 41, 1397-1409;
Howard, Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49, 1055-1080
(propositions 5 and 6, section 3.5).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.result import Alternative, check_alpha, check_alternative
from fairtrial.stats.roots import solve_increasing

Floats = NDArray[np.float64]

LOG_2 = math.log(2.0)


def tuning_constant(alpha_opt: float = 0.05, *, alternative: Alternative = "two-sided") -> float:
    """The ratio v / rho at which a boundary is tightest, to the first order.

    Args:
        alpha_opt: Error rate to tune for, in (0, 1), below 1/2 for a one-sided alternative.
        alternative: A one-sided boundary is tuned at twice `alpha_opt`.

    Returns:
        a + log(1 + a) with a = 2 log(1 / alpha_opt), > 0. The exact minimum of the width solves
        r = a + log(1 + r); at 5% this is 7.94 for 8.21, and the width 0.01% above its minimum.

    Raises:
        UsageError: `alpha_opt` lies outside its range, or `alternative` is another word.

    References:
        Howard et al. (2021), section 3.5; Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), equation 9.
    """
    check_alternative(alternative)
    rate = check_alpha(alpha_opt) * (1.0 if alternative == "two-sided" else 2.0)
    if rate >= 1.0:
        raise UsageError(
            f"alpha_opt must be below 1/2 to tune a one-sided boundary, got {alpha_opt}.", hint="Use the plan's alpha, say 0.05."
        )
    start = -2.0 * math.log(rate)
    return start + math.log1p(start)


def tune_rho(v_opt: ArrayLike, *, alpha_opt: float = 0.05, alternative: Alternative = "two-sided") -> Floats:
    """The `rho` that makes a boundary tightest at intrinsic time `v_opt`.

    Args:
        v_opt: Intrinsic times > 0, any shape, in the sum's unit squared.
        alpha_opt: Error rate to tune for, in (0, 1).
        alternative: Sidedness.

    Returns:
        v_opt / `tuning_constant`, in the unit of `v_opt`.

    Raises:
        UsageError: A `v_opt` is not positive and finite, or an option breaks its rule.
    """
    return positive("v_opt", v_opt) / tuning_constant(alpha_opt, alternative=alternative)


def tune_tau2(variance_opt: ArrayLike, *, alpha_opt: float = 0.05, alternative: Alternative = "two-sided") -> Floats:
    """The mixing variance that makes the sequence of an estimate tightest when its variance is `variance_opt`.

    Args:
        variance_opt: Variances of the estimate at the planned sample size, > 0, any shape.
        alpha_opt: Error rate to tune for, in (0, 1).
        alternative: Sidedness.

    Returns:
        `tuning_constant` times `variance_opt`: tau2 = 1 / rho on the scale where the sum is
        estimate / variance and the intrinsic time 1 / variance.

    Raises:
        UsageError: A variance is not positive and finite, or an option breaks its rule.
    """
    return positive("variance_opt", variance_opt) * tuning_constant(alpha_opt, alternative=alternative)


def normal_mixture_log_e_value(s: ArrayLike, v: ArrayLike, *, rho: ArrayLike, alternative: Alternative = "two-sided") -> Floats:
    """Logarithm of the mixture supermartingale at sum `s` and intrinsic time `v`.

    Args:
        s: Sums of deviations from the null mean, any shape.
        v: Their intrinsic times >= 0, broadcast against `s`.
        rho: Tuning parameters > 0, see `tune_rho`.
        alternative: `greater` mixes over positive drifts alone, `less` over negative ones.

    Returns:
        Log e-values of the broadcast shape; reject the null at the first moment one exceeds log(1 / alpha).

    Raises:
        UsageError: A value is not finite, `v` is negative, `rho` not positive, or `alternative` is another word.

    References:
        Howard et al. (2021), propositions 5 (two-sided) and 6 (one-sided).
    """
    total, time, tuned = _checked(s, v, rho)
    return standard_log_e_value(total / np.sqrt(time + tuned), np.log1p(time / tuned), alternative=alternative)


def normal_mixture_boundary(v: ArrayLike, *, rho: ArrayLike, alpha: ArrayLike = 0.05, alternative: Alternative = "two-sided") -> Floats:
    """The boundary a centred sum crosses, ever, with probability at most `alpha`.

    Args:
        v: Intrinsic times >= 0, any shape.
        rho: Tuning parameters > 0, broadcast against `v`.
        alpha: Error rates in (0, 1), one or an array.
        alternative: `two-sided` bounds |S|; `greater` bounds S, `less` bounds -S.

    Returns:
        Two-sided sqrt((v + rho) (log(1 + v / rho) + 2 log(1 / alpha))); one-sided the S > 0 at which
        the one-sided mixture is 1 / alpha, found by a root search.

    Raises:
        UsageError: A value lies outside its range, or `alternative` is another word.

    References:
        Robbins (1970); Howard et al. (2021), equation 3.7 and proposition 6.
    """
    _, time, tuned = _checked(0.0, v, rho)
    return np.sqrt(time + tuned) * standard_reach(np.log1p(time / tuned), checked_alphas(alpha), alternative=alternative)


def standard_log_e_value(x: ArrayLike, growth: ArrayLike, *, alternative: Alternative = "two-sided") -> Floats:
    """The mixture on the standard scale, shared by sums and estimates.

    Args:
        x: S / sqrt(v + rho), which is (estimate - null) / sqrt(V) sqrt(tau2 / (V + tau2)).
        growth: log((v + rho) / rho), which is log((V + tau2) / V); >= 0.
        alternative: Sidedness.

    Returns:
        x^2 / 2 - growth / 2, one-sided + log(2 Phi(x)).

    Raises:
        UsageError: `alternative` is another word.
    """
    check_alternative(alternative)
    at = np.asarray(x, dtype=np.float64)
    if alternative == "two-sided":
        return 0.5 * (at * at - np.asarray(growth, dtype=np.float64))
    return _one_sided(at if alternative == "greater" else -at) - 0.5 * np.asarray(growth, dtype=np.float64)


def standard_reach(growth: ArrayLike, alpha: ArrayLike, *, alternative: Alternative = "two-sided") -> Floats:
    """The x > 0 at which `standard_log_e_value` is log(1 / alpha).

    Args:
        growth: log((v + rho) / rho) >= 0.
        alpha: Error rates in (0, 1), already checked; NaN is passed through.
        alternative: Sidedness; `less` reaches as far as `greater`.

    Returns:
        The reach, of the broadcast shape; NaN where `alpha` is NaN.

    Raises:
        UsageError: `alternative` is another word.
    """
    check_alternative(alternative)
    level = 0.5 * np.asarray(growth, dtype=np.float64) - np.log(np.asarray(alpha, dtype=np.float64))
    far = np.sqrt(2.0 * level)
    if alternative == "two-sided":
        return far
    # 2 Phi lies between 1 and 2, so the root lies between these two.
    near = np.sqrt(2.0 * np.maximum(level - LOG_2, 0.0))
    known = np.isfinite(level)
    target, low, high = (np.where(known, a, 1.0) for a in (level, near, far))
    root = solve_increasing(lambda x: _one_sided(x) - target, low, high, 0.5 * (low + high), slope=np.maximum(high, 1.0))
    return np.where(known, root, np.nan)


def checked_alphas(alpha: ArrayLike) -> Floats:
    """Error rates as an array; NaN (an entry without one) is passed through.

    Args:
        alpha: One rate or an array.

    Returns:
        The rates.

    Raises:
        UsageError: A rate lies outside (0, 1), or a single rate is NaN.
    """
    rates = np.asarray(alpha, dtype=np.float64)
    wrong = ~((rates > 0.0) & (rates < 1.0) | (np.isnan(rates) & (rates.ndim > 0)))
    if wrong.any():
        check_alpha(float(rates[wrong][0]))
    return rates


def positive(name: str, values: ArrayLike, *, zero: bool = False) -> Floats:
    """Values as an array that is finite and positive (`zero`: or zero).

    Args:
        name: What they are, for the message.
        values: One value or an array.
        zero: Whether 0 is allowed.

    Returns:
        The values.

    Raises:
        UsageError: A value is negative, NaN, infinite, or 0 where that is not allowed.
    """
    array = np.asarray(values, dtype=np.float64)
    wrong = ~(np.isfinite(array) & ((array >= 0.0) if zero else (array > 0.0)))
    if wrong.any():
        rule = "finite and >= 0" if zero else "positive and finite"
        raise UsageError(f"{name} must be {rule}, got {array[wrong][0]:g}.")
    return array


def finite(name: str, values: ArrayLike) -> Floats:
    """Values as an array of finite numbers.

    Args:
        name: What they are, for the message.
        values: One value or an array.

    Returns:
        The values.

    Raises:
        UsageError: A value is NaN or infinite.
    """
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise UsageError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}.")
    return array


def _one_sided(x: Floats) -> Floats:
    """log(2 Phi(x) exp(x^2 / 2)), without cancellation far below 0, where it is log(erfcx(-x / sqrt 2))."""
    below = np.minimum(x, 0.0)
    above = np.maximum(x, 0.0)
    left = np.log(special.erfcx(-below / math.sqrt(2.0)))
    right = 0.5 * above * above + special.log_ndtr(above) + LOG_2
    return np.where(x < 0.0, left, right)


def _checked(s: ArrayLike, v: ArrayLike, rho: ArrayLike) -> tuple[Floats, Floats, Floats]:
    return finite("s", s), positive("v", v, zero=True), positive("rho", rho)
