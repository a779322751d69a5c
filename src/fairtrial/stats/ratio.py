"""Ratio of sums over randomised units (clicks per session), by the delta method.

The analysis unit of the denominator (a session) is not the randomised unit (a
person), so the values behind the ratio are not independent; the units are. The
ratio of two means over units is linearised in them, which keeps every
dependence within a unit in its variance.

References: Deng, Knoblich & Lu (2018), KDD, section 2; Cochran (1977), Sampling
Techniques, section 6.
"""

from __future__ import annotations

from dataclasses import dataclass

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.contrast import expand, linear_contrast
from fairtrial.stats.lift import LiftMethod
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.result import Alternative, Estimate
from fairtrial.stats.single import single_estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioValue:
    """One arm's ratio.

    Attributes:
        ratio: Sum of the numerator over sum of the denominator.
        std_error: Its standard error by the delta method; None with fewer than two units.
        n: Units.
    """

    ratio: float
    std_error: float | None
    n: int


def ratio_value(moments: CoMoments) -> RatioValue:
    """One arm's ratio of sums and its standard error.

    Args:
        moments: Over two columns, numerator and denominator, one row a unit.

    Returns:
        The ratio, in the unit of numerator per denominator.

    Raises:
        UsageError: The moments are not of two columns.
        DataError: The denominator's mean is zero.

    References:
        Deng, Knoblich & Lu (2018), KDD, section 2.
    """
    _check_columns(moments)
    numerator, denominator = float(moments.mean[0]), float(moments.mean[1])
    if denominator == 0.0:
        raise DataError("A ratio needs a denominator whose mean is not zero.", code="zero_denominator")
    ratio = numerator / denominator
    cross = moments.cross
    total = float(cross[0, 0] - 2.0 * ratio * cross[0, 1] + ratio * ratio * cross[1, 1])
    n = moments.n
    std_error = (max(total, 0.0) / (n - 1) / n) ** 0.5 / abs(denominator) if n > 1 else None
    return RatioValue(ratio=ratio, std_error=std_error, n=n)


def ratio_test(
    control: CoMoments,
    treatment: CoMoments,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
    lift_method: LiftMethod = "delta",
) -> Estimate:
    """Difference of two ratios of sums, normal quantile.

    Args:
        control: Over two columns, numerator and denominator, one row a randomised unit, n >= 2.
        treatment: The same of the treatment.
        alpha: Type I error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: The alternative hypothesis, in SciPy's words.
        margin: Effect under the null hypothesis, in the ratio's unit.
        lift_method: Interval of the relative lift.

    Returns:
        The effect in the ratio's unit; `df` is None.

    Raises:
        UsageError: The moments are not of two columns, or an option breaks its rule.
        NotEnoughDataError: An arm has fewer than two units.
        DataError: A denominator's mean is zero, or neither arm varies.

    References:
        Deng, Knoblich & Lu (2018), KDD, section 2.2.
    """
    _check_columns(control)
    _check_columns(treatment)
    contrast = linear_contrast(expand([control], "ratio"), expand([treatment], "ratio"))
    return single_estimate(contrast, method="ratio_delta", alpha=alpha, alternative=alternative, margin=margin, lift_method=lift_method)


def _check_columns(moments: CoMoments) -> None:
    if moments.columns != 2:
        raise UsageError(f"A ratio needs moments of two columns, numerator and denominator, got {moments.columns}.")
