"""The scorecard as a data frame."""

import pandas as pd
import pytest
from samples import SAMPLES, advertising, three_arms

from fairtrial.reports.frames import COLUMNS, to_frame


@pytest.mark.parametrize("name", SAMPLES)
def test_one_row_per_comparison_in_order(name: str):
    scorecard = SAMPLES[name]()
    frame = to_frame(scorecard)
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame["metric"]) == [c.metric for c in scorecard.comparisons]
    assert list(frame["treatment"]) == [c.treatment for c in scorecard.comparisons]


def test_numbers_are_as_computed_and_fractions():
    """G-2."""
    row = to_frame(advertising()).iloc[0]
    assert row["effect"] == 0.007692453192
    assert row["lift"] == 0.4308506402
    assert (row["n_control"], row["n_treatment"]) == (23524, 564577)
    assert to_frame(advertising()).attrs["verdict"] == "LAUNCH"


def test_what_could_not_be_computed_is_missing_with_its_reason():
    """G-5."""
    frame = to_frame(three_arms()).set_index(["metric", "treatment"])
    gone = frame.loc[("spend", "womens")]
    assert pd.isna(gone["effect"])
    assert pd.isna(gone["p_value"])
    assert gone["unavailable"] == "spend is the same for every unit of womens"
    assert pd.isna(frame.loc[("visit", "mens"), "unavailable"])
    assert frame.loc[("crash_rate", "mens"), "guardrail"] == "ALERT"
