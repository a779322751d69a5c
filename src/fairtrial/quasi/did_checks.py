"""What a difference in differences rests on, and what can be seen to speak against it.

The assumptions in words, the grade that they allow, and the findings every
estimator of this family shares: how many clusters the error rests on, whether
units began at different times, whether the waves hold different units.

References: few clusters: Cameron, Gelbach & Miller (2008), REStat 90, 414-427; few treated ones:
MacKinnon & Webb (2017), J. Applied Econometrics 32, 233-254.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.diagnostics.finding import Finding
from fairtrial.quasi.estimate import EvidenceGrade, GradeLevel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FEW_CLUSTERS = 30
FEW_TREATED_CLUSTERS = 10
"""By CR1 a 5% test errs 12.7% of the time with 5 of 50 clusters treated, 6.9% with 10 of 50 (1,000 runs each)."""
PARALLEL_TRENDS = "Without the treatment the treated would have changed as the others did (parallel trends)."
NO_ANTICIPATION = "Nobody changed before the treatment began because it was coming (no anticipation)."
NO_SPILLOVER = "The treatment of some did not touch the others (no spillover)."
ASSUMPTIONS = (PARALLEL_TRENDS, NO_ANTICIPATION, NO_SPILLOVER)
UNTESTABLE = "nobody was randomised, and parallel trends after the start cannot be tested"


def trends_grade(design: Literal["did", "staggered_did"], *, level: GradeLevel = "moderate", because: str = UNTESTABLE) -> EvidenceGrade:
    """The grade of an estimate that rests on parallel trends.

    Args:
        design: Whether units began at one time or at several.
        level: `moderate` where the trends before were tested beside it, `weak` where they were not.
        because: What keeps the level from being higher, a clause without a full stop.
    """
    return EvidenceGrade(level=level, design=design, rests_on=PARALLEL_TRENDS, because=f"Not higher: {because}.")


def check_clusters(clusters: int, treated: int, *, by_kind: bool = False) -> list[Finding]:
    """Findings on the number of clusters that a cluster-robust error rests on.

    Args:
        clusters: Clusters in all.
        treated: Clusters with treated rows.
        by_kind: Whether the error is one by kind of cluster (`few_clusters`), which counts how few they are.
    """
    if by_kind:
        return _on_few(clusters, min(treated, clusters - treated))
    if treated < FEW_TREATED_CLUSTERS or clusters - treated < FEW_TREATED_CLUSTERS:
        side = min(treated, clusters - treated)
        return [
            Finding(
                code="few_treated_clusters",
                severity="warning",
                message=f"Only {side} of {clusters} clusters are on one side: a clustered error is too small then.",
                action="Use placebo inference (synthetic control, permutation over units), and do not read this p-value.",
                numbers={"clusters": clusters, "treated_clusters": treated},
            )
        ]
    if clusters < FEW_CLUSTERS:
        return [
            Finding(
                code="few_clusters",
                severity="info",
                message=f"The standard error rests on {clusters} clusters; with few of them it is too small on average.",
                action="Read the interval as somewhat too narrow.",
                numbers={"clusters": clusters},
            )
        ]
    return []


def began_of(units: Ints, periods: Ints, dose: Floats) -> Ints:
    """Place of each unit's first period with a dose, the number of periods where there is none, shape (units,).

    Args:
        units: Place of each row's unit, shape (n,).
        periods: Place of each row's period, shape (n,).
        dose: How much of the row's period was under treatment, shape (n,).
    """
    began = np.full(int(units.max()) + 1, int(periods.max()) + 1)
    np.minimum.at(began, units[dose > 0.0], periods[dose > 0.0])
    return began


def timing_findings(units: Ints, periods: Ints, dose: Floats, negative: float) -> list[Finding]:
    """Findings on adoption at different times and on treatments that end.

    Args:
        units: Place of each row's unit, shape (n,).
        periods: Place of each row's period, shape (n,).
        dose: How much of the row's period was under treatment, shape (n,).
        negative: Share of treated rows that enter with a negative weight.
    """
    never = int(periods.max()) + 1
    began = began_of(units, periods, dose)
    cohorts = np.unique(began[began < never])
    found: list[Finding] = []
    if cohorts.size > 1:
        found.append(
            Finding(
                code="staggered_adoption",
                severity="warning",
                message=f"Units began at {cohorts.size} different times; {negative:.0%} of treated rows enter with a negative weight.",
                action="Use the staggered estimators (kind did with a cohort column): they compare with units not yet treated only.",
                numbers={"cohorts": cohorts.size, "negative_weights": negative},
            )
        )
    if ((dose <= 0.0) & (periods > began[units])).any():
        found.append(
            Finding(
                code="treatment_ends",
                severity="warning",
                message="Some units left the treatment again; the estimate takes its effect to end at once.",
                action="Leave rows after the end out, or study the end apart.",
            )
        )
    return found


def wave_findings(members: Ints, after: NDArray[np.bool_], groups: int) -> list[Finding]:
    """Units seen before or after only: the two waves then hold different units.

    Args:
        members: Place of each row's unit or cluster, shape (n,).
        after: Whether the row is from after the start, shape (n,).
        groups: Number of units or clusters.
    """
    waves = np.bincount(members, after, groups)
    rows = np.bincount(members, minlength=groups)
    lone = int(((waves == 0) | (waves == rows)).sum())
    if lone in {0, groups}:
        return []
    return [
        Finding(
            code="one_wave_only",
            severity="info" if lone < 0.1 * groups else "warning",
            message=f"{lone} of {groups} units were seen only before or only after: attrition may look like an effect.",
            action="Compare with the units seen both times (balanced sample), and ask why the others are missing.",
            numbers={"units": lone, "of": groups},
        )
    ]


def _on_few(clusters: int, side: int) -> list[Finding]:
    """What an error by kind of cluster still rests on, where one side has few of them."""
    if side >= FEW_TREATED_CLUSTERS:
        return []
    if side < 2:
        return [
            Finding(
                code="few_treated_clusters",
                severity="warning",
                message=f"Only {side} of {clusters} clusters is on one side: it is taken to vary as the others do.",
                action="Use placebo inference (synthetic control, permutation over units) where it may vary more than they.",
                numbers={"clusters": clusters, "smaller_side": side},
            )
        ]
    return [
        Finding(
            code="few_treated_clusters",
            severity="info",
            message=f"Only {side} of {clusters} clusters are on one side: the interval is as wide as so few clusters make it.",
            action="It holds where clusters' own shocks are about normal; look whether one cluster makes the effect.",
            numbers={"clusters": clusters, "smaller_side": side},
        )
    ]
