"""Randomisation (permutation) inference under the design that made the assignment.

Under the sharp null hypothesis that the treatment adds `null` to every unit, all
outcomes are known under every assignment, and the test statistic's distribution
follows from the design alone: no sampling, no normality, exact at any n. Small
designs are enumerated; from larger ones assignments are drawn, and the observed
one counts as one more, p = (b + 1) / (m + 1) (Phipson & Smyth 2010), which keeps
the size exact for any number of draws. A two-sided p-value is twice the smaller
one-sided one.

The interval holds every constant effect that the test does not reject. For a
difference of means it needs no search: assignment z rejects no more beyond
(A - A_z) / (1 - B_z), with A_z and B_z the differences of outcomes and of the
observed treatment under z; the ends are quantiles of these.

Rejection says that the treatment does something to somebody. Where arms differ in
spread and in size, effects that cancel in the mean can be rejected as well: then
`studentised_permutation_test` is asymptotically right for the mean.

References: Fisher (1935), The Design of Experiments, section 21; Phipson & Smyth
(2010), Statistical Applications in Genetics and Molecular Biology 9, 39; Garthwaite
(1996), Biometrics 52, 1387-1393 (intervals); Chung & Romano (2013), Annals of
Statistics 41, 484-507 (studentised); Imbens & Rubin (2015), chapter 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.resampling.designs import Assignments, Booleans, Complete, Design, Plan, plan_of
from fairtrial.stats.resampling.smooth import CELLS
from fairtrial.stats.result import Alternative, Interval, Unavailable, check_alpha, check_alternative
from fairtrial.stats.samples import sample_of

Floats = NDArray[np.float64]
AssignmentStatistic = Callable[[Floats, Booleans], Floats]
"""From outcomes (n,) and assignments (m, n) to values (m,); larger speaks for the treatment."""

MAX_EXACT = 100_000
"""Assignments up to which all are gone through."""

RESAMPLES = 9_999
"""Assignments drawn where there are more; with the observed one they make p-values in steps of 1e-4."""

_ROUNDING = 1e-11


@dataclass(frozen=True, slots=True, kw_only=True)
class PermutationTest:
    """A randomisation test of two arms.

    Attributes:
        effect: Treatment - control: the difference of means, within strata weighted by their units.
        p_value: Of the sharp null that every unit's effect is `null`.
        interval: Constant effects not rejected at `alpha`; unavailable where the design has too few
            assignments for that level.
        assignments: Assignments gone through, the observed one included.
        exact: Whether these are all that the design might have made.
        null: Effect under the null hypothesis.
        alpha: Error rate of the interval.
        alternative: Sidedness, in SciPy's words.
        n_control: Units in the control.
        n_treatment: Units in the treatment.
    """

    effect: float
    p_value: float
    interval: Interval | Unavailable
    assignments: int
    exact: bool
    null: float
    alpha: float
    alternative: Alternative
    n_control: int
    n_treatment: int


def permutation_test(
    outcome: ArrayLike,
    treated: ArrayLike,
    *,
    design: Design | None = None,
    null: float = 0.0,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    resamples: int = RESAMPLES,
    rng: np.random.Generator | None = None,
) -> PermutationTest:
    """Test and bound a difference of means by the randomisation itself.

    Args:
        outcome: One value a unit, shape (n,).
        treated: 1 for the treatment, 0 for the control, shape (n,).
        design: How the units were assigned; None is `Complete()`.
        null: Constant effect under the null hypothesis, in the metric's unit.
        alpha: Error rate in (0, 1) of the interval.
        alternative: Sidedness, in SciPy's words.
        resamples: Assignments drawn where there are more than 100,000.
        rng: Source of the draws; may be left out where all assignments are gone through.

    Returns:
        The test and its interval, which agree: the interval leaves `null` out exactly when
        `p_value < alpha`.

    Raises:
        UsageError: Shapes do not match, an option breaks its rule, or `rng` is missing.
        NotEnoughDataError: An arm is empty.
        DataError: The outcome does not vary, or the assignment cannot have come from the design.

    References:
        Phipson & Smyth (2010), section 3; Imbens & Rubin (2015), section 5.
    """
    check_alpha(alpha)
    check_alternative(alternative)
    if not math.isfinite(null):
        raise UsageError(f"null must be a finite number in the metric's unit, got {null}.")
    y, plan = _checked(outcome, treated, design)
    center = float(y.mean())
    units, sums = (np.asarray(np.bincount(plan.atom, part, plan.atoms), dtype=np.float64) for part in (np.ones_like(y), y - center))
    effect = float(_difference(plan, units, sums, plan.observed[None, :])[0])
    far, near, weights = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for part in _assignments(plan, resamples, rng):
        far.append(effect - _difference(plan, units, sums, part.treated))
        near.append(1.0 - _difference(plan, units, units * plan.observed, part.treated))
        weights.append(part.weight)
    gap, reach, weight = np.concatenate(far), np.concatenate(near), np.concatenate(weights)
    slack = _ROUNDING * float(np.abs(y - center).max())
    distance = gap - null * reach
    greater, less = float(weight[distance <= slack].sum()), float(weight[distance >= -slack].sum())
    return PermutationTest(
        effect=effect,
        p_value=_p_value(greater, less, alternative),
        interval=_inverted(gap, reach, weight, alpha, alternative),
        assignments=weight.size,
        exact=_enumerable(plan),
        null=null,
        alpha=alpha,
        alternative=alternative,
        n_control=int((units * ~plan.observed).sum()),
        n_treatment=int((units * plan.observed).sum()),
    )


def permutation_p_value(
    outcome: ArrayLike,
    treated: ArrayLike,
    statistic: AssignmentStatistic,
    *,
    design: Design | None = None,
    alternative: Alternative = "two-sided",
    resamples: int = RESAMPLES,
    rng: np.random.Generator | None = None,
) -> float:
    """Randomisation p-value of the sharp null of no effect on anybody, by any statistic.

    Args:
        outcome: One value a unit, shape (n,).
        treated: 1 for the treatment, 0 for the control, shape (n,).
        statistic: From outcomes (n,) and assignments (m, n) to values (m,).
        design: How the units were assigned; None is `Complete()`.
        alternative: `greater` counts assignments with a statistic at least as large.
        resamples: Assignments drawn where there are more than 100,000.
        rng: Source of the draws.

    Returns:
        The p-value, in (0, 1].

    Raises:
        UsageError: Shapes do not match, an option breaks its rule, or `rng` is missing.
        NotEnoughDataError: An arm is empty.
        DataError: The outcome does not vary, the statistic is not finite for some assignment, or the
            assignment cannot have come from the design.
    """
    check_alternative(alternative)
    y, plan = _checked(outcome, treated, design)
    seen = _evaluated(statistic, y, plan.observed[plan.atom][None, :])[0]
    greater = less = 0.0
    for part in _assignments(plan, resamples, rng):
        values = _evaluated(statistic, y, part.treated[:, plan.atom])
        slack = _ROUNDING * max(abs(seen), float(np.abs(values).max()))
        greater += float(part.weight[values >= seen - slack].sum())
        less += float(part.weight[values <= seen + slack].sum())
    return _p_value(greater, less, alternative)


def studentised_permutation_test(
    control: ArrayLike,
    treatment: ArrayLike,
    *,
    alternative: Alternative = "two-sided",
    resamples: int = RESAMPLES,
    rng: np.random.Generator | None = None,
) -> float:
    """Permutation p-value of Welch's t: exact if nobody is affected, asymptotically right for equal means alone.

    Args:
        control: Values of the control, shape (n,), n >= 2.
        treatment: Values of the treatment, n >= 2.
        alternative: Sidedness, in SciPy's words.
        resamples: Assignments drawn where there are more than 100,000.
        rng: Source of the draws.

    Returns:
        The p-value, in (0, 1].

    Raises:
        UsageError: An option breaks its rule, or `rng` is missing.
        NotEnoughDataError: An arm has fewer than two units.
        DataError: A value is not finite, nothing varies, or some assignment leaves no variance in
            both arms (half the values equal).

    References:
        Chung & Romano (2013), theorem 2.2.
    """
    c, t = sample_of(control), sample_of(treatment)
    if min(c.size, t.size) < 2:
        raise NotEnoughDataError(f"Each arm needs at least two units, got {c.size} and {t.size}.", code="too_few_units")
    y = np.concatenate([c, t])
    treated = np.arange(y.size) >= c.size
    return permutation_p_value(y - y.mean(), treated, _welch_t, alternative=alternative, resamples=resamples, rng=rng)


def rank_sum(outcome: Floats, treated: Booleans) -> Floats:
    """Sum of the treated units' midranks: the statistic of the Wilcoxon-Mann-Whitney test.

    Args:
        outcome: Outcomes, shape (n,).
        treated: Assignments, shape (m, n).

    Returns:
        Shape (m,).
    """
    _, inverse, counts = np.unique(outcome, return_inverse=True, return_counts=True)
    midranks = np.cumsum(counts) - (counts - 1) / 2.0
    return treated @ midranks[inverse]


def _checked(outcome: ArrayLike, treated: ArrayLike, design: Design | None) -> tuple[Floats, Plan]:
    y = sample_of(outcome)
    plan = plan_of(Complete() if design is None else design, treated, y.size)
    if float(np.ptp(y)) == 0.0:
        raise DataError("The outcome is the same for all units, so nothing can be inferred.", code="no_variance")
    return y, plan


def _enumerable(plan: Plan) -> bool:
    return plan.log_count() < math.log(2.0 * MAX_EXACT) and plan.count() <= MAX_EXACT


def _assignments(plan: Plan, resamples: int, rng: np.random.Generator | None) -> Iterator[Assignments]:
    """All assignments, or the observed one and those drawn, a stretch at a time."""
    if _enumerable(plan):
        yield plan.enumerate()
        return
    if rng is None:
        raise UsageError(
            f"The design has more than {MAX_EXACT} assignments, about 1e{plan.log_count() / math.log(10.0):.0f}: some must be drawn, "
            "and rng is missing.",
            hint="Pass rng=numpy.random.default_rng(seed).",
        )
    if resamples < 1:
        raise UsageError(f"At least one assignment must be drawn, got resamples={resamples}.")
    share = 1.0 / (resamples + 1.0)
    yield Assignments(treated=plan.observed[None, :], weight=np.full(1, share))
    stretch = max(1, CELLS // plan.atoms)
    for start in range(0, resamples, stretch):
        size = min(stretch, resamples - start)
        yield Assignments(treated=plan.draw(size, rng), weight=np.full(size, share))


def _difference(plan: Plan, units: Floats, sums: Floats, treated: Booleans) -> Floats:
    """Difference of means under each assignment, strata weighted by their units."""
    z = treated.astype(np.float64)
    inside_n, inside_sum = (np.add.reduceat(z * part, plan.starts, axis=1) for part in (units, sums))
    all_n, all_sum = (np.add.reduceat(part, plan.starts) for part in (units, sums))
    by_stratum = inside_sum / inside_n - (all_sum - inside_sum) / (all_n - inside_n)
    return by_stratum @ (all_n / all_n.sum())


def _inverted(gap: Floats, reach: Floats, weight: Floats, alpha: float, alternative: Alternative) -> Interval | Unavailable:
    """Effects not rejected: beyond the ends the weight of assignments at least as extreme falls below the level."""
    level = alpha / 2.0 if alternative == "two-sided" else alpha
    same = reach <= _ROUNDING
    always = float(weight[same].sum())
    if always >= level * (1.0 - _ROUNDING):
        return Unavailable(
            code="too_few_assignments",
            reason=f"The smallest p-value that this design allows is not below {alpha:g}, so no effect can be ruled out at that level.",
        )
    turning = gap[~same] / reach[~same]
    order = np.argsort(turning)
    held, ordered = weight[~same][order], turning[order]
    need = level * (1.0 - _ROUNDING) - always
    low = float(ordered[np.searchsorted(np.cumsum(held), need)])
    high = float(ordered[::-1][np.searchsorted(np.cumsum(held[::-1]), need)])
    return Interval(low=-math.inf if alternative == "less" else low, high=math.inf if alternative == "greater" else high)


def _p_value(greater: float, less: float, alternative: Alternative) -> float:
    if alternative == "two-sided":
        return min(1.0, 2.0 * min(greater, less))
    return min(1.0, greater if alternative == "greater" else less)


def _evaluated(statistic: AssignmentStatistic, outcome: Floats, treated: Booleans) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(statistic(outcome, treated), dtype=np.float64)
    if values.shape != (treated.shape[0],):
        raise UsageError(f"A statistic must give one value an assignment, shape {(treated.shape[0],)}, got {values.shape}.")
    if not np.isfinite(values).all():
        raise DataError("The statistic must be finite under every assignment of the design.", code="not_finite")
    return values


def _welch_t(outcome: Floats, treated: Booleans) -> Floats:
    z = treated.astype(np.float64)
    n, total, squares = z.sum(axis=1), z @ outcome, z @ np.square(outcome)
    other, rest, left = outcome.size - n, outcome.sum() - total, np.square(outcome).sum() - squares
    variance = (squares - total**2 / n) / (n - 1.0) / n + (left - rest**2 / other) / (other - 1.0) / other
    return (total / n - rest / other) / np.sqrt(np.maximum(variance, 0.0))
