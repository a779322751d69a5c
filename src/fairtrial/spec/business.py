"""What the primary metric's effect is worth: units, value, costs and the time over which they are added up.

None of it is design: it turns a result into money, and stays out of the spec hash.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from pydantic import Field

from fairtrial.spec.base import Name, SpecModel
from fairtrial.spec.feasibility import Positive

Cost = Annotated[float, Field(ge=0, le=1e15)]
Part = Annotated[float, Field(ge=0, lt=1)]


class BusinessSpec(SpecModel):
    """What turns the primary metric's effect into money."""

    eligible_units_per_day: Positive | None = None
    """Units a day that the change would reach; default: `feasibility.daily_units`."""
    value_per_unit: Positive | None = None
    """Money that one unit of the metric's improvement is worth: of one conversion more for a rate, 1 for a metric that is money itself."""
    period_days: Annotated[int, Field(ge=1, le=3650)] = 365
    """Length of the period that the gain is told for."""
    currency: str = Field(default="", max_length=20)
    """Name of the money, as it is to be shown."""
    one_off_cost: Cost = 0.0
    """Cost of building and launching the change."""
    running_cost: Cost = 0.0
    """Cost of keeping it, a year."""
    horizon_years: Annotated[float, Field(gt=0, le=50)] = 1.0
    """Years over which gain and costs are added up."""
    discount_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    """What later money is worth less, a year: 0.08 for 8%. Each year counts at its end."""
    persistence: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Part of the effect that is left after each further year; 1: it stays."""
    holdout_share: Part = 0.0
    """Part of the units kept without the change after a launch, to measure whether the effect lasts; their gain is left off."""
    long_term_metrics: tuple[Name, ...] = ()
    """Metrics of this experiment to go on measuring on that holdout, such as the value of a customer."""
    prior_lift_sd: Annotated[float, Field(gt=0, le=10)] | None = None
    """Standard deviation of the true lifts of changes like this one, a fraction, by which a second figure allows for the winner's
    curse; default: the planned MDE."""


def check_business(case: BusinessSpec | None, metrics: Collection[str], *, randomised: bool) -> None:
    """Refuse what no figure can be made of.

    Args:
        case: What is to be checked.
        metrics: Keys of the experiment's metrics.
        randomised: Whether units were randomised.

    Raises:
        ValueError: The experiment is a quasi-experiment, or a metric is unknown.
    """
    if case is None:
        return
    if not randomised:
        raise ValueError(
            "business belongs to randomised experiments: the effect of a quasi-experiment holds for those it was found on, "
            "not for every eligible unit; leave it out"
        )
    unknown = [key for key in case.long_term_metrics if key not in metrics]
    if unknown:
        raise ValueError(f"business.long_term_metrics names metrics that the experiment does not have: {unknown}, known: {list(metrics)}")
