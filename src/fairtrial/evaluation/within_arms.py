"""The verdict of an experiment among the units of each arm of another one, by its own rule.

The primary metric alone is read, without covariates, from the cells that two experiments
share; the rule, the error rate and the planned size stay those of the spec, so that an arm
with a part of the units rarely holds the planned number and the verdict says so.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fairtrial.decisions.decision import State, Verdict
from fairtrial.diagnostics.pair_cells import MeanOutcome, PairCells
from fairtrial.errors import FairtrialError
from fairtrial.evaluation.evaluate import evaluate
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import REGRESSIONS
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.reading import ArmStats, Intake, OutcomeStats, Reading
from fairtrial.stats.result import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictInArm:
    """What an experiment's rule says among the units of one arm of the other.

    Attributes:
        experiment_id: The experiment that is judged.
        by_experiment_id: The other.
        arm: Arm of the other.
        n: Units.
        verdict: None where there is none.
        state: `valid`, `invalid` or `not_enough_data`; None where it could not be judged.
        reason: Stable code of why, or the reason it could not be judged.
    """

    experiment_id: str
    by_experiment_id: str
    arm: str
    n: int
    verdict: Verdict | None
    state: State | None
    reason: str


def verdicts_within_arms(a: ExperimentSpec, b: ExperimentSpec, cells: PairCells) -> tuple[VerdictInArm, ...]:
    """The verdicts of both experiments, each in every arm of the other.

    Args:
        a: Spec of the first experiment of the cells.
        b: Spec of the second.
        cells: What they share.
    """
    return (*_of_one(a, cells), *_of_one(b, cells.swapped()))


def _of_one(spec: ExperimentSpec, cells: PairCells) -> tuple[VerdictInArm, ...]:
    if isinstance(cells.outcome_a, str) or cells.shared == 0:
        return ()
    plain = _primary_alone(spec)
    return tuple(_judged(plain, cells, place) for place in range(len(cells.b.arms)) if cells.n[:, place].any())


def _primary_alone(spec: ExperimentSpec) -> ExperimentSpec:
    """The spec with its primary metric alone, read from sums."""
    changes: dict[str, Any] = {"covariate": None} if hasattr(spec.primary, "covariate") else {}
    if getattr(spec.primary, "test", None) in REGRESSIONS:
        changes["test"] = "welch"
    return spec.model_copy(
        update={"metrics": (spec.primary.model_copy(update=changes),), "segments": None, "schedule": None, "business": None}
    )


def _judged(spec: ExperimentSpec, cells: PairCells, place: int) -> VerdictInArm:
    n = cells.n[:, place]
    judged = VerdictInArm(
        experiment_id=cells.a.key,
        by_experiment_id=cells.b.key,
        arm=cells.b.arms[place],
        n=int(n.sum()),
        verdict=None,
        state=None,
        reason="",
    )
    arms = {arm: _arm_stats(spec, cells, row, place) for row, arm in enumerate(cells.a.arms)}
    counts = json.dumps([cells.a.key, cells.b.key, place, n.tolist()])
    intake = Intake(
        source="shared units",
        engine="memory",
        fingerprint=hashlib.sha256(counts.encode()).hexdigest(),
        shape="units",
        rows=int(n.sum()),
        units=int(n.sum()),
    )
    try:
        decision = evaluate(spec, Reading(arms=arms, intake=intake)).decision
    except FairtrialError as error:
        return replace(judged, reason=error.code)
    return replace(judged, verdict=decision.verdict, state=decision.state, reason=decision.reason)


def _arm_stats(spec: ExperimentSpec, cells: PairCells, row: int, place: int) -> ArmStats:
    n, key, outcome = int(cells.n[row, place]), spec.primary.key, cells.outcome_a
    if n == 0 or isinstance(outcome, str):
        return ArmStats(n=0, outcomes={key: Unavailable(code="empty_arm", reason="The arm has no units.")})
    if isinstance(outcome, MeanOutcome):
        moments = Moments(n=n, mean=float(outcome.mean[row, place]), m2=float(outcome.m2[row, place]))
        return ArmStats(n=n, outcomes={key: OutcomeStats(moments=CoMoments.of(moments))})
    moments = Moments.from_successes(int(outcome.successes[row, place]), n)
    x = int(np.clip(outcome.successes[row, place], 0, 1))
    return ArmStats(n=n, outcomes={key: OutcomeStats(moments=CoMoments.of(moments), minimum=0.0 if x < n else 1.0, maximum=float(x > 0))})
