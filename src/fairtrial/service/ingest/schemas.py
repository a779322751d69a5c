"""Answers of the ingest routes, and their requests as OpenAPI shows them."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import Struct
from pydantic import BaseModel

from fairtrial.service.bodies import Time


class ExposuresOut(BaseModel):
    """What became of exposures (HO-06, HO-35)."""

    recorded: int
    """Stored now."""
    duplicates: int
    """Stored before, or twice in this request."""
    lazy_assigned: int
    """Profiles that had no group and were given the one of their hash; they stay out of the analysed population."""
    control_exposures: int
    """Of those recorded, how many are of the control group."""


class OutcomesOut(BaseModel):
    """What became of outcomes (HO-08, HO-35)."""

    inserted: int
    """Stored now."""
    duplicates: int
    """Stored before, or twice in this request."""
    unassigned: int
    """Of those inserted, how many are of profiles outside the analysed population: without a group, or with one from an exposure alone."""


class EventsOut(BaseModel):
    """What became of events."""

    stored: int
    """Stored now."""
    duplicates: int
    """Stored before, or twice in this request."""


class ExposureRow(BaseModel):
    """A stored exposure."""

    profile_id: str
    exposure_ts: Time
    campaign_id: str | None
    message_id: str | None


class OutcomeRow(BaseModel):
    """A stored outcome."""

    profile_id: str
    conversion_ts: Time
    value: float
    outcome_id: str | None


class ExposureList(BaseModel):
    """The latest exposures, newest first (HO-07)."""

    items: list[ExposureRow]


class OutcomeList(BaseModel):
    """The latest outcomes, newest first (HO-07)."""

    items: list[OutcomeRow]


class WebhookOut(BaseModel):
    """The message is on disk (HO-25)."""

    status: str


def body_of(kind: type[Struct], example: dict[str, Any]) -> dict[str, Any]:
    """The part of an OpenAPI operation that describes a body which the route decodes itself.

    Args:
        kind: What the body holds.
        example: One.
    """
    (schema,), components = msgspec.json.schema_components([kind], ref_template="{name}")
    content = {"application/json": {"schema": _whole(schema, components), "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def _whole(part: Any, components: dict[str, Any]) -> Any:
    """A schema with its references resolved."""
    if isinstance(part, dict):
        given = cast("dict[str, Any]", part)
        if "$ref" in given:
            return _whole(components[given["$ref"]], components)
        return {name: _whole(inner, components) for name, inner in given.items()}
    if isinstance(part, list):
        return [_whole(inner, components) for inner in cast("list[Any]", part)]
    return part
