"""Risk of a pair, advice and bands (IN-11..IN-14, IN-22, IN-34)."""

from __future__ import annotations

import numpy as np
import pytest

from fairtrial.diagnostics.overlap import overlap_from_counts
from fairtrial.diagnostics.pair_analysis import analyze_pair
from fairtrial.diagnostics.pair_cells import PairCells, Side, rate_outcome
from fairtrial.diagnostics.pair_risk import PairEvidence, band_of, exposure_of, judge_risk, pair_recommendations, scan_recommendations


def evidence(exposure, *, interaction=None, p_value=None, novelty=(), interference=()):
    return PairEvidence(exposure=exposure, interaction=interaction, p_value=p_value, novelty=novelty, interference=interference)


@pytest.mark.parametrize(
    ("found", "risk"),
    [
        (evidence(1.0), "medium"),
        (evidence(1.0, interaction=False, p_value=0.5), "medium"),
        (evidence(0.3, interaction=True, p_value=0.001), "medium"),
        (evidence(0.31, interaction=True, p_value=0.001), "high"),
        (evidence(0.31, novelty=("a",)), "high"),
        (evidence(0.31, interference=("a",)), "high"),
        (evidence(0.0, novelty=("a",)), "medium"),
        (evidence(0.0, interaction=False, p_value=0.049), "medium"),
        (evidence(0.0, interaction=False, p_value=0.05), "low"),
        (evidence(0.0), "low"),
    ],
)
def test_risk_in_14(found, risk):
    assert judge_risk(found) == risk


def test_nesting_is_seen_by_the_shares():
    nested = overlap_from_counts(100, 10_000, 100)
    assert nested.jaccard == pytest.approx(0.01)
    assert exposure_of(nested) == 1.0
    assert exposure_of(overlap_from_counts(0, 0, 0)) == 0.0


@pytest.mark.parametrize(
    ("jaccard", "band"),
    [(0.0, "negligible"), (0.0999, "negligible"), (0.1, "low"), (0.3, "moderate"), (0.6, "high"), (1.0, "high"), (None, None)],
)
def test_bands_are_half_open_in_11(jaccard, band):
    assert band_of(jaccard) == band


def test_advice_of_a_scan_in_34():
    assert [len(scan_recommendations(o)) for o in (0.0, 0.09, 0.1, 0.29, 0.3, 0.59, 0.6, 1.0)] == [0, 0, 1, 1, 1, 1, 2, 2]
    assert scan_recommendations(0.2) == ["Low overlap: monitor."]


def test_advice_of_a_pair_in_order_in_22_34():
    found = evidence(0.85, interaction=True, p_value=0.003, novelty=("exp-b-uuid",), interference=("exp-a-uuid",))
    assert pair_recommendations(found) == [
        "Interaction detected: consider pausing one experiment.",
        "Add these experiments to a mutual exclusion group for future runs.",
        "Novelty effect detected in exp-b-uuid: extend the experiment window before deciding.",
        "Control users of exp-a-uuid show treatment exposure: its effect is likely biased.",
    ]
    assert pair_recommendations(evidence(0.6), untested="no_metric") == [
        "High user overlap detected. Consider using mutual exclusion groups.",
        "Interaction not tested: no_metric.",
    ]
    assert pair_recommendations(evidence(0.29), untested="no_metric") == []
    assert pair_recommendations(evidence(0.5, interaction=False)) == []


def cells(x, *, surfaces=(None, None), higher=True):
    a, b = (
        Side(key=key, arms=("control", "treatment"), units=(4000, 4000), control="control", surface=surface, higher_is_better=higher)
        for key, surface in zip("ab", surfaces, strict=True)
    )
    outcome = rate_outcome("converted", x)
    return PairCells(a=a, b=b, n=np.full((2, 2), 2000), outcome_a=outcome, outcome_b=outcome)


def test_exclusion_matters_most_on_one_surface():
    quiet = [[200, 200], [200, 200]]
    assert (
        "Both change 'checkout': run one after the other, or keep them apart."
        in analyze_pair(cells(quiet, surfaces=("checkout", "checkout"))).recommendations
    )
    for surfaces in (("checkout", "search"), (None, None), ("checkout", None)):
        assert not any("Both change" in text for text in analyze_pair(cells(quiet, surfaces=surfaces)).recommendations)


def test_a_decision_that_turns_with_the_other_arm():
    found = analyze_pair(cells([[200, 200], [300, 120]]))
    first = found.decisions[0]
    assert [arm.answer for arm in first.arms] == ["helps", "harms"]
    assert first.changes is True
    assert "depends on b: it helps in control, harms in treatment" in first.sentence
    turned = analyze_pair(cells([[200, 200], [300, 120]], higher=False)).decisions[0]
    assert [arm.answer for arm in turned.arms] == ["harms", "helps"]


def test_a_shown_difference_in_size_alone_does_not_change_the_decision():
    first = analyze_pair(cells([[200, 400], [300, 600]])).decisions[0]
    assert first.changes is False
    assert "the decision does not" in first.sentence


def test_significant_in_one_arm_alone_is_no_interaction():
    """Gelman & Stern: one arm's effect is shown, the other's is not, and yet nothing says that they differ."""
    found = analyze_pair(cells([[200, 200], [262, 235]]))
    first = found.decisions[0]
    assert [arm.answer for arm in first.arms] == ["helps", "not_shown"]
    assert first.changes is False
    assert first.sentence.startswith("Nothing shows")


def test_best_combination_of_arms():
    clear = analyze_pair(cells([[200, 400], [300, 600]])).best
    assert len(clear) == 1, "one metric, one table"
    assert clear[0].best == ("treatment", "treatment")
    assert [cell.mean for cell in clear[0].cells] == [0.3, 0.2, 0.15, 0.1]
    tied = analyze_pair(cells([[200, 590], [300, 600]])).best[0]
    assert (tied.best, tied.contenders) == (None, 2)
    lowest = analyze_pair(cells([[200, 400], [300, 600]], higher=False)).best[0]
    assert lowest.best == ("control", "control")
