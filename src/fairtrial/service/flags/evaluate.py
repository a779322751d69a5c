"""OFREP's two questions, answered from a snapshot: one flag, or all of an environment.

Nothing here waits: no database, no network, no log line. What came is decoded by
msgspec; the answer of a flag is picked, not made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from fairtrial.errors import UsageError
from fairtrial.service.bodies import check_text
from fairtrial.service.flags.flag import Answer, Flag
from fairtrial.service.snapshot import Snapshot

LONGEST_UNIT = 200
TARGETING_KEY = "targetingKey"

ErrorCode = Literal["FLAG_NOT_FOUND", "PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT"]

Note = Callable[[Flag, str, Answer], None]
"""Told of every decision about a unit."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back.

    Attributes:
        status: HTTP status.
        body: JSON; empty with 304.
        etag: Mark of a bulk answer, in quotes.
    """

    status: int
    body: bytes
    etag: str = ""


class _Request(msgspec.Struct):
    context: dict[str, Any] | None = None


class _ContextError(Exception):
    """The evaluation context cannot be used."""

    def __init__(self, code: ErrorCode, details: str) -> None:
        super().__init__(details)
        self.code: ErrorCode = code
        self.details = details


_DECODER = msgspec.json.Decoder(_Request)
_encode = msgspec.json.Encoder().encode


def evaluate_flag(snapshot: Snapshot, environment: str, key: str, raw: bytes, note: Note) -> Reply:
    """Answer for one flag.

    Args:
        snapshot: The flags.
        environment: Whose.
        key: Key of the flag.
        raw: The request's body.
        note: Told of the decision.
    """
    flag = snapshot.find(environment, key)
    if flag is None:
        return _failure(404, "FLAG_NOT_FOUND", f"No flag {_clean(key)!r} in the environment {environment!r}.", key)
    try:
        context = _context(raw)
        if flag.always is not None:
            return Reply(200, flag.always.body)
        unit = _unit(context)
        answer = flag.decide(unit, context)
    except _ContextError as error:
        return _failure(400, error.code, error.details, key)
    note(flag, unit, answer)
    return Reply(200, answer.body)


def evaluate_flags(snapshot: Snapshot, environment: str, raw: bytes, if_none_match: str, note: Note) -> Reply:
    """Answer for every flag of an environment; 304 when the caller has this answer already.

    Args:
        snapshot: The flags.
        environment: Whose.
        raw: The request's body.
        if_none_match: The caller's ETags.
        note: Told of the decisions.
    """
    flags = snapshot.flags.get(environment, {})
    try:
        context = _context(raw)
        unit = _unit(context) if any(flag.needs_unit for flag in flags.values()) else ""
    except _ContextError as error:
        return _failure(400, error.code, error.details)
    found: list[bytes] = []
    for flag in flags.values():
        answer = flag.decide(unit, context)
        found.append(answer.body)
        if flag.needs_unit:
            note(flag, unit, answer)
    body = b'{"flags":[' + b",".join(found) + b"]}"
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    if if_none_match and etag in {mark.strip().removeprefix("W/") for mark in if_none_match.split(",")}:
        return Reply(304, b"", etag)
    return Reply(200, body, etag)


def _context(raw: bytes) -> Mapping[str, Any]:
    try:
        return _DECODER.decode(raw).context or {}
    except msgspec.ValidationError as error:
        raise _ContextError("INVALID_CONTEXT", f'The body must be {{"context": {{...}}}}: {error}.') from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _ContextError("PARSE_ERROR", f"The body must be JSON: {error}.") from None


def _unit(context: Mapping[str, Any]) -> str:
    """The unit that is asked about, one that can be stored."""
    unit = context.get(TARGETING_KEY)
    if unit is None or unit == "":
        raise _ContextError("TARGETING_KEY_MISSING", f"The context must have a {TARGETING_KEY}: who is asked about.")
    if not isinstance(unit, str):
        raise _ContextError("INVALID_CONTEXT", f"{TARGETING_KEY} must be a text, got {type(unit).__name__}.")
    if len(unit) > LONGEST_UNIT:
        raise _ContextError("INVALID_CONTEXT", f"{TARGETING_KEY} has at most {LONGEST_UNIT} characters, got {len(unit)}.")
    try:
        return check_text(unit)
    except (ValueError, UsageError) as error:
        raise _ContextError("INVALID_CONTEXT", f"{TARGETING_KEY}: {error}.") from None


def _failure(status: int, code: ErrorCode, details: str, key: str | None = None) -> Reply:
    said = {"errorCode": code, "errorDetails": details}
    return Reply(status, _encode(said if key is None else {"key": _clean(key), **said}))


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
