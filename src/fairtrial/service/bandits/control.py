"""Bandits: begun, listed, shown, paused, resumed, stopped."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Any, Literal, cast

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from fairtrial.bandits.plans import Plan, first_plan, propensities
from fairtrial.errors import ConflictError, UnknownNameError, UsageError
from fairtrial.service.access.roles import Actor
from fairtrial.service.audit import record_change
from fairtrial.service.bandits.schemas import ActedOut, BanditDetail, BanditIn, BanditList, BanditOut, ChangeIn, PeriodOut, Status
from fairtrial.spec.bandit import BanditSpec, parse_bandit
from fairtrial.storage.bandits import add_bandit, counts_by_period, get_bandit, get_period, list_bandits, list_periods
from fairtrial.storage.tables import Bandit, BanditPeriodRow

Change = Literal["pause", "resume", "stop"]
FROM: dict[Change, tuple[str, ...]] = {"pause": ("running",), "resume": ("paused",), "stop": ("running", "paused")}
TO: dict[Change, Status] = {"pause": "paused", "resume": "running", "stop": "stopped"}
Floats = NDArray[np.float64]


def create(session: Session, body: BanditIn, *, actor: Actor, now: dt.datetime) -> BanditDetail:
    """Begin a bandit with an even split.

    Raises:
        SpecError: A rule of the spec is broken.
        ConflictError: There is one of that key.
    """
    spec = parse_bandit(body.spec)
    row = Bandit(
        key=spec.key,
        spec_json=body.spec,
        spec_hash=spec.spec_hash,
        status="running",
        period=1,
        reason="",
        final_arm=None,
        created_at=now,
        updated_at=now,
        updated_by=actor.name,
    )
    add_bandit(session, row, first_plan(spec).as_json())
    record_change(session, actor=actor, now=now, action="bandit.create", on=("bandit", spec.key), after={"spec": body.spec})
    return one(session, spec.key)


def listed(session: Session) -> BanditList:
    """Every bandit."""
    return BanditList(items=[shown(row, get_period(session, row.key, row.period)) for row in list_bandits(session)])


def one(session: Session, key: str) -> BanditDetail:
    """A bandit with its periods.

    Raises:
        UnknownNameError: There is none of that key.
    """
    row = get_bandit(session, key)
    spec = spec_of(row)
    counts = counts_by_period(session, key)
    periods = list_periods(session, key)
    head = shown(row, periods[row.period - 1])
    return BanditDetail(
        **dict(head), spec=row.spec_json, history=[_period(spec, period, counts.get(period.period, {})) for period in periods]
    )


def shown(row: Bandit, period: BanditPeriodRow) -> BanditOut:
    """A bandit as it is answered."""
    spec, plan = spec_of(row), plan_of(period)
    return BanditOut(
        key=row.key,
        status=cast("Status", row.status),
        period=row.period,
        allocation=allocation(spec, plan, row.final_arm),
        explanation=explained(plan),
        next_update_at=period.started_at + dt.timedelta(seconds=spec.period.seconds),
        reason=row.reason,
        final_arm=row.final_arm,
        created_at=row.created_at,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
        spec_hash=row.spec_hash,
    )


def change(session: Session, key: str, action: Change, body: ChangeIn, *, actor: Actor, now: dt.datetime) -> BanditOut:
    """Pause (shares stay as they are), resume, or stop: from then on everybody gets one arm and nothing is learnt.

    Raises:
        UnknownNameError: There is no such bandit or arm.
        ConflictError: Its state does not allow it.
        UsageError: An arm is given for something else than a stop.
    """
    row = get_bandit(session, key, lock=True)
    spec = spec_of(row)
    if body.arm is not None and action != "stop":
        raise UsageError(f"Only a stop chooses an arm, got {body.arm!r} to {action}.")
    if body.arm is not None and body.arm not in spec.arms:
        raise UnknownNameError.among("arm", body.arm, spec.arms)
    if row.status not in FROM[action]:
        raise ConflictError(f"The bandit {key!r} is {row.status}, only one that is {' or '.join(FROM[action])} can {action}.")
    final = body.arm or spec.control if action == "stop" else None
    turn(session, row, TO[action], body.reason, final, actor=actor, now=now)
    return shown(row, get_period(session, key, row.period))


def turn(session: Session, row: Bandit, status: Status, reason: str, final: str | None, *, actor: Actor, now: dt.datetime) -> None:
    """Give a bandit another status, written down."""
    before = {"status": row.status, "final_arm": row.final_arm}
    row.status, row.reason, row.final_arm, row.updated_at, row.updated_by = status, reason, final, now, actor.name
    session.flush()
    after: dict[str, Any] = {"status": status, "reason": reason, "final_arm": final}
    record_change(session, actor=actor, now=now, action=f"bandit.{status}", on=("bandit", row.key), before=before, after=after)


def spec_of(row: Bandit) -> BanditSpec:
    """The spec of a row."""
    return _parsed(msgspec.json.encode(row.spec_json))


@lru_cache(maxsize=64)
def _parsed(text: bytes) -> BanditSpec:
    return parse_bandit(msgspec.json.decode(text))


def plan_of(period: BanditPeriodRow) -> Plan:
    """The plan of a period."""
    return Plan.from_json(period.plan_json)


def allocation(spec: BanditSpec, plan: Plan, final_arm: str | None = None) -> dict[str, float]:
    """Share of decisions by arm."""
    if final_arm is not None:
        return {arm: float(arm == final_arm) for arm in spec.arms}
    return dict(zip(spec.arms, propensities(spec, plan).tolist(), strict=True))


def explained(plan: Plan) -> list[ActedOut]:
    """The constraints that acted."""
    return [ActedOut(constraint=one.constraint, arm=one.arm, text=one.text) for one in plan.acted]


def _period(spec: BanditSpec, row: BanditPeriodRow, counts: dict[str, tuple[int, int]]) -> PeriodOut:
    plan = plan_of(row)
    return PeriodOut(
        period=row.period,
        started_at=row.started_at,
        allocation=allocation(spec, plan),
        wanted=None if plan.wanted is None else dict(plan.wanted),
        explanation=explained(plan),
        held=dict(plan.capped),
        trust=plan.trust,
        decisions={arm: counts.get(arm, (0, 0))[0] for arm in spec.arms},
        rewards={arm: counts.get(arm, (0, 0))[1] for arm in spec.arms},
    )
