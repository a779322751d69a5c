"""Bodies of the population routes; a line of a file is one of the rows."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from fairtrial.service.bodies import Body, Text, Time, UnitId

LARGEST_BATCH = 10_000
"""Rows of one request; send several."""


def channel_name(value: str) -> str:
    """A channel as it is stored: without blanks around it, in lower case.

    Raises:
        ValueError: Nothing is left.
    """
    name = value.strip().lower()
    if not name:
        raise ValueError("a channel must have a name")
    return name


Channel = Annotated[Text, AfterValidator(channel_name)]
"""A channel such as `email`; case and blanks around it do not matter."""


class ProfileIn(Body):
    """A profile. A field that is left out keeps what is stored; null clears it."""

    id: UnitId
    age: Annotated[float, Field(ge=0, le=200)] | None = None
    ltv: float | None = None
    """Lifetime value before any experiment."""
    attributes: dict[str, Any] | None = None


class TouchpointIn(Body):
    """A contact of a channel with a profile, whether or not it led to anything."""

    profile_id: UnitId
    channel: Channel
    touched_at: Time
    campaign_id: Annotated[str, Field(max_length=200)] = ""
    owned: bool | None = None
    """Whether the channel is one's own and can be held back; null leaves it to the channel's name."""


class ConversionIn(Body):
    """A conversion of a profile, in an experiment or not."""

    profile_id: UnitId
    kpi: Text
    converted_at: Time
    value: float = 0.0


class ProfilesIn(Body):
    """Profiles to store."""

    profiles: Annotated[list[ProfileIn], Field(max_length=LARGEST_BATCH)]


class TouchpointsIn(Body):
    """Contacts to store."""

    touchpoints: Annotated[list[TouchpointIn], Field(max_length=LARGEST_BATCH)]


class ConversionsIn(Body):
    """Conversions to store."""

    conversions: Annotated[list[ConversionIn], Field(max_length=LARGEST_BATCH)]


class ProfilesOut(BaseModel):
    """Distinct profiles of a batch."""

    stored: int
    new: int
    updated: int


class StoredOut(BaseModel):
    """What became of a batch; a repeat is counted, not stored twice."""

    stored: int
    duplicates: int
