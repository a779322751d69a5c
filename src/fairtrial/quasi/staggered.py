"""Staggered adoption: effects by cohort and period, after Callaway and Sant'Anna.

ATT(g, t) is the effect in period t on the units first treated in g: their change
since the last period before g, less the change of units not treated by then.
Only clean comparisons are made, so that effects may differ between cohorts and
grow with time. With covariates the comparison is doubly robust (Sant'Anna & Zhao
2020). Errors come from influence functions, without a bootstrap; every further
number is an average of ATT(g, t) and keeps its influence function. With small
cohorts the published errors are too small: `satterthwaite` takes a variance for
each cohort, with degrees of freedom of its own (`few_clusters`).

References: Callaway & Sant'Anna (2021), Journal of Econometrics 225, 200-230;
Sant'Anna & Zhao (2020), Journal of Econometrics 219, 101-122.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.diagnostics.finding import Finding
from fairtrial.errors import NotEnoughDataError, UsageError
from fairtrial.quasi.columns import matrix_of
from fairtrial.quasi.doubly_robust import doubly_robust_change, plain_change
from fairtrial.quasi.estimate import inference
from fairtrial.quasi.few_clusters import ClusterErrors, kinds_of
from fairtrial.quasi.fixed_effects import cluster_sums, sums_by
from fairtrial.quasi.panel import Panel, panel_of
from fairtrial.stats.result import Interval, check_alpha

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ControlGroup = Literal["never_treated", "not_yet_treated"]
BasePeriod = Literal["varying", "universal"]
CohortErrors = Literal["none", "satterthwaite"]
"""`none`: as published, with normal quantiles. `satterthwaite`: a variance for each cohort, Student's t."""
SMALL_COHORT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanComparison:
    """With whom a cohort is compared, since when, and how the errors are counted.

    Attributes:
        control: `never_treated` units, or all `not_yet_treated` ones.
        base: Before the treatment compare with the period before (`varying`), or with the last one before g (`universal`).
        anticipation: Periods before g in which behaviour may already change, >= 0.
        small_sample: Convention of the standard errors, of the averages over effects too: `none`, as published, with normal
            quantiles; `satterthwaite` holds with small cohorts too (the one that specs use).
    """

    control: ControlGroup = "never_treated"
    base: BasePeriod = "varying"
    anticipation: int = 0
    small_sample: CohortErrors = "none"

    def __post_init__(self) -> None:
        if self.control not in get_args(ControlGroup):
            raise UsageError(f"control must be one of {list(get_args(ControlGroup))}, got {self.control!r}.")
        if self.base not in get_args(BasePeriod):
            raise UsageError(f"base must be one of {list(get_args(BasePeriod))}, got {self.base!r}.")
        if self.small_sample not in get_args(CohortErrors):
            raise UsageError(f"small_sample must be one of {list(get_args(CohortErrors))}, got {self.small_sample!r}.")
        if self.anticipation < 0:
            raise UsageError(f"anticipation must be a number of periods >= 0, got {self.anticipation}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTime:
    """ATT(g, t).

    Attributes:
        cohort: The period g in which the cohort was first treated.
        time: The period t.
        event_time: Periods from g to t; negative before the treatment.
        effect: In the outcome's unit.
        std_error: None where the effect is 0 by construction (universal base), or rests on one unit a side.
        interval: Pointwise confidence interval; None without a standard error.
        df: Degrees of freedom of Student's t; None for the normal, or without a standard error.
        n_treated: Units of the cohort.
        n_control: Units they are compared with.
    """

    cohort: float
    time: float
    event_time: int
    effect: float
    std_error: float | None
    interval: Interval | None
    df: float | None
    n_treated: int
    n_control: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupTimes:
    """All ATT(g, t) of a panel.

    Attributes:
        effects: By cohort, then by period.
        influence: Influence of each unit on each effect, shape (units, effects); its mean square over units
            divided by their number is the variance.
        pull: Weight with which each unit's change enters each effect, >= 0, shape (units, effects).
        first: Place of each unit's first treated period; number of periods for the never treated.
        periods: The periods.
        cluster: Place of each unit's cluster.
        alpha: Error rate of the intervals.
        control: Which units served as controls.
        small_sample: Convention of the standard errors.
        treated_mean: Mean outcome over treated rows.
        treated_influence: Influence of each unit on that mean, shape (units,).
        rows: Rows that entered.
        findings: What was left out, and what is thin.
    """

    effects: tuple[GroupTime, ...]
    influence: Floats
    pull: Floats
    first: Ints
    periods: Floats
    cluster: Ints
    alpha: float
    control: ControlGroup
    small_sample: CohortErrors
    treated_mean: float
    treated_influence: Floats
    rows: int
    findings: tuple[Finding, ...]

    def errors(self, influence: Floats, pull: Floats) -> ClusterErrors:
        """Errors of numbers by their influence functions.

        Args:
            influence: Shape (units, k).
            pull: Weight with which each unit's changes enter each number, >= 0, shape (units, k).
        """
        return _errors(influence, pull, self.cluster, self.first, self.small_sample)


def att_gt(
    outcome: ArrayLike,
    unit: ArrayLike,
    time: ArrayLike,
    cohort: ArrayLike,
    *,
    covariates: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    against: CleanComparison | None = None,
    alpha: float = 0.05,
) -> GroupTimes:
    """Effects by cohort and period.

    Args:
        outcome: One value a row, shape (n,).
        unit: The unit of each row, numbers or text.
        time: The period of each row, numbers.
        cohort: First treated period of the row's unit; NaN, infinity, or 0 where 0 is no period: never.
        covariates: Measured before the treatment, shape (n,) or (n, p); the value of the earlier of the two
            periods compared enters. Without them differences of means are taken.
        cluster: The cluster of each row, constant within a unit; default: the unit.
        against: With whom and with which period to compare; default: never treated units, varying base.
        alpha: Error rate in (0, 1) of each interval.

    Returns:
        ATT(g, t) with their influence functions.

    Raises:
        UsageError: Lengths differ, a unit changes its cluster, or `alpha` lies outside (0, 1).
        NotEnoughDataError: No cohort can be compared with anybody.
        DataError: A value is missing, or covariates tell who is treated.

    References:
        Callaway & Sant'Anna (2021), equations 2.4, 2.5 and 2.9; theorem 2 for the influence function.
    """
    check_alpha(alpha)
    wanted = against or CleanComparison()
    small_sample = wanted.small_sample
    whole = panel_of(outcome, unit, time, cohort, cluster=cluster)
    x = None if covariates is None else matrix_of("covariates", covariates, rows=whole.outcome.size, row="row of the panel")
    panel, kept, findings = _balanced(whole)
    wide = panel.matrix()
    cells = _cells(panel, wanted)
    if not cells:
        raise NotEnoughDataError(
            "No cohort has a period before its treatment and untreated units to compare with.",
            hint="Without never treated units compare with those not yet treated (control 'not_yet_treated').",
            code="no_comparison",
        )
    members = _units_cluster(panel)
    by_unit = _wide(x, kept, panel)
    estimated = [(cell, *_estimate(cell, wide, by_unit)) for cell in cells]
    findings += _thin(panel, small_sample)
    mean, drawn = _treated_mean(panel)

    def told(cell: _Cell, effect: float, influence: Floats) -> GroupTime:
        return _group_time(cell, panel, effect, _errors(influence[:, None], cell.pull[:, None], members, panel.first, small_sample), alpha)

    return GroupTimes(
        effects=tuple(told(*one) for one in estimated),
        influence=np.column_stack([influence for _, _, influence in estimated]),
        pull=np.column_stack([cell.pull for cell, _, _ in estimated]),
        first=panel.first,
        periods=panel.periods,
        cluster=members,
        alpha=alpha,
        control=wanted.control,
        small_sample=small_sample,
        treated_mean=mean,
        treated_influence=drawn,
        rows=panel.outcome.size,
        findings=tuple(findings),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cell:
    """One comparison: a cohort, a period, its base, and who stands on which side."""

    cohort: int
    time: int
    base: int
    treated: NDArray[np.bool_]
    control: NDArray[np.bool_]

    @property
    def pull(self) -> Floats:
        """Weight with which each unit's change enters the effect, shape (units,)."""
        return self.treated / int(self.treated.sum()) + self.control / int(self.control.sum())


def _errors(influence: Floats, pull: Floats, cluster: Ints, first: Ints, small_sample: CohortErrors) -> ClusterErrors:
    """Errors of numbers by their influence functions, shape (units, k), as published or by cohort.

    That cohorts' sizes are estimated adds the same to all units of a cohort: it does not spread within
    the cohort, and is added as it is.
    """
    clusters = int(cluster.max()) + 1
    scores = cluster_sums(influence, cluster, clusters) / influence.shape[0]
    if small_sample == "none" or not influence.any():
        return ClusterErrors.plain(scores.T @ scores, math.inf)
    kind = kinds_of(cluster, first)
    common = (
        np.column_stack([sums_by(kind, column, int(kind.max()) + 1) for column in scores.T]) / np.maximum(np.bincount(kind), 1)[:, None]
    )
    return ClusterErrors.of(scores, cluster_sums(pull, cluster, clusters), kind).plus(common[kind].T @ common[kind])


def _cells(panel: Panel, against: CleanComparison) -> list[_Cell]:
    """Every comparison that somebody untreated at both its ends allows, by cohort and period."""
    cells: list[_Cell] = []
    anticipation = against.anticipation
    for g in panel.cohorts:
        last = int(g) - 1 - anticipation
        if last < 0:
            continue
        for t in range(panel.periods.size):
            start = last if against.base == "universal" or t > last else t - 1
            if start < 0:
                continue
            clean = panel.first > max(t, start) + anticipation if against.control == "not_yet_treated" else panel.first >= panel.never
            others = (clean | (panel.first >= panel.never)) & (panel.first != g)
            if others.any():
                cells.append(_Cell(cohort=int(g), time=t, base=start, treated=panel.first == g, control=others))
    return cells


def _estimate(cell: _Cell, wide: Floats, covariates: Floats | None) -> tuple[float, Floats]:
    """ATT(g, t) and every unit's influence on it, 0 for units that stand on neither side."""
    influence = np.zeros(wide.shape[0])
    if cell.time == cell.base:
        return 0.0, influence
    used = cell.treated | cell.control
    change = wide[used, cell.time] - wide[used, cell.base]
    if covariates is None:
        effect, own = plain_change(change, cell.treated[used])
    else:
        effect, own = doubly_robust_change(change, cell.treated[used], covariates[used][:, min(cell.time, cell.base)])
    influence[used] = own * (wide.shape[0] / int(used.sum()))
    return effect, influence


def _group_time(cell: _Cell, panel: Panel, effect: float, errors: ClusterErrors, alpha: float) -> GroupTime:
    """A cell with its error, where it has one: not at the base itself, and as published not with a single unit on a side."""
    one = np.ones(1)
    std_error, df = math.sqrt(errors.variance_of(one)), errors.df_of(one)
    lone = math.isinf(df) and min(int(cell.treated.sum()), int(cell.control.sum())) < 2
    known = cell.time != cell.base and not lone and std_error > 0.0
    return GroupTime(
        cohort=float(panel.periods[cell.cohort]),
        time=float(panel.periods[cell.time]),
        event_time=cell.time - cell.cohort,
        effect=effect,
        std_error=std_error if known else None,
        interval=inference(effect, std_error, df=df, alpha=alpha).interval if known else None,
        df=df if known and math.isfinite(df) else None,
        n_treated=int(cell.treated.sum()),
        n_control=int(cell.control.sum()),
    )


def _balanced(panel: Panel) -> tuple[Panel, NDArray[np.bool_], list[Finding]]:
    """The units seen in every period and treated after the first, the rows kept, and what was left out."""
    seen = np.bincount(panel.unit, minlength=panel.units)
    whole = seen == panel.periods.size
    late = panel.first > 0
    keep = (whole & late)[panel.unit]
    found: list[Finding] = []
    if not whole.all():
        found.append(
            Finding(
                code="unbalanced_panel",
                severity="warning",
                message=f"{int((~whole).sum())} of {panel.units} units are not seen in every period and were left out.",
                action="Ask why they are missing; if that depends on the treatment the effect is biased.",
                numbers={"units": int((~whole).sum())},
            )
        )
    early = whole & ~late
    if early.any():
        found.append(
            Finding(
                code="always_treated",
                severity="info",
                message=f"{int(early.sum())} units were treated from the first period on and were left out: they have no before.",
                action="Add earlier periods to keep them.",
                numbers={"units": int(early.sum())},
            )
        )
    return panel.rows(keep), keep, found


def _thin(panel: Panel, small_sample: CohortErrors) -> list[Finding]:
    """Cohorts of so few units that their effects swing, and what becomes of their errors."""
    sizes = {panel.label(int(g)): int((panel.first == g).sum()) for g in panel.cohorts}
    small = {name: size for name, size in sizes.items() if size < SMALL_COHORT}
    if not small:
        return []
    listed = ", ".join(f"{name} ({size})" for name, size in small.items())
    if small_sample == "none":
        errors, action = "their errors are too small", "with one unit a standard error means nothing"
    elif min(small.values()) < 2:
        errors, action = "a cohort of one unit is taken to vary as the others do", "ask whether that unit may vary more than the others"
    else:
        errors, action = "intervals are as wide as that makes them", "look whether one unit makes the effect"
    return [
        Finding(
            code="small_cohorts",
            severity="warning",
            message=f"Cohorts of fewer than {SMALL_COHORT} units: {listed}. Their effects swing widely, and {errors}.",
            action=f"Read averages over cohorts, not single cohorts; {action}.",
            numbers={"cohorts": len(small)},
        )
    ]


def _treated_mean(panel: Panel) -> tuple[float, Floats]:
    """Mean outcome over treated rows, 0 where nobody is treated within the panel, and each unit's influence on it."""
    treated = panel.treated
    if not treated.any():
        return 0.0, np.zeros(panel.units)
    mean = float(panel.outcome[treated].mean())
    sums = sums_by(panel.unit, np.where(treated, panel.outcome - mean, 0.0), panel.units)
    return mean, sums * (panel.units / int(treated.sum()))


def _units_cluster(panel: Panel) -> Ints:
    """The cluster of each unit, as places."""
    by_unit = np.zeros(panel.units, dtype=np.int64)
    by_unit[panel.unit] = panel.cluster
    if (by_unit[panel.unit] != panel.cluster).any():
        raise UsageError("A unit must stay in one cluster over all periods.")
    return by_unit


def _wide(x: Floats | None, kept: NDArray[np.bool_], panel: Panel) -> Floats | None:
    """Covariates by unit and period, shape (units, T, p); None where there are none."""
    if x is None or not x.shape[1]:
        return None
    wide = np.zeros((panel.units, panel.periods.size, x.shape[1]))
    wide[panel.unit, panel.period] = x[kept]
    return wide
