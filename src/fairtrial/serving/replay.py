"""What the watch would have done on traffic that was logged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairtrial.errors import UsageError
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


def replay(
    rows: Sequence[Mapping[str, Any]],
    config: ExperimentConfig,
    watch: Watch,
    *,
    columns: Collection[str] = (),
    check_seconds: float | None = None,
) -> Replayed:
    """Run the watch over logged predictions.

    Args:
        rows: Rows of the prediction log, in any order.
        config: The experiment.
        watch: How it is watched.
        columns: Columns of the log that hold numbers.
        check_seconds: How often to check; None takes that of `watch`.

    Raises:
        UsageError: There are no rows.
    """
    if not rows:
        raise UsageError("A replay needs logged predictions, got none.")
    step = watch.check_seconds if check_seconds is None else check_seconds
    timed = sorted(((_moment(row["timestamp"]), row) for row in rows), key=lambda pair: pair[0])
    origin = timed[0][0]
    monitor = LiveMonitor(config, watch, origin, columns)
    shares = dict.fromkeys((config.champion_model, *config.challenger_models), 1.0)
    due, checks = origin.timestamp() + step, 0
    for moment, row in timed:
        at = moment.timestamp()
        if at >= due:
            checks += 1
            reading = monitor.check(moment, shares)
            if reading.status == "breach":
                return _stopped(reading, moment, checks)
            due = at + step
        monitor.observe(row["model_name"], at, float(row["latency_ms"]), error=bool(row["error"]), timeout=bool(row["timeout"]), values=row)
    end = timed[-1][0]
    reading = monitor.check(end, shares)
    if reading.status == "breach":
        return _stopped(reading, end, checks + 1)
    return Replayed(stopped_at=None, metric=None, model=None, n=reading.requests, checks=checks + 1, reading=reading)


def _stopped(reading: WatchReading, at: dt.datetime, checks: int) -> Replayed:
    guard = next(item for item in reading.guards if item.status == "breach")
    return Replayed(stopped_at=at, metric=guard.metric, model=guard.model, n=guard.n, checks=checks, reading=reading)


def _moment(given: Any) -> dt.datetime:
    moment = given if isinstance(given, dt.datetime) else dt.datetime.fromisoformat(str(given))
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
