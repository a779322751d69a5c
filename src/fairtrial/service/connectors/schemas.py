"""Bodies of the connector routes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, SecretStr, model_validator

from fairtrial.service.bodies import Body, Share, Text, Time, UnitId
from fairtrial.service.connectors.journeys import Mode
from fairtrial.service.planning.schemas import PeriodEnd, check_period
from fairtrial.service.population.schemas import ProfilesOut, StoredOut


class ConnectRequest(Body):
    """Where the platform is, and the key it gave us."""

    base_url: Annotated[str, Field(min_length=1, max_length=1000)]
    """HTTPS; `http://` for this machine alone."""
    api_key: SecretStr
    """Kept, never shown again."""
    auth_header: Annotated[str, Field(min_length=1, max_length=61)] = "Authorization"
    """The header that carries the key; in `Authorization` as a bearer token."""


class ConnectionOut(BaseModel):
    """What may be shown of a connection."""

    connector: str
    connected: bool
    base_url: str | None
    auth_header: str | None
    connected_at: Time | None
    connected_by: str | None


class TestOut(BaseModel):
    """Whether the platform answered, and what was wrong."""

    __test__ = False

    ok: bool
    error: str | None
    code: str | None


class RowsOut(BaseModel):
    """What the platform lists."""

    items: list[dict[str, Any]]


class SegmentImport(Body):
    """What to do with the profiles of a segment beside storing them."""

    experiment: Text | int | None = None
    """Assign them to this experiment."""
    treatment_rate: Share | None = None


class SegmentOut(ProfilesOut):
    """What became of a segment."""

    skipped: int
    """Profiles whose id no table can hold."""
    assigned: dict[str, int] | None
    """Distinct profiles by stored group, when they were assigned."""


class ExportRequest(Body):
    """Which raw events to export."""

    date_from: Time
    date_to: PeriodEnd
    event_types: Annotated[list[Text], Field(max_length=1000)] | None = None
    attributes: Annotated[list[Text], Field(max_length=1000)] | None = None
    segment_id: UnitId | None = None

    @model_validator(mode="after")
    def _is_period(self) -> ExportRequest:
        check_period("date_from", self.date_from, "date_to", self.date_to)
        return self


class ExportOut(BaseModel):
    """An export that the platform makes."""

    export_id: str
    status: str


class ExportImport(Body):
    """How to read the events of an export."""

    mode: Mode = "balanced"
    """What counts as a duplicate within five minutes."""
    conversion_events: Annotated[list[Text], Field(max_length=1000)] | None = None
    """Types of events that are conversions. Default: purchase, order, conversion."""
    wait_seconds: Annotated[float, Field(ge=0, le=300)] = 0
    """How long to wait for the platform to complete it."""


class EventsIn(Body):
    """Raw events that the platform sends."""

    events: Annotated[list[dict[str, Any]], Field(max_length=10_000)]
    mode: Mode = "balanced"
    conversion_events: Annotated[list[Text], Field(max_length=1000)] | None = None


class EventsOut(BaseModel):
    """What became of raw events."""

    events: int
    journeys: int
    duplicates: int
    """Events that say what another of them says."""
    skipped: dict[str, int]
    """Events left out, by reason: `no_profile`, `no_time`, `no_channel`, `no_value`."""
    touchpoints: StoredOut
    conversions: StoredOut
