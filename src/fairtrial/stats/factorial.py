"""Factorial experiments of k two-level factors: main effects and interactions from the moments of the 2^k cells.

Every effect is a contrast of cell means. Over the levels of all other factors
alike (equal weights, whatever the cells' sizes), the effect of a set S of factors
is the |S|-fold difference: the main effect A is mean(A on) - mean(A off), the interaction
AB is the effect of A with B on less that with B off, and so on:

    effect(S) = sum over cells of prod_{i in S} (+1 if i is on, else -1) * mean / 2^(k - |S|)

The contrasts are saturated (as many as cells), so they are the coefficients of the
regression with all interactions, and their standard errors,
sqrt(sum of c^2 s^2 / n), its HC2 errors; Welch-Satterthwaite degrees of freedom. One
experiment on all units thus answers as many questions as there are factors, each
with the precision of an experiment of its own.

References: Yates (1937), The Design and Analysis of Factorial Experiments; Box,
Hunter & Hunter (2005), Statistics for Experimenters, chapter 5; Dasgupta, Pillai &
Rubin (2015), JRSS B 77, 727-753 (causal factorial effects and their variance);
Satterthwaite (1946), Biometrics Bulletin 2, 110-114; Sidak (1967), JASA 62, 626-633.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UnknownNameError, UsageError
from fairtrial.stats.batch import ROUNDING
from fairtrial.stats.moments import Moments
from fairtrial.stats.multiplicity import Method, adjust
from fairtrial.stats.result import Alternative, Interval, check_alpha
from fairtrial.stats.tails import interval_of, p_value_of

Floats = NDArray[np.float64]
Cell = tuple[int, ...]

MAX_FACTORS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CellContrast:
    """A weighted sum of cell means with its error.

    Attributes:
        name: What it is; factors of an interaction are joined by `:`.
        order: Number of factors in it; 1 for a main effect, 0 for a contrast given by hand.
        effect: The sum, in the metric's unit.
        std_error: Its standard error.
        df: Welch-Satterthwaite (or pooled) degrees of freedom.
        statistic: effect / std_error.
        p_value: Of the hypothesis that the effect is 0.
        p_adjusted: After the correction over all contrasts of the family.
        interval: Stands at `local_alpha`.
        local_alpha: Level at which the interval leaves 0 out exactly when `p_adjusted < alpha`.
    """

    name: str
    order: int
    effect: float
    std_error: float
    df: float
    statistic: float
    p_value: float
    p_adjusted: float
    interval: Interval
    local_alpha: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorialAnalysis:
    """All contrasts of a factorial experiment.

    Attributes:
        contrasts: Main effects first, then interactions by order.
        correction: Over all of them.
        simultaneous: Whether the intervals hold all at once.
        alpha: Error rate of the family.
        n: Units in all cells.
    """

    contrasts: tuple[CellContrast, ...]
    correction: Method
    simultaneous: bool
    alpha: float
    n: int

    def __getitem__(self, name: str) -> CellContrast:
        """The contrast of that name, as `analysis["price:banner"]`.

        Raises:
            UnknownNameError: There is none.
        """
        for contrast in self.contrasts:
            if contrast.name == name:
                return contrast
        raise UnknownNameError.among("contrast", name, [contrast.name for contrast in self.contrasts])


def factorial_effects(
    cells: Mapping[Cell, Moments],
    factors: Sequence[str],
    *,
    max_order: int | None = None,
    variances: Literal["unequal", "equal"] = "unequal",
    correction: Method = "holm",
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> FactorialAnalysis:
    """Main effects and interactions of a 2^k experiment.

    Args:
        cells: Moments by the cell's levels, a tuple of 0 (off) and 1 (on) in the order of `factors`;
            all 2^k cells, two units at least in each.
        factors: Names of the k factors, 1 to 10 of them.
        max_order: Interactions of at most so many factors; None takes all.
        variances: `unequal` takes each cell's own; `equal` pools them (N - 2^k degrees of freedom).
        correction: Over all contrasts returned; `sidak` and `bonferroni` give simultaneous intervals.
        alpha: Error rate of the family, in (0, 1).
        alternative: Sidedness of all tests, in SciPy's words.

    Returns:
        The contrasts. An interaction of two factors is a1b1 - a1b0 - a0b1 + a0b0, averaged over the
        levels of the others.

    Raises:
        UsageError: Names repeat, a cell is missing or unknown, or an option breaks its rule.
        NotEnoughDataError: A cell has fewer than two units.
        DataError: A contrast's cells do not vary.

    References:
        Dasgupta, Pillai & Rubin (2015), sections 2 and 5; Box, Hunter & Hunter (2005), section 5.4.
    """
    k = len(factors)
    if not 1 <= k <= MAX_FACTORS or len(set(factors)) != k:
        raise UsageError(f"A factorial experiment has 1 to {MAX_FACTORS} factors of different names, got {list(factors)}.")
    if max_order is not None and not 1 <= max_order <= k:
        raise UsageError(f"max_order must lie in 1..{k}, got {max_order}.")
    levels = list(itertools.product((0, 1), repeat=k))
    missing, unknown = [cell for cell in levels if cell not in cells], [cell for cell in cells if cell not in set(levels)]
    if missing or unknown:
        raise UsageError(
            f"All 2^{k} cells of 0 and 1 are needed: missing {missing}, unknown {unknown}.",
            hint="With empty cells, compare pairs of cells.",
        )
    sets = [chosen for order in range(1, (max_order or k) + 1) for chosen in itertools.combinations(range(k), order)]
    names = [":".join(factors[i] for i in chosen) for chosen in sets]
    orders = [len(chosen) for chosen in sets]
    return _analysis(
        [cells[cell] for cell in levels],
        factorial_contrasts(k)[[_place(chosen, k) for chosen in sets]],
        names,
        orders,
        variances=variances,
        correction=correction,
        alpha=alpha,
        alternative=alternative,
    )


def cell_contrasts(
    cells: Sequence[Moments],
    contrasts: Mapping[str, ArrayLike],
    *,
    variances: Literal["unequal", "equal"] = "unequal",
    correction: Method = "holm",
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> FactorialAnalysis:
    """Contrasts of one's own between the means of any cells.

    Args:
        cells: Moments of each cell, two units at least in each.
        contrasts: By name the weights of the cells, shape (cells,), summing to 0.
        variances: As in `factorial_effects`.
        correction: Over all contrasts.
        alpha: Error rate of the family, in (0, 1).
        alternative: Sidedness of all tests, in SciPy's words.

    Returns:
        The contrasts, in the order given.

    Raises:
        UsageError: There are none, or weights do not match the cells or sum to 0.
        NotEnoughDataError: A cell has fewer than two units.
        DataError: A contrast's cells do not vary.
    """
    if not contrasts:
        raise UsageError("There must be at least one contrast, got none.")
    rows = [np.asarray(weights, dtype=np.float64) for weights in contrasts.values()]
    for name, row in zip(contrasts, rows, strict=True):
        if (
            row.shape != (len(cells),)
            or not np.isfinite(row).all()
            or not row.any()
            or abs(float(row.sum())) > 1e-9 * float(np.abs(row).sum())
        ):
            raise UsageError(
                f"The weights of contrast {name!r} must be one a cell ({len(cells)}), not all 0, and sum to 0, got {row.tolist()}."
            )
    return _analysis(
        cells,
        np.stack(rows),
        list(contrasts),
        [0] * len(rows),
        variances=variances,
        correction=correction,
        alpha=alpha,
        alternative=alternative,
    )


def factorial_contrasts(factors: int) -> Floats:
    """Weights of all 2^k cells in the mean, the main effects and the interactions of a 2^k experiment.

    Args:
        factors: The number k of factors, 1 to 10.

    Returns:
        Shape (2^k, 2^k): rows are sets of factors, columns are cells, both counted in binary with
        the first factor as the highest digit; row 0 is the mean of all cells.

    Raises:
        UsageError: `factors` lies outside 1..10.

    References:
        Yates (1937); Box, Hunter & Hunter (2005), table 5.4.
    """
    if not 1 <= factors <= MAX_FACTORS:
        raise UsageError(f"A factorial experiment has 1 to {MAX_FACTORS} factors, got {factors}.")
    rows: Floats = np.ones((1, 1))
    one = np.array([[0.5, 0.5], [-1.0, 1.0]])
    for _ in range(factors):
        rows = np.asarray(np.kron(rows, one), dtype=np.float64)
    return rows


def _place(chosen: tuple[int, ...], k: int) -> int:
    return sum(1 << (k - 1 - i) for i in chosen)


def _analysis(
    cells: Sequence[Moments],
    weights: Floats,
    names: Sequence[str],
    orders: Sequence[int],
    *,
    variances: str,
    correction: Method,
    alpha: float,
    alternative: Alternative,
) -> FactorialAnalysis:
    check_alpha(alpha)
    if variances not in {"unequal", "equal"}:
        raise UsageError(f"variances must be 'unequal' or 'equal', got {variances!r}.")
    n = np.array([float(cell.n) for cell in cells])
    if n.min() < 2.0:
        raise NotEnoughDataError(f"Each cell needs at least two units, got {[cell.n for cell in cells]}.", code="too_few_units")
    mean, m2 = np.array([cell.mean for cell in cells]), np.array([cell.m2 for cell in cells])
    m2 = np.where(m2 <= n * (ROUNDING * mean) ** 2, 0.0, m2)
    below = n - 1.0
    of_mean = m2 / below / n if variances == "unequal" else m2.sum() / below.sum() / n
    parts = np.square(weights) * of_mean
    variance = parts.sum(axis=1)
    if not (variance > 0.0).all():
        raise DataError("The metric does not vary in the cells of a contrast, so nothing can be inferred.", code="no_variance")
    share = parts / variance[:, None]
    df = 1.0 / np.sum(share * share / below, axis=1) if variances == "unequal" else np.full(len(names), below.sum())
    # About a constant: means far from zero would lose the digits of their differences.
    effect, error = weights @ (mean - mean[0]), np.sqrt(variance)
    statistic = effect / error
    p = p_value_of(statistic, df, alternative)
    adjusted = adjust(p, correction, alpha=alpha)
    low, high = interval_of(
        effect, error, df, alpha=np.clip(adjusted.local_alpha, np.finfo(np.float64).tiny, None), alternative=alternative
    )
    columns = zip(names, orders, effect, error, df, statistic, p, adjusted.p_adjusted, low, high, adjusted.local_alpha, strict=True)
    return FactorialAnalysis(
        contrasts=tuple(
            CellContrast(
                name=name,
                order=order,
                effect=float(e),
                std_error=float(se),
                df=float(nu),
                statistic=float(t),
                p_value=float(own),
                p_adjusted=float(corrected),
                interval=Interval(low=float(a), high=float(b)),
                local_alpha=float(level),
            )
            for name, order, e, se, nu, t, own, corrected, a, b, level in columns
        ),
        correction=correction,
        simultaneous=adjusted.simultaneous,
        alpha=alpha,
        n=int(n.sum()),
    )
