"""Two means of few units, the Bayesian way: mean and variance both unknown.

The normal-inverse-gamma prior is conjugate to normal values: given the data, the
mean follows Student's t with 2 alpha degrees of freedom, so a handful of units is
not taken for more than it is. The difference of two such means (the Behrens-Fisher
problem) is, given both variances, normal; the probabilities of the comparison
are averages over the two posteriors of the variances, by the trapezoidal rule on
their logarithms. Assumes independent units and values close to normal.

References: Murphy (2007), Conjugate Bayesian Analysis of the Gaussian Distribution,
section 3.4; Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.errors import DataError, NotEnoughDataError
from fairtrial.stats.bayes.normal_posterior import NormalPosterior
from fairtrial.stats.bayes.posterior import Posterior, Rope, RopeProbabilities, check_mass
from fairtrial.stats.bayes.priors import NormalInverseGammaPrior
from fairtrial.stats.bayes.table import shortest
from fairtrial.stats.moments import Moments
from fairtrial.stats.result import Interval
from fairtrial.stats.roots import solve_increasing

Floats = NDArray[np.float64]

DROP = 33.0
"""Posteriors of the variances are followed down to e^-33 of their peak."""
SPACING = 0.45
"""Distance of nodes, in widths of the peak of the logarithm's posterior (at most this part of an e-fold)."""
ROOT = 1e-12
STEADY = 8.0
"""A lift needs a control so many posterior standard deviations above 0: below, its tails belong to a control of 0."""

_REFERENCE = NormalInverseGammaPrior()


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalInverseGammaPosterior:
    """Posterior of a mean and a variance: 1 / variance ~ Gamma(alpha, beta), mean ~ N(mean, variance / kappa).

    Attributes:
        mean: Posterior mean, in the metric's unit.
        kappa: Units behind it, prior ones included.
        alpha: Half the degrees of freedom of the mean's Student t.
        beta: Half the sum of squares behind the variance.
    """

    mean: float
    kappa: float
    alpha: float
    beta: float

    @property
    def scale(self) -> float:
        """Scale of the mean's Student t, sqrt(beta / (alpha kappa))."""
        return math.sqrt(self.beta / self.alpha / self.kappa)

    def interval(self, mass: float = 0.95) -> Interval:
        """Credible interval of the mean, equal-tailed and of highest density at once.

        Raises:
            UsageError: `mass` lies outside (0, 1).
        """
        reach = -float(special.stdtrit(2.0 * self.alpha, 0.5 * (1.0 - check_mass(mass)))) * self.scale
        return Interval(low=self.mean - reach, high=self.mean + reach)


def normal_inverse_gamma_posterior(moments: Moments, *, prior: NormalInverseGammaPrior = _REFERENCE) -> NormalInverseGammaPosterior:
    """Posterior of the mean and variance behind an arm's values.

    Args:
        moments: The arm's count, mean and centred sum of squares.
        prior: Prior of mean and variance.

    Returns:
        The conjugate posterior.

    Raises:
        NotEnoughDataError: One unit, and the reference prior: there are no degrees of freedom.
        DataError: The values do not vary, and the prior says nothing of the variance.

    References:
        Murphy (2007), Conjugate Bayesian Analysis of the Gaussian Distribution, equations 85-89.
    """
    kappa = prior.kappa + moments.n
    gap = moments.mean - prior.mean
    alpha = prior.alpha + 0.5 * moments.n
    beta = prior.beta + 0.5 * moments.m2 + 0.5 * prior.kappa * moments.n * gap * gap / kappa
    if not alpha > 0.0:
        raise NotEnoughDataError(f"A variance needs at least two units under this prior, got {moments.n}.", code="too_few_units")
    if not beta > 0.0:
        raise DataError(
            f"All {moments.n} values are the same, and the prior says nothing of the variance.",
            hint="Pass a prior with beta > 0.",
            code="no_variance",
        )
    return NormalInverseGammaPosterior(mean=prior.mean + gap * (moments.n / kappa), kappa=kappa, alpha=alpha, beta=beta)


def normal_inverse_gamma_ab(
    control: Moments,
    treatment: Moments,
    *,
    prior: NormalInverseGammaPrior = _REFERENCE,
    mass: float = 0.95,
    rope: Rope | None = None,
) -> Posterior:
    """Compare two means of few units.

    Args:
        control: Moments of the control, n >= 2.
        treatment: Moments of the treatment, n >= 2, in the same unit.
        prior: Prior of each arm's mean and variance.
        mass: Probability inside the intervals, in (0, 1).
        rope: Region of practical equivalence, of the effect or of the lift.

    Returns:
        The posterior of the comparison. The lift, and a region on it, is None where the control's mean is
        not eight posterior standard deviations above 0; there is no Bayes factor.

    Raises:
        UsageError: An option breaks its rule.
        NotEnoughDataError: An arm has so few units that its mean's posterior has no expectation: fewer than
            three under the reference prior, fewer than two under any.
        DataError: An arm does not vary, and the prior says nothing of the variance.
    """
    check_mass(mass)
    for arm, moments in (("control", control), ("treatment", treatment)):
        if moments.n < 2 or prior.alpha + 0.5 * moments.n <= 0.5:
            raise NotEnoughDataError(
                f"The {arm} arm has {moments.n} units, too few for its mean to have an expectation under this prior.",
                hint="Wait for three units an arm, or pass a prior with alpha > 0.",
                code="too_few_units",
            )
    c, t = normal_inverse_gamma_posterior(control, prior=prior), normal_inverse_gamma_posterior(treatment, prior=prior)
    mixture = _Mixture.of(c, t)
    tail = 0.5 * (1.0 - mass)
    interval = Interval(low=mixture.quantile(tail), high=mixture.quantile(1.0 - tail))
    spread = c.scale * math.sqrt(c.alpha / (c.alpha - 1.0)) if c.alpha > 1.0 else math.inf
    has_lift = c.mean > STEADY * spread
    effect = t.mean - c.mean
    return Posterior(
        model="normal_inverse_gamma",
        prior=prior,
        mass=mass,
        control=c.mean,
        treatment=t.mean,
        effect=effect,
        interval=interval,
        hdi=interval,
        lift=mixture.lift_quantile(0.5) if has_lift else None,
        lift_interval=Interval(low=mixture.lift_quantile(tail), high=mixture.lift_quantile(1.0 - tail)) if has_lift else None,
        lift_hdi=mixture.lift_hdi(mass) if has_lift else None,
        prob_treatment_greater=mixture.average(mixture.effect.prob_positive),
        prob_control_greater=mixture.average(mixture.effect.prob_negative),
        shortfall=mixture.average(mixture.effect.shortfall),
        surplus=mixture.average(mixture.effect.surplus),
        rope=None if rope is None or (rope.scale == "lift" and not has_lift) else mixture.regions(rope),
        log_bayes_factor=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Mixture:
    """Two means as a mixture of normals over their variances: one weight, two sampling variances a component."""

    control: NormalInverseGammaPosterior
    treatment: NormalInverseGammaPosterior
    weight: Floats
    variance_c: Floats
    variance_t: Floats

    @classmethod
    def of(cls, control: NormalInverseGammaPosterior, treatment: NormalInverseGammaPosterior) -> _Mixture:
        """Components at every pair of nodes of the two precisions."""
        (weight_c, spread_c), (weight_t, spread_t) = _precisions(control), _precisions(treatment)
        return cls(
            control=control,
            treatment=treatment,
            weight=np.outer(weight_c, weight_t).ravel(),
            variance_c=np.repeat(spread_c, spread_t.size),
            variance_t=np.tile(spread_t, spread_c.size),
        )

    @property
    def effect(self) -> NormalPosterior:
        """The components of the effect."""
        sd = np.sqrt(self.variance_c + self.variance_t)
        return NormalPosterior(mean=np.full(sd.shape, self.treatment.mean - self.control.mean), sd=sd)

    def average(self, values: Floats) -> float:
        """Weighted mean over the components."""
        return float(self.weight @ values)

    def quantile(self, probability: float) -> float:
        """The effect below which `probability` lies."""
        effect = self.effect
        return self._root(lambda x: self.average(special.ndtr((x - effect.mean) / effect.sd)) - probability, self._outer(probability))

    def lift_cdf(self, lift: float) -> float:
        """Probability that T - (1 + lift) C < 0, which is that of a lower lift where C > 0."""
        ratio = 1.0 + lift
        above = ratio * self.control.mean - self.treatment.mean
        return self.average(special.ndtr(above / np.sqrt(self.variance_t + ratio**2 * self.variance_c)))

    def lift_density(self, lift: float) -> float:
        """Derivative of `lift_cdf`."""
        ratio = 1.0 + lift
        above = ratio * self.control.mean - self.treatment.mean
        variance = self.variance_t + ratio**2 * self.variance_c
        z = above / np.sqrt(variance)
        slope = (self.control.mean - above * ratio * self.variance_c / variance) / np.sqrt(variance)
        return self.average(np.exp(-0.5 * z * z) * slope)

    def lift_quantile(self, probability: float) -> float:
        """The lift below which `probability` lies."""
        low, high = self._outer(probability)
        near = self.control.mean
        width = max(abs(low), abs(high)) / near
        reach = 4.0 * width + 4.0 * abs(self.treatment.mean / near - 1.0) + 1.0
        center = self.treatment.mean / near - 1.0
        return self._root(lambda x: self.lift_cdf(x) - probability, (center - reach, center + reach))

    def lift_hdi(self, mass: float) -> Interval:
        """Shortest interval of the lift."""

        def quantile(probabilities: Floats) -> Floats:
            inside = np.clip(probabilities, 1e-6, 1.0 - 1e-6)
            return np.array([[self.lift_quantile(float(p)) for p in row] for row in inside])

        def density(points: Floats) -> Floats:
            return np.array([[self.lift_density(float(x)) for x in row] for row in points])

        low, high = shortest(quantile, density, mass=np.array([mass]))
        return Interval(low=low.item(), high=high.item())

    def regions(self, rope: Rope) -> RopeProbabilities:
        """Probabilities below, inside and above a region."""
        low, high = (float(end[0]) for end in rope.ends((1,)))
        if rope.scale == "effect":
            below, inside, above = (self.average(part) for part in self.effect.regions(low, high))
            return RopeProbabilities(below=below, inside=inside, above=above)
        below, under_high = self.lift_cdf(low), self.lift_cdf(high)
        return RopeProbabilities(below=below, inside=max(under_high - below, 0.0), above=1.0 - under_high)

    def _outer(self, probability: float) -> tuple[float, float]:
        """Ends outside of which the effect's quantile cannot lie: half the tail from each arm."""
        ends: list[float] = []
        for sign, tail in ((-1.0, 0.5 * probability), (1.0, 0.5 * (1.0 - probability))):
            reach = sum(-float(special.stdtrit(2.0 * arm.alpha, tail)) * arm.scale for arm in (self.control, self.treatment))
            ends.append(self.treatment.mean - self.control.mean + sign * reach)
        return ends[0], ends[1]

    @staticmethod
    def _root(function: Callable[[float], float], ends: tuple[float, float]) -> float:
        low, high = np.array([ends[0]]), np.array([ends[1]])
        scale = float(high[0] - low[0])
        found = solve_increasing(
            lambda x: np.array([function(float(x[0]))]), low, high, 0.5 * (low + high), slope=1.0 / scale, scale=scale, tolerance=ROOT
        )
        return float(found[0])


def _precisions(arm: NormalInverseGammaPosterior) -> tuple[Floats, Floats]:
    """Weights and sampling variances of the mean at the nodes of the logarithm of the precision."""
    alpha = arm.alpha
    width = 1.0 / math.sqrt(alpha)
    down = math.sqrt(2.0 * DROP) * width + DROP / alpha
    up = min(math.sqrt(2.0 * DROP) * width, math.log1p(DROP / alpha) + 2.0 * width)
    count = math.ceil((down + up) / (SPACING * min(width, 1.0))) + 1
    steps = np.linspace(-down, up, count)
    weight = np.exp(alpha * (steps - np.expm1(steps)))
    return weight / weight.sum(), arm.beta / alpha / arm.kappa * np.exp(-steps)
