"""How far the plan has come, and which looks there have been: what a sequential plan spends its error rate by."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairtrial.errors import UsageError
from fairtrial.evaluation.looks import Look
from fairtrial.evaluation.status import days_run, planned_units
from fairtrial.spec.experiment import ExperimentSpec

SAME_LOOK = 0.002
"""A look that adds less than this part to the information is the same look: nothing new was seen."""
LEAST = 1e-6
"""Smallest share of the information that a look may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a look stands among the looks of its plan.

    Attributes:
        information: Share of the planned information that has come, in (0, 1].
        past: Shares at the earlier looks, increasing and below `information`.
        final: Whether there is no look after this one.
        assumed: Whether `past` are the planned looks, no earlier scorecard having been given.
    """

    information: float
    past: tuple[float, ...]
    final: bool
    assumed: bool

    @property
    def fractions(self) -> tuple[float, ...]:
        """Shares of the information at every look so far, this one last."""
        return (*self.past, self.information)


def progress_of(spec: ExperimentSpec, units: Mapping[str, int], looks: Sequence[Look], as_of: dt.datetime | None) -> Progress:
    """Share of the planned information, and the shares at which earlier looks fell.

    Earlier looks come from their scorecards. Where none is given although the plan has
    looks before this one, those are counted as taken: nobody is believed not to have looked.

    Raises:
        UsageError: The spec does not say how much information it plans for.
    """
    information, longest = _share(spec, units, as_of)
    planned = spec.plan.sequential.fractions
    known = sorted({look.information for look in looks if look.information is not None})
    past: tuple[float, ...] = ()
    for share in reversed(known or planned):
        following = past[0] if past else information
        if share * (1.0 + SAME_LOOK) <= following:
            past = (share, *past)
    return Progress(
        information=information,
        past=past,
        final=longest or information >= 1.0,
        assumed=not known and bool(past),
    )


def _share(spec: ExperimentSpec, units: Mapping[str, int], as_of: dt.datetime | None) -> tuple[float, bool]:
    """Share of the information in (0, 1], and whether the longest run is over."""
    plan, days = spec.plan, days_run(spec, as_of)
    longest = plan.max_days is not None and days is not None and days >= plan.max_days
    if plan.sequential.information == "days":
        if plan.max_days is None or days is None:
            raise UsageError(
                "Information counted in days must have `max_days` and a schedule, one of them is missing.",
                hint="Set plan.max_days and schedule.start, or plan.sequential.information: units.",
            )
        return min(max(days / plan.max_days, LEAST), 1.0), longest
    planned, _, why = planned_units(spec)
    if planned is None:
        raise UsageError(
            f"A plan with looks must have a size, for the error rate is spent by the share of it. {why}",
            hint="Set plan.sample_size, or baseline and mde; or use method: always_valid.",
        )
    share = min(units[arm] / n for arm, n in planned.items() if n > 0)
    return min(max(share, LEAST), 1.0), longest
