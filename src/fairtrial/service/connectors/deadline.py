"""A transport whose requests end by a moment, whatever trickles in: the usual time-outs begin anew with every byte."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx


class DeadlineTransport(httpx.HTTPTransport):
    """The network, until a moment.

    Args:
        until: On the clock `time.monotonic`.
    """

    def __init__(self, until: float) -> None:
        super().__init__()
        self._pool = httpcore.ConnectionPool(ssl_context=httpx.create_ssl_context(), network_backend=_Backend(until))


def _left(until: float, timeout: float | None, error: type[Exception]) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise error
    return left if timeout is None else min(left, timeout)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, until: float) -> None:
        self.until, self.plain = until, httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        timeout = _left(self.until, timeout, httpcore.ConnectTimeout)
        return _Stream(self.plain.connect_tcp(host, port, timeout, local_address, socket_options), self.until)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        timeout = _left(self.until, timeout, httpcore.ConnectTimeout)
        return _Stream(self.plain.connect_unix_socket(path, timeout, socket_options), self.until)

    def sleep(self, seconds: float) -> None:
        self.plain.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, plain: httpcore.NetworkStream, until: float) -> None:
        self.plain, self.until = plain, until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.plain.read(max_bytes, _left(self.until, timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.plain.write(buffer, _left(self.until, timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self.plain.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = _left(self.until, timeout, httpcore.ConnectTimeout)
        return _Stream(self.plain.start_tls(ssl_context, server_hostname, timeout), self.until)

    def get_extra_info(self, info: str) -> Any:
        return self.plain.get_extra_info(info)
