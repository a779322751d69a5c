"""Staggered adoption by imputation: what the treated would have been, from untreated rows alone.

Unit and period effects are fitted on untreated rows (never treated, or not
yet); each treated row's effect is its outcome less the prediction, and any
average of these is an estimate (Borusyak, Jaravel & Spiess 2024; the two-stage
form of Gardner 2021). Under parallel trends and equal variances it is the most
precise; it leans on every untreated period, where Callaway and Sant'Anna lean
on the last one. Errors are clustered and count the first stage's uncertainty;
with few treated units the published ones are too small, and `satterthwaite` takes
a variance for each cohort, with degrees of freedom of its own (`few_clusters`).

References: Borusyak, Jaravel & Spiess (2024), Review of Economic Studies 91,
3253-3285; Gardner (2021), Two-stage differences in differences, section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.quasi.columns import count_clusters
from fairtrial.quasi.did_checks import ASSUMPTIONS, check_clusters, trends_grade
from fairtrial.quasi.estimate import QuasiEstimate, graded, inference, with_inference
from fairtrial.quasi.event_study import EventPoint
from fairtrial.quasi.few_clusters import ClusterErrors, kinds_of
from fairtrial.quasi.fixed_effects import TwoWay, cluster_sums, sums_by
from fairtrial.quasi.panel import Panel, panel_of
from fairtrial.quasi.relative import LevelError
from fairtrial.quasi.staggered import CohortErrors

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImputedDid:
    """Effects by imputation.

    Attributes:
        estimate: Mean effect over treated rows.
        points: Mean effect by periods since the start, 0 first.
    """

    estimate: QuasiEstimate
    points: tuple[EventPoint, ...]


def impute_did(
    outcome: ArrayLike,
    unit: ArrayLike,
    time: ArrayLike,
    cohort: ArrayLike,
    *,
    cluster: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    small_sample: CohortErrors = "none",
    alpha: float = 0.05,
) -> ImputedDid:
    """Mean effect on treated rows, the untreated outcome imputed from untreated rows.

    Args:
        outcome: One value a row, shape (n,).
        unit: The unit of each row, numbers or text.
        time: The period of each row, numbers.
        cohort: First treated period of the row's unit; NaN, infinity, or 0 where 0 is no period: never.
        cluster: The cluster of each row; default: the unit.
        weights: Weight of each row, > 0.
        small_sample: Convention of the standard errors: `none`, the two stages' clustered error as published, with normal
            quantiles; `satterthwaite` holds with few treated units too (the one that specs use).
        alpha: Error rate in (0, 1) of each interval.

    Returns:
        The effects.

    Raises:
        UsageError: Lengths differ, or `small_sample` is another word.
        NotEnoughDataError: No treated row has both its unit and its period seen untreated, or there is one cluster.
        DataError: A value is missing, or nothing varies.

    References:
        Gardner (2021), section 3 and appendix; Borusyak, Jaravel & Spiess (2024), theorem 2.
    """
    if small_sample not in get_args(CohortErrors):
        raise UsageError(f"small_sample must be one of {list(get_args(CohortErrors))}, got {small_sample!r}.")
    panel, findings = _imputable(panel_of(outcome, unit, time, cohort, weights=weights, cluster=cluster))
    clusters = count_clusters(panel.cluster)
    averages = _Averages.of(panel, clusters, small_sample)
    treated = panel.treated
    effect, errors = averages.mean(treated)
    own, level = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    observed = float(np.average(panel.outcome[treated], weights=panel.weight[treated]))
    ever = np.unique(panel.unit[treated]).size
    by_cohort = small_sample == "satterthwaite"
    findings += check_clusters(clusters, np.unique(panel.cluster[treated]).size, by_kind=by_cohort)
    estimate = QuasiEstimate(
        **with_inference(effect, math.sqrt(errors.variance_of(own)), df=errors.df_of(own), alpha=alpha),
        method="did_imputation",
        interval_method="two_stage_cluster_satterthwaite_t" if by_cohort else "two_stage_cluster_normal",
        n=panel.outcome.size,
        n_treated=ever,
        n_control=panel.units - ever,
        treated=observed,
        counterfactual=observed - effect,
        assumptions=ASSUMPTIONS,
        findings=tuple(findings),
        grade=graded(trends_grade("staggered_did"), findings),
        numbers={"treated_rows": float(treated.sum()), "clusters": float(clusters)},
        level_error=LevelError.of_coefficients(errors.covariance, effect=own, level=level),
    )
    return ImputedDid(estimate=estimate, points=_points(averages, alpha))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Averages:
    """What any average over treated rows needs: each row's effect, and what the first stage owes to each untreated row."""

    panel: Panel
    first: TwoWay
    gap: Floats
    clusters: int
    kind: Ints
    small_sample: CohortErrors

    @classmethod
    def of(cls, panel: Panel, clusters: int, small_sample: CohortErrors) -> _Averages:
        """Fit the first stage on untreated rows and take the prediction off every row."""
        first = _first_stage(panel)
        y = panel.outcome - float(panel.outcome.mean())
        effects_u, effects_t = first.effects(y[~panel.treated])
        gap = y - effects_u[panel.unit] - effects_t[panel.period]
        kind = kinds_of(panel.cluster, panel.first[panel.unit])
        return cls(panel=panel, first=first, gap=gap, clusters=clusters, kind=kind, small_sample=small_sample)

    def mean(self, chosen: Bools) -> tuple[float, ClusterErrors]:
        """Mean effect over chosen treated rows; its error, and that of what these rows would have been.

        The mean is linear in all outcomes: treated rows carry their share, untreated rows
        what solving the first stage gives them; scores of both are summed by cluster.
        """
        panel = self.panel
        share = np.where(chosen, panel.weight, 0.0)
        share /= share.sum()
        effect, mean = float(share @ self.gap), float(share @ panel.outcome)
        pull = self._pull(share)
        own = np.where(chosen, share * (self.gap - effect), 0.0) - pull * self.gap
        scores = cluster_sums(np.column_stack([own, share * (panel.outcome - mean) - own]), panel.cluster, self.clusters)
        if self.small_sample == "none":
            return effect, ClusterErrors.plain(scores.T @ scores, math.inf)
        weight = sums_by(panel.cluster, share + np.abs(pull), self.clusters)
        return effect, ClusterErrors.of(scores, np.column_stack([weight, weight]), self.kind)

    def _pull(self, share: Floats) -> Floats:
        """What untreated rows take off the mean effect of treated rows with these shares, shape (n,); 0 for treated rows."""
        panel = self.panel
        sums_u = sums_by(panel.unit, share, panel.units)
        sums_t = sums_by(panel.period, share, panel.periods.size)
        pull_u, pull_t = self.first.solve(sums_u, sums_t)
        return np.where(panel.treated, 0.0, panel.weight * (pull_u[panel.unit] + pull_t[panel.period]))


def _first_stage(panel: Panel) -> TwoWay:
    """Unit and period effects over untreated rows, with a place for every unit and period of the panel."""
    free = ~panel.treated
    return TwoWay.of(panel.unit[free], panel.period[free], panel.weight[free], units=panel.units, periods=panel.periods.size)


def _points(averages: _Averages, alpha: float) -> tuple[EventPoint, ...]:
    """Mean effect at each distance from the start; no error where every row there fits exactly."""
    panel = averages.panel
    distance = panel.period - panel.first[panel.unit]
    own = np.array([1.0, 0.0])
    points: list[EventPoint] = []
    for event_time in np.unique(distance[panel.treated]):
        chosen = panel.treated & (distance == event_time)
        effect, errors = averages.mean(chosen)
        std_error = math.sqrt(errors.variance_of(own))
        known = std_error > 0.0
        points.append(
            EventPoint(
                event_time=int(event_time),
                effect=effect,
                std_error=std_error if known else None,
                interval=inference(effect, std_error, df=errors.df_of(own), alpha=alpha).interval if known else None,
                n=int(chosen.sum()),
            )
        )
    return tuple(points)


def _imputable(panel: Panel) -> tuple[Panel, list[Finding]]:
    """The rows whose unit and period were both seen untreated, and what was left out."""
    treated = panel.treated
    known_units = np.bincount(panel.unit, ~treated, panel.units) > 0
    known_periods = np.bincount(panel.period, ~treated, panel.periods.size) > 0
    keep = ~treated | (known_units[panel.unit] & known_periods[panel.period])
    if not (treated & keep).any():
        raise NotEnoughDataError(
            "Imputation needs treated rows whose unit and whose period were also seen untreated.",
            hint="Somebody must be untreated in the periods of interest, and the treated must have a before.",
            code="no_comparison",
        )
    lost = int((~keep).sum())
    if lost == 0:
        return panel, []
    left = Finding(
        code="not_imputable",
        severity="warning",
        message=f"{lost} treated rows have no untreated row of their unit or of their period, and were left out.",
        action="The estimate speaks of the other treated rows only.",
        numbers={"rows": lost},
    )
    return panel.rows(keep), [left]
