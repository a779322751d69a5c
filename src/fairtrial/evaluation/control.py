"""What p-values and intervals promise: at one look, at planned looks, or at any look.

A plan's method changes neither the effect nor its standard error, only how far
an interval reaches and what a p-value means. Each control below turns the
contrast of a batch into both, such that a p-value lies below alpha exactly
when the interval at alpha excludes the null.

References: Jennison & Turnbull (2000), Group Sequential Methods, chapter 9
(repeated intervals and p-values); Johari, Koomen, Pekelis & Walsh (2022),
Operations Research 70, 1806-1821 (always-valid inference).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.metrics import ArmContrast
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.result import Alternative, ErrorControl
from fairtrial.stats.sequential.confidence_sequences import MIN_ARM_UNITS, few_events
from fairtrial.stats.sequential.levels import SMALLEST_LEVEL, LookLevels
from fairtrial.stats.sequential.msprt import msprt_batch

Floats = NDArray[np.float64]


class Control(Protocol):
    """How the p-values and intervals of a batch are made."""

    @property
    def name(self) -> ErrorControl:
        """Which promise is kept."""
        ...

    def p_value(self, contrast: ArmContrast, raw: Floats, *, alternative: Alternative, margin: Floats) -> Floats:
        """P-values under this control, from those of a single look; NaN where undefined."""
        ...

    def interval(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative) -> tuple[Floats, Floats]:
        """Ends of the effects' intervals at `alpha`, of the batch's shape; NaN where undefined."""
        ...

    def nominal(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative) -> Floats:
        """The level at which an interval of a single look reaches as far; for the lift's interval."""
        ...


@dataclass(frozen=True, slots=True)
class SingleLook:
    """One look: p-values and intervals as they are."""

    name: Literal["fixed"] = "fixed"

    def p_value(self, contrast: ArmContrast, raw: Floats, *, alternative: Alternative, margin: Floats) -> Floats:  # noqa: ARG002 a protocol's
        """The single look's own."""
        return raw

    def interval(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative) -> tuple[Floats, Floats]:
        """The contrast's own interval."""
        return contrast.interval(alpha=alpha, alternative=alternative)

    def nominal(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative) -> Floats:  # noqa: ARG002 a protocol's
        """`alpha` itself."""
        return alpha


@dataclass(frozen=True, slots=True)
class Belief:
    """A posterior in the place of a test (`credible` makes it): nothing here has a p-value."""

    name: Literal["bayesian"] = "bayesian"

    def p_value(self, contrast: ArmContrast, raw: Floats, *, alternative: Alternative, margin: Floats) -> Floats:  # noqa: ARG002 a protocol's
        """NaN: a posterior is not a test."""
        return np.full(raw.shape, np.nan)

    def interval(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative) -> tuple[Floats, Floats]:
        """The interval under a flat prior, which is the contrast's own."""
        return contrast.interval(alpha=alpha, alternative=alternative)

    def nominal(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative) -> Floats:  # noqa: ARG002 a protocol's
        """`alpha` itself."""
        return alpha


@dataclass(frozen=True, slots=True, eq=False)
class AnyLook:
    """Any look at any time: the normal mixture's p-value and interval.

    The mixture is normal: looks at fewer than `MIN_ARM_UNITS` units of an arm, or at rates
    with fewer than `MIN_ARM_EVENTS` events, would break the promise and give nothing.

    Attributes:
        effects: What each comparison is tuned to, > 0, in the metric's unit: the standard deviation
            of the mixing distribution.
    """

    effects: Floats
    name: Literal["always_valid"] = "always_valid"

    def too_early(self, contrast: ArmContrast) -> NDArray[np.bool_]:
        """Where there is too little yet for the normal distribution."""
        early = np.minimum(contrast.n_control, contrast.n_treatment) < MIN_ARM_UNITS
        if isinstance(contrast, ProportionContrast):
            counts = (contrast.successes_control, contrast.n_control, contrast.successes_treatment, contrast.n_treatment)
            early |= few_events(*counts)
        return early

    def p_value(self, contrast: ArmContrast, raw: Floats, *, alternative: Alternative, margin: Floats) -> Floats:
        """This look's p-value."""
        variance, known = self._variance(contrast)
        effect = np.where(known, contrast.effect, 0.0)
        look = msprt_batch(effect, variance, tau2=self._mixing(known), null=margin, alternative=alternative)
        return np.where(known & ~np.isnan(raw), look.p_value, np.nan)

    def interval(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative) -> tuple[Floats, Floats]:
        """The effects that the mixture does not rule out, with each arm's own variance."""
        variance, known = self._variance(contrast)
        effect = np.where(known, contrast.effect, 0.0)
        look = msprt_batch(effect, variance, tau2=self._mixing(known), alpha=alpha, alternative=alternative)
        return np.where(known, look.low, np.nan), np.where(known, look.high, np.nan)

    def nominal(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative) -> Floats:
        """The normal tail (both tails, when two-sided) beyond the interval's reach in standard errors."""
        variance, known = self._variance(contrast)
        return np.where(known, self._tail(variance, known, alpha, alternative), np.nan)

    def nominal_of(self, variance: Floats, *, alpha: float) -> Floats:
        """The same, two-sided, for values of the given variances, one for each comparison."""
        known = np.isfinite(variance) & (variance > 0.0) & np.isfinite(self.effects)
        level = np.full(variance.shape, alpha)
        return np.where(known, self._tail(np.where(known, variance, 1.0), known, level, "two-sided"), alpha)

    def _tail(self, variance: Floats, known: NDArray[np.bool_], alpha: Floats, alternative: Alternative) -> Floats:
        look = msprt_batch(np.zeros(variance.shape), variance, tau2=self._mixing(known), alpha=alpha, alternative=alternative)
        reach = (look.high if alternative != "greater" else -look.low) / np.sqrt(variance)
        return np.maximum(special.ndtr(-reach) * (2.0 if alternative == "two-sided" else 1.0), SMALLEST_LEVEL)

    def _variance(self, contrast: ArmContrast) -> tuple[Floats, NDArray[np.bool_]]:
        """Variance of the effect with each arm's own variance (1 where unknown), and where it is known."""
        variance = contrast.control_variance + contrast.treatment_variance - 2.0 * contrast.covariance
        known = ~contrast.undefined & ~self.too_early(contrast)
        known &= np.isfinite(variance) & (variance > 0.0) & np.isfinite(self.effects)
        return np.where(known, variance, 1.0), known

    def _mixing(self, known: NDArray[np.bool_]) -> Floats:
        return np.square(np.where(known, self.effects, 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class PlannedLook:
    """One of the planned looks of a group-sequential design.

    An interval at alpha takes the level that this look has in the design of that alpha
    (a repeated interval), and a p-value is the smallest alpha whose interval
    excludes the null (a repeated p-value), so that corrections apply as ever.

    Attributes:
        levels: The levels of this look.
    """

    levels: LookLevels
    name: Literal["group_sequential"] = "group_sequential"

    def p_value(self, contrast: ArmContrast, raw: Floats, *, alternative: Alternative, margin: Floats) -> Floats:  # noqa: ARG002 a protocol's
        """Repeated p-values; NaN where `raw` is."""
        return self.levels.overall(raw)

    def interval(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative) -> tuple[Floats, Floats]:
        """The contrast's own interval at this look's level."""
        return contrast.interval(alpha=self.levels.nominal(alpha), alternative=alternative)

    def nominal(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative) -> Floats:  # noqa: ARG002 a protocol's
        """This look's levels."""
        return self.levels.nominal(alpha)
