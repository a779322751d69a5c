"""Does the effect of one experiment depend on the arm of the other? One row a treatment.

Each treatment of either experiment is tested against the arms of the other, on the
primary metric of the experiment that it belongs to: that its effect, a difference of
outcomes on the absolute scale, is the same in every arm. Rates are tested by maximum
likelihood of the additive model and Pearson's statistic, means by the difference of
differences with HC3 (two arms) or Cochran's Q (more). A row that was not tested says
why, and a pair of which a row was not tested has no "no interaction" to show.

References: stats/interactions.py; Benjamini & Hochberg (1995), JRSS B 57, 289-300.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.diagnostics.pair_cells import MeanOutcome, Outcome, PairCells, Side
from fairtrial.errors import UsageError
from fairtrial.stats.batch import ROUNDING
from fairtrial.stats.interaction_mde import visible_interaction
from fairtrial.stats.interactions import Successes, additive_interaction_test
from fairtrial.stats.multiplicity import adjust
from fairtrial.stats.result import check_alpha
from fairtrial.stats.tails import interval_of

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

MIN_USERS = 100
"""Units that each cell of a row must have (IN-27)."""
MIN_EXPECTED = 25
"""Converters, and units that did not convert, that each cell must be expected to have at the pooled rate (IN-27)."""
CORRECTION: Literal["benjamini-hochberg"] = "benjamini-hochberg"
DEPENDENT = 0.001
"""p below which assignment in the two experiments is called dependent (IN-29)."""

Reason = Literal[
    "mutual_exclusion_group",
    "not_concurrent",
    "no_shared_users",
    "no_metric",
    "unsupported_metric",
    "no_control_variant",
    "too_few_shared_users",
    "too_few_conversions",
    "no_variance",
]
"""Why a row was not tested; the first that applies (IN-26)."""
REASONS: tuple[Reason, ...] = (
    "mutual_exclusion_group",
    "not_concurrent",
    "no_shared_users",
    "no_metric",
    "unsupported_metric",
    "no_control_variant",
    "too_few_shared_users",
    "too_few_conversions",
    "no_variance",
)
Method = Literal["additive_pearson", "hc3_z", "cochran_q"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmEffect:
    """The effect of a treatment among the units of one arm of the other experiment.

    Attributes:
        arm: That arm.
        n_control: Units of the tested experiment's control.
        n_treatment: Units of the treatment.
        conversions_control: Successes of the control; None for a metric that is not a rate.
        conversions_treatment: Successes of the treatment.
        rate_control: Rate or mean of the control; None without units.
        rate_treatment: Rate or mean of the treatment.
        effect: rate_treatment - rate_control.
        relative_lift: effect / rate_control; None where that is 0.
    """

    arm: str
    n_control: int
    n_treatment: int
    conversions_control: int | None
    conversions_treatment: int | None
    rate_control: float | None
    rate_treatment: float | None
    effect: float | None
    relative_lift: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InteractionTest:
    """One treatment of one experiment against the arms of the other (IN-25).

    Attributes:
        tested_experiment_id: Key of the experiment whose effect is compared.
        treatment: Its treatment; None where it has no control, so that nothing can be compared.
        by_experiment_id: Key of the experiment by whose arms it is compared.
        metric: What was measured; None without a metric.
        arms: The effect in each of its arms that hold shared units.
        scale: Always `absolute`: effects are differences.
        interaction: With two arms the effect in the other's treatment less that in its control; with more the largest
            effect less the smallest.
        ci_low: Lower end of its interval, uncorrected; None with more than two arms.
        ci_high: Upper end.
        smallest_visible: Interaction that the test would find with 80 % power at this row's own alpha, before correction.
        method: Which test.
        statistic: Pearson's chi-square, z, or Cochran's Q.
        df: Degrees of freedom; None for z.
        p_value: Two-sided, uncorrected.
        corrected_p_value: Corrected over the family.
        correction_method: How.
        confidence_level: 1 - alpha.
        is_significant: corrected_p_value < alpha; None while untested.
        unavailable_reason: Why it was not tested.
    """

    tested_experiment_id: str
    treatment: str | None
    by_experiment_id: str
    metric: str | None
    arms: tuple[ArmEffect, ...]
    scale: Literal["absolute"] = "absolute"
    interaction: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    smallest_visible: float | None = None
    method: Method | None = None
    statistic: float | None = None
    df: int | None = None
    p_value: float | None = None
    corrected_p_value: float | None = None
    correction_method: str = CORRECTION
    confidence_level: float = 0.95
    is_significant: bool | None = None
    unavailable_reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependence:
    """Does being in one experiment depend on the arm one has in the other (IN-29)?

    Attributes:
        experiment_id: Experiment whose arms are compared.
        in_experiment_id: Experiment that their units are in, or not.
        shares: By arm, the share of its units that are in the other experiment; None for an arm without units.
        chi_square: Pearson's statistic of the two-by-J table; None where nothing can be compared.
        df: Degrees of freedom.
        p_value: P(chi-square > that).
        is_dependent: p < 0.001.
    """

    experiment_id: str
    in_experiment_id: str
    shares: dict[str, float | None]
    chi_square: float | None
    df: int | None
    p_value: float | None
    is_dependent: bool | None


def interaction_tests(
    cells: PairCells, *, alpha: float = 0.05, min_users: int = MIN_USERS, min_expected: float = MIN_EXPECTED
) -> tuple[InteractionTest, ...]:
    """The rows of a pair: first the treatments of A by the arms of B, then the treatments of B by the arms of A.

    Args:
        cells: The shared cells.
        alpha: Error rate in (0, 1).
        min_users: Units that each cell of a row needs.
        min_expected: For rates, converters and others that each cell must be expected to have.

    Returns:
        Uncorrected rows; `correct` fills in the rest over whatever family they belong to.

    Raises:
        UsageError: alpha lies outside (0, 1) or a floor is too low.
    """
    check_alpha(alpha)
    if min_users < 2 or min_expected < 1:
        raise UsageError(f"The floors must be at least 2 units and 1 expected converter a cell, got {min_users} and {min_expected}.")
    floors = min_users, min_expected
    return tuple(row for table in (cells, cells.swapped()) for row in _side(table, alpha, *floors))


def correct(rows: Sequence[InteractionTest], *, alpha: float = 0.05) -> tuple[InteractionTest, ...]:
    """Rows with p-values corrected by Benjamini-Hochberg over all of them that were tested.

    Args:
        rows: All rows of the family: of one pair, or of every pair of a scan.
        alpha: Rate of false discoveries among what is called significant, in (0, 1).
    """
    check_alpha(alpha)
    tested = [place for place, row in enumerate(rows) if row.p_value is not None]
    corrected = list(rows)
    if tested:
        p_values = np.array([rows[place].p_value for place in tested], dtype=np.float64)
        adjusted = adjust(p_values, CORRECTION, alpha=alpha).p_adjusted
        for place, value in zip(tested, adjusted.tolist(), strict=True):
            row = rows[place]
            corrected[place] = replace(row, corrected_p_value=value, is_significant=value < alpha)
    return tuple(corrected)


def has_interaction(rows: Sequence[InteractionTest]) -> bool | None:
    """True where a corrected row is significant, False where all were tested and none is, else None (IN-28)."""
    if any(row.is_significant for row in rows):
        return True
    return False if rows and all(row.is_significant is not None for row in rows) else None


def why_untested(rows: Sequence[InteractionTest]) -> Reason | None:
    """The first reason, in their order, of the rows that were not tested; None where all were or one is significant."""
    if has_interaction(rows) is not None:
        return None
    given = {row.unavailable_reason for row in rows}
    return next((reason for reason in REASONS if reason in given), None)


def assignment_dependence(cells: PairCells) -> tuple[Dependence, Dependence]:
    """Is the share of A's units that are in B the same in every arm of A, and the reverse?

    Returns:
        First by the arms of A, then by the arms of B.

    References:
        Pearson (1900), Philosophical Magazine 50, 157-175; without continuity correction.
    """
    return _dependence(cells.a, cells.b.key, cells.n.sum(axis=1)), _dependence(cells.b, cells.a.key, cells.n.sum(axis=0))


def _dependence(side: Side, other: str, inside: Counts) -> Dependence:
    units = np.array(side.units, dtype=np.float64)
    shares = {arm: both / n if n else None for arm, both, n in zip(side.arms, inside.tolist(), side.units, strict=True)}
    some = units > 0.0
    n, x = units[some], inside[some].astype(np.float64)
    pooled = x.sum() / n.sum() if some.any() else 0.0
    if some.sum() < 2 or not 0.0 < pooled < 1.0:
        return Dependence(
            experiment_id=side.key, in_experiment_id=other, shares=shares, chi_square=None, df=None, p_value=None, is_dependent=None
        )
    chi_square = float(((x - n * pooled) ** 2 / (n * pooled * (1.0 - pooled))).sum())
    df = int(some.sum()) - 1
    p_value = float(special.chdtrc(df, chi_square))
    return Dependence(
        experiment_id=side.key,
        in_experiment_id=other,
        shares=shares,
        chi_square=chi_square,
        df=df,
        p_value=p_value,
        is_dependent=p_value < DEPENDENT,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    """Control and treatment in the arms of the other experiment that hold shared units: arrays of shape (2, J)."""

    arms: tuple[str, ...]
    n: Counts
    mean: Floats
    m2: Floats
    successes: Counts | None


def _side(cells: PairCells, alpha: float, min_users: int, min_expected: float) -> list[InteractionTest]:
    """Rows of A's treatments by the arms of B."""
    outcome, control = cells.outcome_a, cells.a.control
    reason = _reason(cells)
    rows: list[InteractionTest] = []
    for treatment in cells.a.treatments or (None,):
        row = InteractionTest(
            tested_experiment_id=cells.a.key,
            treatment=treatment,
            by_experiment_id=cells.b.key,
            metric=None if isinstance(outcome, str) else outcome.metric,
            arms=(),
            confidence_level=1.0 - alpha,
        )
        if treatment is None or control is None or isinstance(outcome, str):
            rows.append(replace(row, unavailable_reason=reason))
            continue
        part = _slice(cells, outcome, [cells.a.arms.index(control), cells.a.arms.index(treatment)])
        row = replace(row, arms=_arms(part))
        why = reason or _too_few(part, min_users, min_expected)
        rows.append(replace(row, unavailable_reason=why) if why else _tested(row, part, alpha))
    return rows


def _slice(cells: PairCells, outcome: Outcome, pair: list[int]) -> _Slice:
    some = [place for place in range(len(cells.b.arms)) if cells.n[pair, place].any()]
    used = sorted(some, key=lambda place: cells.b.arms[place] != cells.b.control)  # the control first, so that a sign has a meaning
    n = cells.n[pair][:, used]
    arms = tuple(cells.b.arms[place] for place in used)
    if isinstance(outcome, MeanOutcome):
        return _Slice(arms=arms, n=n, mean=outcome.mean[pair][:, used], m2=outcome.m2[pair][:, used], successes=None)
    x = outcome.successes[pair][:, used]
    rate = np.divide(x, n, out=np.zeros(n.shape), where=n > 0)
    return _Slice(arms=arms, n=n, mean=rate, m2=n * rate * (1.0 - rate), successes=x)


def _reason(cells: PairCells) -> Reason | None:
    """What forbids every test of A's treatments."""
    if cells.exclusion_group is not None or not cells.concurrent:
        return "not_concurrent" if cells.exclusion_group is None else "mutual_exclusion_group"
    if cells.shared == 0:
        return "no_shared_users"
    if isinstance(cells.outcome_a, str):
        return cells.outcome_a
    return "no_control_variant" if not cells.a.treatments else None


def _arms(part: _Slice) -> tuple[ArmEffect, ...]:
    arms: list[ArmEffect] = []
    for place, arm in enumerate(part.arms):
        n_c, n_t = (int(n) for n in part.n[:, place])
        x_c, x_t = (None, None) if part.successes is None else (int(x) for x in part.successes[:, place])
        mean_c, mean_t = (float(part.mean[row, place]) if n else None for row, n in enumerate((n_c, n_t)))
        effect = None if mean_c is None or mean_t is None else mean_t - mean_c
        arms.append(
            ArmEffect(
                arm=arm,
                n_control=n_c,
                n_treatment=n_t,
                conversions_control=x_c,
                conversions_treatment=x_t,
                rate_control=mean_c,
                rate_treatment=mean_t,
                effect=effect,
                relative_lift=None if effect is None or mean_c is None or mean_c == 0.0 else effect / mean_c,
            )
        )
    return tuple(arms)


def _too_few(part: _Slice, min_users: int, min_expected: float) -> Reason | None:
    n = part.n
    if n.shape[1] < 2 or int(n.min()) < min_users:
        return "too_few_shared_users"
    if part.successes is not None:
        pooled = float(part.successes.sum()) / float(n.sum())
        return "too_few_conversions" if float(n.min()) * min(pooled, 1.0 - pooled) < min_expected else None
    return None if bool((part.m2 > n * (ROUNDING * np.abs(part.mean)) ** 2).all()) else "no_variance"


def _tested(row: InteractionTest, part: _Slice, alpha: float) -> InteractionTest:
    if part.successes is None:
        return _tested_means(row, part, alpha)
    control, treatment = (
        [Successes(successes=int(x), n=int(n)) for x, n in zip(part.successes[side].tolist(), part.n[side].tolist(), strict=True)]
        for side in (0, 1)
    )
    found = additive_interaction_test(control, treatment)
    row = replace(row, method="additive_pearson", statistic=found.chi_square, df=found.df, p_value=found.p_value)
    return _sized(row, part.mean[1] - part.mean[0], (part.m2 / part.n.astype(np.float64) ** 2).sum(axis=0), alpha)


def _tested_means(row: InteractionTest, part: _Slice, alpha: float) -> InteractionTest:
    effects = part.mean[1] - part.mean[0]
    variances = (part.m2 / (part.n - 1.0) ** 2).sum(axis=0)
    if effects.size == 2:
        z = float(effects[1] - effects[0]) / math.sqrt(float(variances.sum()))
        row = replace(row, method="hc3_z", statistic=z, p_value=2.0 * float(special.ndtr(-abs(z))))
        return _sized(row, effects, variances, alpha)
    weights = 1.0 / variances
    common = float((weights * effects).sum() / weights.sum())
    q = float((weights * (effects - common) ** 2).sum())
    df = len(part.arms) - 1
    row = replace(row, method="cochran_q", statistic=q, df=df, p_value=float(special.chdtrc(df, q)))
    return _sized(row, effects, variances, alpha)


def _sized(row: InteractionTest, effects: Floats, variances: Floats, alpha: float) -> InteractionTest:
    """How large the interaction is, and the smallest that could have been seen."""
    visible = float(visible_interaction(variances, alpha=alpha))
    if effects.size > 2:
        return replace(row, interaction=float(effects.max() - effects.min()), smallest_visible=visible)
    interaction = float(effects[1] - effects[0])
    low, high = interval_of(interaction, math.sqrt(float(variances.sum())), math.inf, alpha=alpha)
    return replace(row, interaction=interaction, ci_low=low.item(), ci_high=high.item(), smallest_visible=visible)
