"""What a Bayesian comparison of two arms returns, one shape for every model.

All effects are treatment minus control and all lifts treatment / control - 1.
The loss of choosing an arm is what one expects to give up by it: E[max(C - T, 0)]
for the treatment where more is better. Nothing here is a p-value, and no error
rate over repeated experiments is promised.

References: Kruschke (2018), Advances in Methods and Practices in Psychological Science
1, 270-280 (region of practical equivalence); Stucchio (2015), Bayesian A/B Testing
at VWO (expected loss).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.bayes.priors import Prior, Scale, check_scale
from fairtrial.stats.result import Interval, Unavailable

Floats = NDArray[np.float64]
Direction = Literal["increase", "decrease"]
Model = Literal["beta_binomial", "gamma_poisson", "normal", "normal_inverse_gamma"]

REASONS: tuple[Unavailable | None, ...] = (
    None,
    Unavailable(code="empty_arm", reason="An arm has no units (or no exposure), so there is nothing to learn from."),
    Unavailable(code="not_finite", reason="The effect or its standard error is not known, so there is no posterior."),
    Unavailable(code="no_lift", reason="The prior is on the lift, and the control's mean is not positive, so there is no lift."),
)
"""By the number in `PosteriorBatch.reasons`; 0 is "nothing is wrong"."""

EMPTY_ARM, NOT_FINITE, NO_LIFT = 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rope:
    """Region of practical equivalence: effects (or lifts) too small to matter.

    Attributes:
        low: Lower end, one or an array, below `high`.
        high: Upper end.
        scale: Whether the ends are lifts (fractions) or effects (in the metric's unit).
    """

    low: ArrayLike
    high: ArrayLike
    scale: Scale = "effect"

    def __post_init__(self) -> None:
        check_scale(self.scale)
        low, high = np.asarray(self.low, dtype=np.float64), np.asarray(self.high, dtype=np.float64)
        if not (np.isfinite(low).all() and np.isfinite(high).all() and np.all(low < high)):
            raise UsageError(f"A region of practical equivalence must satisfy low < high, both finite, got {self.low} and {self.high}.")

    def ends(self, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Both ends, broadcast to `shape` and made flat."""
        low, high = (np.broadcast_to(np.asarray(end, dtype=np.float64), shape).ravel() for end in (self.low, self.high))
        return low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeProbabilities:
    """Where the effect lies, relative to a region of practical equivalence; the three add up to 1.

    Attributes:
        below: Probability below the region.
        inside: Probability inside.
        above: Probability above it.
    """

    below: float
    inside: float
    above: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """Posterior of one comparison.

    Attributes:
        model: Which model it comes from.
        prior: The prior used.
        mass: Probability inside the intervals, in (0, 1).
        control: Posterior mean of the control's value.
        treatment: Posterior mean of the treatment's value.
        effect: Posterior mean of treatment - control, in the metric's unit.
        interval: Equal-tailed credible interval of the effect.
        hdi: Highest-density (shortest) credible interval of the effect.
        lift: Posterior median of treatment / control - 1, a fraction; None where there is no lift.
        lift_interval: Equal-tailed credible interval of the lift.
        lift_hdi: Highest-density credible interval of the lift.
        prob_treatment_greater: Probability that the treatment's value is the greater one.
        prob_control_greater: Probability that the control's value is.
        shortfall: E[max(control - treatment, 0)], in the metric's unit: the loss of choosing the treatment where more is better.
        surplus: E[max(treatment - control, 0)]: the loss of choosing the control where more is better.
        rope: Probabilities below, inside and above the region of practical equivalence, when one was given.
        log_bayes_factor: Natural logarithm of the Bayes factor of "the arms differ" against "no
            difference"; None where the prior is improper or the model has none.
    """

    model: Model
    prior: Prior
    mass: float
    control: float | None
    treatment: float | None
    effect: float
    interval: Interval
    hdi: Interval
    lift: float | None
    lift_interval: Interval | None
    lift_hdi: Interval | None
    prob_treatment_greater: float
    prob_control_greater: float
    shortfall: float
    surplus: float
    rope: RopeProbabilities | None
    log_bayes_factor: float | None

    def chance_to_win(self, direction: Direction = "increase") -> float:
        """Probability that the treatment is the better arm, `direction` saying which way is better."""
        return self.prob_treatment_greater if upward(direction) else self.prob_control_greater

    def loss_of_treatment(self, direction: Direction = "increase") -> float:
        """Expected loss of choosing the treatment, in the metric's unit, >= 0."""
        return self.shortfall if upward(direction) else self.surplus

    def loss_of_control(self, direction: Direction = "increase") -> float:
        """Expected loss of choosing the control, in the metric's unit, >= 0."""
        return self.surplus if upward(direction) else self.shortfall


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PosteriorBatch:
    """Posteriors of many comparisons; arrays of one shape, named as in `Posterior`.

    Entries flagged in `undefined` hold NaN; so do lifts where `lift_defined` is False, and
    `control` and `treatment` where they were not given.
    """

    model: Model
    prior: Prior
    mass: float
    control: Floats
    treatment: Floats
    effect: Floats
    low: Floats
    high: Floats
    hdi_low: Floats
    hdi_high: Floats
    lift: Floats
    lift_low: Floats
    lift_high: Floats
    lift_hdi_low: Floats
    lift_hdi_high: Floats
    prob_treatment_greater: Floats
    prob_control_greater: Floats
    shortfall: Floats
    surplus: Floats
    below_rope: Floats | None
    in_rope: Floats | None
    above_rope: Floats | None
    log_bayes_factor: Floats | None
    reasons: NDArray[np.int8]

    @property
    def undefined(self) -> NDArray[np.bool_]:
        """Entries without a posterior; `unavailable` says why."""
        return self.reasons > 0

    @property
    def lift_defined(self) -> NDArray[np.bool_]:
        """Entries whose lift has a posterior."""
        return ~np.isnan(self.lift)

    def unavailable(self, index: int | tuple[int, ...] = ()) -> Unavailable | None:
        """Why the entry at `index` has no posterior; None when it has."""
        return REASONS[int(self.reasons[index])]

    def at(self, index: int | tuple[int, ...] = ()) -> Posterior:
        """The posterior of one entry.

        Raises:
            NotEnoughDataError: An arm of it is empty.
            DataError: The entry has no posterior for another reason.
        """
        reason = self.unavailable(index)
        if reason is not None:
            error = NotEnoughDataError if reason.code == "empty_arm" else DataError
            raise error(reason.reason, code=reason.code)

        def one(values: Floats) -> float | None:
            value = float(values[index])
            return None if np.isnan(value) else value

        def pair(low: Floats, high: Floats) -> Interval:
            return Interval(low=float(low[index]), high=float(high[index]))

        has_lift = bool(self.lift_defined[index])
        rope = None
        if self.below_rope is not None and self.in_rope is not None and self.above_rope is not None and not np.isnan(self.in_rope[index]):
            rope = RopeProbabilities(
                below=float(self.below_rope[index]), inside=float(self.in_rope[index]), above=float(self.above_rope[index])
            )
        return Posterior(
            model=self.model,
            prior=self.prior,
            mass=self.mass,
            control=one(self.control),
            treatment=one(self.treatment),
            effect=float(self.effect[index]),
            interval=pair(self.low, self.high),
            hdi=pair(self.hdi_low, self.hdi_high),
            lift=one(self.lift),
            lift_interval=pair(self.lift_low, self.lift_high) if has_lift else None,
            lift_hdi=pair(self.lift_hdi_low, self.lift_hdi_high) if has_lift else None,
            prob_treatment_greater=float(self.prob_treatment_greater[index]),
            prob_control_greater=float(self.prob_control_greater[index]),
            shortfall=float(self.shortfall[index]),
            surplus=float(self.surplus[index]),
            rope=rope,
            log_bayes_factor=None if self.log_bayes_factor is None else one(self.log_bayes_factor),
        )


def check_mass(mass: float) -> float:
    """Return `mass`, or raise when it is not the probability of an interval.

    Raises:
        UsageError: `mass` lies outside (0, 1).
    """
    if not 0.0 < mass < 1.0:
        hint = f"For a {mass:g}% interval pass mass={mass / 100:g}." if 1.0 < mass < 100.0 else ""
        raise UsageError(f"mass is the probability inside an interval and must lie in (0, 1), got {mass}.", hint=hint)
    return mass


def blanked(values: Floats, reasons: NDArray[np.int8]) -> Floats:
    """Flat `values` in the shape of `reasons`, NaN where a reason stands."""
    return np.where(reasons > 0, np.nan, values.reshape(reasons.shape))


def upward(direction: str) -> bool:
    """Whether more is better.

    Raises:
        UsageError: `direction` is neither `increase` nor `decrease`.
    """
    if direction not in {"increase", "decrease"}:
        raise UsageError(f"direction must be 'increase' or 'decrease', got {direction!r}.")
    return direction == "increase"
