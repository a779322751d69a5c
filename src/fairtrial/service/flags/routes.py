"""Routes of decisions and forced variants: parse, one call, return. OFREP itself is in `door`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from fairtrial.service.bodies import UnitId
from fairtrial.service.dependencies import AsDeveloper, AsViewer, DbRead, DbWrite, Now, State
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.flags import forced
from fairtrial.service.flags.decide import decide
from fairtrial.service.flags.schemas import DecisionOut, DecisionRequest, ForcedList, ForcedOut, ForceRequest
from fairtrial.storage.flags import list_forced

router = APIRouter(tags=["flags"])

Unit = Annotated[UnitId, Path()]


@router.get("/assign/{experiment}/{unit:path}", response_model=DecisionOut)
def read_decision(state: State, actor: AsViewer, experiment: str, unit: Unit) -> DecisionOut:
    """What a unit of which nothing else is known gets; nothing is stored, the database is not asked."""
    del actor
    return decide(state.snapshot.current, experiment, unit, {})


@router.post("/assign/{experiment}/{unit:path}", response_model=DecisionOut)
def read_decision_by_attributes(state: State, actor: AsViewer, experiment: str, unit: Unit, body: DecisionRequest) -> DecisionOut:
    """What a unit with these attributes gets; nothing is stored, the database is not asked."""
    del actor
    return decide(state.snapshot.current, experiment, unit, body.attributes)


@router.get("/experiments/{experiment}/forced", response_model=ForcedList)
def read_forced(db: DbRead, actor: AsViewer, experiment: str) -> ForcedList:
    """Units that are shown a chosen variant."""
    del actor
    rows = list_forced(db, get_experiment(db, experiment).id)
    return ForcedList(items=[ForcedOut.model_validate(row, from_attributes=True) for row in rows])


@router.put("/experiments/{experiment}/forced/{unit:path}", response_model=ForcedOut)
def force_variant(db: DbWrite, actor: AsDeveloper, now: Now, experiment: str, unit: Unit, body: ForceRequest) -> ForcedOut:
    """Show a unit a chosen variant, for QA; it is left out of analysis from then on."""
    row = get_experiment(db, experiment, for_update=True)
    return ForcedOut.model_validate(forced.force(db, row, unit, body.arm, actor=actor, now=now), from_attributes=True)


@router.delete("/experiments/{experiment}/forced/{unit:path}", status_code=204)
def lift_variant(db: DbWrite, actor: AsDeveloper, now: Now, experiment: str, unit: Unit) -> None:
    """Give a unit back to chance; it stays out of analysis."""
    forced.lift(db, get_experiment(db, experiment, for_update=True), unit, actor=actor, now=now)
