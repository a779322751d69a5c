"""How an effect moves over the days: novelty slope, heterogeneity between days, rank trend.

Input is one effect a day with its standard error, not cumulative (cumulative effects
share their data and their slope says little), by days since a unit's first exposure
for novelty, by calendar day for the rest. Days are taken as independent, which holds
where each unit counts on one day, and roughly where days are far apart.

References: weighted least squares with known variances: Hedges & Olkin (1985),
Statistical Methods for Meta-Analysis, chapter 8; Cochran (1954), Biometrics 10,
101-129; Higgins & Thompson (2002), Statistics in Medicine 21, 1539-1558 (I^2); Birge
(1932), Physical Review 40, 207-227; Mann (1945), Econometrica 13, 245-259; Kendall
(1975), Rank Correlation Methods; Sen (1968), JASA 63, 1379-1389.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.result import Alternative, Interval, check_alpha
from fairtrial.stats.samples import sample_of
from fairtrial.stats.tails import interval_of, p_value_of

Floats = NDArray[np.float64]

Regressor = Literal["day", "log_day", "sqrt_day"]
"""What the effect is a straight line in: the day, its logarithm, or its root."""

LONGEST = 5_000
"""Points of the longest series that `mann_kendall` takes: it looks at all pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendFit:
    """A straight line through daily effects, weighted by their precision.

    Attributes:
        slope: Change of the effect per unit of the regressor.
        intercept: Fitted effect where the regressor is 0.
        std_error: Standard error of the slope when the daily standard errors are right.
        z: slope / std_error.
        p_value: Of no slope, normal distribution.
        interval: Confidence interval of the slope, normal distribution.
        intercept_std_error: Standard error of the intercept, the same.
        std_error_scaled: `std_error` times `birge_ratio`: the scatter around the line is believed instead.
        t: slope / std_error_scaled; None where the line fits exactly.
        df: Days less two.
        p_value_t: Of no slope, Student's t; None where the line fits exactly.
        birge_ratio: Root of the weighted squared residuals over `df`; far above 1 the days differ by more than their errors.
    """

    slope: float
    intercept: float
    std_error: float
    z: float
    p_value: float
    interval: Interval
    intercept_std_error: float
    std_error_scaled: float
    t: float | None
    df: int
    p_value_t: float | None
    birge_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heterogeneity:
    """Do the days' effects differ by more than their errors?

    Attributes:
        effect: Inverse-variance weighted mean of the effects.
        std_error: Its standard error.
        cochran_q: Weighted squared distances from it.
        df: Days less one.
        p_value: P(chi-square with `df` degrees of freedom > `cochran_q`).
        i_squared: Share of the scatter that is not error, max(0, (Q - df) / Q), in [0, 1).
    """

    effect: float
    std_error: float
    cochran_q: float
    df: int
    p_value: float
    i_squared: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MannKendall:
    """Does a series rise or fall, whatever the shape?

    Attributes:
        s: Pairs that rise less pairs that fall.
        variance: Of `s` without trend, corrected for ties.
        z: (s - sign(s)) / sqrt(variance).
        p_value: Two-sided, normal approximation.
        sen_slope: Median of the slopes of all pairs, per step.
    """

    s: float
    variance: float
    z: float
    p_value: float
    sen_slope: float


def novelty_slope(
    effects: ArrayLike,
    std_errors: ArrayLike,
    *,
    first_day: float = 1.0,
    regressor: Regressor = "day",
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> TrendFit:
    """Slope of daily effects by weighted least squares with weights 1 / std_error^2.

    Args:
        effects: One effect a day, not cumulative, shape (days,), three days or more, in order.
        std_errors: Their standard errors, > 0.
        first_day: Number of the first day; with 0 and `day` the intercept is the effect of the first day.
        regressor: `day`, `log_day` or `sqrt_day` (novelty that fades fast, then slowly).
        alpha: Error rate in (0, 1) of the slope's interval.
        alternative: Of both p-values and the interval, in SciPy's words; novelty is `less` for a positive effect.

    Returns:
        The line, with the known-variance z and the residual-scaled t.

    Raises:
        UsageError: An option breaks its rule, or the lists differ in length.
        NotEnoughDataError: There are fewer than three days.
        DataError: A value is not finite, or a standard error is not positive.

    References:
        Hedges & Olkin (1985), chapter 8; Birge (1932) for the scaling.
    """
    check_alpha(alpha)
    y, se = _daily(effects, std_errors, least=3)
    x = _regressor(y.size, first_day, regressor)
    weights = (se.min() / se) ** 2
    total = float(weights.sum())
    x_mean, y_mean = float((weights * x).sum()) / total, float((weights * y).sum()) / total
    dx = x - x_mean
    spread = float((weights * dx * dx).sum())
    slope = float((weights * dx * (y - y_mean)).sum()) / spread
    unit = float(se.min())
    std_error = unit / math.sqrt(spread)
    df = y.size - 2
    residuals = ((y - y_mean) - slope * dx) / se
    birge = math.sqrt(float((residuals * residuals).sum()) / df)
    scaled = std_error * birge
    low, high = interval_of(slope, std_error, math.inf, alpha=alpha, alternative=alternative)
    t = slope / scaled if scaled > 0.0 else None
    return TrendFit(
        slope=slope,
        intercept=y_mean - slope * x_mean,
        std_error=std_error,
        z=slope / std_error,
        p_value=p_value_of(slope / std_error, math.inf, alternative).item(),
        interval=Interval(low=low.item(), high=high.item()),
        intercept_std_error=unit * math.sqrt(1.0 / total + x_mean * x_mean / spread),
        std_error_scaled=scaled,
        t=t,
        df=df,
        p_value_t=None if t is None else p_value_of(t, df, alternative).item(),
        birge_ratio=birge,
    )


def daily_heterogeneity(effects: ArrayLike, std_errors: ArrayLike) -> Heterogeneity:
    """Cochran's Q of daily effects: do they differ by more than their errors?

    Args:
        effects: One effect a day (or arm, or segment), shape (n,), two or more.
        std_errors: Their standard errors, > 0.

    Raises:
        UsageError: The lists differ in length.
        NotEnoughDataError: There are fewer than two effects.
        DataError: A value is not finite, or a standard error is not positive.

    References:
        Cochran (1954), Biometrics 10, 101-129; Higgins & Thompson (2002), equation 10.
    """
    y, se = _daily(effects, std_errors, least=2)
    smallest = float(se.min())
    weights = (smallest / se) ** 2
    total = float(weights.sum())
    center = float(y[np.argmin(se)])
    effect = center + float((weights * (y - center)).sum()) / total
    q = float((((y - effect) / se) ** 2).sum())
    df = y.size - 1
    return Heterogeneity(
        effect=effect,
        std_error=smallest / math.sqrt(total),
        cochran_q=q,
        df=df,
        p_value=float(special.chdtrc(df, q)),
        i_squared=max(0.0, (q - df) / q) if q > 0.0 else 0.0,
    )


def mann_kendall(series: ArrayLike) -> MannKendall:
    """Mann and Kendall's test of trend in ranks, with Sen's slope.

    Args:
        series: Values in the order of time, evenly spaced, 3 to 5,000.

    Raises:
        NotEnoughDataError: There are fewer than three values.
        UsageError: There are more than 5,000.
        DataError: A value is not finite, or all are equal.

    References:
        Kendall (1975), section 4.4 (variance with ties, continuity correction); Sen (1968).
    """
    y = sample_of(series)
    n = y.size
    if n < 3:
        raise NotEnoughDataError(f"A trend needs at least three values, got {n}.", code="too_few_days")
    if n > LONGEST:
        raise UsageError(f"A series may have at most {LONGEST:,} values, got {n:,}.", hint="Average them over days or weeks first.")
    steps = [y[lag:] - y[:-lag] for lag in range(1, n)]
    s = float(sum(np.sign(step).sum() for step in steps))
    ties = np.unique(y, return_counts=True)[1].astype(np.float64)
    variance = (n * (n - 1.0) * (2.0 * n + 5.0) - float((ties * (ties - 1.0) * (2.0 * ties + 5.0)).sum())) / 18.0
    if variance <= 0.0:
        raise DataError("A trend needs values that are not all equal.", code="no_variance")
    z = (s - math.copysign(1.0, s)) / math.sqrt(variance) if s else 0.0
    slopes = np.concatenate([step / (lag + 1) for lag, step in enumerate(steps)])
    return MannKendall(s=s, variance=variance, z=z, p_value=p_value_of(z, math.inf).item(), sen_slope=float(np.median(slopes)))


def _daily(effects: ArrayLike, std_errors: ArrayLike, *, least: int) -> tuple[Floats, Floats]:
    y, se = sample_of(effects), sample_of(std_errors)
    if y.size != se.size:
        raise UsageError(f"Every effect needs a standard error, got {y.size} effects and {se.size} standard errors.")
    if y.size < least:
        raise NotEnoughDataError(f"At least {least} daily effects are needed, got {y.size}.", code="too_few_days")
    if (se <= 0.0).any():
        raise DataError(f"A standard error must be positive, got {se.min():g}.", code="no_variance")
    return y, se


def _regressor(days: int, first_day: float, regressor: str) -> Floats:
    least = {"day": -math.inf, "sqrt_day": 0.0, "log_day": math.ulp(0.0)}
    if regressor not in least:
        raise UsageError(f"regressor must be one of {list(least)}, got {regressor!r}.")
    if not (math.isfinite(first_day) and first_day >= least[regressor]):
        raise UsageError(f"first_day must be a finite number, above 0 for 'log_day' and not below for 'sqrt_day', got {first_day}.")
    day = first_day + np.arange(days, dtype=np.float64)
    return np.log(day) if regressor == "log_day" else np.sqrt(day) if regressor == "sqrt_day" else day
