"""The normal posterior of one quantity, of which 0 means "no difference": an effect, or a lift.

Conjugate: a normal prior and a normal estimate with known standard error give a
normal posterior, so chances, losses, intervals and regions are closed formulas.
Tails are taken on their own side, and losses by the scaled error function where the
two terms of the formula cancel.

References: Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., section 2.5; Kass &
Raftery (1995), JASA 90, 773-795 (Bayes factors).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.bayes.posterior import check_mass
from fairtrial.stats.bayes.priors import NormalPrior

Floats = NDArray[np.float64]

_DEFAULT = NormalPrior()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NormalPosterior:
    """Normal posteriors of quantities of which 0 means "no difference"; arrays of one shape.

    Attributes:
        mean: Posterior means.
        sd: Posterior standard deviations, > 0.
    """

    mean: Floats
    sd: Floats

    @property
    def prob_positive(self) -> Floats:
        """Probabilities that the quantity is above 0."""
        return np.asarray(special.ndtr(self.mean / self.sd))

    @property
    def prob_negative(self) -> Floats:
        """Probabilities that the quantity is below 0."""
        return np.asarray(special.ndtr(-self.mean / self.sd))

    @property
    def shortfall(self) -> Floats:
        """E[max(-quantity, 0)]: the expected loss of choosing the treatment where more is better."""
        return self.sd * _unit_loss(self.mean / self.sd)

    @property
    def surplus(self) -> Floats:
        """E[max(quantity, 0)]: the expected loss of choosing the control where more is better."""
        return self.sd * _unit_loss(-self.mean / self.sd)

    def interval(self, mass: float = 0.95) -> tuple[Floats, Floats]:
        """Ends of the credible intervals, equal-tailed and of highest density at once.

        Raises:
            UsageError: `mass` lies outside (0, 1).
        """
        reach = -special.ndtri(0.5 * (1.0 - check_mass(mass))) * self.sd
        return self.mean - reach, self.mean + reach

    def regions(self, low: ArrayLike, high: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Probabilities below `low`, between `low` and `high`, and above `high`."""
        at_low = (np.asarray(low, dtype=np.float64) - self.mean) / self.sd
        at_high = (np.asarray(high, dtype=np.float64) - self.mean) / self.sd
        return normal_regions(at_low, at_high)


def normal_posterior(estimate: ArrayLike, std_error: ArrayLike, *, prior: NormalPrior = _DEFAULT) -> NormalPosterior:
    """Posteriors of quantities estimated with a known standard error.

    Args:
        estimate: Estimates, any shape, on the scale that the prior speaks of.
        std_error: Their standard errors, > 0.
        prior: Normal or flat prior.

    Returns:
        Normal posteriors: precision 1 / sd^2 + 1 / se^2, mean weighted by precision.

    Raises:
        UsageError: An estimate is not finite, or a standard error not positive and finite.

    References:
        Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., equations 2.9 and 2.10.
    """
    seen, error = checked_estimates(estimate, std_error)
    return updated(seen, error, prior)


def log_bayes_factor(estimate: ArrayLike, std_error: ArrayLike, *, prior: NormalPrior = _DEFAULT) -> Floats:
    """Logarithms of the Bayes factors of "the quantity follows the prior" against "it is 0".

    Args:
        estimate: Estimates, any shape.
        std_error: Their standard errors, > 0.
        prior: A proper prior.

    Returns:
        Natural logarithms; above 0 the data speak for a difference.

    Raises:
        UsageError: The prior is flat, an estimate is not finite or a standard error not positive.

    References:
        Kass & Raftery (1995), JASA 90, 773-795, section 3 (ratio of marginal likelihoods).
    """
    if prior.sd is None:
        raise UsageError(
            "A Bayes factor needs a proper prior, got a flat one.", hint="Pass a prior with a standard deviation: the answer depends on it."
        )
    seen, error = checked_estimates(estimate, std_error)
    return log_ratio_of_evidence(seen, error, prior.mean, prior.sd)


def normal_regions(at_low: Floats, at_high: Floats) -> tuple[Floats, Floats, Floats]:
    """Normal probabilities below, between and above, the middle taken on the side where it does not cancel."""
    upper = at_low > 0.0
    inside = special.ndtr(np.where(upper, -at_low, at_high)) - special.ndtr(np.where(upper, -at_high, at_low))
    return np.asarray(special.ndtr(at_low)), np.asarray(inside), np.asarray(special.ndtr(-at_high))


def updated(estimate: Floats, std_error: Floats, prior: NormalPrior) -> NormalPosterior:
    """`normal_posterior` of numbers that were checked."""
    if prior.sd is None:
        return NormalPosterior(mean=estimate, sd=std_error)
    weight = 1.0 / (1.0 + (std_error / prior.sd) ** 2)
    return NormalPosterior(mean=prior.mean + weight * (estimate - prior.mean), sd=std_error * np.sqrt(weight))


def log_ratio_of_evidence(estimate: Floats, std_error: Floats, mean: float, sd: float) -> Floats:
    """`log_bayes_factor` of numbers that were checked, with the prior N(mean, sd^2)."""
    growth = np.log1p((sd / std_error) ** 2)
    total = std_error**2 + sd**2
    return 0.5 * ((estimate / std_error) ** 2 - (estimate - mean) ** 2 / total - growth)


def _unit_loss(z: Floats) -> Floats:
    """E[max(-Z, 0)] of Z ~ N(z, 1): phi(z) - z Phi(-z), by the scaled error function where the two cancel."""
    density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    mills = math.sqrt(0.5 * math.pi) * special.erfcx(np.maximum(z, 0.0) / math.sqrt(2.0))
    return np.where(z > 0.0, density * np.maximum(1.0 - z * mills, 0.0), density - z * special.ndtr(-z))


def checked_estimates(estimate: ArrayLike, std_error: ArrayLike) -> tuple[Floats, Floats]:
    """Estimates and standard errors as arrays of one shape.

    Raises:
        UsageError: An estimate is not finite, or a standard error not positive and finite.
    """
    seen, error = np.broadcast_arrays(*(np.asarray(values, dtype=np.float64) for values in (estimate, std_error)))
    if not np.isfinite(seen).all():
        raise UsageError(f"An estimate must be a finite number, got {seen[~np.isfinite(seen)][0]}.")
    wrong = ~(np.isfinite(error) & (error > 0.0))
    if wrong.any():
        raise UsageError(f"A standard error must be positive and finite, got {error[wrong][0]}.")
    return seen, error
