"""What is asked of made-up data, and where its randomness comes from."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from fairtrial.errors import UsageError

LABEL = "synthetic"
"""The column, true in every row, that marks what was made up."""
FEWEST, MOST = 20, 20_000_000
"""Units that can be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to make.

    Attributes:
        seed: Not negative; equal seeds give equal data.
        units: How many, in [20, 20,000,000]; None for the planned size.
        effect: Relative effect on the primary metric of every treatment, > -1; None for the planned MDE in the good direction.
        correlation: Of covariates, strata and segments with the outcome they stand beside, in (-1, 1); None for what is planned.
        late: Events after the window for each event in it, in [0, 10].
        duplicates: Share of events that are sent twice, in [0, 1].
        contaminated: Share of the assigned control units that are exposed to the first treatment, and feel it, in [0, 1].
    """

    seed: int
    units: int | None = None
    effect: float | None = None
    correlation: float | None = None
    late: float = 0.0
    duplicates: float = 0.0
    contaminated: float = 0.0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"A seed must be >= 0, got {self.seed}.")
        if self.units is not None and not FEWEST <= self.units <= MOST:
            raise UsageError(f"Units must lie in [{FEWEST}, {MOST:,}], got {self.units}.")
        if self.effect is not None and not -1.0 < self.effect < math.inf:
            raise UsageError(f"A relative effect must be a finite fraction > -1, got {self.effect:g}.", hint="0.08 is +8%.")
        if self.correlation is not None and not -1.0 < self.correlation < 1.0:
            raise UsageError(f"A correlation must lie in (-1, 1), got {self.correlation:g}.")
        if not 0.0 <= self.late <= 10.0:
            raise UsageError(
                f"The share of late events must lie in [0, 10], got {self.late:g}.", hint="0.1 is one late event for ten in time."
            )
        if not 0.0 <= self.duplicates <= 1.0:
            raise UsageError(f"The share of events sent twice must lie in [0, 1], got {self.duplicates:g}.", hint="0.02 is one in fifty.")

        if not 0.0 <= self.contaminated <= 1.0:
            raise UsageError(
                f"The share of contaminated controls must lie in [0, 1], got {self.contaminated:g}.", hint="0.1 is one in ten."
            )

    def stream(self, *purpose: str) -> np.random.Generator:
        """Randomness of one purpose alone, so that asking for more of one thing leaves the others as they are."""
        digest = hashlib.sha256("\0".join(purpose).encode("utf-8", "surrogatepass")).digest()
        return np.random.default_rng([self.seed, int.from_bytes(digest[:8], "big")])
