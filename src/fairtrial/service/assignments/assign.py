"""Give profiles their groups: deterministic, stored once, the stored group always winning (HO-05, G-9)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from fairtrial.assignment import Routing
from fairtrial.errors import ConflictError, UsageError
from fairtrial.service.access.roles import Actor
from fairtrial.service.audit import record_change
from fairtrial.service.experiments.holdout import CONTROL, DEFAULT_TREATMENT_RATE, TREATMENT, holdout_shares
from fairtrial.service.experiments.lifecycle import change_rate
from fairtrial.service.experiments.routing import change_shares, ensure_routing, mark_moved
from fairtrial.storage.assignments import StoredGroups, Unit, find_assignment, has_assignments, store_assignments
from fairtrial.storage.tables import Experiment

ASSIGNABLE = {"draft", "running"}
"""Statuses in which profiles are assigned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """How a batch is to be assigned.

    Attributes:
        treatment_rate: Share that is treated; None for the experiment's own.
        assigned_at: When; None for now.
        force_reassign: Take another rate than the one used, and rewrite the groups of this batch by it.
        source: How the profiles came to be assigned.
    """

    treatment_rate: float | None = None
    assigned_at: dt.datetime | None = None
    force_reassign: bool = False
    source: str = "assign"


def assign_units(
    session: Session, row: Experiment, profile_ids: Iterable[str], asked: Request, *, actor: Actor, now: dt.datetime
) -> StoredGroups:
    """Assign profiles; repeats count once.

    As `place_units`, of profiles whose group is nowhere given.
    """
    return place_units(session, row, ((unit, None) for unit in profile_ids), asked, actor=actor, now=now)


def place_units(
    session: Session, row: Experiment, units: Iterable[tuple[str, str | None]], asked: Request, *, actor: Actor, now: dt.datetime
) -> StoredGroups:
    """Store the groups of profiles: the one drawn elsewhere where one is given, else the one that the hash gives.

    Args:
        session: A writing session.
        row: The experiment, locked.
        units: The profiles, in any order, with repeats, each with the group given for it or None.
        asked: How.
        actor: Who asks, for the audit log.
        now: The moment.

    Raises:
        ConflictError: The experiment takes no assignments now, or another rate is in use.
        UsageError: The rate lies outside (0, 1), or a group given is no arm of the experiment.
    """
    if row.status not in ASSIGNABLE:
        raise ConflictError(
            f"Experiment {row.key!r} is {row.status}; profiles are assigned in draft and running.", hint="Duplicate it to begin anew."
        )
    routing = _routing(session, row, asked, actor=actor, now=now)
    decided = _Decided(routing)
    stored = store_assignments(
        session,
        row.id,
        decided.each(units),
        assigned_at=asked.assigned_at or now,
        source=asked.source,
        rewrite=asked.force_reassign,
    )
    if stored.moved or decided.given:
        mark_moved(row)
    if stored.new or stored.moved:
        record_change(
            session,
            actor=actor,
            now=now,
            action="assignments.store",
            on=("experiment", row.id),
            after={"new": stored.new, "moved": stored.moved, "source": asked.source, "given": decided.given},
        )
    return stored


class _Decided:
    """Profiles with their groups, and how many of those were given."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self.given = 0

    def each(self, units: Iterable[tuple[str, str | None]]) -> Iterator[Unit]:
        decide, arms = self._routing.decide, set(self._routing.allocation.arms)
        for unit, group in units:
            if group is None:
                found = decide(unit)
                yield unit, found.arm, found.reason
                continue
            if group not in arms:
                raise UsageError(f"The group of profile {unit!r} must be one of {sorted(arms)}, got {group!r}.", hint="Nothing was stored.")
            self.given += 1
            yield unit, group, None


def _routing(session: Session, row: Experiment, asked: Request, *, actor: Actor, now: dt.datetime) -> Routing:
    """The routing to assign by, at the rate that is asked for."""
    rate = asked.treatment_rate
    if rate is not None and not 0 < rate < 1:
        raise UsageError(f"treatment_rate must lie in (0, 1), got {rate}.")
    used = row.treatment_rate or DEFAULT_TREATMENT_RATE
    if rate is None or rate == used:
        return ensure_routing(session, row)
    if row.kind != "holdout":
        raise ConflictError(f"Experiment {row.key!r} has shares of its own; a treatment_rate belongs to holdouts.")
    free = row.status == "draft" and row.allocation_json is None and not has_assignments(session, row.id)
    if not free and not asked.force_reassign:
        raise ConflictError(
            f"Experiment {row.key!r} assigns at treatment_rate {used:g}, got {rate:g}.",
            hint="Leave treatment_rate out, or send force_reassign to change it for good.",
        )
    routing = None if free else ensure_routing(session, row)  # at the rate used so far
    change_rate(session, row, rate, actor=actor, now=now)
    if routing is None:
        return ensure_routing(session, row)
    return change_shares(row, routing, holdout_shares(rate), now=now)


def counted(found: StoredGroups) -> dict[str, Any]:
    """What became of a batch, as an answer says it."""
    groups = dict(found.by_group)
    total = sum(groups.values())
    return {
        "assigned": total,
        "treatment": groups.get(TREATMENT, 0),
        "control": groups.get(CONTROL, 0),
        "new": found.new,
        "existing": total - found.new,
        "groups": groups,
        "moved": found.moved,
        "excluded": dict(found.left_out),
    }


def look_up(session: Session, row: Experiment, profile_id: str, *, actor: Actor, now: dt.datetime) -> dict[str, Any]:
    """The stored group of a profile; where there is none, its group from this moment on (HO-24).

    Raises:
        ConflictError: It has none, and the experiment takes no assignments now.
    """
    reason = None
    found = find_assignment(session, row.id, profile_id)
    if found is None:
        request = Request(assigned_at=now, source="lookup")
        reason = next(iter(assign_units(session, row, [profile_id], request, actor=actor, now=now).left_out), None)
        found = find_assignment(session, row.id, profile_id)
    if found is None:
        return {"profile_id": profile_id, "group": None, "assigned_at": None, "source": None, "reason": reason}
    return {"profile_id": profile_id, "group": found.group, "assigned_at": found.assigned_at, "source": found.source}
