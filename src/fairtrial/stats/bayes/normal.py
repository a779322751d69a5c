"""Effects with a standard error, the Bayesian way: a normal prior on the lift or on the effect.

This is the view of everything large enough for its estimate to be normal: means,
ratios, proportions, and all of them adjusted by a covariate (CUPED), since nothing
but (effect, standard error, control's mean) is read. The conjugate posterior is
normal with precision 1 / sd^2 + 1 / se^2, so every answer is a closed formula.

With the prior on the lift, the estimate is effect / control with the delta
method's standard error, and the effect's posterior is the lift's times the control's
mean. With the prior on the effect, the lift's posterior is that of the ratio
effect / control, the two jointly normal (Fieller 1954), the control's mean having a
flat prior. Assumes that the standard error is known, which plug-in errors are for
large samples only; for a handful of units take `normal_inverse_gamma`.

References: Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., section 2.5; Fieller
(1954), JRSS B 16, 175-185.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.bayes.normal_posterior import NormalPosterior, checked_estimates, log_ratio_of_evidence, normal_regions, updated
from fairtrial.stats.bayes.posterior import NO_LIFT, NOT_FINITE, Posterior, PosteriorBatch, Rope, blanked, check_mass
from fairtrial.stats.bayes.priors import NormalPrior
from fairtrial.stats.bayes.table import shortest
from fairtrial.stats.lift import ArmValues

Floats = NDArray[np.float64]

FARTHEST = 6.0
"""The lift under a prior on the effect needs a control so many standard deviations above 0 (and half of one more)."""

_DEFAULT = NormalPrior()


def normal_ab(
    effect: float,
    std_error: float,
    *,
    control: float | None = None,
    control_variance: float | None = None,
    covariance: float | None = None,
    prior: NormalPrior = _DEFAULT,
    mass: float = 0.95,
    rope: Rope | None = None,
) -> Posterior:
    """Compare two arms from an effect and its standard error.

    Args:
        effect: Treatment - control, in the metric's unit.
        std_error: Its standard error, > 0.
        control: The control's mean; needed for a prior or a region on the lift.
        control_variance: Sampling variance of `control`; 0 when not given.
        covariance: Sampling covariance of `effect` and `control`; -`control_variance` when not
            given, which is that of independent arms.
        prior: Prior of the lift or of the effect.
        mass: Probability inside the intervals, in (0, 1).
        rope: Region of practical equivalence, of the effect or of the lift.

    Returns:
        The posterior of the comparison.

    Raises:
        UsageError: A number breaks its rule, or the control is missing where it is needed.
        DataError: The prior is on the lift, and `control` is not positive.

    References:
        Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., section 2.5.
    """
    seen, error = checked_estimates(effect, std_error)
    return normal_ab_batch(
        seen, error, control=control, control_variance=control_variance, covariance=covariance, prior=prior, mass=mass, rope=rope
    ).at()


def normal_ab_batch(
    effect: ArrayLike,
    std_error: ArrayLike,
    *,
    control: ArrayLike | None = None,
    control_variance: ArrayLike | None = None,
    covariance: ArrayLike | None = None,
    prior: NormalPrior = _DEFAULT,
    mass: float = 0.95,
    rope: Rope | None = None,
) -> PosteriorBatch:
    """Compare many pairs of arms from effects and their standard errors; see `normal_ab`.

    Args:
        effect: Treatment - control, any shape.
        std_error: Standard errors, broadcast with the others.
        control: The controls' means.
        control_variance: Their sampling variances; 0 when not given.
        covariance: Sampling covariances of effect and control; -`control_variance` when not given.
        prior: Prior of the lift or of the effect.
        mass: Probability inside the intervals, in (0, 1).
        rope: Region of practical equivalence, its ends broadcast likewise.

    Returns:
        Posteriors of the broadcast shape. An entry is flagged when its effect is NaN or its standard error
        not positive, or when the prior is on the lift and its control not positive. Lifts are
        undefined where the control is not positive, or, under a prior on the effect, not 6.5
        standard errors above 0.

    Raises:
        UsageError: An option breaks its rule, or the control is missing where it is needed.
    """
    check_mass(mass)
    if control is None and (prior.scale == "lift" or (rope is not None and rope.scale == "lift")):
        raise UsageError(
            "A prior or a region on the lift needs the control's mean, got none.",
            hint="Pass control=..., or a NormalPrior(scale='effect') in the metric's unit.",
        )
    known = np.zeros(()) if control_variance is None else np.asarray(control_variance, dtype=np.float64)
    shared = -known if covariance is None else covariance
    given = (effect, std_error, np.nan if control is None else control, known, shared)
    arrays = np.broadcast_arrays(*(np.asarray(values, dtype=np.float64) for values in given))
    shape = arrays[0].shape
    data = _Data(*(np.ravel(array) for array in arrays))
    reasons = _reasons(data, prior)
    data = _Data(*(np.where(reasons > 0, stand_in, values) for stand_in, values in zip((0.0, 1.0, 1.0, 0.0, 0.0), data, strict=True)))
    answer = _on_lift(data, prior, mass) if prior.scale == "lift" else _on_effect(data, prior, mass)
    return _batch(data, answer, reasons.reshape(shape), prior, mass, rope)


def normal_ab_of_contrast(
    values: ArmValues, *, prior: NormalPrior = _DEFAULT, mass: float = 0.95, rope: Rope | None = None
) -> PosteriorBatch:
    """Compare the arms of contrasts (means, ratios, adjusted or not), with what they know of the control.

    Args:
        values: Two arms' values, sampling variances and covariance: a `MeanContrast` or any like it.
        prior: Prior of the lift or of the effect.
        mass: Probability inside the intervals, in (0, 1).
        rope: Region of practical equivalence.

    Returns:
        Posteriors of the contrasts' shape; an entry without inference is flagged.

    Raises:
        UsageError: An option breaks its rule.
    """
    variance = values.control_variance + values.treatment_variance - 2.0 * values.covariance
    return normal_ab_batch(
        values.treatment - values.control,
        np.sqrt(np.maximum(variance, 0.0)),
        control=values.control,
        control_variance=values.control_variance,
        covariance=values.covariance - values.control_variance,
        prior=prior,
        mass=mass,
        rope=rope,
    )


class _Data(NamedTuple):
    """Flat arrays of what is known of m comparisons."""

    effect: Floats
    std_error: Floats
    control: Floats
    control_variance: Floats
    covariance: Floats


class _Ratio(NamedTuple):
    """Posterior of effect / control, the two jointly normal; `sd` and `control_sd` their own."""

    effect: NormalPosterior
    control: Floats
    control_variance: Floats
    covariance: Floats

    def standardised(self, lift: Floats) -> tuple[Floats, Floats]:
        """The z with P(ratio < lift) = Phi(z), and its derivative in the lift; Fieller (1954)."""
        variance = self.effect.sd**2 - 2.0 * lift * self.covariance + lift**2 * self.control_variance
        spread, above = np.sqrt(variance), lift * self.control - self.effect.mean
        return above / spread, self.control / spread - above * (lift * self.control_variance - self.covariance) / (spread * variance)

    def quantile(self, probabilities: Floats) -> Floats:
        """Lifts below which probabilities of shape (m, q) lie."""
        z = np.clip(np.asarray(special.ndtri(probabilities)), -FARTHEST, FARTHEST)
        mean, sd, control, variance, both = (
            x[:, None] for x in (self.effect.mean, self.effect.sd, self.control, self.control_variance, self.covariance)
        )
        square = z * z
        inner = (sd * control) ** 2 - 2.0 * mean * control * both + mean**2 * variance - square * (sd**2 * variance - both**2)
        return (mean * control - square * both + z * np.sqrt(np.maximum(inner, 0.0))) / (control**2 - square * variance)


class _Answer(NamedTuple):
    """Posterior of the effect, posterior of the lift in one of two forms, and the Bayes factor."""

    effect: NormalPosterior
    lift: NormalPosterior | _Ratio
    lift_defined: NDArray[np.bool_]
    median: Floats
    ends: tuple[Floats, Floats, Floats, Floats]
    log_bayes_factor: Floats | None


def _on_lift(data: _Data, prior: NormalPrior, mass: float) -> _Answer:
    seen = data.effect / data.control
    variance = data.std_error**2 - 2.0 * seen * data.covariance + seen**2 * data.control_variance
    error = np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny)) / data.control
    lift = updated(seen, error, prior)
    low, high = lift.interval(mass)
    return _Answer(
        effect=NormalPosterior(mean=lift.mean * data.control, sd=lift.sd * data.control),
        lift=lift,
        lift_defined=np.ones(seen.shape, dtype=np.bool_),
        median=lift.mean,
        ends=(low, high, low, high),
        log_bayes_factor=None if prior.sd is None else log_ratio_of_evidence(seen, error, prior.mean, prior.sd),
    )


def _on_effect(data: _Data, prior: NormalPrior, mass: float) -> _Answer:
    effect = updated(data.effect, data.std_error, prior)
    # Given the effect, the control's mean follows its regression on the effect.
    slope = data.covariance / data.std_error**2
    variance = np.maximum(data.control_variance - slope**2 * (data.std_error**2 - effect.sd**2), 0.0)
    control = data.control + slope * (effect.mean - data.effect)
    defined = (control > 0.0) & (control > (FARTHEST + 0.5) * np.sqrt(variance))
    ratio = _Ratio(
        effect=NormalPosterior(mean=np.where(defined, effect.mean, 0.0), sd=np.where(defined, effect.sd, 1.0)),
        control=np.where(defined, control, 1.0),
        control_variance=np.where(defined, variance, 0.0),
        covariance=np.where(defined, slope * effect.sd**2, 0.0),
    )
    tail = 0.5 * (1.0 - mass)
    low, median, high = ratio.quantile(np.tile([tail, 0.5, tail + mass], (control.size, 1))).T

    def density(lifts: Floats) -> Floats:
        z, slope_of_z = (x.T for x in ratio.standardised(lifts.T))
        return np.exp(-0.5 * z * z) * slope_of_z

    shortest_low, shortest_high = shortest(ratio.quantile, density, mass=np.full(control.size, mass))
    return _Answer(
        effect=effect,
        lift=ratio,
        lift_defined=defined,
        median=median,
        ends=(low, high, shortest_low, shortest_high),
        log_bayes_factor=None if prior.sd is None else log_ratio_of_evidence(data.effect, data.std_error, prior.mean, prior.sd),
    )


def _batch(data: _Data, answer: _Answer, reasons: NDArray[np.int8], prior: NormalPrior, mass: float, rope: Rope | None) -> PosteriorBatch:
    def shaped(values: Floats) -> Floats:
        return blanked(values, reasons)

    def of_lift(values: Floats) -> Floats:
        return shaped(np.where(answer.lift_defined, values, np.nan))

    low, high = answer.effect.interval(mass)
    # The control's value moves with the effect only where the prior does; the treatment's is the control's plus the effect.
    control = answer.lift.control if isinstance(answer.lift, _Ratio) else data.control
    control = np.where(answer.lift_defined, control, data.control)
    regions = None if rope is None else _regions_of(answer, rope, reasons.shape)
    return PosteriorBatch(
        model="normal",
        prior=prior,
        mass=mass,
        control=shaped(control),
        treatment=shaped(control + answer.effect.mean),
        effect=shaped(answer.effect.mean),
        low=shaped(low),
        high=shaped(high),
        hdi_low=shaped(low),
        hdi_high=shaped(high),
        lift=of_lift(answer.median),
        lift_low=of_lift(answer.ends[0]),
        lift_high=of_lift(answer.ends[1]),
        lift_hdi_low=of_lift(answer.ends[2]),
        lift_hdi_high=of_lift(answer.ends[3]),
        prob_treatment_greater=shaped(answer.effect.prob_positive),
        prob_control_greater=shaped(answer.effect.prob_negative),
        shortfall=shaped(answer.effect.shortfall),
        surplus=shaped(answer.effect.surplus),
        below_rope=None if regions is None else shaped(regions[0]),
        in_rope=None if regions is None else shaped(regions[1]),
        above_rope=None if regions is None else shaped(regions[2]),
        log_bayes_factor=None if answer.log_bayes_factor is None else shaped(answer.log_bayes_factor),
        reasons=reasons,
    )


def _regions_of(answer: _Answer, rope: Rope, shape: tuple[int, ...]) -> tuple[Floats, Floats, Floats]:
    low, high = rope.ends(shape)
    if rope.scale == "effect":
        return answer.effect.regions(low, high)
    if isinstance(answer.lift, NormalPosterior):
        return answer.lift.regions(low, high)
    found = normal_regions(answer.lift.standardised(low)[0], answer.lift.standardised(high)[0])
    below, inside, above = (np.where(answer.lift_defined, part, np.nan) for part in found)
    return below, inside, above


def _reasons(data: _Data, prior: NormalPrior) -> NDArray[np.int8]:
    with np.errstate(invalid="ignore"):
        known = np.isfinite(data.effect) & np.isfinite(data.std_error) & (data.std_error > 0.0)
        known &= np.isfinite(data.control_variance) & (data.control_variance >= 0.0) & np.isfinite(data.covariance)
        reasons = np.where(known, np.int8(0), np.int8(NOT_FINITE))
        if prior.scale == "lift":
            reasons[known & ~(np.isfinite(data.control) & (data.control > 0.0))] = NO_LIFT
    return reasons
