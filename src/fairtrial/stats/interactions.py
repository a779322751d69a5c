"""Interactions of two experiments (or factors): does the effect of one depend on the arm of the other?

Everything is read from cells, one for each combination of arms: `a1b0` holds the units
that are treated in A and not in B. The interaction is the difference of differences

    (a1b1 - a0b1) - (a1b0 - a0b0)

of outcomes, never of unit counts. The scale decides: 10% to 15% beside 20% to 30% is
an interaction of 5 points and none at all on the relative scale, so each result says
its scale. Units are assumed to be in one cell only and independent of one another.

With J arms on the other side the additive model says that the treatment adds the same
d in every arm; its maximum likelihood and Pearson's statistic test that for rates, and
Cochran's Q does for means.

References: MacKinnon & White (1985), Journal of Econometrics 29, 305-325 (HC0-HC3);
Woolf (1955), Annals of Human Genetics 19, 251-253 (log odds); Katz et al. (1978),
Biometrics 34, 469-474 (log risk); Pearson (1900), Philosophical Magazine 50, 157-175.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.stats.additivity import additive_tests
from fairtrial.stats.batch import ROUNDING
from fairtrial.stats.moments import Moments
from fairtrial.stats.result import Interval, check_alpha
from fairtrial.stats.tails import interval_of, p_value_of

Floats = NDArray[np.float64]

CellCovariance = Literal["HC0", "HC1", "HC2", "HC3", "classical"]
"""Which variance a cell's mean has: `HC3` is m2 / (n - 1)^2 and cautious, `classical` pools the four variances."""
Reference = Literal["normal", "t"]
Scale = Literal["absolute", "log_odds", "log_risk"]
"""On what scale effects are compared: differences of rates, of their log odds, of their logarithms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanCells:
    """Moments of the four cells.

    Attributes:
        a0b0: Control of both.
        a1b0: Treated in A alone.
        a0b1: Treated in B alone.
        a1b1: Treated in both.
    """

    a0b0: Moments
    a1b0: Moments
    a0b1: Moments
    a1b1: Moments


@dataclass(frozen=True, slots=True, kw_only=True)
class Successes:
    """Successes among the units of one cell.

    Attributes:
        successes: Whole number in 0..n.
        n: Units, >= 1.
    """

    successes: int
    n: int

    def __post_init__(self) -> None:
        if not (1 <= self.n < math.inf and 0 <= self.successes <= self.n) or self.n % 1 or self.successes % 1:
            raise UsageError(f"A cell needs whole successes in 0..n with n >= 1, got {self.successes} of {self.n}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCells:
    """Successes in the four cells, named as in `MeanCells`."""

    a0b0: Successes
    a1b0: Successes
    a0b1: Successes
    a1b1: Successes


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoWayInteraction:
    """The interaction of two treatments, on the scale named.

    Attributes:
        interaction: (a1b1 - a0b1) - (a1b0 - a0b0).
        std_error: Its standard error.
        statistic: interaction / std_error.
        df: Degrees of freedom; None where the normal distribution was used.
        p_value: Two-sided, of no interaction.
        interval: Confidence interval of the interaction.
        alpha: Error rate of the interval.
        effect_a_at_b0: Effect of A where B is control.
        effect_a_at_b1: Effect of A where B is treated.
        effect_b_at_a0: Effect of B where A is control.
        effect_b_at_a1: Effect of B where A is treated.
        marginal_effect_a: Mean of the two effects of A, equal weights.
        marginal_effect_b: Mean of the two effects of B, equal weights.
        scale: What the effects are differences of: `absolute`, `log_odds`, `log_risk`.
        method: Which standard error and distribution.
    """

    interaction: float
    std_error: float
    statistic: float
    df: float | None
    p_value: float
    interval: Interval
    alpha: float
    effect_a_at_b0: float
    effect_a_at_b1: float
    effect_b_at_a0: float
    effect_b_at_a1: float
    marginal_effect_a: float
    marginal_effect_b: float
    scale: Scale
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditiveTest:
    """Does a treatment add the same to a rate in every arm of another experiment?

    Attributes:
        effect: The common effect d that fits best, in rate.
        chi_square: Pearson's statistic of the fit.
        df: Arms, less one.
        p_value: P(chi-square with `df` degrees of freedom > `chi_square`).
        effects: Effect in each arm.
        effect_range: Largest effect less smallest; the interaction itself where there are two arms.
    """

    effect: float
    chi_square: float
    df: int
    p_value: float
    effects: tuple[float, ...]
    effect_range: float


def two_way_interaction(
    cells: MeanCells, *, covariance: CellCovariance = "HC3", reference: Reference = "normal", alpha: float = 0.05
) -> TwoWayInteraction:
    """Interaction of two treatments on a mean, from the four cells' moments.

    The saturated regression y ~ a + b + a:b, whose interaction is the difference of differences.

    Args:
        cells: Moments by cell, each of two units or more.
        covariance: Variance of the cells' means: m2/n^2 (`HC0`), that times N/(N-4) (`HC1`),
            m2/(n(n-1)) (`HC2`), m2/(n-1)^2 (`HC3`), or one variance for all (`classical`).
        reference: `normal`, or `t` with N - 4 degrees of freedom.
        alpha: Error rate in (0, 1).

    Raises:
        UsageError: An option breaks its rule.
        NotEnoughDataError: A cell has fewer than two units.
        DataError: No cell varies.

    References:
        MacKinnon & White (1985), Journal of Econometrics 29, 305-325.
    """
    check_alpha(alpha)
    _check_reference(reference)
    listed = (cells.a0b0, cells.a1b0, cells.a0b1, cells.a1b1)
    if min(cell.n for cell in listed) < 2:
        raise NotEnoughDataError(
            f"An interaction of means needs at least two units a cell, got {[cell.n for cell in listed]}.", code="too_few_units"
        )
    n, mean, m2 = (np.array([getattr(cell, name) for cell in listed], dtype=np.float64) for name in ("n", "mean", "m2"))
    if (m2 <= n * (ROUNDING * np.abs(mean)) ** 2).all():
        raise DataError("The outcome varies in no cell, so the interaction has no standard error.", code="no_variance")
    variances = _mean_variances(n, m2, covariance)
    df = float(n.sum()) - 4.0 if reference == "t" else None
    return _from_cells(mean, variances, df, alpha, "absolute", f"{covariance}_{reference}")


def two_way_interaction_rates(
    cells: RateCells,
    *,
    scale: Scale = "absolute",
    covariance: Literal["unpooled", "HC1", "HC3"] = "unpooled",
    alpha: float = 0.05,
) -> TwoWayInteraction:
    """Interaction of two treatments on a rate, from the four cells' counts.

    Args:
        cells: Successes and units by cell.
        scale: `absolute` (differences of rates), `log_odds` or `log_risk`.
        covariance: Variance of a rate on the absolute scale: p(1-p)/n (`unpooled`, which is HC0), that
            times N/(N-4) (`HC1`), or p(1-p) n/(n-1)^2 (`HC3`).
        alpha: Error rate in (0, 1).

    Returns:
        The interaction with a normal p-value and interval.

    Raises:
        UsageError: An option breaks its rule, or a robust variance is asked for on a log scale.
        NotEnoughDataError: `HC3` and a cell of one unit.
        DataError: No rate varies, or a cell has no success (or no failure, on the odds) and a log scale was asked for.

    References:
        Wald on the linear probability scale; Woolf (1955), Annals of Human Genetics 19, 251-253;
        Katz, Baptista, Azen & Pike (1978), Biometrics 34, 469-474.
    """
    check_alpha(alpha)
    listed = (cells.a0b0, cells.a1b0, cells.a0b1, cells.a1b1)
    x, n = (np.array([getattr(cell, name) for cell in listed], dtype=np.float64) for name in ("successes", "n"))
    if scale == "absolute":
        variances = _rate_variances(x, n, covariance)
        return _from_cells(x / n, variances, None, alpha, scale, f"{covariance}_normal")
    if covariance != "unpooled":
        raise UsageError(f"covariance must be 'unpooled' on the scale {scale!r}, got {covariance!r}.")
    if scale not in {"log_odds", "log_risk"}:
        raise UsageError(f"scale must be 'absolute', 'log_odds' or 'log_risk', got {scale!r}.")
    if not x.all() or (scale == "log_odds" and (x == n).any()):
        raise DataError(
            f"On the scale {scale!r} no cell may be all failures{' or all successes' if scale == 'log_odds' else ''}, "
            f"got {x.astype(int).tolist()} of {n.astype(int).tolist()}.",
            hint="Use the absolute scale.",
            code="empty_cell",
        )
    if scale == "log_odds":
        return _from_cells(np.log(x / (n - x)), 1.0 / x + 1.0 / (n - x), None, alpha, scale, "woolf")
    return _from_cells(np.log(x / n), (n - x) / n / x, None, alpha, scale, "katz")


def additive_interaction_test(control: Sequence[Successes], treatment: Sequence[Successes]) -> AdditiveTest:
    """Does a treatment add the same to a rate in each of J arms of another experiment?

    The model p_treatment,j = p_control,j + d is fitted by maximum likelihood (d by bisection of the
    score, the controls' rates for each d as the restricted maximum of two rates), then judged by
    Pearson's statistic on J - 1 degrees of freedom. A cell fitted exactly at 0 or 1 adds nothing.

    Args:
        control: Successes of the control in each arm of the other experiment.
        treatment: The same of the treatment, in the same order.

    Raises:
        UsageError: The lists differ in length or hold fewer than two arms.

    References:
        Pearson (1900); the restricted maximum: Miettinen & Nurminen (1985), Statistics in Medicine 4, 213-226.
    """
    if len(control) != len(treatment) or len(control) < 2:
        raise UsageError(f"Both sides need the same arms, two or more, got {len(control)} and {len(treatment)}.")
    x_c, n_c, x_t, n_t = (
        np.array([getattr(cell, name) for cell in side], dtype=np.float64) for side in (control, treatment) for name in ("successes", "n")
    )
    found = additive_tests(x_c[None], n_c[None], x_t[None], n_t[None])
    return AdditiveTest(
        effect=found.effect.item(),
        chi_square=found.chi_square.item(),
        df=found.df,
        p_value=found.p_value.item(),
        effects=tuple((x_t / n_t - x_c / n_c).tolist()),
        effect_range=found.effect_range.item(),
    )


def _check_reference(reference: str) -> None:
    if reference not in {"normal", "t"}:
        raise UsageError(f"reference must be 'normal' or 't', got {reference!r}.")


def _mean_variances(n: Floats, m2: Floats, covariance: str) -> Floats:
    """Variance of each cell's mean."""
    total = float(n.sum())
    match covariance:
        case "HC0":
            return m2 / n**2
        case "HC1":
            return m2 / n**2 * (total / (total - 4.0))
        case "HC2":
            return m2 / (n * (n - 1.0))
        case "HC3":
            return m2 / (n - 1.0) ** 2
        case "classical":
            return float(m2.sum()) / (total - 4.0) / n
        case _:
            raise UsageError(f"covariance must be 'HC0', 'HC1', 'HC2', 'HC3' or 'classical', got {covariance!r}.")


def _rate_variances(x: Floats, n: Floats, covariance: str) -> Floats:
    """Variance of each cell's rate: that of a mean of zeros and ones."""
    if covariance not in {"unpooled", "HC1", "HC3"}:
        raise UsageError(f"covariance must be 'unpooled', 'HC1' or 'HC3', got {covariance!r}.")
    if covariance == "HC3" and n.min() < 2.0:
        raise NotEnoughDataError("HC3 needs at least two units a cell, got one.", hint="Use 'unpooled'.", code="too_few_units")
    if covariance == "HC1" and n.sum() < 5.0:
        raise NotEnoughDataError("HC1 needs at least five units, got four.", hint="Use 'unpooled'.", code="too_few_units")
    m2 = x * ((n - x) / n)
    if not m2.any():
        raise DataError("The outcome varies in no cell, so the interaction has no standard error.", code="no_variance")
    return _mean_variances(n, m2, "HC0" if covariance == "unpooled" else covariance)


def _from_cells(values: Floats, variances: Floats, df: float | None, alpha: float, scale: Scale, method: str) -> TwoWayInteraction:
    """The contrast of four independent cell values."""
    a0b0, a1b0, a0b1, a1b1 = values.tolist()
    interaction = (a1b1 - a0b1) - (a1b0 - a0b0)
    std_error = math.sqrt(float(variances.sum()))
    nu = math.inf if df is None else df
    low, high = interval_of(interaction, std_error, nu, alpha=alpha)
    return TwoWayInteraction(
        interaction=interaction,
        std_error=std_error,
        statistic=interaction / std_error,
        df=df,
        p_value=p_value_of(interaction / std_error, nu).item(),
        interval=Interval(low=low.item(), high=high.item()),
        alpha=alpha,
        effect_a_at_b0=a1b0 - a0b0,
        effect_a_at_b1=a1b1 - a0b1,
        effect_b_at_a0=a0b1 - a0b0,
        effect_b_at_a1=a1b1 - a1b0,
        marginal_effect_a=0.5 * ((a1b0 - a0b0) + (a1b1 - a0b1)),
        marginal_effect_b=0.5 * ((a0b1 - a0b0) + (a1b1 - a1b0)),
        scale=scale,
        method=method,
    )
