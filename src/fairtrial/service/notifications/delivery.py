"""From the outbox to the targets: claimed, sent, marked; retried with back-off.

What holds: every message is tried at least once, two workers never have the same one,
and one that a target took is not sent again. When a worker is killed between sending
and marking, nobody knows whether the message arrived; it is then set aside as failed,
said so, and sent again only when an ADMIN asks for it. A target that answers with an
error, or not at all in time, is tried again: should it have kept the message all the
same, it gets it twice, as with any sender.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from prometheus_client import Counter
from sqlalchemy.orm import Session

from fairtrial.errors import ConflictError
from fairtrial.service.access.roles import Actor
from fairtrial.service.audit import record_change
from fairtrial.service.notifications.sender import Sender
from fairtrial.service.problems import NotFoundError
from fairtrial.storage import Database
from fairtrial.storage.outbox import claim_message, find_message, give_up_hanging, has_due, mark_delivered, mark_failed
from fairtrial.storage.tables import OutboxMessage

FIRST_WAIT_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 3600.0
MOST_ATTEMPTS = 8
"""About two hours of trying."""

HANGING_SECONDS = 300.0
"""A claim this old is of a worker that died: sending takes a tenth of it at most."""

MOST_AT_ONCE = 500
"""Messages of one round."""

MESSAGES = Counter("fairtrial_outbox_attempts_total", "Attempts to deliver a message, by what came of it.", ["outcome"])

log = structlog.get_logger("fairtrial.notifications")


@dataclass(slots=True, kw_only=True)
class Delivered:
    """What a round did.

    Attributes:
        delivered: Messages that were taken.
        failed: Attempts that were not.
        unknown: Messages set aside because their worker died.
    """

    delivered: int = 0
    failed: int = 0
    unknown: int = 0


class Postman:
    """Delivers what is due.

    Args:
        database: Where the outbox is.
        sender: What carries a message.
        clock: The time.
        rng: Spreads retries of many workers.
        stopped: Says whether to end early.
    """

    def __init__(
        self,
        database: Database,
        sender: Sender,
        clock: Callable[[], dt.datetime],
        *,
        rng: random.Random | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database, self._sender, self._clock, self._stopped = database, sender, clock, stopped
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    def deliver(self) -> Delivered:
        """Send every message that is due, one after the other.

        Raises:
            StorageError: The database does not answer; a message whose outcome could not be noted is set aside later.
        """
        done = Delivered()
        now = self._clock()
        with self._database.reading() as session:
            if not has_due(session, now):
                return done
        with self._database.writing() as session:
            done.unknown = give_up_hanging(session, claimed_before=now - dt.timedelta(seconds=HANGING_SECONDS), now=now)
        if done.unknown:
            MESSAGES.labels("unknown").inc(done.unknown)
            log.error("messages set aside: their worker died while it sent them", messages=done.unknown)
        for _ in range(MOST_AT_ONCE):
            if self._stopped() or not self._one(done):
                break
        return done

    def _one(self, done: Delivered) -> bool:
        with self._database.writing() as session:
            message = claim_message(session, self._name, now=self._clock())
        if message is None:
            return False
        why = self._sender.send(message.target, message.title, message.body)
        now = self._clock()
        with self._database.writing() as session:
            if why is None:
                mark_delivered(session, message, now=now)
            else:
                mark_failed(session, message, why=why, now=now, again_at=self._again_at(message.attempts, now))
        MESSAGES.labels("delivered" if why is None else "failed").inc()
        if why is None:
            done.delivered += 1
        else:
            done.failed += 1
            log.warning("message not delivered", target=message.target, message_id=message.id, attempt=message.attempts, why=why)
        return True

    def _again_at(self, attempts: int, now: dt.datetime) -> dt.datetime | None:
        if attempts >= MOST_ATTEMPTS:
            return None
        return now + dt.timedelta(seconds=wait_seconds(attempts, self._rng))


def wait_seconds(attempts: int, rng: random.Random) -> float:
    """Seconds until the next attempt: doubled each time up to an hour, and between half and the whole of it by chance.

    Args:
        attempts: Made so far, at least one.
        rng: Where chance comes from.
    """
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (attempts - 1))
    return longest * (0.5 + rng.random() / 2)


def retry(session: Session, message_id: int, *, actor: Actor, now: dt.datetime) -> OutboxMessage:
    """Send a message again that was given up.

    Raises:
        NotFoundError: There is no such message.
        ConflictError: It was delivered, or still waits.
    """
    found = find_message(session, message_id, for_update=True)
    if found is None:
        raise NotFoundError(f"Message {message_id} not found.", hint="GET /api/v1/outbox")
    if found.failed_at is None:
        state = "was delivered" if found.delivered_at is not None else "still waits for its turn"
        raise ConflictError(f"Only a message that was given up is sent again; message {message_id} {state}.")
    before = {"attempts": found.attempts, "last_error": found.last_error}
    found.failed_at, found.attempts, found.next_attempt_at = None, 0, now
    session.flush()
    record_change(session, actor=actor, now=now, action="outbox.retry", on=("outbox", message_id), before=before)
    return found
