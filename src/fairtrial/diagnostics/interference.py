"""Contamination of the control and declared interference (SUTVA; IN-07, I.b).

The rate is control units with evidence of treatment exposure over control units assigned,
with Wilson's interval (1927). Only a lower end above 0.05 is called a violation, so a few
units in a small experiment are not; what the spec declares (a shared resource, effects
over a network) is one whatever was seen, because no exposure log would show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fairtrial.errors import UsageError
from fairtrial.stats.proportion_intervals import wilson_interval
from fairtrial.stats.result import check_alpha

InterferenceReason = Literal["no_exposure_log", "no_exposure_arm", "no_control_units"]
Declared = Literal["shared_resource", "network_effects"]

LARGEST_RATE = 0.05
"""Contamination is a violation when its interval lies above this."""
LISTED = 20
"""Ids of exposed controls that are listed when they are asked for."""

CONTAMINATED = "Control users show treatment exposure. Effect estimates are likely biased."
DECLARED: dict[Declared, str] = {
    "shared_resource": "Both arms draw on one resource: what the treatment takes, the control lacks. Effect estimates are likely biased.",
    "network_effects": "Units affect each other over a network. Effect estimates are likely biased unless whole clusters were assigned.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InterferenceResult:
    """Interference in one experiment; what could not be told is None with a reason.

    Attributes:
        has_violation: Whether controls are exposed beyond chance above 5%, or interference is declared; None when neither is known.
        contamination_rate: controls_exposed / controls_assigned.
        ci_low: Lower end of Wilson's interval at 1 - alpha.
        ci_high: Upper end.
        controls_exposed: Control units with evidence of treatment exposure; None without such a log.
        controls_assigned: Control units assigned.
        declared: What the spec declares.
        exposed_units: Ids of exposed controls, where they were asked for; the first of them in order.
        warning_message: One sentence each, None without a violation.
        unavailable_reason: Why there is no rate: `no_exposure_log`, `no_exposure_arm` or `no_control_units`.
    """

    has_violation: bool | None
    contamination_rate: float | None
    ci_low: float | None
    ci_high: float | None
    controls_exposed: int | None
    controls_assigned: int
    declared: tuple[Declared, ...]
    exposed_units: tuple[str, ...]
    warning_message: str | None
    unavailable_reason: InterferenceReason | None


def find_interference(
    controls_exposed: int | None,
    controls_assigned: int,
    *,
    shared_resource: bool = False,
    network_effects: bool = False,
    exposed_units: tuple[str, ...] = (),
    missing: InterferenceReason = "no_exposure_log",
    alpha: float = 0.05,
) -> InterferenceResult:
    """Contamination of the control, and what the spec declares.

    Args:
        controls_exposed: Control units with evidence of treatment exposure; None where no log tells.
        controls_assigned: Control units assigned, whether or not they were ever active.
        shared_resource: Whether the arms compete for one resource.
        network_effects: Whether units affect each other.
        exposed_units: Ids of exposed controls.
        missing: Why `controls_exposed` is None.
        alpha: Error rate in (0, 1) of the interval.

    Raises:
        UsageError: A count is negative or not whole, or more are exposed than were assigned.
    """
    check_alpha(alpha)
    counts = [controls_assigned] if controls_exposed is None else [controls_exposed, controls_assigned]
    if any(not float(count).is_integer() or count < 0 for count in counts) or counts[0] > controls_assigned:
        raise UsageError(f"Exposed controls must be whole numbers from 0 to those assigned, got {controls_exposed} of {controls_assigned}.")
    flags: tuple[tuple[Declared, bool], ...] = (("shared_resource", shared_resource), ("network_effects", network_effects))
    declared: tuple[Declared, ...] = tuple(name for name, is_declared in flags if is_declared)
    reason: InterferenceReason | None = missing if controls_exposed is None else "no_control_units" if controls_assigned == 0 else None
    if controls_exposed is None or reason is not None:
        rate = low = high = None
    else:
        interval = wilson_interval(controls_exposed, controls_assigned, alpha=alpha)
        rate, low, high = controls_exposed / controls_assigned, interval.low, interval.high
    contaminated = low is not None and low > LARGEST_RATE
    messages = [CONTAMINATED] if contaminated else []
    messages += [DECLARED[name] for name in declared]
    return InterferenceResult(
        has_violation=True if messages else None if reason is not None else False,
        contamination_rate=rate,
        ci_low=low,
        ci_high=high,
        controls_exposed=controls_exposed,
        controls_assigned=controls_assigned,
        declared=declared,
        exposed_units=exposed_units,
        warning_message=" ".join(messages) or None,
        unavailable_reason=reason,
    )
