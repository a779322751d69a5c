"""Mirrored requests: a bounded queue beside the way of the answers, with connections of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from fairtrial.errors import FairtrialError
from fairtrial.gateway.upstream import Upstream
from fairtrial.serving.log import PredictionLog
from fairtrial.serving.shadow_tally import ShadowRecord, ShadowTally, compare_predictions
from fairtrial.spec.serving import Shadow

log = logging.getLogger("fairtrial.gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """A request that a challenger is asked too.

    Attributes:
        record: What is known of it before.
        body: As the champion got it.
        headers: The same.
    """

    record: ShadowRecord
    body: bytes
    headers: list[tuple[bytes, bytes]]


class Mirror:
    """Asks challengers in the background and compares what they say.

    Args:
        shadow: How many may wait, how long one may take.
        upstream: A pool of its own, so that a slow challenger holds none of the champion's connections.
        shadow_log: Where comparisons go.
        on_compared: Told of every settled request, by challenger.
    """

    def __init__(
        self, shadow: Shadow, upstream: Upstream, shadow_log: PredictionLog, on_compared: Callable[[ShadowRecord], None] | None = None
    ) -> None:
        self._shadow, self._upstream, self._log = shadow, upstream, shadow_log
        self._on_compared = on_compared
        self._waiting: asyncio.Queue[Mirrored] = asyncio.Queue(shadow.queue)
        self._workers: list[asyncio.Task[None]] = []
        self.tallies: dict[str, ShadowTally] = {}

    async def open(self) -> None:
        """Start the workers."""
        await self._upstream.open()
        self._workers = [asyncio.create_task(self._work(), name=f"mirror-{i}") for i in range(self._shadow.workers)]

    async def close(self, *, wait_seconds: float = 1.0) -> None:
        """Settle what waits, for a moment, and end."""
        try:
            async with asyncio.timeout(wait_seconds):
                await self._waiting.join()
        except TimeoutError:
            log.warning("%d mirrored requests were not settled", self._waiting.qsize())
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._upstream.close()

    def put(self, job: Mirrored) -> None:
        """Take a request, or drop and count it when the queue is full; it never waits."""
        try:
            self._waiting.put_nowait(job)
        except asyncio.QueueFull:
            self._settle(replace(job.record, failure="dropped"))

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        await self._waiting.join()

    async def _work(self) -> None:
        while True:
            job = await self._waiting.get()
            try:
                await self._compare(job)
            except Exception:
                log.exception("mirrored request not settled")
            finally:
                self._waiting.task_done()

    async def _compare(self, job: Mirrored) -> None:
        record = job.record
        answer = await self._upstream.ask(record.challenger, job.body, job.headers, self._shadow.timeout_seconds)
        if answer.failure is not None:
            self._settle(replace(record, failure=answer.failure, challenger_latency_ms=answer.latency_ms))
            return
        seen = compare_predictions(
            record.champion_prediction,
            answer.prediction,
            threshold=self._shadow.threshold,
            label_threshold=self._shadow.label_threshold,
        )
        self._settle(replace(record, challenger_prediction=answer.prediction, comparison=seen, challenger_latency_ms=answer.latency_ms))

    def _settle(self, record: ShadowRecord) -> None:
        tally = self.tallies.setdefault(record.challenger, ShadowTally())
        if record.comparison is not None and record.challenger_latency_ms is not None:
            tally.add(record.comparison, champion_latency_ms=record.champion_latency_ms, challenger_latency_ms=record.challenger_latency_ms)
        elif record.failure is not None:
            tally.fail(record.failure)
        try:
            self._log.append(record.as_row())
        except FairtrialError as error:
            log.error("comparison not logged: %s", error)  # noqa: TRY400 - foreseen
        if self._on_compared is not None:
            self._on_compared(record)
