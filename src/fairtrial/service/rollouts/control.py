"""Rollouts begun, listed, evaluated, applied and stopped; users assigned, sessions recorded.

A user's arm is a function of the user's hash and of the share, with the treatment first in the
hash space: a share that rises moves control users alone. Evaluating remembers what should be
done; `apply` alone does it, and `stop`.
"""

from __future__ import annotations

import datetime as dt
import math
from fractions import Fraction
from typing import Any

from sqlalchemy.orm import Session

from fairtrial.analysis.rollout_days import decide_now
from fairtrial.assignment.hashing import HASH_SPACE, unit_hash
from fairtrial.errors import ConflictError
from fairtrial.service.access.roles import Actor
from fairtrial.service.audit import record_change
from fairtrial.service.bodies import iso
from fairtrial.service.problems import NotFoundError
from fairtrial.service.rollouts.reading import complete_days, moment_of_row, rules_of_row, sessions_of_row
from fairtrial.service.rollouts.rules import rules_of
from fairtrial.service.rollouts.schemas import (
    ApplyIn,
    AssignIn,
    AssignOut,
    EvaluationOut,
    RolloutDecisionOut,
    RolloutIn,
    RolloutItem,
    RolloutList,
    RolloutOut,
    SessionsIn,
    SessionsOut,
    ShareOut,
    StopIn,
)
from fairtrial.storage.rollouts import (
    add_sessions,
    add_user,
    count_sessions,
    count_users,
    find_rollout,
    find_user,
    list_rollouts,
    move_user,
    users_named,
)
from fairtrial.storage.tables import Rollout, RolloutUser

CHANGES = {"RAMP_UP", "ROLLOUT", "ROLLBACK"}
"""Decisions that change the share when they are applied."""

FRESH = dt.timedelta(days=1)
"""How old an evaluation may be that is applied."""

AHEAD = dt.timedelta(minutes=5)
"""How far a client's clock may be ahead."""


def create(session: Session, body: RolloutIn, *, actor: Actor, now: dt.datetime) -> RolloutOut:
    """Begin a rollout at its first stage.

    Raises:
        UsageError: A rule contradicts another.
        ConflictError: There is one of that name.
    """
    rules = rules_of(body)
    if find_rollout(session, body.name) is not None:
        raise ConflictError(f"Rollout {body.name!r} exists already.", hint="A rollout that has begun is not edited: choose another name.")
    share = rules.stages[0]
    row = Rollout(
        name=body.name,
        hash_key=f"rollout/{body.name}",
        settings_json=body.model_dump(mode="json"),
        status="running",
        share=share,
        changes_json=[{"share": share, "at": iso(now), "by": actor.name, "reason": "started"}],
        history_json=[],
        revision=1,
        created_at=now,
        updated_at=now,
        updated_by=actor.name,
    )
    session.add(row)
    session.flush()
    record_change(session, actor=actor, now=now, action="rollout.create", on=("rollout", row.id), after=described(row))
    return shown(session, row)


def listed(session: Session, *, status: str | None, limit: int, offset: int) -> RolloutList:
    """Rollouts by id."""
    rows, total = list_rollouts(session, status=status, limit=limit, offset=offset)
    items = [
        RolloutItem.model_validate(
            {
                "id": row.id,
                "name": row.name,
                "status": row.status,
                "stage": row.share,
                "next_stage": rules_of_row(row).next_stage(row.share),
                "last_decision": row.history_json[-1]["decision"] if row.history_json else None,
                "updated_at": row.updated_at,
            }
        )
        for row in rows
    ]
    return RolloutList(items=items, total=total)


def get_rollout(session: Session, named: str, *, lock: bool = False) -> Rollout:
    """A rollout by its id or its name.

    Raises:
        NotFoundError: There is none.
    """
    found = find_rollout(session, named, lock=lock)
    if found is None:
        raise NotFoundError(f"No rollout {named!r}.", hint="GET /api/v1/rollouts")
    return found


def shown(session: Session, row: Rollout) -> RolloutOut:
    """A rollout as it is answered."""
    return RolloutOut.model_validate(
        {
            "id": row.id,
            "name": row.name,
            "status": row.status,
            "stage": row.share,
            "next_stage": rules_of_row(row).next_stage(row.share),
            "settings": row.settings_json,
            "users": count_users(session, row.id),
            "sessions": count_sessions(session, row.id),
            "history": [EvaluationOut.model_validate(entry) for entry in row.history_json],
            "shares": [ShareOut.model_validate(change) for change in row.changes_json],
            "created_at": row.created_at,
            "updated_at": row.updated_at,
            "updated_by": row.updated_by,
        }
    )


def described(row: Rollout) -> dict[str, Any]:
    """What the audit log keeps of a rollout."""
    return {"name": row.name, "status": row.status, "share": row.share, "settings": row.settings_json}


def evaluate(session: Session, named: str, *, actor: Actor, now: dt.datetime) -> RolloutDecisionOut:
    """Decide the next step by the stored sessions and remember it; the share stays as it is.

    Raises:
        NotFoundError: There is no such rollout.
        ConflictError: It does not run.
    """
    row = get_rollout(session, named, lock=True)
    _require_running(row)
    moment = moment_of_row(row, now=now)
    made = decide_now(rules_of_row(row), sessions_of_row(session, row, now=now), moment)
    number = len(row.history_json) + 1
    entry = {
        "evaluation": number,
        "day": moment.day + 1,
        "complete_days": moment.day,
        "stage": made.stage,
        "decision": made.decision,
        "reasons": list(made.reasons),
        "target_share": made.target_share,
        "at": iso(now),
        "by": actor.name,
        "applied": False,
    }
    row.history_json = [*row.history_json, entry]
    _touch(row, actor, now)
    record_change(session, actor=actor, now=now, action="rollout.evaluate", on=("rollout", row.id), after=entry)
    return RolloutDecisionOut.model_validate(
        {**made.to_dict(), "evaluation": number, "day": moment.day + 1, "complete_days": moment.day, "data_source": "service"}
    )


def apply(session: Session, named: str, body: ApplyIn, *, actor: Actor, now: dt.datetime) -> RolloutOut:
    """Carry out the last evaluation: the one way in which the share of a live rollout changes, but for a stop.

    Raises:
        NotFoundError: There is no such rollout.
        ConflictError: It does not run, there is nothing to apply, or the evaluation is not the last or is old.
    """
    row = get_rollout(session, named, lock=True)
    _require_running(row)
    entry: dict[str, Any] | None = row.history_json[-1] if row.history_json else None
    if entry is None:
        raise ConflictError(f"Rollout {row.name!r} was not evaluated yet.", hint=f"POST /api/v1/rollouts/{row.id}/evaluate")
    if body.evaluation not in {None, entry["evaluation"]}:
        raise ConflictError(f"Only the last evaluation can be applied: {entry['evaluation']}, got {body.evaluation}.")
    if entry["applied"] or entry["decision"] not in CHANGES:
        why = "was applied already" if entry["applied"] else f"says {entry['decision']}, which changes nothing"
        raise ConflictError(f"Evaluation {entry['evaluation']} {why}.", hint="Evaluate again when there are more data.")
    if now - dt.datetime.fromisoformat(entry["at"]) > FRESH:
        raise ConflictError(f"Evaluation {entry['evaluation']} is older than a day.", hint=f"POST /api/v1/rollouts/{row.id}/evaluate")
    before = described(row)
    row.history_json = [*row.history_json[:-1], {**entry, "applied": True}]
    status = {"ROLLBACK": "rolled_back", "ROLLOUT": "rolled_out" if entry["target_share"] >= 1.0 else "running"}.get(
        entry["decision"], "running"
    )
    _change(row, float(entry["target_share"]), status, body.reason, actor=actor, now=now)
    record_change(session, actor=actor, now=now, action="rollout.apply", on=("rollout", row.id), before=before, after=described(row))
    return shown(session, row)


def stop(session: Session, named: str, body: StopIn, *, actor: Actor, now: dt.datetime) -> RolloutOut:
    """Take all traffic back for good.

    Raises:
        NotFoundError: There is no such rollout.
        ConflictError: It has ended already.
    """
    row = get_rollout(session, named, lock=True)
    if row.status in {"stopped", "rolled_back"}:
        raise ConflictError(f"Rollout {row.name!r} is {row.status}, nobody is in its treatment.")
    before = described(row)
    _change(row, 0.0, "stopped", body.reason, actor=actor, now=now)
    record_change(session, actor=actor, now=now, action="rollout.stop", on=("rollout", row.id), before=before, after=described(row))
    return shown(session, row)


def assign(session: Session, named: str, body: AssignIn, *, now: dt.datetime) -> AssignOut:
    """The arm of a user, kept; a user of the treatment stays there while the rollout lives.

    Raises:
        NotFoundError: There is no such rollout.
    """
    row = get_rollout(session, named)
    chosen = in_treatment(body.user_id, row.hash_key, row.share)
    user = find_user(session, row.id, body.user_id)
    new = False
    if row.status == "running" and user is None:
        values = {
            "rollout_id": row.id,
            "user_id": body.user_id,
            "variant": "treatment" if chosen else "control",
            "engagement": body.engagement,
            "assigned_at": now,
            "treated_at": now if chosen else None,
        }
        new = add_user(session, values)
        user = find_user(session, row.id, body.user_id)
    elif row.status == "running" and user is not None and chosen and user.treated_at is None:
        move_user(session, user, now=now)
    treated = _treated(row, user, chosen=chosen)
    return AssignOut(rollout=row.name, user_id=body.user_id, variant="treatment" if treated else "control", stage=row.share, new=new)


def _treated(row: Rollout, user: RolloutUser | None, *, chosen: bool) -> bool:
    """While it runs the stored arm wins; after its end everybody or nobody is treated."""
    if row.status != "running":
        return row.status == "rolled_out"
    return chosen if user is None else user.variant == "treatment"


def in_treatment(user_id: str, hash_key: str, share: float) -> bool:
    """Whether a user's hash lies in the treatment's part: the first `share` of the hash space."""
    return unit_hash(user_id, hash_key) < math.ceil(Fraction(str(share)) * HASH_SPACE)


def record_sessions(session: Session, named: str, body: SessionsIn, *, now: dt.datetime) -> SessionsOut:
    """Keep sessions, each under the arm that its user had at its time; one that came before is kept once.

    Raises:
        NotFoundError: There is no such rollout.
    """
    row = get_rollout(session, named)
    known = users_named(session, row.id, (one.user_id for one in body.sessions))
    starts = [(dt.datetime.fromisoformat(change["at"]), float(change["share"])) for change in row.changes_json]
    rows: list[dict[str, Any]] = []
    unassigned = out_of_time = 0
    for one in body.sessions:
        at = one.occurred_at or now
        if one.user_id not in known:
            unassigned += 1
            continue
        if not row.created_at <= at <= now + AHEAD:
            out_of_time += 1
            continue
        share = next(share for since, share in reversed(starts) if since <= at or since == starts[0][0])
        rows.append(
            {
                "rollout_id": row.id,
                "session_id": one.session_id,
                "user_id": one.user_id,
                "occurred_at": at,
                "variant": "treatment" if in_treatment(one.user_id, row.hash_key, share) else "control",
                "task_completion_time": one.task_completion_time if one.accepted else None,
                "accepted": one.accepted,
                "latency_ms": one.latency_ms,
                "error": one.error,
            }
        )
    stored = add_sessions(session, rows)
    return SessionsOut(stored=stored, duplicates=len(rows) - stored, unassigned=unassigned, out_of_time=out_of_time)


def days_of(row: Rollout, *, now: dt.datetime) -> int:
    """Days complete of a rollout."""
    return complete_days(row.created_at, now)


def _change(row: Rollout, share: float, status: str, reason: str, *, actor: Actor, now: dt.datetime) -> None:
    row.share, row.status = share, status
    row.changes_json = [*row.changes_json, {"share": share, "at": iso(now), "by": actor.name, "reason": reason}]
    _touch(row, actor, now)


def _touch(row: Rollout, actor: Actor, now: dt.datetime) -> None:
    row.revision += 1
    row.updated_at, row.updated_by = now, actor.name


def _require_running(row: Rollout) -> None:
    if row.status != "running":
        raise ConflictError(f"Rollout {row.name!r} is {row.status}, only a running one can be evaluated and applied.")
