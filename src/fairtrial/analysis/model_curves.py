"""Areas under curves, compared between models by resampling users.

The area under the precision-recall curve is no smooth function of sums over users, so it has no
place among the metrics that a verdict rests on; it is told beside them. The area under the ROC
curve, which has one, gets its interval by resampling beside that of its influence values.
"""

from __future__ import annotations

import numpy as np

from fairtrial.analysis.model_metrics import CURVES, MetricRows, metric_rows
from fairtrial.analysis.model_rows import Floats, LogRows
from fairtrial.analysis.model_units import UnitReading
from fairtrial.errors import DataError, UsageError
from fairtrial.stats.resampling.samples import cluster_bootstrap
from fairtrial.stats.result import Estimate, Unavailable

MOST_ROWS = 200_000
"""Predictions of an arm above which curves are not resampled."""


def curve_comparisons(names: list[str], rows: LogRows, units: UnitReading, alpha: float) -> dict[str, dict[str, Estimate | Unavailable]]:
    """Areas under curves for every challenger against the champion, percentile intervals over resampled users.

    Args:
        names: Metrics of the experiment; those that are no areas under curves are passed over.
        rows: Predictions; those with a score and an outcome count.
        units: The users that they belong to.
        alpha: Error rate in (0, 1).

    Returns:
        By challenger and name of the curve.
    """
    found: dict[str, dict[str, Estimate | Unavailable]] = {challenger: {} for challenger in units.spec.treatments}
    for name in names:
        if name not in CURVES:
            continue
        try:
            metric = metric_rows(name, rows)
        except (UsageError, DataError) as error:
            metric = Unavailable(code=error.code, reason=error.message)
        for challenger, curves in found.items():
            curves[name] = metric if isinstance(metric, Unavailable) else _compared(metric, rows, units, challenger, alpha)
    return found


def _compared(metric: MetricRows, rows: LogRows, units: UnitReading, challenger: str, alpha: float) -> Estimate | Unavailable:
    curve, score = CURVES[metric.kind], metric.numerator
    outcome = metric.denominator - 1.0

    def statistic(index: Floats, weights: Floats) -> Floats:
        """The area of a resample; values are the rows' numbers, so that scores and outcomes stay together."""
        own = index.astype(np.intp)
        return curve(score[own], outcome[own], weights)

    own = [np.flatnonzero((metric.denominator > 0.0) & (rows.model == model)) for model in (units.spec.control, challenger)]
    if max(index.size for index in own) > MOST_ROWS:
        return Unavailable(code="too_many_rows", reason=f"Curves are resampled up to {MOST_ROWS:,} predictions an arm.")
    champion, other = ((index.astype(np.float64), units.unit[index]) for index in own)
    try:
        rng = np.random.default_rng(rows.options.seed)
        found = cluster_bootstrap(champion, other, statistic, resamples=rows.options.resamples, rng=rng)
        return found.to_estimate(method="percentile", alpha=alpha)
    except DataError as error:
        return Unavailable(code=error.code, reason=error.message)
