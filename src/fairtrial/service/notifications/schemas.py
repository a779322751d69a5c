"""Answers of the routes of alerts and of the outbox."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from fairtrial.service.bodies import Time
from fairtrial.service.notifications.alerts import Severity

MessageState = Literal["waiting", "sending", "delivered", "failed"]


class AlertOut(BaseModel):
    """One alert."""

    id: int
    experiment_id: int | None
    experiment_key: str | None
    severity: Severity
    message: str
    p_value: float | None
    p_kind: Literal["always_valid", "fixed"] | None
    created_at: Time


class AlertList(BaseModel):
    """Alerts, newest first."""

    items: list[AlertOut]
    next_before_id: int | None
    """Give it as `before_id` to read on; null at the end."""


class MessageOut(BaseModel):
    """A message on its way to a target; its address is in the settings alone."""

    id: int
    target: str
    title: str
    body: str
    state: MessageState
    attempts: int
    created_at: Time
    next_attempt_at: Time | None
    delivered_at: Time | None
    failed_at: Time | None
    last_error: str | None


class MessageList(BaseModel):
    """Messages, newest first."""

    items: list[MessageOut]
    counts: dict[MessageState, int]
    """Of all messages."""
    next_before_id: int | None
