"""The probability that each arm is the best one, by quadrature or by draws; Thompson and top-two Thompson.

Thompson sampling plays an arm with the posterior probability that it is best,

    p_i = integral of f_i(x) prod_{j != i} F_j(x) dx,

so its propensities are known and can be logged. The integral is done panel by panel
(Gauss-Legendre), panels being laid at every arm's own scale, and in logarithms, so that
arms that are best once in 1e300 keep a propensity. Beta posteriors are integrated in the
log odds, where their density is smooth even for parameters below 1.

`stats.bayes.best_arm` does not stand in its place: it adds plain numbers (and expected losses, for gammas
too), and from about 1e-60 on its sums lose their digits, while a weight of 1 / propensity needs
them all. A test holds the two together where both have digits.

References: Thompson (1933), Biometrika 25, 285-294; Scott (2010), Applied Stochastic
Models in Business and Industry 26, 639-658; Russo (2020), Operations Research 68,
1625-1647 (top-two).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.bandits.posteriors import BetaPosteriors, NormalPosteriors, Posteriors
from fairtrial.errors import UsageError

Floats = NDArray[np.float64]

EXACT_ARMS = 64
"""Above this the quadrature takes seconds; draws serve."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
STEPS = np.concatenate([np.arange(0.0, 10.0, 2.0), np.arange(10.0, 40.0, 3.0), [40.0]])
"""Borders of panels from a posterior's centre, in its standard deviations, to either side."""
TINY = 1e-280
"""Below this a beta distribution function comes from its series, in logarithms."""
LONGEST_FRACTION = 1_000
FAR = 30.0
"""Log odds this far from the mode are compared directly; nearer, as differences that keep their digits."""
CHUNK = 1 << 22
"""Draws held at a time."""


def thompson_probabilities(posteriors: Posteriors) -> Floats:
    """Posterior probability of each arm to be the best, by quadrature.

    Args:
        posteriors: Of K arms, shape (K,), 2 to 64 of them.

    Returns:
        Probabilities that sum to 1, shape (K,), to a relative error of about 1e-9.

    Raises:
        UsageError: The posteriors are not flat, or there are fewer than 2 or more than 64 arms.

    References:
        Thompson (1933); Scott (2010), equation 4.
    """
    return np.exp(_log_best(posteriors))


def top_two_probabilities(posteriors: Posteriors, *, beta: float = 0.5) -> Floats:
    """Propensities of top-two Thompson sampling, exactly.

    The leader is drawn with probability p_i and played with probability `beta`; else draws are
    repeated until another arm leads, which is played: beta p_i + (1 - beta) sum_{j != i} p_j p_i / (1 - p_j).
    It finds the best arm faster than Thompson sampling, which stops looking at the others.

    Args:
        posteriors: Of K arms, shape (K,), 2 to 64 of them.
        beta: Probability to play the leader, in (0, 1].

    Returns:
        Probabilities that sum to 1, shape (K,).

    Raises:
        UsageError: `beta` lies outside (0, 1], or as `thompson_probabilities`.

    References:
        Russo (2020), Operations Research 68, 1625-1647, section 3.
    """
    return np.exp(_log_top_two(_log_best(posteriors), beta))


def thompson_probabilities_by_draws(posteriors: Posteriors, *, rng: np.random.Generator, draws: int = 10_000) -> Floats:
    """Posterior probability of each arm to be the best, by counting draws.

    Args:
        posteriors: Of K arms along the last axis, shape (..., K); many bandits at once.
        rng: Source of the draws.
        draws: How many, >= 1; the standard error is sqrt(p (1 - p) / draws).

    Returns:
        Shares of the draws, shape (..., K); 0 for an arm that never led, so add a floor before playing.

    Raises:
        UsageError: `draws` is not positive, or there are fewer than two arms.
    """
    if draws < 1:
        raise UsageError(f"draws must be at least 1, got {draws}.")
    shape = posteriors.mean.shape
    arms = shape[-1]
    if arms < 2:
        raise UsageError(f"A bandit needs two or more arms, got {arms}.")
    bandits = posteriors.mean.size // arms
    counts = np.zeros((bandits, arms))
    left = draws
    while left:
        size = min(left, max(1, CHUNK // max(1, posteriors.mean.size)))
        leaders: NDArray[np.int64] = _draw(posteriors, rng, (size, *shape)).argmax(axis=-1).reshape(size, bandits)
        places = (leaders + arms * np.arange(bandits, dtype=np.int64)).ravel()
        counts += np.bincount(places, minlength=bandits * arms).reshape(bandits, arms)
        left -= size
    return (counts / draws).reshape(shape)


def top_two_from_probabilities(probabilities: ArrayLike, *, beta: float = 0.5) -> Floats:
    """Top-two propensities from Thompson probabilities of any source; see `top_two_probabilities`.

    Args:
        probabilities: That each arm is best, two or more of a bandit's positive, shape (..., K); many bandits at once.
        beta: Probability to play the leader, in (0, 1].

    Raises:
        UsageError: `beta` lies outside (0, 1], a probability does not lie in [0, 1], or fewer than two are positive.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim < 1 or not ((p >= 0.0) & (p <= 1.0)).all():
        raise UsageError(f"Probabilities must lie in [0, 1], got {p.tolist()}.")
    if ((p > 0.0).sum(axis=-1) < 2).any():
        raise UsageError(
            "Top-two needs two arms that may be best, got one with all the probability.", hint="Use more draws, or quadrature."
        )
    with np.errstate(divide="ignore"):
        logs = np.log(p)
    return np.exp(_log_top_two(logs, beta))


def _draw(posteriors: Posteriors, rng: np.random.Generator, size: tuple[int, ...]) -> Floats:
    if isinstance(posteriors, BetaPosteriors):
        return rng.beta(posteriors.a, posteriors.b, size)
    return rng.normal(posteriors.mean, posteriors.sd, size)


def _log_top_two(log_p: Floats, beta: float) -> Floats:
    if not 0.0 < beta <= 1.0:
        raise UsageError(f"beta must lie in (0, 1], got {beta}.")
    if beta == 1.0:
        return log_p
    own = np.eye(log_p.shape[-1], dtype=np.bool_)
    among_others = np.where(own, -np.inf, log_p[..., None, :])
    # Row j, column i: leader j, then i among the others.
    second = log_p[..., :, None] + among_others - np.asarray(special.logsumexp(among_others, axis=-1, keepdims=True))
    return np.logaddexp(np.log(beta) + log_p, np.log1p(-beta) + np.asarray(special.logsumexp(second, axis=-2)))


def _log_best(posteriors: Posteriors) -> Floats:
    """Logarithms of the probabilities to be best."""
    if posteriors.mean.ndim != 1 or not 2 <= posteriors.mean.size <= EXACT_ARMS:
        raise UsageError(
            f"Quadrature takes 2 to {EXACT_ARMS} arms of one bandit, got shape {posteriors.mean.shape}.",
            hint="Use thompson_probabilities_by_draws.",
        )
    if isinstance(posteriors, BetaPosteriors):
        a, b = posteriors.a, posteriors.b
        scale = np.asarray(np.sqrt(special.polygamma(1, a) + special.polygamma(1, b)))
        x, log_weight = _panels(np.asarray(special.digamma(a) - special.digamma(b)), scale)
        log_density, log_cumulative = _log_beta(posteriors, x)
    else:
        x, log_weight = _panels(posteriors.mean, posteriors.sd)
        log_density, log_cumulative = _log_normal(posteriors, x)
    log_mass = log_density + log_weight
    log_mass = log_mass - special.logsumexp(log_mass, axis=1, keepdims=True)
    # f_i prod_{j != i} F_j: the sum over all arms less the arm's own.
    log_p = np.asarray(special.logsumexp(log_mass + (log_cumulative.sum(axis=0) - log_cumulative), axis=1))
    return log_p - np.asarray(special.logsumexp(log_p))


def _panels(center: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """Nodes and logarithms of weights that resolve every posterior, from 40 standard deviations below to 40 above all."""
    borders = np.unique(np.concatenate([(center[:, None] + sign * scale[:, None] * STEPS).ravel() for sign in (-1.0, 1.0)]))
    # Finer than half a standard deviation nearby, or an eighth of the distance farther off, no posterior needs.
    needed = np.maximum(0.5 * scale, np.abs(borders[:, None] - center) / 8.0).min(axis=1)
    kept = [float(borders[0])]
    for border, least in zip(borders[1:-1].tolist(), needed[1:-1].tolist(), strict=True):
        if border - kept[-1] >= least:
            kept.append(border)
    edges = np.array([*kept, float(borders[-1])])
    half = 0.5 * np.diff(edges)
    middle = edges[:-1] + half
    return (middle[:, None] + half[:, None] * NODES).ravel(), np.log(half[:, None] * WEIGHTS).ravel()


def _log_normal(posteriors: NormalPosteriors, x: Floats) -> tuple[Floats, Floats]:
    """Logarithms of densities (less a constant) and of distribution functions, shape (K, nodes)."""
    t = (x - posteriors.mean[:, None]) / posteriors.sd[:, None]
    return -0.5 * t * t, np.asarray(special.log_ndtr(t))


def _log_beta(posteriors: BetaPosteriors, z: Floats) -> tuple[Floats, Floats]:
    """The same for beta distributions at log odds `z`."""
    a, b = posteriors.a[:, None], posteriors.b[:, None]
    mode = np.log(a / b)
    away = z - mode
    with np.errstate(over="ignore"):
        near = a * np.log1p(special.expit(-mode) * np.expm1(-away)) + b * np.log1p(special.expit(mode) * np.expm1(away))
    far = a * (special.log_expit(mode) - special.log_expit(z)) + b * (special.log_expit(-mode) - special.log_expit(-z))
    log_density = -np.where(np.abs(away) < FAR, near, far)
    x, y = special.expit(z), special.expit(-z)
    lower, upper = np.asarray(special.betainc(a, b, x)), np.asarray(special.betainc(b, a, y))
    with np.errstate(divide="ignore"):
        log_cumulative = np.where(away < 0.0, np.log(lower), np.log1p(-upper))
    deep = (away < 0.0) & (lower < TINY)
    if deep.any():
        wide = np.broadcast_to(a, deep.shape)[deep], np.broadcast_to(b, deep.shape)[deep], np.broadcast_to(z, deep.shape)[deep]
        log_cumulative[deep] = _log_beta_tail(*wide)
    return log_density, log_cumulative


def _log_beta_tail(a: Floats, b: Floats, z: Floats) -> Floats:
    """Logarithm of a beta distribution function deep in its lower tail, by its continued fraction.

    x^a (1 - x)^b / (a B(a, b)) / (1 + d1 / (1 + d2 / ...)): DLMF 8.17.22, evaluated by Lentz's method. So far
    from the mode it settles within tens of steps.
    """
    x = np.asarray(special.expit(z))
    numerator, denominator, fraction = np.ones_like(x), np.zeros_like(x), np.ones_like(x)
    for step in range(1, LONGEST_FRACTION):
        m = step // 2
        if step % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        else:
            d = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        denominator = 1.0 / (1.0 + d * denominator)
        numerator = 1.0 + d / numerator
        change = numerator * denominator
        fraction = fraction * change
        if (np.abs(change - 1.0) < 1e-14).all():
            break
    log_power = a * special.log_expit(z) + b * special.log_expit(-z)
    return np.asarray(log_power - special.betaln(a, b) - np.log(a) - np.log(fraction))
