"""Predictions, comparisons and labels: written in batches, once each, and read back as rows."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, case, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from fairtrial.storage.tables import PredictionLabel, PredictionRow, ShadowRow
from fairtrial.storage.tables.base import Base

PREDICTION_FIELDS = frozenset(column.name for column in PredictionRow.__table__.columns) | {"outcome"}
AT_ONCE = 500


def store_predictions(session: Session, rows: Sequence[Mapping[str, Any]]) -> int:
    """Keep rows of the prediction log; one that is kept already is left as it is.

    Args:
        session: A writing session.
        rows: As `serving.records.PredictionEvent.as_row` makes them; unknown columns are segments.

    Returns:
        How many are new.
    """
    return _add_once(session, PredictionRow, [_prediction(row) for row in rows])


def store_comparisons(session: Session, rows: Sequence[Mapping[str, Any]]) -> int:
    """Keep rows of the shadow log; one that is kept already is left as it is; how many are new."""
    return _add_once(session, ShadowRow, [_comparison(row) for row in rows])


def store_labels(session: Session, experiment: str, labels: Iterable[tuple[str, float]], *, now: dt.datetime) -> int:
    """Keep the outcomes of predictions; a later one replaces an earlier.

    Args:
        session: A writing session.
        experiment: Name of the experiment.
        labels: Prediction id and outcome.
        now: When they were told.

    Returns:
        How many were given, an id that came twice counted once.
    """
    last = dict(labels)
    rows = [{"prediction_id": key, "experiment": experiment, "outcome": value, "labelled_at": now} for key, value in last.items()]
    for begin in range(0, len(rows), AT_ONCE):
        statement = _insert(session, PredictionLabel).values(rows[begin : begin + AT_ONCE])
        changed = {name: statement.excluded[name] for name in ("outcome", "labelled_at")}
        session.execute(statement.on_conflict_do_update(index_elements=["prediction_id"], set_=changed))
    return len(rows)


def read_predictions(session: Session, experiment: str, start: dt.datetime | None, end: dt.datetime | None) -> list[dict[str, Any]]:
    """Predictions of an experiment in [start, end) with the outcomes known by now, by time; None leaves an end open."""
    asked = (
        select(PredictionRow.__table__, PredictionLabel.outcome, PredictionLabel.labelled_at)
        .outerjoin(PredictionLabel, PredictionLabel.prediction_id == PredictionRow.prediction_id)
        .where(PredictionRow.experiment == experiment)
        .order_by(PredictionRow.timestamp, PredictionRow.prediction_id)
    )
    if start is not None:
        asked = asked.where(PredictionRow.timestamp >= start)
    if end is not None:
        asked = asked.where(PredictionRow.timestamp < end)
    return [_as_read(row) for row in session.execute(asked).mappings()]


def read_comparisons(session: Session, experiment: str, start: dt.datetime | None = None) -> list[dict[str, Any]]:
    """Mirrored requests of an experiment since a moment, by time, without the features."""
    asked = select(ShadowRow.__table__).where(ShadowRow.experiment == experiment).order_by(ShadowRow.timestamp, ShadowRow.prediction_id)
    if start is not None:
        asked = asked.where(ShadowRow.timestamp >= start)
    return [{str(name): value for name, value in row.items()} for row in session.execute(asked).mappings()]


def _as_read(row: RowMapping) -> dict[str, Any]:
    given: dict[str, Any] = {str(name): value for name, value in row.items()}
    kept = json.loads(given.pop("features"))
    prediction = given.pop("prediction")
    return {**kept["segments"], **given, "prediction": None if prediction is None else json.loads(prediction), "features": kept["features"]}


def _prediction(row: Mapping[str, Any]) -> dict[str, Any]:
    segments = {name: value for name, value in row.items() if name not in PREDICTION_FIELDS}
    kept = {name: row[name] for name in PREDICTION_FIELDS - {"outcome", "features", "prediction", "timestamp"}}
    return kept | {
        "timestamp": dt.datetime.fromisoformat(row["timestamp"]),
        "prediction": _json(row["prediction"]),
        "features": json.dumps({"features": row["features"], "segments": segments}),
    }


def _comparison(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "timestamp": dt.datetime.fromisoformat(row["timestamp"]),
        "champion_prediction": _json(row["champion_prediction"]),
        "challenger_prediction": _json(row["challenger_prediction"]),
        "features": json.dumps(row["features"]),
    }


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _add_once(session: Session, kind: type[Base], rows: Sequence[Mapping[str, Any]]) -> int:
    new = 0
    for begin in range(0, len(rows), AT_ONCE):
        statement = _insert(session, kind).on_conflict_do_nothing()
        result: Any = session.connection().execute(statement, list(rows[begin : begin + AT_ONCE]))
        new += max(result.rowcount, 0)
    return new


def _insert(session: Session, kind: type[Base]) -> Any:
    table: Any = kind.__table__
    dialect = session.connection().dialect.name
    return (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)


def count_comparisons(session: Session, experiment: str, challenger: str | None = None) -> dict[str, Any]:
    """The mirrored requests of an experiment counted, as the fields of `serving.shadow_tally.ShadowTally`."""
    row = ShadowRow
    slower = row.challenger_latency_ms - row.champion_latency_ms
    both = row.diverged.is_not(None)
    asked = select(
        func.count().label("requests"),
        _sum(both).label("compared"),
        _sum(row.challenger_error).label("errors"),
        _sum(row.challenger_timeout).label("timeouts"),
        _sum(row.dropped).label("dropped"),
        _sum(row.diverged).label("diverged"),
        _sum(row.label_flip).label("flipped"),
        func.avg(case((both, slower))).label("slower_mean"),
    ).where(row.experiment == experiment)
    if challenger is not None:
        asked = asked.where(row.challenger == challenger)
    counted = {str(name): value for name, value in session.execute(asked).mappings().one().items()}
    mean = float(counted["slower_mean"] or 0.0)
    spread = select(func.sum((slower - mean) * (slower - mean))).where(row.experiment == experiment, both)
    if challenger is not None:
        spread = spread.where(row.challenger == challenger)
    return {name: int(value or 0) for name, value in counted.items() if name != "slower_mean"} | {
        "slower_mean": mean,
        "slower_m2": float(session.scalar(spread) or 0.0),
    }


def _sum(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0))


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """What the watch over guardrails needs of a stored prediction."""

    model_name: str
    timestamp: dt.datetime
    latency_ms: float
    error: bool
    timeout: bool
    fallback: bool
    prediction: Any
    segments: Mapping[str, Any]


def read_requests(session: Session, experiment: str, start: dt.datetime) -> Iterator[LoggedRequest]:
    """Predictions of an experiment since a moment, by time, read as they are walked."""
    row = PredictionRow
    asked = (
        select(row.model_name, row.timestamp, row.latency_ms, row.error, row.timeout, row.fallback, row.prediction, row.features)
        .where(row.experiment == experiment, row.timestamp >= start)
        .order_by(row.timestamp)
    )
    for model, timestamp, latency, error, timeout, fallback, prediction, features in session.execute(
        asked.execution_options(yield_per=AT_ONCE)
    ):
        answer = None if prediction is None else json.loads(prediction)
        yield LoggedRequest(model, timestamp, latency, error, timeout, fallback, answer, json.loads(features)["segments"])
