"""Routes of bandits: parse, one call, return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query

from fairtrial.service.bandits import control, deciding, reading, updating
from fairtrial.service.bandits.schemas import (
    BanditDetail,
    BanditIn,
    BanditList,
    BanditOut,
    ChangeIn,
    DecideIn,
    DecideManyIn,
    DecideManyOut,
    DecideOut,
    OffPolicyIn,
    OffPolicyOut,
    ResultsOut,
    RewardsIn,
    RewardsOut,
    UpdatedOut,
)
from fairtrial.service.dependencies import AsAnalyst, AsDeveloper, AsViewer, DbRead, DbWrite, Now, State

Alpha = Annotated[float, Query(gt=0, lt=1)]

router = APIRouter(prefix="/bandits", tags=["bandits"])


@router.get("", response_model=BanditList)
def list_bandits(db: DbRead, actor: AsViewer) -> BanditList:
    """Every bandit, with where it stands."""
    del actor
    return control.listed(db)


@router.post("", response_model=BanditDetail, status_code=201)
def create_bandit(db: DbWrite, actor: AsDeveloper, now: Now, body: BanditIn) -> BanditDetail:
    """Begin a bandit; its first period splits evenly (XC-40)."""
    return control.create(db, body, actor=actor, now=now)


@router.get("/{key}", response_model=BanditDetail)
def read_bandit(db: DbRead, actor: AsViewer, key: str) -> BanditDetail:
    """Its allocation now, every period before, and which constraints acted (AD-17)."""
    del actor
    return control.one(db, key)


@router.post("/{key}/decide", response_model=DecideOut)
def decide(state: State, actor: AsDeveloper, now: Now, key: str, body: DecideIn) -> DecideOut:
    """An arm for a unit, the same within a period, stored with its propensity before it is answered (AD-18)."""
    del actor
    return deciding.decide(state.database, key, [body], now=now)[0]


@router.post("/{key}/decide-many", response_model=DecideManyOut)
def decide_many(state: State, actor: AsDeveloper, now: Now, key: str, body: DecideManyIn) -> DecideManyOut:
    """Arms for up to 1,000 units in one transaction."""
    del actor
    return DecideManyOut(decisions=deciding.decide(state.database, key, body.decisions, now=now))


@router.post("/{key}/rewards", response_model=RewardsOut)
def keep_rewards(db: DbWrite, actor: AsDeveloper, now: Now, key: str, body: RewardsIn) -> RewardsOut:
    """What decisions earned, by their ids: each kept once, late ones too."""
    del actor
    return deciding.keep_rewards(db, key, body, now=now)


@router.post("/{key}/update", response_model=UpdatedOut)
def update_bandit(state: State, actor: AsDeveloper, now: Now, key: str) -> UpdatedOut:
    """Begin the next period if it is due; once, however many ask (AD-17)."""
    return updating.update(state.database, key, actor=actor, now=now)


@router.get("/{key}/results", response_model=ResultsOut)
def results(db: DbRead, actor: AsViewer, now: Now, key: str, alpha: Alpha = 0.05) -> ResultsOut:
    """Arms corrected for adaptation, contrasts to the control with the fixed slice's beside them, periods, and the best arm (XC-40)."""
    del actor
    return reading.results(db, key, alpha=alpha, now=now)


@router.post("/{key}/off-policy", response_model=OffPolicyOut)
def off_policy(db: DbRead, actor: AsAnalyst, now: Now, key: str, body: OffPolicyIn) -> OffPolicyOut:
    """What other shares would have earned, from the log; refused where the log cannot say."""
    del actor
    return reading.off_policy(db, key, body, now=now)


def changing(change: control.Change) -> Callable[..., BanditOut]:
    """The route of a person's word on a bandit."""

    def changed(db: DbWrite, actor: AsDeveloper, now: Now, key: str, body: ChangeIn) -> BanditOut:
        return control.change(db, key, change, body, actor=actor, now=now)

    return changed


CHANGES: dict[control.Change, str] = {
    "pause": "Shares stay as they are; decisions go on.",
    "resume": "Updates go on after a pause.",
    "stop": "Everybody gets one arm from now on, the control unless `arm` names another; nothing is learnt any more.",
}

for _change, _means in CHANGES.items():
    router.add_api_route(
        f"/{{key}}/{_change}", changing(_change), methods=["POST"], response_model=BanditOut, name=f"{_change}_bandit", description=_means
    )
