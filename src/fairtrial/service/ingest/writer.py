"""One thread that writes what comes in: requests that wait are committed together.

A request is answered after its commit, so an answer of 2xx is on disk. While one group
is being written the next gathers, so the cost of a commit is shared by as many requests
as came meanwhile, and a lone one never waits for others. The queue is bounded: past it
a request is refused with 503 and may be sent again.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from prometheus_client import Counter, Histogram

from fairtrial.errors import FairtrialError, StorageError
from fairtrial.service.ingest.recording import Batch, Counts, record_one, record_together
from fairtrial.storage import Database

WAITING_ROWS = 200_000
"""Rows that may wait; a request that finds none waiting is always taken."""

WAITING_REQUESTS = 5_000
GROUP_ROWS = 16_000
GROUP_REQUESTS = 500
"""Where a group ends, so that nobody waits for a whole queue."""

GROUPS = Histogram("fairtrial_ingest_group_rows", "Rows committed together.", buckets=(1, 10, 100, 1000, 4000, 16000))
ROWS = Counter("fairtrial_ingest_rows_total", "Rows that came in, by what became of them.", ["result"])

Outcome = Counts | BaseException

log = structlog.get_logger("fairtrial.service")


@dataclass(slots=True)
class _Waiting:
    """A request that waits for its commit."""

    batch: Batch
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Counts]

    @property
    def rows(self) -> int:
        return len(self.batch.rows)


@dataclass(slots=True)
class IngestWriter:
    """Writes what comes in; starts with the first request and ends with `close`."""

    database: Database
    waiting_rows: int = WAITING_ROWS
    _queue: deque[_Waiting] = field(default_factory=deque["_Waiting"])
    _rows: int = 0
    _closed: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _thread: threading.Thread | None = None

    async def write(self, batch: Batch) -> Counts:
        """Store a batch; returns once it is committed.

        Raises:
            StorageError: The store failed, too much waits, or the service is stopping; nothing was stored.
            FairtrialError: The batch breaks a rule; nothing of it was stored.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(batch, loop, loop.create_future())
        self._take(waiting)
        return await waiting.future

    def open(self) -> None:
        """Take requests, as from the beginning or again after `close`."""
        with self._changed:
            self._closed = False

    def close(self) -> None:
        """Write what waits, then end; what comes later is refused."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _take(self, waiting: _Waiting) -> None:
        with self._changed:
            if self._closed:
                raise StorageError("The service is stopping.", hint="Send it again to the next process.", code="busy")
            full = self._rows + waiting.rows > self.waiting_rows or len(self._queue) >= WAITING_REQUESTS
            if self._queue and full:
                raise StorageError(f"{self._rows} rows wait to be written, no more are taken.", hint="Send it again later.", code="busy")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
                self._thread.start()
            self._queue.append(waiting)
            self._rows += waiting.rows
            self._changed.notify()

    def _run(self) -> None:
        while group := self._next_group():
            batches = [waiting.batch for waiting in group]
            try:
                results = self._written(batches)
            except BaseException as error:  # else a mistake of ours would leave its callers waiting for ever
                log.exception("a group was not written", rows=sum(len(batch.rows) for batch in batches))
                results = [error] * len(batches)
            _answer(group, results)

    def _next_group(self) -> list[_Waiting]:
        """The requests that wait, up to the size of a group; empty at the end."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            group: list[_Waiting] = []
            rows = 0
            while self._queue and len(group) < GROUP_REQUESTS and (not group or rows + self._queue[0].rows <= GROUP_ROWS):
                waiting = self._queue.popleft()
                group.append(waiting)
                rows += waiting.rows
            self._rows -= rows
        return group

    def _written(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        try:
            with self.database.writing() as session:
                results: Sequence[Outcome] = record_together(session, batches)
        except StorageError as error:
            return [error] * len(batches)
        except Exception:
            if len(batches) == 1:
                raise
            return [self._written_alone(batch) for batch in batches]  # one of them cannot be stored: the others can
        GROUPS.observe(sum(len(batch.rows) for batch in batches))
        return results

    def _written_alone(self, batch: Batch) -> Outcome:
        try:
            with self.database.writing() as session:
                return record_one(session, batch)
        except Exception as error:  # noqa: BLE001 - goes to its caller
            return error


def _answer(group: Sequence[_Waiting], results: Sequence[Outcome]) -> None:
    """Give each request what became of it, in its own loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Counts], Outcome]]] = {}
    for waiting, result in zip(group, results, strict=True):
        by_loop.setdefault(waiting.loop, []).append((waiting.future, result))
        if not isinstance(result, BaseException):
            new = next(iter(result.values()))
            ROWS.labels("new").inc(new)
            ROWS.labels("duplicate").inc(result["duplicates"])
        elif isinstance(result, FairtrialError):
            ROWS.labels("refused").inc(waiting.rows)
    for loop, answers in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, answers)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def _settle(answers: Sequence[tuple[asyncio.Future[Counts], Outcome]]) -> None:
    for future, result in answers:
        if future.done():  # its caller hung up
            continue
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
