"""Does an effect fade with time, and were controls reached by the treatment?

Novelty is a straight line through daily effects, which are not cumulative, weighted by
their precision. It is believed where the decline is significant, one-sided, and takes a
quarter at least of the effect of the first day: a threshold of the slope itself would
miss a small effect that fades wholly. Contamination is the share of the controls that
were assigned who show exposure to the treatment, with Wilson's interval.

References: Hedges & Olkin (1985), Statistical Methods for Meta-Analysis, chapter 8;
Wilson (1927), JASA 22, 209-212.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.errors import UsageError
from fairtrial.stats.proportion_intervals import wilson_interval
from fairtrial.stats.result import check_alpha
from fairtrial.stats.tails import critical_value, interval_of
from fairtrial.stats.trends import novelty_slope

FEWEST_DAYS = 7
LEAST_DECLINE = 0.25
"""Share of the initial effect that must be lost over the days seen."""
MOST_EXPOSED = 0.05
"""Contamination above which, by the lower end of its interval, effects are biased."""

NoNovelty = Literal["too_few_days", "no_initial_effect"]
NoRate = Literal["no_controls", "no_exposures"]

NO_NOVELTY = "No significant novelty effect detected."
NOVELTY = "Significant novelty effect detected. Extend the experiment window before deciding."
NOT_JUDGED = "Novelty not judged: {reason}."
EXPOSED = "Control users show treatment exposure. Effect estimates are likely biased."


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyEffect:
    """The effect of one day.

    Attributes:
        day: Its number, from 0.
        effect: Treatment minus control, of outcomes of that day.
        std_error: Its standard error.
        ci_low: Lower end of its normal interval.
        ci_high: Upper end.
    """

    day: int
    effect: float
    std_error: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Novelty:
    """Whether an effect fades.

    Attributes:
        has_novelty: p_value < alpha and total_decline >= 0.25; None where it cannot be told.
        decline_rate: Share of the initial effect lost per day; negative where it grows.
        p_value: One-sided, of no decline.
        initial_effect: Fitted effect of day 0, taken as positive.
        slope: Its change per day, negative where it fades.
        slope_std_error: Of the slope, from the daily errors.
        total_decline: decline_rate times the days less one.
        recommendation: What to do.
        unavailable_reason: Why it cannot be told.
        trajectory: The daily effects.
    """

    has_novelty: bool | None
    decline_rate: float | None
    p_value: float | None
    initial_effect: float | None
    slope: float | None
    slope_std_error: float | None
    total_decline: float | None
    recommendation: str
    unavailable_reason: NoNovelty | None
    trajectory: tuple[DailyEffect, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contamination:
    """Whether controls were reached by the treatment.

    Attributes:
        has_violation: ci_low > 0.05, or interference was declared; None where it cannot be told.
        contamination_rate: Controls exposed over controls assigned.
        ci_low: Lower end of Wilson's interval.
        ci_high: Upper end.
        controls_exposed: Controls with evidence of exposure.
        controls_assigned: Controls assigned.
        declared: What was declared to let arms reach each other, as `shared_resource`.
        warning_message: What a violation means.
        unavailable_reason: Why there is no rate.
    """

    has_violation: bool | None
    contamination_rate: float | None
    ci_low: float | None
    ci_high: float | None
    controls_exposed: int
    controls_assigned: int
    declared: tuple[str, ...]
    warning_message: str | None
    unavailable_reason: NoRate | None


def judge_novelty(effects: ArrayLike, std_errors: ArrayLike, *, alpha: float = 0.05) -> Novelty:
    """Does an effect fade over the days since each unit began?

    Args:
        effects: One effect a day from day 0 on, not cumulative, shape (days,).
        std_errors: Their standard errors, > 0, the same shape.
        alpha: Error rate in (0, 1) of the one-sided test of decline, and of the test that there is an effect on day 0.

    Raises:
        UsageError: The lists differ in length, or alpha lies outside (0, 1).
        DataError: A value is not finite, or a standard error is not positive.
    """
    check_alpha(alpha)
    y, se = np.asarray(effects, dtype=np.float64), np.asarray(std_errors, dtype=np.float64)
    if y.shape != se.shape or y.ndim != 1:
        raise UsageError(f"Every daily effect needs a standard error, got shapes {y.shape} and {se.shape}.")
    trajectory = _trajectory(y, se, alpha)
    if y.size < FEWEST_DAYS:
        return _untold("too_few_days", trajectory)
    line = novelty_slope(y, se, first_day=0.0)
    if abs(line.intercept) <= critical_value(alpha, np.inf, "two-sided").item() * line.intercept_std_error:
        return _untold("no_initial_effect", trajectory)
    sign = 1.0 if line.intercept > 0.0 else -1.0
    initial, slope = sign * line.intercept, sign * line.slope
    p_value = float(special.ndtr(slope / line.std_error))
    decline = -slope / initial
    total = decline * (y.size - 1)
    found = p_value < alpha and total >= LEAST_DECLINE
    return Novelty(
        has_novelty=found,
        decline_rate=decline,
        p_value=p_value,
        initial_effect=initial,
        slope=slope,
        slope_std_error=line.std_error,
        total_decline=total,
        recommendation=NOVELTY if found else NO_NOVELTY,
        unavailable_reason=None,
        trajectory=trajectory,
    )


def judge_contamination(exposed: int, assigned: int, *, observed: bool = True, declared: tuple[str, ...] = ()) -> Contamination:
    """Were controls reached by the treatment?

    Args:
        exposed: Controls with evidence of exposure to the treatment, in 0..assigned.
        assigned: Controls assigned.
        observed: Whether exposures were recorded at all: without any there is no evidence of none either.
        declared: What the experiment declares to let arms reach each other; any is a violation.

    Raises:
        UsageError: A count is out of range.
    """
    if not 0 <= exposed <= assigned:
        raise UsageError(f"Exposed controls must lie in 0..{assigned}, got {exposed}.")
    reason: NoRate | None = "no_controls" if assigned == 0 else None if observed else "no_exposures"
    interval = None if reason else wilson_interval(exposed, assigned)
    found = True if declared else None if interval is None else interval.low > MOST_EXPOSED
    return Contamination(
        has_violation=found,
        contamination_rate=None if reason else exposed / assigned,
        ci_low=None if interval is None else interval.low,
        ci_high=None if interval is None else interval.high,
        controls_exposed=exposed,
        controls_assigned=assigned,
        declared=declared,
        warning_message=EXPOSED if found else None,
        unavailable_reason=reason,
    )


def _trajectory(effects: NDArray[np.float64], errors: NDArray[np.float64], alpha: float) -> tuple[DailyEffect, ...]:
    if effects.size == 0:
        return ()
    low, high = interval_of(effects, errors, np.inf, alpha=alpha)
    rows = zip(effects.tolist(), errors.tolist(), low.tolist(), high.tolist(), strict=True)
    return tuple(DailyEffect(day=day, effect=e, std_error=s, ci_low=a, ci_high=b) for day, (e, s, a, b) in enumerate(rows))


def _untold(reason: NoNovelty, trajectory: tuple[DailyEffect, ...]) -> Novelty:
    return Novelty(
        has_novelty=None,
        decline_rate=None,
        p_value=None,
        initial_effect=None,
        slope=None,
        slope_std_error=None,
        total_decline=None,
        recommendation=NOT_JUDGED.format(reason=reason),
        unavailable_reason=reason,
        trajectory=trajectory,
    )
