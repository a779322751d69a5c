"""Counts of a model's requests by window: cheap to make, and those of several processes add."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS_PER_E = 100.0
"""Bins of the latency histogram per factor e: each is 1 % wide."""

SHORTEST_MS, LONGEST_MS = 1e-3, 86_400_000.0
"""Latencies are counted within these; what is no number is counted as the longest, for unknown is not healthy."""


@dataclass(slots=True)
class Cell:
    """Counts of one model in one window.

    Attributes:
        n: Requests.
        errors: Failed.
        timeouts: Of these, too late.
        over: By limit of a latency quantile, requests that took longer.
    """

    n: int = 0
    errors: int = 0
    timeouts: int = 0
    over: list[int] = field(default_factory=list[int])


@dataclass(slots=True)
class ModelCounts:
    """Counts of one model over the run.

    Attributes:
        windows: By window.
        n: Requests in all.
        mean_ms: Mean latency.
        m2_ms: Centred sum of squares of the latencies.
        bins: Latencies by bin of 1 %, rounded up.
    """

    windows: dict[int, Cell] = field(default_factory=dict[int, Cell])
    n: int = 0
    mean_ms: float = 0.0
    m2_ms: float = 0.0
    bins: dict[int, int] = field(default_factory=dict[int, int])

    def observe(self, window: int, latency_ms: float, limits: Sequence[float], *, error: bool, timeout: bool) -> None:
        """Count a request; a timeout took longer than any limit."""
        if not latency_ms < LONGEST_MS:
            latency_ms = LONGEST_MS
        cell = self.windows.get(window)
        if cell is None:
            cell = self.windows[window] = Cell(over=[0] * len(limits))
        cell.n += 1
        cell.errors += error
        cell.timeouts += timeout
        for place, limit in enumerate(limits):
            if latency_ms <= limit and not timeout:
                break
            cell.over[place] += 1
        self.n += 1
        off = latency_ms - self.mean_ms
        self.mean_ms += off / self.n
        self.m2_ms += off * (latency_ms - self.mean_ms)
        place = math.ceil(math.log(max(latency_ms, SHORTEST_MS)) * BINS_PER_E)
        self.bins[place] = self.bins.get(place, 0) + 1

    def copy(self) -> ModelCounts:
        """The counts of this moment, which stay as they are."""
        windows = {at: Cell(cell.n, cell.errors, cell.timeouts, cell.over.copy()) for at, cell in self.windows.items()}
        return ModelCounts(windows=windows, n=self.n, mean_ms=self.mean_ms, m2_ms=self.m2_ms, bins=self.bins.copy())

    def add(self, theirs: ModelCounts) -> None:
        """Add the counts of another process (Chan, Golub & LeVeque 1983 for the latencies)."""
        for at, cell in theirs.windows.items():
            mine = self.windows.setdefault(at, Cell(over=[0] * len(cell.over)))
            mine.n, mine.errors, mine.timeouts = mine.n + cell.n, mine.errors + cell.errors, mine.timeouts + cell.timeouts
            mine.over = [a + b for a, b in zip(mine.over, cell.over, strict=True)]
        n = self.n + theirs.n
        if n:
            gap = theirs.mean_ms - self.mean_ms
            self.m2_ms += theirs.m2_ms + gap * gap * self.n * theirs.n / n
            self.mean_ms += gap * theirs.n / n
        self.n = n
        for place, count in theirs.bins.items():
            self.bins[place] = self.bins.get(place, 0) + count

    @property
    def variance_ms(self) -> float:
        """Sample variance of the latencies; 0 below two requests."""
        return self.m2_ms / (self.n - 1) if self.n > 1 else 0.0

    def total(self, what: str) -> int:
        """Requests with `errors` or `timeouts` in all."""
        return sum(int(getattr(cell, what)) for cell in self.windows.values())

    def histogram(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Edges of the latency bins in ms, and how many latencies lie at or below each; of every bin with latencies both edges."""
        places = sorted({edge for place in self.bins for edge in (place - 1, place)})
        return np.exp(np.asarray(places, dtype=np.float64) / BINS_PER_E), np.cumsum([self.bins.get(place, 0) for place in places])

    def as_json(self) -> dict[str, Any]:
        """The counts as JSON."""
        return {
            "windows": {str(at): [cell.n, cell.errors, cell.timeouts, *cell.over] for at, cell in self.windows.items()},
            "n": self.n,
            "mean_ms": self.mean_ms,
            "m2_ms": self.m2_ms,
            "bins": {str(place): count for place, count in self.bins.items()},
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> ModelCounts:
        """The counts from their JSON."""
        windows = {int(at): Cell(numbers[0], numbers[1], numbers[2], list(numbers[3:])) for at, numbers in given["windows"].items()}
        bins = {int(place): int(count) for place, count in given["bins"].items()}
        return cls(windows=windows, n=given["n"], mean_ms=given["mean_ms"], m2_ms=given["m2_ms"], bins=bins)
