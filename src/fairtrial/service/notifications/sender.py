"""Sending one message to one target: e-mail, chat or a webhook, by Apprise.

The address of a target holds secrets, so it goes nowhere but to Apprise: not into the
database, not into a log, not into an error.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import SecretStr

LONGEST_SECONDS = 30.0
"""A target that has not answered by then has not taken the message."""

STATUS = re.compile(r"error=(\d{3})")
"""How Apprise names the HTTP status that a target answered with."""


class Sender(Protocol):
    """What carries a message."""

    def send(self, target: str, title: str, body: str) -> str | None:
        """Send it; None when it was taken, else why not, without secrets."""
        ...


class AppriseSender:
    """Sends by the addresses of the settings."""

    def __init__(self, targets: Mapping[str, SecretStr], *, seconds: float = LONGEST_SECONDS) -> None:
        self._targets, self._seconds = targets, seconds

    def send(self, target: str, title: str, body: str) -> str | None:
        """Send one message, within a bounded time.

        Args:
            target: Name in the settings.
            title: One line.
            body: Plain text.
        """
        address = self._targets.get(target)
        if address is None:
            return "The settings name no such target (FAIRTRIAL_ALERT_TARGETS)."
        answers: list[str | None] = []
        work = threading.Thread(target=lambda: answers.append(_attempt(address, title, body)), name="fairtrial-send", daemon=True)
        work.start()
        work.join(self._seconds)
        return answers[0] if answers else f"The target did not answer within {self._seconds:g} seconds."


def _attempt(address: SecretStr, title: str, body: str) -> str | None:
    import apprise  # noqa: PLC0415 - heavy, and needed only where there is somebody to tell

    heard = _Statuses()
    library = logging.getLogger("apprise")
    library.propagate = False  # its lines may hold parts of an address, those of low levels all of it
    library.setLevel(logging.WARNING)
    library.addHandler(heard)
    try:
        one: Any = apprise.Apprise()
        if not one.add(address.get_secret_value()):
            return "Its address is none that Apprise knows (FAIRTRIAL_ALERT_TARGETS)."
        if one.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT):
            return None
    except Exception as error:  # noqa: BLE001 - whatever a plug-in of a foreign service raises, the message was not taken
        return f"The target could not be reached ({type(error).__name__})."
    finally:
        library.removeHandler(heard)
    return "The target could not be reached." if heard.status is None else f"The target answered with status {heard.status}."


class _Statuses(logging.Handler):
    """Listens to what an attempt was answered with; Apprise may send from a thread of its own."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.status: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the status that a line names."""
        found = STATUS.search(record.getMessage())
        if found is not None:
            self.status = found.group(1)
