"""Interaction of two experiments from the cells they share: values, reasons, floors (IN-02, IN-04, IN-05, IN-25..IN-29)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairtrial.diagnostics.pair_analysis import analyze_pair, scan_cells
from fairtrial.diagnostics.pair_cells import MeanOutcome, PairCells, Side, rate_outcome
from fairtrial.diagnostics.pair_tests import assignment_dependence, correct, has_interaction, interaction_tests, why_untested
from fairtrial.errors import UsageError
from fairtrial.reports.interaction_rows import pair_dict, scan_dict
from fairtrial.stats.interaction_mde import visible_interaction

ARMS = ("control", "treatment")


def side(key, *units, control="control", arms=ARMS, **more):
    return Side(key=key, arms=arms, units=units, control=control, **more)


def pair(n, x, *, a=(4700, 4700), b=(4706, 4705), **more):
    """Cells of a rate; rows are the arms of A."""
    outcome = rate_outcome("converted", x)
    given_more = {"outcome_a": outcome, "outcome_b": outcome} | more
    return PairCells(a=side("exp-a-uuid", *a), b=side("exp-b-uuid", *b), n=np.array(n), **given_more)


SHARED = [[2000, 2000], [2000, 2000]]
GOLDEN = pair(SHARED, [[200, 400], [300, 600]])


def test_golden_rows_of_a_pair_in_02_04_05_25():
    found = pair_dict(analyze_pair(GOLDEN))
    assert found["overlap_coefficient"] == pytest.approx(0.739987, abs=5e-7)
    assert (found["overlap_band"], found["shared_users"], found["has_significant_overlap"]) == ("high", 8000, True)
    assert found["share_of_a"] == pytest.approx(0.851064, abs=5e-7)
    assert found["share_of_b"] == pytest.approx(0.850069, abs=5e-7)
    assert (found["min_users_per_cell"], found["min_expected_per_cell"]) == (100, 25)
    short = found["interaction_result"]
    assert short["has_interaction"] is True
    assert short["p_value"] == pytest.approx(0.003625, abs=5e-7)
    assert short["interaction_effect_size"] == pytest.approx(0.05)
    assert short["scale"] == "absolute"
    assert short["unavailable_reason"] is None
    assert short["warning_message"] == "Significant interaction detected. Results from both experiments may be unreliable."
    first, second = found["tests"]
    assert [first["tested_experiment_id"], first["treatment"], first["by_experiment_id"]] == ["exp-a-uuid", "treatment", "exp-b-uuid"]
    expected = {
        "arm": "control", "n_control": 2000, "n_treatment": 2000, "conversions_control": 200, "conversions_treatment": 300,
        "rate_control": 0.1, "rate_treatment": 0.15, "effect": pytest.approx(0.05), "relative_lift": pytest.approx(0.5),
    }  # fmt: skip
    assert first["arms"][0] == expected
    assert [arm["effect"] for arm in second["arms"]] == pytest.approx([0.1, 0.15])
    for row in (first, second):
        assert row["statistic"] == pytest.approx(8.462833, abs=5e-7)
        assert row["df"] == 1
        assert [row["p_value"], row["corrected_p_value"]] == pytest.approx([0.003625, 0.003625], abs=5e-7)
        assert (row["confidence_level"], row["is_significant"], row["correction_method"]) == (0.95, True, "benjamini-hochberg")
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((0.0164, 0.0836), abs=5e-5)


def test_golden_scan_is_corrected_over_every_row_in_01_03():
    quiet = pair([[500, 500], [500, 500]], [[50, 52], [55, 60]], b=(2500, 2500))
    apart = PairCells(
        a=GOLDEN.b, b=quiet.b, n=np.zeros((2, 2), dtype=int), outcome_a=GOLDEN.outcome_a, outcome_b=GOLDEN.outcome_b, exclusion_group=7
    )
    entries = scan_cells([GOLDEN, quiet, apart])
    found = scan_dict(list(entries), experiments=3, how={})
    assert (found["total_active_experiments"], found["pairs_analyzed"], found["high_risk_pairs"]) == (3, 3, 1)
    high, low, none = found["results"]
    assert high["min_corrected_p_value"] == pytest.approx(0.00725, abs=5e-6)
    assert low["min_corrected_p_value"] == pytest.approx(0.8292, abs=5e-5)
    assert (high["has_interaction"], low["has_interaction"], none["has_interaction"]) == (True, False, None)
    assert [entry["overall_risk"] for entry in found["results"]] == ["high", "medium", "low"]
    assert low["overlap_coefficient"] == pytest.approx(0.16129, abs=5e-6)
    assert low["recommendations"] == ["Run pairwise interaction analysis to check for effect contamination."]
    assert high["recommendations"] == [
        "High user overlap detected. Consider using mutual exclusion groups.",
        "Run pairwise interaction analysis to check for effect contamination.",
    ]
    assert (none["overlap_band"], none["unavailable_reason"], none["mutual_exclusion_group_id"]) == (
        "negligible",
        "mutual_exclusion_group",
        7,
    )
    assert none["recommendations"] == []


def test_golden_means_with_hc3():
    cells = np.array([[200, 190], [210, 205]])
    m2 = (cells - 1) * np.array([[2.0, 1.9], [2.1, 2.4]]) ** 2
    outcome = MeanOutcome(metric="value", mean=np.array([[5.0, 5.3], [5.4, 6.6]]), m2=m2)
    found = interaction_tests(pair(cells, cells, outcome_a=outcome, outcome_b=outcome))
    for row in found:
        assert row.method == "hc3_z"
        assert row.interaction == pytest.approx(0.9)
        assert row.statistic == pytest.approx(3.024688, abs=5e-7)
        assert row.p_value == pytest.approx(0.002489, abs=5e-7)
        assert row.arms[0].conversions_control is None


def three(n, x, control_of_b="control"):
    outcome = rate_outcome("converted", x)
    b = side("b", 5000, 5000, 5000, arms=("control", "t1", "t2"), control=control_of_b)
    return PairCells(a=side("a", 5000, 5000), b=b, n=np.array(n), outcome_a=outcome, outcome_b=outcome)


def test_three_arms_give_one_row_and_two_degrees_then_two_rows_the_other_way():
    found = interaction_tests(three([[500, 600, 700]] * 2, [[100, 120, 140], [130, 120, 150]]))
    assert [(row.tested_experiment_id, row.treatment, row.df) for row in found] == [("a", "treatment", 2), ("b", "t1", 1), ("b", "t2", 1)]
    effects = [arm.effect for arm in found[0].arms]
    assert found[0].interaction == pytest.approx(max(effects) - min(effects))
    assert found[0].ci_low is None


def test_cochran_q_of_means_over_three_arms_is_z_squared_when_one_arm_is_empty():
    n = np.array([[300, 0, 400], [320, 0, 380]])
    mean, m2 = np.array([[1.0, 0.0, 2.0], [1.2, 0.0, 2.9]]), n * 2.0
    outcome = MeanOutcome(metric="value", mean=mean, m2=m2)
    cells = three(n.tolist(), n.tolist())
    cells = PairCells(a=cells.a, b=cells.b, n=n, outcome_a=outcome, outcome_b="no_metric")
    row = interaction_tests(cells)[0]
    assert [arm.arm for arm in row.arms] == ["control", "t2"]
    z = ((2.9 - 2.0) - (1.2 - 1.0)) / math.sqrt((m2[n > 0] / (n[n > 0] - 1.0) ** 2).sum())
    assert row.statistic == pytest.approx(z)
    full = np.array([[300, 350, 400], [320, 330, 380]])
    spread = MeanOutcome(metric="value", mean=np.array([[1.0, 1.5, 2.0], [1.2, 1.9, 2.9]]), m2=full * 2.0)
    found = interaction_tests(PairCells(a=cells.a, b=cells.b, n=full, outcome_a=spread, outcome_b="no_metric"))[0]
    effects, variances = np.array([0.2, 0.4, 0.9]), (full * 2.0 / (full - 1.0) ** 2).sum(axis=0)
    q = sum((effects - np.average(effects, weights=1 / variances)) ** 2 / variances)
    assert (found.method, found.df) == ("cochran_q", 2)
    assert found.statistic == pytest.approx(q)


def test_the_sign_of_an_interaction_does_not_hang_on_the_order_of_arms():
    x, n = [[200, 400], [300, 600]], SHARED
    turned = PairCells(
        a=side("a", 4000, 4000, arms=("treatment", "control")),
        b=side("b", 4000, 4000, arms=("treatment", "control")),
        n=np.array(n),
        outcome_a=rate_outcome("c", [row[::-1] for row in x[::-1]]),
        outcome_b=rate_outcome("c", [row[::-1] for row in x[::-1]]),
    )
    assert [row.interaction for row in interaction_tests(turned)] == pytest.approx([0.05, 0.05])


NOBODY = np.zeros((2, 2), dtype=int)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (pair(NOBODY, NOBODY, exclusion_group=7), "mutual_exclusion_group"),
        (pair(SHARED, SHARED, exclusion_group=7), "mutual_exclusion_group"),
        (pair(NOBODY, NOBODY), "no_shared_users"),
        (pair(SHARED, NOBODY, outcome_a="no_metric", outcome_b="no_metric"), "no_metric"),
        (pair(SHARED, NOBODY, outcome_a="unsupported_metric", outcome_b="unsupported_metric"), "unsupported_metric"),
        (pair([[99, 200], [200, 200]], [[50, 50], [50, 50]]), "too_few_shared_users"),
        (pair([[200, 0], [200, 0]], [[50, 0], [50, 0]]), "too_few_shared_users"),
        (pair([[200, 200], [200, 200]], [[20, 20], [20, 20]]), "too_few_conversions"),
        (pair([[200, 200], [200, 200]], [[180, 180], [180, 180]]), "too_few_conversions"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_reasons_in_26_27(cells, reason):
    found = interaction_tests(cells)
    assert [row.unavailable_reason for row in found] == [reason, reason]
    assert all(row.p_value is None and row.is_significant is None for row in correct(found))
    assert why_untested(found) == reason
    assert has_interaction(found) is None


def test_without_a_control_there_is_a_row_that_says_so():
    cells = pair(SHARED, [[200, 400], [300, 600]])
    bare = PairCells(a=side("a", 4000, 4000, control=None), b=cells.b, n=cells.n, outcome_a=cells.outcome_a, outcome_b=cells.outcome_b)
    found = correct(interaction_tests(bare))
    assert (found[0].treatment, found[0].unavailable_reason) == (None, "no_control_variant")
    assert has_interaction(found) is True, "the row that was tested is significant"
    assert why_untested(found) is None


def test_floors_hold_exactly_at_their_values_in_27():
    exact = pair([[100, 100], [100, 100]], [[25, 25], [25, 25]])
    assert all(row.p_value == pytest.approx(1.0) for row in interaction_tests(exact))
    assert interaction_tests(exact, min_users=101)[0].unavailable_reason == "too_few_shared_users"
    assert interaction_tests(exact, min_expected=26)[0].unavailable_reason == "too_few_conversions"
    with pytest.raises(UsageError, match="floors"):
        interaction_tests(exact, min_users=1)


def test_no_variance_is_a_reason_of_its_own():
    n = np.array(SHARED)
    flat = MeanOutcome(metric="v", mean=np.ones((2, 2)), m2=np.zeros((2, 2)))
    assert interaction_tests(pair(n, n, outcome_a=flat, outcome_b=flat))[0].unavailable_reason == "no_variance"


def test_one_untested_row_forbids_no_but_not_yes_in_28():
    quiet = pair([[500, 500], [500, 500]], [[50, 52], [55, 60]], outcome_b="no_metric")
    rows = correct(interaction_tests(quiet))
    assert rows[0].is_significant is False
    assert has_interaction(rows) is None
    assert why_untested(rows) == "no_metric"
    loud = pair(SHARED, [[200, 400], [300, 600]], outcome_b="no_metric")
    assert has_interaction(correct(interaction_tests(loud))) is True
    assert has_interaction(()) is None


def test_assignment_dependence_in_29():
    even, other = assignment_dependence(GOLDEN)
    assert (even.chi_square, even.p_value, even.is_dependent) == (0.0, 1.0, False)
    assert other.p_value > 0.9
    skewed = assignment_dependence(pair([[2400, 2400], [2000, 2000]], SHARED, a=(4700, 4700)))[0]
    x, n, p = np.array([4800, 4000]), np.array([4700, 4700]), 8800 / 9400
    assert skewed.chi_square == pytest.approx(sum((x - n * p) ** 2 / (n * p * (1 - p))))
    assert skewed.is_dependent is True
    whole = assignment_dependence(pair([[2350, 2350], [2350, 2350]], SHARED))[0]
    assert (whole.chi_square, whole.is_dependent) == (None, None), "everyone is in both: nothing to compare"


counts = st.integers(100, 5000)


@given(n=st.lists(counts, min_size=4, max_size=4), shares=st.lists(st.floats(0.3, 0.7), min_size=4, max_size=4))
def test_both_sides_of_a_two_by_two_see_the_same_interaction(n, shares):
    n = np.array(n).reshape(2, 2)
    x = (n * np.array(shares).reshape(2, 2)).astype(int)
    a, b = interaction_tests(pair(n, x, a=(20000, 20000), b=(20000, 20000)))
    assert a.statistic == pytest.approx(b.statistic, rel=1e-6, abs=1e-9)
    assert a.interaction == pytest.approx(b.interaction, abs=1e-12)
    assert a.smallest_visible == pytest.approx(b.smallest_visible)


def test_smallest_visible_interaction_is_found_with_the_stated_power():
    assert visible_interaction([1.0, 3.0]) == pytest.approx((1.959964 + 0.841621) * 2.0, rel=1e-4)
    rng = np.random.default_rng(5)
    variances = np.array([1.0, 2.0, 0.5])
    delta = visible_interaction(variances)
    assert delta > visible_interaction([1.0, 2.0]), "more arms need more"
    common = (delta * (1 / 1.0)) / (1 / 1.0 + 1 / 2.0)
    effects = rng.normal(np.array([delta, 0.0, common]), np.sqrt(variances), size=(40_000, 3))
    weights = 1 / variances
    centre = (effects * weights).sum(axis=1, keepdims=True) / weights.sum()
    q = (weights * (effects - centre) ** 2).sum(axis=1)
    assert (q > 5.991465).mean() == pytest.approx(0.8, abs=0.01)
    with pytest.raises(UsageError, match="two arms"):
        visible_interaction([1.0])
    with pytest.raises(UsageError, match="power"):
        visible_interaction([1.0, 1.0], power=0.01)


def test_wrong_tables_are_refused():
    with pytest.raises(UsageError, match="shape"):
        pair([[1, 2, 3], [1, 2, 3]], SHARED)
    with pytest.raises(UsageError, match="one count"):
        side("a", 1, 2, 3)
    with pytest.raises(UsageError, match="control must be an arm"):
        side("a", 1, 2, control="none")


def test_swapping_twice_changes_nothing():
    back = GOLDEN.swapped().swapped()
    assert back.a == GOLDEN.a
    assert (back.outcome_a.successes == GOLDEN.outcome_a.successes).all()
    assert (GOLDEN.swapped().outcome_a.successes == GOLDEN.outcome_b.successes.T).all()
