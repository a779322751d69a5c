"""Routes of versions: parse, one call, return."""

from __future__ import annotations

from fastapi import APIRouter

from fairtrial.service.dependencies import AsDeveloper, AsViewer, DbRead, DbWrite, Now
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.versions.schemas import VersionCreate, VersionList, VersionOut
from fairtrial.service.versions.versions import add_version
from fairtrial.service.versions.views import as_version
from fairtrial.storage.flags import list_versions

router = APIRouter(prefix="/experiments/{experiment}/versions", tags=["experiments"])


@router.get("", response_model=VersionList)
def read_versions(db: DbRead, actor: AsViewer, experiment: str) -> VersionList:
    """Every version of the spec, newest first."""
    del actor
    row = get_experiment(db, experiment)
    return VersionList(items=[as_version(version) for version in list_versions(db, row.id)])


@router.post("", status_code=201, response_model=VersionOut)
def create_version(db: DbWrite, actor: AsDeveloper, now: Now, experiment: str, body: VersionCreate) -> VersionOut:
    """Change the spec: of a draft in place, of a running experiment as a new version."""
    return as_version(add_version(db, experiment, body.spec, reason=body.reason, actor=actor, now=now))
