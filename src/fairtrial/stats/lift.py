"""Relative lift, treatment / control - 1, with its interval: delta, log or Fieller.

- `delta`: first-order variance of the quotient, symmetric about the lift.
- `log`: delta method on ln(treatment / control), exponentiated; for proportions it is
  Katz's interval, since var(ln p) = (1 - p) / (p n). Needs both values positive.
- `fieller`: exact for two normal values; every lift r with |t - (1 + r) c| within the
  critical value of its standard error. Unbounded when the control's value is not
  itself different from zero at the same level; then there is no finite interval, and
  the result says so instead of inventing one.

All three read nothing but two values, their sampling variances and their
covariance, so they serve means, ratios, proportions and adjusted values alike.

References: Katz, Baptista, Azen & Pike (1978), Biometrics 34, 469-474; Fieller
(1954), JRSS B 16, 175-185; Deng, Knoblich & Lu (2018), KDD, section 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.contrast import expand, linear_contrast, satterthwaite_df
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.result import Alternative, Interval
from fairtrial.stats.tails import Floats, critical_value, interval_of, p_value_of

LiftMethod = Literal["delta", "log", "fieller"]
LiftQuantile = Literal["normal", "t"]


class ArmValues(Protocol):
    """Two values with their sampling variances, as arrays of one shape; `MeanContrast` is one."""

    @property
    def control(self) -> Floats:
        """Value of the control."""
        ...

    @property
    def treatment(self) -> Floats:
        """Value of the treatment."""
        ...

    @property
    def control_variance(self) -> Floats:
        """Sampling variance of `control`; NaN where it is not defined."""
        ...

    @property
    def treatment_variance(self) -> Floats:
        """Sampling variance of `treatment`; NaN where it is not defined."""
        ...

    @property
    def covariance(self) -> Floats:
        """Sampling covariance of the two values."""
        ...

    @property
    def n_control(self) -> Floats:
        """Units of the control."""
        ...

    @property
    def n_treatment(self) -> Floats:
        """Units of the treatment."""
        ...


class LiftBounds(NamedTuple):
    """Ends of lift intervals, never NaN: where nothing can be said they are -inf and inf.

    Attributes:
        low: Lower ends; `-inf` when the alternative is `less`.
        high: Upper ends; `inf` when the alternative is `greater`.
    """

    low: Floats
    high: Floats

    @property
    def defined(self) -> NDArray[np.bool_]:
        """Whether an entry excludes any lift at all."""
        return np.isfinite(self.low) | np.isfinite(self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftEstimate:
    """A relative lift with its interval.

    Attributes:
        lift: Treatment / control - 1, a fraction.
        std_error: On the method's scale (of ln(1 + lift) for `log`); None for Fieller.
        df: Degrees of freedom of the quantile; None when normal.
        p_value: Of the null hypothesis of no lift, on the method's scale; None for Fieller.
        interval: Confidence interval of `lift`; None where the method gives no bounded one.
        method: `delta`, `log` or `fieller`.
    """

    lift: float
    std_error: float | None
    df: float | None
    p_value: float | None
    interval: Interval | None
    method: LiftMethod


def relative_lift(values: ArmValues) -> Floats:
    """Treatment / control - 1; NaN where the control's value is zero or not defined.

    Args:
        values: Two arms' values.
    """
    with np.errstate(all="ignore"):
        lift = (values.treatment - values.control) / values.control
    return np.where(np.isfinite(lift), lift, np.nan)


def lift_std_error(values: ArmValues, *, method: LiftMethod = "delta", quantile: LiftQuantile = "normal") -> tuple[Floats, Floats]:
    """Standard error of the lift on the method's scale, and its degrees of freedom.

    Args:
        values: Two arms' values.
        method: `delta` for the lift itself, `log` for ln(1 + lift).
        quantile: `t` gives the Welch-Satterthwaite degrees of freedom, of the absolute
            difference for `delta` and of the log ratio for `log`; `normal` gives `inf`.

    Returns:
        Standard errors, NaN where not defined, and degrees of freedom.

    Raises:
        UsageError: `method` is `fieller`, which has no standard error, or another word.
    """
    if method not in {"delta", "log"}:
        raise UsageError(f"A standard error exists for method 'delta' or 'log', got {method!r}.")
    c, t = values.control, values.treatment
    with np.errstate(all="ignore"):
        positive = (c > 0.0) & (t > 0.0) if method == "log" else c != 0.0
        scale_c, scale_t = (1.0 / c, 1.0 / t) if method == "log" else (t / c / c, 1.0 / c)
        cross = scale_c * scale_t * values.covariance
        variance = scale_c**2 * values.control_variance + scale_t**2 * values.treatment_variance - 2.0 * cross
        std_error = np.where(positive, np.sqrt(variance), np.nan)
        if quantile == "normal":
            return std_error, np.full(std_error.shape, np.inf)
        weight_c, weight_t = (scale_c**2, scale_t**2) if method == "log" else (1.0, 1.0)
        left = weight_c * (values.control_variance - values.covariance), weight_t * (values.treatment_variance - values.covariance)
    return std_error, satterthwaite_df(left[0], values.n_control, left[1], values.n_treatment)


def lift_interval(
    values: ArmValues,
    *,
    alpha: ArrayLike,
    alternative: Alternative = "two-sided",
    method: LiftMethod = "delta",
    quantile: LiftQuantile = "normal",
) -> LiftBounds:
    """Interval of the relative lift, of level 1 - `alpha`, over whole arrays.

    Args:
        values: Two arms' values, variances and covariance: a `MeanContrast` or any like it.
        alpha: Error rate in (0, 1), one or an array.
        alternative: `greater` leaves the upper end infinite, `less` the lower; on the lift's scale.
        method: `delta`, `log` or `fieller`.
        quantile: `normal`, or `t` with Welch-Satterthwaite degrees of freedom.

    Returns:
        The ends. Both are infinite (and `defined` is False) where the control's value is zero,
        or not positive for `log`, where a variance is not defined, or where Fieller's set is
        unbounded.

    Raises:
        UsageError: An `alpha` lies outside (0, 1), or an option is another word.
    """
    if method not in get_args(LiftMethod) or quantile not in get_args(LiftQuantile):
        raise UsageError(
            f"method must be one of {list(get_args(LiftMethod))} and quantile one of {list(get_args(LiftQuantile))}, "
            f"got {method!r} and {quantile!r}."
        )
    with np.errstate(all="ignore"):
        if method == "fieller":
            _, df = lift_std_error(values, quantile=quantile)
            low, high = _fieller(values, critical_value(alpha, df, alternative))
        else:
            std_error, df = lift_std_error(values, method=method, quantile=quantile)
            lift = relative_lift(values)
            center = np.log1p(lift) if method == "log" else lift
            low, high = interval_of(center, std_error, df, alpha=alpha, alternative=alternative)
            if method == "log":
                low, high = np.expm1(low), np.expm1(high)
    nowhere = np.isnan(low) | np.isnan(high)
    return LiftBounds(
        low=np.where(nowhere | (alternative == "less"), -np.inf, low), high=np.where(nowhere | (alternative == "greater"), np.inf, high)
    )


def lift_of_means(
    control: Moments,
    treatment: Moments,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    method: LiftMethod = "delta",
    quantile: LiftQuantile = "normal",
) -> LiftEstimate:
    """Relative lift of one mean over another, with its interval.

    Args:
        control: Moments of the control, in the metric's unit.
        treatment: Moments of the treatment, in the same unit.
        alpha: Error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: Sidedness, in SciPy's words.
        method: `delta`, `log` or `fieller`.
        quantile: `normal`, or `t` with Welch-Satterthwaite degrees of freedom.

    Returns:
        The lift, a fraction.

    Raises:
        UsageError: An option breaks its rule.
        DataError: An arm has fewer than two units, neither varies, or the control's mean is zero
            (for `log`: one of the means is not positive).
    """
    contrast = linear_contrast(expand([CoMoments.of(control)]), expand([CoMoments.of(treatment)]))
    reason = contrast.unavailable(0)
    if reason is not None:
        raise DataError(reason.reason, code=reason.code)
    return lift_estimate(contrast, alpha=alpha, alternative=alternative, method=method, quantile=quantile)


def lift_estimate(
    values: ArmValues,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    method: LiftMethod = "delta",
    quantile: LiftQuantile = "normal",
) -> LiftEstimate:
    """Relative lift of a single pair of values (arrays with one entry).

    Args:
        values: Two arms' values, variances and covariance.
        alpha: Error rate in (0, 1); the interval covers 1 - `alpha`.
        alternative: Sidedness, in SciPy's words.
        method: `delta`, `log` or `fieller`.
        quantile: `normal`, or `t` with Welch-Satterthwaite degrees of freedom.

    Returns:
        The lift, a fraction; its interval is None where Fieller's set is unbounded.

    Raises:
        UsageError: An option breaks its rule.
        DataError: The control's value is zero (for `log`: one of the values is not positive).
    """
    bounds = lift_interval(values, alpha=alpha, alternative=alternative, method=method, quantile=quantile)
    lift = relative_lift(values).item()
    if np.isnan(lift) or (method == "log" and not bounds.defined.item()):
        raise DataError(
            f"A lift needs a control value other than zero, and positive values for method 'log', "
            f"got {values.control.item():g} and {values.treatment.item():g}.",
            hint="Read the absolute effect instead.",
            code="no_lift",
        )
    interval = Interval(low=bounds.low.item(), high=bounds.high.item()) if bounds.defined.item() else None
    if method == "fieller":
        return LiftEstimate(lift=lift, std_error=None, df=None, p_value=None, interval=interval, method=method)
    std_error, df = lift_std_error(values, method=method, quantile=quantile)
    statistic = (np.log1p(lift) if method == "log" else lift) / std_error
    return LiftEstimate(
        lift=lift,
        std_error=std_error.item(),
        df=df.item() if quantile == "t" else None,
        p_value=p_value_of(statistic, df, alternative).item(),
        interval=interval,
        method=method,
    )


def _fieller(values: ArmValues, reach: Floats) -> tuple[Floats, Floats]:
    """Roots in r of (t - (1 + r) c)^2 = reach^2 var(t - (1 + r) c); NaN where the set is unbounded."""
    c, t, both = values.control, values.treatment, values.covariance
    square = reach * reach
    leading = c * c - square * values.control_variance
    middle = c * (t - c) - square * (both - values.control_variance)
    inner = t * t * values.control_variance + c * c * values.treatment_variance - 2.0 * t * c * both
    inner = inner - square * (values.control_variance * values.treatment_variance - both * both)
    half = reach * np.sqrt(np.maximum(inner, 0.0))
    bounded = leading > 0.0
    return np.where(bounded, (middle - half) / leading, np.nan), np.where(bounded, (middle + half) / leading, np.nan)
