"""Two event rates, the Bayesian way: a gamma prior on each rate, updated by events and exposure.

The posterior of a rate is Gamma(shape + events, rate + exposure), exactly. Orders
per user, tickets per week, crashes per hour: the exposure is units or time. Assumes
that events do not cluster within units; where a few units bring most of the
events the variance exceeds the mean, and the posterior is too narrow: compare means
(`normal`) then.

References: Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., section 2.6.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.bayes.counts import CountModel, compare_counts
from fairtrial.stats.bayes.posterior import Posterior, PosteriorBatch, Rope
from fairtrial.stats.bayes.priors import GammaPrior

Floats = NDArray[np.float64]

_ONE_IN_ONE = GammaPrior()


def gamma_poisson_ab(
    events_control: int,
    exposure_control: float,
    events_treatment: int,
    exposure_treatment: float,
    *,
    prior: GammaPrior = _ONE_IN_ONE,
    mass: float = 0.95,
    rope: Rope | None = None,
) -> Posterior:
    """Compare two event rates.

    Args:
        events_control: Events of the control arm, >= 0.
        exposure_control: Units or time behind them, > 0.
        events_treatment: Events of the treatment arm.
        exposure_treatment: Units or time behind them, in the same unit.
        prior: Prior of each rate.
        mass: Probability inside the intervals, in (0, 1).
        rope: Region of practical equivalence, of the difference of rates or of the lift.

    Returns:
        The posterior of the comparison. Its Bayes factor weighs two rates against one rate for both arms,
        each with the prior.

    Raises:
        UsageError: Events are not whole or below 0, exposure is below 0, or an option breaks its rule.
        NotEnoughDataError: An arm has no exposure.
    """
    data = (events_control, exposure_control, events_treatment, exposure_treatment)
    return gamma_poisson_batch(*data, prior=prior, mass=mass, rope=rope).at()


def gamma_poisson_batch(
    events_control: ArrayLike,
    exposure_control: ArrayLike,
    events_treatment: ArrayLike,
    exposure_treatment: ArrayLike,
    *,
    prior: GammaPrior = _ONE_IN_ONE,
    mass: float = 0.95,
    rope: Rope | None = None,
) -> PosteriorBatch:
    """Compare many pairs of event rates; see `gamma_poisson_ab`.

    Args:
        events_control: Events of the control arm, any shape.
        exposure_control: Units or time behind them, broadcast with the others.
        events_treatment: Events of the treatment arm.
        exposure_treatment: Units or time behind them.
        prior: Prior of each rate.
        mass: Probability inside the intervals, in (0, 1).
        rope: Region of practical equivalence, its ends broadcast likewise.

    Returns:
        Posteriors of the broadcast shape; an entry with an arm without exposure is flagged.

    Raises:
        UsageError: Events are not whole or below 0, exposure is below 0, or an option breaks its rule.
    """
    model = CountModel(
        name="gamma_poisson",
        prior=prior,
        first=prior.shape,
        second=prior.rate,
        bounded=False,
        log_evidence=_log_evidence,
        check=_check_events,
    )
    return compare_counts(model, (events_control, exposure_control), (events_treatment, exposure_treatment), mass=mass, rope=rope)


def _log_evidence(shape: Floats, rate: Floats) -> Floats:
    """Logarithm of Gamma(shape) / rate^shape: of these the Bayes factor is made."""
    return np.asarray(special.gammaln(shape) - shape * np.log(rate))


def _check_events(arm: str, events: Floats, exposure: Floats) -> None:
    """Raise unless events are whole numbers with an exposure behind them."""
    fine = np.isfinite(events) & np.isfinite(exposure) & (np.floor(events) == events) & (events >= 0.0) & (exposure >= 0.0)
    fine &= (exposure > 0.0) | (events == 0.0)
    if not fine.all():
        came = f"{events[~fine][0]:g} events in {exposure[~fine][0]:g}"
        raise UsageError(f"The {arm} arm needs a whole number of events >= 0 and an exposure >= 0 behind them, got {came}.")
