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

LATENCY = "latency_ms"


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
class Mean:
    """Count, mean and centred sum of squares of a column, updated by value (Welford 1962) and by parts (Chan et al. 1983).

    Attributes:
        n: Values.
        mean: Their mean.
        m2: Sum of squared deviations from it.
    """

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0

    def observe(self, value: float) -> None:
        """Take a value in."""
        self.n += 1
        off = value - self.mean
        self.mean += off / self.n
        self.m2 += off * (value - self.mean)

    def add(self, theirs: Mean) -> None:
        """Take in the values of another."""
        n = self.n + theirs.n
        if n:
            gap = theirs.mean - self.mean
            self.m2 += theirs.m2 + gap * gap * self.n * theirs.n / n
            self.mean += gap * theirs.n / n
        self.n = n

    @property
    def variance(self) -> float:
        """Sample variance; 0 below two values."""
        return self.m2 / (self.n - 1) if self.n > 1 else 0.0


@dataclass(slots=True)
class ModelCounts:
    """Counts of one model over the run.

    Attributes:
        windows: By window.
        n: Requests in all.
        means: Of the latency and of other watched columns, by name.
        bins: Latencies by bin of 1 %, rounded up.
    """

    windows: dict[int, Cell] = field(default_factory=dict[int, Cell])
    n: int = 0
    means: dict[str, Mean] = field(default_factory=dict[str, Mean])
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
        place = math.ceil(math.log(max(latency_ms, SHORTEST_MS)) * BINS_PER_E)
        self.bins[place] = self.bins.get(place, 0) + 1
        self.observe_value(LATENCY, latency_ms)

    def observe_value(self, column: str, value: float) -> None:
        """Take in a value of a watched column."""
        mean = self.means.get(column)
        if mean is None:
            mean = self.means[column] = Mean()
        mean.observe(value)

    def copy(self) -> ModelCounts:
        """The counts of this moment, which stay as they are."""
        windows = {at: Cell(cell.n, cell.errors, cell.timeouts, cell.over.copy()) for at, cell in self.windows.items()}
        return ModelCounts(
            windows=windows,
            n=self.n,
            means={column: Mean(mean.n, mean.mean, mean.m2) for column, mean in self.means.items()},
            bins=self.bins.copy(),
        )

    def add(self, theirs: ModelCounts) -> None:
        """Add the counts of another process."""
        for at, cell in theirs.windows.items():
            mine = self.windows.setdefault(at, Cell(over=[0] * len(cell.over)))
            mine.n, mine.errors, mine.timeouts = mine.n + cell.n, mine.errors + cell.errors, mine.timeouts + cell.timeouts
            mine.over = [a + b for a, b in zip(mine.over, cell.over, strict=True)]
        self.n += theirs.n
        for column, mean in theirs.means.items():
            self.means.setdefault(column, Mean()).add(mean)
        for place, count in theirs.bins.items():
            self.bins[place] = self.bins.get(place, 0) + count

    def mean_of(self, column: str) -> Mean:
        """What is known of a column."""
        return self.means.get(column, Mean())

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
            "means": {column: [mean.n, mean.mean, mean.m2] for column, mean in self.means.items()},
            "bins": {str(place): count for place, count in self.bins.items()},
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> ModelCounts:
        """The counts from their JSON."""
        windows = {int(at): Cell(numbers[0], numbers[1], numbers[2], list(numbers[3:])) for at, numbers in given["windows"].items()}
        bins = {int(place): int(count) for place, count in given["bins"].items()}
        means = {column: Mean(*numbers) for column, numbers in given["means"].items()}
        return cls(windows=windows, n=given["n"], means=means, bins=bins)
