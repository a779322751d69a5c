"""Least squares with unit and period effects, and errors that allow for dependence within clusters.

The effects are taken out exactly, balanced panel or not: unit effects are
eliminated and the periods' normal equations solved (Frisch & Waugh 1933,
Lovell 1963), so that no dummy is ever laid out. Errors are cluster-robust
(Liang & Zeger 1986, Biometrika 73, 13-22) with G - 1 degrees of freedom and one
of three small-sample factors; with few clusters (below about 40), or few treated
ones, these are too small (Cameron, Gelbach & Miller 2008, REStat 90, 414-427) and
`satterthwaite` counts the variance and its degrees of freedom by kind of cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.quasi.columns import check_noise, count_clusters
from fairtrial.quasi.few_clusters import ClusterErrors

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Factor = Literal["none", "nested", "all"]
"""`none`: CR0. `nested`: G / (G - 1) (n - 1) / (n - K) where unit effects nested in clusters are not counted in K.
`all`: the same with every dummy counted."""
SmallSample = Literal["satterthwaite", "none", "nested", "all"]
"""`satterthwaite`: a variance for each cohort of clusters, with degrees of freedom of its own (`few_clusters`). The
others: a factor of the variance, with G - 1 degrees of freedom."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TwoWay:
    """Unit and period effects over given rows.

    Attributes:
        unit: Place of each row's unit, shape (n,).
        period: Place of each row's period, shape (n,).
        weight: Weight of each row, > 0, shape (n,).
        units: Number of units.
        periods: Number of periods.
        table: Sum of weights by unit and period, shape (units, periods).
        inverse: Pseudo-inverse of the periods' equations once units are eliminated, shape (periods, periods).
    """

    unit: Ints
    period: Ints
    weight: Floats
    units: int
    periods: int
    table: Floats
    inverse: Floats

    @classmethod
    def of(cls, unit: Ints, period: Ints, weight: Floats | None = None, *, units: int = 0, periods: int = 0) -> TwoWay:
        """Effects over rows given by their unit's and period's place (0, 1, ...).

        Args:
            unit: Shape (n,).
            period: Shape (n,).
            weight: Shape (n,), > 0; default 1.
            units: Number of units; default: those that occur.
            periods: Number of periods; default: those that occur.
        """
        count_u, count_t = units or int(unit.max()) + 1, periods or int(period.max()) + 1
        weights = np.ones(unit.size) if weight is None else weight
        table = sums_by(unit * count_t + period, weights, count_u * count_t).reshape(count_u, count_t)
        by_unit = table.sum(axis=1, keepdims=True)
        shares = np.divide(table, by_unit, out=np.zeros_like(table), where=by_unit > 0.0)
        system = np.diag(table.sum(axis=0)) - table.T @ shares
        inverse = np.asarray(np.linalg.pinv(system, rcond=1e-11, hermitian=True), dtype=np.float64)
        return cls(unit=unit, period=period, weight=weights, units=count_u, periods=count_t, table=table, inverse=inverse)

    def solve(self, unit_sums: Floats, period_sums: Floats) -> tuple[Floats, Floats]:
        """Effects (a, b) whose weighted sums by unit and by period are the given ones.

        Args:
            unit_sums: Weighted sums of the target by unit, shape (units,).
            period_sums: The same by period, shape (periods,).

        Returns:
            Unit effects (0 for units without rows) and period effects, determined up to a constant between them.
        """
        by_unit = self.table.sum(axis=1)
        seen = by_unit > 0.0
        means = np.divide(unit_sums, by_unit, out=np.zeros(self.units), where=seen)
        effects_t = self.inverse @ (period_sums - self.table.T @ means)
        effects_u = means - np.divide(self.table @ effects_t, by_unit, out=np.zeros(self.units), where=seen)
        return effects_u, effects_t

    def effects(self, values: Floats) -> tuple[Floats, Floats]:
        """Unit and period effects of a column, shape (n,), by weighted least squares."""
        weighted = self.weight * values
        return self.solve(sums_by(self.unit, weighted, self.units), sums_by(self.period, weighted, self.periods))

    def residual(self, values: Floats) -> Floats:
        """What unit and period effects leave of a column, shape (n,)."""
        centre = float(values.mean())
        effects_u, effects_t = self.effects(values - centre)
        return values - centre - effects_u[self.unit] - effects_t[self.period]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PanelFit:
    """A regression with unit and period effects.

    Attributes:
        coefficients: Of the regressors, shape (k,).
        raw_covariance: Cluster-robust without a small-sample factor (CR0), shape (k, k).
        factors: Small-sample factor of the variance by convention.
        scores: Each cluster's part in the error of each coefficient, shape (clusters, k).
        pull: Weight that each cluster carries in each coefficient, >= 0, shape (clusters, k).
        clusters: Number of clusters.
        n: Rows.
        residuals: Shape (n,).
    """

    coefficients: Floats
    raw_covariance: Floats
    factors: dict[Factor, float]
    scores: Floats
    pull: Floats
    clusters: int
    n: int
    residuals: Floats

    def errors(self, small_sample: SmallSample, kind: Ints, *, also: Floats | None = None) -> ClusterErrors:
        """Errors of the coefficients by a convention.

        Args:
            small_sample: Which.
            kind: Kind of each cluster, as `kinds_of` has it, shape (clusters,).
            also: Parts of a further number, shape (clusters,), which becomes the last coefficient.

        Raises:
            UsageError: `small_sample` is another word.
            NotEnoughDataError: By `satterthwaite`, no kind has two clusters.
        """
        if small_sample not in get_args(SmallSample):
            raise UsageError(f"small_sample must be one of {list(get_args(SmallSample))}, got {small_sample!r}.")
        scores = self.scores if also is None else np.column_stack([self.scores, also])
        if small_sample == "satterthwaite":
            pull = self.pull if also is None else np.column_stack([self.pull, self.pull.sum(axis=1)])
            return ClusterErrors.of(scores, pull, kind)
        return ClusterErrors.plain(self.factors[small_sample] * (scores.T @ scores), self.clusters - 1.0)


def fit_panel(outcome: Floats, regressors: Floats, effects: TwoWay, cluster: Ints, *, nested: bool = True) -> PanelFit:
    """Weighted least squares of an outcome on regressors with unit and period effects.

    Args:
        outcome: Shape (n,).
        regressors: Shape (n, k).
        effects: The effects, with the rows' weights.
        cluster: Place of each row's cluster, shape (n,).
        nested: Whether units lie within clusters, so that their effects need not be counted.

    Raises:
        NotEnoughDataError: Fewer than two clusters, or no more rows than coefficients.
        DataError: A regressor does not vary once the effects are taken out.

    References:
        Liang & Zeger (1986); Cameron & Miller (2015), Journal of Human Resources 50, 317-372, section II.
    """
    n, k = regressors.shape
    groups = count_clusters(cluster)
    taken = {"nested": k + effects.periods, "all": k + effects.units + effects.periods - 1}
    if n <= taken["all"]:
        raise NotEnoughDataError(f"A regression with {taken['all']} coefficients needs more rows than that, got {n}.", code="too_few_units")
    y = effects.residual(outcome)
    x = np.column_stack([effects.residual(regressors[:, j]) for j in range(k)])
    root = np.sqrt(effects.weight)[:, None]
    spread = np.sqrt((np.square(regressors - regressors.mean(axis=0)) * root**2).sum(axis=0))
    scale = np.where(spread > 0.0, spread, 1.0)
    q, r = np.linalg.qr(x * root / scale)
    if np.abs(np.diagonal(r)).min() <= 1e-9:
        raise DataError(
            "A regressor does not vary once unit and period effects are taken out.",
            hint="Somebody must be treated and somebody not, in some of the same periods.",
            code="collinear",
        )
    half = np.linalg.solve(r, np.eye(k)) / scale[:, None]
    coefficients = half @ (q.T @ (y * root[:, 0]))
    residuals = y - x @ coefficients
    check_noise(residuals, outcome)
    pull = (x * effects.weight[:, None]) @ (half @ half.T)  # each coefficient is the sum of pull times the outcome
    scores = cluster_sums(pull * residuals[:, None], cluster, groups)
    base = groups / (groups - 1) * (n - 1)
    factors: dict[Factor, float] = {"none": 1.0, "all": base / (n - taken["all"])}
    factors["nested"] = base / (n - taken["nested"]) if nested else factors["all"]
    return PanelFit(
        coefficients=coefficients,
        raw_covariance=scores.T @ scores,
        factors=factors,
        scores=scores,
        pull=cluster_sums(np.abs(pull), cluster, groups),
        clusters=groups,
        n=n,
        residuals=residuals,
    )


def sums_by(place: Ints, values: Floats, groups: int) -> Floats:
    """Sums of a column by group.

    Args:
        place: Place of each row's group, shape (n,).
        values: Shape (n,).
        groups: Number of groups.

    Returns:
        Shape (groups,).
    """
    return np.asarray(np.bincount(place, values, groups), dtype=np.float64)


def cluster_sums(scores: Floats, cluster: Ints, groups: int) -> Floats:
    """Sums of rows by cluster.

    Args:
        scores: Shape (n, k).
        cluster: Place of each row's cluster, shape (n,).
        groups: Number of clusters.

    Returns:
        Shape (groups, k).
    """
    return np.column_stack([sums_by(cluster, scores[:, j], groups) for j in range(scores.shape[1])])


def is_nested(inner: Ints, outer: Ints) -> bool:
    """Whether every inner group lies in one outer group; both are places, shape (n,)."""
    first = np.full(int(inner.max()) + 1, -1, dtype=np.int64)
    first[inner] = outer
    return bool((first[inner] == outer).all())
