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
from fairtrial.quasi.estimate import (
    EvidenceGrade,
    QuasiEstimate,
    check_noise,
    codes_of,
    graded,
    indicator_of,
    inference,
    numbers_of,
)
from fairtrial.quasi.fixed_effects import SmallSample, TwoWay, cluster_sums, fit_panel, is_nested
from fairtrial.quasi.panel import weights_of
from fairtrial.stats.regression import coefficient_covariance, least_squares

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Cell = Literal["control_pre", "control_post", "treated_pre", "treated_post"]
CELLS: tuple[Cell, ...] = ("control_pre", "control_post", "treated_pre", "treated_post")
FEW_CLUSTERS = 30
FEW_TREATED_CLUSTERS = 5
PARALLEL_TRENDS = "Without the treatment the treated would have changed as the others did (parallel trends)."
NO_ANTICIPATION = "Nobody changed before the treatment began because it was coming (no anticipation)."
NO_SPILLOVER = "The treatment of some did not touch the others (no spillover)."
ASSUMPTIONS = (PARALLEL_TRENDS, NO_ANTICIPATION, NO_SPILLOVER)


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
    kinds: dict[str, float] = {kind: _root(coefficient_covariance(fit, design, kind)) for kind in ("classical", "hc1")}
    findings: list[Finding] = []
    if cluster is None:
        used, df, n_treated, n_control = "hc1", y.size - 4.0, int((group & after).sum()), int((~group & after).sum())
    else:
        _, members = codes_of("cluster", cluster, rows=y.size)
        groups = int(members.max()) + 1
        if groups < 2:
            raise NotEnoughDataError("Cluster-robust errors need two clusters at least, got 1.", code="too_few_clusters")
        scores = cluster_sums(design * fit.residuals[:, None], members, groups)
        scale = groups / (groups - 1) * (y.size - 1) / (y.size - 4)
        kinds["cluster_cr1"] = _root(scale * fit.inverse @ (scores.T @ scores) @ fit.inverse)
        used, df = "cluster_cr1", groups - 1.0
        n_treated, n_control = np.unique(members[group]).size, np.unique(members[~group]).size
        findings += check_clusters(groups, n_treated)
        findings += _one_wave(members, after, groups)
    effect = float(fit.coefficients[3])
    cells: dict[Cell, float] = {name: float(y[mask].mean()) for name, mask in masks.items()}
    tested = inference(effect, kinds[used], df=df, alpha=alpha)
    estimate = QuasiEstimate(
        effect=effect,
        interval=tested.interval,
        p_value=tested.p_value,
        std_error=kinds[used],
        statistic=tested.statistic,
        df=df,
        alpha=alpha,
        method="did_2x2",
        interval_method=f"{used}_t",
        n=y.size,
        n_treated=n_treated,
        n_control=n_control,
        treated=cells["treated_post"],
        counterfactual=cells["treated_post"] - effect,
        assumptions=ASSUMPTIONS,
        findings=tuple(findings),
        grade=graded(_grade("with two periods nothing of the trends before can be seen"), findings),
        numbers={str(name): value for name, value in cells.items()},
    )
    return TwoByTwo(estimate=estimate, cells=cells, std_errors=kinds)


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
    tested = inference(effect, std_error, alpha=alpha)
    estimate = QuasiEstimate(
        effect=effect,
        interval=tested.interval,
        p_value=tested.p_value,
        std_error=std_error,
        statistic=tested.statistic,
        df=None,
        alpha=alpha,
        method="did_from_cells",
        interval_method="normal",
        n=sum(cells[name].n for name in CELLS),
        n_treated=cells["treated_post"].n,
        n_control=cells["control_post"].n,
        treated=means["treated_post"],
        counterfactual=means["treated_post"] - effect,
        assumptions=(*ASSUMPTIONS, "The four cells hold different, independent units."),
        findings=(),
        grade=_grade("with two periods nothing of the trends before can be seen"),
        numbers={str(name): value for name, value in means.items()},
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
    raw = math.sqrt(float(fit.raw_covariance[0, 0]))
    effect, std_error = float(fit.coefficients[0]), math.sqrt(float(fit.covariance[0, 0]))
    tested = inference(effect, std_error, df=fit.clusters - 1.0, alpha=alpha)
    on = dose > 0.0
    pull = effects.weight * effects.residual(dose)
    negative = float(((pull < 0.0) & on).sum() / on.sum())
    touched = np.unique(members[on]).size
    findings = [*check_clusters(fit.clusters, touched), *_timing(units, periods, dose, negative)]
    treated = float(np.average(y[on], weights=effects.weight[on]))
    estimate = QuasiEstimate(
        effect=effect,
        interval=tested.interval,
        p_value=tested.p_value,
        std_error=std_error,
        statistic=tested.statistic,
        df=fit.clusters - 1.0,
        alpha=alpha,
        method="did_two_way",
        interval_method=f"cluster_{small_sample}_t",
        n=y.size,
        n_treated=np.unique(units[on]).size,
        n_control=np.unique(units).size - np.unique(units[on]).size,
        treated=treated,
        counterfactual=treated - effect * float(np.average(dose[on], weights=effects.weight[on])),
        assumptions=(*ASSUMPTIONS, "The effect is the same for all units and periods, or adoption is at one time."),
        findings=tuple(findings),
        grade=graded(_grade("the trends before the treatment were not tested"), findings),
        numbers={"negative_weights": negative, "clusters": float(fit.clusters)},
    )
    return TwoWayDid(
        estimate=estimate,
        std_errors={kind: raw * math.sqrt(factor) for kind, factor in fit.factors.items()},
        negative_weights=negative,
    )


def check_clusters(clusters: int, treated: int) -> list[Finding]:
    """Findings on the number of clusters that a cluster-robust error rests on.

    Args:
        clusters: Clusters in all.
        treated: Clusters with treated rows.
    """
    if treated < FEW_TREATED_CLUSTERS or clusters - treated < FEW_TREATED_CLUSTERS:
        side = min(treated, clusters - treated)
        return [
            Finding(
                code="few_treated_clusters",
                severity="warning",
                message=f"Only {side} of {clusters} clusters are on one side: a clustered error is far too small then.",
                action="Use placebo inference (synthetic control, permutation over units), and do not read this p-value.",
                numbers={"clusters": clusters, "treated_clusters": treated},
            )
        ]
    if clusters < FEW_CLUSTERS:
        return [
            Finding(
                code="few_clusters",
                severity="info",
                message=f"The standard error rests on {clusters} clusters; with few of them it is too small on average.",
                action="Read the interval as somewhat too narrow.",
                numbers={"clusters": clusters},
            )
        ]
    return []


def _timing(units: Ints, periods: Ints, dose: Floats, negative: float) -> list[Finding]:
    """Findings on adoption at different times and on treatments that end."""
    never = int(periods.max()) + 1
    began = np.full(int(units.max()) + 1, never)
    np.minimum.at(began, units[dose > 0.0], periods[dose > 0.0])
    cohorts = np.unique(began[began < never])
    found: list[Finding] = []
    if cohorts.size > 1:
        found.append(
            Finding(
                code="staggered_adoption",
                severity="warning",
                message=f"Units began at {cohorts.size} different times; {negative:.0%} of treated rows enter with a negative weight.",
                action="Use the staggered estimators (kind did with a cohort column): they compare with units not yet treated only.",
                numbers={"cohorts": cohorts.size, "negative_weights": negative},
            )
        )
    if ((dose <= 0.0) & (periods > began[units])).any():
        found.append(
            Finding(
                code="treatment_ends",
                severity="warning",
                message="Some units left the treatment again; the estimate takes its effect to end at once.",
                action="Leave rows after the end out, or study the end apart.",
            )
        )
    return found


def _one_wave(members: Ints, after: NDArray[np.bool_], groups: int) -> list[Finding]:
    """Units seen before or after only: the two waves then hold different units."""
    waves = np.bincount(members, after, groups)
    rows = np.bincount(members, minlength=groups)
    lone = int(((waves == 0) | (waves == rows)).sum())
    if lone in {0, groups}:
        return []
    return [
        Finding(
            code="one_wave_only",
            severity="info" if lone < 0.1 * groups else "warning",
            message=f"{lone} of {groups} units were seen only before or only after: attrition may look like an effect.",
            action="Compare with the units seen both times (balanced sample), and ask why the others are missing.",
            numbers={"units": lone, "of": groups},
        )
    ]


def _check_cells(counts: Mapping[Cell, int]) -> None:
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        raise NotEnoughDataError(
            f"Difference in differences needs rows in all four cells, {empty} are empty.",
            hint="The control group must be seen before and after too.",
            code="empty_cell",
        )


def _grade(because: str) -> EvidenceGrade:
    return EvidenceGrade(level="weak", design="did", rests_on=PARALLEL_TRENDS, because=f"Not higher: {because}.")


def _root(covariance: Floats) -> float:
    return math.sqrt(float(covariance[3, 3]))
