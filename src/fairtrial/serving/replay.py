"""What the watch would have done on traffic that was logged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairtrial.errors import DataError, UsageError
from fairtrial.serving.live_guardrails import LiveMonitor, WatchReading
from fairtrial.spec.model_experiment import ExperimentConfig
from fairtrial.spec.stages import Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """When guardrails would have acted on logged traffic.

    Attributes:
        stopped_at: The moment of the check that would have stopped it; None when none would.
        metric: The guardrail that would have.
        model: Of which challenger.
        n: Challenger requests by then.
        checks: How many checks were made.
        reading: The reading at the stop, else at the end.
    """

    stopped_at: dt.datetime | None
    metric: str | None
    model: str | None
    n: int
    checks: int
    reading: WatchReading


Rows = Sequence[Mapping[str, Any]]


def replay(
    rows: Rows | Any, config: ExperimentConfig, watch: Watch, *, columns: Collection[str] = (), check_seconds: float | None = None
) -> Replayed:
    """Run the watch over logged predictions.

    Args:
        rows: Rows of the prediction log, in any order: mappings, or a data frame.
        config: The experiment.
        watch: How it is watched.
        columns: Columns of the log that hold numbers.
        check_seconds: How often to check; None takes that of `watch`.

    Raises:
        UsageError: There are no rows.
        DataError: A row lacks its time, model, latency, error or timeout.
    """
    given: Any = rows
    logged: Rows = given.to_dict("records") if hasattr(given, "to_dict") else given
    if not logged:
        raise UsageError("A replay needs logged predictions, got none.")
    step = watch.check_seconds if check_seconds is None else check_seconds
    timed = sorted((_Request.of(row) for row in logged), key=lambda request: request.at)
    origin = _time(timed[0].at)
    monitor = LiveMonitor(config, watch, origin, columns)
    shares = config.traffic_allocation
    due, checks = timed[0].at + step, 0
    for request in timed:
        if request.at >= due:
            checks += 1
            reading = monitor.check(_time(request.at), shares)
            if reading.status == "breach":
                return _stopped(reading, _time(request.at), checks)
            due = request.at + step
        monitor.observe(request.model, request.at, request.latency_ms, error=request.error, timeout=request.timeout, values=request.row)
    end = _time(timed[-1].at)
    reading = monitor.check(end, shares)
    if reading.status == "breach":
        return _stopped(reading, end, checks + 1)
    return Replayed(stopped_at=None, metric=None, model=None, n=reading.requests, checks=checks + 1, reading=reading)


@dataclass(frozen=True, slots=True)
class _Request:
    """What the watch sees of a logged prediction; `at` in seconds since 1970."""

    at: float
    model: str
    latency_ms: float
    error: bool
    timeout: bool
    row: Mapping[str, Any]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> _Request:
        names = ("timestamp", "model_name", "latency_ms", "error", "timeout")
        missing = [name for name in names if row.get(name) is None or row[name] != row[name]]  # NaN and NaT differ from themselves
        if missing:
            which = row.get("prediction_id")
            raise DataError(f"Prediction {which!r} of the log lacks {missing}.", hint="A request whose fate is unknown cannot be judged.")
        return cls(
            _moment(row["timestamp"]).timestamp(),
            str(row["model_name"]),
            float(row["latency_ms"]),
            bool(row["error"]),
            bool(row["timeout"]),
            {**row, "prediction": None} if row.get("fallback") else row,  # what another model answered says nothing of this one
        )


def _stopped(reading: WatchReading, at: dt.datetime, checks: int) -> Replayed:
    guard = next(item for item in reading.guards if item.status == "breach")
    return Replayed(stopped_at=at, metric=guard.metric, model=guard.model, n=guard.n, checks=checks, reading=reading)


def _moment(given: Any) -> dt.datetime:
    moment = given if isinstance(given, dt.datetime) else dt.datetime.fromisoformat(str(given))
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)


def _time(at: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(at, dt.UTC)
