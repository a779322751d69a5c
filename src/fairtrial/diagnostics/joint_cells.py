"""Does one experiment's decision change with the arm of the other, and which combination of arms is best?

Within each arm of the other experiment a treatment helps, harms, or shows neither; the
decision changes where it helps in one arm and harms in another, or helps in one and not
in another *and* the interaction itself is shown. Without a shown interaction two arms
that look different are no evidence that they differ (the difference between significant
and not significant is not itself significant: Gelman & Stern 2006).

The best combination is judged by multiple comparisons with the best: every other cell is
compared with the leading one, corrected by Holm. Those that cannot be told from the leader
are contenders; a best combination is named only where it has none.

References: Gelman & Stern (2006), The American Statistician 60, 328-331; Hsu (1996),
Multiple Comparisons, chapter 4; Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.diagnostics.pair_cells import MeanOutcome, PairCells
from fairtrial.diagnostics.pair_tests import MIN_USERS, InteractionTest
from fairtrial.stats.multiplicity import adjust
from fairtrial.stats.result import check_alpha
from fairtrial.stats.tails import interval_of

Floats = NDArray[np.float64]

Answer = Literal["helps", "harms", "not_shown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WithinArm:
    """What a treatment does among the units of one arm of the other experiment.

    Attributes:
        arm: That arm.
        effect: Its effect there, in the metric's unit.
        ci_low: Lower end of the interval at the level of Holm's correction over the arms.
        ci_high: Upper end.
        p_value: Two-sided, corrected by Holm over the arms.
        answer: Whether it helps or harms there, in the metric's wanted direction.
    """

    arm: str
    effect: float
    ci_low: float
    ci_high: float
    p_value: float
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionByArm:
    """The answer for one treatment in every arm of the other experiment.

    Attributes:
        tested_experiment_id: Key of the treatment's experiment.
        treatment: The treatment.
        by_experiment_id: Key of the other.
        arms: What it does in each of its arms.
        changes: Whether the decision depends on the arm; None where the interaction was not tested.
        sentence: The same in words.
    """

    tested_experiment_id: str
    treatment: str
    by_experiment_id: str
    arms: tuple[WithinArm, ...]
    changes: bool | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JointCell:
    """One combination of arms.

    Attributes:
        arm_a: Arm of A.
        arm_b: Arm of B.
        n: Units.
        mean: Rate or mean of the metric.
        std_error: Its standard error.
        p_value: Of no difference from the leading cell, corrected by Holm; None for the leader.
    """

    arm_a: str
    arm_b: str
    n: int
    mean: float
    std_error: float
    p_value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BestCell:
    """The combinations of arms in order, best first, on one metric.

    Attributes:
        metric: The metric.
        cells: All combinations with enough units.
        contenders: How many of them, the leader included, cannot be told from the best.
        best: The one best combination (arm of A, arm of B); None while there are contenders.
        left_out: Combinations with too few units.
    """

    metric: str
    cells: tuple[JointCell, ...]
    contenders: int
    best: tuple[str, str] | None
    left_out: int


def decisions_by_arm(
    cells: PairCells, rows: Sequence[InteractionTest], *, alpha: float = 0.05, min_users: int = MIN_USERS
) -> tuple[DecisionByArm, ...]:
    """Whether the decision on each treatment depends on the arm of the other experiment.

    Args:
        cells: The shared cells.
        rows: Their corrected rows (`interaction_tests`, `correct`).
        alpha: Error rate in (0, 1), of all arms of a treatment together.
        min_users: Units that each cell needs; arms with fewer are left out.

    Returns:
        One answer a row that has effects, in their order.
    """
    check_alpha(alpha)
    found: list[DecisionByArm] = []
    for row in rows:
        table = cells if row.tested_experiment_id == cells.a.key else cells.swapped()
        arms = _within(table, row, alpha, min_users)
        if row.treatment is None or not arms:
            continue
        answers = {arm.answer for arm in arms}
        changes = None if row.is_significant is None else row.is_significant and len(answers) > 1
        found.append(
            DecisionByArm(
                tested_experiment_id=row.tested_experiment_id,
                treatment=row.treatment,
                by_experiment_id=row.by_experiment_id,
                arms=arms,
                changes=changes,
                sentence=_sentence(row, arms, changes=changes),
            )
        )
    return tuple(found)


def best_cell(cells: PairCells, *, alpha: float = 0.05, min_users: int = MIN_USERS) -> tuple[BestCell, ...]:
    """The best combination of arms on the primary metric of A and on that of B; once where they are the same.

    Args:
        cells: The shared cells.
        alpha: Chance, at most, that a cell is called worse than the best although it is not, in (0, 1).
        min_users: Units that a cell needs to be compared.
    """
    check_alpha(alpha)
    found: list[BestCell] = []
    for outcome, side in ((cells.outcome_a, cells.a), (cells.outcome_b, cells.b)):
        if isinstance(outcome, str) or any(best.metric == outcome.metric for best in found):
            continue
        ranked = _ranked(cells, higher=side.higher_is_better, of_b=side is cells.b, min_users=min_users)
        if not ranked:
            continue
        contenders = 1 + sum(cell.p_value is not None and cell.p_value >= alpha for cell in ranked)
        leader = ranked[0]
        found.append(
            BestCell(
                metric=outcome.metric,
                cells=ranked,
                contenders=contenders,
                best=(leader.arm_a, leader.arm_b) if contenders == 1 and len(ranked) > 1 else None,
                left_out=int(cells.n.size) - len(ranked),
            )
        )
    return tuple(found)


def _moments(cells: PairCells, *, of_b: bool) -> tuple[Floats, Floats]:
    """Mean and its variance in each cell, 0 where it is empty."""
    outcome = cells.outcome_b if of_b else cells.outcome_a
    n = cells.n.astype(np.float64)
    if isinstance(outcome, str):
        return np.zeros_like(n), np.zeros_like(n)
    if isinstance(outcome, MeanOutcome):
        mean, m2 = outcome.mean, outcome.m2
    else:
        mean = np.divide(outcome.successes, n, out=np.zeros_like(n), where=n > 0.0)
        m2 = n * mean * (1.0 - mean)
    return mean, np.divide(m2, n * (n - 1.0), out=np.zeros_like(n), where=n > 1.0)


def _within(table: PairCells, row: InteractionTest, alpha: float, min_users: int) -> tuple[WithinArm, ...]:
    if row.treatment is None or table.a.control is None or isinstance(table.outcome_a, str):
        return ()
    control, treatment = table.a.arms.index(table.a.control), table.a.arms.index(row.treatment)
    mean, variance = _moments(table, of_b=False)
    places = [
        table.b.arms.index(arm.arm)
        for arm in row.arms
        if min(arm.n_control, arm.n_treatment) >= min_users and variance[[control, treatment], table.b.arms.index(arm.arm)].sum() > 0.0
    ]
    if not places:
        return ()
    effects = mean[treatment, places] - mean[control, places]
    errors = np.sqrt(variance[treatment, places] + variance[control, places])
    adjusted = adjust(2.0 * special.ndtr(-np.abs(effects / errors)), "holm", alpha=alpha)
    arms: list[WithinArm] = []
    for at, place in enumerate(places):
        low, high = interval_of(float(effects[at]), float(errors[at]), math.inf, alpha=float(adjusted.local_alpha[at]))
        good = (effects[at] > 0.0) == table.a.higher_is_better
        shown = adjusted.p_adjusted[at] < alpha
        arms.append(
            WithinArm(
                arm=table.b.arms[place],
                effect=float(effects[at]),
                ci_low=low.item(),
                ci_high=high.item(),
                p_value=float(adjusted.p_adjusted[at]),
                answer="not_shown" if not shown else "helps" if good else "harms",
            )
        )
    return tuple(arms)


def _sentence(row: InteractionTest, arms: Sequence[WithinArm], *, changes: bool | None) -> str:
    words = {"helps": "helps", "harms": "harms", "not_shown": "shows no effect"}
    listed = ", ".join(f"{words[arm.answer]} in {arm.arm}" for arm in arms)
    name = f"{row.treatment} of {row.tested_experiment_id}"
    if changes is None:
        return f"{name}: not judged by arm of {row.by_experiment_id}, for the interaction was not tested ({row.unavailable_reason})."
    if changes:
        return f"The decision on {name} depends on {row.by_experiment_id}: it {listed}."
    if row.is_significant:
        return f"The size of the effect of {name} depends on {row.by_experiment_id}, the decision does not: it {listed}."
    return f"Nothing shows that the decision on {name} depends on {row.by_experiment_id}."


def _ranked(cells: PairCells, *, higher: bool, of_b: bool, min_users: int) -> tuple[JointCell, ...]:
    mean, variance = _moments(cells, of_b=of_b)
    sign = 1.0 if higher else -1.0
    places = [(i, j) for i in range(len(cells.a.arms)) for j in range(len(cells.b.arms)) if cells.n[i, j] >= max(min_users, 2)]
    places.sort(key=lambda place: -sign * float(mean[place]))
    if not places:
        return ()
    leader = places[0]
    z = [_distance(mean, variance, leader, place) for place in places[1:]]
    corrected = [float(p) for p in adjust(2.0 * special.ndtr(-np.array(z)), "holm").p_adjusted] if z else list[float]()
    p_values: list[float | None] = [None, *corrected]
    return tuple(
        JointCell(
            arm_a=cells.a.arms[place[0]],
            arm_b=cells.b.arms[place[1]],
            n=int(cells.n[place]),
            mean=float(mean[place]),
            std_error=math.sqrt(float(variance[place])),
            p_value=p_value,
        )
        for place, p_value in zip(places, p_values, strict=True)
    )


def _distance(mean: Floats, variance: Floats, leader: tuple[int, int], place: tuple[int, int]) -> float:
    gap = abs(float(mean[leader] - mean[place]))
    spread = math.sqrt(float(variance[leader] + variance[place]))
    return gap / spread if spread > 0.0 else 0.0
