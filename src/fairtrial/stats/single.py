"""One comparison: the batch of one as an `Estimate`, and the contrast of two values known with their variances."""

from __future__ import annotations

import math

import numpy as np

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.contrast import REASONS, MeanContrast
from fairtrial.stats.lift import LiftMethod, LiftQuantile, lift_interval, relative_lift
from fairtrial.stats.result import Alternative, Estimate, Interval, check_alpha


def single_estimate(
    contrast: MeanContrast,
    *,
    method: str,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
    lift_method: LiftMethod = "delta",
    lift_quantile: LiftQuantile = "normal",
) -> Estimate:
    """The estimate of a contrast with exactly one entry.

    Args:
        contrast: One comparison, of any shape of size 1.
        method: Name of the test, for the record.
        alpha: Error rate in (0, 1) of the interval and the lift's interval.
        alternative: Sidedness of test and intervals, in SciPy's words.
        margin: Effect under the null hypothesis, in the metric's unit.
        lift_method: Interval of the relative lift.
        lift_quantile: Its quantile.

    Returns:
        Effect, intervals and p-value; the lift is None where the control's value is zero.

    Raises:
        UsageError: `alpha` lies outside (0, 1), `margin` is not finite, or an option is another word.
        NotEnoughDataError: An arm has fewer than two units.
        DataError: Nothing varies, or a denominator's mean is zero.
    """
    check_alpha(alpha)
    if not math.isfinite(margin):
        raise UsageError(f"margin must be a finite number in the metric's unit, got {margin}.")
    reason = contrast.unavailable((0,) * contrast.reasons.ndim)
    if reason is not None:
        error = NotEnoughDataError if reason.code == "too_few_units" else DataError
        raise error(reason.reason, code=reason.code)
    low, high = contrast.interval(alpha=alpha, alternative=alternative)
    lift = relative_lift(contrast).item()
    bounds = lift_interval(contrast, alpha=alpha, alternative=alternative, method=lift_method, quantile=lift_quantile)
    df, std_error = contrast.df.item(), contrast.std_error.item()
    return Estimate(
        effect=contrast.effect.item(),
        interval=Interval(low=low.item(), high=high.item()),
        p_value=contrast.p_value(alternative=alternative, margin=margin).item(),
        std_error=std_error,
        statistic=(contrast.effect.item() - margin) / std_error,
        df=df if math.isfinite(df) else None,
        control=contrast.control.item(),
        treatment=contrast.treatment.item(),
        n_control=int(contrast.n_control.item()),
        n_treatment=int(contrast.n_treatment.item()),
        alpha=alpha,
        alternative=alternative,
        margin=margin,
        method=method,
        interval_method="t" if math.isfinite(df) else "normal",
        lift=None if math.isnan(lift) else lift,
        lift_interval=Interval(low=bounds.low.item(), high=bounds.high.item()) if bounds.defined.item() else None,
        lift_method=lift_method if bounds.defined.item() else None,
        theta=contrast.theta.item() if contrast.adjusted else None,
        variance_reduction=contrast.variance_reduction.item() if contrast.adjusted else None,
    )


def contrast_of_values(
    *,
    control: float,
    treatment: float,
    control_variance: float,
    treatment_variance: float,
    n_control: int,
    n_treatment: int,
    covariance: float = 0.0,
    df: float = math.inf,
) -> MeanContrast:
    """The contrast of two values that come with their sampling variances, whatever they are.

    Args:
        control: Value of the control.
        treatment: Value of the treatment, in the same unit.
        control_variance: Sampling variance of `control`, >= 0.
        treatment_variance: Sampling variance of `treatment`, >= 0.
        n_control: Units behind `control`.
        n_treatment: Units behind `treatment`.
        covariance: Sampling covariance of the two.
        df: Degrees of freedom; `inf` for the normal distribution.

    Returns:
        A contrast of shape (1,), flagged `no_variance` where the difference has none.
    """
    variance = control_variance + treatment_variance - 2.0 * covariance
    defined = variance > 0.0
    no_variance = next(i for i, reason in enumerate(REASONS) if reason is not None and reason.code == "no_variance")
    return MeanContrast(
        effect=np.array([treatment - control]),
        control=np.array([control]),
        treatment=np.array([treatment]),
        control_variance=np.array([control_variance]),
        treatment_variance=np.array([treatment_variance]),
        covariance=np.array([covariance]),
        std_error=np.array([math.sqrt(variance) if defined else math.nan]),
        df=np.array([df]),
        n_control=np.array([float(n_control)]),
        n_treatment=np.array([float(n_treatment)]),
        theta=np.zeros(1),
        variance_reduction=np.zeros(1),
        reasons=np.array([0 if defined else no_variance], dtype=np.int8),
    )
