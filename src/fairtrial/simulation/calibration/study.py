"""A calibration study: one method over a grid of cases, measured against its promise.

In every case many experiments are simulated. Size is the share that rejects a true null
hypothesis; coverage the share whose interval holds the truth when there is an effect;
power the share that rejects then. A case is judged by exact binomial bounds (level 99%)
of its errors, by the marks of Bradley (1978, British Journal of Mathematical and
Statistical Psychology 31, 144-152): a test at alpha is right within 0.9 to 1.1 alpha, usable
within 0.5 to 1.5 alpha.

| verdict        | the error rate's bounds                                |
| -------------- | ------------------------------------------------------ |
| `keeps`        | do not lie above 1.1 alpha, nor below 0.5 alpha         |
| `conservative` | lie below 0.5 alpha: safe, but power is given away      |
| `strays`       | lie above 1.1 alpha                                     |
| `broken`       | lie above 1.5 alpha: the method should not be used here |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError
from fairtrial.simulation.monte_carlo import Measured, share_of

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
CaseVerdict = Literal["keeps", "conservative", "strays", "broken"]
Cost = Literal["cheap", "dear", "dearer", "dearest"]

BOUNDS_ALPHA = 0.01
RIGHT, USABLE, WASTEFUL = 1.1, 1.5, 0.5
RUNS: dict[tuple[Cost, bool], int] = {
    ("cheap", False): 20_000,
    ("dear", False): 3_000,
    ("dearer", False): 1_000,
    ("dearest", False): 400,
    ("cheap", True): 2_000,
    ("dear", True): 300,
    ("dearer", True): 100,
    ("dearest", True): 50,
}
"""Experiments a case, by what one costs and whether the study is to be quick."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulated:
    """What a method said in the experiments of a case, shape (runs,) each; None where it says no such thing.

    Attributes:
        rejected_null: Whether it rejected, the null hypothesis being true.
        covered: Whether its interval held the true effect.
        rejected_effect: Whether it rejected, the effect being there.
    """

    rejected_null: Booleans | None = None
    covered: Booleans | None = None
    rejected_effect: Booleans | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One point of a grid.

    Attributes:
        name: Short name, unique in the study.
        words: What it is, for people.
        simulate: Takes a number of runs and a source of randomness.
        cost: `dear` where a run cannot be vectorised, `dearer` where it is a fit or two, `dearest` where it resamples, filters or searches.
    """

    name: str
    words: str
    simulate: Callable[[int, np.random.Generator], Simulated]
    cost: Cost = "cheap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A method and the grid over which it is measured.

    Attributes:
        method: Its name, also that of its page.
        title: For people.
        promise: What it promises, in a sentence.
        alpha: Error rate promised.
        cases: The grid.
        note: What a reader should know besides; may be empty.
    """

    method: str
    title: str
    promise: str
    cases: tuple[Case, ...]
    alpha: float = 0.05
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What was measured in one case.

    Attributes:
        size: Share of rejections under the null; None where the method is no test.
        coverage: Share of intervals that hold the truth; None where it gives none.
        power: Share of rejections under the case's effect; None where the method is no test.
        verdict: Of size and coverage, the worse of the two.
    """

    name: str
    words: str
    size: Measured | None
    coverage: Measured | None
    power: Measured | None
    verdict: CaseVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """What was measured over the whole grid."""

    method: str
    title: str
    promise: str
    note: str
    alpha: float
    rows: tuple[CaseResult, ...]

    def of(self, *verdicts: CaseVerdict) -> tuple[CaseResult, ...]:
        """The cases with one of these verdicts."""
        return tuple(row for row in self.rows if row.verdict in verdicts)


def run_study(study: Study, *, quick: bool = False, rng: np.random.Generator, runs: int | None = None) -> StudyResult:
    """Measure a method.

    Args:
        study: The method and its grid.
        quick: Fewer runs.
        rng: Source of randomness.
        runs: Experiments a case, instead of what its cost calls for.

    Raises:
        UsageError: `runs` is below 1.
    """
    if runs is not None and runs < 1:
        raise UsageError(f"A study needs a run at least, got {runs}.")
    streams = rng.spawn(len(study.cases))
    rows = [_measure(case, study.alpha, runs or RUNS[case.cost, quick], stream) for case, stream in zip(study.cases, streams, strict=True)]
    return StudyResult(method=study.method, title=study.title, promise=study.promise, note=study.note, alpha=study.alpha, rows=tuple(rows))


def judged(errors: Sequence[Measured | None], alpha: float) -> CaseVerdict:
    """The verdict on error rates, by their exact bounds: the worst of them.

    Args:
        errors: Size, and one minus coverage; None where there is none.
        alpha: Error rate promised.
    """
    order: tuple[CaseVerdict, ...] = ("conservative", "keeps", "strays", "broken")
    found: list[CaseVerdict] = []
    for error in errors:
        if error is None:
            continue
        bounds = error.exact_bounds(alpha=BOUNDS_ALPHA)
        if bounds.low > USABLE * alpha:
            found.append("broken")
        elif bounds.low > RIGHT * alpha:
            found.append("strays")
        else:
            found.append("conservative" if bounds.high < WASTEFUL * alpha else "keeps")
    return max(found, key=order.index)


def joined(parts: Sequence[Simulated]) -> Simulated:
    """Several batches of experiments of one case as one.

    Args:
        parts: At least one; all say the same things.
    """
    return Simulated(
        rejected_null=_together([part.rejected_null for part in parts]),
        covered=_together([part.covered for part in parts]),
        rejected_effect=_together([part.rejected_effect for part in parts]),
    )


def _together(parts: Sequence[Booleans | None]) -> Booleans | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None


def _measure(case: Case, alpha: float, runs: int, rng: np.random.Generator) -> CaseResult:
    found = case.simulate(runs, rng)
    size = None if found.rejected_null is None else share_of(found.rejected_null)
    coverage = None if found.covered is None else share_of(found.covered)
    missed = None if found.covered is None else share_of(~found.covered)
    if size is None and coverage is None:
        raise UsageError(f"A case measures size or coverage, {case.name!r} measured neither.")
    return CaseResult(
        name=case.name,
        words=case.words,
        size=size,
        coverage=coverage,
        power=None if found.rejected_effect is None else share_of(found.rejected_effect),
        verdict=judged((size, missed), alpha),
    )
