"""The ASGI application: every router, one error body, one frame around each request."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from fairtrial._version import __version__
from fairtrial.service import health
from fairtrial.service.access.keys import KeyRing
from fairtrial.service.assignments.routes import router as assignments
from fairtrial.service.experiments.routes import router as experiments
from fairtrial.service.middleware import RequestFrame
from fairtrial.service.problems import RESPONSES, add_problem_handlers
from fairtrial.service.results.routes import router as results
from fairtrial.service.settings import Settings
from fairtrial.service.state import Clock, ServiceState, utc_now
from fairtrial.storage import Database, open_database, upgrade

EXPERIMENT_ROUTERS = (results, experiments, assignments)
"""Mounted twice, below /api/v1 and below /api (Part II)."""


def create_app(settings: Settings, *, clock: Clock = utc_now, database: Database | None = None) -> FastAPI:
    """The service over one database, its tables brought up to date as it starts.

    Args:
        settings: How to run.
        clock: The time; tests set it.
        database: Open database to use instead of the settings' own; the caller closes it.
    """
    opened = open_database(settings.database_url.get_secret_value()) if database is None else database

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[None]:
        del app
        upgrade(opened)
        yield
        if database is None:
            opened.close()

    app = FastAPI(
        title="fairtrial",
        version=__version__,
        summary="Plan, run, check, decide and report experiments.",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        responses=RESPONSES,
        separate_input_output_schemas=False,
    )
    app.state.service = ServiceState(settings=settings, database=opened, clock=clock, keys=KeyRing(opened))
    add_problem_handlers(app)
    app.include_router(health.router)
    for prefix in ("/api/v1", "/api"):
        for router in EXPERIMENT_ROUTERS:
            app.include_router(router, prefix=prefix)
    app.add_middleware(RequestFrame, max_body_bytes=settings.max_body_bytes, max_upload_bytes=settings.max_upload_bytes)
    return app
