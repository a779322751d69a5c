"""What may come in, decoded and checked by msgspec; an error names the index and the field.

The rows that come out are ready for the store: times aware in UTC, texts that any
store can hold, and the key of 16 bytes by which a repeat is known (HO-35).
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta, Struct

from fairtrial.errors import UsageError
from fairtrial.service.bodies import DEEPEST, as_utc, check_text
from fairtrial.storage.ingest import EventRow, Row, stored_time

LARGEST_BATCH = 10_000
"""Rows of one request."""

LARGEST_VALUE = 1e15

Id = Annotated[str, Meta(min_length=1, max_length=200)]
Label = Annotated[str, Meta(max_length=200)]
"""An identifier that may be empty, which is as good as absent."""
Moment = Annotated[str, Meta(max_length=40, extra_json_schema={"format": "date-time"})]
"""A time in ISO 8601; one without an offset is read as UTC (G-4)."""
Value = Annotated[float, Meta(ge=-LARGEST_VALUE, le=LARGEST_VALUE)]
Reference = Annotated[int, Meta(ge=1, le=2**63 - 1)] | Id
"""Id or key of an experiment."""

NUL = b"\\u0000"


class ExposureIn(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A profile saw, or was sent, what the experiment is about."""

    profile_id: Id
    exposure_ts: Moment | None = None
    campaign_id: Label | None = None
    message_id: Label | None = None


class OutcomeIn(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A conversion of a profile."""

    profile_id: Id
    conversion_ts: Moment
    value: Value
    outcome_id: Label | None = None


class EventIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A raw event; its id, best a UUIDv7, makes sending it twice harmless."""

    event_id: Id
    unit: Id
    name: Id
    occurred_at: Moment | None = None
    value: Value | None = None
    properties: dict[str, Any] | None = None


class ExposuresIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Exposures of one experiment."""

    exposures: Annotated[list[ExposureIn], Meta(max_length=LARGEST_BATCH)]


class OutcomesIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Outcomes of one experiment."""

    outcomes: Annotated[list[OutcomeIn], Meta(max_length=LARGEST_BATCH)]


class EventsIn(Struct, frozen=True, forbid_unknown_fields=True):
    """Events of any kind."""

    events: Annotated[list[EventIn], Meta(max_length=LARGEST_BATCH)]


class MessageSent(Struct, frozen=True, forbid_unknown_fields=True):
    """A message went out (HO-25)."""

    experiment_id: Reference
    profile_id: Id
    sent_at: Moment | None = None
    campaign_id: Label | None = None
    message_id: Label | None = None


class Converted(Struct, frozen=True, forbid_unknown_fields=True):
    """A profile converted (HO-25)."""

    experiment_id: Reference
    profile_id: Id
    converted_at: Moment
    value: Value
    outcome_id: Label | None = None


AnyStruct = TypeVar("AnyStruct", bound=Struct)
Item = TypeVar("Item", ExposureIn, OutcomeIn, EventIn)

_ENCODER = msgspec.json.Encoder()
_PLACES = {20: ".000000", 24: "000", 27: ""}
"""What a time with a Z lacks of microseconds, by its length."""


def decode(decoder: msgspec.json.Decoder[AnyStruct], body: bytes) -> AnyStruct:
    """A body as its message.

    Args:
        decoder: Decoder of the message.
        body: The raw body.

    Raises:
        UsageError: It is not one; says where and why.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The body must be JSON in UTF-8: {error}.", code="invalid") from error
    except RecursionError as error:
        raise UsageError(f"A body must not be nested deeper than {DEEPEST} levels.", code="invalid") from error


def as_message(kind: type[Item], given: Mapping[str, Any]) -> Item:
    """One message out of Python; its times are aware datetimes or texts.

    Raises:
        UsageError: It breaks a rule of its fields.
    """
    fields = {name: value.isoformat() if isinstance(value, dt.datetime) else value for name, value in given.items()}
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error


def exposure_rows(items: Sequence[ExposureIn], now: dt.datetime, *, clean: bool) -> list[Row]:
    """Exposures as rows; one without a time happened now.

    Args:
        items: The exposures.
        now: The moment.
        clean: No text of them holds NUL.

    Raises:
        UsageError: A text or a time cannot be stored; names the index.
    """
    rows: list[Row] = []
    moment = stored_time(now)
    for index, item in enumerate(items):
        campaign, message = item.campaign_id or None, item.message_id or None
        if not clean:
            _check_texts("exposures", index, item.profile_id, campaign, message)
        at = moment if item.exposure_ts is None else _time(item.exposure_ts, "exposures", index, "exposure_ts")
        mark = f"m:{message}" if message is not None else f"t:{at}\0{campaign or ''}"
        rows.append((item.profile_id, at, campaign, message, None, blake2b(mark.encode(), digest_size=16).digest()))
    return rows


def outcome_rows(items: Sequence[OutcomeIn], *, clean: bool) -> list[Row]:
    """Outcomes as rows.

    Args:
        items: The outcomes.
        clean: No text of them holds NUL.

    Raises:
        UsageError: A text or a time cannot be stored; names the index.
    """
    rows: list[Row] = []
    for index, item in enumerate(items):
        outcome = item.outcome_id or None
        if not clean:
            _check_texts("outcomes", index, item.profile_id, outcome)
        at, value = _time(item.conversion_ts, "outcomes", index, "conversion_ts"), item.value + 0.0  # -0.0 is 0.0
        mark = f"o:{outcome}".encode() if outcome is not None else f"t:{at}\0".encode() + struct.pack(">d", value)
        rows.append((item.profile_id, at, outcome, None, value, blake2b(mark, digest_size=16).digest()))
    return rows


def event_rows(items: Sequence[EventIn], now: dt.datetime, *, clean: bool) -> list[EventRow]:
    """Events as rows; one without a time happened now.

    Args:
        items: The events.
        now: The moment.
        clean: No text of them holds NUL.

    Raises:
        UsageError: A text, a time or the properties cannot be stored; names the index.
    """
    rows: list[EventRow] = []
    moment = stored_time(now)
    keys = event_keys([item.event_id for item in items])
    for index, (key, item) in enumerate(zip(keys, items, strict=True)):
        at = moment if item.occurred_at is None else _time(item.occurred_at, "events", index, "occurred_at")
        if not clean:
            _check_texts("events", index, item.event_id, item.unit, item.name)
        given = None if item.properties is None else _document(item.properties, index, clean=clean)
        rows.append((key, item.unit, item.name, at, item.value, given, moment))
    return rows


def event_keys(event_ids: Sequence[str]) -> list[bytes]:
    """The keys of many ids; where all are UUIDs with their four hyphens, they are read as one number."""
    n, joined = len(event_ids), "".join(event_ids)
    if set(map(len, event_ids)) == {36} and all(joined[place::36] == "-" * n for place in (8, 13, 18, 23)):
        try:
            raw = bytes.fromhex(joined.replace("-", ""))
        except ValueError:
            raw = b""
        if len(raw) == 16 * n:  # else there is a hyphen or a space too many somewhere
            return [raw[at : at + 16] for at in range(0, 16 * n, 16)]
    return [event_key(event_id) for event_id in event_ids]


def event_key(event_id: str) -> bytes:
    """The 16 bytes of a UUID; of any other text a hash of 16 bytes."""
    if len(event_id) == 36 and event_id[8] == event_id[13] == event_id[18] == event_id[23] == "-":
        try:
            key = bytes.fromhex(event_id.replace("-", ""))
        except ValueError:
            pass
        else:
            if len(key) == 16:
                return key
    return blake2b(event_id.encode(), digest_size=16).digest()


def is_clean(body: bytes) -> bool:
    """Whether no text of a body holds NUL: one look at the whole instead of one at each text."""
    return NUL not in body


def _time(given: str, what: str, index: int, name: str) -> str:
    """A time as the store takes it; of the common form with a Z only the second is read, and that once."""
    places = _PLACES.get(len(given))
    if places is not None and given[-1] == "Z" and given.isascii() and (len(given) == 20 or (given[19] == "." and given[20:-1].isdigit())):
        second = _stored_second(given[:19])
        if second is not None:
            return f"{second}{given[19:-1]}{places}"
    try:
        return stored_time(as_utc(dt.datetime.fromisoformat(given)))
    except ValueError as error:
        raise UsageError(f"{what}[{index}].{name}: {error}.", code="invalid") from error


@lru_cache(maxsize=16_384)
def _stored_second(given: str) -> str | None:
    """`2026-03-05T10:30:00` as the store takes it; None for what is written otherwise or is no moment."""
    try:
        moment = as_utc(dt.datetime.fromisoformat(given)).replace(tzinfo=None)
    except ValueError:
        return None
    return moment.isoformat(" ") if moment.isoformat() == given else None


def _check_texts(what: str, index: int, *texts: str | None) -> None:
    for given in texts:
        if given is not None:
            _checked(check_text, given, f"{what}[{index}]")


def _document(given: dict[str, Any], index: int, *, clean: bool) -> str:
    where = f"events[{index}].properties"
    try:
        written = _ENCODER.encode(given)
    except (OverflowError, RecursionError, ValueError) as error:
        raise UsageError(
            f"{where}: must be JSON with numbers of at most 4,300 digits, nested at most {DEEPEST} levels deep.", code="invalid"
        ) from error
    if not clean or written.count(b"{") + written.count(b"[") > DEEPEST:
        _check_document(given, where, DEEPEST)
    return written.decode()


def _check_document(given: object, where: str, depth: int) -> None:
    if depth == 0:
        raise UsageError(f"{where}: must not be nested deeper than {DEEPEST} levels.", code="invalid")
    if isinstance(given, str):
        _checked(check_text, given, where)
    elif isinstance(given, dict):
        for name, inner in cast("dict[str, object]", given).items():
            _checked(check_text, name, where)
            _check_document(inner, where, depth - 1)
    elif isinstance(given, list):
        for inner in cast("Iterable[object]", given):
            _check_document(inner, where, depth - 1)


def _checked(check: Any, given: str, where: str) -> None:
    try:
        check(given)
    except ValueError as error:
        raise UsageError(f"{where}: {error}.", code="invalid") from error


def _invalid(error: msgspec.ValidationError) -> UsageError:
    said, _, place = str(error).partition(" - at `$")
    where = place.rstrip("`").removeprefix(".")
    return UsageError(f"{where}: {said}." if where else f"{said}.", hint="See /openapi.json for what the request takes.", code="invalid")
