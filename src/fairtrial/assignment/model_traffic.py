"""Buckets of model traffic: the one use of MD5, kept for the routes it has already made.

    bucket = int(MD5("{user}_{experiment name}_{seed}"), 16) mod 10000

Users by their id, anonymous sessions by "session_{id}". Models own ranges of
buckets in declared order, so shares are multiples of 0.0001. Not a use of
cryptography: only evenness matters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fractions import Fraction

from fairtrial.assignment.hashing import utf8
from fairtrial.assignment.ranges import exact_shares
from fairtrial.errors import UsageError

BUCKETS = 10_000


def md5_bucket(key: str) -> int:
    """The whole MD5 digest of a key as an integer, modulo 10,000.

    Raises:
        UsageError: The key is no Unicode text.
    """
    return int(hashlib.md5(utf8(key), usedforsecurity=False).hexdigest(), 16) % BUCKETS


def user_bucket(user: str, experiment_name: str, seed: int | str = 42) -> int:
    """Bucket of a user in 0..9999."""
    return md5_bucket(f"{user}_{experiment_name}_{seed}")


def session_bucket(session: str, experiment_name: str, seed: int | str = 42) -> int:
    """Bucket of an anonymous session in 0..9999, the same for as long as the session lasts."""
    return user_bucket(f"session_{session}", experiment_name, seed)


def bucket_ranges(allocation: Mapping[str, float]) -> dict[str, tuple[int, int]]:
    """Half-open ranges of buckets by model, cumulative in declared order.

    Args:
        allocation: Share by model, multiples of 0.0001 summing to 1.

    Raises:
        UsageError: A share is no multiple of 0.0001, or they do not sum to 1.
    """
    ranges: dict[str, tuple[int, int]] = {}
    low = 0
    for model, share in exact_shares(allocation).items():
        width: Fraction = share * BUCKETS
        if width.denominator != 1:
            raise UsageError(f"Shares of models must be multiples of 0.0001, got {allocation[model]} for {model!r}.")
        ranges[model] = (low, low + width.numerator)
        low += width.numerator
    return ranges


def model_at(bucket: int, ranges: Mapping[str, tuple[int, int]]) -> str | None:
    """The model that owns a bucket; None where no range holds it."""
    return next((model for model, (low, high) in ranges.items() if low <= bucket < high), None)
