"""The prediction log from NDJSON, files and databases (ML-12, ML-26, ML-31; IV.b: parameterised SQL, timestamps are datetimes)."""

import datetime as dt
import json
import sqlite3
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from model_logs import CHALLENGER, CHAMPION, END, START, config, log

from fairtrial.analysis import ExperimentAnalyzer
from fairtrial.errors import DataError, UsageError


def line(number: int, **more: object) -> str:
    moment = START + pd.Timedelta(days=number)
    row = {
        "prediction_id": f"p-{number}",
        "user_id": f"ü{number}",
        "model_name": CHAMPION,
        "timestamp": moment.isoformat(),
        "outcome": None,
    }
    return json.dumps(row | more, ensure_ascii=False) + "\n"


def test_an_ndjson_folder_is_read_with_its_labels(tmp_path: Path) -> None:
    """ML-26, ML-31: labels join by prediction_id, the last one wins, a cut last line is counted."""
    (tmp_path / "a.ndjson").write_text("".join(line(n) for n in range(10)) + '{"prediction_id": "p-', encoding="utf-8")
    (tmp_path / "b.ndjson").write_text(line(10) + "\n" + line(11), encoding="utf-8")
    labels = [
        {"prediction_id": "p-1", "outcome": 1, "labelled_at": "2026-01-20T00:00:00Z"},
        {"prediction_id": "p-1", "outcome": 0, "labelled_at": "2026-01-19T00:00:00Z"},
        {"prediction_id": "p-2", "outcome": 0, "labelled_at": "2026-01-19T00:00:00Z"},
        {"prediction_id": "nobody", "outcome": 1, "labelled_at": "2026-01-19T00:00:00Z"},
    ]
    (tmp_path / "labels-1.ndjson").write_text("".join(json.dumps(row) + "\n" for row in labels), encoding="utf-8")
    analyzer = ExperimentAnalyzer(config(), source=tmp_path)
    frame = analyzer.load_experiment_data(dt.date(2026, 1, 2), "2026-01-11T00:00:00Z")
    assert frame["prediction_id"].tolist() == [f"p-{n}" for n in range(1, 10)]
    assert frame["outcome"].dropna().tolist() == [1, 0]
    assert frame.attrs["loading"] == {"cut_lines": 1, "unknown_labels": 1}
    assert frame.attrs["window"] == (dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.datetime(2026, 1, 11, tzinfo=dt.UTC))


@pytest.mark.parametrize("text", ["{]\n" + line(1), "[1]\n" + line(1), line(1).replace("2026-01-02", "soon")])
def test_a_broken_line_inside_a_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.ndjson").write_text(text, encoding="utf-8")
    with pytest.raises(DataError):
        ExperimentAnalyzer(config(), source=tmp_path).load_experiment_data("2026-01-01", "2026-02-01")


def test_files_and_databases_give_the_same_report(tmp_path: Path) -> None:
    """ML-12: one log by every door, half-open days."""
    frame = log({CHAMPION: (1_000, 150), CHALLENGER: (1_000, 190)})
    frame["outcome"] = frame["outcome"].astype(object).where(frame.index % 7 > 0, None).astype(float)
    frame["timestamp"] = frame["timestamp"].dt.floor("ms")
    frame.to_parquet(tmp_path / "log.parquet")
    text = frame.assign(timestamp=frame["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    text.to_csv(tmp_path / "log.csv", index=False)
    text.to_json(tmp_path / "log.ndjson", orient="records", lines=True)
    with duckdb.connect(str(tmp_path / "log.duckdb")) as database:
        database.execute("CREATE TABLE experiment_logs AS SELECT * FROM frame")
        database.execute("CREATE TABLE other AS SELECT 1 AS one")
    with sqlite3.connect(tmp_path / "log.sqlite") as lite:
        text.to_sql("experiment_logs", lite, index=False)
    lite.close()
    sources = ["log.parquet", "log.csv", "log.ndjson", "duckdb:///log.duckdb", "sqlite:///log.sqlite"]
    reports = []
    for source in sources:
        analyzer = ExperimentAnalyzer(config(share=0.5), source=source, base=tmp_path)
        loaded = analyzer.load_experiment_data("2026-01-01", "2026-01-10")
        assert str(loaded["timestamp"].dtype).startswith("datetime64") or source.endswith(("csv", "ndjson", "sqlite"))
        reports.append(analyzer.generate_report(loaded))
    assert reports[0]["duration_days"] == 9
    assert reports[0]["total_samples"] == int((frame["timestamp"] < pd.Timestamp("2026-01-10", tz="UTC")).sum())
    for source, report in zip(sources, reports, strict=True):
        assert report["primary_metric"] == reports[0]["primary_metric"], source


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    analyzer = ExperimentAnalyzer(config(), source=tmp_path)
    with pytest.raises(UsageError):
        analyzer.load_experiment_data("2026-01-01", "2026-01-02")
    with pytest.raises(UsageError, match="after"):
        analyzer.load_experiment_data(END.to_pydatetime(), START.to_pydatetime())
    with pytest.raises(UsageError, match="start_date"):
        analyzer.load_experiment_data("1; DROP TABLE experiment_logs", "2026-01-02")
    with pytest.raises(UsageError):
        ExperimentAnalyzer(config(), source="nowhere.ndjson", base=tmp_path).load_experiment_data("2026-01-01", "2026-01-02")
    (tmp_path / "labels.ndjson").write_text('{"outcome": 1}\n', encoding="utf-8")
    with pytest.raises(DataError):
        analyzer.load_experiment_data("2026-01-01", "2026-01-02")
    (tmp_path / "a.ndjson").write_text(line(1), encoding="utf-8")
    with pytest.raises(DataError, match="prediction_id"):
        analyzer.load_experiment_data("2026-01-01", "2026-02-01")
