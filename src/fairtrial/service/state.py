"""What one running service holds: settings, database, clock, and the keys it has proven."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from fairtrial.service.access.keys import KeyRing
from fairtrial.service.settings import Settings
from fairtrial.storage import Database

Clock = Callable[[], dt.datetime]
"""Tells the time, aware and in UTC."""


def utc_now() -> dt.datetime:
    """The time of this machine."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """Shared by all requests of one process.

    Attributes:
        settings: As the process was started.
        database: The open database.
        clock: The time; tests set it.
        keys: API keys proven lately.
    """

    settings: Settings
    database: Database
    clock: Clock
    keys: KeyRing
