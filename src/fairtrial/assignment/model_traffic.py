"""Buckets of model traffic: the one use of MD5, kept for the routes it has already made.

    bucket = int(MD5("{user}_{experiment name}_{seed}"), 16) mod 10000

Users by their id, anonymous sessions by "session_{id}". Models own ranges of
buckets in declared order, so shares are multiples of 0.0001. Not a use of
cryptography: only evenness matters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from fairtrial.assignment.hashing import utf8
from fairtrial.assignment.ranges import Segment, exact_shares, move_borders
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


@dataclass(frozen=True, slots=True)
class ModelTraffic:
    """Who owns which buckets, and how they change hands when shares change.

    A challenger that grows takes buckets from the champion, one that shrinks gives them back to
    the champion: while the champion has enough, a user only ever moves between the champion and
    one challenger, and nobody moves between two models that keep their shares.

    Attributes:
        champion: The model in use.
        models: All models in declared order.
        ranges: Partition of 0..9999 into half-open ranges by model.
    """

    champion: str
    models: tuple[str, ...]
    ranges: tuple[Segment, ...]

    @classmethod
    def laid_out(cls, champion: str, allocation: Mapping[str, float]) -> ModelTraffic:
        """Ranges in declared order.

        Raises:
            UsageError: The champion has no share of its own, a share is no multiple of 0.0001, or they do not sum to 1.
        """
        if champion not in allocation:
            raise UsageError(f"The champion {champion!r} must stand in the allocation, got {list(allocation)}.")
        widths = bucket_ranges(allocation)
        ranges = tuple(Segment(low, high, model) for model, (low, high) in widths.items() if high > low)
        return cls(champion=champion, models=tuple(allocation), ranges=ranges)

    def model_of(self, bucket: int) -> str | None:
        """The model that owns a bucket; None where no range holds it."""
        return next((part.arm for part in self.ranges if part.low <= bucket < part.high), None)

    @property
    def shares(self) -> dict[str, float]:
        """Share of each model, in declared order."""
        return {model: sum(part.width for part in self.ranges if part.arm == model) / BUCKETS for model in self.models}

    def reallocated(self, allocation: Mapping[str, float]) -> ModelTraffic:
        """The same at other shares.

        Args:
            allocation: Share by model for all models, multiples of 0.0001 summing to 1.

        Raises:
            UsageError: A model is missing or unknown, or the shares break a rule.
        """
        if set(allocation) != set(self.models):
            raise UsageError(f"An allocation names every model and no other: {list(self.models)}, got {list(allocation)}.")
        wanted = {model: high - low for model, (low, high) in bucket_ranges({m: allocation[m] for m in self.models}).items()}
        held = {model: sum(part.width for part in self.ranges if part.arm == model) for model in self.models}
        shrunk = {model: held[model] if model == self.champion else min(held[model], wanted[model]) for model in self.models}
        freed = BUCKETS - sum(shrunk.values())
        ranges = move_borders(self.ranges, {**shrunk, FREED: freed})
        # What one challenger gives up goes to no other while the champion has enough of its own.
        grown = {model: max(shrunk[model], wanted[model]) for model in self.models if model != self.champion}
        taken = sum(grown.values()) - sum(shrunk[model] for model in grown)
        own = max(held[self.champion] - taken, 0)
        left = {model: grown.get(model, own) for model in self.models}
        ranges = move_borders(ranges, {**left, FREED: BUCKETS - sum(left.values())})
        return replace(self, ranges=_joined(replace(part, arm=self.champion) if part.arm == FREED else part for part in ranges))


FREED = "\0freed"
"""Owner, for a moment, of what challengers gave up; no model can have this name."""


def _joined(parts: Iterable[Segment]) -> tuple[Segment, ...]:
    """Ranges of one model that touch as one."""
    joined: list[Segment] = []
    for part in parts:
        if joined and joined[-1].arm == part.arm:
            part = replace(part, low=joined.pop().low)  # noqa: PLW2901 - the longer one stands for both
        joined.append(part)
    return tuple(joined)
