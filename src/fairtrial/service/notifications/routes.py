"""Routes of alerts and of the outbox: parse, one call, return."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from fairtrial.service.bodies import Time
from fairtrial.service.dependencies import AsAdmin, AsViewer, DbRead, DbWrite, Now
from fairtrial.service.notifications.alerts import Severity
from fairtrial.service.notifications.delivery import retry
from fairtrial.service.notifications.schemas import AlertList, MessageList, MessageOut, MessageState
from fairtrial.service.notifications.views import as_message_out, read_alerts, read_messages

router = APIRouter(tags=["alerts"])

Limit = Annotated[int, Query(ge=1, le=1000)]
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


@router.get("/alerts", response_model=AlertList)
def list_alerts(
    db: DbRead,
    actor: AsViewer,
    experiment: Annotated[str | None, Query(min_length=1, max_length=200, description="Id or key.")] = None,
    severity: Annotated[list[Severity] | None, Query()] = None,
    since: Time | None = None,
    before_id: Before = None,
    limit: Limit = 100,
) -> AlertList:
    """Alerts, newest first: what the nightly report and the checks found, each told once (HO-17, HO-18)."""
    del actor
    return read_alerts(db, experiment=experiment, severities=severity or (), since=since, limit=limit, before_id=before_id)


@router.get("/outbox", response_model=MessageList)
def list_outbox(
    db: DbRead,
    actor: AsAdmin,
    state: Annotated[list[MessageState] | None, Query()] = None,
    target: Annotated[str | None, Query(min_length=1, max_length=50)] = None,
    before_id: Before = None,
    limit: Limit = 100,
) -> MessageList:
    """Messages to targets, newest first, with what became of them."""
    del actor
    return read_messages(db, states=state or (), target=target, limit=limit, before_id=before_id)


@router.post("/outbox/{message}/retry", response_model=MessageOut)
def retry_message(db: DbWrite, actor: AsAdmin, now: Now, message: Annotated[int, Path(ge=1, le=2**31 - 1)]) -> MessageOut:
    """Send a message again that was given up, or of which nobody knows whether it arrived."""
    return as_message_out(retry(db, message, actor=actor, now=now))
