"""Readings made by hand, for tests of the evaluation floor."""

from collections.abc import Mapping

import numpy as np

from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.reading import ArmStats, Intake, OutcomeStats, Reading
from fairtrial.stats.result import Unavailable


def intake(rows: int, **changes) -> Intake:
    return Intake(
        **{"source": "memory", "engine": "memory", "fingerprint": "0" * 64, "shape": "units", "rows": rows, "units": rows} | changes
    )


def reading(arms: Mapping[str, Mapping[str, CoMoments | Moments | Unavailable]], n: Mapping[str, int] | None = None, **changes) -> Reading:
    """A reading from moments by arm and metric."""
    stats: dict[str, ArmStats] = {}
    for arm, outcomes in arms.items():
        found: dict[str, OutcomeStats | Unavailable] = {}
        for metric, moments in outcomes.items():
            if isinstance(moments, Unavailable):
                found[metric] = moments
            else:
                found[metric] = OutcomeStats(moments=CoMoments.of(moments) if isinstance(moments, Moments) else moments)
        units = n[arm] if n else max((m.n for m in outcomes.values() if not isinstance(m, Unavailable)), default=0)
        stats[arm] = ArmStats(n=units, outcomes=found)
    return Reading(arms=stats, intake=intake(sum(s.n for s in stats.values()), **changes))


def rate(successes: int, n: int) -> Moments:
    return Moments.from_successes(successes, n)


def values(*columns) -> CoMoments:
    return CoMoments.from_values(np.column_stack(columns))
