"""Effect sizes in standard deviations: Cohen's d, Hedges' g, Glass' delta and the balance SMD.

References: Cohen (1988), Statistical Power Analysis, section 2.2; Hedges (1981),
Journal of Educational Statistics 6, 107-128; Glass (1976), Educational Researcher 5, 3-8;
Austin (2009), Statistics in Medicine 28, 3083-3107 (balance).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from fairtrial.errors import DataError, NotEnoughDataError
from fairtrial.stats.batch import ROUNDING
from fairtrial.stats.moments import Moments


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectSizes:
    """Treatment - control in units of a standard deviation.

    Attributes:
        cohens_d: By the standard deviation pooled over both arms.
        hedges_g: `cohens_d` with the exact correction for small samples.
        hedges_g_approx: The same with Hedges' approximation 1 - 3 / (4 df - 1).
        smd: By the root of the mean of the two variances, as in tables of balance.
        glass_delta: By the control's standard deviation; None where the control does not vary.
        pooled_sd: The pooled standard deviation, in the metric's unit.
    """

    cohens_d: float
    hedges_g: float
    hedges_g_approx: float
    smd: float
    glass_delta: float | None
    pooled_sd: float


def standardized_mean_difference(control: Moments, treatment: Moments) -> EffectSizes:
    """Standardised differences of two means.

    Args:
        control: Moments of the control, n >= 2.
        treatment: Moments of the treatment, n >= 2, in the same unit.

    Returns:
        The effect in standard deviations, in the usual definitions.

    Raises:
        NotEnoughDataError: An arm has fewer than two units.
        DataError: Both arms are constant.

    References:
        Hedges (1981), Journal of Educational Statistics 6, 107-128.
    """
    if min(control.n, treatment.n) < 2:
        raise NotEnoughDataError(f"Effect sizes need at least two units an arm, got {control.n} and {treatment.n}.", code="too_few_units")
    df = control.n + treatment.n - 2
    pooled = math.sqrt((control.m2 + treatment.m2) / df)
    if pooled <= ROUNDING * max(abs(control.mean), abs(treatment.mean)):
        raise DataError("The metric does not vary in either arm, so there is no standard deviation to measure in.", code="no_variance")
    effect = treatment.mean - control.mean
    exact = float(special.poch((df - 1) / 2.0, 0.5)) / math.sqrt(df / 2.0)
    return EffectSizes(
        cohens_d=effect / pooled,
        hedges_g=effect / pooled * exact,
        hedges_g_approx=effect / pooled * (1.0 - 3.0 / (4.0 * df - 1.0)),
        smd=effect / math.sqrt((control.variance + treatment.variance) / 2.0),
        glass_delta=effect / math.sqrt(control.variance) if control.m2 > 0.0 else None,
        pooled_sd=pooled,
    )
