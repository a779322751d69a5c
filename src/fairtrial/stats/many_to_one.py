"""Several treatments against one control: Dunnett's test, critical values, and intervals that agree with it.

The comparisons share their control and are therefore correlated, which
Bonferroni's correction leaves unused. With standard errors v_0 of the control and v_i of
the treatments (variances of the means), two comparisons are correlated by
l_i l_j with l_i = sqrt(v_0 / (v_0 + v_i)); `joint_tails` integrates that form
exactly, for unequal arms as for equal ones. Single-step: the intervals hold all at
once, and one leaves the null out exactly when its adjusted p-value is below alpha.

`dunnett_test` assumes means close to normal and one variance in all arms (the
classical test), or with `variances="unequal"` each arm's own with its own Welch
degrees of freedom, which is approximate. `many_to_one` takes any estimates with their
standard errors, from proportions to adjusted ratios.

References: Dunnett (1955), JASA 50, 1096-1121; Dunnett (1964), Biometrics 20, 482-491
(tables); Hasler & Hothorn (2008), Biometrical Journal 50, 793-800 (unequal variances).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.contrast import satterthwaite_df
from fairtrial.stats.joint_tails import max_t_quantile, max_t_tail
from fairtrial.stats.moments import Moments
from fairtrial.stats.result import Alternative, check_alpha, check_alternative
from fairtrial.stats.tails import p_value_of

Floats = NDArray[np.float64]

_FITS = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ManyToOne:
    """Comparisons of k treatments with one control; arrays of shape (k,) in the treatments' order.

    Attributes:
        effect: Treatment - control, in the metric's unit.
        std_error: Standard errors of `effect`.
        statistic: (effect - margin) / standard error.
        df: Degrees of freedom; `inf` for normal statistics.
        loadings: The l_i; comparisons i and j are correlated by l_i l_j.
        p_value: Uncorrected.
        p_adjusted: Probability that the largest of all k statistics is as large.
        critical_value: What a statistic must exceed; one number repeated, but for unequal degrees of freedom.
        low: Lower ends of the simultaneous intervals; `-inf` when the alternative is `less`.
        high: Upper ends; `inf` when the alternative is `greater`.
        alpha: Error rate of the family.
        alternative: Sidedness, in SciPy's words.
        margin: Effect under the null hypotheses.
    """

    effect: Floats
    std_error: Floats
    statistic: Floats
    df: Floats
    loadings: Floats
    p_value: Floats
    p_adjusted: Floats
    critical_value: Floats
    low: Floats
    high: Floats
    alpha: float
    alternative: Alternative
    margin: float


def dunnett_critical_value(
    treatments: int,
    *,
    df: float = math.inf,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    correlation: ArrayLike = 0.5,
) -> float:
    """What the largest of several comparisons with one control exceeds by chance with probability `alpha`.

    Args:
        treatments: How many treatments, >= 1.
        df: Degrees of freedom >= 1 of the common variance; `inf` where it is known.
        alpha: Error rate of the family, in (0, 1).
        alternative: Sidedness; `less` has the same value as `greater`, to be exceeded below zero.
        correlation: Of the comparisons: one number in [0, 1) for all, or a matrix (k, k) of the form
            l_i l_j (which every comparison with one control has); 0.5 for arms of one size.

    Returns:
        The critical value, on the scale of t.

    Raises:
        UsageError: An argument lies outside its range, or the matrix has another form.

    References:
        Dunnett (1955), tables 1 and 2; Dunnett (1964), table II.
    """
    check_alpha(alpha)
    check_alternative(alternative)
    if treatments < 1:
        raise UsageError(f"There must be at least one treatment, got {treatments}.")
    return max_t_quantile(alpha, loadings_of(correlation, treatments), df=df, two_sided=alternative == "two-sided")


def loadings_of(correlation: ArrayLike, treatments: int) -> Floats:
    """The l_i of correlations that are products l_i l_j.

    Args:
        correlation: One number in [0, 1) for all pairs, or a matrix (k, k) with ones on its diagonal.
        treatments: The number k of comparisons.

    Returns:
        Loadings in (-1, 1), shape (k,).

    Raises:
        UsageError: The number lies outside [0, 1), or the matrix is not of that form.

    References:
        Dunnett & Sobel (1955), Biometrika 42, 258-260.
    """
    given = np.asarray(correlation, dtype=np.float64)
    if given.ndim == 0:
        if not 0.0 <= float(given) < 1.0:
            raise UsageError(f"A correlation common to all comparisons must lie in [0, 1), got {correlation}.")
        return np.full(treatments, math.sqrt(float(given)))
    if given.shape != (treatments, treatments) or not np.allclose(given, given.T) or not np.allclose(np.diagonal(given), 1.0):
        raise UsageError(
            f"Correlations must be a symmetric matrix {(treatments, treatments)} with ones on its diagonal, got {correlation}."
        )
    loadings = _factor(given)
    fitted = np.outer(loadings, loadings)
    np.fill_diagonal(fitted, 1.0)
    if not (np.abs(loadings) < 1.0).all() or float(np.abs(fitted - given).max()) > _FITS:
        raise UsageError(
            "Correlations must be products l_i l_j with l in (-1, 1), as those of comparisons with one control are.",
            hint="For another structure use Holm's correction, which is right under any.",
        )
    return loadings


def many_to_one(
    effect: ArrayLike,
    std_error: ArrayLike,
    control_std_error: ArrayLike,
    *,
    df: ArrayLike = math.inf,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> ManyToOne:
    """Dunnett's correction of any comparisons with one control that come with their standard errors.

    Args:
        effect: Treatment - control, shape (k,).
        std_error: Standard errors of `effect`, shape (k,).
        control_std_error: Standard error of the control's own value, in (0, std_error): one, or one a comparison.
        df: Degrees of freedom, one or one a comparison; `inf` for normal statistics.
        alpha: Error rate of the family, in (0, 1).
        alternative: Sidedness of all tests, in SciPy's words.
        margin: Effect under the null hypotheses.

    Returns:
        Adjusted p-values and simultaneous intervals.

    Raises:
        UsageError: Shapes do not match, or an argument lies outside its range.

    References:
        Dunnett (1955), equation 6.
    """
    check_alpha(alpha)
    check_alternative(alternative)
    if not math.isfinite(margin):
        raise UsageError(f"margin must be a finite number in the metric's unit, got {margin}.")
    found = np.asarray(effect, dtype=np.float64)
    if found.ndim != 1 or found.size == 0 or not np.isfinite(found).all():
        raise UsageError(f"Effects must be finite, one a treatment, got {effect}.")
    error, own, nu = (
        _one_each(values, found.size, name)
        for values, name in ((std_error, "std_error"), (control_std_error, "control_std_error"), (df, "df"))
    )
    if not (np.isfinite(error) & (own > 0.0) & (own < error) & (nu >= 1.0 - 1e-9)).all():
        raise UsageError(
            f"Standard errors must satisfy 0 < control_std_error < std_error, and df >= 1, got {control_std_error}, {std_error} and {df}."
        )
    loadings = own / error
    statistic = (found - margin) / error
    two_sided = alternative == "two-sided"
    reached = np.abs(statistic) if two_sided else statistic if alternative == "greater" else -statistic
    adjusted = [max_t_tail(t, loadings, df=nu_i, two_sided=two_sided) for t, nu_i in zip(reached.tolist(), nu.tolist(), strict=True)]
    values = {nu_i: max_t_quantile(alpha, loadings, df=nu_i, two_sided=two_sided) for nu_i in dict.fromkeys(nu.tolist())}
    critical = np.array([values[nu_i] for nu_i in nu.tolist()])
    return ManyToOne(
        effect=found,
        std_error=error,
        statistic=statistic,
        df=nu,
        loadings=loadings,
        p_value=p_value_of(statistic, nu, alternative),
        p_adjusted=np.array(adjusted),
        critical_value=critical,
        low=np.full(found.size, -np.inf) if alternative == "less" else found - critical * error,
        high=np.full(found.size, np.inf) if alternative == "greater" else found + critical * error,
        alpha=alpha,
        alternative=alternative,
        margin=margin,
    )


def dunnett_test(
    control: Moments,
    treatments: Sequence[Moments],
    *,
    variances: Literal["equal", "unequal"] = "equal",
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
    margin: float = 0.0,
) -> ManyToOne:
    """Dunnett's test of the means of several treatments against one control.

    Args:
        control: Moments of the control.
        treatments: Moments of each treatment, at least one; sizes may differ.
        variances: `equal` pools the variances of all arms, with N - k - 1 degrees of freedom;
            `unequal` takes each arm's own, with Welch's degrees of freedom.
        alpha: Error rate of the family, in (0, 1).
        alternative: Sidedness of all tests, in SciPy's words.
        margin: Difference under the null hypotheses.

    Returns:
        Adjusted p-values and simultaneous intervals.

    Raises:
        UsageError: There are no treatments, or an option breaks its rule.
        NotEnoughDataError: Too few units for a variance.
        DataError: Nothing varies.

    References:
        Dunnett (1955), sections 2 and 3; Hasler & Hothorn (2008), section 2.
    """
    if not treatments:
        raise UsageError("There must be at least one treatment, got none.")
    if variances not in {"equal", "unequal"}:
        raise UsageError(f"variances must be 'equal' or 'unequal', got {variances!r}.")
    arms = [control, *treatments]
    n = np.array([arm.n for arm in arms], dtype=np.float64)
    if variances == "equal":
        within = n.sum() - len(arms)
        if within < 1.0:
            raise NotEnoughDataError(f"A pooled variance needs an arm with two units, got {[arm.n for arm in arms]}.", code="too_few_units")
        own = sum(arm.m2 for arm in arms) / within / n
        df = np.full(len(treatments), within)
    else:
        if n.min() < 2.0:
            raise NotEnoughDataError(f"Each arm needs at least two units, got {[arm.n for arm in arms]}.", code="too_few_units")
        own = np.array([arm.variance for arm in arms]) / n
        df = satterthwaite_df(own[0], n[0], own[1:], n[1:])
    if not (own > 0.0).all():
        raise DataError("The metric does not vary in an arm, so nothing can be inferred.", code="no_variance")
    effect = np.array([arm.mean for arm in treatments]) - control.mean
    return many_to_one(
        effect, np.sqrt(own[0] + own[1:]), math.sqrt(float(own[0])), df=df, alpha=alpha, alternative=alternative, margin=margin
    )


def _one_each(values: ArrayLike, size: int, name: str) -> Floats:
    given = np.asarray(values, dtype=np.float64)
    if given.shape not in {(), (size,)}:
        raise UsageError(f"{name} must be one number or one a treatment, got shape {given.shape} for {size}.")
    return np.broadcast_to(given, (size,))


def _factor(correlation: Floats) -> Floats:
    """Loadings that make the off-diagonal elements, if any do: by rows of the largest products."""
    k = len(correlation)
    nothing = np.zeros(k)
    if k == 1:
        return nothing
    off = correlation - np.eye(k)
    if k == 2:
        root = math.sqrt(abs(float(off[0, 1])))
        return np.array([root, math.copysign(root, float(off[0, 1]))])
    strength = np.abs(off)
    first = int(np.argmax(strength.sum(axis=1)))
    others = [i for i in range(k) if i != first]
    second, third = sorted(others, key=lambda i: -float(strength[first, i]))[:2]
    if off[second, third] == 0.0:
        return nothing
    square = float(off[first, second] * off[first, third] / off[second, third])
    if square <= 0.0:
        return nothing
    own = math.sqrt(square)
    return np.where(np.arange(k) == first, own, off[first] / own)
