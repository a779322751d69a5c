"""Forced variants: chosen units are shown a chosen arm for QA and left out of analysis."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy.orm import Session

from fairtrial.errors import ConflictError, UnknownNameError
from fairtrial.service.access.roles import Actor
from fairtrial.service.audit import record_change
from fairtrial.service.experiments.routing import stored_spec
from fairtrial.service.problems import NotFoundError
from fairtrial.storage.flags import count_forced, find_forced
from fairtrial.storage.tables import Experiment, ForcedVariant

MOST_FORCED = 1_000
"""Units of one experiment that may be forced at once: QA, not a way to assign."""


def force(session: Session, row: Experiment, unit: str, arm: str, *, actor: Actor, now: dt.datetime) -> ForcedVariant:
    """Show a unit this arm from now on.

    Raises:
        UnknownNameError: The experiment has no such arm.
        ConflictError: It is archived, or too many units are forced already.
    """
    arms = [one.key for one in stored_spec(row).arms]
    if arm not in arms:
        raise UnknownNameError.among("arm", arm, arms)
    if row.status == "archived":
        raise ConflictError(f"Experiment {row.key!r} is archived.")
    found = find_forced(session, row.id, unit)
    before = None if found is None else _shown(found)
    if found is None or found.lifted_at is not None:
        forced = count_forced(session, row.id)
        if forced >= MOST_FORCED:
            raise ConflictError(f"At most {MOST_FORCED} units of an experiment are forced, {forced} are.", hint="Lift some first.")
    if found is None:
        found = ForcedVariant(experiment_id=row.id, unit=unit, arm=arm, created_by=actor.name, created_at=now)
        session.add(found)
    else:
        found.arm, found.created_by, found.created_at, found.lifted_at = arm, actor.name, now, None
    record_change(session, actor=actor, now=now, action="variant.force", on=("experiment", row.id), before=before, after=_shown(found))
    return found


def lift(session: Session, row: Experiment, unit: str, *, actor: Actor, now: dt.datetime) -> None:
    """Give a unit back to chance; it stays out of analysis, for it saw what was chosen.

    Raises:
        NotFoundError: It is not forced.
    """
    found = find_forced(session, row.id, unit)
    if found is None or found.lifted_at is not None:
        raise NotFoundError(f"Unit {unit!r} is not forced in experiment {row.key!r}.", hint="GET /api/v1/experiments/{id}/forced")
    before = _shown(found)
    found.lifted_at = now
    record_change(session, actor=actor, now=now, action="variant.lift", on=("experiment", row.id), before=before, after=_shown(found))


def _shown(found: ForcedVariant) -> dict[str, Any]:
    return {"unit": found.unit, "arm": found.arm, "forced": found.lifted_at is None}
