"""Is the process alive, can it serve, and what has it done: `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from fairtrial.errors import StorageError
from fairtrial.service.dependencies import State
from fairtrial.service.problems import problem
from fairtrial.storage import current_revision, newest_revision

router = APIRouter(tags=["operations"])


@router.get("/healthz")
def alive() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", response_model=None)
def ready(state: State) -> JSONResponse | dict[str, str]:
    """The database answers and has the tables of this version."""
    try:
        there, known = current_revision(state.database), newest_revision()
    except StorageError as error:
        return problem(503, error.code, error.message, error.hint)
    if there != known:
        return problem(503, "migration_needed", f"The database is at revision {there}, this version needs {known}.", "fairtrial db upgrade")
    return {"status": "ok", "revision": there or ""}


@router.get("/metrics", response_class=PlainTextResponse)
def metrics() -> Response:
    """Counters and latencies in the Prometheus text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
