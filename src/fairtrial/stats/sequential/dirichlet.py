"""The e-value of counts: a Dirichlet mixture of multinomials against fixed probabilities, without cancellation.

Under the null the ratio of the marginal likelihood under Dirichlet(a) to the
likelihood under fixed probabilities theta is a martingale of mean one, unit by
unit, so it exceeds 1 / alpha at any time with probability at most alpha. With
counts n, A = a + n and sums a., A. the log ratio log B(A) - log B(a) - sum n log theta
is a difference of numbers of the size of n; by Stirling's series with its exact
remainder mu it is also

    A. KL(A / A. || theta) - a. KL(a / a. || theta)
        - 0.5 (sum log A - log A.) + 0.5 (sum log a - log a.)
        + (sum mu(A) - mu(A.)) - (sum mu(a) - mu(a.))

in which nothing large cancels: at n = 1e12 it keeps nine digits where the first
form keeps none. With two categories it is the beta-binomial mixture.

References: Robbins (1970), Annals of Mathematical Statistics 41, 1397-1409; Lindon & Malek (2022),
NeurIPS 35 (arXiv 2011.03567); remainder of Stirling's series: NIST DLMF 5.11.1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]

_SERIES_FROM = 16.0
"""From here five terms of Stirling's series err by less than 1e-16."""


def dirichlet_multinomial_log_e_value(counts: ArrayLike, dirichlet_alpha: ArrayLike, probabilities: ArrayLike) -> Floats:
    """Log of the Dirichlet mixture's likelihood over that of fixed probabilities.

    Args:
        counts: Units by category along the last axis, >= 0 (need not be whole), shape (..., k).
        dirichlet_alpha: Concentrations > 0, broadcast against `counts`.
        probabilities: Probabilities under the null > 0, summing to 1 along the last axis. They are not checked here.

    Returns:
        Log e-values, shape (...); 0 where there are no counts.

    References:
        Lindon & Malek (2022), the Dirichlet-multinomial Bayes factor.
    """
    n, prior, theta = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (counts, dirichlet_alpha, probabilities)))
    return _half(n + prior, theta) - _half(prior, theta)


def beta_binomial_log_e_value(excess: ArrayLike, n: ArrayLike, strength: ArrayLike, p: ArrayLike, q: ArrayLike) -> Floats:
    """The two-category case with its prior centred on the null: Beta(strength p, strength q) against p.

    Args:
        excess: Successes - n p, any shape.
        n: Trials >= 0 (need not be whole).
        strength: Pseudo-trials of the prior, > 0.
        p: Probability under the null, in (0, 1).
        q: 1 - p, given by the caller so that neither loses its digits near 0.

    Returns:
        Log e-values of the broadcast shape.

    References:
        Howard, Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49, 1055-1080, proposition 7.
    """
    over, trials, pseudo, yes, no = (np.asarray(x, dtype=np.float64) for x in (excess, n, strength, p, q))
    a, b, total = pseudo * yes, pseudo * no, trials + pseudo
    # Successes are n p + excess; rounding must not push an empty category below its prior.
    after_a, after_b = np.maximum(a + (trials * yes + over), a), np.maximum(b + (trials * no - over), b)
    divergence = _divergence(after_a, over, total * yes) + _divergence(after_b, -over, total * no)
    # One logarithm a category: the product of all four could underflow.
    logs = np.log(a / after_a) + np.log(b / after_b) + np.log(total / pseudo)
    before = stirling_remainder(a) + stirling_remainder(b) - stirling_remainder(pseudo)
    return divergence + 0.5 * logs + (stirling_remainder(after_a) + stirling_remainder(after_b) - stirling_remainder(total)) - before


def stirling_remainder(z: ArrayLike) -> Floats:
    """mu(z) = log Gamma(z) - (z - 1/2) log z + z - log(2 pi) / 2, the remainder of Stirling's formula.

    Args:
        z: Arguments > 0, any shape.

    Returns:
        The remainders, > 0 and about 1 / (12 z) for large z.

    References:
        NIST Digital Library of Mathematical Functions, 5.11.1.
    """
    at = np.asarray(z, dtype=np.float64)
    near = np.minimum(at, _SERIES_FROM)
    direct = special.gammaln(near) - (near - 0.5) * np.log(near) + near - 0.5 * math.log(2.0 * math.pi)
    inverse = 1.0 / np.maximum(at, _SERIES_FROM)
    square = inverse * inverse
    series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0))))
    return np.where(at < _SERIES_FROM, direct, series)


def _divergence(amount: Floats, deviation: Floats, expected: Floats) -> Floats:
    """A category's part of a total's KL divergence, amount log(amount / expected) - deviation, which is >= 0.

    `deviation` is amount - expected, given by the caller with all its digits; the deviations of all categories sum to 0.
    """
    u = deviation / expected
    log_ratio = np.where(u > -0.5, np.log1p(np.maximum(u, -0.5)), np.log(amount / expected))
    return amount * log_ratio - deviation


def _half(amounts: Floats, theta: Floats) -> Floats:
    """Total KL(amounts / total || theta) - 0.5 (sum log amounts - log total) + sum mu(amounts) - mu(total)."""
    total = amounts.sum(axis=-1, keepdims=True)
    expected = total * theta
    divergence = _divergence(amounts, amounts - expected, expected).sum(axis=-1)
    total = total[..., 0]
    logs = np.log(amounts).sum(axis=-1) - np.log(total)
    return divergence - 0.5 * logs + stirling_remainder(amounts).sum(axis=-1) - stirling_remainder(total)
