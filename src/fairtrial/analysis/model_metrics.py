"""Metrics of models, each as a numerator over the predictions that its denominator counts.

A metric is a sum over a sum: recall counts true positives over labelled positives, precision
over flagged predictions, a mean over rows that have a value. One prediction a user makes it
a rate or a mean of users; several make it a ratio of sums over users, so that the user stays
the unit. Root mean squared error and the area under the ROC curve are no sums; they are read
through their influence values, whose mean over users is the metric itself.

References: Deng, Knoblich & Lu (2018), KDD, sections 2 and 4 (ratios and quantiles over users);
DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44, 837-845 (area under the ROC curve).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fairtrial.analysis.model_rows import Booleans, Floats, LogRows
from fairtrial.errors import DataError
from fairtrial.stats.ranking import average_precision, roc_auc, roc_auc_influence

LEAST_SCORE = 1e-15
"""Scores are kept this far from 0 and 1 in the logarithmic loss."""

CURVES: Mapping[str, Callable[[Floats, Floats, Floats | None], Floats]] = {"roc_auc": roc_auc, "pr_auc": average_precision}
"""Areas under curves of scores, labels and weights."""

QUANTILE = re.compile(r"p(\d{1,2})_(\w+)")
"""`p95_latency_ms`: the 95th percentile of latency_ms over predictions."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricRows:
    """A metric over predictions.

    Attributes:
        numerator: What each row adds above the line, 0 where it does not count, shape (n,).
        denominator: What it adds below, shape (n,).
        kind: `rate` where rows count 1 below and 0 or 1 above; `mean` where they count 1 below; `ratio` of other sums;
            `quantile` of the rows that count; `rmse` and `roc_auc` are read through influence values,
            `pr_auc` by resampling.
        labels: Whether it rests on true outcomes.
        quantile: Which one, of a `quantile`.
    """

    numerator: Floats
    denominator: Floats
    kind: Literal["rate", "mean", "ratio", "rmse", "roc_auc", "pr_auc", "quantile"]
    labels: bool = False
    quantile: float | None = None


def metric_rows(name: str, rows: LogRows) -> MetricRows:
    """The metric of that name: one of `MODEL_METRICS`, a percentile `pNN_column`, or the mean of a column.

    Raises:
        UnknownNameError: There is neither such a metric nor such a column.
        UsageError: A column holds what the metric cannot use.
    """
    if name in rows.frame.columns or name not in MODEL_METRICS:
        percentile = QUANTILE.fullmatch(name)
        if name not in rows.frame.columns and percentile is not None and 0 < int(percentile[1]) < 100:
            values = rows.numbers(percentile[2])
            return _mean_of(values, ~np.isnan(values), kind="quantile", quantile=int(percentile[1]) / 100)
        values = rows.numbers(name)
        binary = bool(np.isin(values[~np.isnan(values)], (0.0, 1.0)).all())
        return _mean_of(values, ~np.isnan(values), kind="rate" if binary else "mean")
    return MODEL_METRICS[name](rows)


def value_of(metric: MetricRows, where: Booleans) -> float | None:
    """The metric over some of the rows; None where its denominator is empty."""
    below = float(metric.denominator[where].sum())
    if below == 0.0:
        return None
    above = metric.numerator[where]
    match metric.kind:
        case "quantile":
            return float(np.quantile(above[metric.denominator[where] > 0.0], metric.quantile or 0.5))
        case "rmse":
            return float(np.sqrt(above.sum() / below))
        case "roc_auc" | "pr_auc":
            try:
                return float(CURVES[metric.kind](*scores_of(metric, where), None))
            except DataError:
                return None
        case _:
            return float(above.sum() / below)


def influence_of(metric: MetricRows, where: Booleans, user: np.ndarray[tuple[int], np.dtype[np.intp]], users: int) -> Floats:
    """Values per user whose mean is the metric over the arm, and whose spread is its error, shape (users,).

    Args:
        metric: Of kind `rmse` or `roc_auc`.
        where: Rows of the arm.
        user: Which of the arm's users each of these rows is of, shape (rows of the arm,).
        users: How many the arm has.

    Raises:
        DataError: The arm has no labelled row, or labels of one class alone.
    """
    counted = metric.denominator[where] > 0.0
    value = value_of(metric, where)
    if value is None:
        raise DataError("The arm has no rows of both classes with a score and a label.", code="one_class")
    if metric.kind == "rmse":
        if value == 0.0:
            raise DataError("Every prediction is exact, so nothing varies.", code="no_variance")
        pulls = np.where(counted, (metric.numerator[where] - value**2) / (2.0 * value), 0.0)
    else:
        pulls = np.zeros(int(where.sum()))
        pulls[counted] = roc_auc_influence(*scores_of(metric, where))
    per_user = np.bincount(user, weights=pulls, minlength=users)
    return np.asarray(value + per_user * users / counted.sum())


def scores_of(metric: MetricRows, where: Booleans) -> tuple[Floats, Floats]:
    """Scores and labels of a curve's rows: the label stands in the denominator as 1 (negative) or 2 (positive)."""
    counted = where & (metric.denominator > 0.0)
    return metric.numerator[counted], metric.denominator[counted] - 1.0


def _mean_of(
    values: Floats,
    where: Booleans,
    *,
    kind: Literal["rate", "mean", "ratio", "rmse", "quantile"] = "mean",
    labels: bool = False,
    quantile: float | None = None,
) -> MetricRows:
    return MetricRows(
        numerator=np.where(where, values, 0.0), denominator=where.astype(np.float64), kind=kind, labels=labels, quantile=quantile
    )


def _share(rows: LogRows, among: Booleans, hit: Booleans) -> MetricRows:
    """Share of hits among labelled rows of a kind."""
    return _mean_of(hit.astype(np.float64), rows.labelled & among, kind="rate", labels=True)


def _positive(rows: LogRows) -> Booleans:
    return rows.numbers("outcome") == 1.0


def _scored(rows: LogRows) -> Booleans:
    return rows.labelled & ~np.isnan(rows.numbers("prediction"))


def _all(rows: LogRows) -> Booleans:
    return np.ones(rows.size, dtype=np.bool_)


def _conversion_rate(rows: LogRows) -> MetricRows:
    outcome = rows.numbers("outcome")
    binary = bool(np.isin(outcome[rows.labelled], (0.0, 1.0)).all())
    return _mean_of(outcome, rows.labelled, kind="rate" if binary else "mean", labels=True)


def _false_positives(rows: LogRows) -> MetricRows:
    return _share(rows, ~_positive(rows), rows.flagged)


def _recall(rows: LogRows) -> MetricRows:
    return _share(rows, _positive(rows), rows.flagged)


def _f1(rows: LogRows) -> MetricRows:
    hits = rows.labelled & rows.flagged & _positive(rows)
    above = 2.0 * hits.astype(np.float64)
    below = above + (rows.labelled & (rows.flagged != _positive(rows)))
    return MetricRows(numerator=above, denominator=below, kind="ratio", labels=True)


def _error(rows: LogRows) -> Floats:
    return rows.numbers("prediction") - rows.numbers("outcome")


def _log_loss(rows: LogRows) -> MetricRows:
    score = np.clip(rows.numbers("prediction"), LEAST_SCORE, 1.0 - LEAST_SCORE)
    return _mean_of(-np.where(_positive(rows), np.log(score), np.log1p(-score)), _scored(rows), labels=True)


def _calibration(rows: LogRows) -> MetricRows:
    where = _scored(rows)
    above, below = (np.where(where, rows.numbers(column), 0.0) for column in ("outcome", "prediction"))
    return MetricRows(numerator=above, denominator=below, kind="ratio", labels=True)


def _cost(rows: LogRows) -> MetricRows:
    positive, options = _positive(rows), rows.options
    cost = np.where(positive, ~rows.flagged * options.false_negative_cost, rows.flagged * options.false_positive_cost)
    return _mean_of(cost, rows.labelled, labels=True)


def _curve(rows: LogRows, kind: Literal["roc_auc", "pr_auc"]) -> MetricRows:
    where = _scored(rows)
    below = np.where(where, 1.0 + _positive(rows), 0.0)
    return MetricRows(numerator=np.where(where, rows.numbers("prediction"), 0.0), denominator=below, kind=kind, labels=True)


MODEL_METRICS: Mapping[str, Callable[[LogRows], MetricRows]] = {
    **dict.fromkeys(("fraud_detection_rate", "recall", "true_positive_rate", "sensitivity"), _recall),
    "false_negative_rate": lambda rows: _share(rows, _positive(rows), ~rows.flagged),
    "false_positive_rate": _false_positives,
    **dict.fromkeys(("true_negative_rate", "specificity"), lambda rows: _share(rows, ~_positive(rows), ~rows.flagged)),
    "precision": lambda rows: _share(rows, rows.flagged, _positive(rows)),
    "f1": _f1,
    "accuracy": lambda rows: _mean_of(rows.correct, rows.labelled, kind="rate", labels=True),
    "flagged_rate": lambda rows: _mean_of(rows.flagged.astype(np.float64), _all(rows), kind="rate"),
    **dict.fromkeys(("conversion_rate", "prevalence"), _conversion_rate),
    "error_rate": lambda rows: _flag(rows, "error"),
    "timeout_rate": lambda rows: _flag(rows, "timeout"),
    "fallback_rate": lambda rows: _flag(rows, "fallback"),
    "brier": lambda rows: _mean_of(np.square(_error(rows)), _scored(rows), labels=True),
    "log_loss": _log_loss,
    "calibration": _calibration,
    "cost": _cost,
    "roc_auc": lambda rows: _curve(rows, "roc_auc"),
    "pr_auc": lambda rows: _curve(rows, "pr_auc"),
    "mae": lambda rows: _mean_of(np.abs(_error(rows)), _scored(rows), labels=True),
    "mse": lambda rows: _mean_of(np.square(_error(rows)), _scored(rows), labels=True),
    "rmse": lambda rows: _mean_of(np.square(_error(rows)), _scored(rows), kind="rmse", labels=True),
    "bias": lambda rows: _mean_of(_error(rows), _scored(rows), labels=True),
}
"""By name. Shares of labels are taken over labelled rows; a prediction that failed counts as not flagged."""


def _flag(rows: LogRows, column: str) -> MetricRows:
    values = rows.numbers(column)
    return _mean_of(values, ~np.isnan(values), kind="rate")
