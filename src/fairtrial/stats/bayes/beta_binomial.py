"""Two proportions, the Bayesian way: a beta prior on each rate, updated by the counts.

The posterior of a rate is Beta(alpha + successes, beta + failures), exactly. What
is asked of two such posteriors is computed by quadrature, without random draws.
Assumes independent units with an outcome of 0 or 1, arms that know nothing of
each other a priori, and the same prior for both.

References: Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., section 2.4; Gunel &
Dickey (1974), Biometrika 61, 545-557 (Bayes factor of two proportions); Miller (2014),
Formulas for Bayesian A/B Testing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.bayes.counts import CountModel, compare_counts
from fairtrial.stats.bayes.posterior import Posterior, PosteriorBatch, Rope, check_mass
from fairtrial.stats.bayes.priors import BetaPrior
from fairtrial.stats.bayes.table import shortest
from fairtrial.stats.result import Interval

Floats = NDArray[np.float64]

_UNIFORM = BetaPrior()


def beta_binomial_ab(
    successes_control: int,
    n_control: int,
    successes_treatment: int,
    n_treatment: int,
    *,
    prior: BetaPrior = _UNIFORM,
    mass: float = 0.95,
    rope: Rope | None = None,
) -> Posterior:
    """Compare two proportions.

    Args:
        successes_control: Units with outcome 1 in the control arm.
        n_control: Units of the control arm, >= 1.
        successes_treatment: Units with outcome 1 in the treatment arm.
        n_treatment: Units of the treatment arm, >= 1.
        prior: Prior of each rate.
        mass: Probability inside the intervals, in (0, 1).
        rope: Region of practical equivalence, of the difference or of the lift.

    Returns:
        The posterior of the comparison. Its Bayes factor weighs two rates against one rate for both arms,
        each with the prior.

    Raises:
        UsageError: Counts are not whole, successes lie outside 0..n, or an option breaks its rule.
        NotEnoughDataError: An arm is empty.
    """
    counts = (successes_control, n_control, successes_treatment, n_treatment)
    return beta_binomial_batch(*counts, prior=prior, mass=mass, rope=rope).at()


def beta_binomial_batch(
    successes_control: ArrayLike,
    n_control: ArrayLike,
    successes_treatment: ArrayLike,
    n_treatment: ArrayLike,
    *,
    prior: BetaPrior = _UNIFORM,
    mass: float = 0.95,
    rope: Rope | None = None,
) -> PosteriorBatch:
    """Compare many pairs of proportions; see `beta_binomial_ab`.

    Args:
        successes_control: Units with outcome 1 in the control arm, any shape.
        n_control: Units of the control arm, broadcast with the others.
        successes_treatment: Units with outcome 1 in the treatment arm.
        n_treatment: Units of the treatment arm.
        prior: Prior of each rate.
        mass: Probability inside the intervals, in (0, 1).
        rope: Region of practical equivalence, its ends broadcast likewise.

    Returns:
        Posteriors of the broadcast shape; an entry with an empty arm is flagged.

    Raises:
        UsageError: Counts are not whole, successes lie outside 0..n, or an option breaks its rule.
    """
    model = CountModel(
        name="beta_binomial",
        prior=prior,
        first=prior.alpha,
        second=prior.beta,
        bounded=True,
        log_evidence=_log_evidence,
        check=_check_counts,
    )
    return compare_counts(model, (successes_control, n_control), (successes_treatment, n_treatment), mass=mass, rope=rope)


def beta_interval(alpha: float, beta: float, *, mass: float = 0.95) -> Interval:
    """Equal-tailed credible interval of one rate with a Beta(`alpha`, `beta`) posterior.

    Args:
        alpha: First shape, > 0.
        beta: Second shape, > 0.
        mass: Probability inside, in (0, 1).

    Returns:
        The interval, inside [0, 1].

    Raises:
        UsageError: A shape is not positive, or `mass` lies outside (0, 1).
    """
    _check_shapes(alpha, beta)
    tail = 0.5 * (1.0 - check_mass(mass))
    low, high = _quantile(alpha, beta, np.array([tail, tail + mass]))
    return Interval(low=float(low), high=float(high))


def beta_hdi(alpha: float, beta: float, *, mass: float = 0.95) -> Interval:
    """Highest-density (shortest) credible interval of one rate with a Beta(`alpha`, `beta`) posterior.

    Args:
        alpha: First shape, > 0.
        beta: Second shape, > 0; one of the two at least 1, or no interval is shortest.
        mass: Probability inside, in (0, 1).

    Returns:
        The interval; it begins at 0 (or ends at 1) where the density is highest there.

    Raises:
        UsageError: A shape is not positive, both are below 1 (or both 1), or `mass` lies outside (0, 1).

    References:
        Hyndman (1996), American Statistician 50, 120-126.
    """
    _check_shapes(alpha, beta)
    check_mass(mass)
    if max(alpha, beta) <= 1.0:
        raise UsageError(
            f"A beta posterior has one shortest interval only where a shape is above 1, got {alpha} and {beta}.",
            hint="Take the equal-tailed beta_interval.",
        )

    def quantile(probabilities: Floats) -> Floats:
        return _quantile(alpha, beta, probabilities)

    def density(points: Floats) -> Floats:
        inside = np.clip(points, np.finfo(np.float64).tiny, 1.0 - 0.5 * np.finfo(np.float64).eps)
        logs = special.xlogy(alpha - 1.0, inside) + special.xlog1py(beta - 1.0, -inside)
        return np.exp(logs - logs.max())

    low, high = shortest(quantile, density, mass=np.array([mass]))
    return Interval(low=low.item(), high=high.item())


def _quantile(alpha: float, beta: float, probabilities: Floats) -> Floats:
    """Quantiles of a beta, each polished by a Newton step: the inverse function alone is loose for large shapes."""
    x = np.asarray(special.betaincinv(alpha, beta, probabilities))
    inside = (x > 0.0) & (x < 1.0)
    at = np.where(inside, x, alpha / (alpha + beta))
    logs = special.xlogy(alpha - 1.0, at) + special.xlog1py(beta - 1.0, -at) - special.betaln(alpha, beta)
    steep = logs > -300.0
    step = (special.betainc(alpha, beta, at) - probabilities) * np.exp(-np.where(steep, logs, 0.0))
    polished = at - step
    return np.where(inside & steep & (polished > 0.0) & (polished < 1.0), polished, x)


def _log_evidence(alpha: Floats, beta: Floats) -> Floats:
    """Logarithm of the beta function: of these the Bayes factor is made (Gunel & Dickey 1974)."""
    return np.asarray(special.betaln(alpha, beta))


def _check_counts(arm: str, successes: Floats, n: Floats) -> None:
    """Raise unless all counts are whole and successes lie within trials."""
    whole = np.isfinite(n) & (np.floor(successes) == successes) & (np.floor(n) == n)
    wrong = ~(whole & (successes >= 0.0) & (successes <= n))
    if wrong.any():
        came = f"{successes[wrong][0]:g} of {n[wrong][0]:g}"
        raise UsageError(
            f"Counts of the {arm} arm must be whole numbers with successes in 0..n, got {came}.", hint="Pass counts, not rates."
        )


def _check_shapes(alpha: float, beta: float) -> None:
    """Raise unless the shapes are those of a beta distribution."""
    if not (alpha > 0.0 and beta > 0.0 and np.isfinite(alpha) and np.isfinite(beta)):
        raise UsageError(f"The shapes of a beta posterior must be positive and finite, got {alpha} and {beta}.")
