"""Effects by attribute of profiles (AD-09, XC-16): the service's figures are those of a file with the same units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from holdout_rows import START, add_outcomes
from running_service import MARCH

from fairtrial import analyze, mean, proportion
from fairtrial.storage.tables import ExperimentAssignment, Profile

URL = "/api/v1/experiments"
SPEC = {
    "key": "mail",
    "kind": "holdout",
    "arms": [{"key": "control", "allocation": 0.4}, {"key": "treatment", "allocation": 0.6}],
    "metrics": [{"key": "converted", "kind": "proportion", "role": "primary"}, {"key": "value", "kind": "mean"}],
    "schedule": {"start": "2026-03-01", "end": "2026-04-01"},
    "plan": {"sample_size": 3000},
}


def scene(service, segments, n=3_000, metrics=None):
    """Profiles whose land is hurt or helped, stored, and the same as a frame."""
    spec = {**SPEC, "segments": segments, **({} if metrics is None else {"metrics": metrics})}
    made = service.post(URL, {"spec": spec, "channel": "email", "conversion_key": "buy"})
    assert made.status_code == 201, made.text
    number = made.json()["id"]
    service.post(f"{URL}/{number}/status", {"status": "running"})
    rng = np.random.default_rng(4)
    land = rng.choice(["dé", "fr", "it", "用户", ""], n, p=[0.4, 0.3, 0.2, 0.06, 0.04])
    known = rng.random(n) < 0.9
    arm = np.where(rng.random(n) < 0.6, "treatment", "control")
    rate = 0.3 + np.where(arm == "treatment", np.where(land == "it", -0.2, 0.15), 0.0)
    won = rng.random(n) < rate
    frame = pd.DataFrame(
        {
            "unit": [f"p{i}" for i in range(n)],
            "arm": arm,
            "converted": won.astype(int),
            "value": np.where(won, 12.5 + np.arange(n) % 9, 0.0),
        }
    )
    frame["land"] = pd.Series(land, dtype=object).where(known, None)
    frame["new"] = pd.Series(rng.choice(["true", "false"], n), dtype=object)
    frame["visits"] = pd.Series(rng.poisson(2, n), dtype="Int64")
    with service.database.writing() as session:
        for row in frame.to_dict("records"):
            attributes = {"new": row["new"] == "true", "visits": int(row["visits"])} | (
                {} if row["land"] is None else {"land": row["land"]}
            )
            if row["unit"] != "p7":
                session.add(Profile(id=row["unit"], attributes_json=attributes, updated_at=MARCH))
            session.add(
                ExperimentAssignment(experiment_id=number, profile_id=row["unit"], group=row["arm"], assigned_at=START, source="assign")
            )
            if row["converted"]:
                add_outcomes(session, number, [row["unit"]], at=START + pd.Timedelta(days=2).to_pytimedelta(), value=row["value"])
    for column in ("land", "new", "visits"):
        frame.loc[7, column] = None
    service.clock.move(days=5)
    return number, frame


def close(mine, theirs):
    """Equal but for the last digits of floating point."""
    if isinstance(mine, dict):
        return set(mine) == set(theirs) and all(close(mine[key], theirs[key]) for key in mine)
    if isinstance(mine, list):
        return len(mine) == len(theirs) and all(close(*pair) for pair in zip(mine, theirs, strict=True))
    if isinstance(mine, float) and isinstance(theirs, float):
        return mine == pytest.approx(theirs, rel=1e-9, abs=1e-12)
    return mine == theirs


def test_levels_are_those_of_a_file_with_the_same_units(stored_service):
    """Text, booleans and whole numbers; levels without a value, without a profile, with rarer values pooled; Unicode and empty text."""
    segments = {"columns": ["land", "new", "visits"], "max_levels": 4, "min_units": 50}
    number, frame = scene(stored_service, segments)
    card = stored_service.get(f"{URL}/{number}/scorecard").json()
    same = analyze(
        frame, arm="arm", unit="unit", metrics=[proportion("converted"), mean("value")], segments=segments,
        shares={"control": 0.4, "treatment": 0.6}, sample_size=3000,
    ).to_dict()  # fmt: skip
    assert [column["column"] for column in card["segments"]["columns"]] == ["land", "new", "visits"]
    assert {level["name"] for level in card["segments"]["columns"][0]["levels"]} == {"dé", "fr", "it", "用户", "(missing)", "(other)"}
    for part in ("columns", "comparisons"):
        assert close(card["segments"][part], same["segments"][part]), part
    hurt = [one["level"] for row in card["segments"]["comparisons"] for one in row["levels"] if one["harm"] == "hidden_regression"]
    assert "it" in hurt
    assert any(one["code"] == "hidden_regression" for one in card["findings"])


def test_a_spec_without_segments_has_none(stored_service):
    number, _ = scene(stored_service, None, n=60)
    assert stored_service.get(f"{URL}/{number}/scorecard").json()["segments"] is None


def test_a_metric_that_is_adjusted_says_why_it_is_not_read_by_segment(stored_service):
    metrics = [SPEC["metrics"][0], {"key": "value", "kind": "mean", "covariate": "ltv"}]
    number, _ = scene(stored_service, {"columns": ["land"], "min_units": 10}, n=2_000, metrics=metrics)
    card = stored_service.get(f"{URL}/{number}/scorecard").json()
    rows = {row["metric"]: row for row in card["segments"]["comparisons"]}
    assert {one["unavailable"]["code"] for one in rows["value"]["levels"]} == {"not_by_segment"}


@pytest.mark.parametrize("column", ["age", "ltv", 'a"b'])
def test_an_amount_is_no_segment(stored_service, column):
    number, _ = scene(stored_service, [column], n=60)
    answer = stored_service.get(f"{URL}/{number}/scorecard")
    assert answer.status_code == 422
    assert "attribute of profiles" in answer.json()["detail"]


def test_an_attribute_nobody_has_is_one_level_without_values(stored_service):
    number, frame = scene(stored_service, ["nobody"], n=400)
    (column,) = stored_service.get(f"{URL}/{number}/scorecard").json()["segments"]["columns"]
    assert [(level["name"], sum(level["n"].values())) for level in column["levels"]] == [("(missing)", len(frame))]
