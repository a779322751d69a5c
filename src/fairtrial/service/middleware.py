"""Around every request: an id, a bound on the body, one log line, counters. Plain ASGI, for it is on every path."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fairtrial.service.problems import problem

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
SECURITY_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]

REQUESTS = Counter("fairtrial_http_requests_total", "Requests by method, route and status.", ["method", "route", "status"])
SECONDS = Histogram(
    "fairtrial_http_request_seconds",
    "Seconds from the first byte in to the last byte out.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
QUIET = {"/healthz", "/readyz", "/metrics"}

log = structlog.get_logger("fairtrial.service")


class TooLongError(Exception):
    """The body went past its bound while it was read."""


class RequestFrame:
    """Gives each request an id, holds it to a size, logs and counts it."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, max_upload_bytes: int) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        exchange = _Exchange(scope, send, request_id)
        limit = self.max_upload_bytes if scope["path"].endswith("/upload") else self.max_body_bytes
        try:
            if int(headers.get(b"content-length", b"0") or 0) > limit:
                await _too_long(limit)(scope, receive, exchange.send)
            else:
                await self.app(scope, _bounded(receive, limit), exchange.send)
        except TooLongError:
            if not exchange.status:
                await _too_long(limit)(scope, receive, exchange.send)
        except ValueError:
            if exchange.status:
                raise
            await problem(400, "bad_request", "Content-Length must be a number.")(scope, receive, exchange.send)
        finally:
            exchange.finish()
            structlog.contextvars.unbind_contextvars("request_id")


class _Exchange:
    """One request and what became of it."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self.scope, self.raw_send = scope, send
        self.request_id = request_id
        self.started = time.perf_counter()
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), *SECURITY_HEADERS, (b"x-request-id", self.request_id.encode())]
        await self.raw_send(message)

    def finish(self) -> None:
        seconds = time.perf_counter() - self.started
        route: Any = self.scope.get("route")
        path = getattr(route, "path", "unmatched")
        REQUESTS.labels(self.scope["method"], path, str(self.status or 499)).inc()
        SECONDS.labels(self.scope["method"], path).observe(seconds)
        if path not in QUIET:
            log.info(
                "request",
                method=self.scope["method"],
                path=self.scope["path"],
                status=self.status or 499,
                milliseconds=round(seconds * 1e3, 2),
            )


def _too_long(limit: int) -> Any:
    return problem(413, "too_large", f"A body must not exceed {limit} bytes.", "Send smaller batches, or upload a file.")


def _bounded(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > limit:
                raise TooLongError
        return message

    return bounded
