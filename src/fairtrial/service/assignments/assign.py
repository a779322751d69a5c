"""Give profiles their groups: deterministic, stored once, the stored group always winning (HO-05, G-9)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from fairtrial.assignment import Routing
from fairtrial.errors import ConflictError, UsageError
from fairtrial.service.access.roles import Actor
from fairtrial.service.assignments.blocks import Given, in_blocks, is_by_list
from fairtrial.service.audit import record_change
from fairtrial.service.experiments.holdout import CONTROL, DEFAULT_TREATMENT_RATE, TREATMENT, holdout_shares
from fairtrial.service.experiments.lifecycle import change_rate
from fairtrial.service.experiments.routing import change_shares, ensure_routing, mark_moved, stored_spec
from fairtrial.storage.assignments import NOT_LISTED, StoredGroups, Unit, find_assignment, has_assignments, store_assignments
from fairtrial.storage.strata import groups_by_stratum
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
    """Store the groups of profiles: the one drawn elsewhere where one is given, else that of the hash or of the list's blocks.

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
    spec = stored_spec(row)
    by_list = is_by_list(spec)
    if by_list and asked.force_reassign:
        raise ConflictError(f"Experiment {row.key!r} assigns in blocks, whose units keep their groups.", hint="Duplicate it to begin anew.")
    routing = _routing(session, row, asked, actor=actor, now=now)
    checked = _Checked(routing.allocation.arms)
    given = checked.each(units)
    stored = store_assignments(
        session,
        row.id,
        in_blocks(session, row, spec, routing, given) if by_list else _by_hash(routing, given),
        assigned_at=asked.assigned_at or now,
        source=asked.source,
        rewrite=asked.force_reassign,
    )
    if stored.moved or checked.given or (by_list and stored.new):
        mark_moved(row)
    if stored.new or stored.moved:
        record_change(
            session,
            actor=actor,
            now=now,
            action="assignments.store",
            on=("experiment", row.id),
            after={"new": stored.new, "moved": stored.moved, "source": asked.source, "given": checked.given},
        )
    return stored


class _Checked:
    """Profiles whose given groups are arms of the experiment, and how many groups were given."""

    def __init__(self, arms: Collection[str]) -> None:
        self._arms = arms
        self.given = 0

    def each(self, units: Iterable[Given]) -> Iterator[Given]:
        """Pass them on.

        Raises:
            UsageError: A group is no arm.
        """
        for unit, group in units:
            if group is not None:
                if group not in self._arms:
                    arms = sorted(self._arms)
                    raise UsageError(f"The group of profile {unit!r} must be one of {arms}, got {group!r}.", hint="Nothing was stored.")
                self.given += 1
            yield unit, group


def _by_hash(routing: Routing, units: Iterable[Given]) -> Iterator[Unit]:
    """The group given for a profile, else that of its hash."""
    decide = routing.decide
    for unit, group in units:
        if group is None:
            found = decide(unit)
            yield unit, found.arm, found.reason, None
        else:
            yield unit, group, None, None


def _routing(session: Session, row: Experiment, asked: Request, *, actor: Actor, now: dt.datetime) -> Routing:
    """The routing to assign by, at the rate that is asked for."""
    rate = asked.treatment_rate
    if rate is not None and not 0 < rate < 1:
        raise UsageError(f"treatment_rate must lie in (0, 1), got {rate}.")
    used = row.treatment_rate or DEFAULT_TREATMENT_RATE
    if rate is None or rate == used:
        return ensure_routing(session, row)
    if is_by_list(stored_spec(row)):
        raise ConflictError(f"Experiment {row.key!r} assigns in blocks of its own shares, treatment_rate {used:g}.", hint="Leave it out.")
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


def strata_of(session: Session, row: Experiment) -> Mapping[str, Mapping[str, int]] | None:
    """All profiles by stratum and group; None where they are not assigned within strata."""
    return groups_by_stratum(session, row.id) if is_by_list(stored_spec(row)) else None


def look_up(session: Session, row: Experiment, profile_id: str, *, actor: Actor, now: dt.datetime) -> dict[str, Any]:
    """The stored group of a profile; where there is none, its group from this moment on (HO-24).

    Raises:
        ConflictError: It has none, and the experiment takes no assignments now.
    """
    reason = None
    found = find_assignment(session, row.id, profile_id)
    if found is None and is_by_list(stored_spec(row)):
        reason = NOT_LISTED
    elif found is None:
        request = Request(assigned_at=now, source="lookup")
        reason = next(iter(assign_units(session, row, [profile_id], request, actor=actor, now=now).left_out), None)
        found = find_assignment(session, row.id, profile_id)
    if found is None:
        return {"profile_id": profile_id, "group": None, "assigned_at": None, "source": None, "reason": reason}
    return {"profile_id": profile_id, "group": found.group, "assigned_at": found.assigned_at, "source": found.source}
