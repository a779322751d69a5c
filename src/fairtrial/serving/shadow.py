"""A challenger in the shadow, in this process: it sees requests, its answers are compared, nobody hears them.

The champion answers in the caller's thread. The challenger has threads of its own behind a bounded queue:
when it is slow the queue fills and requests are dropped and counted, and when it fails or
hangs nothing but a count shows it.
"""

from __future__ import annotations

import datetime as dt
import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from fairtrial.errors import StorageError, UsageError
from fairtrial.serving.log import SHADOW_FOLDER, PredictionLog
from fairtrial.serving.models import as_predict
from fairtrial.serving.records import FeatureLog, new_prediction_id
from fairtrial.serving.shadow_tally import ShadowRecord, ShadowTally, compare_predictions

LONGEST_WAIT_SECONDS = 5.0
"""How long a challenger may take at most (ML-10)."""

log = logging.getLogger("fairtrial.serving")


@dataclass(slots=True)
class _Mirrored:
    record: ShadowRecord
    given: Any
    started: float = 0.0
    settled: bool = field(default=False)


class ShadowDeployment:
    """Champion and challenger side by side; the champion's answer is the answer (ML-09, ML-10).

    Args:
        champion_model: A callable, a fitted model, or what `as_predict` takes.
        challenger_model: The same.
        log_differences: Write a line for each mirrored request.
        name: Name of the experiment in the log.
        sample_rate: Share of requests that is mirrored, in (0, 1].
        timeout_seconds: After which a challenger's answer counts as none; at most 5.
        queue_size: Requests that may wait for the challenger.
        options: Log, features and threshold.

    Raises:
        UsageError: An option lies outside its range, or a model cannot be called.
    """

    def __init__(
        self,
        champion_model: Any,
        challenger_model: Any,
        log_differences: bool = True,  # noqa: FBT001, FBT002 - the documented signature
        *,
        name: str = "shadow",
        sample_rate: float = 1.0,
        timeout_seconds: float = LONGEST_WAIT_SECONDS,
        queue_size: int = 1_000,
        options: ShadowOptions | None = None,
    ) -> None:
        if not 0.0 < sample_rate <= 1.0:
            raise UsageError(f"sample_rate must lie in (0, 1], got {sample_rate}.")
        if not 0.0 < timeout_seconds <= LONGEST_WAIT_SECONDS:
            raise UsageError(f"timeout_seconds must lie in (0, {LONGEST_WAIT_SECONDS:g}], got {timeout_seconds}.")
        if queue_size < 1:
            raise UsageError(f"queue_size must be 1 or more, got {queue_size}.")
        self.options = options or ShadowOptions()
        self.name, self.sample_rate, self.timeout_seconds = name, sample_rate, timeout_seconds
        self._champion, self._challenger = as_predict(champion_model), as_predict(challenger_model)
        self._features = self.options.features or FeatureLog.all_hashed()
        self._log = PredictionLog(Path(self.options.log_folder) / SHADOW_FOLDER, name) if log_differences else None
        self._random = random.Random()  # noqa: S311 - a sample, not a secret
        self._waiting: queue.Queue[_Mirrored | None] = queue.Queue(queue_size)
        self._tally, self._lock, self._idle = ShadowTally(), threading.Lock(), threading.Condition()
        self._open: dict[int, _Mirrored] = {}
        self._threads = [threading.Thread(target=self._work, name=f"shadow-{i}", daemon=True) for i in range(self.options.workers)]
        for thread in self._threads:
            thread.start()

    def predict(self, features: Any) -> dict[str, Any]:
        """The champion's answer, `{"prediction", "model", "latency_ms"}`; what it raises is raised."""
        started = time.perf_counter()
        prediction = self._champion(features)
        latency_ms = (time.perf_counter() - started) * 1000.0
        if self.sample_rate >= 1.0 or self._random.random() < self.sample_rate:
            self._mirror(features, prediction, latency_ms)
        return {"prediction": prediction, "model": self.options.champion_name, "latency_ms": latency_ms}

    def summary(self, *, limit: float = 0.05) -> dict[str, Any]:
        """What the comparisons come to so far (`ShadowTally.summary`)."""
        self._give_up_on_late()
        with self._lock:
            tally = replace(self._tally)
        return tally.summary(limit=limit)

    def drain(self, *, timeout_seconds: float = LONGEST_WAIT_SECONDS) -> bool:
        """Wait until every mirrored request is settled; false when the time is over first."""
        until = time.monotonic() + timeout_seconds
        with self._idle:
            while self._open:
                self._give_up_on_late()
                left = until - time.monotonic()
                if not self._open:
                    break
                if left <= 0:
                    return False
                self._idle.wait(min(left, 0.05))
        return True

    def close(self) -> None:
        """Settle what is open, up to the timeout, and end; a challenger that hangs is left behind."""
        self.drain(timeout_seconds=self.timeout_seconds + 0.5)
        for _ in self._threads:
            try:
                self._waiting.put_nowait(None)
            except queue.Full:
                break
        if self._log is not None:
            self._log.close()

    def __enter__(self) -> ShadowDeployment:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _mirror(self, features: Any, prediction: Any, latency_ms: float) -> None:
        record = ShadowRecord(
            experiment=self.name,
            prediction_id=new_prediction_id(),
            challenger=self.options.challenger_name,
            timestamp=self.options.clock(),
            champion_prediction=prediction,
            challenger_prediction=None,
            comparison=None,
            champion_latency_ms=latency_ms,
            challenger_latency_ms=None,
            failure=None,
            features=self._features.redacted(features),
        )
        job = _Mirrored(record, features, started=time.perf_counter())
        with self._lock:
            self._open[id(job)] = job
        try:
            self._waiting.put_nowait(job)
        except queue.Full:
            self._settle(job, replace(record, failure="dropped"))

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            if not job.settled:
                self._settle(job, self._answered(job))

    def _answered(self, job: _Mirrored) -> ShadowRecord:
        started = time.perf_counter()
        try:
            answer = self._challenger(job.given)
        except Exception as error:  # a challenger's failure never reaches the caller
            log.debug("challenger failed", exc_info=error)
            return replace(job.record, failure="error", challenger_latency_ms=(time.perf_counter() - started) * 1000.0)
        latency_ms = (time.perf_counter() - started) * 1000.0
        if latency_ms > self.timeout_seconds * 1000.0:
            return replace(job.record, failure="timeout", challenger_latency_ms=latency_ms)
        seen = compare_predictions(job.record.champion_prediction, answer, threshold=self.options.threshold)
        return replace(job.record, challenger_prediction=answer, comparison=seen, challenger_latency_ms=latency_ms)

    def _give_up_on_late(self) -> None:
        """Settle what waits or hangs longer than the timeout."""
        now = time.perf_counter()
        with self._lock:
            late = [job for job in self._open.values() if not job.settled and now - job.started > self.timeout_seconds]
        for job in late:
            self._settle(job, replace(job.record, failure="timeout"))

    def _settle(self, job: _Mirrored, record: ShadowRecord) -> None:
        """Count and log a request, once."""
        with self._lock:
            if job.settled:
                return
            job.settled = True
            if record.comparison is not None and record.challenger_latency_ms is not None:
                self._tally.add(
                    record.comparison,
                    champion_latency_ms=record.champion_latency_ms,
                    challenger_latency_ms=record.challenger_latency_ms,
                )
            elif record.failure is not None:
                self._tally.fail(record.failure)
        if record.comparison is not None and record.comparison.diverged:
            log.warning("prediction %s: champion and challenger differ by %s", record.prediction_id, record.comparison.difference)
        if self._log is not None:
            try:
                self._log.append(record.as_row())
            except (StorageError, UsageError) as error:
                log.error("shadow comparison not logged: %s", error)  # noqa: TRY400 - foreseen
        with self._lock:
            del self._open[id(job)]
        with self._idle:
            self._idle.notify_all()


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowOptions:
    """What of a shadow deployment is seldom changed.

    Attributes:
        champion_name: Name of the champion in answers.
        challenger_name: Name of the challenger in the log.
        threshold: Difference above which two predictions diverge.
        workers: Threads of the challenger.
        log_folder: Folder of the prediction log; comparisons go to `shadow` below it.
        features: What of the features is logged; None hashes them all with a key of this process.
        clock: The time.
    """

    champion_name: str = "champion"
    challenger_name: str = "challenger"
    threshold: float = 0.1
    workers: int = 2
    log_folder: str | Path = "experiment_logs"
    features: FeatureLog | None = None
    clock: Callable[[], dt.datetime] = _utc_now
