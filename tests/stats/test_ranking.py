"""Areas under the ROC and the precision-recall curve (IV.b)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.errors import DataError, UsageError
from fairtrial.stats.ranking import average_precision, roc_auc, roc_auc_influence

LABELS = np.array([0, 0, 1, 1, 1, 0], dtype=float)
SCORES = np.array([0.1, 0.4, 0.35, 0.8, 0.4, 0.2])


def by_pairs(scores: np.ndarray, labels: np.ndarray) -> float:
    """The definition: every positive against every negative."""
    pairs = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    return float(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def by_steps(scores: np.ndarray, labels: np.ndarray) -> float:
    """Sum of (recall_k - recall_{k-1}) precision_k over thresholds from above."""
    area, before = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        flagged = scores >= threshold
        recall = labels[flagged].sum() / labels.sum()
        area += (recall - before) * labels[flagged].mean()
        before = recall
    return area


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=3, max_size=40))
def test_areas_are_their_definitions_with_ties(rows: list[tuple[int, bool]]) -> None:
    scores, labels = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    if 0 < labels.sum() < labels.size:
        assert float(roc_auc(scores, labels)) == pytest.approx(by_pairs(scores, labels), abs=1e-12)
        assert float(average_precision(scores, labels)) == pytest.approx(by_steps(scores, labels), abs=1e-12)
        assert roc_auc_influence(scores, labels).mean() == pytest.approx(0.0, abs=1e-12)


def test_whole_weights_are_repeated_rows() -> None:
    counts = np.array([[1, 2, 1, 3, 1, 1], [2, 1, 1, 1, 2, 4]])
    for weights in counts:
        repeated = np.repeat(SCORES, weights), np.repeat(LABELS, weights)
        assert float(roc_auc(SCORES, LABELS, weights)) == pytest.approx(float(roc_auc(*repeated)))
        assert float(average_precision(SCORES, LABELS, weights)) == pytest.approx(float(average_precision(*repeated)))
    assert roc_auc(SCORES, LABELS, counts).shape == (2,)


def test_influence_values_give_delongs_variance() -> None:
    """DeLong et al. (1988), equation 6: S10/m + S01/n, from placements computed pair by pair."""
    rng = np.random.default_rng(4)
    labels = (rng.random(400) < 0.3).astype(float)
    scores = rng.normal(labels, 1.0).round(1)
    pairs = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    kernel = (pairs > 0) + 0.5 * (pairs == 0)
    delong = kernel.mean(axis=1).var() / kernel.shape[0] + kernel.mean(axis=0).var() / kernel.shape[1]
    assert roc_auc_influence(scores, labels).var() / labels.size == pytest.approx(delong, rel=1e-12)


def test_one_class_or_a_broken_score_is_refused() -> None:
    with pytest.raises(DataError):
        roc_auc([0.1, 0.2], [1, 1])
    with pytest.raises(DataError):
        roc_auc([0.1, np.nan], [1, 0])
    for call in (lambda: roc_auc([0.1], [1, 0]), lambda: roc_auc([0.1, 0.2], [2, 0]), lambda: roc_auc([0.1, 0.2], [1, 0], [1.0])):
        with pytest.raises(UsageError):
            call()
