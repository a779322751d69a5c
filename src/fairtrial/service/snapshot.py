"""All flags in memory: an immutable picture, swapped whole whenever an experiment changes.

This process swaps it as soon as it has committed a change; changes of other processes
on the same database are seen by a counter that is read every second. While the
database does not answer, the last picture goes on deciding.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy.orm import Session

from fairtrial.assignment import Routing
from fairtrial.errors import FairtrialError, StorageError
from fairtrial.service.assignments.blocks import is_by_list
from fairtrial.service.experiments.routing import CHANGES, stored_routing, stored_spec
from fairtrial.service.flags.flag import Flag, Source, make_flag
from fairtrial.storage import Database, watch
from fairtrial.storage.changes import changes
from fairtrial.storage.flags import Origins, client_origins, experiments_with_flags, forced_units, stored_groups
from fairtrial.storage.tables import Experiment

POLL_SECONDS = 1.0
"""How often changes of other processes are looked for."""

NOWHERE = Origins(named=frozenset(), anywhere=False)

log = structlog.get_logger("fairtrial.flags")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The flags at one moment.

    Attributes:
        changes: The counter when it was taken.
        flags: Flags by environment, then by key.
        by_id: Flags by number of the experiment.
        origins: Where client keys may be used.
    """

    changes: int = -1
    flags: Mapping[str, Mapping[str, Flag]] = field(default_factory=dict[str, Mapping[str, Flag]])
    by_id: Mapping[int, Flag] = field(default_factory=dict[int, Flag])
    origins: Origins = NOWHERE

    def find(self, environment: str, key: str) -> Flag | None:
        """The flag of an environment with this key."""
        return self.flags.get(environment, {}).get(key)

    def experiment(self, reference: str) -> Flag | None:
        """The flag of an experiment by id or key, in any environment (G-8)."""
        if reference.isascii() and reference.isdecimal():
            return self.by_id.get(int(reference)) if len(reference) < 20 else None
        return next((flags[reference] for flags in self.flags.values() if reference in flags), None)


@dataclass(frozen=True, slots=True)
class _Made:
    """A flag with what it was made of, to be used again while nothing of it changes."""

    stamp: tuple[Any, ...]
    allocation: Any
    stored: Mapping[str, str]
    flag: Flag


class SnapshotHolder:
    """The current snapshot, kept up to date."""

    def __init__(self, database: Database, clock: Callable[[], dt.datetime]) -> None:
        self.current = Snapshot()
        self._database, self._clock = database, clock
        self._made: dict[int, _Made] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._poller: threading.Thread | None = None
        self._unwatch: Callable[[], None] | None = None

    def start(self) -> None:
        """Take the first snapshot and keep it up to date until `stop`.

        Raises:
            StorageError: The database does not answer.
        """
        self.refresh()
        self._stopped.clear()
        self._unwatch = watch(self._database.engine, self._changed)
        self._poller = threading.Thread(target=self._poll, name="fairtrial-flags", daemon=True)
        self._poller.start()

    def stop(self) -> None:
        """End the poll; the last snapshot stays."""
        self._stopped.set()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        if self._poller is not None:
            self._poller.join(timeout=10)
            self._poller = None

    def refresh(self) -> None:
        """Take a new snapshot now.

        Raises:
            StorageError: The database does not answer; the last snapshot stays.
        """
        with self._lock, self._database.reading() as session:
            seen = changes(session)  # first: what comes in meanwhile is looked at again
            forced = forced_units(session)
            made: dict[int, _Made] = {}
            for row in experiments_with_flags(session):
                found = _make(session, row, forced.get(row.id, {}), self._made.get(row.id))
                if found is not None:
                    made[row.id] = found
            self._made = made
            self.current = _arranged(seen, [one.flag for one in made.values()], client_origins(session, self._clock()))

    def _changed(self, *, look: bool = False) -> None:
        """Take a new snapshot, if there is something new when only a look is taken; the last one stays when that fails."""
        try:
            if look:
                with self._database.reading() as session:
                    seen = changes(session)
                if seen == self.current.changes:
                    return
            self.refresh()
        except StorageError as error:
            log.warning("flags not refreshed", detail=error.message)
        except Exception:  # the change is stored, whoever made it must hear so
            log.exception("flags not refreshed")

    def _poll(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            self._changed(look=True)


def _arranged(seen: int, flags: list[Flag], origins: Origins) -> Snapshot:
    by_environment: dict[str, dict[str, Flag]] = {}
    for flag in flags:
        by_environment.setdefault(flag.environment, {})[flag.key] = flag
    return Snapshot(changes=seen, flags=by_environment, by_id={flag.experiment_id: flag for flag in flags}, origins=origins)


def _make(session: Session, row: Experiment, forced: Mapping[str, str], earlier: _Made | None) -> _Made | None:
    """The flag of a row, the earlier one where nothing changed; None where its spec cannot be read."""
    logs = bool(row.setup_json.get("log_assignments"))
    stamp = (row.version, row.status, row.environment, logs, row.spec_json, row.allocation_json, dict(forced))
    if earlier is not None and earlier.stamp == stamp:
        return earlier
    try:
        spec, routing = stored_spec(row), stored_routing(row)
        same = earlier is not None and earlier.allocation == row.allocation_json
        stored = earlier.stored if earlier is not None and same else _exceptions(session, row, routing, by_list=is_by_list(spec))
        source = Source(
            experiment_id=row.id,
            version=row.version,
            status=row.status,
            environment=row.environment,
            logs=logs,
            spec=spec,
            routing=routing,
            forced=forced,
            stored=stored,
        )
        return _Made(stamp=stamp, allocation=row.allocation_json, stored=stored, flag=make_flag(source))
    except (ValueError, KeyError, TypeError, FairtrialError):
        log.exception("experiment cannot be served as a flag", experiment=row.id)
        return None


def _exceptions(session: Session, row: Experiment, routing: Routing | None, *, by_list: bool) -> dict[str, str]:
    """Units whose stored group is not what the hash says now, some where shares have changed; of lists all of them."""
    if routing is None or not (row.allocation_json or {}).get(CHANGES):
        return {}
    if by_list:
        return dict(stored_groups(session, row.id))
    decide = routing.decide
    return {unit: group for unit, group in stored_groups(session, row.id) if decide(unit).arm != group}
