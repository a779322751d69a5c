"""Boundaries for sums whose steps are not normal: skewed, bounded or counted.

Each holds at all intrinsic times v at once with probability 1 - alpha, and is
exact without any central limit theorem where its assumption on the steps holds:

- gamma-exponential: sub-exponential steps of scale c (bounded below, or exponential tails);
- gamma-Poisson: sub-Poisson steps of scale c (bounded on one side, say by c above);
- beta-binomial: steps within [-g, h], as a Bernoulli(g / (g + h)) outcome less its mean, scaled;
- polynomial stitching: sub-gamma steps of scale c; closed form, of the order of the law of the
  iterated logarithm.

The first three mix exp(lambda S - psi(lambda) v) over lambda with the conjugate
density, and the boundary is where the mixture M reaches 1 / alpha. With
k = (v + rho) / c^2, r = rho / c^2, w = c s / (v + rho), mu the remainder of
Stirling's formula and P, Q the regularised incomplete gamma functions:

    gamma-exponential  log M = k (w - log(1 + w)) + 0.5 log(r / k) + mu(k) - mu(r)
                               + log P(k, k (1 + w)) - log P(r, r)
    gamma-Poisson      log M = k ((1 + w) log(1 + w) - w) + 0.5 log(r / (k (1 + w)))
                               + mu(k (1 + w)) - mu(r) + log Q(k (1 + w), k) - log Q(r, r)

(the published forms with their large terms cancelled by hand). As c goes to 0
both become the one-sided normal mixture.

Reference: Howard, Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49,
1055-1080: equation 10 (stitching), propositions 7 (beta-binomial), 9
(gamma-exponential) and 10 (gamma-Poisson).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.result import Alternative, check_alternative
from fairtrial.stats.roots import solve_increasing
from fairtrial.stats.sequential.dirichlet import beta_binomial_log_e_value, stirling_remainder
from fairtrial.stats.sequential.normal_mixture import checked_alphas, finite, positive

Floats = NDArray[np.float64]
GammaFamily = Literal["exponential", "poisson"]

LEAST_STRENGTH = 1e-3
"""The beta-binomial mixture's prior never weighs less than this many trials (the authors' implementation, confseq, has the same floor)."""

DEEP = 1e-300
"""Tails below this are taken from the first term of their series."""
LOG_SQRT_2_PI = 0.5 * math.log(2.0 * math.pi)


def gamma_mixture_log_e_value(s: ArrayLike, v: ArrayLike, *, rho: ArrayLike, c: float, family: GammaFamily = "exponential") -> Floats:
    """Logarithm of a gamma mixture at sum `s` and intrinsic time `v`.

    Args:
        s: Sums of deviations from the null mean; above -(v + rho) / c.
        v: Their intrinsic times >= 0, broadcast against `s`.
        rho: Tuning parameters > 0; see `tune_rho` with a one-sided alternative.
        c: Scale of the steps' tail, > 0, in the unit of `s`.
        family: `exponential` or `poisson`.

    Returns:
        Log e-values of the broadcast shape.

    Raises:
        UsageError: A value lies outside its range, or `family` is another word.

    References:
        Howard et al. (2021), propositions 9 and 10.
    """
    _check_family(family)
    total, time, tuned, scale = np.broadcast_arrays(finite("s", s), positive("v", v, zero=True), positive("rho", rho), positive("c", c))
    w = scale * total / (time + tuned)
    if (w <= -1.0).any():
        raise UsageError(f"s must lie above -(v + rho) / c, got {total[w <= -1.0][0]:g}.")
    return _gamma_log_e(w, (time + tuned) / scale**2, tuned / scale**2, family)


def gamma_mixture_boundary(
    v: ArrayLike, *, rho: ArrayLike, c: float, alpha: ArrayLike = 0.05, family: GammaFamily = "exponential"
) -> Floats:
    """The upper boundary of sums with sub-exponential or sub-Poisson steps.

    Args:
        v: Intrinsic times >= 0, any shape.
        rho: Tuning parameters > 0.
        c: Scale of the steps' tail, > 0, in the sum's unit.
        alpha: Error rates in (0, 1), one or an array.
        family: `exponential` or `poisson`.

    Returns:
        Boundaries > 0, in the sum's unit.

    Raises:
        UsageError: A value lies outside its range, or `family` is another word.

    References:
        Howard et al. (2021), propositions 9 and 10.
    """
    _check_family(family)
    rates = checked_alphas(alpha)
    time, tuned, scale, level = np.broadcast_arrays(positive("v", v, zero=True), positive("rho", rho), positive("c", c), -np.log(rates))
    k, r = (time + tuned) / scale**2, tuned / scale**2
    known = np.isfinite(level)
    target = np.where(known, level, 1.0)
    w = _crossing(lambda at: _gamma_log_e(at, k, r, family) - target, np.sqrt(2.0 * (target + 0.5 * np.log(k / r)) / k))
    return np.where(known, w * (time + tuned) / scale, np.nan)


def beta_binomial_mixture_log_e_value(
    s: ArrayLike, v: ArrayLike, *, rho: ArrayLike, g: float, h: float, alternative: Alternative = "two-sided"
) -> Floats:
    """Logarithm of the beta-binomial mixture at sum `s` and intrinsic time `v` = g h n of n steps within [-g, h].

    Args:
        s: Sums of the steps, within [-v / h, v / g].
        v: Their intrinsic times >= 0.
        rho: Tuning parameters > 0; see `tune_rho` with the same alternative.
        g: How far a step can fall, > 0.
        h: How far a step can rise, > 0.
        alternative: `greater` mixes over upward drifts alone, `less` over downward ones.

    Returns:
        Log e-values of the broadcast shape; the prior's strength is max(rho / (g h) - 1, 0.001) trials.

    Raises:
        UsageError: A value lies outside its range, or `alternative` is another word.

    References:
        Howard et al. (2021), proposition 7.
    """
    down, up = positive("g", g), positive("h", h)
    total, time, tuned = np.broadcast_arrays(finite("s", s), positive("v", v, zero=True), positive("rho", rho))
    slack = 1e-9 * (1.0 + time)
    if ((total < -time / up - slack) | (total > time / down + slack)).any():
        raise UsageError("s must lie within [-v / h, v / g], where n steps within [-g, h] can take it.")
    strength = np.maximum(tuned / (down * up) - 1.0, LEAST_STRENGTH)
    trials = time / (down * up)
    return one_sided_beta_binomial(total / (down + up), trials, strength, down / (down + up), up / (down + up), alternative=alternative)


def beta_binomial_mixture_boundary(
    v: ArrayLike, *, rho: ArrayLike, g: float, h: float, alpha: ArrayLike = 0.05, alternative: Alternative = "two-sided"
) -> Floats:
    """The upper boundary of sums of steps within [-g, h]; exact for Bernoulli steps.

    Args:
        v: Intrinsic times g h n > 0, any shape.
        rho: Tuning parameters > 0.
        g: How far a step can fall, > 0.
        h: How far a step can rise, > 0.
        alpha: Error rates in (0, 1), one or an array.
        alternative: `two-sided` or `greater`; the lower boundary is this with g and h exchanged.

    Returns:
        Boundaries > 0; v / g, which a sum can reach but not pass, where no evidence would suffice yet.

    Raises:
        UsageError: A value lies outside its range, or `alternative` is `less` or another word.

    References:
        Howard et al. (2021), proposition 7.
    """
    check_alternative(alternative)
    if alternative == "less":
        raise UsageError("alternative must be 'two-sided' or 'greater', got 'less'.", hint="Exchange g and h for the lower boundary.")
    rates = checked_alphas(alpha)
    time, tuned, level = np.broadcast_arrays(positive("v", v), positive("rho", rho), -np.log(rates))
    known = np.isfinite(level)
    target = np.where(known, level, 1.0)
    highest = time / positive("g", g)

    def surplus(s: Floats) -> Floats:
        return beta_binomial_mixture_log_e_value(s, time, rho=tuned, g=g, h=h, alternative=alternative) - target

    guess = np.minimum(np.sqrt(2.0 * (time + tuned) * target), 0.5 * highest)
    root = solve_increasing(surplus, np.zeros_like(highest), highest, guess, slope=guess / (time + tuned))
    return np.where(known, root, np.nan)


def polynomial_stitching_boundary(
    v: ArrayLike, *, v_min: ArrayLike, c: float = 0.0, s: float = 1.4, eta: float = 2.0, alpha: ArrayLike = 0.05
) -> Floats:
    """The closed-form boundary that grows like sqrt(v log log v).

    Args:
        v: Intrinsic times >= 0, any shape; below `v_min` the boundary stays at its value there.
        v_min: Intrinsic time from which it is tight, > 0.
        c: Scale of the sub-gamma steps, in the sum's unit; 0 for sub-Gaussian ones, may be negative.
        s: Exponent of the crossing probabilities spent on each epoch, > 1.
        eta: Ratio of successive epochs, > 1.
        alpha: Error rates in (0, 1), one or an array.

    Returns:
        sqrt(k1^2 v l + k2^2 c^2 l^2) + k2 c l with l = s log log(eta v / v_min) + log(zeta(s) / (alpha log(eta)^s)),
        k1 = (eta^(1/4) + eta^(-1/4)) / sqrt 2, k2 = (sqrt(eta) + 1) / 2.

    Raises:
        UsageError: A value lies outside its range.

    References:
        Howard et al. (2021), equations 10 and 11.
    """
    time, start, rates = positive("v", v, zero=True), positive("v_min", v_min), checked_alphas(alpha)
    scale = finite("c", c)
    for name, value in (("s", s), ("eta", eta)):
        if not 1.0 < value < np.inf:
            raise UsageError(f"{name} must be finite and above 1, got {value}.")
    at = np.maximum(time, start)
    level = s * np.log(np.log(eta * (at / start))) + np.log(special.zeta(s) / np.log(eta) ** s) - np.log(rates)
    k1_square = 0.5 * (np.sqrt(eta) + 2.0 + 1.0 / np.sqrt(eta))
    k2 = 0.5 * (np.sqrt(eta) + 1.0)
    return np.sqrt(k1_square * at * level + (k2 * scale * level) ** 2) + k2 * scale * level


def one_sided_beta_binomial(
    excess: ArrayLike, n: ArrayLike, strength: ArrayLike, p: ArrayLike, q: ArrayLike, *, alternative: Alternative
) -> Floats:
    """`beta_binomial_log_e_value`, with the prior cut off at the null where the alternative is one-sided.

    Args:
        excess: Successes - n p.
        n: Trials >= 0.
        strength: Pseudo-trials of the prior Beta(strength p, strength q), > 0.
        p: Probability under the null, in (0, 1).
        q: 1 - p.
        alternative: `greater` mixes over probabilities above p, `less` over those below.

    Returns:
        Log e-values: the two-sided one + log of the posterior's share on that side - log of the prior's.

    Raises:
        UsageError: `alternative` is another word.
    """
    check_alternative(alternative)
    both = beta_binomial_log_e_value(excess, n, strength, p, q)
    if alternative == "two-sided":
        return both
    over, trials, pseudo, yes, no = (np.asarray(x, dtype=np.float64) for x in (excess, n, strength, p, q))
    if alternative == "less":
        over, yes, no = -over, no, yes
    prior_a, prior_b = pseudo * yes, pseudo * no
    a, b = np.maximum(trials * yes + over, 0.0) + prior_a, np.maximum(trials * no - over, 0.0) + prior_b
    return both + _log_upper_tail(a, b, yes, no) - _log_upper_tail(prior_a, prior_b, yes, no)


def _log_upper_tail(a: Floats, b: Floats, p: Floats, q: Floats) -> Floats:
    """Log P(X > p) of a Beta(a, b) variable, with q = 1 - p, also where it is below 1e-300."""
    # Each from the side on which the argument keeps its digits.
    a, b, p, q = np.broadcast_arrays(a, b, p, q)
    tail, small = np.empty(a.shape), p < 0.5
    special.betaincc(a, b, p, out=tail, where=small)
    special.betainc(b, a, q, out=tail, where=~small)
    deep = tail < DEEP
    if not deep.any():
        return np.log(tail)
    # The hypergeometric series' first term over one minus its first ratio, which is below 1 so deep in the tail (DLMF 8.17.8).
    ratio = np.minimum((a + b) / (b + 1.0) * q, 1.0 - 1e-16)
    first = a * np.log(p) + b * np.log(q) - np.log(b) - special.betaln(a, b)
    return np.where(deep, first - np.log1p(-ratio), np.log(np.where(deep, 1.0, tail)))


def _gamma_log_e(w: Floats, k: Floats, r: Floats, family: GammaFamily) -> Floats:
    z = k * (1.0 + w)
    if family == "exponential":
        start = np.log(special.gammainc(r, r)) + stirling_remainder(r)
        tail, first, ratio = special.gammainc(k, z), -0.5 * np.log(k), z / (k + 1.0)
        near = k * (w - np.log1p(w)) + stirling_remainder(k)
        level = 0.5 * np.log(r / k)
    else:
        start = np.log(special.gammaincc(r, r)) + stirling_remainder(r)
        tail, first, ratio = special.gammaincc(z, k), np.log(z / k) - 0.5 * np.log(z), (z - 1.0) / k
        near = k * ((1.0 + w) * np.log1p(w) - w) + stirling_remainder(z)
        level = 0.5 * np.log(r / z)
    # So deep in the tail that it underflows, the first term of its series over one minus its first ratio
    # (DLMF 8.7.1, 8.11.2) stands for it; the large terms then cancel on paper.
    deep = tail < DEEP
    far = first - LOG_SQRT_2_PI - np.log1p(-np.where(deep, ratio, 0.0))
    return level - start + np.where(deep, far, near + np.log(np.where(deep, 1.0, tail)))


def _crossing(function: Callable[[Floats], Floats], guess: Floats) -> Floats:
    """The root above 0 of increasing functions that are negative at 0: double until positive, then search."""
    high = guess
    while (below := function(high) < 0.0).any():
        high = np.where(below, 2.0 * high, high)
    return solve_increasing(function, np.zeros_like(high), high, 0.5 * high, slope=1.0 / np.maximum(high, 1e-300))


def _check_family(family: str) -> None:
    if family not in get_args(GammaFamily):
        raise UsageError(f"family must be one of {list(get_args(GammaFamily))}, got {family!r}.")
