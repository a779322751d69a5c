"""What a route asks for in its signature: a session, the time, and a caller of some role."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from fairtrial.errors import AccessError
from fairtrial.service.access.roles import LOCAL, Actor, Role
from fairtrial.service.access.tokens import looks_like_jwt
from fairtrial.service.problems import UnauthenticatedError
from fairtrial.service.state import ServiceState

BEARER = HTTPBearer(auto_error=False, description="An API key (`fairtrial token create`) or a JWT of your identity provider.")


def state_of(request: Request) -> ServiceState:
    """The process's shared state."""
    return cast("ServiceState", request.app.state.service)


State = Annotated[ServiceState, Depends(state_of)]


def _now(state: State) -> dt.datetime:
    return state.clock()


Now = Annotated[dt.datetime, Depends(_now)]
"""The moment of the request, aware UTC."""


def _reading(state: State) -> Iterator[Session]:
    with state.database.reading() as session:
        yield session


def _writing(state: State) -> Iterator[Session]:
    with state.database.writing() as session:
        yield session


DbRead = Annotated[Session, Depends(_reading, scope="function")]
"""A session that only reads."""

DbWrite = Annotated[Session, Depends(_writing, scope="function")]
"""A session that is committed before the answer leaves: an answer of 2xx is on disk."""


def authenticate(state: ServiceState, token: str | None, now: dt.datetime) -> Actor:
    """Who sent this token.

    Raises:
        UnauthenticatedError: No token, or one that is not valid.
    """
    if state.settings.auth_mode == "off":
        return LOCAL
    if not token:
        raise UnauthenticatedError("A token is needed: send `Authorization: Bearer <token>`.", hint="fairtrial token create --role VIEWER")
    prover = state.tokens if looks_like_jwt(token) else None
    actor = state.keys.actor(token, now) if prover is None else prover.actor(token, now)
    if actor is None:
        raise UnauthenticatedError("The token is not valid: unknown, revoked or expired.", hint="fairtrial token create --role VIEWER")
    return actor


def requires(role: Role) -> Callable[..., Actor]:
    """A dependency that lets callers of `role` and above in; the tests find its `role` on each route."""

    def allowed(state: State, now: Now, given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> Actor:
        actor = authenticate(state, given.credentials if given else None, now)
        if actor.kind == "client":
            raise AccessError("A client key reads flags alone.", hint="Use a server key.", code="forbidden")
        if actor.role < role:
            raise AccessError(f"This needs the role {role.name}, yours is {actor.role.name}.", code="forbidden")
        return actor

    cast("Any", allowed).role = role
    return allowed


AsViewer = Annotated[Actor, Depends(requires(Role.VIEWER))]
AsAnalyst = Annotated[Actor, Depends(requires(Role.ANALYST))]
AsDeveloper = Annotated[Actor, Depends(requires(Role.DEVELOPER))]
AsAdmin = Annotated[Actor, Depends(requires(Role.ADMIN))]
