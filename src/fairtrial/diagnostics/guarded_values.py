"""What a guardrail of a model reads from rows of the prediction log.

A rate is read from one column of zeros and ones and from the rows that it is about: false positives are counted among
the rows whose outcome is known to be negative, not among all. Rows whose value is missing are counted, never dropped
in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Columns = Mapping[str, Floats]
"""Columns of the prediction log by name, NaN where a value is missing, all of one length."""

Kind = Literal["rate", "quantile", "mean"]

THRESHOLD = 0.5
"""A prediction at or above this says "positive"."""

FLAGS = {"error_rate": "error", "timeout_rate": "timeout"}
LATENCY = "latency_ms"
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)_latency_ms")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Values:
    """The values of one guardrail in one set of rows.

    Attributes:
        kind: What is made of them: a rate of zeros and ones, a quantile or a mean.
        n: Values that are known.
        missing: Rows that the metric is about and that have no value.
        events: Of a rate: the ones.
        known: Of a quantile or a mean: the values, finite, shape (n,).
        q: Of a quantile, which one, in (0, 1).
    """

    kind: Kind
    n: int
    missing: int = 0
    events: int = 0
    known: Floats = field(default_factory=lambda: np.zeros(0))
    q: float = 0.0

    @property
    def value(self) -> float | None:
        """The rate, the quantile (linear between order statistics) or the mean; None without values."""
        if not self.n:
            return None
        if self.kind == "rate":
            return self.events / self.n
        return float(np.quantile(self.known, self.q)) if self.kind == "quantile" else float(self.known.mean())


def latency_quantile(metric: str) -> float | None:
    """Which quantile `p95_latency_ms` and its like name, in (0, 1); None for other metrics."""
    found = _QUANTILE.fullmatch(metric)
    q = float(found[1]) / 100.0 if found else 0.0
    return q if 0.0 < q < 1.0 else None


def guarded_values(metric: str, columns: Columns, *, proportion: bool = False) -> Values | None:
    """The values of a guardrail.

    Args:
        metric: `error_rate`, `timeout_rate`, `false_positive_rate` (among rows with outcome 0), `fraud_detection_rate` (the
            positive predictions among rows with outcome 1), `conversion_rate` (outcomes among rows with a label),
            `p95_latency_ms` or another quantile of the latency; else the name of a column, whose mean it is.
        columns: The log.
        proportion: Whether a column that is none of these holds zeros and ones.

    Returns:
        The values; None where a column is not there. Of a rate, a value other than 0 and 1 counts as missing.
    """
    q = latency_quantile(metric)
    if q is not None:
        return None if LATENCY not in columns else _split(columns[LATENCY], "quantile", q)
    rate = _rate(metric, columns)
    if rate is None and metric in columns:
        rate = columns[metric]
        if not proportion and metric not in FLAGS:
            return _split(rate, "mean")
    return None if rate is None else _split(np.where((rate == 0.0) | (rate == 1.0), rate, np.nan), "rate")


def _rate(metric: str, columns: Columns) -> Floats | None:
    if metric in FLAGS:
        return columns.get(FLAGS[metric])
    outcome, prediction = columns.get("outcome"), columns.get("prediction")
    if outcome is None or metric in columns:
        return None
    if metric == "conversion_rate":
        return outcome[np.isfinite(outcome)]
    about = {"false_positive_rate": 0.0, "fraud_detection_rate": 1.0}.get(metric)
    if about is None or prediction is None:
        return None
    asked = prediction[outcome == about]
    return np.where(np.isfinite(asked), (asked >= THRESHOLD).astype(np.float64), np.nan)


def _split(values: Floats, kind: Kind, q: float = 0.0) -> Values:
    finite = np.isfinite(values)
    known = values[finite]
    missing = int(values.size - known.size)
    if kind == "rate":
        return Values(kind=kind, n=known.size, missing=missing, events=int(known.sum()))
    return Values(kind=kind, n=known.size, missing=missing, known=known, q=q)
