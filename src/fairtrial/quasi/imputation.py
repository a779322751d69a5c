"""Staggered adoption by imputation: what the treated would have been, from untreated rows alone.

Unit and period effects are fitted on untreated rows (never treated, or not
yet); each treated row's effect is its outcome less the prediction, and any
average of these is an estimate (Borusyak, Jaravel & Spiess 2024; the two-stage
form of Gardner 2021). Under parallel trends and equal variances it is the most
precise; it leans on every untreated period, where Callaway and Sant'Anna lean
on the last one. Errors are clustered and count the first stage's uncertainty.

References: Borusyak, Jaravel & Spiess (2024), Review of Economic Studies 91,
3253-3285; Gardner (2021), Two-stage differences in differences, section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import NotEnoughDataError
from fairtrial.quasi.columns import count_clusters
from fairtrial.quasi.did_checks import ASSUMPTIONS, check_clusters, trends_grade
from fairtrial.quasi.estimate import QuasiEstimate, graded, inference, with_inference
from fairtrial.quasi.event_study import EventPoint
from fairtrial.quasi.fixed_effects import TwoWay, sums_by
from fairtrial.quasi.panel import Panel, panel_of
from fairtrial.quasi.relative import LevelError

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
        alpha: Error rate in (0, 1) of each interval.

    Returns:
        The effects; normal inference with the two stages' clustered error, no small-sample factor.

    Raises:
        UsageError: Lengths differ.
        NotEnoughDataError: No treated row has both its unit and its period seen untreated, or there is one cluster.
        DataError: A value is missing, or nothing varies.

    References:
        Gardner (2021), section 3 and appendix; Borusyak, Jaravel & Spiess (2024), theorem 2.
    """
    panel, findings = _imputable(panel_of(outcome, unit, time, cohort, weights=weights, cluster=cluster))
    clusters = count_clusters(panel.cluster)
    averages = _Averages.of(panel, clusters)
    treated = panel.treated
    effect, std_error = averages.mean(treated)
    observed = float(np.average(panel.outcome[treated], weights=panel.weight[treated]))
    ever = np.unique(panel.unit[treated]).size
    findings += check_clusters(clusters, np.unique(panel.cluster[treated]).size)
    estimate = QuasiEstimate(
        **with_inference(effect, std_error, alpha=alpha),
        method="did_imputation",
        interval_method="two_stage_cluster_normal",
        n=panel.outcome.size,
        n_treated=ever,
        n_control=panel.units - ever,
        treated=observed,
        counterfactual=observed - effect,
        assumptions=ASSUMPTIONS,
        findings=tuple(findings),
        grade=graded(trends_grade("staggered_did"), findings),
        numbers={"treated_rows": float(treated.sum()), "clusters": float(clusters)},
        level_error=averages.level_error(treated),
    )
    return ImputedDid(estimate=estimate, points=_points(averages, alpha))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Averages:
    """What any average over treated rows needs: each row's effect, and what the first stage owes to each untreated row."""

    panel: Panel
    first: TwoWay
    gap: Floats
    clusters: int

    @classmethod
    def of(cls, panel: Panel, clusters: int) -> _Averages:
        """Fit the first stage on untreated rows and take the prediction off every row."""
        first = _first_stage(panel)
        y = panel.outcome - float(panel.outcome.mean())
        effects_u, effects_t = first.effects(y[~panel.treated])
        return cls(panel=panel, first=first, gap=y - effects_u[panel.unit] - effects_t[panel.period], clusters=clusters)

    def mean(self, chosen: Bools) -> tuple[float, float]:
        """Mean effect over chosen treated rows and its standard error."""
        share = self._share(chosen)
        effect = float(share @ self.gap)
        return effect, math.sqrt(float(np.square(self._scores(chosen, share, effect)).sum()))

    def level_error(self, chosen: Bools) -> LevelError:
        """Error of what the chosen treated rows would have been, beside that of their mean effect."""
        share = self._share(chosen)
        effect = self._scores(chosen, share, float(share @ self.gap))
        observed = share * (self.panel.outcome - float(share @ self.panel.outcome))
        return LevelError.of_scores(effect, sums_by(self.panel.cluster, observed, self.clusters))

    def _share(self, chosen: Bools) -> Floats:
        """Each row's part in a mean over chosen rows, shape (n,)."""
        share = np.where(chosen, self.panel.weight, 0.0)
        return share / share.sum()

    def _scores(self, chosen: Bools, share: Floats, effect: float) -> Floats:
        """What each cluster adds to the error of a mean effect, shape (clusters,).

        The mean is linear in all outcomes: treated rows carry their share, untreated rows
        what solving the first stage gives them; scores of both are summed by cluster.
        """
        panel = self.panel
        sums_u = sums_by(panel.unit, share, panel.units)
        sums_t = sums_by(panel.period, share, panel.periods.size)
        pull_u, pull_t = self.first.solve(sums_u, sums_t)
        pull = np.where(panel.treated, 0.0, panel.weight * (pull_u[panel.unit] + pull_t[panel.period]))
        return sums_by(panel.cluster, np.where(chosen, share * (self.gap - effect), 0.0) - pull * self.gap, self.clusters)


def _first_stage(panel: Panel) -> TwoWay:
    """Unit and period effects over untreated rows, with a place for every unit and period of the panel."""
    free = ~panel.treated
    return TwoWay.of(panel.unit[free], panel.period[free], panel.weight[free], units=panel.units, periods=panel.periods.size)


def _points(averages: _Averages, alpha: float) -> tuple[EventPoint, ...]:
    """Mean effect at each distance from the start; no error where every row there fits exactly."""
    panel = averages.panel
    distance = panel.period - panel.first[panel.unit]
    points: list[EventPoint] = []
    for event_time in np.unique(distance[panel.treated]):
        chosen = panel.treated & (distance == event_time)
        effect, std_error = averages.mean(chosen)
        known = std_error > 0.0
        points.append(
            EventPoint(
                event_time=int(event_time),
                effect=effect,
                std_error=std_error if known else None,
                interval=inference(effect, std_error, alpha=alpha).interval if known else None,
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
