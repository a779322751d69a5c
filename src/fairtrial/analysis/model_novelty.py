"""Does a challenger's effect fade or grow with time (ML-25)?

With several predictions a user, days count from the user's first prediction; with one, there
is no such day, and the calendar's days are compared. Each day's effect is a difference of
ratios over users, and the days' covariance is that of their influence values, for the same
users come on several days.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fairtrial.analysis.model_rows import Booleans, Floats, LogRows
from fairtrial.analysis.model_units import UnitReading
from fairtrial.diagnostics.daily_effects import MAX_DAYS, MIN_UNITS
from fairtrial.diagnostics.novelty import Axis, NoveltyResult, find_novelty
from fairtrial.errors import UsageError

DAY = 86_400_000_000


def model_novelty(rows: LogRows, units: UnitReading, challenger: str, alpha: float) -> NoveltyResult:
    """Trend of the primary metric's daily effects.

    Args:
        rows: Predictions with their times.
        units: The users that they belong to.
        challenger: Which one.
        alpha: Error rate in (0, 1) of the one-sided test.

    Returns:
        The trend; days on which an arm has fewer than 100 users are left out.

    Raises:
        UsageError: The log has no times, or the metric is no ratio of sums.
    """
    metric = units.metrics[units.spec.primary.key]
    if rows.times is None or metric.kind not in {"rate", "mean", "ratio"}:
        raise UsageError("Daily effects need times and a metric that is a sum over a sum.", hint="Novelty is read on the primary metric.")
    start = np.full(units.unit_model.size, int(rows.times.min()))
    axis: Axis = "assignment_day"
    if units.repeated:
        start = np.full(units.unit_model.size, np.iinfo(np.int64).max)
        np.minimum.at(start, units.unit, rows.times)
        axis = "exposure_day"
    day = ((rows.times - start[units.unit]) // DAY).astype(np.intp)
    shown = min(int(day.max()) + 1, MAX_DAYS)
    arms = [
        _daily(metric.numerator, metric.denominator, units, day, units.unit_model == model, shown)
        for model in (units.spec.control, challenger)
    ]
    kept = np.flatnonzero((arms[0].users >= MIN_UNITS) & (arms[1].users >= MIN_UNITS))
    covariance = sum((arm.covariance[np.ix_(kept, kept)] for arm in arms), np.zeros((kept.size, kept.size)))
    varying = np.diagonal(covariance) > 0.0
    kept, covariance = kept[varying], covariance[np.ix_(varying, varying)]
    effects = arms[1].values[kept] - arms[0].values[kept]
    return find_novelty(
        effects,
        np.sqrt(np.diagonal(covariance)),
        days=kept.tolist(),
        covariance=covariance if kept.size else None,
        axis=axis,
        alpha=alpha,
    )


class _Daily:
    """Values by day of one arm, their covariance and the users behind them."""

    def __init__(self, values: Floats, covariance: Floats, users: NDArray[np.int64]) -> None:
        self.values, self.covariance, self.users = values, covariance, users


def _daily(above: Floats, below: Floats, units: UnitReading, day: NDArray[np.intp], arm: Booleans, days: int) -> _Daily:
    size = int(arm.sum())
    number = np.cumsum(arm) - 1
    where = arm[units.unit] & (day < days)
    cell = number[units.unit[where]] * days + day[where]
    top, base = (np.bincount(cell, weights=values[where], minlength=size * days).reshape(size, days) for values in (above, below))
    total = base.sum(axis=0)
    values = np.divide(top.sum(axis=0), total, out=np.zeros(days), where=total > 0.0)
    # Influence of each user on each day's ratio: (top - ratio * base) over the day's denominator.
    pull = np.divide(top - values * base, total, out=np.zeros((size, days)), where=total > 0.0)
    return _Daily(values, pull.T @ pull, (base > 0.0).sum(axis=0))
