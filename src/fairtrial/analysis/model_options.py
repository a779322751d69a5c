"""How a model experiment is analysed, beside what its config says."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fairtrial.errors import UsageError
from fairtrial.spec.plan import Correction, Method


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Options of an analysis.

    Attributes:
        threshold: Score from which a prediction counts as positive.
        positive_label: The label that means 1, where predictions and outcomes are text.
        false_positive_cost: What a false alarm costs, for the metric `cost`.
        false_negative_cost: What a missed positive costs.
        segments: Columns known at a user's first prediction (segment, device), or `time_of_day`.
        strata: Columns of the same sort within whose combinations the models are compared, weighed by their shares of
            all users (post-stratification); rates are then compared as means.
        method: `fixed`, or a plan that may be looked at more than once.
        correction: Over several challengers on the primary metric; `dunnett` and `holm` keep the family-wise error.
        secondary_correction: Over secondary metrics and challengers.
        baseline: The primary rate expected at planning; the plan is then complete when every arm has the size
            that it calls for, too.
        new_users: Column that says who is new (true, or a first visit within the experiment); only they count.
        washout_days: Predictions of so many first days of the experiment do not count.
        resamples: Of the bootstrap of curves.
        seed: Of the same.
    """

    threshold: float = 0.5
    positive_label: str | None = None
    false_positive_cost: float = 1.0
    false_negative_cost: float = 1.0
    segments: tuple[str, ...] = ()
    strata: tuple[str, ...] = ()
    method: Method = "fixed"
    correction: Correction = "holm"
    secondary_correction: Correction = "benjamini-hochberg"
    baseline: float | None = None
    new_users: str | None = None
    washout_days: float = 0.0
    resamples: int = 1_000
    seed: int = 1

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise UsageError(f"threshold must be a finite score, got {self.threshold}.")
        if min(self.false_positive_cost, self.false_negative_cost) < 0.0:
            raise UsageError(f"Costs must be >= 0, got {self.false_positive_cost} and {self.false_negative_cost}.")
        if not self.washout_days >= 0.0:
            raise UsageError(f"washout_days must be >= 0, got {self.washout_days}.")
