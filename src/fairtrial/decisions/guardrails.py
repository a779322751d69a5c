"""When a guardrail passes, warns or stops a launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairtrial.decisions.decision import GuardrailState
from fairtrial.stats.result import Interval

SEVERITY: tuple[GuardrailState, ...] = ("PASS", "WARNING", "UNAVAILABLE", "ALERT")
"""From best to worst: no data is never a pass, and a known harm outweighs it."""

MIN_UNITS = 100
"""Units per arm below which a guardrail says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HarmReading:
    """What a guardrail rests on; positive harm is worse.

    Attributes:
        harm: Estimate, on the scale of `margin`.
        interval: Its interval.
        margin: Harm tolerated, >= 0; None when only an absolute limit was declared, and harm
            against the control is shown but not judged.
        confirmed: Whether the harm is still significant after Holm's correction over
            all guardrails; asked for only when the margin is 0.
        beyond_limit: Whether the treatment's own value lies beyond an absolute limit.
        possibly_beyond_limit: Whether any part of its interval does.
        surely_beyond_limit: Whether its whole interval does.
    """

    harm: float
    interval: Interval
    margin: float | None
    confirmed: bool
    beyond_limit: bool = False
    possibly_beyond_limit: bool = False
    surely_beyond_limit: bool = False


def guardrail_state(reading: HarmReading) -> GuardrailState:
    """State of one guardrail.

    `ALERT` when the harm surely exceeds the margin, or exceeds it while surely above
    0, or the treatment surely lies beyond its limit; `WARNING` when the same is only
    estimated. With a margin of 0 an alert needs the corrected test: ten neutral
    guardrails would otherwise alarm in 22% of single looks.
    """
    if reading.surely_beyond_limit:
        return "ALERT"
    over = sure = alarm = False
    if reading.margin is not None:
        over, sure = reading.harm > reading.margin, reading.interval.low > 0.0
        alarm = reading.interval.low > reading.margin or (over and sure)
        if reading.margin == 0.0:
            alarm = alarm and reading.confirmed
    if alarm:
        return "ALERT"
    return "WARNING" if over or sure or reading.beyond_limit else "PASS"


def is_non_inferior(reading: HarmReading) -> bool:
    """Whether the whole interval of the harm lies within the margin, and of the value within the limit."""
    within = reading.margin is None or reading.interval.high <= reading.margin
    return within and not reading.possibly_beyond_limit


def worst(states: Sequence[GuardrailState]) -> GuardrailState | None:
    """Worst of several states; None when there is none."""
    return max(states, key=SEVERITY.index) if states else None
