"""Guardrails of a staged rollout: harm with its interval, and the state that follows (AD-08).

Positive harm is worse. A harm h with interval [hl, hu] and margin d is an ALERT when hl > d, or
h > d and hl > 0, or all of the treatment's interval lies beyond its limit; a WARNING when
h > d, or hl > 0, or the estimate is beyond the limit. Without data, or with too few users, it is
UNAVAILABLE, which is not a pass. Read once, means have Welch's interval and rates the score
interval; read every day, all have the always-valid interval of a normal mixture (Johari et al.
2022), with the margin as the effect that it is tuned for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fairtrial.decisions.decision import GuardrailState
from fairtrial.decisions.guardrails import HarmReading, guardrail_state, is_non_inferior, worst
from fairtrial.decisions.ramp_evidence import Contrast, GuardrailEvidence, MeanArm, Monitoring, RateArm
from fairtrial.errors import DataError
from fairtrial.stats.means import welch_test
from fairtrial.stats.moments import Moments
from fairtrial.stats.proportion_intervals import difference_interval, wilson_interval
from fairtrial.stats.result import Interval
from fairtrial.stats.sequential.msprt import msprt
from fairtrial.stats.tails import critical_value

MDE_OF_RATES = 0.01
"""Effect that the always-valid interval of a rate is tuned for where no margin is declared (G-13)."""
MDE_IN_SD = 0.2
"""The same of other metrics, in standard deviations between users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailReading:
    """One guardrail as it was read.

    Attributes:
        metric: Its name.
        status: `PASS`, `WARNING`, `ALERT` or `UNAVAILABLE`.
        harm: Estimate, positive is worse, in the metric's unit; None where there is none.
        ci_low: Lower end of its interval.
        ci_high: Upper end.
        margin: Harm tolerated; None where only a limit was declared.
        non_inferior: Whether the whole interval lies within the margin; None where there is none.
        reason: One sentence.
    """

    metric: str
    status: GuardrailState
    harm: float | None
    ci_low: float | None
    ci_high: float | None
    margin: float | None
    non_inferior: bool | None
    reason: str

    def to_dict(self) -> dict[str, object]:
        """The reading as plain JSON."""
        return {
            "metric": self.metric,
            "status": self.status,
            "harm": self.harm,
            "ci_low": self.ci_low,
            "ci_high": self.ci_high,
            "margin": self.margin,
            "non_inferior": self.non_inferior,
            "reason": self.reason,
        }


def read_harm(guardrail: GuardrailEvidence, *, alpha: float = 0.05, monitoring: Monitoring = "fixed") -> GuardrailReading:
    """The state of one guardrail.

    Args:
        guardrail: Its evidence.
        alpha: Error rate of its interval.
        monitoring: `continuous` takes intervals that hold however often they are read.

    Returns:
        The reading; UNAVAILABLE says why.
    """
    seen = _contrast(guardrail)
    if isinstance(seen, str):
        return _unavailable(guardrail, seen)
    sign = 1.0 if guardrail.direction == "lower" else -1.0
    try:
        difference, value = _intervals(guardrail, seen, alpha, monitoring)
    except DataError as error:  # variances too small beside the means to be told from rounding
        return _unavailable(guardrail, error.message)
    low, high = sorted((sign * difference.low, sign * difference.high))
    beyond, possibly, surely = _beyond(guardrail, seen.treatment, value, sign)
    reading = HarmReading(
        harm=sign * seen.effect,
        interval=Interval(low=low, high=high),
        margin=guardrail.margin,
        confirmed=True,
        beyond_limit=beyond,
        possibly_beyond_limit=possibly,
        surely_beyond_limit=surely,
    )
    status = guardrail_state(reading)
    return GuardrailReading(
        metric=guardrail.metric,
        status=status,
        harm=reading.harm,
        ci_low=low,
        ci_high=high,
        margin=guardrail.margin,
        non_inferior=is_non_inferior(reading),
        reason=_sentence(guardrail, status, reading),
    )


def overall(readings: Sequence[GuardrailReading]) -> GuardrailState | None:
    """Worst of all: ALERT > UNAVAILABLE > WARNING > PASS; None where no guardrail is declared."""
    return worst([reading.status for reading in readings])


def _contrast(guardrail: GuardrailEvidence) -> Contrast | str:
    """The difference with its standard error, or why there is none."""
    found = guardrail.contrast or _of_arms(guardrail)
    if found is None:
        return f"there are no data on {guardrail.metric}"
    if isinstance(found, str):
        return found
    if min(found.n_control, found.n_treatment) < max(guardrail.min_n, 1):
        return f"{guardrail.metric} has fewer than {guardrail.min_n} users in an arm"
    return found


def _of_arms(guardrail: GuardrailEvidence) -> Contrast | str | None:
    c, t = guardrail.control, guardrail.treatment
    if isinstance(c, MeanArm) and isinstance(t, MeanArm):
        if min(c.n, t.n) < 2:
            return f"{guardrail.metric} has fewer than 2 users in an arm"
        variance, own = c.sd**2 / c.n + t.sd**2 / t.n, t.sd / math.sqrt(t.n)
        if not variance > 0.0:
            return f"{guardrail.metric} is the same for every user, so chance cannot be judged"
        return Contrast(
            effect=t.mean - c.mean,
            std_error=math.sqrt(variance),
            control=c.mean,
            treatment=t.mean,
            n_control=c.n,
            n_treatment=t.n,
            treatment_std_error=own if own > 0.0 else None,
        )
    if isinstance(c, RateArm) and isinstance(t, RateArm):
        if min(c.n, t.n) < 1:
            return f"{guardrail.metric} has no users in an arm"
        spreads = [_spread_of_rate(arm) for arm in (c, t)]
        return Contrast(
            effect=t.events / t.n - c.events / c.n,
            std_error=math.hypot(*spreads),
            control=c.events / c.n,
            treatment=t.events / t.n,
            n_control=c.n,
            n_treatment=t.n,
            treatment_std_error=spreads[1],
        )
    return None


def _spread_of_rate(arm: RateArm) -> float:
    """Standard error with a user of each kind added, so that a rate of 0 is not certain (Agresti & Caffo 2000)."""
    rate = (arm.events + 1) / (arm.n + 2)
    return math.sqrt(rate * (1.0 - rate) / (arm.n + 2))


def _intervals(guardrail: GuardrailEvidence, seen: Contrast, alpha: float, monitoring: Monitoring) -> tuple[Interval, Interval | None]:
    """Of the difference, and of the treatment's own value."""
    c, t = guardrail.control, guardrail.treatment
    if monitoring == "continuous":
        tau2 = _tuning(guardrail, seen) ** 2
        difference = msprt(seen.effect, seen.std_error**2, tau2=tau2, alpha=alpha).interval
        own = seen.treatment_std_error
        return difference, None if own is None else msprt(seen.treatment, own**2, tau2=tau2, alpha=alpha).interval
    if isinstance(c, RateArm) and isinstance(t, RateArm):
        return difference_interval(c.events, c.n, t.events, t.n, alpha=alpha), wilson_interval(t.events, t.n, alpha=alpha)
    reach = critical_value(alpha, math.inf).item()
    own = seen.treatment_std_error
    value = None if own is None else Interval(low=seen.treatment - reach * own, high=seen.treatment + reach * own)
    if isinstance(c, MeanArm) and isinstance(t, MeanArm):
        moments = [Moments.from_summary(n=arm.n, mean=arm.mean, sd=arm.sd) for arm in (c, t)]
        return welch_test(moments[0], moments[1], alpha=alpha).interval, value
    return Interval(low=seen.effect - reach * seen.std_error, high=seen.effect + reach * seen.std_error), value


def _tuning(guardrail: GuardrailEvidence, seen: Contrast) -> float:
    if guardrail.margin:
        return guardrail.margin
    if isinstance(guardrail.control, RateArm):
        return MDE_OF_RATES
    return MDE_IN_SD * spread_between_users(seen)


def spread_between_users(seen: Contrast) -> float:
    """Standard deviation between users that a standard error comes from, were it the same in both arms."""
    return seen.std_error / math.sqrt(1.0 / seen.n_control + 1.0 / seen.n_treatment)


def _beyond(guardrail: GuardrailEvidence, value: float, interval: Interval | None, sign: float) -> tuple[bool, bool, bool]:
    """Whether the treatment's value, any part of its interval, and all of it lie beyond the limit."""
    limit = guardrail.max_value
    if limit is None:
        return False, False, False
    ends = (value, value) if interval is None else (interval.low, interval.high)
    worse = [sign * (end - limit) > 0.0 for end in ends]
    return sign * (value - limit) > 0.0, any(worse) or interval is None, interval is not None and all(worse)


def _unavailable(guardrail: GuardrailEvidence, why: str) -> GuardrailReading:
    return GuardrailReading(
        metric=guardrail.metric,
        status="UNAVAILABLE",
        harm=None,
        ci_low=None,
        ci_high=None,
        margin=guardrail.margin,
        non_inferior=None,
        reason=f"guardrail {guardrail.metric} cannot be read: {why}",
    )


def _sentence(guardrail: GuardrailEvidence, status: GuardrailState, reading: HarmReading) -> str:
    words = {"PASS": "passes", "WARNING": "warns", "ALERT": "is in alarm", "UNAVAILABLE": "cannot be read"}[status]
    margin = "" if guardrail.margin is None else f", margin {guardrail.margin:g}"
    limit = "" if guardrail.max_value is None else f", limit {guardrail.max_value:g}"
    span = f"{reading.interval.low:+.4g} to {reading.interval.high:+.4g}"
    return f"guardrail {guardrail.metric} {words}: harm {reading.harm:+.4g} ({span}){margin}{limit}"
