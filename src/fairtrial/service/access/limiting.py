"""How often a caller may ask: a limit for each caller, and one on attempts to guess a token.

Counts live in this process: two processes allow twice as much. A caller is a proven
token, else an address; an unproven token is no identity, or everybody could use up
the share of somebody whose public id they know.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

from fairtrial.errors import UsageError


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one process.

    Attributes:
        requests: Of a caller; None for no limit.
        failures: Refused tokens of an address; None for no limit.
        window: Counts requests.
        attempts: Counts failures.
    """

    requests: RateLimitItem | None
    failures: RateLimitItem | None
    window: SlidingWindowCounterRateLimiter
    attempts: MovingWindowRateLimiter

    def wait_for_request(self, caller: str) -> int:
        """Count a request; seconds to wait when it is one too many, else 0."""
        if self.requests is None or self.window.hit(self.requests, "request", caller):
            return 0
        return _seconds_until(self.window.get_window_stats(self.requests, "request", caller).reset_time)

    def wait_for_attempt(self, address: str) -> int:
        """Seconds until an address may send an unproven token again; 0 when it may now."""
        if self.failures is None or self.attempts.test(self.failures, "failure", address):
            return 0
        return _seconds_until(self.attempts.get_window_stats(self.failures, "failure", address).reset_time)

    def count_failure(self, address: str) -> None:
        """A token of this address was refused."""
        if self.failures is not None:
            self.attempts.hit(self.failures, "failure", address)


def make_limits(requests: str, failures: str) -> Limits:
    """Limits as the settings write them.

    Args:
        requests: Such as `600/minute`; empty for none.
        failures: The same, of refused tokens.

    Raises:
        UsageError: One is not written like that.
    """
    return Limits(
        requests=parse_limit(requests),
        failures=parse_limit(failures),
        window=SlidingWindowCounterRateLimiter(MemoryStorage()),
        attempts=MovingWindowRateLimiter(MemoryStorage()),
    )


def parse_limit(text: str) -> RateLimitItem | None:
    """A limit such as `600/minute`; None for the empty text.

    Raises:
        UsageError: It is not written like that.
    """
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"A limit must be written like 600/minute, got {text!r}.") from error


def _seconds_until(moment: float) -> int:
    return max(1, math.ceil(moment - time.time()))
