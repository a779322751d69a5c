"""Does a score sort units by their effect? Tests of a prediction of effects that was made from other units.

A score S(x) guesses at the effect in units with features x: a causal forest's, a rule's, anybody's. In a
randomised experiment with known share p it is put to the test on units that it was not made from:

    best linear predictor   Y = a + b S + c B + beta1 (T - p) + beta2 (T - p) (S - mean S) + error
    by group of the score   Y = a + b S + c B + sum_k gamma_k (T - p) 1{k} + error

beta1 is the average effect, whatever the score is worth; beta2 is 0 where the score says nothing of effects
and 1 where it is right in size; gamma_k is the average effect in group k. None of it asks that the score be
good, or that the regressions be true: T - p is independent of everything else. B are any predictions of the outcome, which only
take noise away. Errors are heteroscedasticity-consistent (HC2).

Source: Chernozhukov, Demirer, Duflo & Fernandez-Val (2025), Econometrica 93, 1121-1164, section 3 (weights are 1/(p (1 - p)) there, a
constant here); Athey & Wager (2019), Observational Studies 5, 37-51 (both coefficients as a calibration test).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.regression import coefficient_covariance, least_squares, treatment_indicator
from fairtrial.stats.result import Interval, check_alpha
from fairtrial.stats.samples import sample_of
from fairtrial.stats.tails import interval_of, p_value_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficient:
    """A coefficient with its error.

    Attributes:
        value: The estimate.
        std_error: HC2 standard error.
        interval: Confidence interval, normal.
        p_value: Two-sided, of 0; of a slope one-sided, against "greater".
    """

    value: float
    std_error: float
    interval: Interval
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCalibration:
    """What a score is worth.

    Attributes:
        average: Average effect, beta1, in the outcome's unit.
        slope: beta2; its p-value is of "the score says nothing of effects" against "units with a higher score gain more".
    """

    average: Coefficient
    slope: Coefficient


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectsByScore:
    """Average effects in groups of the score, the lowest first.

    Attributes:
        groups: Each group's effect; intervals hold for all of them at once (Bonferroni), p-values are not corrected.
        spread: Highest group less lowest group, by itself, two-sided.
    """

    groups: tuple[Coefficient, ...]
    spread: Coefficient


def calibrate_score(
    outcome: ArrayLike, treated: ArrayLike, score: ArrayLike, *, share: float, baseline: ArrayLike | None = None, alpha: float = 0.05
) -> ScoreCalibration:
    """Test a score of effects on units that it was not made from.

    Args:
        outcome: One value a unit, shape (n,).
        treated: 1 for the treatment, 0 for the control, shape (n,).
        score: Predicted effect of each unit, made without its own outcome, shape (n,).
        share: Planned share of the treatment, in (0, 1).
        baseline: Predictions of the outcome made without the unit's own, shape (n,).
        alpha: Error rate in (0, 1) of the intervals.

    Raises:
        UsageError: Shapes do not match, or an option breaks its rule.
        NotEnoughDataError: No more units than coefficients, or an arm is empty.
        DataError: The score is the same for all units, or a value is not finite.
    """
    y, t, s, common = _checked(outcome, treated, score, share, baseline, alpha)
    assigned = t - share
    (average, slope), covariance = _effects(y, common, np.column_stack([assigned, assigned * (s - s.mean())]))
    return ScoreCalibration(
        average=_coefficient(average, covariance[0, 0], alpha), slope=_coefficient(slope, covariance[1, 1], alpha, greater=True)
    )


def effects_by_score(
    outcome: ArrayLike,
    treated: ArrayLike,
    score: ArrayLike,
    groups: ArrayLike,
    *,
    share: float,
    baseline: ArrayLike | None = None,
    alpha: float = 0.05,
) -> EffectsByScore:
    """Average effect in each group of a score.

    Args:
        outcome: As `calibrate_score`.
        treated: As `calibrate_score`.
        score: As `calibrate_score`.
        groups: Group of each unit, 0 for the lowest scores, to K - 1, each with units of both arms, shape (n,).
        share: As `calibrate_score`.
        baseline: As `calibrate_score`.
        alpha: As `calibrate_score`.

    Raises:
        UsageError: As `calibrate_score`, or groups are not 0..K-1 with K of two or more.
        NotEnoughDataError: A group lacks an arm.
        DataError: As `calibrate_score`.
    """
    y, t, _, common = _checked(outcome, treated, score, share, baseline, alpha)
    codes = np.asarray(groups)
    count = int(codes.max()) + 1 if codes.size else 0
    if codes.shape != y.shape or count < 2 or not np.array_equal(np.unique(codes), np.arange(count)):
        raise UsageError("Groups must be numbered 0..K-1, two or more, one number a unit, none of them empty.")
    inside = codes[:, None] == np.arange(count)
    if min(inside[t == arm].sum(axis=0).min() for arm in (0.0, 1.0)) < 2:
        raise NotEnoughDataError("Every group of the score needs two units of both arms.", code="too_few_units")
    found, covariance = _effects(y, common, (t - share)[:, None] * inside)
    top, bottom = count - 1, 0
    variance = covariance[top, top] + covariance[bottom, bottom] - 2.0 * covariance[top, bottom]
    return EffectsByScore(
        groups=tuple(_coefficient(found[k], covariance[k, k], alpha / count) for k in range(count)),
        spread=_coefficient(found[top] - found[bottom], variance, alpha),
    )


def _checked(
    outcome: ArrayLike, treated: ArrayLike, score: ArrayLike, share: float, baseline: ArrayLike | None, alpha: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Outcome, treatment, score, and the columns that take noise away."""
    check_alpha(alpha)
    if not 0.0 < share < 1.0:
        raise UsageError(f"share must lie in (0, 1), got {share!r}.")
    y, t, s = sample_of(outcome), treatment_indicator(treated), sample_of(score)
    b = np.empty(0) if baseline is None else sample_of(baseline)
    if not y.size == t.size == s.size or b.size not in {0, y.size}:
        raise UsageError(f"Outcome, treatment, score and baseline need one value a unit, got {y.size}, {t.size}, {s.size} and {b.size}.")
    if np.ptp(y) == 0.0:
        raise DataError("The outcomes do not vary, so there is no standard error.", code="no_variance")
    if np.ptp(s) <= 1e-12 * max(float(np.abs(s).max()), 1e-300):
        raise DataError("The score is the same for all units, so it sorts nothing.", code="no_variance")
    # An outcome prediction that is a line of the score adds nothing.
    extra = [s - s.mean()]
    if b.size and np.ptp(b) > 0.0 and abs(float(np.corrcoef(b, s)[0, 1])) < 1.0 - 1e-9:
        extra.append(b - b.mean())
    return y, t, s, np.column_stack([np.ones_like(y), *extra])


def _effects(y: Floats, common: Floats, treatment: Floats) -> tuple[Floats, Floats]:
    """Coefficients of the treatment's columns and their covariance. Columns are scaled first: effects may be tiny beside 1."""
    design = np.column_stack([common, treatment])
    scale = np.sqrt(np.square(design).mean(axis=0))
    scaled = design / scale
    fit = least_squares(y, scaled)
    covariance = coefficient_covariance(fit, scaled, "hc2")
    first = common.shape[1]
    return (fit.coefficients / scale)[first:], (covariance / np.outer(scale, scale))[first:, first:]


def _coefficient(value: float, variance: float, alpha: float, *, greater: bool = False) -> Coefficient:
    if not variance > 0.0:
        raise DataError("The outcomes do not vary, so there is no standard error.", code="no_variance")
    std_error = math.sqrt(variance)
    low, high = interval_of(value, std_error, math.inf, alpha=alpha)
    p_value = p_value_of(value / std_error, math.inf, "greater" if greater else "two-sided").item()
    return Coefficient(value=float(value), std_error=std_error, interval=Interval(low=low.item(), high=high.item()), p_value=p_value)
