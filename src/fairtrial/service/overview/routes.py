"""Routes of the overview: parse, one call, return."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from fairtrial.service.dependencies import AsViewer, DbRead, Now, State
from fairtrial.service.overview import overview
from fairtrial.service.overview.schemas import DecisionLog, MeOut, OverviewOut

router = APIRouter(tags=["overview"])


@router.get("/me", response_model=MeOut)
def read_me(state: State, actor: AsViewer) -> MeOut:
    """Who the token belongs to, and what it may do."""
    return MeOut(name=actor.name, role=actor.role.name, auth_mode=state.settings.auth_mode)  # pyright: ignore[reportArgumentType]


@router.get("/overview", response_model=OverviewOut)
def read_overview(db: DbRead, actor: AsViewer, now: Now) -> OverviewOut:
    """What runs and what needs somebody, with the results that are stored; nothing is computed."""
    del actor
    return overview.overview(db, now=now)


@router.get("/decisions", response_model=DecisionLog)
def read_decisions(
    db: DbRead, actor: AsViewer, limit: Annotated[int, Query(ge=1, le=1000)] = 100, skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0
) -> DecisionLog:
    """What was decided, by whom, on which verdict; newest first."""
    del actor
    return overview.decisions(db, limit=limit, skip=skip)
