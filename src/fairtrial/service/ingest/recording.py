"""What becomes of exposures, outcomes and events: the rules, for many requests in one transaction (II.b, HO-35).

Both are taken in draft and running; once completed, only outcomes inside the window.
An exposure of a profile without a group stores the group that the hash gives it, with
the source `exposure`: it stays out of the analysed population, for only one group is
ever exposed. Requests are judged one by one, so that a bad one spoils no other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from fairtrial.assignment import Routing
from fairtrial.errors import ConflictError, FairtrialError
from fairtrial.service.access.roles import Actor
from fairtrial.service.assignments.blocks import is_by_list
from fairtrial.service.audit import record_change
from fairtrial.service.experiments.routing import ensure_routing, stored_spec
from fairtrial.service.problems import NotFoundError
from fairtrial.service.results.reading import window_of
from fairtrial.storage.ingest import EventRow, Row, StoredPart, assign_exposed, lock_experiments, store_events, store_rows, stored_time
from fairtrial.storage.readings import BEGINNING
from fairtrial.storage.tables import Experiment, ExperimentExposure, ExperimentOutcome

OPEN = ("draft", "running")
"""Statuses that take exposures and outcomes."""

Counts = Mapping[str, int]
"""What became of a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureBatch:
    """Exposures of one request.

    Attributes:
        reference: Id or key of the experiment.
        rows: The exposures.
        actor: Who sent them.
        now: When they came.
    """

    reference: str
    rows: Sequence[Row]
    actor: Actor
    now: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeBatch:
    """Outcomes of one request.

    Attributes:
        reference: Id or key of the experiment.
        rows: The outcomes.
    """

    reference: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBatch:
    """Events of one request.

    Attributes:
        rows: The events.
    """

    rows: Sequence[EventRow]


Batch = ExposureBatch | OutcomeBatch | EventBatch
Result = Counts | FairtrialError


def record_together(session: Session, batches: Sequence[Batch]) -> list[Result]:
    """Store the batches of many requests.

    Args:
        session: A writing session.
        batches: One a request.

    Returns:
        For each batch what became of it, or why nothing of it was stored.

    Raises:
        FairtrialError: Nothing may be committed; what came of one batch alone is found by recording it alone.
    """
    results: list[Result | None] = [None] * len(batches)
    aimed = [batch.reference for batch in batches if not isinstance(batch, EventBatch)]
    known = lock_experiments(session, dict.fromkeys(aimed)) if aimed else {}
    taken: dict[int, Experiment] = {}
    for place, batch in enumerate(batches):
        if not isinstance(batch, EventBatch):
            try:
                taken[place] = _open(known, batch)
            except FairtrialError as error:
                results[place] = error
    for row in sorted({row.id: row for row in taken.values()}.values(), key=lambda row: row.id):
        here = {place: batches[place] for place, found in taken.items() if found.id == row.id}
        _exposures(session, row, {place: batch for place, batch in here.items() if isinstance(batch, ExposureBatch)}, results)
        _outcomes(session, row, {place: batch for place, batch in here.items() if isinstance(batch, OutcomeBatch)}, results)
    _events(session, {place: batch for place, batch in enumerate(batches) if isinstance(batch, EventBatch)}, results)
    return [result for result in results if result is not None]


def record_one(session: Session, batch: Batch) -> Counts:
    """Store one batch.

    Raises:
        NotFoundError: There is no such experiment.
        ConflictError: It takes no such rows now.
    """
    result = record_together(session, [batch])[0]
    if isinstance(result, FairtrialError):
        raise result
    return result


def _open(known: Mapping[str, Experiment], batch: ExposureBatch | OutcomeBatch) -> Experiment:
    """The experiment of a batch, if it takes the batch now."""
    row = known.get(batch.reference)
    if row is None:
        raise NotFoundError(f"Experiment {batch.reference!r} not found.", hint="GET /api/v1/experiments", code="unknown_experiment")
    if row.status in OPEN:
        return row
    if row.status != "completed" or isinstance(batch, ExposureBatch):
        what = "exposures" if isinstance(batch, ExposureBatch) else "outcomes"
        raise ConflictError(
            f"Experiment {row.key!r} is {row.status}; {what} are taken in draft and running.",
            hint="Once it is completed, only outcomes inside its window are taken.",
        )
    _check_window(row, batch)
    return row


def _check_window(row: Experiment, batch: OutcomeBatch) -> None:
    window = window_of(row)
    first, last = stored_time(window.start_at or BEGINNING), stored_time(window.last_at)
    for index, (_, at, *_) in enumerate(batch.rows):
        if not first <= at <= last:
            raise ConflictError(
                f"Experiment {row.key!r} is completed and takes outcomes from {first} to {last}, outcomes[{index}] is of {at}.",
                hint="Leave out what lies outside; nothing was stored.",
            )


def _exposures(session: Session, row: Experiment, batches: Mapping[int, ExposureBatch], results: list[Result | None]) -> None:
    if not batches:
        return
    control = stored_spec(row).control
    parts = store_rows(session, ExperimentExposure, row.id, [batch.rows for batch in batches.values()])
    by_list = is_by_list(stored_spec(row))  # whoever is on no list has no group, exposed or not
    routing = ensure_routing(session, row) if any(part.unassigned for part in parts) and not by_list else None
    fresh: dict[str, str | None] = {}
    for (place, batch), part in zip(batches.items(), parts, strict=True):
        arms = {} if routing is None else _assign_lazily(session, row, routing, part, batch, fresh)
        results[place] = {
            "recorded": part.new,
            "duplicates": len(batch.rows) - part.new,
            "lazy_assigned": len(arms),
            "control_exposures": part.by_group.get(control, 0) + sum(fresh.get(profile) == control for profile in part.unassigned),
        }


def _assign_lazily(
    session: Session, row: Experiment, routing: Routing, part: StoredPart, batch: ExposureBatch, fresh: dict[str, str | None]
) -> dict[str, str]:
    """Give the exposed profiles without a group theirs; `fresh` knows those of this transaction."""
    arms: dict[str, str] = {}
    for profile in part.unassigned:
        if profile not in fresh:
            arm = fresh[profile] = routing.decide(profile).arm
            if arm is not None:
                arms[profile] = arm
    if arms:
        assign_exposed(session, row.id, arms.items(), at=batch.now)
        record_change(
            session,
            actor=batch.actor,
            now=batch.now,
            action="assignments.store",
            on=("experiment", row.id),
            after={"new": len(arms), "source": "exposure"},
        )
    return arms


def _outcomes(session: Session, row: Experiment, batches: Mapping[int, OutcomeBatch], results: list[Result | None]) -> None:
    if not batches:
        return
    parts = store_rows(session, ExperimentOutcome, row.id, [batch.rows for batch in batches.values()])
    for (place, batch), part in zip(batches.items(), parts, strict=True):
        unassigned = len(part.unassigned) + part.lazy
        results[place] = {"inserted": part.new, "duplicates": len(batch.rows) - part.new, "unassigned": unassigned}


def _events(session: Session, batches: Mapping[int, EventBatch], results: list[Result | None]) -> None:
    if not batches:
        return
    stored = store_events(session, [batch.rows for batch in batches.values()])
    for (place, batch), new in zip(batches.items(), stored, strict=True):
        results[place] = {"stored": new, "duplicates": len(batch.rows) - new}
