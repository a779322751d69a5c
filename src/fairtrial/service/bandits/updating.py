"""The batch update: one new period when the old one has run its time, made once however many ask."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import structlog
from sqlalchemy.orm import Session

from fairtrial.bandits.adaptation import Known, next_plan
from fairtrial.bandits.linear import LinearArm
from fairtrial.bandits.plans import Plan, features_of
from fairtrial.bandits.readout import BestArmVerdict, best_arm
from fairtrial.bandits.state import ArmRewards, BanditState
from fairtrial.errors import FairtrialError, StorageError
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.audit import record_change
from fairtrial.service.bandits.control import plan_of, shown, spec_of, turn
from fairtrial.service.bandits.schemas import UpdatedOut
from fairtrial.service.jobs.nightly import Guard
from fairtrial.spec.bandit import BanditSpec
from fairtrial.storage import Database
from fairtrial.storage.bandits import Ripe, add_period, get_bandit, get_period, list_bandits, read_log, read_metrics, sums_by_period

JOB = Actor(name="job:bandits", role=Role.ADMIN)

log = structlog.get_logger("fairtrial.jobs")


def update(database: Database, key: str, *, actor: Actor, now: dt.datetime, guard: Guard | None = None) -> UpdatedOut:
    """Begin the next period if it is due.

    Args:
        database: What is known is read in one transaction, and the new period written in another: whoever comes second
            finds that the period has changed, and changes nothing.
        key: Of the bandit.
        actor: Who asks.
        now: The moment.
        guard: Called in the writing transaction; raises when the run must end.

    Raises:
        UnknownNameError: There is no such bandit.
    """
    with database.reading() as session:
        row = get_bandit(session, key)
        spec, number, period = spec_of(row), row.period, get_period(session, key, row.period)
        due = period.started_at + dt.timedelta(seconds=spec.period.seconds)
        if row.status != "running" or now < due:
            why = f"The bandit is {row.status}." if row.status != "running" else "The period has not run its time."
            return UpdatedOut(**dict(shown(row, period)), updated=False, detail=why)
        known = known_of(session, spec, number, now=now)
    before = plan_of(period)
    plan = next_plan(spec, known, before)
    with database.writing() as session:
        if guard is not None:
            guard(session)
        row = get_bandit(session, key, lock=True)
        if row.period != number or row.status != "running":
            again = shown(row, get_period(session, key, row.period))
            return UpdatedOut(**dict(again), updated=False, detail="Another process was first.")
        row.period, row.updated_at, row.updated_by = number + 1, now, actor.name
        add_period(session, key, number + 1, plan.as_json(), now=now)
        record_change(
            session,
            actor=actor,
            now=now,
            action="bandit.update",
            on=("bandit", key),
            before={"period": number, "shares": dict(before.shares)},
            after={"period": number + 1, "shares": dict(plan.shares), "constraints": [one.constraint for one in plan.acted]},
        )
        _stop_if_settled(session, key, (spec, known, plan), number, actor=actor, now=now)
        after = shown(row, get_period(session, key, number + 1))
    return UpdatedOut(**dict(after), updated=True, detail=f"Period {number + 1} began.")


def _stop_if_settled(
    session: Session, key: str, found: tuple[BanditSpec, Known, Plan], ended: int, *, actor: Actor, now: dt.datetime
) -> None:
    spec, known, plan = found
    if spec.stop is None or ended < spec.stop.min_periods:
        return
    best = best_arm(spec, known.total, dict(plan.capped))
    if isinstance(best, BestArmVerdict) and best.stop:
        reason = (
            f"The stop rule is met: {best.arm} is best with probability {best.probability_best[best.arm]:.4g}, "
            f"expected loss {best.expected_loss[best.arm]:.4g}."
        )
        turn(session, get_bandit(session, key), "stopped", reason, best.arm, actor=actor, now=now)


def ripe_at(spec: BanditSpec, now: dt.datetime) -> Ripe:
    """Which decisions count."""
    hours = spec.reward.zero_after_hours
    return Ripe() if hours is None else Ripe(until=now - dt.timedelta(hours=hours))


def known_of(session: Session, spec: BanditSpec, number: int, *, now: dt.datetime) -> Known:
    """What the periods up to `number` earned; late rewards count in the period of their decision."""
    ripe = ripe_at(spec, now)
    by_period: dict[int, dict[str, ArmRewards]] = defaultdict(dict)
    for period, arm, n, mean, m2 in sums_by_period(session, spec.key, ripe):
        by_period[period][arm] = ArmRewards(n=n, mean=mean, m2=m2, inverse_weighted=None)
    states = [
        BanditState(arms=spec.arms, rewards=tuple(by_period.get(period, {}).get(arm, ArmRewards()) for arm in spec.arms))
        for period in range(1, number + 1)
    ]
    since = 1 if spec.drift.window is None else max(1, number - spec.drift.window + 1)
    metrics = metrics_of(read_metrics(session, spec.key, since)) if spec.constraints else {}
    models = _models(spec, read_log(session, spec.key, ripe), number) if spec.policy.contextual else ()
    return Known(periods=states, metrics=metrics, models=models)


def metrics_of(rows: Sequence[tuple[str, Mapping[str, float]]]) -> dict[str, dict[str, ArmRewards]]:
    """Metrics that came with rewards, by metric and arm."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for arm, metrics in rows:
        for name, value in metrics.items():
            values[name][arm].append(value)
    return {name: {arm: _moments(np.array(seen)) for arm, seen in by_arm.items()} for name, by_arm in values.items()}


def _moments(values: Any) -> ArmRewards:
    mean = float(values.mean())
    return ArmRewards(n=values.size, mean=mean, m2=float(((values - mean) ** 2).sum()), inverse_weighted=None)


def _models(spec: BanditSpec, rows: Sequence[Mapping[str, Any]], number: int) -> tuple[LinearArm, ...]:
    """Sums of the linear models by arm, of rewards about their mean, larger ones better, older ones faded."""
    dimension = len(spec.context) + 1
    kept = [row for row in rows if row["context_json"] is not None]
    if spec.drift.window is not None:
        kept = [row for row in kept if row["period"] > number - spec.drift.window]
    if not kept:
        return tuple(LinearArm.empty(dimension) for _ in spec.arms)
    x = np.array([features_of(spec, row["context_json"]) for row in kept])
    y = np.array([row["reward"] for row in kept])
    y = (y - y.mean()) * (-1.0 if spec.reward.direction == "decrease" else 1.0)
    weight = np.sqrt([spec.drift.discount ** (number - row["period"]) for row in kept])
    arms = np.array([spec.arms.index(row["arm"]) for row in kept])
    return tuple(
        LinearArm.from_pulls(x[arms == arm] * weight[arms == arm, None], y[arms == arm] * weight[arms == arm])
        for arm in range(len(spec.arms))
    )


def update_all(database: Database, *, now: dt.datetime, guard: Guard | None = None) -> dict[str, Any]:
    """Update every bandit that is due; one that fails stops none of the others.

    Raises:
        StorageError: The database does not answer.
    """
    with database.reading() as session:
        keys = [row.key for row in list_bandits(session) if row.status == "running"]
    updated: list[str] = []
    failed: dict[str, str] = {}
    for key in keys:
        try:
            if update(database, key, actor=JOB, now=now, guard=guard).updated:
                updated.append(key)
        except StorageError:
            raise
        except FairtrialError as error:
            log.error("bandit not updated", bandit=key, detail=error.message)  # noqa: TRY400 - foreseen
            failed[key] = error.message
    return {"bandits": len(keys), "updated": updated, "failed": failed}
