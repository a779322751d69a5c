"""Routes of experiments: parse, one call, return."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from fairtrial.service.dependencies import AsDeveloper, AsViewer, DbRead, DbWrite, Now
from fairtrial.service.experiments import lifecycle
from fairtrial.service.experiments.creation import NewExperiment, create
from fairtrial.service.experiments.schemas import (
    ExperimentDetail,
    ExperimentList,
    ExperimentOut,
    Status,
    StatusChange,
    StatusOut,
)
from fairtrial.service.experiments.views import as_detail, as_list, as_out
from fairtrial.storage.experiments import list_experiments

router = APIRouter(prefix="/experiments", tags=["experiments"])


@router.post("", status_code=201, response_model=ExperimentOut)
def create_experiment(db: DbWrite, actor: AsDeveloper, now: Now, body: NewExperiment) -> ExperimentOut:
    """Create an experiment as a draft: a holdout from its form (HO-01), or any randomised kind from its spec."""
    return as_out(create(db, body, actor=actor, now=now))


@router.get("", response_model=ExperimentList)
def read_experiments(
    db: DbRead,
    actor: AsViewer,
    status: Annotated[list[Status] | None, Query()] = None,
    source_type: str | None = None,
    source_id: str | None = None,
    channel: str | None = None,
    search: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> ExperimentList:
    """List experiments, newest first (HO-03)."""
    del actor
    return as_list(
        *list_experiments(
            db,
            statuses=status or (),
            source_type=source_type,
            source_id=source_id,
            channel=channel,
            search=search,
            limit=limit,
            offset=skip,
        )
    )


@router.get("/{experiment}", response_model=ExperimentDetail)
def read_experiment(db: DbRead, actor: AsViewer, experiment: str) -> ExperimentDetail:
    """One experiment with its set-up (HO-03)."""
    del actor
    return as_detail(lifecycle.get_experiment(db, experiment))


@router.post("/{experiment}/status", response_model=StatusOut)
def change_status(db: DbWrite, actor: AsDeveloper, now: Now, experiment: str, body: StatusChange) -> StatusOut:
    """Take the next step of the lifecycle (HO-04)."""
    row = lifecycle.change_status(db, experiment, body.status, actor=actor, now=now)
    return StatusOut.model_validate({"id": row.id, "status": row.status})
