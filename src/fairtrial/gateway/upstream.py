"""Model servers over HTTP: connections that are kept, and an answer or a failure, never an exception."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import aiohttp

from fairtrial.serving.protocol import UnreadableAnswerError, as_object, prediction_in, readiness_of, target_of
from fairtrial.spec.serving import Endpoint, Reading

HOP_BY_HOP = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    b"host", b"content-length", b"accept-encoding", b"expect",
})  # fmt: skip
"""Headers that belong to one connection (RFC 9110, 7.6.1), or that the client makes itself."""

NOT_RETURNED = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "date", "server", "upgrade"}
)
READY_SECONDS = 2.0
IDLE_SECONDS = 4.0
"""How long a connection is kept without use: less than uvicorn and Node keep theirs (5 s), so it is seldom the server who ends it."""

Failure = Literal["error", "timeout"]


@dataclass(slots=True, kw_only=True)
class Answer:
    """What came of asking a model.

    Attributes:
        status: HTTP status; 0 when there was no answer.
        headers: Those that may be passed on.
        body: As it came.
        prediction: What it says; None when it failed.
        failure: Why it holds no prediction: `timeout`, or `error` for all else; None when it does.
        reason: The failure in words.
        latency_ms: From asking to the last byte, or to giving up.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    prediction: Any = None
    failure: Failure | None = None
    reason: str = ""
    latency_ms: float = 0.0

    @property
    def blames_the_request(self) -> bool:
        """Whether the model says that the request is wrong."""
        return 400 <= self.status < 500 and self.status not in {408, 429}


@dataclass(slots=True)
class _Connection:
    """Of one request: whether its connection was kept from an earlier one."""

    kept: bool = False


async def _note_reuse(_session: aiohttp.ClientSession, context: SimpleNamespace, _given: aiohttp.TraceConnectionReuseconnParams) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.kept = True


class Upstream:
    """One pool of connections to the models.

    Args:
        endpoints: Where each model answers.
        reading: What of an answer is the prediction.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], reading: Reading) -> None:
        self._endpoints = endpoints
        self._reading = reading
        self._targets = {name: target_of(name, endpoint) for name, endpoint in endpoints.items()}
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pool; call it inside the loop that will use it."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS)
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent",),
            trace_configs=[trace],
        )

    async def close(self) -> None:
        """Give every connection back."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, model: str, body: bytes, headers: list[tuple[bytes, bytes]], timeout_seconds: float) -> Answer:
        """Ask a model; whatever goes wrong is in the answer.

        A server may end a kept connection at the very moment of a request. That says nothing of the model, so the request is sent
        again, by another connection: a prediction may be computed twice, and never fails for having come at that moment.
        """
        started = time.perf_counter()
        answer = await self._asked(model, body, headers, timeout_seconds)
        answer.latency_ms = (time.perf_counter() - started) * 1000.0
        if answer.failure is None:
            try:
                answer.prediction = prediction_in(answer.body, self._endpoints[model].protocol, self._reading)
            except UnreadableAnswerError as error:
                answer.failure, answer.reason = "error", str(error)
        return answer

    async def _asked(self, model: str, body: bytes, headers: list[tuple[bytes, bytes]], timeout_seconds: float) -> Answer:
        given = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers if name not in HOP_BY_HOP]
        try:
            async with asyncio.timeout(timeout_seconds):
                response, read = await self._posted(self._targets[model], body, given)
        except TimeoutError:
            return Answer(status=0, headers=[], body=b"", failure="timeout", reason=f"no answer within {timeout_seconds:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(status=0, headers=[], body=b"", failure="error", reason=f"{type(error).__name__}: {error}")
        back = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in response.headers.items()
            if name.lower() not in NOT_RETURNED
        ]
        answer = Answer(status=response.status, headers=back, body=read)
        if not 200 <= response.status < 300:
            answer.failure, answer.reason = "error", f"status {response.status}"
        return answer

    async def _posted(self, url: str, body: bytes, headers: list[tuple[str, str]]) -> tuple[aiohttp.ClientResponse, bytes]:
        while True:
            connection = _Connection()
            try:
                response = await self._opened.post(url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=connection)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError, aiohttp.ClientOSError):
                if not connection.kept:
                    raise
            else:
                async with response:
                    return response, await response.read()

    async def get(self, url: str) -> Answer:
        """Read an address, for metadata and health."""
        try:
            async with asyncio.timeout(READY_SECONDS), self._opened.get(url, allow_redirects=False) as response:
                return Answer(status=response.status, headers=[], body=await response.read())
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(status=0, headers=[], body=b"", failure="error", reason=f"{type(error).__name__}: {error}")

    async def is_ready(self, model: str) -> tuple[bool, str]:
        """Whether a model says that it is ready, and why not; one that has no place to say it is asked whether anybody listens."""
        endpoint = self._endpoints[model]
        place = readiness_of(model, endpoint)
        answer = await self.get(place or endpoint.url + "/")
        if answer.failure is not None:
            return False, answer.reason
        return (True, "") if place is None or 200 <= answer.status < 300 else (False, f"status {answer.status}")

    async def metadata(self, model: str) -> dict[str, Any]:
        """What a V2 server says of a model; nothing where it says nothing."""
        endpoint = self._endpoints[model]
        if endpoint.protocol != "v2":
            return {"platform": "json", "inputs": [], "outputs": []}
        answer = await self.get(f"{endpoint.url}/v2/models/{endpoint.model or model}")
        told = as_object(answer.body) if answer.failure is None and answer.status == 200 else None
        return told or {"platform": "", "inputs": [], "outputs": []}

    @property
    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("open() comes first")
        return self._session
