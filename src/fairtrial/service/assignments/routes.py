"""Routes of assignments: parse, one call, return."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from fairtrial.service.assignments import assign, upload
from fairtrial.service.assignments.schemas import AssignmentList, AssignmentOut, AssignmentRow, AssignOut, AssignRequest, UploadOut
from fairtrial.service.bodies import Share, Time, UnitId
from fairtrial.service.dependencies import AsDeveloper, AsViewer, DbRead, DbWrite, Now, State
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.storage.assignments import newest_assignments

router = APIRouter(prefix="/experiments/{experiment}", tags=["assignments"])


@router.post("/assign", response_model=AssignOut)
def assign_profiles(db: DbWrite, actor: AsDeveloper, now: Now, experiment: str, body: AssignRequest) -> AssignOut:
    """Assign profiles: deterministic, stored once (HO-05); as one list where the experiment assigns in blocks (HO-42)."""
    row = get_experiment(db, experiment, for_update=True)
    asked = assign.Request(treatment_rate=body.treatment_rate, assigned_at=body.assigned_at, force_reassign=body.force_reassign)
    found = assign.assign_units(db, row, body.profile_ids, asked, actor=actor, now=now)
    return AssignOut.model_validate({**assign.counted(found), "strata": assign.strata_of(db, row)})


@router.post(
    "/assign/upload",
    response_model=UploadOut,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}, "example": '"user_001"\n{"profile_id": "user_002"}\n'},
                "text/csv": {"schema": {"type": "string"}, "example": "profile_id\nuser_001\n"},
            },
        }
    },
)
async def assign_file(
    state: State,
    actor: AsDeveloper,
    now: Now,
    request: Request,
    experiment: str,
    treatment_rate: Annotated[Share | None, Query()] = None,
    assigned_at: Annotated[Time | None, Query()] = None,
    skip_bad: Annotated[bool, Query(description="Assign the good lines of a file with bad ones; else such a file stores nothing.")] = False,
) -> UploadOut:
    """Assign the profiles of a file, any number of them: NDJSON or CSV, by its content type; a `group` drawn elsewhere is kept."""
    asked = assign.Request(treatment_rate=treatment_rate, assigned_at=assigned_at, source="upload")
    return UploadOut.model_validate(await upload.assign_upload(state, request, experiment, asked, skip_bad=skip_bad, actor=actor, now=now))


@router.get("/assignments", response_model=AssignmentList)
def read_assignments(db: DbRead, actor: AsViewer, experiment: str, limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> AssignmentList:
    """The latest assignments, newest first (HO-07)."""
    del actor
    rows = newest_assignments(db, get_experiment(db, experiment).id, limit)
    return AssignmentList(items=[AssignmentRow.model_validate(row, from_attributes=True) for row in rows])


@router.get("/assignments/{profile_id:path}", response_model=AssignmentOut)
def look_up_assignment(db: DbWrite, actor: AsDeveloper, now: Now, experiment: str, profile_id: Annotated[UnitId, Path()]) -> AssignmentOut:
    """The group of one profile, stored at this moment if it has none yet (HO-24)."""
    return AssignmentOut.model_validate(assign.look_up(db, get_experiment(db, experiment), profile_id, actor=actor, now=now))
