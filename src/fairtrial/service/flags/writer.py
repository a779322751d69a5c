"""Decisions become assignments, off the path of the decision.

A decision is put into memory and stored by a thread of its own within half a second,
in batches; so an experiment served as a flag has its units in the population of the
analysis without a further call. What a crash takes from memory comes again with the
unit's next request, for the decision is the same for ever; a graceful stop stores all.
When the database does not answer, decisions wait; past a bound the newest are let go
and counted.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from prometheus_client import Counter

from fairtrial.errors import StorageError
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.audit import record_change
from fairtrial.service.flags.flag import Answer, Flag
from fairtrial.storage import Database
from fairtrial.storage.assignments import store_assignments

FLUSH_SECONDS = 0.5
MOST_WAITING = 200_000
"""Decisions that wait for the database at most."""
MOST_SEEN = 500_000
"""Decisions remembered as stored, so that they are not stored on each request."""

SOURCE = "flag"
FLAGS = Actor(name="flags", role=Role.DEVELOPER)
"""Who the audit log says it was."""

DROPPED = Counter("fairtrial_flag_assignments_dropped_total", "Decisions that were not stored as assignments.")

log = structlog.get_logger("fairtrial.flags")


@dataclass(slots=True)
class _Batch:
    since: dt.datetime
    arms: dict[str, str] = field(default_factory=dict[str, str])


class AssignmentWriter:
    """Stores the decisions of flags whose experiments ask for it."""

    def __init__(self, database: Database, clock: Callable[[], dt.datetime]) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._waiting: dict[int, _Batch] = {}
        self._count = 0
        self._seen: set[tuple[int, str]] = set()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, flag: Flag, unit: str, answer: Answer) -> None:
        """Remember a decision to be stored; those without an arm, forced or seen before are not."""
        if not flag.logs or answer.arm is None or answer.forced:
            return
        mark = (flag.experiment_id, unit)
        if mark in self._seen:
            return
        with self._lock:
            if self._count >= MOST_WAITING:
                DROPPED.inc()
                return
            if len(self._seen) >= MOST_SEEN:
                self._seen.clear()
            self._seen.add(mark)
            batch = self._waiting.get(flag.experiment_id)
            if batch is None:
                batch = self._waiting[flag.experiment_id] = _Batch(since=self._clock())
            batch.arms[unit] = answer.arm
            self._count += 1

    def start(self) -> None:
        """Store what is noted, until `stop`."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, name="fairtrial-assignments", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Store what is left and end."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
            self._thread = None
        self._try()

    def flush(self) -> int:
        """Store what is noted now.

        Returns:
            Assignments that are new.

        Raises:
            StorageError: The database does not answer; what was not stored is kept.
        """
        stored = 0
        for experiment in tuple(self._waiting):
            with self._lock:
                batch = self._waiting.pop(experiment, None)
                if batch is None:
                    continue
                self._count -= len(batch.arms)
            try:
                stored += self._store(experiment, batch)
            except StorageError:
                self._keep(experiment, batch)
                raise
            except Exception:
                self._let_go(experiment, batch)
                raise
        return stored

    def _store(self, experiment: int, batch: _Batch) -> int:
        units = ((unit, arm, None, None) for unit, arm in batch.arms.items())
        with self._database.writing() as session:
            found = store_assignments(session, experiment, units, assigned_at=batch.since, source=SOURCE)
            if found.new:
                done = {"new": found.new, "source": SOURCE}
                record_change(session, actor=FLAGS, now=batch.since, action="assignments.store", on=("experiment", experiment), after=done)
        return found.new

    def _keep(self, experiment: int, batch: _Batch) -> None:
        with self._lock:
            newer = self._waiting.get(experiment)
            if newer is not None:
                self._count -= len(newer.arms)
                batch.arms.update(newer.arms)
            self._waiting[experiment] = batch
            self._count += len(batch.arms)

    def _let_go(self, experiment: int, batch: _Batch) -> None:
        """Give up a batch that no database will take; its units are noted again when they come again."""
        DROPPED.inc(len(batch.arms))
        self._seen.difference_update((experiment, unit) for unit in batch.arms)

    def _run(self) -> None:
        while not self._stopped.wait(FLUSH_SECONDS):
            self._try()

    def _try(self) -> None:
        try:
            self.flush()
        except StorageError as error:
            log.warning("assignments wait for the database", waiting=self._count, detail=error.message)
        except Exception:  # the thread goes on: the next batch is another one
            log.exception("assignments not stored")
