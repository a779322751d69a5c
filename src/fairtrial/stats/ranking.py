"""How well scores rank: areas under the ROC and the precision-recall curve, ties counted as ties.

The area under the ROC curve is the share of pairs (a positive, a negative) that the scores
order right, ties counting half; its influence values give standard errors over whatever
unit the rows belong to. Average precision is the area under the stepwise precision-recall
curve, without interpolation.

References: Bamber (1975), Journal of Mathematical Psychology 12, 387-415; DeLong, DeLong &
Clarke-Pearson (1988), Biometrics 44, 837-845; Davis & Goadrich (2006), ICML, section 4.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, UsageError

Floats = NDArray[np.float64]


def roc_auc(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Area under the ROC curve.

    Args:
        scores: Finite, higher for what is taken to be positive, shape (n,).
        labels: 1 or 0, shape (n,).
        weights: Weights of the rows, >= 0, shape (..., n); default: one each.

    Returns:
        In [0, 1], shape (...,); NaN where the weights leave no positive or no negative.

    Raises:
        UsageError: Shapes do not match, or a label is neither 0 nor 1.
        DataError: A score is not finite, or the rows hold no positive or no negative.

    References:
        Bamber (1975), section 2.
    """
    positive, negative = _by_threshold(scores, labels, weights)
    below = np.cumsum(negative, axis=-1)
    right = (positive * (below - negative / 2.0)).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(right / (positive.sum(axis=-1) * below[..., -1]))


def average_precision(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Area under the precision-recall curve: precision averaged over the positives found.

    Args:
        scores: Finite, higher for what is taken to be positive, shape (n,).
        labels: 1 or 0, shape (n,).
        weights: Weights of the rows, >= 0, shape (..., n); default: one each.

    Returns:
        In [0, 1], shape (...,); NaN where the weights leave no positive.

    Raises:
        UsageError: Shapes do not match, or a label is neither 0 nor 1.
        DataError: A score is not finite, or the rows hold no positive or no negative.

    References:
        Davis & Goadrich (2006), section 4.
    """
    positive, negative = (part[..., ::-1] for part in _by_threshold(scores, labels, weights))
    found, flagged = np.cumsum(positive, axis=-1), np.cumsum(positive + negative, axis=-1)
    precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((positive * precision).sum(axis=-1) / found[..., -1])


def roc_auc_influence(scores: ArrayLike, labels: ArrayLike) -> Floats:
    """How much each row pulls the area under the ROC curve.

    Args:
        scores: Finite, shape (n,).
        labels: 1 or 0, shape (n,).

    Returns:
        Values of mean 0, shape (n,): the area of a sample is about its expectation plus their mean over rows,
        so that their sums by user give a standard error that allows for several rows a user.

    Raises:
        UsageError: Shapes do not match, or a label is neither 0 nor 1.
        DataError: A score is not finite, or the rows hold no positive or no negative.

    References:
        DeLong, DeLong & Clarke-Pearson (1988), equations 4 to 6.
    """
    x, y = _checked(scores, labels)
    _, place = np.unique(x, return_inverse=True)
    positive, negative = _by_threshold(x, y, None)
    below, under = np.cumsum(negative), np.cumsum(positive)
    n_positive, n_negative = under[-1], below[-1]
    area = float(roc_auc(x, y))
    of_positive = (below - negative / 2.0)[place] / n_negative
    of_negative = (n_positive - under + positive / 2.0)[place] / n_positive
    values = np.empty(x.size)
    hit = y == 1.0
    values[hit] = (of_positive[hit] - area) * (x.size / n_positive)
    values[~hit] = (of_negative[~hit] - area) * (x.size / n_negative)
    return values


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise UsageError(f"Scores and labels must be flat and of one length, got {x.shape} and {y.shape}.")
    if not np.isfinite(x).all():
        raise DataError("Scores must be finite.", code="bad_value")
    if not np.isin(y, (0.0, 1.0)).all():
        raise UsageError("Labels must be 0 or 1.")
    if not 0.0 < y.sum() < y.size:
        raise DataError("Ranking needs a positive and a negative label at least.", code="one_class")
    return x, y


def _by_threshold(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats]:
    """Weight of positives and of negatives at each distinct score, ascending, shape (..., k)."""
    x, y = _checked(scores, labels)
    w = np.ones(x.size) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape[-1:] != x.shape:
        raise UsageError(f"Weights must have one value a row, got {w.shape} for {x.size} rows.")
    order = np.argsort(x, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(x[order]) > 0.0])
    sorted_weights, sorted_labels = w[..., order], y[order]
    positive = np.add.reduceat(sorted_weights * sorted_labels, starts, axis=-1)
    return positive, np.add.reduceat(sorted_weights * (1.0 - sorted_labels), starts, axis=-1)
