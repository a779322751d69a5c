"""Arms for units, each stored before it is answered, and what they earned."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from fairtrial.assignment.hashing import u
from fairtrial.bandits.plans import Plan, draw, features_of, propensities
from fairtrial.errors import DataError, UsageError
from fairtrial.service.bandits.control import plan_of, spec_of
from fairtrial.service.bandits.schemas import DecideIn, DecideOut, RewardsIn, RewardsOut
from fairtrial.spec.bandit import BanditSpec
from fairtrial.storage import Database
from fairtrial.storage.bandits import decisions_of, get_bandit, get_period, known_decisions, rewards_of, store_decisions, store_rewards
from fairtrial.storage.tables import BanditDecision


def decide(database: Database, key: str, asked: Sequence[DecideIn], *, now: dt.datetime) -> list[DecideOut]:
    """The arms of units. A unit keeps its arm within a period, and the first decision of it stands.

    Args:
        database: Read for the period's plan, then written: an answer is on disk.
        key: Of the bandit.
        asked: Who.
        now: The moment.

    Raises:
        UnknownNameError: There is no such bandit.
        UsageError: A context does not fit the spec.
    """
    with database.reading() as session:
        row = get_bandit(session, key)
        spec = spec_of(row)
        if row.final_arm is not None:
            return [DecideOut(unit=one.unit, arm=row.final_arm, propensity=None, decision_id=None, period=row.period) for one in asked]
        number, plan = row.period, plan_of(get_period(session, key, row.period))
    made = [_decided(spec, plan, number, one, now) for one in asked]
    with database.writing() as session:
        store_decisions(session, made)
        stored = decisions_of(session, key, number, [one.unit for one in asked])
    return [_answer(stored[one.unit]) for one in asked]


def _decided(spec: BanditSpec, plan: Plan, number: int, asked: DecideIn, now: dt.datetime) -> dict[str, Any]:
    features = None
    if spec.policy.contextual:
        features = features_of(spec, asked.context or {})
    elif asked.context is not None:
        raise UsageError(f"The policy {spec.policy.name!r} looks at no context, got one.", hint="Leave context out.", code="bad_context")
    salt = f"bandit/{spec.seed}/{number}"
    drawn = draw(spec, plan, (u(asked.unit, spec.key, f"{salt}/slice"), u(asked.unit, spec.key, f"{salt}/arm")), features)
    ruled = features is not None and plan.trust > 0.0
    return {
        "decision_id": str(uuid.uuid4()),
        "bandit": spec.key,
        "period": number,
        "unit": asked.unit,
        "arm": drawn.arm,
        "propensity": drawn.propensity,
        "fixed": drawn.fixed,
        "propensities_json": propensities(spec, plan, features).tolist() if ruled else None,
        "context_json": asked.context,
        "decided_at": now,
    }


def _answer(row: BanditDecision) -> DecideOut:
    return DecideOut(unit=row.unit, arm=row.arm, propensity=row.propensity, decision_id=row.decision_id, period=row.period)


def keep_rewards(session: Session, key: str, body: RewardsIn, *, now: dt.datetime) -> RewardsOut:
    """Keep what decisions earned, each once: the first word stands.

    Raises:
        UnknownNameError: There is no such bandit.
        DataError: A reward is none of the spec's kind, or outside its bounds; nothing is kept.
    """
    spec = spec_of(get_bandit(session, key))
    low, high = spec.reward.bounds
    for one in body.rewards:
        if not low <= one.reward <= high or (spec.reward.kind == "proportion" and one.reward not in {0.0, 1.0}):
            allowed = "0 or 1" if spec.reward.kind == "proportion" else f"in [{low:g}, {high:g}]"
            raise DataError(f"A reward of {key!r} is {allowed}, got {one.reward:g} for {one.decision_id!r}.", code="bad_reward")
    known = known_decisions(session, key, [one.decision_id for one in body.rewards])
    kept = rewards_of(session, [one.decision_id for one in body.rewards])
    first, conflicting, duplicates = dict(kept), dict[str, None](), 0
    rows: list[dict[str, Any]] = []
    for one in body.rewards:
        if one.decision_id not in known:
            continue
        if one.decision_id in first:
            duplicates += first[one.decision_id] == one.reward
            if first[one.decision_id] != one.reward:
                conflicting[one.decision_id] = None
            continue
        first[one.decision_id] = one.reward
        rows.append({"decision_id": one.decision_id, "bandit": key, "reward": one.reward, "metrics_json": one.metrics, "rewarded_at": now})
    unknown = dict.fromkeys(one.decision_id for one in body.rewards if one.decision_id not in known)
    stored = store_rewards(session, rows)
    duplicates += len(rows) - stored  # somebody else was quicker
    return RewardsOut(stored=stored, duplicates=duplicates, conflicting=list(conflicting), unknown=list(unknown))
