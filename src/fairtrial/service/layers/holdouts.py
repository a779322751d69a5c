"""What may be done with the global holdout: a share of units that no experiment takes, one at a time (IN-20)."""

from __future__ import annotations

import datetime as dt
import secrets
from fractions import Fraction
from typing import Any

from sqlalchemy.orm import Session

from fairtrial.assignment import GlobalHoldout, u
from fairtrial.errors import ConflictError
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.audit import record_change
from fairtrial.service.experiments.lifecycle import require
from fairtrial.service.experiments.routing import HOLDOUT_KEY
from fairtrial.service.layers.schemas import HoldoutChange, HoldoutCheck, HoldoutCreate, HoldoutList, HoldoutOut
from fairtrial.service.problems import NotFoundError
from fairtrial.storage.layers import active_holdout, list_holdouts
from fairtrial.storage.tables import Holdout

NO_HOLDOUT = "no_active_holdout"
"""Why a unit has no bucket."""


def create_holdout(session: Session, asked: HoldoutCreate, *, actor: Actor, now: dt.datetime) -> HoldoutOut:
    """Hold a share of units out of every experiment whose first unit is yet to come.

    Raises:
        ConflictError: Another one is in force.
    """
    current = active_holdout(session)
    if current is not None:
        raise ConflictError(f"The holdout {current.name!r} is in force, and there is one at a time.", hint="Change it, or end it first.")
    row = Holdout(
        name=asked.name,
        description=asked.description,
        share=_share(asked.percentage),
        salt=asked.salt or secrets.token_hex(8),
        active=True,
        created_at=now,
    )
    session.add(row)
    session.flush()
    record_change(session, actor=actor, now=now, action="holdout.create", on=("holdout", row.id), after=_described(row))
    return as_holdout(row)


def current_holdout(session: Session, *, for_update: bool = False) -> Holdout:
    """The holdout in force.

    Raises:
        NotFoundError: There is none.
    """
    found = active_holdout(session, for_update=for_update)
    if found is None:
        raise NotFoundError("No global holdout is in force.", hint="POST /api/v1/holdout")
    return found


def change_holdout(session: Session, wanted: HoldoutChange, *, actor: Actor, now: dt.datetime) -> HoldoutOut:
    """Change the holdout in force; experiments that have units keep the one they began with.

    Raises:
        NotFoundError: None is in force.
        AccessError: Ending it needs an ADMIN.
    """
    row = current_holdout(session, for_update=True)
    before = _described(row)
    if wanted.status == "inactive":
        require(actor, Role.ADMIN, "Ending the global holdout")
        row.active = False
        row.ended_at = now
    if wanted.name is not None:
        row.name = wanted.name
    if wanted.description is not None:
        row.description = wanted.description
    if wanted.percentage is not None:
        row.share = _share(wanted.percentage)
    session.flush()
    record_change(session, actor=actor, now=now, action="holdout.change", on=("holdout", row.id), before=before, after=_described(row))
    return as_holdout(row)


def listed(session: Session) -> HoldoutList:
    """All holdouts, newest first."""
    return HoldoutList(items=[as_holdout(row) for row in list_holdouts(session)])


def check_unit(session: Session, user_id: str) -> HoldoutCheck:
    """Whether a unit is held out of experiments that begin now."""
    row = active_holdout(session)
    if row is None:
        return HoldoutCheck(user_id=user_id, in_holdout=False, holdout_id=None, bucket=None, reason=NO_HOLDOUT)
    held = GlobalHoldout(name=HOLDOUT_KEY, salt=row.salt, share=row.share).holds(user_id)
    return HoldoutCheck(user_id=user_id, in_holdout=held, holdout_id=row.id, bucket=u(user_id, HOLDOUT_KEY, row.salt))


def as_holdout(row: Holdout) -> HoldoutOut:
    """A holdout as it is shown."""
    return HoldoutOut(
        id=row.id,
        name=row.name,
        percentage=float(Fraction(str(row.share)) * 100),
        status="active" if row.active else "inactive",
        description=row.description,
        salt=row.salt,
    )


def _share(percentage: float) -> float:
    """Percent as a fraction, as it is written: 7 is .07, not .07000000000000001."""
    return float(Fraction(str(percentage)) / 100)


def _described(row: Holdout) -> dict[str, Any]:
    return {"name": row.name, "description": row.description, "share": row.share, "active": row.active}
