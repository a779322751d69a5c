"""Does the effect of a change fade, or grow, as units get used to it (IN-06, IN-09, I.b)?

A straight line through daily effects, not cumulative, by days since a unit's first
exposure. The same units are seen on several days, so the days may share a covariance:
generalised least squares with a known matrix; without one the days are independent and
the weights are 1 / std_error^2. A novelty is a fall of the fitted initial effect by a
quarter or more that chance alone would show less often than `alpha` (one-sided).

References: Aitken (1935), Proceedings of the Royal Society of Edinburgh 55, 42-48
(generalised least squares); Kohavi, Tang & Xu (2020), Trustworthy Online Controlled
Experiments, chapter 3.7 (primacy and novelty, effect by days since first exposure).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.result import check_alpha
from fairtrial.stats.samples import sample_of
from fairtrial.stats.tails import interval_of, p_value_of

Floats = NDArray[np.float64]
Axis = Literal["exposure_day", "assignment_day"]
NoveltyReason = Literal["too_few_days", "no_initial_effect", "singular_covariance"]
Trend = Literal["fades", "grows", "steady"]

LEAST_DAYS = 7
"""Days of effects below which nothing is said."""
LEAST_DECLINE = 0.25
"""Share of the initial effect that must be gone by the last day before a decline is called a novelty."""

NO_NOVELTY = "No significant novelty effect detected."
NOVELTY = "Significant novelty effect detected. Extend the experiment window before deciding."
PRIMACY = (
    "No significant novelty effect detected. The effect grows with the days since first exposure (primacy): "
    "extend the experiment window before deciding, its long-run size is not reached yet."
)
TOO_FEW_DAYS = f"Novelty was not tested: it needs {LEAST_DAYS} days of effects or more, there are {{days}}."
SINGULAR = "Novelty was not tested: the values of one day determine those of another, so the days hold no trend of their own."
LEAST_PIVOT = 1e-6
"""Cholesky pivot of the correlations below which one day is taken to be determined by the others."""
NO_INITIAL_EFFECT = "Novelty was not tested: the initial effect is not distinguishable from 0."
GROWS_FROM_NOTHING = (
    "Novelty was not tested: the initial effect is not distinguishable from 0. The effect moves with the days since first exposure: "
    "extend the experiment window before deciding."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayEffect:
    """One day of the trajectory.

    Attributes:
        day: Days since the unit's first exposure, from 0.
        effect: Treatment - control of that day alone.
        std_error: Its standard error.
        ci_low: Lower end of its interval at 1 - alpha.
        ci_high: Upper end.
    """

    day: int
    effect: float
    std_error: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRunEffect:
    """The effect that is left at the end: the plain mean of the last third of the days, whatever the shape before it.

    Attributes:
        first_day: First day of the mean.
        last_day: Last day of it.
        effect: Mean of their effects.
        std_error: Its standard error, with the covariance between days.
        ci_low: Lower end of its interval at 1 - alpha.
        ci_high: Upper end.
    """

    first_day: int
    last_day: int
    effect: float
    std_error: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoveltyResult:
    """Novelty of one experiment; what could not be told is None with a reason.

    Attributes:
        has_novelty: Whether the effect fades; None with `unavailable_reason`.
        decline_rate: Share of the initial effect lost a day, positive where it fades.
        p_value: One-sided, of no decline.
        initial_effect: Fitted effect on day 0, times its own sign: never negative.
        initial_std_error: Its standard error.
        slope: Change of the effect a day, times the sign of the initial effect: negative where it fades.
        slope_std_error: Its standard error.
        total_decline: decline_rate times the last day.
        sign: Sign of the fitted effect on day 0, 1 or -1.
        trend: `fades`, `grows` (primacy, by the same two rules with the sign turned) or `steady`.
        axis: What day 0 is: the unit's first exposure, or its assignment where exposures are not known.
        scale: Scale of the effects.
        alpha: Error rate of the test and of every interval.
        recommendation: What to do, in a sentence.
        unavailable_reason: `too_few_days`, `singular_covariance` or `no_initial_effect`, the first that applies.
        correlated_days: Whether the covariance between days was known and used.
        trajectory: The days' effects.
        long_run_effect: What is left at the end; None where no line was fitted.
    """

    has_novelty: bool | None
    decline_rate: float | None
    p_value: float | None
    initial_effect: float | None
    initial_std_error: float | None
    slope: float | None
    slope_std_error: float | None
    total_decline: float | None
    sign: int | None
    trend: Trend | None
    axis: Axis
    scale: str
    alpha: float
    recommendation: str
    unavailable_reason: NoveltyReason | None
    correlated_days: bool
    trajectory: tuple[DayEffect, ...]
    long_run_effect: LongRunEffect | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    start: float
    start_std_error: float
    slope: float
    slope_std_error: float


def find_novelty(
    effects: ArrayLike,
    std_errors: ArrayLike,
    *,
    days: Sequence[int] | None = None,
    covariance: ArrayLike | None = None,
    axis: Axis = "exposure_day",
    scale: str = "absolute",
    alpha: float = 0.05,
) -> NoveltyResult:
    """Whether the effect fades with the days since first exposure.

    Args:
        effects: One effect a day, not cumulative, shape (days,); none at all will do.
        std_errors: Their standard errors, > 0, shape (days,).
        days: Number of each day, >= 0 and increasing; default 0, 1, ...
        covariance: Of the effects, shape (days, days), with std_errors^2 on its diagonal; None takes days as independent.
        axis: What day 0 is.
        scale: Scale of the effects.
        alpha: Error rate in (0, 1) of the one-sided test and the intervals.

    Raises:
        UsageError: An option breaks its rule, or the lists differ in length.
        DataError: A value is not finite, a standard error is not positive, or the covariance is none.
    """
    check_alpha(alpha)
    y, se, day = _checked(effects, std_errors, days)
    matrix = np.diag(se * se) if covariance is None else _covariance(covariance, se)
    trajectory = tuple(
        DayEffect(day=int(d), effect=float(e), std_error=float(s), **_ends(float(e), float(s), alpha))
        for d, e, s in zip(day, y, se, strict=True)
    )
    line = None if y.size < LEAST_DAYS else _fit(y, day, matrix)
    if line is None:
        return _silent(trajectory, axis=axis, scale=scale, alpha=alpha, correlated=covariance is not None)
    sign = -1.0 if line.start < 0.0 else 1.0
    start, slope = sign * line.start, sign * line.slope
    last = float(day[-1])
    p_value = p_value_of(slope / line.slope_std_error, math.inf, "less").item()
    is_there = p_value_of(line.start / line.start_std_error, math.inf).item() < alpha
    rate = -slope / start if is_there else None
    trend = _trend(rate, last, p_value, alpha)
    moves = p_value_of(slope / line.slope_std_error, math.inf).item() < alpha
    texts: dict[Trend | None, str] = {"fades": NOVELTY, "grows": PRIMACY, "steady": NO_NOVELTY}
    return NoveltyResult(
        has_novelty=None if trend is None else trend == "fades",
        decline_rate=rate,
        p_value=p_value if is_there else None,
        initial_effect=start,
        initial_std_error=line.start_std_error,
        slope=slope,
        slope_std_error=line.slope_std_error,
        total_decline=None if rate is None else rate * last,
        sign=int(sign),
        trend=trend,
        axis=axis,
        scale=scale,
        alpha=alpha,
        recommendation=texts.get(trend, GROWS_FROM_NOTHING if moves else NO_INITIAL_EFFECT),
        unavailable_reason=None if is_there else "no_initial_effect",
        correlated_days=covariance is not None,
        trajectory=trajectory,
        long_run_effect=_long_run(y, day, matrix, alpha),
    )


def _trend(rate: float | None, last: float, p_value: float, alpha: float) -> Trend | None:
    if rate is None:
        return None
    if p_value < alpha and rate * last >= LEAST_DECLINE:
        return "fades"
    return "grows" if 1.0 - p_value < alpha and -rate * last >= LEAST_DECLINE else "steady"


def _silent(trajectory: tuple[DayEffect, ...], *, axis: Axis, scale: str, alpha: float, correlated: bool) -> NoveltyResult:
    few = len(trajectory) < LEAST_DAYS
    return NoveltyResult(
        has_novelty=None,
        decline_rate=None,
        p_value=None,
        initial_effect=None,
        initial_std_error=None,
        slope=None,
        slope_std_error=None,
        total_decline=None,
        sign=None,
        trend=None,
        axis=axis,
        scale=scale,
        alpha=alpha,
        recommendation=TOO_FEW_DAYS.format(days=len(trajectory)) if few else SINGULAR,
        unavailable_reason="too_few_days" if few else "singular_covariance",
        correlated_days=correlated,
        trajectory=trajectory,
        long_run_effect=None,
    )


def _fit(y: Floats, day: Floats, matrix: Floats) -> _Line | None:
    """Generalised least squares of y on (1, day), the covariance of y known.

    Whitened by the Cholesky root of the covariance scaled to correlations, so that the unit of the effects does not matter.
    None where the covariance is singular.
    """
    size = np.sqrt(np.diag(matrix))
    try:
        root = np.linalg.cholesky(matrix / np.outer(size, size))
    except np.linalg.LinAlgError:
        return None
    if float(np.diag(root).min()) < LEAST_PIVOT:
        return None
    design = np.column_stack([np.ones_like(day), day]) / size[:, None]
    white, target = np.linalg.solve(root, design), np.linalg.solve(root, y / size)
    inverse = np.linalg.inv(white.T @ white)
    start, slope = inverse @ (white.T @ target)
    errors = np.sqrt(np.diag(inverse))
    return _Line(start=float(start), start_std_error=float(errors[0]), slope=float(slope), slope_std_error=float(errors[1]))


def _long_run(y: Floats, day: Floats, matrix: Floats, alpha: float) -> LongRunEffect:
    k = max(1, y.size // 3)
    effect = float(y[-k:].mean())
    std_error = math.sqrt(float(matrix[-k:, -k:].sum())) / k
    return LongRunEffect(
        first_day=int(day[-k]), last_day=int(day[-1]), effect=effect, std_error=std_error, **_ends(effect, std_error, alpha)
    )


def _ends(effect: float, std_error: float, alpha: float) -> dict[str, float]:
    low, high = interval_of(effect, std_error, math.inf, alpha=alpha)
    return {"ci_low": low.item(), "ci_high": high.item()}


def _checked(effects: ArrayLike, std_errors: ArrayLike, days: Sequence[int] | None) -> tuple[Floats, Floats, Floats]:
    if np.size(effects) == 0 == np.size(std_errors) and not days:
        return np.empty(0), np.empty(0), np.empty(0)
    y, se = sample_of(effects), sample_of(std_errors)
    day = np.arange(y.size) if days is None else np.asarray(days)
    if not y.size == se.size == day.size:
        raise UsageError(f"Every effect needs a standard error and a day, got {y.size}, {se.size} and {day.size}.")
    if (se <= 0.0).any():
        raise DataError(f"A standard error must be positive, got {se.min():g}.", code="no_variance")
    if day[0] < 0 or (np.diff(day) <= 0).any():
        raise UsageError(f"Days must be >= 0 and increase, got {day.tolist()}.")
    return y, se, day.astype(np.float64)


def _covariance(covariance: ArrayLike, se: Floats) -> Floats:
    matrix = np.asarray(covariance, dtype=np.float64)
    if matrix.shape != (se.size, se.size):
        raise UsageError(f"The covariance of {se.size} days must be of shape {(se.size, se.size)}, got {matrix.shape}.")
    if not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, rtol=1e-9, atol=0.0):
        raise DataError("The covariance of the daily effects must be finite and symmetric.", code="bad_value")
    if not np.allclose(np.diag(matrix), se * se, rtol=1e-6, atol=0.0):
        raise UsageError("The diagonal of the covariance must be the squares of the standard errors.")
    return matrix
