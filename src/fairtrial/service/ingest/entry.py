"""From a raw request to an answer, without a thread or the database on the way: who asks, what came, what became of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, cast

import msgspec
from fastapi import Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials
from starlette.concurrency import run_in_threadpool

from fairtrial.errors import AccessError
from fairtrial.service.access.roles import LOCAL, Actor, Role
from fairtrial.service.dependencies import BEARER, authenticate, state_of
from fairtrial.service.ingest.messages import (
    EventsIn,
    ExposuresIn,
    OutcomesIn,
    decode,
    event_rows,
    exposure_rows,
    is_clean,
    outcome_rows,
)
from fairtrial.service.ingest.recording import Batch, EventBatch, ExposureBatch, OutcomeBatch
from fairtrial.service.state import ServiceState

EXPOSURES, OUTCOMES, EVENTS = msgspec.json.Decoder(ExposuresIn), msgspec.json.Decoder(OutcomesIn), msgspec.json.Decoder(EventsIn)
_ENCODER = msgspec.json.Encoder()


def requires_at_once(role: Role) -> Callable[..., Awaitable[Actor]]:
    """As `requires`, on the event loop: a token proven within the last minute is known without a thread or the database."""

    async def allowed(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> Actor:
        actor = await _actor(state_of(request), given.credentials if given else None)
        if actor.kind == "client":
            raise AccessError("A client key reads flags alone.", hint="Use a server key.", code="forbidden")
        if actor.role < role:
            raise AccessError(f"This needs the role {role.name}, yours is {actor.role.name}.", code="forbidden")
        return actor

    cast("Any", allowed).role = role
    return allowed


async def _actor(state: ServiceState, token: str | None) -> Actor:
    if state.settings.auth_mode == "off":
        return LOCAL
    now = state.clock()
    known = state.keys.remembered(token, now) if token else None
    if known is None and token and state.tokens is not None:
        known = state.tokens.remembered(token, now)
    return known or await run_in_threadpool(authenticate, state, token, now)


Writes = Annotated[Actor, Depends(requires_at_once(Role.DEVELOPER))]
"""A caller who may send data in."""


async def take_exposures(request: Request, experiment: str, actor: Actor) -> Response:
    """Exposures of one experiment (HO-06)."""
    body, now = await request.body(), state_of(request).clock()
    rows = exposure_rows(decode(EXPOSURES, body).exposures, now, clean=is_clean(body))
    return await written(request, ExposureBatch(reference=experiment, rows=rows, actor=actor, now=now))


async def take_outcomes(request: Request, experiment: str) -> Response:
    """Outcomes of one experiment (HO-08)."""
    body = await request.body()
    rows = outcome_rows(decode(OUTCOMES, body).outcomes, clean=is_clean(body))
    return await written(request, OutcomeBatch(reference=experiment, rows=rows))


async def take_events(request: Request) -> Response:
    """Events of any kind."""
    body, now = await request.body(), state_of(request).clock()
    rows = event_rows(decode(EVENTS, body).events, now, clean=is_clean(body))
    return await written(request, EventBatch(rows=rows))


async def written(request: Request, batch: Batch) -> Response:
    """The answer that says what became of a batch, once it is on disk."""
    counts = await state_of(request).ingest.write(batch)
    return Response(_ENCODER.encode(counts), media_type="application/json")
