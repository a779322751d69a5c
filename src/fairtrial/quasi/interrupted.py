"""Interrupted series: one series before and after, its level and slope, or a counterfactual from other series.

`segmented_regression` fits a line before and lets level and slope change at the
intervention. `counterfactual_series` predicts the series after from control
series, related before, by least squares or with a level that wanders (a local
level: the structural model behind CausalImpact, here by maximum likelihood).
Errors allow for dependence in time: by default a first-order autoregression of
unknown strength (`autoregression`), which keeps its error rate in short series; by
Newey & West (1987) where lags are asked for, which needs long ones. Without a control
series whatever else happened at that moment is taken for the effect.

References: Wagner, Soumerai, Zhang & Ross-Degnan (2002), J. Clin. Pharm. Ther.
27, 299-309; Newey & West (1987), Econometrica 55, 703-708; Harvey (1989),
Forecasting, Structural Time Series Models and the Kalman Filter; Brodersen et
al. (2015), Annals of Applied Statistics 9, 247-274.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.quasi.autoregression import Autoregression
from fairtrial.quasi.columns import check_noise, numbers_of
from fairtrial.quasi.estimate import EvidenceGrade, QuasiEstimate, Tested, with_inference
from fairtrial.stats.regression import LeastSquares, coefficient_covariance, least_squares
from fairtrial.stats.result import Interval

Floats = NDArray[np.float64]
LEAST_EACH_SIDE = 3
NO_OTHER_EVENT = "Nothing else changed the series at the moment of the intervention."
STABLE_TREND = "Without it the series would have gone on as before."
DEPENDENT = 0.3
"""Lag-1 correlation of residuals from which a finding says so."""
PERSISTENT = 0.8
"""Autocorrelation above which the level of a series may wander further than a few dozen periods show."""
SHORT = 40
"""Periods below which an autocorrelation of 0.9 is not seen; measured at 5% with 24 periods in
docs/statistics/calibration/segmented_regression.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of a segmented regression.

    Attributes:
        effect: By least squares, in the outcome's unit (level) or per period (slope).
        weighed: The same with the dependence of errors weighed in, which `interval` and `p_value` are about; `effect` where
            lags were asked for.
        se_ols: Standard error of `effect` under independent residuals.
        se_newey_west: Newey-West, without a small-sample factor.
        se_adjusted: Newey-West times n / (n - k) in the variance; the one that `interval` uses where lags were asked for.
        interval: Confidence interval at level 1 - alpha.
        p_value: Two-sided.
    """

    effect: float
    weighed: float
    se_ols: float
    se_newey_west: float
    se_adjusted: float
    interval: Interval
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentedRegression:
    """Level and slope before, and how they changed.

    Attributes:
        estimate: Mean effect over the periods after: level change plus slope change times the mean time since.
        level: Change of level at the intervention.
        slope: Change of slope.
        level_before: Level at the first period.
        slope_before: Slope before.
        lags: Lags of the Newey-West errors.
        rho: Autocorrelation of neighbouring errors, on average over what the series allows; None where lags were asked for.
    """

    estimate: QuasiEstimate
    level: Change
    slope: Change
    level_before: float
    slope_before: float
    lags: int
    rho: float | None


def segmented_regression(series: ArrayLike, *, start: int, lags: int | None = None, alpha: float = 0.05) -> SegmentedRegression:
    """Change of level and slope of one series at an intervention.

    Args:
        series: One value a period, evenly spaced, in order, shape (n,).
        start: Place of the first period after the intervention, counted from 0.
        lags: Lags of Newey-West errors (Bartlett kernel), >= 0, that inference shall rest on, with t of n - 4 degrees of
            freedom. Default: errors are autoregressive, and the Newey-West errors told beside have 4 (n / 100)^(2/9) lags.
        alpha: Error rate in (0, 1).

    Returns:
        y = a + b t + c [t >= start] + d (t - start) [t >= start].

    Raises:
        UsageError: `lags` is negative or not below n.
        NotEnoughDataError: Fewer than three periods on a side, or six in all.
        DataError: A value is missing, or the line fits perfectly.

    References:
        Wagner et al. (2002), equation 1; Newey & West (1987), equation 5; default lags: Newey & West (1994);
        autoregressive errors: see `autoregression`.
    """
    y = numbers_of("series", series)
    n = y.size
    _check_sides(n, start)
    used = int(4.0 * (n / 100.0) ** (2.0 / 9.0)) if lags is None else lags
    if not 0 <= used < n:
        raise UsageError(f"lags must lie in 0..{n - 1}, got {used}.")
    t = np.arange(n, dtype=np.float64)
    after = t >= start
    design = np.column_stack([np.ones(n), t, after.astype(np.float64), np.where(after, t - start, 0.0)])
    fit = least_squares(y, design)
    check_noise(fit.residuals, y)
    ols = coefficient_covariance(fit, design, "classical")
    raw = newey_west(fit, design, used)
    scaled = raw * (n / (n - 4))
    lasting = Autoregression.of(y, design) if lags is None else None

    def told(contrast: Floats) -> Tested:
        if lasting is not None:
            return lasting.of_sum(contrast).tested(alpha=alpha)
        return with_inference(float(contrast @ fit.coefficients), math.sqrt(float(contrast @ scaled @ contrast)), df=n - 4.0, alpha=alpha)

    changes = [_change(float(fit.coefficients[j]), ols[j, j], raw[j, j], scaled[j, j], told(np.eye(4)[j])) for j in (2, 3)]
    tested = told(np.array([0.0, 0.0, 1.0, float((t[after] - start).mean())]))
    effect = tested["effect"]
    findings = (_no_control(), *(_dependence(fit.residuals[:start], used) if lasting is None else lasting_findings(lasting, n)))
    observed = float(y[start:].mean())
    estimate = QuasiEstimate(
        **tested,
        method="segmented_regression",
        interval_method="newey_west_t" if lasting is None else "autoregression_t",
        n=n,
        n_treated=n - start,
        n_control=start,
        treated=observed,
        counterfactual=observed - effect,
        assumptions=(STABLE_TREND, NO_OTHER_EVENT),
        findings=findings,
        grade=_GRADE,
        numbers={"level_change": changes[0].effect, "slope_change": changes[1].effect},
    )
    return SegmentedRegression(
        estimate=estimate,
        level=changes[0],
        slope=changes[1],
        level_before=float(fit.coefficients[0]),
        slope_before=float(fit.coefficients[1]),
        lags=used,
        rho=None if lasting is None else lasting.mean_rho,
    )


def newey_west(fit: LeastSquares, design: Floats, lags: int) -> Floats:
    """Covariance of coefficients that allows for dependence up to some lag, Bartlett weights, no small-sample factor.

    Args:
        fit: The fit of an outcome on `design`, rows in order of time.
        design: Shape (n, k).
        lags: Lags with weight 1 - l / (lags + 1), >= 0.

    Returns:
        Shape (k, k).

    References:
        Newey & West (1987), Econometrica 55, equation 5.
    """
    scores = design * fit.residuals[:, None]
    middle = scores.T @ scores
    for lag in range(1, lags + 1):
        cross = scores[lag:].T @ scores[:-lag]
        middle += (1.0 - lag / (lags + 1.0)) * (cross + cross.T)
    return fit.inverse @ middle @ fit.inverse


def _change(effect: float, ols: float, raw: float, scaled: float, tested: Tested) -> Change:
    """One coefficient with its three variances, and what inference says of it."""
    return Change(
        effect=effect,
        weighed=tested["effect"],
        se_ols=math.sqrt(ols),
        se_newey_west=math.sqrt(raw),
        se_adjusted=math.sqrt(scaled),
        interval=tested["interval"],
        p_value=tested["p_value"],
    )


def _check_sides(n: int, start: int) -> None:
    """Raise unless there are enough periods before the start and from it on."""
    if start < LEAST_EACH_SIDE or n - start < LEAST_EACH_SIDE:
        raise NotEnoughDataError(
            f"An interrupted series needs {LEAST_EACH_SIDE} periods on each side of the start, "
            f"got {max(start, 0)} and {max(n - start, 0)}.",
            hint="Check `start`, the place of the first period after, counted from 0.",
            code="too_few_periods",
        )


_GRADE = EvidenceGrade(
    level="weak",
    design="interrupted_series",
    rests_on=STABLE_TREND,
    because="One series without a control: whatever else happened then is counted as the effect.",
)


def _no_control() -> Finding:
    """That nothing separates the intervention from whatever else happened then."""
    return Finding(
        code="no_control_series",
        severity="info",
        message="There is no control series: anything else that happened at that moment is counted as the effect.",
        action="Add series that the intervention cannot have touched.",
    )


def lasting_findings(lasting: Autoregression, periods: int) -> list[Finding]:
    """How strongly neighbouring periods resemble each other, and whether there are too few to tell.

    Args:
        lasting: The errors' dependence.
        periods: Periods that it was seen in.
    """
    found: list[Finding] = []
    strong = float(lasting.weight[lasting.rho > PERSISTENT].sum())
    if strong > 0.5:
        found.append(
            Finding(
                code="persistent_series",
                severity="warning",
                message=f"The series stays where it is for long (autocorrelation about {lasting.mean_rho:.2f}): its level may wander.",
                action="The interval allows for that as far as the series can tell; add control series, or look at more periods before.",
                numbers={"correlation": lasting.mean_rho, "share_persistent": strong},
            )
        )
    elif abs(lasting.mean_rho) >= DEPENDENT:
        found.append(
            Finding(
                code="autocorrelated",
                severity="info",
                message=f"Neighbouring periods resemble each other (autocorrelation of the errors about {lasting.mean_rho:.2f}).",
                action="The interval allows for it, and for not knowing it well.",
                numbers={"correlation": lasting.mean_rho},
            )
        )
    if periods < SHORT:
        found.append(
            Finding(
                code="short_series",
                severity="info",
                message=f"{periods} periods do not tell a series that stays where it is for long (autocorrelation 0.9) from a trend.",
                action="If this one may be such, read a p-value near the limit as no evidence: add periods before the intervention.",
                numbers={"periods": periods},
            )
        )
    return found


def _dependence(residuals: Floats, lags: int) -> list[Finding]:
    """What neighbouring residuals have in common."""
    spread = float(np.square(residuals).sum())
    if residuals.size < 4 or spread <= 0.0:
        return []
    correlation = float((residuals[1:] * residuals[:-1]).sum()) / spread
    if abs(correlation) < DEPENDENT:
        return []
    return [
        Finding(
            code="autocorrelated",
            severity="info",
            message=f"Neighbouring periods resemble each other (lag-1 correlation of the residuals {correlation:.2f}).",
            action=f"Errors allow for it up to {lags} periods; with strong dependence and few periods they are still too small.",
            numbers={"correlation": correlation},
        )
    ]
