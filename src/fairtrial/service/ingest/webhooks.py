"""Webhooks of other systems, signed with a secret of each source (HO-25).

A sender gives its name, the time and a signature in headers:

    Fairtrial-Source: shop
    Fairtrial-Timestamp: 1772784000
    Fairtrial-Signature: v1=<hex of HMAC-SHA256(secret, timestamp + "." + raw body)>

The time must lie within the replay window of ours. What is sent again within it is
known by its key and stored once; a message without a time of its own happened at the
signed time, so that this holds for it too.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from typing import Any

import msgspec
from fastapi import Request, Response
from pydantic import SecretStr

from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.dependencies import state_of
from fairtrial.service.ingest.messages import (
    Converted,
    ExposureIn,
    MessageSent,
    OutcomeIn,
    decode,
    exposure_rows,
    is_clean,
    outcome_rows,
)
from fairtrial.service.ingest.recording import ExposureBatch, OutcomeBatch
from fairtrial.service.problems import UnauthenticatedError
from fairtrial.service.state import ServiceState

SOURCE, TIMESTAMP, SIGNATURE = "Fairtrial-Source", "Fairtrial-Timestamp", "Fairtrial-Signature"
SCHEME = "v1="
NOBODY = SecretStr("no source has this secret")
"""What the signature of an unknown source is held to, so that it takes as long as that of a known one."""

SIGNED: dict[str, Any] = {
    "security": [],
    "parameters": [
        {"name": SOURCE, "in": "header", "required": True, "schema": {"type": "string"}, "description": "Name of the source."},
        {"name": TIMESTAMP, "in": "header", "required": True, "schema": {"type": "string"}, "description": "Seconds since 1970."},
        {
            "name": SIGNATURE,
            "in": "header",
            "required": True,
            "schema": {"type": "string"},
            "description": "`v1=` and the hex of HMAC-SHA256 over the timestamp, a dot and the raw body, by the source's secret.",
        },
    ],
}

SENT, CONVERSION = msgspec.json.Decoder(MessageSent), msgspec.json.Decoder(Converted)
_OK = b'{"status":"ok"}'


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """The signature of a body, as a sender makes it.

    Args:
        secret: The source's secret.
        timestamp: Seconds since 1970.
        body: The raw body.
    """
    return SCHEME + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


async def take_message(request: Request) -> Response:
    """A message went out: an exposure."""
    state, body = state_of(request), await request.body()
    source, signed_at = proven(state, request, body)
    sent = decode(SENT, body)
    item = ExposureIn(profile_id=sent.profile_id, exposure_ts=sent.sent_at, campaign_id=sent.campaign_id, message_id=sent.message_id)
    rows = exposure_rows([item], signed_at, clean=is_clean(body))
    actor = Actor(name=f"webhook:{source}", role=Role.DEVELOPER)
    await state.ingest.write(ExposureBatch(reference=str(sent.experiment_id), rows=rows, actor=actor, now=state.clock()))
    return Response(_OK, media_type="application/json")


async def take_conversion(request: Request) -> Response:
    """A profile converted: an outcome."""
    state, body = state_of(request), await request.body()
    proven(state, request, body)
    found = decode(CONVERSION, body)
    item = OutcomeIn(profile_id=found.profile_id, conversion_ts=found.converted_at, value=found.value, outcome_id=found.outcome_id)
    batch = OutcomeBatch(reference=str(found.experiment_id), rows=outcome_rows([item], clean=is_clean(body)))
    await state.ingest.write(batch)
    return Response(_OK, media_type="application/json")


def proven(state: ServiceState, request: Request, body: bytes) -> tuple[str, dt.datetime]:
    """The source of a request and when it signed it.

    Raises:
        UnauthenticatedError: It is signed by no source that is known, or too long ago.
    """
    source, stamp = request.headers.get(SOURCE, ""), request.headers.get(TIMESTAMP, "")
    secret = state.settings.webhook_secrets.get(source.lower())
    seconds = int(stamp) if stamp.isascii() and stamp.isdecimal() and len(stamp) <= 11 else 0
    expected = sign((secret or NOBODY).get_secret_value(), seconds, body)
    fits = hmac.compare_digest(expected.encode(), request.headers.get(SIGNATURE, "").encode("utf-8", "surrogateescape"))
    if secret is None or not fits:
        raise UnauthenticatedError(
            f"A webhook must be signed by a known source: headers {SOURCE}, {TIMESTAMP}, {SIGNATURE}.",
            hint="Check the source's name and secret; sign the raw body.",
        )
    window = state.settings.webhook_window_seconds
    if abs(state.clock().timestamp() - seconds) > window:
        raise UnauthenticatedError(f"A webhook must be signed within {window} seconds of its arrival, this one was not.", hint="Sign anew.")
    return source.lower(), dt.datetime.fromtimestamp(seconds, dt.UTC)
