"""`fairtrial drift` as a command: text, JSON, exit codes, formats, bad input (ML-35)."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Two weeks of a log; in the second one amounts double. A column has a name that is not ASCII."""
    folder = tmp_path_factory.mktemp("logs")
    rng = np.random.default_rng(6)
    n = 4_000
    frame = pd.DataFrame(
        {
            "timestamp": pd.date_range("2026-01-01", periods=n, freq="5min", tz="UTC").strftime("%Y-%m-%dT%H:%M:%SZ"),
            "variant": np.resize(["champion", "challenger"], n),
            "částka": rng.lognormal(3, 1, n) * np.where(np.arange(n) < n // 2, 1.0, 2.0),
            "prediction": rng.beta(2, 8, n),
        }
    )
    frame.to_csv(folder / "log.csv", index=False)
    frame.to_parquet(folder / "log.parquet")
    frame.to_json(folder / "log.ndjson", orient="records", lines=True, force_ascii=False)
    frame[: n // 2].to_parquet(folder / "before.parquet")
    frame[n // 2 :].to_parquet(folder / "after.parquet")
    return folder


@pytest.mark.parametrize("kind", ["csv", "parquet", "ndjson"])
def test_every_format_gives_the_same_answer(logs, run, kind):
    code, told, talk = run("drift", logs / f"log.{kind}", "--split-at", "2026-01-07T22:40:00Z", "--json")
    found = json.loads(told)
    assert (code, talk, found["drifted"], found["reference"]) == (1, "", True, "the rows before 2026-01-07T22:40:00Z")
    rows = {one["column"]: one for one in found["columns"]}
    assert {name: one["drifted"] for name, one in rows.items()} == {"částka": True, "prediction": False, "variant": False} or {
        name: one["drifted"] for name, one in rows.items()
    } == {"částka": True, "prediction": False}
    assert rows["částka"]["ks_p_adjusted"] < 0.01


def test_a_file_against_a_reference_and_arms_against_each_other(logs, run):
    code, told, _ = run("drift", logs / "after.parquet", "--reference", logs / "before.parquet", "--columns", "částka, prediction")
    assert code == 1
    assert "částka" in told
    assert "moved" in told
    code, told, _ = run("drift", logs / "log.parquet", "--by", "variant")
    assert code == 0
    assert "0 of 2 columns moved" in told
    assert "2,000 of champion" in told


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("log.parquet",), 2),
        (("log.parquet", "--by", "nothing"), 2),
        (("log.parquet", "--by", "variant", "--columns", "nothing"), 2),
        (("log.parquet", "--split-at", "soon"), 2),
        (("log.parquet", "--split-at", "2030-01-01"), 1),
        (("nowhere.csv", "--by", "variant"), 2),
        (("log.parquet", "--by", "variant", "--ks-p", "3"), 2),
    ],
)
def test_what_cannot_be_compared_is_refused(logs, run, arguments, code):
    found, told, talk = run("drift", logs / arguments[0], *arguments[1:], "--json")
    assert (found, told) == (code, "")
    assert json.loads(talk.splitlines()[-1])["code"]
