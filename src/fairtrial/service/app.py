"""The ASGI application: every router, one error body, one frame around each request."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from functools import cache

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from fairtrial._version import __version__
from fairtrial.service import health
from fairtrial.service.access.keys import KeyRing
from fairtrial.service.access.limiting import make_limits
from fairtrial.service.assignments.routes import router as assignments
from fairtrial.service.audit_api.routes import router as audit
from fairtrial.service.bandits.routes import router as bandits
from fairtrial.service.clock import Clock, utc_now
from fairtrial.service.configs.routes import router as configs
from fairtrial.service.connectors.routes import router as connectors
from fairtrial.service.dashboard import MountedDashboard
from fairtrial.service.docs_page.contract import show_roles
from fairtrial.service.docs_page.routes import router as docs_page
from fairtrial.service.experiments.routes import router as experiments
from fairtrial.service.flags.door import FlagDoor
from fairtrial.service.flags.openapi import add_flag_paths
from fairtrial.service.flags.routes import router as flags
from fairtrial.service.flags.writer import AssignmentWriter
from fairtrial.service.ingest.routes import event_router as events
from fairtrial.service.ingest.routes import router as ingest
from fairtrial.service.ingest.routes import webhook_router as webhooks
from fairtrial.service.ingest.writer import IngestWriter
from fairtrial.service.interactions.routes import experiment_router as novelty
from fairtrial.service.interactions.routes import router as interactions
from fairtrial.service.jobs.routes import job_router as job_runs
from fairtrial.service.jobs.routes import router as nightly
from fairtrial.service.keys_api.routes import router as keys
from fairtrial.service.layers.routes import holdout_router as holdout
from fairtrial.service.layers.routes import router as groups
from fairtrial.service.middleware import RequestFrame
from fairtrial.service.models.routes import router as models
from fairtrial.service.monitoring.routes import router as monitoring
from fairtrial.service.notifications.routes import router as notifications
from fairtrial.service.overview.routes import router as overview
from fairtrial.service.planning.routes import router as planning
from fairtrial.service.population.routes import router as population
from fairtrial.service.privacy.routes import router as privacy
from fairtrial.service.problems import RESPONSES, add_problem_handlers
from fairtrial.service.results.routes import router as results
from fairtrial.service.rollouts.routes import router as rollouts
from fairtrial.service.scheduler import start_scheduler
from fairtrial.service.settings import Settings, origins_in
from fairtrial.service.snapshot import SnapshotHolder
from fairtrial.service.state import ServiceState, prover_of
from fairtrial.service.versions.routes import router as versions
from fairtrial.storage import Database, open_database, upgrade

OTHER_ROUTERS = (
    configs,
    keys,
    audit,
    privacy,
    population,
    connectors,
    groups,
    holdout,
    events,
    webhooks,
    job_runs,
    notifications,
    interactions,
    models,
    overview,
    rollouts,
    bandits,
)
"""Mounted below /api/v1."""
EXPERIMENT_ROUTERS = (nightly, planning, results, monitoring, novelty, experiments, assignments, versions, flags, ingest)
"""Mounted twice, below /api/v1 and below /api (Part II)."""


class Application(FastAPI):
    """FastAPI behind the door of the flags, whose requests pass none of its layers."""

    door: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await (self.door or self.behind)(scope, receive, send)

    async def behind(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the rest."""
        await super().__call__(scope, receive, send)


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """Every route, for all applications of a process: what FastAPI makes of one at its first request is dear and the same for all."""
    router = APIRouter(responses=RESPONSES)
    for outer in (health.router, webhooks, docs_page):
        router.include_router(outer)
    for inner in OTHER_ROUTERS:
        router.include_router(inner, prefix="/api/v1")
    for prefix in ("/api/v1", "/api"):
        for inner in EXPERIMENT_ROUTERS:
            router.include_router(inner, prefix=prefix)
    return tuple(router.routes)


def create_app(
    settings: Settings, *, clock: Clock = utc_now, database: Database | None = None, jobs: bool = False, address: str = ""
) -> FastAPI:
    """The service over one database, its tables brought up to date as it starts.

    Args:
        settings: How to run.
        clock: The time; tests set it.
        database: Open database to use instead of the settings' own; the caller closes it.
        jobs: Run the jobs in this process too, unless the settings turn them off.
        address: Where this process is reached from itself; the dashboard of the settings asks there.
    """
    opened = open_database(settings.database_url.get_secret_value()) if database is None else database

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[None]:
        del app
        upgrade(opened)
        state.ingest.open()
        state.snapshot.start()
        state.assignments.start()
        scheduler = start_scheduler(opened, settings, clock=clock) if jobs and settings.scheduler else None
        async with dashboard.running() if dashboard is not None else nullcontext():
            yield
        if scheduler is not None:
            scheduler.stop()
        state.ingest.close()
        state.assignments.stop()
        state.snapshot.stop()
        if database is None:
            opened.close()

    app = Application(
        title="fairtrial",
        version=__version__,
        summary="Plan, run, check, decide and report experiments.",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        responses=RESPONSES,
        separate_input_output_schemas=False,
    )
    state = ServiceState(
        settings=settings,
        database=opened,
        clock=clock,
        keys=KeyRing(opened),
        snapshot=SnapshotHolder(opened, clock),
        assignments=AssignmentWriter(opened, clock),
        ingest=IngestWriter(opened),
        tokens=prover_of(settings),
        limits=make_limits(settings.rate_limit, settings.failed_auth_limit),
    )
    app.state.service = state
    dashboard = None if settings.dashboard is None else MountedDashboard(settings.dashboard, address)
    add_problem_handlers(app)
    app.router.routes.extend(_routes())
    if dashboard is not None:
        app.router.routes.extend(dashboard.routes)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins_in(settings.cors_origins), allow_methods=["*"], allow_headers=["*"])
    app.add_middleware(RequestFrame, state=state)
    app.door = FlagDoor(app.behind, state=state)
    add_flag_paths(app)
    show_roles(app)
    return app
