"""Routes of the customer data platform: connect, test, look, import; and its signed events."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from fairtrial.errors import UsageError
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.bodies import UnitId
from fairtrial.service.connectors import meiro_cdp
from fairtrial.service.connectors.imports import client_of, import_export, import_segment, quick, store_events
from fairtrial.service.connectors.schemas import (
    ConnectionOut,
    ConnectRequest,
    EventsIn,
    EventsOut,
    ExportImport,
    ExportOut,
    ExportRequest,
    RowsOut,
    SegmentImport,
    SegmentOut,
    TestOut,
)
from fairtrial.service.dependencies import AsAdmin, AsDeveloper, AsViewer, DbRead, DbWrite, Now, State
from fairtrial.service.ingest.webhooks import SIGNED, proven
from fairtrial.service.problems import UnauthenticatedError
from fairtrial.service.state import ServiceState

router = APIRouter(prefix="/connectors/meiro", tags=["connectors"])
LISTS = {"attributes": meiro_cdp.list_attributes, "events": meiro_cdp.list_events, "segments": meiro_cdp.list_segments}
Reference = Annotated[UnitId, Path()]


@router.get("", response_model=ConnectionOut)
def read_connection(db: DbRead, actor: AsViewer) -> ConnectionOut:
    """Whether the platform is connected, and where; never the key."""
    del actor
    return ConnectionOut.model_validate(meiro_cdp.get_connection_metadata(db=db))


@router.put("", response_model=ConnectionOut)
def connect(db: DbWrite, actor: AsAdmin, now: Now, body: ConnectRequest) -> ConnectionOut:
    """Keep the platform's address and key, in place of older ones."""
    meiro_cdp.save_config(body.base_url, body.api_key, auth_header=body.auth_header, db=db, actor=actor, now=now)
    return ConnectionOut.model_validate(meiro_cdp.get_connection_metadata(db=db))


@router.delete("", response_model=ConnectionOut)
def disconnect(db: DbWrite, actor: AsAdmin, now: Now) -> ConnectionOut:
    """Forget the platform's address and key."""
    meiro_cdp.disconnect(db=db, actor=actor, now=now)
    return ConnectionOut.model_validate(meiro_cdp.get_connection_metadata(db=db))


@router.post("/test", response_model=TestOut)
def test_connection(state: State, actor: AsDeveloper) -> TestOut:
    """Ask the platform once; an error of its own is in the answer."""
    del actor
    return TestOut.model_validate(meiro_cdp.test_connection(client=quick(client_of(state))))


@router.get("/{listed}", response_model=RowsOut)
def read_list(state: State, actor: AsDeveloper, listed: Literal["attributes", "events", "segments"]) -> RowsOut:
    """Attributes, types of events or segments of the platform."""
    del actor
    return RowsOut(items=LISTS[listed](client=client_of(state)))


@router.post("/segments/{segment_id}/import", response_model=SegmentOut)
def import_one_segment(state: State, actor: AsDeveloper, now: Now, segment_id: Reference, body: SegmentImport) -> SegmentOut:
    """Store the profiles of a segment and, if asked, assign them to an experiment."""
    return import_segment(state, segment_id, body, actor=actor, now=now)


@router.post("/exports", response_model=ExportOut, status_code=202)
def create_export(state: State, actor: AsDeveloper, body: ExportRequest) -> ExportOut:
    """Ask the platform for an export of raw events."""
    del actor
    made = meiro_cdp.create_export(**dict(body), client=client_of(state))
    return ExportOut(export_id=made["id"], status=made["status"])


@router.post("/exports/{export_id}/import", response_model=EventsOut)
def import_one_export(state: State, actor: AsDeveloper, now: Now, export_id: Reference, body: ExportImport) -> EventsOut:
    """Store contacts and conversions out of an export; 409 while the platform is at it."""
    return import_export(state, export_id, body, actor=actor, now=now)


@router.post(
    "/events",
    response_model=EventsOut,
    openapi_extra={
        **SIGNED,
        "requestBody": {"required": True, "content": {"application/json": {"schema": EventsIn.model_json_schema()}}},
    },
)
async def take_events(request: Request, state: State, now: Now) -> EventsOut:
    """Raw events that the platform sends, signed with the secret of the source `meiro` (`FAIRTRIAL_WEBHOOK_SECRETS`)."""
    body = await request.body()
    source, _ = proven(state, request, body)
    if source != meiro_cdp.NAME:
        raise UnauthenticatedError(f"Events of the platform must be signed by the source {meiro_cdp.NAME!r}.")
    try:
        sent = EventsIn.model_validate_json(body)
    except ValidationError as error:
        first: Any = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{place}: {first['msg'].removeprefix('Value error, ')}.", code="invalid") from None
    return await run_in_threadpool(_store, state, sent, Actor(name=f"webhook:{source}", role=Role.DEVELOPER), now)


def _store(state: ServiceState, sent: EventsIn, actor: Actor, now: Any) -> EventsOut:
    with state.database.writing() as session:
        return store_events(session, sent.events, mode=sent.mode, conversion_events=sent.conversion_events, actor=actor, now=now)
