"""Results that deserve a second look before they are believed."""

from __future__ import annotations

from collections.abc import Mapping

from fairtrial.diagnostics.finding import Finding
from fairtrial.stats.result import Estimate

SUSPICIOUS_LIFT = 1.0
"""A lift of more than 100% is more often a bug than a breakthrough (Twyman's law)."""


def check_results(estimates: Mapping[tuple[str, str], Estimate], *, planned: bool, complete: bool = True) -> list[Finding]:
    """Findings on estimates, by metric and treatment.

    Args:
        estimates: The comparisons that could be made.
        planned: Whether the plan called for a size.
        complete: Whether the data was read as complete: a plan without a size may have another end.
    """
    found: list[Finding] = []
    if not planned:
        found.append(
            Finding(
                code="no_plan",
                severity="warning",
                message="No sample size was planned" + (", so the data was read as complete." if complete else "."),
                action="Declare plan.sample_size, or plan.mde with plan.baseline: an open end invites stopping on a good day.",
            )
        )
    for (metric, treatment), estimate in estimates.items():
        if "small_counts" in estimate.notes:
            found.append(
                Finding(
                    code="small_counts",
                    severity="info",
                    message=f"Few events of {metric} ({treatment} against control): the p-value is Fisher's exact one.",
                    action="Read the p-value; the interval is approximate at these counts.",
                    metric=metric,
                    arm=treatment,
                )
            )
        if estimate.lift is not None and abs(estimate.lift) > SUSPICIOUS_LIFT:
            found.append(
                Finding(
                    code="suspicious_lift",
                    severity="warning",
                    message=f"The lift of {metric} in {treatment} is {estimate.lift:+.0%}: unusually large.",
                    action="Check logging and definitions before celebrating; very small baselines explain some.",
                    metric=metric,
                    arm=treatment,
                    numbers={"lift": estimate.lift},
                )
            )
    return found
