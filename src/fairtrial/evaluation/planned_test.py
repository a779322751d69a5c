"""The test that a plan sizes: one treatment against the control, on the primary metric.

Three questions of one test - units for an effect, power of units, effect that units
detect - answered by `fairtrial.stats`. Proportions use the pooled test (G-14), other
metrics their standard deviation and the normal quantile. A non-inferiority objective
reads the effect as its margin, with arms that do not differ, and takes one tail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from fairtrial.errors import UsageError
from fairtrial.stats.power import DetectableEffect, EffectDirection, SampleSize, check_positive, tail_alpha
from fairtrial.stats.power_means import mde_two_means, power_two_means, sample_size_two_means
from fairtrial.stats.power_noninferiority import (
    detectable_margin_two_proportions,
    power_noninferiority_two_means,
    power_noninferiority_two_proportions,
    sample_size_noninferiority_two_means,
    sample_size_noninferiority_two_proportions,
)
from fairtrial.stats.power_proportions import mde_two_proportions, power_two_proportions, sample_size_two_proportions

PlanMethod = Literal["pooled_z", "normal", "poisson_wald", "restricted_mle_noninferiority", "normal_noninferiority"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTest:
    """One comparison with its error rates; the methods take the effect and the units.

    Attributes:
        rates: Whether the metric is a proportion.
        noninferiority: Whether the effect is a margin that arms which do not differ must clear.
        value: Control's rate, mean or ratio; None where only a standard deviation is known.
        sd: Standard deviation over units; None for proportions, and for counts taken as Poisson's.
        alpha: Error rate of this comparison, over both sides when two-sided.
        power: Power planned.
        alternative: Sides of the test.
    """

    rates: bool
    noninferiority: bool
    value: float | None
    sd: float | None
    alpha: float
    power: float
    alternative: Literal["two-sided", "one-sided"]

    @property
    def poisson(self) -> bool:
        """Whether the variance is taken from the mean."""
        return self.sd is None and not self.rates

    @property
    def method(self) -> PlanMethod:
        """Stable name of the test."""
        if self.noninferiority:
            return "restricted_mle_noninferiority" if self.rates else "normal_noninferiority"
        if self.rates:
            return "pooled_z"
        return "poisson_wald" if self.poisson else "normal"

    @property
    def tail(self) -> float:
        """Error rate of one tail, at which a margin is read."""
        return tail_alpha(self.alpha, self.alternative)

    def units(self, effect: float, treatment_share: float) -> SampleSize:
        """Units that detect `effect` (or clear it as a margin) with the planned power.

        Raises:
            UsageError: The effect leaves the metric's range.
        """
        share, power, alpha = treatment_share, self.power, self.alpha
        if self.noninferiority:
            if self.rates:
                return sample_size_noninferiority_two_proportions(self._rate, effect, alpha=self.tail, power=power, treatment_share=share)
            return sample_size_noninferiority_two_means(effect, self._sds(0.0), alpha=self.tail, power=power, treatment_share=share)
        if self.rates:
            return sample_size_two_proportions(
                self._rate, effect, alpha=alpha, power=power, treatment_share=share, alternative=self.alternative
            )
        return sample_size_two_means(
            effect, self._sds(effect), alpha=alpha, power=power, treatment_share=share, alternative=self.alternative
        )

    def power_of(self, effect: float, n_control: int, n_treatment: int) -> float:
        """Power of these units to detect `effect`, or to clear it as a margin.

        Raises:
            UsageError: The effect leaves the metric's range.
            DataError: An arm holds no unit.
        """
        if self.noninferiority:
            if self.rates:
                return power_noninferiority_two_proportions(self._rate, effect, n_control, n_treatment, alpha=self.tail)
            return power_noninferiority_two_means(effect, self._sds(0.0), n_control, n_treatment, alpha=self.tail)
        if self.rates:
            return power_two_proportions(
                self._rate, self._rate + effect, n_control, n_treatment, alpha=self.alpha, alternative=self.alternative
            )
        return power_two_means(effect, self._sds(effect), n_control, n_treatment, alpha=self.alpha, alternative=self.alternative)

    def detectable(self, direction: EffectDirection, n_control: int, n_treatment: int) -> DetectableEffect:
        """Smallest effect in that direction (or smallest margin) that these units detect with the planned power.

        Raises:
            UsageError: The control's value leaves the metric's range.
            DataError: An arm holds no unit, or no effect in the metric's range has the power.
        """
        if self.rates and self.noninferiority:
            return detectable_margin_two_proportions(
                self._rate, n_control, n_treatment, alpha=self.tail, power=self.power, direction=direction
            )
        if self.rates:
            return mde_two_proportions(
                self._rate,
                n_control,
                n_treatment,
                alpha=self.alpha,
                power=self.power,
                alternative=self.alternative,
                direction=direction,
            )
        # a mean's standard error does not depend on the effect: a margin and an effect are one size
        return mde_two_means(self._sds(0.0), n_control, n_treatment, alpha=self.tail, power=self.power, alternative="one-sided")

    @property
    def _rate(self) -> float:
        if self.value is None:
            raise UsageError("A test of rates must know the control's value.", hint="Name it as the plan's baseline.")
        return self.value

    def _sds(self, effect: float) -> tuple[float, float]:
        if self.sd is not None:
            return self.sd, self.sd
        control = check_positive("the baseline of a count", self._rate)
        treatment = check_positive("the target of a count", self._rate + effect)
        return math.sqrt(control), math.sqrt(treatment)
