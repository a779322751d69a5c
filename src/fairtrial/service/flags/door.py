"""The way in for OFREP: plain ASGI, in front of everything else.

The layers of the API cost several times what a decision does, so requests below
`/ofrep/v1/evaluate/flags` are answered here: who asks, from where, how often, then the
answer. A browser may call from the origins of a client key alone; nobody else gets
CORS headers. Errors of access have the body of every other error (problem+json),
those of a flag have OFREP's.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from fairtrial.errors import AccessError, FairtrialError, UsageError
from fairtrial.service.access.roles import LOCAL, Actor
from fairtrial.service.dependencies import authenticate
from fairtrial.service.flags.evaluate import Reply, evaluate_flag, evaluate_flags
from fairtrial.service.middleware import (
    ALWAYS,
    FOREIGN_HINT,
    METHODS,
    OF_DATA,
    REQUEST_ID,
    address_of,
    counter_of,
    stranger_in,
    timer_of,
)
from fairtrial.service.problems import problem, status_of
from fairtrial.service.state import ServiceState

PREFIX = "/ofrep/v1/evaluate/flags"
ONE, ALL = f"{PREFIX}/{{key}}", PREFIX
MOST_BYTES = 262_144
"""Longest body of a question."""

Headers = list[tuple[bytes, bytes]]

PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"authorization, content-type, if-none-match"),
    (b"access-control-max-age", b"600"),
]

log = structlog.get_logger("fairtrial.flags")


class FlagDoor:
    """Answers OFREP requests and lets all others through."""

    def __init__(self, app: ASGIApp, *, state: ServiceState) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self.app(scope, receive, send)
            return
        rest: str = scope["path"][len(PREFIX) :]
        if rest and rest[0] != "/":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        asked = _Asked(scope, rest[1:])
        if scope["method"] == "OPTIONS":
            reply, headers = Reply(204, b""), PREFLIGHT
        elif scope["method"] != "POST":
            reply, headers = _refused(405, "method_not_allowed", "Questions about flags are asked by POST.", allow="POST, OPTIONS")
        else:
            try:
                reply, headers = await self._answer(asked, receive)
            except Exception as error:
                log.exception("unforeseen error", exc_info=error)
                reply, headers = _refused(500, "internal", "The service made a mistake; it is logged.")
        if reply is not None:
            await _send(send, reply, [*headers, *self._cors(asked), *asked.echo])
            counter_of(asked.method, asked.route, reply.status).inc()
        timer_of(asked.method, asked.route).observe(time.perf_counter() - started)

    async def _answer(self, asked: _Asked, receive: Receive) -> tuple[Reply | None, Headers]:
        try:
            actor = await self._actor(asked)
            environment = _environment(actor, asked)
        except _WaitError as error:
            return _wait(error.seconds)
        except FairtrialError as error:
            return self._unproven(asked, error)
        if wait := self._wait_for_request(actor, asked):
            return _wait(wait)
        asked.actor = actor
        raw = await _body(receive)
        return (None, []) if raw is None else self._evaluate(asked, environment, raw)

    def _evaluate(self, asked: _Asked, environment: str, raw: bytes) -> tuple[Reply, Headers]:
        if len(raw) > MOST_BYTES:
            return _refused(413, "too_large", f"A question must not exceed {MOST_BYTES} bytes.")
        snapshot, note = self.state.snapshot.current, self.state.assignments.note
        if asked.key:
            return evaluate_flag(snapshot, environment, asked.key, raw, note), []
        reply = evaluate_flags(snapshot, environment, raw, asked.if_none_match, note)
        return reply, [(b"etag", reply.etag.encode())] if reply.etag else []

    async def _actor(self, asked: _Asked) -> Actor:
        """Who asks; a token proven within the last minute is known without the database.

        Raises:
            UnauthenticatedError: No token, or one that is not valid.
            AccessError: A page of another site asks where there is no authentication.
            _WaitError: Too many refused tokens came from there.
        """
        state, token = self.state, asked.token
        if state.settings.auth_mode == "off":
            if stranger := stranger_in(dict(asked.scope["headers"]), state.settings.cors_origins):
                raise AccessError(
                    f"Without authentication only this machine may ask, not {stranger!r}.", hint=FOREIGN_HINT, code="foreign_page"
                )
            return LOCAL
        now = state.clock()
        if token:
            known = state.keys.remembered(token, now)
            if known is None and state.tokens is not None:
                known = state.tokens.remembered(token, now)
            if known is not None:
                return known
            if state.limits is not None and (seconds := state.limits.wait_for_attempt(asked.address)):
                raise _WaitError(seconds)
        return await run_in_threadpool(authenticate, state, token, now)

    def _unproven(self, asked: _Asked, error: FairtrialError) -> tuple[Reply, Headers]:
        status = status_of(error)
        if status == 401 and asked.token and self.state.limits is not None:
            self.state.limits.count_failure(asked.address)
        if status >= 500:
            log.warning("flag not answered", code=error.code, detail=error.message)
        extra = {"www-authenticate": "Bearer"} if status == 401 else {"retry-after": "1"} if status == 503 else {}
        return _refused(status, error.code, error.message, error.hint, **extra)

    def _wait_for_request(self, actor: Actor, asked: _Asked) -> int:
        """Seconds to wait; a client key, which many browsers share, is counted by address."""
        limits = self.state.limits
        if limits is None or limits.requests is None:
            return 0
        return limits.wait_for_request(f"flags {actor.name} {asked.address if actor.kind == 'client' else ''}")

    def _cors(self, asked: _Asked) -> Headers:
        """Let a browser read the answer, if it may ask from there."""
        if not asked.origin:
            return []
        vary = (b"vary", b"Origin")
        actor = asked.actor
        if actor is not None:
            allowed = actor.kind == "client" and _may_ask_from(actor, asked.origin)
        else:
            allowed = not asked.foreign and self.state.snapshot.current.origins.allow(asked.origin)
        if not allowed:
            return [vary]
        return [
            (b"access-control-allow-origin", asked.origin.encode("latin-1")),
            (b"access-control-expose-headers", b"etag, retry-after"),
            vary,
        ]


class _WaitError(Exception):
    """Too many refused tokens came from an address."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class _Asked:
    """What a request says of itself."""

    __slots__ = ("actor", "echo", "foreign", "if_none_match", "key", "method", "origin", "query", "route", "scope", "token")

    def __init__(self, scope: Scope, key: str) -> None:
        self.key = key
        self.scope = scope
        self.method: str = scope["method"] if scope["method"] in METHODS else "other"
        self.route = ONE if key else ALL
        self.query: bytes = scope.get("query_string", b"")
        self.token: str | None = None
        self.origin = self.if_none_match = ""
        self.echo: Headers = []
        self.actor: Actor | None = None
        self.foreign = False
        """The key is not for this origin."""
        for name, value in scope["headers"]:
            if name == b"authorization":
                kind, _, token = value.decode("latin-1").partition(" ")
                self.token = token.strip() if kind.lower() == "bearer" else None
            elif name == b"origin":
                self.origin = value.decode("latin-1")
            elif name == b"if-none-match":
                self.if_none_match = value.decode("latin-1")
            elif name == b"x-request-id" and REQUEST_ID.fullmatch(value):
                self.echo = [(name, value)]

    @property
    def address(self) -> str:
        """Where it comes from."""
        return address_of(self.scope)


def _environment(actor: Actor, asked: _Asked) -> str:
    """Whose flags are asked for: the key's environment; a server key may name another by `?environment=`.

    Raises:
        AccessError: A client key is used elsewhere than it may be.
    """
    if actor.kind == "client" and asked.origin and not _may_ask_from(actor, asked.origin):
        asked.foreign = True
        raise AccessError(f"This key may not be used from {asked.origin}.", hint="Add the origin to the key.", code="forbidden")
    if not asked.query:
        return actor.environment
    try:
        named = parse_qs(asked.query.decode("latin-1"), max_num_fields=20).get("environment", [actor.environment])[-1]
    except ValueError as error:
        raise UsageError(f"The query cannot be read: {error}.", hint="Only environment=NAME is known here.") from None
    if named != actor.environment and actor.kind == "client":
        raise AccessError(f"This key reads the environment {actor.environment!r} alone.", code="forbidden")
    return named


def _may_ask_from(actor: Actor, origin: str) -> bool:
    return not actor.origins or origin in actor.origins


def _refused(status: int, code: str, detail: str, hint: str = "", **headers: str) -> tuple[Reply, Headers]:
    body = problem(status, code, detail, hint)
    said: Headers = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Reply(status, bytes(body.body)), [(b"content-type", b"application/problem+json"), *said]


def _wait(seconds: int) -> tuple[Reply, Headers]:
    said = {"retry-after": str(seconds)}
    return _refused(429, "rate_limited", f"Too many requests; wait {seconds} seconds.", "Ask for all flags at once.", **said)


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or one byte more than is allowed; None when the caller has gone."""
    message = await receive()
    if message["type"] != "http.request":
        return None
    raw: bytes = message.get("body", b"")
    while message.get("more_body") and len(raw) <= MOST_BYTES:
        message = await receive()
        if message["type"] != "http.request":
            return None
        raw += message.get("body", b"")
    return raw


async def _send(send: Send, reply: Reply, headers: Headers) -> None:
    length = (b"content-length", str(len(reply.body)).encode())
    kind: Headers = [] if any(name == b"content-type" for name, _ in headers) else [(b"content-type", b"application/json")]
    start: dict[str, Any] = {
        "type": "http.response.start",
        "status": reply.status,
        "headers": [*([length, *kind] if reply.status not in {204, 304} else []), *headers, *ALWAYS, *OF_DATA],
    }
    await send(start)
    await send({"type": "http.response.body", "body": reply.body})
