"""What every request body and answer shares: closed fields, texts that any store can hold, times in UTC."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, model_validator

DEEPEST = 32
"""Levels of nesting that a body may have."""


class Body(BaseModel):
    """A request body: unknown fields, NaN, and texts that Postgres cannot hold are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, raw: object) -> object:
        _check_storable(raw, DEEPEST)
        return raw


def _check_storable(value: object, depth: int) -> None:
    if depth == 0:
        raise ValueError(f"must not be nested deeper than {DEEPEST} levels")
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, dict):
        for key, inner in cast("dict[object, object]", value).items():
            _check_storable(key, depth - 1)
            _check_storable(inner, depth - 1)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            _check_storable(inner, depth - 1)


def check_text(value: str) -> str:
    """A text that is Unicode and holds no NUL.

    Raises:
        ValueError: It is not.
    """
    if "\x00" in value:
        raise ValueError("texts must not hold the character NUL")
    if not value.isascii() and any("\ud800" <= ch <= "\udfff" for ch in value):
        raise ValueError("texts must be Unicode, this one holds half a surrogate pair")
    return value


def as_utc(value: dt.datetime) -> dt.datetime:
    """Aware, in UTC; a time without an offset is read as UTC (G-4).

    Raises:
        ValueError: The time lies outside the years 1900 to 2200.
    """
    if not 1900 <= value.year <= 2200:
        raise ValueError(f"must lie between the years 1900 and 2200, got {value.isoformat()}")
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def iso(value: dt.datetime) -> str:
    """ISO 8601 with a `Z`, fractions of a second only where there are some."""
    text = value.astimezone(dt.UTC).isoformat(timespec="microseconds" if value.microsecond else "seconds")
    return text.replace("+00:00", "Z")


Time = Annotated[dt.datetime, AfterValidator(as_utc), PlainSerializer(iso, return_type=str, when_used="json")]
"""A moment: `Z`, an offset or none come in; `Z` goes out."""

Text = Annotated[str, Field(min_length=1, max_length=200)]
"""A name of 1 to 200 characters."""

UnitId = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(check_text)]
"""Identifier of a unit: 1 to 200 characters of any script, kept as it came."""

Share = Annotated[float, Field(gt=0, lt=1)]
"""A fraction strictly between 0 and 1."""

Document = dict[str, Any]
"""A JSON object."""
