"""Around every request: an id, bounds on size and rate, safe headers, one log line, counters. Plain ASGI, for it is on every path.

The log names the route and not the path: paths and queries hold ids of people.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import time
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import structlog
from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from fairtrial.service.problems import problem
from fairtrial.service.settings import is_loopback, origins_in
from fairtrial.service.state import ServiceState

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
FOREIGN_HINT = "Start the service with authentication, or name the page's origin in FAIRTRIAL_CORS_ORIGINS."
CLIENT_LEFT = 499
"""Status in log and counters of a request whose sender hung up."""

ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
OF_DATA = ((b"cache-control", b"no-store"), (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"))
"""Headers of answers that are data, which a page of ours is not; a route's own header wins."""
OVER_TLS = (b"strict-transport-security", b"max-age=31536000")

REQUESTS = Counter("fairtrial_http_requests_total", "Requests by method, route and status.", ["method", "route", "status"])
SECONDS = Histogram(
    "fairtrial_http_request_seconds",
    "Seconds from the first byte in to the last byte out.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
QUIET = {"/healthz", "/readyz", "/metrics"}
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
"""What counters are kept for; others are counted as one, or anybody could make up as many as he likes."""

log = structlog.get_logger("fairtrial.service")


@cache
def counter_of(method: str, route: str, status: int) -> Counter:
    """What counts these requests; looked up once, for the look-up costs more than the counting."""
    return REQUESTS.labels(method, route, str(status))


@cache
def timer_of(method: str, route: str) -> Histogram:
    """What times these requests."""
    return SECONDS.labels(method, route)


class TooLongError(HTTPException):
    """The body went past its bound while it was read."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"A body must not exceed {limit} bytes.")


class RequestFrame:
    """Gives each request an id, holds it to its bounds, logs and counts it."""

    def __init__(self, app: ASGIApp, *, state: ServiceState) -> None:
        self.app, self.state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            stranger = None
            if scope["type"] == "websocket" and self.state.settings.auth_mode == "off":
                stranger = stranger_in(dict(scope["headers"]), self.state.settings.cors_origins)
            await (self.app if stranger is None else WebSocketClose(1008, "foreign page"))(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        settings = self.state.settings
        limit = settings.max_upload_bytes if scope["path"].endswith("/upload") else settings.max_body_bytes
        exchange = _Exchange(scope, receive, send, request_id, limit)
        try:
            await (self._refusal(scope, headers, limit) or self.app)(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.left = True
        except Exception as error:
            if exchange.status:
                raise
            log.exception("unforeseen error", exc_info=error)
            await _INTERNAL(scope, receive, exchange.send)
        finally:
            self._count_failure(scope, headers, exchange.status)
            exchange.finish()
            structlog.contextvars.unbind_contextvars("request_id")

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes], limit: int) -> Response | None:
        """The answer to a request that goes no further."""
        length = headers.get(b"content-length", b"0")
        if not (length.isdigit() and len(length) <= 18):
            return problem(400, "bad_request", "Content-Length must be a number.")
        if int(length) > limit:
            return problem(413, "too_large", f"A body must not exceed {limit} bytes.", "Send smaller batches, or upload a file.")
        if self.state.settings.auth_mode == "off" and (stranger := stranger_in(headers, self.state.settings.cors_origins)):
            return problem(403, "foreign_page", f"Without authentication only this machine may ask, not {stranger!r}.", FOREIGN_HINT)
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            return problem(422, "invalid", "Addresses must not hold the character NUL.")
        wait = 0 if scope["path"] in QUIET else self._wait(scope, headers)
        if wait:
            return problem(
                429, "rate_limited", f"Too many requests; wait {wait} seconds.", "Send fewer, or batches.", {"Retry-After": str(wait)}
            )
        return None

    def _wait(self, scope: Scope, headers: dict[bytes, bytes]) -> int:
        limits = self.state.limits
        if limits is None or (limits.requests is None and limits.failures is None):
            return 0
        address, token = address_of(scope), bearer_in(headers)
        proven = token and self._is_proven(token)
        if token and not proven and (wait := limits.wait_for_attempt(address)):
            return wait
        return limits.wait_for_request(f"token {hash(token)}" if proven else address)

    def _is_proven(self, token: str) -> bool:
        now = self.state.clock()
        tokens = self.state.tokens
        return self.state.keys.remembered(token, now) is not None or (tokens is not None and tokens.remembered(token, now) is not None)

    def _count_failure(self, scope: Scope, headers: dict[bytes, bytes], status: int) -> None:
        if status == 401 and self.state.limits is not None and bearer_in(headers):
            self.state.limits.count_failure(address_of(scope))


def stranger_in(headers: dict[bytes, bytes], origins: str) -> str | None:
    """The foreign name under which a browser was brought to ask; None for programs and pages of this machine.

    A page of any site can send requests to a loopback address, and by a name of its own that points there read the
    answers too; `Origin` and `Host` tell.
    """
    origin = headers.get(b"origin", b"").decode("latin-1")
    if origin and origin not in origins_in(origins) and not is_loopback(host_in(origin)):
        return origin
    host = headers.get(b"host", b"").decode("latin-1")
    return host if host and not is_loopback(host_in(f"//{host}")) else None


def host_in(address: str) -> str:
    """The host of an address, without port and brackets; empty where there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


_INTERNAL = problem(500, "internal", "The service made a mistake; it is logged under the request id.")


class _Exchange:
    """One request and what became of it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str, limit: int) -> None:
        self.scope, self.raw_receive, self.raw_send = scope, receive, send
        self.request_id, self.limit = request_id, limit
        self.started = time.perf_counter()
        self.status = 0
        self.seen = 0
        self.whole = self.left = False

    async def receive(self) -> Message:
        """The next piece of the body, up to the bound."""
        message = await self.raw_receive()
        if message["type"] == "http.request":
            self.seen += len(message.get("body", b""))
            self.whole = not message.get("more_body", False)
            if self.seen > self.limit:
                raise TooLongError(self.limit)
        elif not self.whole:
            self.left = True
        return message

    async def send(self, message: Message) -> None:
        """The next piece of the answer, its head made safe."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._safe([*message.get("headers", [])])
        await self.raw_send(message)

    def _safe(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        there = {name.lower(): value for name, value in headers}
        extra = [*ALWAYS, (b"x-request-id", self.request_id.encode())]
        if not there.get(b"content-type", b"").startswith((b"text/html", b"text/css", b"text/javascript", b"application/javascript")):
            extra += OF_DATA
        if self.scope.get("scheme") == "https":
            extra.append(OVER_TLS)
        return headers + [(name, value) for name, value in extra if name not in there]

    def finish(self) -> None:
        """Count and log it."""
        seconds = time.perf_counter() - self.started
        route: Any = self.scope.get("route")
        path = getattr(route, "path", "unmatched")
        method = self.scope["method"] if self.scope["method"] in METHODS else "other"
        status = CLIENT_LEFT if self.left or not self.status else self.status
        counter_of(method, path, status).inc()
        timer_of(method, path).observe(seconds)
        if path not in QUIET:
            log.info("request", method=method, route=path, status=status, milliseconds=round(seconds * 1e3, 2))


def bearer_in(headers: dict[bytes, bytes]) -> str:
    """The bearer token of a request; empty without one."""
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def address_of(scope: Scope) -> str:
    """The sender's address; of IPv6 the network of 64 bits that one subscriber has."""
    client = scope.get("client")
    if client is None:
        return "unknown"
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return str(client[0])
    if isinstance(address, ipaddress.IPv4Address) or address.ipv4_mapped is not None:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))
