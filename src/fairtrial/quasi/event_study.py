"""The event study: the effect by time since the treatment began, and a test of the trends before.

Each treated unit's periods are counted from its start (0 = first treated
period); every count but the last before the start gets a coefficient, beside
unit and period effects. Coefficients before the start should be 0 if trends are
parallel; their joint test is reported, with the warning that not rejecting is
no proof (Roth 2022, AER: Insights 4, 305-322). With adoption at different times
and effects that differ between cohorts the coefficients mix cohorts (Sun &
Abraham 2021, J. Econometrics 225, 175-199): read `staggered` there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import DataError, NotEnoughDataError, UsageError
from fairtrial.quasi.did_checks import ASSUMPTIONS, check_clusters, trends_grade
from fairtrial.quasi.estimate import QuasiEstimate, graded, inference, with_inference
from fairtrial.quasi.few_clusters import ClusterErrors, kinds_of
from fairtrial.quasi.fixed_effects import PanelFit, SmallSample, TwoWay, fit_panel, is_nested
from fairtrial.quasi.panel import Panel, panel_of
from fairtrial.stats.result import Interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PRETREND_ALPHA = 0.1
"""Below this p-value the trends before the treatment are suspect; not a licence when above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPoint:
    """The effect at one distance from the start.

    Attributes:
        event_time: Periods since the first treated one; negative before.
        effect: In the outcome's unit; 0 by construction at the reference.
        std_error: None at the reference.
        interval: Pointwise confidence interval; None at the reference.
        n: Treated rows at this distance.
    """

    event_time: int
    effect: float
    std_error: float | None
    interval: Interval | None
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JointTest:
    """A Wald test that several coefficients are all 0.

    Attributes:
        statistic: F statistic.
        df: Number of coefficients tested.
        df_error: Of the denominator: clusters - 1, or by kinds of clusters; `inf` for a chi-square divided by its degrees of freedom.
        p_value: In [0, 1].
    """

    statistic: float
    df: int
    df_error: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStudy:
    """Effects around the start of the treatment.

    Attributes:
        estimate: The mean of the effects from the start on, each distance weighted by its treated rows.
        points: Effects by distance, ascending.
        pretrend: Joint test of all coefficients before the reference; None when there are none, or too few clusters for them.
    """

    estimate: QuasiEstimate
    points: tuple[EventPoint, ...]
    pretrend: JointTest | None


def event_study(
    outcome: ArrayLike,
    unit: ArrayLike,
    time: ArrayLike,
    cohort: ArrayLike,
    *,
    cluster: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    small_sample: SmallSample = "satterthwaite",
    alpha: float = 0.05,
) -> EventStudy:
    """Effects by time since the treatment began, with unit and period effects.

    Args:
        outcome: One value a row, shape (n,).
        unit: The unit of each row, numbers or text.
        time: The period of each row, numbers.
        cohort: First treated period of the row's unit; NaN, infinity, or 0 where 0 is no period: never.
        cluster: The cluster of each row; default: the unit.
        weights: Weight of each row, > 0.
        small_sample: Convention of the standard errors: `satterthwaite` holds with few treated clusters too; `nested`, `all`
            and `none` are those of other programs.
        alpha: Error rate in (0, 1) of each interval.

    Returns:
        Coefficients relative to the last period before the start; t with Satterthwaite's (or clusters - 1) degrees of freedom.

    Raises:
        UsageError: Lengths differ, or an option breaks its rule.
        NotEnoughDataError: Nobody is treated, nobody is untreated, or no treated unit is seen before its start.
        DataError: A value is missing, or the effects cannot be told apart.

    References:
        Bertrand, Duflo & Mullainathan (2004), QJE 119, 249-275; Freyaldenhoven, Hansen & Shapiro (2019), AER 109, 3307-3338.
    """
    panel = panel_of(outcome, unit, time, cohort, weights=weights, cluster=cluster)
    distance = _distances(panel)
    ever = panel.first[panel.unit] < panel.never
    counts = {int(e): int(c) for e, c in zip(*np.unique(distance[ever], return_counts=True), strict=True)}
    shown = [e for e in counts if e != -1]
    regressors = np.column_stack([(ever & (distance == e)).astype(np.float64) for e in shown])
    fit = fit_panel(
        panel.outcome,
        regressors,
        TwoWay.of(panel.unit, panel.period, panel.weight),
        panel.cluster,
        nested=is_nested(panel.unit, panel.cluster),
    )
    errors = fit.errors(small_sample, kinds_of(panel.cluster, panel.first[panel.unit]))
    points = _points(shown, counts, fit, errors, alpha)
    before = [i for i, e in enumerate(shown) if e < -1]
    pretrend, findings = _pretrend(fit.coefficients, errors, before, by_kind=small_sample == "satterthwaite")
    touched = np.unique(panel.cluster[ever]).size
    findings = [*check_clusters(fit.clusters, touched, by_kind=small_sample == "satterthwaite"), *findings]
    if panel.cohorts.size > 1:
        findings.append(_mixed(panel.cohorts.size))
    share = np.array([counts[e] if e >= 0 else 0 for e in shown], dtype=np.float64)
    estimate = _average(panel, fit, errors, share / share.sum(), findings, alpha)
    return EventStudy(estimate=replace(estimate, interval_method=f"cluster_{small_sample}_t"), points=points, pretrend=pretrend)


def joint_test(coefficients: Floats, covariance: Floats, *, df_error: float = math.inf) -> JointTest:
    """Wald test that all coefficients are 0, by the F distribution.

    Args:
        coefficients: Shape (k,), k >= 1.
        covariance: Shape (k, k).
        df_error: Denominator degrees of freedom, > 0; `inf` for chi-square / k.

    Raises:
        UsageError: Shapes do not match.
        DataError: The covariance is singular: more coefficients than clusters.
    """
    k = coefficients.size
    if k == 0 or covariance.shape != (k, k):
        raise UsageError(f"A joint test needs k >= 1 coefficients and a (k, k) covariance, got {coefficients.shape}, {covariance.shape}.")
    scale = np.sqrt(np.diagonal(covariance))
    if not (scale > 0.0).all() or np.linalg.matrix_rank(covariance / np.outer(scale, scale), tol=1e-9) < k:
        raise DataError(
            "The coefficients' covariance is singular: there are too few clusters to test them together.", code="too_few_clusters"
        )
    statistic = float(coefficients @ np.linalg.solve(covariance, coefficients)) / k
    p_value = float(special.chdtrc(k, statistic * k) if math.isinf(df_error) else special.fdtrc(k, df_error, statistic))
    return JointTest(statistic=statistic, df=k, df_error=df_error, p_value=p_value)


def pretrend_findings(test: JointTest | None) -> list[Finding]:
    """What a joint test of the coefficients before the treatment says; None: there was none."""
    if test is None:
        return [
            Finding(
                code="no_pretrend_test",
                severity="warning",
                message="There are too few periods before the treatment to compare trends.",
                action="Add earlier periods; without them parallel trends are an assumption and nothing more.",
            )
        ]
    numbers: dict[str, float] = {"statistic": test.statistic, "df": test.df, "p_value": test.p_value}
    if test.p_value < PRETREND_ALPHA:
        return [
            Finding(
                code="pretrend",
                severity="warning",
                message=f"Trends differed before the treatment began (joint test of {test.df} periods, p = {test.p_value:.2g}).",
                action="Do not read the effect as caused by the treatment; look for another control group.",
                numbers=numbers,
            )
        ]
    return [
        Finding(
            code="pretrend_not_rejected",
            severity="info",
            message=f"No difference of trends was seen before the treatment (joint test of {test.df} periods, p = {test.p_value:.2g}).",
            action="That is support, not proof: look at the size of the coefficients before the start too.",
            numbers=numbers,
        )
    ]


def _distances(panel: Panel) -> Ints:
    """Periods since the start, by row, once the panel is seen to allow an event study."""
    ever = panel.first < panel.never
    if not ever.any() or ever.all():
        who = "Nobody is" if not ever.any() else "Everybody is, sooner or later,"
        raise NotEnoughDataError(
            f"An event study needs units that are treated and units that never are. {who} treated.",
            hint="With staggered adoption and nobody never treated compare with those not yet treated (att_gt).",
            code="one_sided",
        )
    distance = panel.period - panel.first[panel.unit]
    treated = ever[panel.unit]
    if not (treated & (distance == -1)).any() or not (treated & (distance >= 0)).any():
        raise NotEnoughDataError(
            "Treated units must be seen in the last period before the treatment, and after it.", code="too_few_periods"
        )
    return distance


def _pretrend(coefficients: Floats, errors: ClusterErrors, before: list[int], *, by_kind: bool) -> tuple[JointTest | None, list[Finding]]:
    """The joint test of the coefficients before the reference and what it says; no test where clusters are too few for them."""
    if not before:
        return None, pretrend_findings(None)
    try:
        test = joint_by_kind(coefficients, errors, before) if by_kind else None
    except DataError:
        return None, [untestable(len(before))]
    if test is None:
        test = joint_test(coefficients[before], errors.covariance[np.ix_(before, before)], df_error=float(errors.df[0]))
    return test, pretrend_findings(test)


def joint_by_kind(coefficients: Floats, errors: ClusterErrors, chosen: list[int]) -> JointTest:
    """Test that the chosen coefficients are all 0, with the degrees of freedom of their errors by kind of cluster.

    Args:
        coefficients: Shape (k,).
        errors: Of the coefficients.
        chosen: Places of those tested, at least one.

    Raises:
        DataError: There are too few clusters for so many coefficients.
    """
    statistic, df_error, p_value = errors.hotelling(coefficients, chosen)
    return JointTest(statistic=statistic, df=len(chosen), df_error=df_error, p_value=p_value)


def untestable(periods: int) -> Finding:
    """That the trends before were not tested together, because there are too few clusters for so many periods."""
    return Finding(
        code="pretrend_untestable",
        severity="warning",
        message=f"There are too few units to test the {periods} periods before the treatment together.",
        action="Look at the effects before the start one by one; a test needs more treated units than periods.",
        numbers={"periods": periods},
    )


def _points(shown: list[int], counts: dict[int, int], fit: PanelFit, errors: ClusterErrors, alpha: float) -> tuple[EventPoint, ...]:
    """Coefficients with their intervals, and the reference, which is 0 by construction."""
    points = [EventPoint(event_time=-1, effect=0.0, std_error=None, interval=None, n=counts[-1])]
    for index, event_time in enumerate(shown):
        one = np.eye(len(shown))[index]
        effect, std_error = float(fit.coefficients[index]), math.sqrt(errors.variance_of(one))
        interval = inference(effect, std_error, df=errors.df_of(one), alpha=alpha).interval
        points.append(EventPoint(event_time=event_time, effect=effect, std_error=std_error, interval=interval, n=counts[event_time]))
    return tuple(sorted(points, key=lambda point: point.event_time))


def _average(panel: Panel, fit: PanelFit, errors: ClusterErrors, share: Floats, findings: list[Finding], alpha: float) -> QuasiEstimate:
    """The mean of the coefficients from the start on, each weighted by its share of treated rows."""
    effect, std_error = float(share @ fit.coefficients), math.sqrt(errors.variance_of(share))
    treated = float(np.average(panel.outcome[panel.treated], weights=panel.weight[panel.treated]))
    ever = int((panel.first < panel.never).sum())
    return QuasiEstimate(
        **with_inference(effect, std_error, df=errors.df_of(share), alpha=alpha),
        method="event_study",
        interval_method="cluster_t",
        n=fit.n,
        n_treated=ever,
        n_control=panel.units - ever,
        treated=treated,
        counterfactual=treated - effect,
        assumptions=ASSUMPTIONS,
        findings=tuple(findings),
        grade=graded(trends_grade("did"), findings),
    )


def _mixed(cohorts: int) -> Finding:
    """That a coefficient is no longer the effect of one cohort."""
    return Finding(
        code="mixed_cohorts",
        severity="warning",
        message=f"{cohorts} cohorts began at different times: a coefficient mixes their effects if these differ.",
        action="Read the staggered estimates (att_gt) beside it.",
        numbers={"cohorts": cohorts},
    )
