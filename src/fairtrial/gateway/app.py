"""The gateway as an ASGI application: the prediction routes of both protocols, health, status and metrics."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import unquote

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from fairtrial._version import __version__
from fairtrial.gateway.traffic import Reply, Traffic, document, problem

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

MODELS = "/v2/models/"

log = logging.getLogger("fairtrial.gateway")


class Keeping(Protocol):
    """What runs beside the traffic."""

    async def open(self) -> None:
        """Begin."""
        ...

    async def close(self) -> None:
        """Lose nothing, and end."""
        ...

    def status(self) -> dict[str, Any]:
        """Where the experiment stands."""
        ...


class GatewayApp:
    """Serves predictions of one experiment.

    Args:
        traffic: The way of a prediction.
        keeper: What runs beside it.
    """

    def __init__(self, traffic: Traffic, keeper: Keeping) -> None:
        self.traffic, self.keeper = traffic, keeper
        served = traffic.served
        endpoint = served.serving.models[served.config.champion_model]
        self._plain = {"/predict", endpoint.path} if endpoint.protocol == "json" else set[str]()
        self._name = served.config.name
        self._most = served.serving.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the server's."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            reply = await self._reply(scope, receive)
            if reply is not None:
                await _send(send, reply)

    async def _reply(self, scope: Scope, receive: Receive) -> Reply | None:
        try:
            if scope["method"] == "POST":
                return await self._posted(scope, receive)
            if scope["method"] in {"GET", "HEAD"}:
                return await self._read(scope["path"])
            return problem(405, "method_not_allowed", f"The gateway takes GET and POST, got {scope['method']}.")
        except Exception:
            log.exception("unforeseen error")
            return problem(500, "internal", "The gateway made a mistake; it is logged.")

    async def _posted(self, scope: Scope, receive: Receive) -> Reply | None:
        path: str = scope["path"]
        if path not in self._plain and not self._is_inference(path):
            return self._unknown(path)
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        body = b"" if length.isdigit() and int(length) > self._most else await self._body(receive)
        if body is None:
            return None
        if len(body) > self._most or (length.isdigit() and int(length) > self._most):
            self.traffic.counts.refused += 1
            return problem(413, "too_large", f"A request body must not exceed {self._most} bytes.", "serving.max_body_bytes")
        return await self.traffic.predict(body, scope["headers"])

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; None when the caller went away; one byte too many stands for all that follow."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part: bytes = message.get("body", b"")
            parts.append(part)
            size += len(part)
            if size > self._most or not message.get("more_body", False):
                return b"".join(parts)

    def _is_inference(self, path: str) -> bool:
        return path.startswith(MODELS) and path.endswith("/infer") and self._names_us(path[len(MODELS) : -len("/infer")])

    def _names_us(self, name: str) -> bool:
        return self._name in {name, unquote(name)}

    def _unknown(self, path: str) -> Reply:
        where = sorted(self._plain) or [f"{MODELS}{self._name}/infer"]
        return problem(404, "not_found", f"There is no {path[:200]!r} here.", f"Predictions: POST {where[0]}.")

    async def _read(self, path: str) -> Reply:
        if path in FIXED:
            return FIXED[path](self)
        asked = path.removeprefix(MODELS)
        if path in {"/v2/health/ready", "/readyz"} or (asked != path and self._names_us(asked.removesuffix("/ready")) and "/" in asked):
            return await self._ready()
        if asked != path and self._names_us(asked):
            return document(200, await self._metadata(self.traffic.router.traffic.champion))
        return self._unknown(path)

    def live(self) -> Reply:
        """That the process answers."""
        return document(200, {"live": True})

    def status(self) -> Reply:
        """Where the experiment stands."""
        return document(200, self.keeper.status())

    def metrics(self) -> Reply:
        """Counters for Prometheus."""
        return Reply(status=200, body=generate_latest(), headers=[(b"content-type", CONTENT_TYPE_LATEST.encode())])

    def server(self) -> Reply:
        """V2 metadata of the server."""
        return document(200, {"name": "fairtrial", "version": __version__, "extensions": []})

    async def _ready(self) -> Reply:
        ready, reason = await self.traffic.upstream.is_ready(self.traffic.router.traffic.champion)
        return document(200 if ready else 503, {"name": self._name, "ready": ready, "reason": reason})

    async def _metadata(self, champion: str) -> dict[str, Any]:
        """V2 metadata: the champion's, under the experiment's name."""
        served = self.traffic.served
        versions = [champion, *served.config.challenger_models]
        told = await self.traffic.upstream.metadata(champion)
        return {**told, "name": self._name, "versions": versions}

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._open()
                except Exception as error:
                    log.exception("the gateway cannot start")
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _open(self) -> None:
        await self.keeper.open()  # first, for it may say no
        await self.traffic.upstream.open()
        await self.traffic.mirror.open()
        for model in self.traffic.served.serving.models:
            ready, reason = await self.traffic.upstream.is_ready(model)
            if not ready:  # it may come later; until then its users are answered by the champion, or told
                log.warning("the model %s is not ready: %s", model, reason)

    async def _close(self) -> None:
        try:
            await self.traffic.mirror.close()
            await self.keeper.close()
        finally:
            await self.traffic.upstream.close()


FIXED: dict[str, Callable[[GatewayApp], Reply]] = {
    "/healthz": GatewayApp.live,
    "/v2/health/live": GatewayApp.live,
    "/status": GatewayApp.status,
    "/metrics": GatewayApp.metrics,
    "/v2": GatewayApp.server,
}
"""Answers that need no model."""


async def _send(send: Send, reply: Reply) -> None:
    headers = [*reply.headers, (b"content-length", str(len(reply.body)).encode())]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
