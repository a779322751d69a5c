"""A small real HTTP server that behaves, or misbehaves, like a customer data platform."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KEY = "meiro-key-of-1234567890"


class SmallCdp:
    """Lists by path, pages of them by cursor, exports; and for a path a list of answers to give first.

    Attributes:
        lists: Rows by path.
        first: By path, functions that answer the first requests in their own way.
        seen: Method, path, query and headers of every request.
        bodies: Bodies of POSTs.
    """

    def __init__(self) -> None:
        self.lists: dict[str, list] = {"/api/v1/segments": [{"id": "vip"}], "/api/v1/attributes": [], "/api/v1/events": []}
        self.first: dict[str, list[Callable]] = {}
        self.seen: list[tuple[str, str, dict, dict]] = []
        self.bodies: list[dict] = []
        self.statuses: list[str] = []
        self.export: dict = {"id": "e1"}
        self.key = KEY
        self.address = ""
        self.stopped = threading.Event()

    def count(self, path: str) -> int:
        return sum(1 for _, seen, _, _ in self.seen if seen == path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def cdp(self) -> SmallCdp:
        return self.server.cdp

    def log_message(self, *arguments: object) -> None:
        del arguments

    def send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def send_json(self, value: object, status: int = 200) -> None:
        self.send(status, json.dumps(value).encode())

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.cdp.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.answer()

    def answer(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.cdp.seen.append((self.command, parts.path, query, dict(self.headers)))
        waiting = self.cdp.first.get(parts.path)
        if waiting:
            waiting.pop(0)(self)
        elif self.headers.get("Authorization") != f"Bearer {self.cdp.key}":
            self.send_json({"message": f"bad key {self.headers.get('Authorization')}"}, 401)
        elif self.command == "POST" and parts.path == "/api/v1/exports":
            self.send_json({**self.cdp.export, "status": "queued"}, 201)
        elif parts.path == f"/api/v1/exports/{self.cdp.export['id']}":
            self.send_json({**self.cdp.export, "status": self.cdp.statuses.pop(0) if self.cdp.statuses else "completed"})
        elif parts.path in self.cdp.lists:
            self.page(self.cdp.lists[parts.path], int(query.get("cursor", 0)), int(query.get("limit", 100)))
        else:
            self.send_json({}, 404)

    def page(self, rows: list, start: int, limit: int) -> None:
        end = start + limit
        self.send_json({"data": rows[start:end], "total": len(rows), "next_cursor": str(end) if end < len(rows) else None})


@contextmanager
def small_cdp():
    """The server on a free port of this machine, until the block ends."""
    cdp = SmallCdp()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.cdp = cdp
    server.daemon_threads = True
    cdp.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield cdp
    finally:
        cdp.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def status(code: int, body: bytes = b"{}", **headers: str) -> Callable:
    """Answer with a status."""
    return lambda handler: handler.send(code, body, **headers)


def raw(body: bytes, **headers: str) -> Callable:
    """Answer 200 with a body of any kind."""
    return lambda handler: handler.send(200, body, **headers)


def half_a_page(handler: _Handler) -> None:
    """Announce a body and hang up in the middle of it."""
    body = json.dumps({"data": [{"id": f"p{i}"} for i in range(50)], "total": 50}).encode()
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.close()


def silence(handler: _Handler) -> None:
    """Say nothing."""
    handler.cdp.stopped.wait(20)
    handler.close_connection = True


def slow_body(handler: _Handler) -> None:
    """A byte of the body now and then."""
    handler.send_response(200)
    handler.send_header("content-length", "100000")
    handler.end_headers()
    _drip(handler)


def slow_head(handler: _Handler) -> None:
    """A byte of the head now and then."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-long: ")
    _drip(handler)


def _drip(handler: _Handler) -> None:
    until = time.monotonic() + 20
    try:
        while time.monotonic() < until and not handler.cdp.stopped.is_set():
            handler.wfile.write(b"1")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass
    handler.close_connection = True
