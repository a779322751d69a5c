"""What every quasi-experiment shares: the estimate, its grade, the columns it reads, the panel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.quasi import did_2x2, segmented_regression
from fairtrial.quasi.columns import codes_of, indicator_of, matrix_of, numbers_of
from fairtrial.quasi.estimate import inference
from fairtrial.quasi.panel import panel_of

WARNING = Finding(code="x", severity="warning", message="It broke.", action="Mend it.")


def small_did():
    return did_2x2([1.0, 2, 2, 5, 1, 2.5, 3, 4], [0, 0, 1, 1, 0, 0, 1, 1], [0, 1, 0, 1, 0, 1, 0, 1]).estimate


def test_it_turns_into_an_estimate_whose_control_is_the_counterfactual():
    quasi = small_did()
    estimate = quasi.to_estimate()
    assert (estimate.effect, estimate.interval, estimate.p_value) == (quasi.effect, quasi.interval, quasi.p_value)
    assert estimate.treatment - estimate.control == pytest.approx(estimate.effect)
    assert estimate.lift == pytest.approx(estimate.treatment / estimate.control - 1)
    assert estimate.lift_interval.low < estimate.lift < estimate.lift_interval.high  # the base was sampled too
    assert (estimate.lift_method, estimate.notes) == ("delta", ())


def test_an_observed_series_has_a_lift_interval_that_agrees_with_the_effects():
    rng = np.random.default_rng(1)
    series = 50 + rng.normal(0, 1, 40) + np.where(np.arange(40) >= 20, 5.0, 0.0)
    estimate = segmented_regression(series, start=20).estimate.to_estimate()
    assert estimate.lift_interval.low < estimate.lift < estimate.lift_interval.high
    assert estimate.lift_interval.excludes(0.0) == estimate.interval.excludes(0.0)
    assert (1 + estimate.lift_interval.high) * (estimate.treatment - estimate.interval.high) == pytest.approx(estimate.treatment)


def test_a_counterfactual_below_zero_has_no_lift():
    rng = np.random.default_rng(1)
    estimate = segmented_regression(-50 + rng.normal(0, 1, 40), start=20).estimate.to_estimate()
    assert (estimate.lift, estimate.lift_interval, estimate.lift_method, estimate.notes) == (None, None, None, ("no_relative_effect",))


def test_a_failed_check_makes_the_grade_weak_and_says_why():
    after = small_did().with_findings([WARNING])
    assert (after.grade.level, after.grade.because) == ("weak", "It broke.")
    assert after.findings[-1] is WARNING


def test_a_note_leaves_the_grade_alone():
    note = Finding(code="x", severity="info", message="Seen.", action="Nothing.")
    assert small_did().with_findings([note]).grade == small_did().grade


@given(effect=st.floats(-5, 5), error=st.floats(0.01, 5), df=st.sampled_from([1.0, 5.0, 40.0, math.inf]), alpha=st.floats(0.001, 0.4))
@settings(max_examples=80, deadline=None)
def test_interval_and_p_value_agree(effect, error, df, alpha):
    found = inference(effect, error, df=df, alpha=alpha)
    if abs(found.p_value - alpha) > 1e-9:
        assert found.interval.excludes(0.0) == (found.p_value < alpha)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"effect": 1.0, "std_error": 0.0}, DataError),
        ({"effect": 1.0, "std_error": math.nan}, DataError),
        ({"effect": 1.0, "std_error": 1.0, "df": 0.0}, DataError),
        ({"effect": 1.0, "std_error": 1.0, "alpha": 95}, UsageError),
    ],
)
def test_inference_without_a_base_is_refused(arguments, error):
    with pytest.raises(error):
        inference(**arguments)


@pytest.mark.parametrize(
    ("values", "rows", "error"),
    [
        (["a", "b"], None, UsageError),
        ([[1.0, 2.0]], None, DataError),
        ([], None, DataError),
        ([1.0, math.nan], None, DataError),
        ([1.0, 2.0], 3, UsageError),
    ],
)
def test_a_column_that_is_no_column_of_numbers_is_refused(values, rows, error):
    with pytest.raises(error, match="column_x"):
        numbers_of("column_x", values, rows=rows)


def test_an_indicator_holds_both_zero_and_one():
    assert indicator_of("t", [True, False]).tolist() == [True, False]
    with pytest.raises(UsageError, match="0 and 1 only"):
        indicator_of("t", [0, 2])
    with pytest.raises(DataError, match="both"):
        indicator_of("t", [1, 1])


def test_labels_of_any_kind_become_places():
    assert codes_of("u", ["b", "a", "b"])[1].tolist() == [1, 0, 1]
    assert codes_of("u", np.array([3, "a", 3], dtype=object))[1].tolist() == [0, 1, 0]
    assert codes_of("u", np.array([3, 1], dtype=object))[1].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("values", "rows", "error"),
    [
        (np.array(["a", None], dtype=object), None, DataError),
        (np.array(["a", math.nan], dtype=object), None, DataError),
        ([1.0, math.nan], None, DataError),
        ([], None, DataError),
        ([[1, 2]], None, DataError),
        ([1, 2], 3, UsageError),
    ],
)
def test_labels_that_are_missing_are_refused(values, rows, error):
    with pytest.raises(error, match="unit"):
        codes_of("unit", values, rows=rows)


# The panel.


def test_never_is_written_as_nan_infinity_or_zero():
    panel = panel_of(np.arange(8.0), np.repeat([1, 2, 3, 4], 2), [1, 2] * 4, np.repeat([0, np.nan, np.inf, 2], 2))
    assert panel.first.tolist() == [2, 2, 2, 1]
    assert panel.cohorts.tolist() == [1]
    assert panel.treated.tolist() == [False] * 7 + [True]
    assert panel.is_balanced


def test_zero_is_a_cohort_where_zero_is_a_period():
    panel = panel_of([1.0, 2, 3, 4], [1, 1, 2, 2], [0, 1, 0, 1], [0, 0, np.nan, np.nan])
    assert panel.first.tolist() == [0, 2]


def test_a_cohort_between_periods_starts_at_the_next():
    panel = panel_of([1.0, 2, 3, 4], [1, 1, 2, 2], [10, 20, 10, 20], [15, 15, 99, 99])
    assert panel.first.tolist() == [1, 2]
    assert panel.label(1) == "20"


def test_a_panel_without_rows_is_refused():
    panel = panel_of([1.0, 2, 3, 4], [1, 1, 2, 2], [1, 2, 1, 2], [2, 2, 0, 0])
    with pytest.raises(NotEnoughDataError):
        panel.rows(np.zeros(4, dtype=bool))


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"time": [1, 1, 1, 1]}, "two periods"),
        ({"time": [1, 1, 1, 2]}, "once a period"),
        ({"cohort": [2, 3, 0, 0]}, "one cohort"),
        ({"weights": [1, 0, 1, 1]}, "positive"),
    ],
)
def test_what_is_no_panel_is_refused(changed, match):
    rows = {"outcome": [1.0, 2, 3, 4], "unit": [1, 1, 2, 2], "time": [1, 2, 1, 2], "cohort": [2, 2, 0, 0], **changed}
    with pytest.raises(DataError, match=match):
        panel_of(**rows)


def test_a_cluster_whose_rows_are_left_out_no_longer_counts():
    """Clusters are counted by their places, so a gap would count one that is not there."""
    unit, time = np.repeat(np.arange(6), 3), np.tile(np.arange(3), 6)
    whole = panel_of(np.arange(18.0) ** 1.5, unit, time, np.where(unit < 2, 1.0, np.nan), cluster=[f"c{u // 2}" for u in unit])
    assert np.unique(whole.cluster).tolist() == [0, 1, 2]
    left = whole.rows(unit != 0).rows(np.arange(15) >= 3)  # both units of the first cluster
    assert (np.unique(left.cluster).tolist(), left.units) == ([0, 1], 4)
    alone = panel_of(np.arange(18.0) ** 1.5, unit, time, np.full(18, np.nan))
    assert (alone.cluster == alone.unit).all()


def test_a_matrix_of_words_is_refused():
    with pytest.raises(UsageError, match="must hold numbers"):
        matrix_of("covariates", [["a"], ["b"]], rows=2, row="unit")
