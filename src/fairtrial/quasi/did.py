"""Difference in differences: how much more the treated changed than those who were not treated.

The effect is (treated after - treated before) - (control after - control
before). It is causal if, without the treatment, both groups would have changed
alike (parallel trends); that cannot be shown, only made plausible by periods
before the treatment (`event_study`). Rows of one unit depend on each other, so
errors are clustered by unit (Bertrand, Duflo & Mullainathan 2004, QJE 119,
249-275). With adoption at different times two-way fixed effects average effects
with weights that may be negative (Goodman-Bacon 2021; de Chaisemartin &
D'Haultfoeuille 2020): use `staggered` there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.quasi.columns import check_noise, codes_of, count_clusters, indicator_of, numbers_of
from fairtrial.quasi.did_checks import ASSUMPTIONS, began_of, check_clusters, timing_findings, trends_grade, wave_findings
from fairtrial.quasi.estimate import QuasiEstimate, graded, with_inference
from fairtrial.quasi.few_clusters import ClusterErrors, kinds_of
from fairtrial.quasi.fixed_effects import PanelFit, SmallSample, TwoWay, cluster_sums, fit_panel, is_nested, sums_by
from fairtrial.quasi.panel import weights_of
from fairtrial.quasi.relative import LevelError
from fairtrial.stats.regression import LeastSquares, coefficient_covariance, least_squares

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Cell = Literal["control_pre", "control_post", "treated_pre", "treated_post"]
CELLS: tuple[Cell, ...] = ("control_pre", "control_post", "treated_pre", "treated_post")
EFFECT, WITHOUT = np.array([0.0, 0.0, 0.0, 1.0]), np.array([1.0, 1.0, 1.0, 0.0])
"""Of 1, treated, post and treated x post: the effect, and what the treated would have been afterwards without it."""
ClusteredKind = Literal["cr1", "satterthwaite"]
UNSEEN = "with two periods nothing of the trends before can be seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellMean:
    """Mean of one group in one period.

    Attributes:
        mean: In the outcome's unit.
        std_error: Standard error of the mean, >= 0.
        n: Rows behind it; 0 where it was not reported.
    """

    mean: float
    std_error: float
    n: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoByTwo:
    """Two groups, two periods.

    Attributes:
        estimate: The effect on the treated.
        cells: Mean outcome of each group in each period.
        std_errors: Of the effect, by kind: `classical`, `hc1`, and, where clusters were given, `cluster_cr1` and
            `cluster_satterthwaite` (the latter where a side has two clusters).
    """

    estimate: QuasiEstimate
    cells: Mapping[Cell, float]
    std_errors: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoWayDid:
    """Difference in differences with unit and period effects.

    Attributes:
        estimate: The effect on the treated.
        std_errors: Cluster-robust, by small-sample convention: `none` (CR0), `nested` (unit effects that lie
            in clusters are not counted) and `all` (every dummy is counted); `satterthwaite`, where it was asked for.
        negative_weights: Share of treated rows that the estimate counts with a negative weight.
    """

    estimate: QuasiEstimate
    std_errors: Mapping[SmallSample, float]
    negative_weights: float


def did_2x2(
    outcome: ArrayLike,
    treated: ArrayLike,
    post: ArrayLike,
    *,
    cluster: ArrayLike | None = None,
    small_sample: ClusteredKind = "cr1",
    alpha: float = 0.05,
) -> TwoByTwo:
    """Difference in differences of two groups before and after.

    Serves a panel (`cluster` is the unit) and repeated cross sections (rows are different
    people; `cluster` is the level at which treatment was decided, or None).

    Args:
        outcome: One value a row, shape (n,).
        treated: 1 for rows of the treated group, before and after, shape (n,).
        post: 1 for rows after the treatment began, shape (n,).
        cluster: The cluster of each row, numbers or text; None takes rows as independent (HC1 errors).
        small_sample: Of clustered errors: `cr1`, as other programs have it, with clusters - 1 degrees of freedom; or
            `satterthwaite`, a variance for each side with degrees of freedom of its own, which holds with few treated
            clusters too (the one that specs use).
        alpha: Error rate in (0, 1); the interval covers 1 - `alpha`.

    Returns:
        The coefficient of treated x post in y ~ treated * post; t with the clusters' (or n - 4) degrees of freedom.

    Raises:
        UsageError: Lengths differ, an indicator holds other values than 0 and 1, or `small_sample` is another word.
        NotEnoughDataError: A cell is empty, or there are fewer than two clusters or five rows.
        DataError: A value is missing, or nothing varies.

    References:
        Card & Krueger (1994), AER 84, 772-793; CR1: Liang & Zeger (1986), Biometrika 73, 13-22; `satterthwaite`: Welch
        (1947), Bell & McCaffrey (2002), see `few_clusters`.
    """
    if small_sample not in get_args(ClusteredKind):
        raise UsageError(f"small_sample must be one of {list(get_args(ClusteredKind))}, got {small_sample!r}.")
    y = numbers_of("outcome", outcome)
    group, after = indicator_of("treated", treated, rows=y.size), indicator_of("post", post, rows=y.size)
    masks: dict[Cell, NDArray[np.bool_]] = dict(zip(CELLS, (~group & ~after, ~group & after, group & ~after, group & after), strict=True))
    _check_cells({name: int(mask.sum()) for name, mask in masks.items()})
    design = np.column_stack([np.ones(y.size), group, after, group & after]).astype(np.float64)
    fit = least_squares(y, design)
    check_noise(fit.residuals, y)
    kinds = {kind: coefficient_covariance(fit, design, kind) for kind in ("classical", "hc1")}
    cells: dict[Cell, float] = {name: float(y[mask].mean()) for name, mask in masks.items()}
    if cluster is None:
        rests = _Rests(kind="hc1", df=y.size - 4.0, n_treated=int((group & after).sum()), n_control=int((~group & after).sum()))
    else:
        members = codes_of("cluster", cluster, rows=y.size)[1]
        rests = _on_clusters(members, group, after, small_sample)
        kinds["cluster_cr1"] = _clustered(fit, design, members, count_clusters(members))
        if small_sample == "satterthwaite":
            errors = _by_side(fit, design, members, group)
            rests = replace(rests, df=errors.df_of(EFFECT))
            kinds[rests.kind] = errors.covariance
    effect = float(fit.coefficients[3])
    covariance = kinds[rests.kind]
    estimate = QuasiEstimate(
        **with_inference(effect, _root(covariance), df=rests.df, alpha=alpha),
        method="did_2x2",
        interval_method=f"{rests.kind}_t",
        n=y.size,
        n_treated=rests.n_treated,
        n_control=rests.n_control,
        treated=cells["treated_post"],
        counterfactual=cells["treated_post"] - effect,
        assumptions=ASSUMPTIONS,
        findings=rests.findings,
        grade=graded(trends_grade("did", level="weak", because=UNSEEN), rests.findings),
        numbers={str(name): value for name, value in cells.items()},
        level_error=LevelError.of_coefficients(covariance, effect=EFFECT, level=WITHOUT),
    )
    return TwoByTwo(estimate=estimate, cells=cells, std_errors={kind: _root(matrix) for kind, matrix in kinds.items()})


def did_from_cells(cells: Mapping[Cell, CellMean], *, alpha: float = 0.05) -> TwoByTwo:
    """Difference in differences from the means of four independent cells (repeated cross sections).

    Args:
        cells: Mean and standard error of `control_pre`, `control_post`, `treated_pre` and `treated_post`.
        alpha: Error rate in (0, 1).

    Returns:
        The effect; its variance is the sum of the cells' variances, normal inference.

    Raises:
        UsageError: A cell is not there, or a number is not finite, or a standard error is negative.
        DataError: All standard errors are 0.
    """
    missing = [name for name in CELLS if name not in cells]
    if missing:
        raise UsageError(f"Difference in differences needs four cells, {missing} are missing.")
    for name in CELLS:
        cell = cells[name]
        if not (math.isfinite(cell.mean) and math.isfinite(cell.std_error)) or cell.std_error < 0.0:
            raise UsageError(f"A cell needs a finite mean and a standard error >= 0, got {name}: {cell.mean}, {cell.std_error}.")
    means: dict[Cell, float] = {name: cells[name].mean for name in CELLS}
    effect = (means["treated_post"] - means["treated_pre"]) - (means["control_post"] - means["control_pre"])
    std_error = math.hypot(*(cells[name].std_error for name in CELLS))
    others = sum(cells[name].std_error ** 2 for name in CELLS if name != "treated_post")
    estimate = QuasiEstimate(
        **with_inference(effect, std_error, alpha=alpha),
        method="did_from_cells",
        interval_method="normal",
        n=sum(cells[name].n for name in CELLS),
        n_treated=cells["treated_post"].n,
        n_control=cells["control_post"].n,
        treated=means["treated_post"],
        counterfactual=means["treated_post"] - effect,
        assumptions=(*ASSUMPTIONS, "The four cells hold different, independent units."),
        findings=(),
        grade=trends_grade("did", level="weak", because=UNSEEN),
        numbers={str(name): value for name, value in means.items()},
        level_error=LevelError(variance=others, covariance=-others),
    )
    return TwoByTwo(estimate=estimate, cells=means, std_errors={"independent_cells": std_error})


def did_two_way(
    outcome: ArrayLike,
    unit: ArrayLike,
    time: ArrayLike,
    treatment: ArrayLike,
    *,
    cluster: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    small_sample: SmallSample = "satterthwaite",
    alpha: float = 0.05,
) -> TwoWayDid:
    """Difference in differences over many periods, with unit and period effects.

    Args:
        outcome: One value a row, shape (n,).
        unit: The unit of each row, numbers or text.
        time: The period of each row, numbers or text that sorts.
        treatment: 1 where the row's unit is under treatment in that period; a fraction where it began within the period.
        cluster: The cluster of each row; default: the unit.
        weights: Weight of each row, > 0 (for example population); default 1.
        small_sample: Convention of the standard error: `satterthwaite` holds with few treated clusters too; `nested`, `all`
            and `none` are those of other programs.
        alpha: Error rate in (0, 1).

    Returns:
        The coefficient of `treatment`; t with Satterthwaite's (or clusters - 1) degrees of freedom.

    Raises:
        UsageError: Lengths differ, or an option breaks its rule.
        NotEnoughDataError: Fewer than two clusters, or too few rows.
        DataError: A value is missing, or the treatment does not vary within units and periods.

    References:
        Bertrand, Duflo & Mullainathan (2004), QJE 119, 249-275; weights: de Chaisemartin &
        D'Haultfoeuille (2020), AER 110, 2964-2996, theorem 1.
    """
    y = numbers_of("outcome", outcome)
    _, units = codes_of("unit", unit, rows=y.size)
    _, periods = codes_of("time", time, rows=y.size)
    dose = numbers_of("treatment", treatment, rows=y.size)
    _, members = codes_of("cluster", unit if cluster is None else cluster, rows=y.size)
    effects = TwoWay.of(units, periods, weights_of(weights, y.size))
    fit = fit_panel(y, dose[:, None], effects, members, nested=is_nested(units, members))
    effect = float(fit.coefficients[0])
    on = dose > 0.0
    pull = effects.weight * effects.residual(dose)
    negative = float(((pull < 0.0) & on).sum() / on.sum())
    treated = float(np.average(y[on], weights=effects.weight[on]))
    began = began_of(units, periods, dose)
    errors = fit.errors(small_sample, kinds_of(members, began[units]), also=_level_scores(y - treated, dose, effects, fit, members))
    own, level = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    std_error = math.sqrt(errors.variance_of(own))
    findings = [
        *check_clusters(fit.clusters, np.unique(members[on]).size, by_kind=small_sample == "satterthwaite"),
        *timing_findings(units, periods, dose, negative),
    ]
    ever = np.unique(units[on]).size
    estimate = QuasiEstimate(
        **with_inference(effect, std_error, df=errors.df_of(own), alpha=alpha),
        method="did_two_way",
        interval_method=f"cluster_{small_sample}_t",
        n=y.size,
        n_treated=ever,
        n_control=effects.units - ever,
        treated=treated,
        counterfactual=treated - effect * float(np.average(dose[on], weights=effects.weight[on])),
        assumptions=(*ASSUMPTIONS, "The effect is the same for all units and periods, or adoption is at one time."),
        findings=tuple(findings),
        grade=graded(trends_grade("did", level="weak", because="the trends before the treatment were not tested"), findings),
        numbers={"negative_weights": negative, "clusters": float(fit.clusters)},
        level_error=LevelError.of_coefficients(errors.covariance, effect=own, level=level),
    )
    raw = math.sqrt(float(fit.raw_covariance[0, 0]))
    std_errors: dict[SmallSample, float] = {kind: raw * math.sqrt(factor) for kind, factor in fit.factors.items()}
    std_errors[small_sample] = std_error
    return TwoWayDid(estimate=estimate, std_errors=std_errors, negative_weights=negative)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rests:
    """What the error of a two-by-two comparison rests on."""

    kind: Literal["hc1", "cluster_cr1", "cluster_satterthwaite"]
    df: float
    n_treated: int
    n_control: int
    findings: tuple[Finding, ...] = ()


def _on_clusters(members: Ints, group: NDArray[np.bool_], after: NDArray[np.bool_], small_sample: ClusteredKind) -> _Rests:
    """The clusters on each side, and what is to be said of them."""
    clusters = count_clusters(members)
    treated, others = np.unique(members[group]).size, np.unique(members[~group]).size
    return _Rests(
        kind="cluster_cr1" if small_sample == "cr1" else "cluster_satterthwaite",
        df=clusters - 1.0,
        n_treated=treated,
        n_control=others,
        findings=(
            *check_clusters(clusters, treated, by_kind=small_sample == "satterthwaite"),
            *wave_findings(members, after, clusters),
        ),
    )


def _by_side(fit: LeastSquares, design: Floats, members: Ints, group: NDArray[np.bool_]) -> ClusterErrors:
    """Errors of the four coefficients, the treated side's and the other's apart."""
    clusters = int(members.max()) + 1
    rows = design @ fit.inverse
    pull = cluster_sums(np.abs(rows), members, clusters)
    return ClusterErrors.of(cluster_sums(rows * fit.residuals[:, None], members, clusters), pull, kinds_of(members, group.astype(np.int64)))


def _clustered(fit: LeastSquares, design: Floats, members: Ints, clusters: int) -> Floats:
    """Cluster-robust covariance with the factor CR1, shape (4, 4)."""
    n, k = design.shape
    scores = cluster_sums(design * fit.residuals[:, None], members, clusters)
    scale = clusters / (clusters - 1) * (n - 1) / (n - k)
    return scale * fit.inverse @ (scores.T @ scores) @ fit.inverse


def _level_scores(deviation: Floats, dose: Floats, effects: TwoWay, fit: PanelFit, members: Ints) -> Floats:
    """Each cluster's part in the error of the treated rows' mean less the effect at their mean dose, shape (clusters,)."""
    share = np.where(dose > 0.0, effects.weight, 0.0)
    share /= share.sum()
    return sums_by(members, share * deviation, fit.clusters) - float(share @ dose) * fit.scores[:, 0]


def _check_cells(counts: Mapping[Cell, int]) -> None:
    """Raise where a group has no rows in a period."""
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        raise NotEnoughDataError(
            f"Difference in differences needs rows in all four cells, {empty} are empty.",
            hint="The control group must be seen before and after too.",
            code="empty_cell",
        )


def _root(covariance: Floats) -> float:
    """Standard error of the effect, the last of four coefficients."""
    return math.sqrt(float(covariance[3, 3]))
