"""analyze(): a frame, an Arrow table or an address in, the same scorecard out."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fairtrial
from fairtrial.errors import DataError, SpecError, UnknownNameError, UsageError


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(12)
    n = 4000
    arm = np.where(np.arange(n) % 2 == 0, "control", "treatment")
    before = rng.normal(50, 10, n)
    return pd.DataFrame(
        {
            "user": [f"u{i}" for i in range(n)],
            "arm": arm,
            "before": before,
            "spend": before + rng.normal(0, 3, n) + (arm == "treatment") * 0.5,
            "bought": (rng.random(n) < np.where(arm == "treatment", 0.24, 0.2)).astype(int),
            "clicks": rng.poisson(2, n),
            "views": rng.poisson(9, n) + 1,
        }
    )


METRICS = [
    fairtrial.mean("spend", covariate="before"),
    fairtrial.proportion("bought"),
    fairtrial.count("clicks"),
    fairtrial.ratio("clicks", "views"),
]


def test_a_frame_an_arrow_table_and_a_file_give_the_same_numbers(frame, tmp_path):
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), tmp_path / "units.parquet")
    cards = [
        fairtrial.analyze(data, arm="arm", unit="user", metrics=METRICS)
        for data in (frame, pa.Table.from_pandas(frame), tmp_path / "units.parquet", str(tmp_path / "units.parquet"))
    ]
    first = cards[0]
    for card in cards[1:]:
        for ours, theirs in zip(first.comparisons, card.comparisons, strict=True):
            assert ours.estimate.effect == pytest.approx(theirs.estimate.effect, rel=1e-9)
            assert ours.estimate.p_value == pytest.approx(theirs.estimate.p_value, rel=1e-6)
    assert [row.metric for row in first.comparisons] == ["spend", "bought", "clicks", "clicks/views"]
    assert first.comparison("spend").role == "primary"


def test_the_scorecard_can_be_looked_at_read_and_tabulated(frame):
    card = fairtrial.analyze(frame, arm="arm", unit="user", metrics=METRICS)
    assert "spend" in card._repr_html_()
    assert "script" not in card._repr_html_()
    assert "spend" in card.explain()
    table = card.to_frame()
    assert list(table["metric"]) == ["spend", "bought", "clicks", "clicks/views"]
    assert table.loc[0, "p_value"] == card.comparison("spend").estimate.p_value
    assert json.loads(card.to_json())["primary"] == "spend"


def test_plan_settings_pass_through(frame):
    card = fairtrial.analyze(frame, arm="arm", unit="user", metrics=METRICS[1:2], alpha=0.1, sample_size=4000, ci_method="newcombe")
    estimate = card.comparison("bought").estimate
    assert estimate.alpha == 0.1
    assert estimate.interval_method == "newcombe"
    assert card.plan.planned_n == 4000


def test_numbers_and_booleans_may_name_arms(frame):
    for values, control in (([0, 1], 0), ([False, True], False), ([0.0, 1.0], 0.0)):
        coded = frame.assign(arm=np.where(frame["arm"] == "control", values[0], values[1]).astype(type(values[0])))
        card = fairtrial.analyze(coded, arm="arm", unit="user", control=control, metrics=METRICS[1:2])
        assert card.comparison("bought").estimate.n_control == 2000


def test_planned_shares_are_checked_and_may_be_unknown(frame):
    skewed = frame[(frame["arm"] == "control") | (frame.index % 8 == 1)]
    assert fairtrial.analyze(skewed, arm="arm", metrics=METRICS[1:2]).decision.state == "invalid"
    planned = fairtrial.analyze(skewed, arm="arm", metrics=METRICS[1:2], shares={"control": 0.8, "treatment": 0.2})
    assert planned.srm.status == "ok"
    assert fairtrial.analyze(skewed, arm="arm", metrics=METRICS[1:2], shares="unknown").srm.status == "skipped"


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"metrics": []}, UsageError, "at least one metric"),
        ({"arm": "arms"}, UnknownNameError, "Did you mean 'arm'"),
        ({"control": "contrl"}, UsageError, "must be one of the arms"),
        ({"metrics": [fairtrial.mean("spnd")]}, UnknownNameError, "spend"),
        ({"metrics": [fairtrial.mean("spend", rol="primary")]}, SpecError, "Did you mean 'role'"),
        ({"alpha": 95}, SpecError, "alpha: 0.05"),
        ({"shares": {"control": 0.5}}, UsageError, "treatment"),
        ({"arm": "user", "control": "u0"}, (UsageError, DataError), "50"),
        ({"metrics": [fairtrial.proportion("clicks")]}, DataError, "0 or 1"),
    ],
)
def test_wrong_arguments_say_the_rule(frame, options, error, said):
    with pytest.raises(error) as caught:
        fairtrial.analyze(frame, **({"arm": "arm", "unit": "user", "metrics": METRICS} | options))
    assert said in str(caught.value)


def test_a_frame_is_left_as_it_was(frame):
    before = frame.copy(deep=True)
    fairtrial.analyze(frame, arm="arm", unit="user", metrics=METRICS)
    pd.testing.assert_frame_equal(frame, before)
