"""Cases whose experiments are simulated one after the other, for methods that read one data set at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError, UsageError
from fairtrial.simulation.calibration.samples import ALPHA
from fairtrial.simulation.calibration.study import Case, Cost, Simulated
from fairtrial.stats.result import Interval

Claim = tuple[bool | None, bool | None, bool | None]
"""Whether the null was rejected where it was true, the interval held the truth, the null was rejected where there was an effect."""


class Told(Protocol):
    """What an estimate says: `Estimate`, `QuasiEstimate` and the contrasts of other modules alike."""

    @property
    def p_value(self) -> float | None:
        """Of no effect."""
        ...

    @property
    def interval(self) -> Interval:
        """Of the effect."""
        ...


def repeated(name: str, words: str, once: Callable[[np.random.Generator], Claim], *, cost: Cost = "dearer") -> Case:
    """A case from one experiment, repeated.

    Args:
        name: Short name of the case.
        words: What it is.
        once: Simulates an experiment and says what the method claimed.
        cost: Of a run.
    """

    def simulate(runs: int, rng: np.random.Generator) -> Simulated:
        claims = [once(rng) for _ in range(runs)]
        null, covered, seen = (_column([claim[place] for claim in claims]) for place in range(3))
        return Simulated(rejected_null=null, covered=covered, rejected_effect=seen)

    return Case(name=name, words=words, simulate=simulate, cost=cost)


def claimed(null: Callable[[], Told] | None, found: Callable[[], Told], *, truth: float) -> Claim:
    """What a method claims of data without an effect and of data with one; what it refuses claims nothing.

    Args:
        null: Analyses data without an effect; None where only the interval is measured.
        found: Analyses data with an effect.
        truth: The effect.
    """
    quiet, loud = None if null is None else _asked(null), _asked(found)
    return (
        None if null is None else quiet is not None and _rejects(quiet),
        loud is None or loud.interval.low <= truth <= loud.interval.high,
        loud is not None and _rejects(loud),
    )


def _asked(call: Callable[[], Told]) -> Told | None:
    """The answer; None where the method says that the data do not suffice (not where it is called wrongly)."""
    try:
        return call()
    except UsageError:
        raise
    except DataError:
        return None


def _rejects(told: Told) -> bool:
    return told.p_value is not None and told.p_value < ALPHA


def _column(answers: Sequence[bool | None]) -> NDArray[np.bool_] | None:
    known = [answer for answer in answers if answer is not None]
    return np.array(known, dtype=np.bool_) if known else None
