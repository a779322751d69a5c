"""Routes of exclusion groups and of the global holdout: parse, one call, return (IN-18, IN-20)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from fairtrial.service.bodies import UnitId
from fairtrial.service.dependencies import AsAdmin, AsDeveloper, AsViewer, DbRead, DbWrite, Now
from fairtrial.service.layers import groups, holdouts
from fairtrial.service.layers.schemas import (
    GroupChange,
    GroupCreate,
    GroupList,
    GroupOut,
    GroupStatus,
    HoldoutChange,
    HoldoutCheck,
    HoldoutCreate,
    HoldoutList,
    HoldoutOut,
    Joining,
)

router = APIRouter(prefix="/mutual-exclusion-groups", tags=["exclusion groups"])
holdout_router = APIRouter(prefix="/holdout", tags=["global holdout"])

GroupId = Annotated[int, Path(ge=1)]


@router.get("", response_model=GroupList)
def read_groups(
    db: DbRead,
    actor: AsViewer,
    status: GroupStatus | None = None,
    skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> GroupList:
    """List exclusion groups by their id."""
    del actor
    return groups.listed(db, status=status, limit=limit, offset=skip)


@router.post("", status_code=201, response_model=GroupOut)
def create_group(db: DbWrite, actor: AsDeveloper, now: Now, body: GroupCreate) -> GroupOut:
    """Make a group whose experiments never share a unit."""
    return groups.create_group(db, body, actor=actor, now=now)


@router.get("/{group_id}", response_model=GroupOut)
def read_group(db: DbRead, actor: AsViewer, group_id: GroupId) -> GroupOut:
    """One group and who owns what of it."""
    del actor
    return groups.as_group(db, groups.get_group(db, group_id))


@router.put("/{group_id}", response_model=GroupOut)
def change_group(db: DbWrite, actor: AsDeveloper, now: Now, group_id: GroupId, body: GroupChange) -> GroupOut:
    """Change a group; fields that are left out stay."""
    return groups.change_group(db, group_id, body, actor=actor, now=now)


@router.delete("/{group_id}", response_model=GroupOut)
def archive_group(db: DbWrite, actor: AsAdmin, now: Now, group_id: GroupId) -> GroupOut:
    """Archive a group; experiments that are in it keep their slots to their end."""
    return groups.archive_group(db, group_id, actor=actor, now=now)


@router.post("/{group_id}/experiments", response_model=GroupOut)
def add_experiment(db: DbWrite, actor: AsDeveloper, now: Now, group_id: GroupId, body: Joining) -> GroupOut:
    """Give a draft slots of the group; adding it again changes nothing."""
    return groups.add_experiment(db, group_id, body, actor=actor, now=now)


@router.delete("/{group_id}/experiments/{experiment_id}", response_model=GroupOut)
def remove_experiment(db: DbWrite, actor: AsDeveloper, now: Now, group_id: GroupId, experiment_id: str) -> GroupOut:
    """Take a draft without units out of the group."""
    return groups.remove_experiment(db, group_id, experiment_id, actor=actor, now=now)


@holdout_router.get("", response_model=HoldoutOut)
def read_holdout(db: DbRead, actor: AsViewer) -> HoldoutOut:
    """The global holdout in force."""
    del actor
    return holdouts.as_holdout(holdouts.current_holdout(db))


@holdout_router.post("", status_code=201, response_model=HoldoutOut)
def create_holdout(db: DbWrite, actor: AsDeveloper, now: Now, body: HoldoutCreate) -> HoldoutOut:
    """Hold a share of units out of every experiment that begins from now on."""
    return holdouts.create_holdout(db, body, actor=actor, now=now)


@holdout_router.put("", response_model=HoldoutOut)
def change_holdout(db: DbWrite, actor: AsDeveloper, now: Now, body: HoldoutChange) -> HoldoutOut:
    """Change the holdout in force; an ADMIN ends it by `inactive`."""
    return holdouts.change_holdout(db, body, actor=actor, now=now)


@holdout_router.get("/all", response_model=HoldoutList)
def read_holdouts(db: DbRead, actor: AsViewer) -> HoldoutList:
    """All holdouts, those that ended too."""
    del actor
    return holdouts.listed(db)


@holdout_router.get("/check/{user_id:path}", response_model=HoldoutCheck)
def check_holdout(db: DbRead, actor: AsViewer, user_id: UnitId) -> HoldoutCheck:
    """Whether a unit is held out of experiments that begin now."""
    del actor
    return holdouts.check_unit(db, user_id)
