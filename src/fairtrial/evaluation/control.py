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
from fairtrial.spec.metric import Role
from fairtrial.stats.lift import LiftBounds, LiftMethod, lift_interval
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.result import Alternative, ErrorControl
from fairtrial.stats.sequential.confidence_sequences import MIN_ARM_UNITS, Mixture, few_events
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

    def lift(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative, method: LiftMethod) -> LiftBounds:
        """Ends of the lifts' intervals at `alpha`, by `method` where the promise leaves a choice."""
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

    def lift(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative, method: LiftMethod) -> LiftBounds:
        """The lift's own interval."""
        return lift_interval(contrast, alpha=np.maximum(alpha, SMALLEST_LEVEL), alternative=alternative, method=method)


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

    def lift(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative, method: LiftMethod) -> LiftBounds:
        """The lift's own interval."""
        return lift_interval(contrast, alpha=np.maximum(alpha, SMALLEST_LEVEL), alternative=alternative, method=method)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AnyLook:
    """Any look at any time: the normal mixture's p-value and interval.

    The mixture is normal: looks at fewer than `MIN_ARM_UNITS` units of an arm, or at rates
    with fewer than `MIN_ARM_EVENTS` events, would break the promise and give nothing.

    Attributes:
        effects: What each comparison is tuned to, > 0, in the metric's unit: the standard deviation
            of the mixing distribution.
        tuned: Where a sequence is tuned to units instead: what its intervals are tightest for.
    """

    effects: Floats
    tuned: Mixture | None = None
    name: Literal["always_valid"] = "always_valid"

    @property
    def method(self) -> str:
        """Name of the sequence."""
        return "msprt" if self.tuned is None else "asymptotic_sequence"

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
        tau2 = self._mixing(contrast, variance, known, alternative)
        look = msprt_batch(effect, variance, tau2=tau2, null=margin, alternative=alternative)
        return np.where(known & ~np.isnan(raw), look.p_value, np.nan)

    def interval(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative) -> tuple[Floats, Floats]:
        """The effects that the mixture does not rule out, with each arm's own variance."""
        variance, known = self._variance(contrast)
        effect = np.where(known, contrast.effect, 0.0)
        tau2 = self._mixing(contrast, variance, known, alternative)
        look = msprt_batch(effect, variance, tau2=tau2, alpha=alpha, alternative=alternative)
        return np.where(known, look.low, np.nan), np.where(known, look.high, np.nan)

    def lift(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative, method: LiftMethod) -> LiftBounds:
        """The lift's interval that reaches as many standard errors as the effect's."""
        variance, known = self._variance(contrast)
        tau2 = self._mixing(contrast, variance, known, alternative)
        level = np.where(known, _tail(variance, tau2, alpha, alternative), np.nan)
        return lift_interval(contrast, alpha=level, alternative=alternative, method=method)

    def nominal_of(self, contrast: ArmContrast, *, alpha: float) -> Floats:
        """Level of a single look whose two-sided interval of the treatment's own value reaches as far as this one's."""
        variance = contrast.treatment_variance
        known = np.isfinite(variance) & (variance > 0.0) & np.isfinite(self.effects)
        own = np.where(known, variance, 1.0)
        tau2 = self._mixing(contrast, own, known, "two-sided")
        return np.where(known, _tail(own, tau2, np.full(variance.shape, alpha), "two-sided"), alpha)

    def _variance(self, contrast: ArmContrast) -> tuple[Floats, NDArray[np.bool_]]:
        """Variance of the effect with each arm's own variance (1 where unknown), and where it is known."""
        variance = contrast.control_variance + contrast.treatment_variance - 2.0 * contrast.covariance
        known = ~contrast.undefined & ~self.too_early(contrast)
        known &= np.isfinite(variance) & (variance > 0.0) & np.isfinite(self.effects)
        return np.where(known, variance, 1.0), known

    def _mixing(self, contrast: ArmContrast, variance: Floats, known: NDArray[np.bool_], alternative: Alternative) -> Floats:
        """Variance of the mixing distribution: fixed, or in step with the units where it is tuned to them."""
        if self.tuned is None:
            return np.square(np.where(known, self.effects, 1.0))
        units = np.where(known, contrast.n_control + contrast.n_treatment, 1.0)
        return self.tuned.tau2_at(variance, units, alternative=alternative)


def _tail(variance: Floats, tau2: Floats, alpha: Floats, alternative: Alternative) -> Floats:
    """The normal tail (both tails, when two-sided) beyond an always-valid interval's reach in standard errors."""
    look = msprt_batch(np.zeros(variance.shape), variance, tau2=tau2, alpha=alpha, alternative=alternative)
    reach = (look.high if alternative != "greater" else -look.low) / np.sqrt(variance)
    return np.maximum(special.ndtr(-reach) * (2.0 if alternative == "two-sided" else 1.0), SMALLEST_LEVEL)


@dataclass(frozen=True, slots=True, eq=False)
class PlannedLook:
    """One of the planned looks of a group-sequential design.

    An interval at alpha takes the level that this look has in the design of that alpha
    (a repeated interval), and a p-value is the smallest alpha whose interval
    excludes the null (a repeated p-value), so that corrections apply as ever.

    Attributes:
        levels: The levels of this look.
        gained: Those of the primary metric where binding futility has brought its boundary down; other metrics
            gave nobody up by their own value and keep `levels`.
    """

    levels: LookLevels
    gained: LookLevels | None = None
    name: Literal["group_sequential"] = "group_sequential"

    def for_role(self, role: Role) -> PlannedLook:
        """How a metric of that role is read at this look."""
        return PlannedLook(levels=self.gained) if role == "primary" and self.gained is not None else self

    def p_value(self, contrast: ArmContrast, raw: Floats, *, alternative: Alternative, margin: Floats) -> Floats:  # noqa: ARG002 a protocol's
        """Repeated p-values; NaN where `raw` is."""
        return self.levels.overall(raw)

    def interval(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative) -> tuple[Floats, Floats]:
        """The contrast's own interval at this look's level."""
        return contrast.interval(alpha=self.levels.nominal(alpha), alternative=alternative)

    def lift(self, contrast: ArmContrast, *, alpha: Floats, alternative: Alternative, method: LiftMethod) -> LiftBounds:
        """The lift's own interval at this look's level."""
        return lift_interval(contrast, alpha=self.levels.nominal(alpha), alternative=alternative, method=method)
