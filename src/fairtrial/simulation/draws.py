"""Arm statistics drawn directly: no unit is ever made.

The units that come to an arm between two looks are a block. A block of n units needs its
counts, means and centred sums only, whose distributions are known: successes of a rate
are binomial; a mean is normal, with the skewness it still has at n (Cornish-Fisher);
the sum of squares of normal outcomes is Wishart's, drawn by Bartlett's decomposition.
For outcomes that are not normal Wishart's degrees of freedom are those that give the
sample variance its own variance, 2 / (n - 1) + kurtosis / n (relative to its square), and the
correlation of mean and variance is skewness / sqrt(n var(s^2)). Metrics are tied together by the
normal scores of their blocks. Blocks add up to looks (Chan et al. 1983).

References: Bartlett (1933), Proceedings of the Royal Society of Edinburgh 53, 260-283;
Wilson & Hilferty (1931), PNAS 17, 684-688; Cramer (1946), Mathematical Methods of
Statistics, 27.4 (variance of a variance); Cornish & Fisher (1938), Review of the
International Statistical Institute 5, 307-320.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.simulation.replicates import Replicates, layout_of, simple_moments
from fairtrial.simulation.world import Law, World
from fairtrial.stats.batch import BatchMoments

Floats = NDArray[np.float64]

EXACT_BINOMIAL_BELOW = 400.0
"""Variance of a count below which its exact quantile is taken; above, Cornish and Fisher's is good to a unit."""


def draw_block(world: World, units: Sequence[int], shifts: Mapping[str, Floats], *, runs: int, rng: np.random.Generator) -> Replicates:
    """Arm statistics of one block of new units in every arm.

    Args:
        world: The laws of the control.
        units: New units by arm, the control first, each >= 1.
        shifts: By metric key, true effects by arm in the metric's unit, shape (arms,); metrics left out have none.
        runs: Imagined experiments, >= 1.
        rng: Source of randomness.

    Returns:
        Moments of shape (runs, arms) for every metric of the world.

    Raises:
        UsageError: There are no runs, an arm gets no unit, or an effect takes a rate out of [0, 1].
    """
    n = np.asarray(units, dtype=np.float64)
    if runs < 1 or n.ndim != 1 or n.size < 2 or (n < 1).any():
        raise UsageError(f"A block needs a run and, in each of two arms or more, a unit; got {runs} runs of {list(units)} units.")
    sizes = np.broadcast_to(n, (runs, n.size))
    scores = _scores(world, (runs, n.size), rng)
    moments: dict[str, BatchMoments] = {}
    for place, (key, law) in enumerate(world.laws.items()):
        effects = np.asarray(shifts.get(key, np.zeros(n.size)), dtype=np.float64)
        moments[key] = _draw(law, sizes, effects, None if scores is None else scores[..., place], rng)
    return Replicates(units=sizes, moments=moments)


def _scores(world: World, shape: tuple[int, int], rng: np.random.Generator) -> Floats | None:
    """Correlated normal scores of every metric, shape (runs, arms, metrics); None where each may draw its own."""
    if world.independent:
        return None
    return rng.standard_normal((*shape, len(world.laws))) @ square_root(world.correlation).T


def square_root(covariance: Floats) -> Floats:
    """A matrix L with L L^T = `covariance`, lower triangular where that is positive definite."""
    try:
        return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        upper = np.linalg.qr((vectors * np.sqrt(np.maximum(values, 0.0))).T)[1]
        return np.asarray(upper.T, dtype=np.float64)


def _draw(law: Law, n: Floats, effects: Floats, score: Floats | None, rng: np.random.Generator) -> BatchMoments:
    if law.binary:
        return _draw_rate(law, n, effects, score, rng)
    own = rng.standard_normal(n.shape) if score is None else score
    return _draw_means(law, n, effects, own, rng)


def _draw_rate(law: Law, n: Floats, effects: Floats, score: Floats | None, rng: np.random.Generator) -> BatchMoments:
    rate = float(law.mean[0]) + effects
    if ((rate < 0.0) | (rate > 1.0)).any():
        worst = float(effects[np.abs(effects).argmax()])
        raise UsageError(f"A rate must stay in [0, 1]: {law.metric.spec.key!r} at {law.mean[0]:g} cannot change by {worst:+g}.")
    sizes, rates = n[0], rate * np.ones(n.shape[1])
    if score is None:
        x = rng.binomial(sizes.astype(np.int64), rates, size=n.shape).astype(np.float64)
    else:
        pairs = zip(sizes.tolist(), rates.tolist(), score.T, strict=True)
        x = np.stack([binomial_quantile(units, at, scores) for units, at, scores in pairs], axis=1)
    return simple_moments(n, x / n, x * (n - x) / n)


def binomial_quantile(n: float, rate: float, score: Floats) -> Floats:
    """The counts of successes that stand where normal scores stand.

    Args:
        n: Units, a whole number >= 1.
        rate: Probability of success, in [0, 1].
        score: Normal scores, any shape.

    Returns:
        Whole numbers in [0, n].
    """
    mean, variance = n * rate, n * rate * (1.0 - rate)
    sd = math.sqrt(variance)
    if variance >= EXACT_BINOMIAL_BELOW:
        tilt = (1.0 - 2.0 * rate) / 6.0 * (score * score - 1.0)
        return np.clip(np.floor(mean + sd * score + tilt + 0.5), 0.0, n)
    reach = 12.0 * sd + 30.0
    first, last = max(math.floor(mean - reach), 0), min(math.ceil(mean + reach), int(n))
    counts = np.arange(first, last + 1, dtype=np.float64)
    below = np.asarray(special.betainc(n - counts[:-1], counts[:-1] + 1.0, 1.0 - rate), dtype=np.float64)
    levels = np.asarray(special.ndtr(score), dtype=np.float64)
    return counts[np.searchsorted(below, levels, side="left")]


def _draw_means(law: Law, n: Floats, effects: Floats, score: Floats, rng: np.random.Generator) -> BatchMoments:
    columns = np.flatnonzero(layout_of(law.metric))
    k = columns.size
    root = square_root(law.covariance)
    scores = np.concatenate([score[..., None], rng.standard_normal((*n.shape, k - 1))], axis=-1)
    tilted = scores.copy()
    tilted[..., 0] += law.skewness / (6.0 * np.sqrt(n)) * (score * score - 1.0)
    mean = np.zeros((*n.shape, 4))
    mean[..., 1], mean[..., 3] = 1.0, 1.0
    mean[..., columns] = law.mean + (tilted @ root.T) / np.sqrt(n)[..., None]
    mean[..., 0] += np.array([law.shift(effect) for effect in effects.tolist()])
    cross = np.zeros((*n.shape, 4, 4))
    cross[..., columns[:, None], columns] = _draw_cross(law, n, root, score, rng)
    return BatchMoments(n=n, mean=mean, cross=cross, present=layout_of(law.metric))


def _draw_cross(law: Law, n: Floats, root: Floats, score: Floats, rng: np.random.Generator) -> Floats:
    """Centred sums of squares and products: Wishart's, its degrees of freedom set by the outcome's kurtosis."""
    k = root.shape[0]
    below = np.maximum(n - 1.0, 0.0)
    with np.errstate(divide="ignore"):
        spread = 2.0 / below + max(law.kurtosis, -2.0) / n
    df = np.where(below > 0.0, 2.0 / np.maximum(spread, 1e-12), 0.0)
    factor = np.zeros((*n.shape, k, k))
    for i in range(k):
        factor[..., i, :i] = rng.standard_normal((*n.shape, i))
        left = np.maximum(df - i, 0.0)
        square = (
            _chi_square_beside(left, score, law.skewness / np.sqrt(n * spread), rng) if i == 0 else 2.0 * rng.standard_gamma(left / 2.0)
        )
        factor[..., i, i] = np.sqrt(square)
    half = root @ factor
    scale = np.divide(below, df, out=np.zeros_like(below), where=df > 0.0)
    return half @ np.swapaxes(half, -1, -2) * scale[..., None, None]


def _chi_square_beside(df: Floats, score: Floats, correlation: Floats, rng: np.random.Generator) -> Floats:
    """Chi-square numbers, tied to a normal score where the outcome is skewed (Wilson and Hilferty's cube)."""
    if not correlation.any():
        return 2.0 * rng.standard_gamma(df / 2.0)
    tie = np.clip(correlation, -1.0, 1.0)
    own = tie * score + np.sqrt(1.0 - tie * tie) * rng.standard_normal(df.shape)
    part = 2.0 / (9.0 * np.maximum(df, 0.5))
    return np.where(df > 0.0, df * np.maximum(1.0 - part + np.sqrt(part) * own, 0.0) ** 3, 0.0)
