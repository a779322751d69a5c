"""When a simulated experiment is looked at: how many units, on which day, with what left to come."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairtrial.errors import DataError, UsageError
from fairtrial.evaluation.status import planned_units
from fairtrial.simulation.replicates import arms_in_order
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.plan import PLANNED_LOOKS, SEQUENTIAL

SECONDS_A_DAY = 86_400.0
MOST_LOOKS = 200
ALWAYS_VALID_LOOKS = 10
"""Looks of an always-valid plan, or of one that stops on expected loss, where nobody says how often it will be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedLook:
    """One look of the simulated design.

    Attributes:
        units: Units that have come by then, by arm, the control first.
        share: Share of the planned units that they are, in (0, 1].
        days: Days from the start; None where nothing says how fast units come.
        complete: Whether the plan's sample (or its longest run) has been reached.
        min_days_met: Whether the shortest run has been reached.
        max_days_reached: Whether the longest run has been reached.
        live: Whether units are still being assigned.
    """

    units: tuple[int, ...]
    share: float
    days: float | None
    complete: bool
    min_days_met: bool
    max_days_reached: bool
    live: bool

    @property
    def total(self) -> int:
        """Units over all arms."""
        return sum(self.units)


def simulated_looks(
    spec: ExperimentSpec, *, looks: int | Sequence[float] | None = None, daily_units: float | None = None
) -> tuple[SimulatedLook, ...]:
    """The looks of a spec's own design.

    Arms hold exactly their planned shares. The last look is the complete read: the planned
    units, or those that come until `max_days`, and not before `min_days`.

    Args:
        spec: The experiment; its plan has a size.
        looks: How many, equally spaced, or their shares of the planned units, ending at 1. By itself: the
            plan's own; one for a fixed plan; ten for an always-valid one, and for one that stops on expected loss.
        daily_units: New units a day over all arms; by itself the planned units over the schedule's days, where there is one.

    Raises:
        UsageError: `looks` or `daily_units` breaks its rule.
        DataError: The plan has no size.
    """
    if daily_units is not None and not 0.0 < daily_units < math.inf:
        raise UsageError(f"daily_units must be positive and finite, got {daily_units:g}.")
    planned, _, why = planned_units(spec)
    if planned is None:
        raise DataError(f"A simulated experiment must have a size. {why}", hint="Declare plan.sample_size, or plan.mde with plan.baseline.")
    shares = look_shares(spec, looks)
    daily = daily_units if daily_units is not None else _daily_by_schedule(spec, sum(planned.values()))
    last = _last(spec, sum(planned.values()), daily)
    return tuple(_look(spec, planned, share, last, daily, final=share == shares[-1]) for share in shares)


def look_shares(spec: ExperimentSpec, looks: int | Sequence[float] | None) -> tuple[float, ...]:
    """Shares of the planned units at which the design is looked at, ending at 1.

    Raises:
        UsageError: They are none, too many, or do not increase to 1.
    """
    if looks is None:
        if spec.plan.method in PLANNED_LOOKS:
            return spec.plan.sequential.fractions
        stops_on_loss = spec.plan.method == "bayesian" and spec.plan.bayesian.stop_loss is not None
        looks = ALWAYS_VALID_LOOKS if spec.plan.method in SEQUENTIAL or stops_on_loss else 1
    if isinstance(looks, int):
        if not 1 <= looks <= MOST_LOOKS:
            raise UsageError(f"A simulated experiment has 1 to {MOST_LOOKS} looks, got {looks}.")
        return tuple((k + 1) / looks for k in range(looks))
    shares = tuple(float(share) for share in looks)
    rising = all(a < b for a, b in zip((0.0, *shares), shares, strict=False))
    if not shares or len(shares) > MOST_LOOKS or not rising or shares[-1] != 1.0:
        raise UsageError(f"Looks must be increasing shares of the planned units that end at 1, got {list(shares)}.")
    return shares


def _daily_by_schedule(spec: ExperimentSpec, total: int) -> float | None:
    if spec.schedule is None or spec.schedule.end is None:
        return None
    return total * SECONDS_A_DAY / (spec.schedule.end - spec.schedule.start).total_seconds()


def _last(spec: ExperimentSpec, total: int, daily: float | None) -> float:
    """Units at the complete read, as a multiple of the planned ones: fewer where the longest run ends first."""
    if daily is None or spec.plan.max_days is None:
        return 1.0
    return min(1.0, daily * spec.plan.max_days / total)


def _look(
    spec: ExperimentSpec, planned: Mapping[str, int], share: float, last: float, daily: float | None, *, final: bool
) -> SimulatedLook:
    plan, reached = spec.plan, share * last
    units = tuple(max(math.ceil(planned[arm] * reached - 1e-9), 1) for arm in arms_in_order(spec))
    days = None if daily is None else sum(planned.values()) * reached / daily
    if final and days is not None and plan.min_days is not None:
        days = max(days, float(plan.min_days))
    early_enough = plan.min_days is None or (days is not None and days >= plan.min_days)
    status = spec.status
    return SimulatedLook(
        units=units,
        share=reached,
        days=days,
        complete=final,
        min_days_met=final or early_enough,
        max_days_reached=final and plan.max_days is not None and days is not None and days >= plan.max_days - 1e-9,
        live=not final if status is None else status == "running",
    )
