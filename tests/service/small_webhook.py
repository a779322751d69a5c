"""A real HTTP server that takes what alerts are sent to it: it can fail at first, hang, or trickle."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Webhook:
    """What came, and how to answer.

    Attributes:
        got: Bodies of every request, those that were refused too.
        taken: Bodies of those that were answered with 200.
        fail: Answers with 500 to be given first.
        hang: Seconds to wait before any answer.
        before_answer: Called between taking a message and answering.
    """

    def __init__(self) -> None:
        self.got: list[dict] = []
        self.taken: list[dict] = []
        self.fail = 0
        self.hang = 0.0
        self.before_answer = lambda: None
        self.port = 0
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"json://user:hush-hush@127.0.0.1:{self.port}/secret-path"


@contextmanager
def webhook():
    """A server on a free port of this machine."""
    state = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.got.append(body)
                failing = state.fail > 0
                state.fail -= failing
            time.sleep(state.hang)
            if not failing:
                with state.lock:
                    state.taken.append(body)
                state.before_answer()
            try:
                self.send_response(500 if failing else 200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")  # as Slack's webhooks do
            except OSError:
                pass

        def log_message(self, *args: object) -> None:
            del args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
