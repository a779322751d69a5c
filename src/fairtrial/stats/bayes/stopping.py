"""Stopping on expected loss, and how often it errs when one looks again and again.

The rule (Stucchio 2015): at each look, choose the arm whose expected loss is below
a threshold of caring; if wanted, only when it is also likely enough to be the
better one. It bounds what a choice is expected to cost, averaged over the
prior. It does not bound how often a treatment without effect is chosen, and
looking more often makes that more frequent; `simulate_loss_stopping` measures it for
the plan at hand. Assumes a normal estimate with known standard error at each look.

References: Stucchio (2015), Bayesian A/B Testing at VWO; Deng, Lu & Chen (2016), IEEE
DSAA, 243-252 (what optional stopping does and does not leave valid); Kruschke
(2018), Advances in Methods and Practices in Psychological Science 1, 270-280.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import UsageError
from fairtrial.stats.bayes.normal_posterior import NormalPosterior, normal_posterior
from fairtrial.stats.bayes.posterior import Direction, Posterior, PosteriorBatch, upward
from fairtrial.stats.bayes.priors import NormalPrior
from fairtrial.stats.proportion_intervals import wilson_interval
from fairtrial.stats.result import Interval

Floats = NDArray[np.float64]

BLOCK = 2_000_000
"""Looks simulated at once, to bound the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossRule:
    """When to stop, and with which arm.

    Attributes:
        threshold: Expected loss that one does not care about, > 0, in the unit of the losses compared.
        chance: Least probability that the chosen arm is the better one, in [0, 1); 0 asks for none.
    """

    threshold: float
    chance: float = 0.0

    def __post_init__(self) -> None:
        if not (self.threshold > 0.0 and math.isfinite(self.threshold)):
            raise UsageError(
                f"The threshold of a loss rule must be positive and finite, got {self.threshold}.",
                hint="State the loss that you would not mind, in the metric's unit.",
            )
        if not 0.0 <= self.chance < 1.0:
            raise UsageError(f"The chance that a loss rule asks for must lie in [0, 1), got {self.chance}.", hint="For 95% pass 0.95.")

    def choice(self, posterior: Posterior | PosteriorBatch | NormalPosterior, *, direction: Direction = "increase") -> NDArray[np.int8]:
        """Which arm the rule chooses now.

        Args:
            posterior: One comparison, or many.
            direction: Which way is better.

        Returns:
            1 for the treatment, -1 for the control, 0 to go on (also where there is no posterior); of the
            posterior's shape. Where both losses are below the threshold, the smaller one decides.
        """
        loss, other, better, worse = _sides(posterior, direction)
        with np.errstate(invalid="ignore"):
            treatment = (loss < self.threshold) & (better >= self.chance) & (loss <= other)
            control = (other < self.threshold) & (worse >= self.chance) & ~treatment
        return treatment.astype(np.int8) - control.astype(np.int8)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingReceipt:
    """How a loss rule fared in simulated experiments.

    Attributes:
        runs: Experiments simulated.
        looks: Looks planned in each.
        chose_treatment: Share that stopped and chose the treatment: without an effect, false launches.
        chose_treatment_interval: 95% Wilson interval of that share, the simulation's own error.
        chose_control: Share that stopped and chose the control.
        undecided: Share that reached the last look without a choice.
        mean_looks: Mean number of looks taken.
    """

    runs: int
    looks: int
    chose_treatment: float
    chose_treatment_interval: Interval
    chose_control: float
    undecided: float
    mean_looks: float


def simulate_loss_stopping(
    rule: LossRule,
    *,
    effect: float,
    std_errors: ArrayLike,
    rng: np.random.Generator,
    prior: NormalPrior | None = None,
    runs: int = 10_000,
    direction: Direction = "increase",
) -> StoppingReceipt:
    """Measure what a loss rule does to experiments with a given true effect.

    Args:
        rule: The rule, its threshold on the scale of `effect`.
        effect: True effect (or lift), on the scale of the prior; 0 makes every launch a false one.
        std_errors: Standard error of the estimate at each look, falling, shape (looks,).
        rng: Source of randomness.
        prior: Prior on the same scale; the default prior on the lift when None.
        runs: Experiments to simulate, >= 100.
        direction: Which way is better.

    Returns:
        Shares of choices, with the simulation's own error.

    Raises:
        UsageError: Standard errors are not positive and falling, `effect` is not finite, or there are too few runs.

    References:
        Jennison & Turnbull (2000), Group Sequential Methods, section 3.1: estimates at successive
        looks are normal with covariance equal to the later look's variance.
    """
    errors = _checked(std_errors, effect, runs)
    believed = NormalPrior() if prior is None else prior
    information = 1.0 / errors**2
    gained = np.sqrt(np.diff(information, prepend=0.0))
    counts, looks_taken, left = np.zeros(3, dtype=np.int64), 0, runs
    while left:
        size = min(left, max(1, BLOCK // errors.size))
        score = np.cumsum(gained * rng.standard_normal((size, errors.size)), axis=1)
        posterior = normal_posterior(effect + score / information, errors, prior=believed)
        choices = rule.choice(posterior, direction=direction)
        stopped = choices != 0
        first = np.where(stopped.any(axis=1), stopped.argmax(axis=1), errors.size - 1)
        final = choices[np.arange(size), first]
        counts += np.array([(final == value).sum() for value in (1, -1, 0)])
        looks_taken += int((first + 1).sum())
        left -= size
    treatment, control, undecided = (int(count) for count in counts)
    return StoppingReceipt(
        runs=runs,
        looks=errors.size,
        chose_treatment=treatment / runs,
        chose_treatment_interval=wilson_interval(treatment, runs),
        chose_control=control / runs,
        undecided=undecided / runs,
        mean_looks=looks_taken / runs,
    )


def _sides(posterior: Posterior | PosteriorBatch | NormalPosterior, direction: Direction) -> tuple[Floats, Floats, Floats, Floats]:
    """Loss of the treatment, loss of the control, chance of the treatment, chance of the control."""
    if isinstance(posterior, NormalPosterior):
        chances = posterior.prob_positive, posterior.prob_negative
    else:
        chances = posterior.prob_treatment_greater, posterior.prob_control_greater
    shortfall, surplus, greater, less = (np.asarray(x, dtype=np.float64) for x in (posterior.shortfall, posterior.surplus, *chances))
    return (shortfall, surplus, greater, less) if upward(direction) else (surplus, shortfall, less, greater)


def _checked(std_errors: ArrayLike, effect: float, runs: int) -> Floats:
    errors = np.asarray(std_errors, dtype=np.float64)
    fine = errors.ndim == 1 and errors.size > 0 and bool((np.isfinite(errors) & (errors > 0.0)).all())
    if not fine or (np.diff(errors) >= 0.0).any():
        raise UsageError(f"Standard errors of the looks must be positive and falling, got {errors.tolist()}.")
    if not math.isfinite(effect):
        raise UsageError(f"The true effect must be a finite number, got {effect}.")
    if runs < 100:
        raise UsageError(f"A simulated share needs at least 100 runs, got {runs}.")
    return errors
