"""Routes of ingest: parse, one call, return."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from fairtrial.service.dependencies import AsViewer, DbRead
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.ingest import entry, webhooks
from fairtrial.service.ingest.messages import Converted, EventsIn, ExposuresIn, MessageSent, OutcomesIn
from fairtrial.service.ingest.schemas import (
    EventsOut,
    ExposureList,
    ExposureRow,
    ExposuresOut,
    OutcomeList,
    OutcomeRow,
    OutcomesOut,
    WebhookOut,
    body_of,
)
from fairtrial.storage.ingest import newest_exposures, newest_outcomes

router = APIRouter(prefix="/experiments/{experiment}", tags=["ingest"])
"""Below every prefix of the experiments."""

event_router = APIRouter(tags=["ingest"])
"""Below /api/v1."""

webhook_router = APIRouter(prefix="/webhooks", tags=["webhooks"])
"""At the root and below every prefix; signed, without a token."""

Limit = Annotated[int, Query(ge=1, le=10_000)]

EXPOSURE: dict[str, Any] = {
    "profile_id": "user_001",
    "exposure_ts": "2026-03-05T10:30:00Z",
    "campaign_id": "email_q1_2026",
    "message_id": "msg_12345",
}
OUTCOME: dict[str, Any] = {"profile_id": "user_001", "conversion_ts": "2026-03-07T14:22:00Z", "value": 120.5}
EVENT: dict[str, Any] = {
    "event_id": "019cbd5c-7a00-7000-8000-000000000001",
    "unit": "user_001",
    "name": "purchase",
    "occurred_at": "2026-03-05T10:30:00Z",
    "value": 120.5,
}
SENT: dict[str, Any] = {
    "experiment_id": 1,
    "profile_id": "user_003",
    "sent_at": "2026-03-06T08:00:00Z",
    "campaign_id": "email_q1_2026",
    "message_id": "msg_12400",
}
CONVERTED: dict[str, Any] = {"experiment_id": 1, "profile_id": "user_003", "converted_at": "2026-03-08T11:00:00Z", "value": 35.0}


@router.post("/exposures", response_model=ExposuresOut, openapi_extra=body_of(ExposuresIn, {"exposures": [EXPOSURE]}))
async def record_exposures(request: Request, actor: entry.Writes, experiment: str) -> Response:
    """Record exposures; repeats are counted, not stored (HO-06, HO-35)."""
    return await entry.take_exposures(request, experiment, actor)


@router.get("/exposures", response_model=ExposureList)
def read_exposures(db: DbRead, actor: AsViewer, experiment: str, limit: Limit = 100) -> ExposureList:
    """The latest exposures, newest first (HO-07)."""
    del actor
    rows = newest_exposures(db, get_experiment(db, experiment).id, limit)
    return ExposureList(items=[ExposureRow.model_validate(row, from_attributes=True) for row in rows])


@router.post("/outcomes", response_model=OutcomesOut, openapi_extra=body_of(OutcomesIn, {"outcomes": [OUTCOME]}))
async def record_outcomes(request: Request, actor: entry.Writes, experiment: str) -> Response:
    """Record outcomes; repeats are counted, not stored (HO-08, HO-35)."""
    del actor
    return await entry.take_outcomes(request, experiment)


@router.get("/outcomes", response_model=OutcomeList)
def read_outcomes(db: DbRead, actor: AsViewer, experiment: str, limit: Limit = 100) -> OutcomeList:
    """The latest outcomes, newest first (HO-07)."""
    del actor
    rows = newest_outcomes(db, get_experiment(db, experiment).id, limit)
    return OutcomeList(items=[OutcomeRow.model_validate(row, from_attributes=True) for row in rows])


@event_router.post("/events", response_model=EventsOut, openapi_extra=body_of(EventsIn, {"events": [EVENT]}))
async def append_events(request: Request, actor: entry.Writes) -> Response:
    """Append raw events; the id of each, best a UUIDv7, makes sending it again harmless."""
    del actor
    return await entry.take_events(request)


@webhook_router.post("/message-sent", response_model=WebhookOut, openapi_extra=webhooks.SIGNED | body_of(MessageSent, SENT))
async def message_sent(request: Request) -> Response:
    """A message went out: an exposure (HO-25)."""
    return await webhooks.take_message(request)


@webhook_router.post("/conversion", response_model=WebhookOut, openapi_extra=webhooks.SIGNED | body_of(Converted, CONVERTED))
async def conversion(request: Request) -> Response:
    """A profile converted: an outcome (HO-25)."""
    return await webhooks.take_conversion(request)
