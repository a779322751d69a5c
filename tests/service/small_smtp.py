"""A real SMTP server that takes what is mailed to it, or refuses it."""

from __future__ import annotations

import socketserver
import threading
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage


class Mailbox:
    """What came, and how to answer.

    Attributes:
        letters: Messages that were taken.
        to: Whom each was for, by the envelope.
        refuse: Messages to be refused first, with 451.
    """

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.to: list[list[str]] = []
        self.refuse = 0
        self.port = 0

    @property
    def address(self) -> str:
        return f"mailto://127.0.0.1:{self.port}/?from=fairtrial@lab.example&to=ops@lab.example&mode=insecure&smtp=127.0.0.1"


class Conversation(socketserver.StreamRequestHandler):
    """One connection; whatever is not told apart is granted."""

    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self) -> None:
        receivers: list[str] = []
        self.say("220 small")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"RCPT":
                receivers.append(line.decode().partition("<")[2].partition(">")[0])
            if word == b"DATA":
                self.say("354 go on")
                self.take(receivers)
            elif word == b"QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def take(self, receivers: list[str]) -> None:
        state = self.server.mailbox
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line[1:] if line.startswith(b"..") else line)
        if state.refuse > 0:
            state.refuse -= 1
            self.say("451 try later")
            return
        state.letters.append(message_from_bytes(b"".join(lines), policy=policy.default))
        state.to.append(list(receivers))
        self.say("250 taken")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def mailbox():
    """A server on a free port of this machine."""
    with Server(("127.0.0.1", 0), Conversation) as server:
        state = server.mailbox = Mailbox()
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join(10)
