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
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.quasi.columns import check_noise, codes_of, count_clusters, indicator_of, numbers_of
from fairtrial.quasi.did_checks import ASSUMPTIONS, check_clusters, timing_findings, trends_grade, wave_findings
from fairtrial.quasi.estimate import QuasiEstimate, graded, with_inference
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
        std_errors: Of the effect, by kind: `classical`, `hc1`, and `cluster_cr1` where clusters were given.
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
            in clusters are not counted) and `all` (every dummy is counted).
        negative_weights: Share of treated rows that the estimate counts with a negative weight.
    """

    estimate: QuasiEstimate
    std_errors: Mapping[SmallSample, float]
    negative_weights: float


def did_2x2(outcome: ArrayLike, treated: ArrayLike, post: ArrayLike, *, cluster: ArrayLike | None = None, alpha: float = 0.05) -> TwoByTwo:
    """Difference in differences of two groups before and after.

    Serves a panel (`cluster` is the unit) and repeated cross sections (rows are different
    people; `cluster` is the level at which treatment was decided, or None).

    Args:
        outcome: One value a row, shape (n,).
        treated: 1 for rows of the treated group, before and after, shape (n,).
        post: 1 for rows after the treatment began, shape (n,).
        cluster: The cluster of each row, numbers or text; None takes rows as independent (HC1 errors).
        alpha: Error rate in (0, 1); the interval covers 1 - `alpha`.

    Returns:
        The coefficient of treated x post in y ~ treated * post; t with clusters - 1 (or n - 4) degrees of freedom.

    Raises:
        UsageError: Lengths differ, or an indicator holds other values than 0 and 1.
        NotEnoughDataError: A cell is empty, or there are fewer than two clusters or five rows.
        DataError: A value is missing, or nothing varies.

    References:
        Card & Krueger (1994), AER 84, 772-793; CR1: Liang & Zeger (1986), Biometrika 73, 13-22.
    """
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
        rests = _on_clusters(members, group, after)
        kinds[rests.kind] = _clustered(fit, design, members, count_clusters(members))
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
    small_sample: SmallSample = "nested",
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
        small_sample: Convention of the standard error: `nested`, `all` or `none`.
        alpha: Error rate in (0, 1).

    Returns:
        The coefficient of `treatment`; t with clusters - 1 degrees of freedom.

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
    fit = fit_panel(y, dose[:, None], effects, members, small_sample=small_sample, nested=is_nested(units, members))
    effect = float(fit.coefficients[0])
    on = dose > 0.0
    pull = effects.weight * effects.residual(dose)
    negative = float(((pull < 0.0) & on).sum() / on.sum())
    findings = [*check_clusters(fit.clusters, np.unique(members[on]).size), *timing_findings(units, periods, dose, negative)]
    treated = float(np.average(y[on], weights=effects.weight[on]))
    ever = np.unique(units[on]).size
    estimate = QuasiEstimate(
        **with_inference(effect, math.sqrt(float(fit.covariance[0, 0])), df=fit.clusters - 1.0, alpha=alpha),
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
        level_error=_level_error(y - treated, dose, pull, effects, fit, members, fit.factors[small_sample]),
    )
    return TwoWayDid(
        estimate=estimate,
        std_errors={kind: math.sqrt(float(fit.raw_covariance[0, 0])) * math.sqrt(factor) for kind, factor in fit.factors.items()},
        negative_weights=negative,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rests:
    """What the error of a two-by-two comparison rests on."""

    kind: Literal["hc1", "cluster_cr1"]
    df: float
    n_treated: int
    n_control: int
    findings: tuple[Finding, ...] = ()


def _on_clusters(members: Ints, group: NDArray[np.bool_], after: NDArray[np.bool_]) -> _Rests:
    """The clusters on each side, and what is to be said of them."""
    clusters = count_clusters(members)
    treated, others = np.unique(members[group]).size, np.unique(members[~group]).size
    return _Rests(
        kind="cluster_cr1",
        df=clusters - 1.0,
        n_treated=treated,
        n_control=others,
        findings=(*check_clusters(clusters, treated), *wave_findings(members, after, clusters)),
    )


def _clustered(fit: LeastSquares, design: Floats, members: Ints, clusters: int) -> Floats:
    """Cluster-robust covariance with the factor CR1, shape (4, 4)."""
    n, k = design.shape
    scores = cluster_sums(design * fit.residuals[:, None], members, clusters)
    scale = clusters / (clusters - 1) * (n - 1) / (n - k)
    return scale * fit.inverse @ (scores.T @ scores) @ fit.inverse


def _level_error(deviation: Floats, dose: Floats, pull: Floats, effects: TwoWay, fit: PanelFit, members: Ints, factor: float) -> LevelError:
    """Error of the treated rows' mean less the effect at their mean dose, beside the effect's, by cluster.

    The coefficient is linear in all outcomes: a row weighs `pull`, over what these weights make of the dose itself.
    """
    share = np.where(dose > 0.0, effects.weight, 0.0)
    share /= share.sum()
    own = sums_by(members, pull * fit.residuals, fit.clusters) / float(pull @ dose)
    level = sums_by(members, share * deviation, fit.clusters) - float(share @ dose) * own
    return LevelError(variance=factor * float(level @ level), covariance=factor * float(level @ own))


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
