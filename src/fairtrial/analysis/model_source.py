"""Reading the prediction log: NDJSON folders, files and databases, with the labels that came later.

A folder of `*.ndjson` files has one prediction a line; `labels*.ndjson` beside them have
`prediction_id`, `outcome` and `labelled_at`, and the label that came last wins. The last line
of a file whose writer was killed may be cut off: it is left out and counted.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from pydantic import TypeAdapter

from fairtrial.analysis.model_rows import micros_of, pd
from fairtrial.errors import DataError, UsageError
from fairtrial.spec.plan import UtcTime
from fairtrial.warehouse.sources import open_source
from fairtrial.warehouse.times import micros_of as micros_in_engine

TABLE = "experiment_logs"
"""Table of a database that holds the log."""

LABELS = "labels"
"""Beginning of the names of files with labels."""


def load_log(source: str, start_date: object, end_date: object, *, base: Path | None = None) -> Any:
    """The log of [start_date, end_date).

    Args:
        source: A folder of `*.ndjson` files or one such file, a Parquet or CSV file, or the URL of a database.
        start_date: First moment that is read.
        end_date: First moment that is not read.
        base: Folder that a relative path counts from.

    Returns:
        A pandas frame with the moments in `attrs["window"]` and counts in `attrs["loading"]`.

    Raises:
        UsageError: The dates are in the wrong order, or the source is none.
        DataError: A line is broken, or a time cannot be read.
        ConnectorError: The database does not answer.
    """
    start, end = _moment("start_date", start_date), _moment("end_date", end_date)
    if end <= start:
        raise UsageError(f"end_date must come after start_date, got {start.isoformat()} and {end.isoformat()}.")
    path = (base or Path()) / Path(source).expanduser()
    if "://" not in source and (path.suffix == ".ndjson" or (path.is_dir() and any(path.glob("*.ndjson")))):
        frame = _from_ndjson(path, start, end)
    else:
        frame = _from_engine(source, base, start, end)
    frame.attrs["window"] = (start, end)
    return frame


def read_ndjson(paths: Sequence[Path]) -> tuple[list[Mapping[str, Any]], int]:
    """Objects of NDJSON files, one a line, and how many last lines were cut off.

    Raises:
        DataError: A line that is not the last of its file is no object.
    """
    rows: list[Mapping[str, Any]] = []
    cut = 0
    for path in paths:
        lines = path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            row = _object(line)
            if row is None and number == len(lines):
                cut += 1
                continue
            if row is None:
                raise DataError(f"{path.name}, line {number}: every line must be a JSON object.", code="bad_file")
            rows.append(row)
    return rows, cut


def _object(line: bytes) -> Mapping[str, Any] | None:
    try:
        row: Any = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    return cast("dict[str, Any]", row) if isinstance(row, dict) else None


def join_labels(frame: Any, labels: Any) -> tuple[Any, int]:
    """The log with its labels: by prediction_id, the label that came last wins.

    Returns:
        The log, and how many labels name a prediction that is not in it.

    Raises:
        DataError: The labels lack a column.
    """
    missing = [name for name in ("prediction_id", "outcome") if name not in labels.columns]
    if missing or "prediction_id" not in frame.columns:
        raise DataError(f"Labels are joined by prediction_id; missing: {missing or ['prediction_id of the log']}.", code="bad_file")
    if "labelled_at" in labels.columns:
        labels = labels.assign(_moment=micros_of(labels["labelled_at"])).sort_values("_moment", kind="stable").drop(columns="_moment")
    last = labels.drop_duplicates("prediction_id", keep="last").set_index("prediction_id")
    told = frame["prediction_id"].isin(last.index)
    columns = [name for name in ("outcome", "labelled_at") if name in last.columns]
    for name in columns:
        fresh = frame["prediction_id"].map(last[name])
        frame[name] = fresh.where(told, frame[name]) if name in frame.columns else fresh
    return frame, int((~last.index.isin(frame["prediction_id"])).sum())


def _from_ndjson(path: Path, start: dt.datetime, end: dt.datetime) -> Any:
    if not path.exists():
        raise UsageError(f"The log must exist, there is no {path.name!r}.", code="missing_file")
    found = sorted(path.glob("*.ndjson")) if path.is_dir() else [path, *sorted(path.parent.glob(f"{LABELS}*.ndjson"))]
    logs = [file for file in dict.fromkeys(found) if not file.name.startswith(LABELS)]
    rows, cut = read_ndjson(logs)
    labels, cut_labels = read_ndjson([file for file in found if file.name.startswith(LABELS)])
    frame = pd.DataFrame(rows)
    if not rows:
        raise DataError(f"{path.name} holds no prediction.", code="no_units")
    unknown = 0
    if labels:
        frame, unknown = join_labels(frame, pd.DataFrame(labels))
    if "timestamp" not in frame.columns:
        raise DataError("Every prediction of a log must have its timestamp.", code="bad_file")
    times = micros_of(frame["timestamp"])
    frame = frame[(times >= _micros(start)) & (times < _micros(end))].reset_index(drop=True)
    frame.attrs["loading"] = {"cut_lines": cut + cut_labels, "unknown_labels": unknown}
    return frame


def _from_engine(source: str, base: Path | None, start: dt.datetime, end: dt.datetime) -> Any:
    """Rows of a file or a table, filtered in its engine."""
    with open_source(source, base) as opened:
        table = opened.table(None if opened.only is not None else TABLE)
        if "timestamp" not in table.columns:
            raise DataError("Every prediction of a log must have its timestamp.", code="bad_file")
        moments = micros_in_engine(opened, table, "timestamp")
        frame: Any = opened.arrow(table.filter((moments >= _micros(start)) & (moments < _micros(end)))).to_pandas()
    frame.attrs["loading"] = {"cut_lines": 0, "unknown_labels": 0}
    return frame


def _moment(name: str, value: object) -> dt.datetime:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    try:
        return TypeAdapter[dt.datetime](UtcTime).validate_python(value)
    except ValueError as error:
        raise UsageError(f"{name} must be a date or time such as 2026-01-01 or 2026-01-01T12:00:00Z, got {value!r}.") from error


def _micros(moment: dt.datetime) -> int:
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
