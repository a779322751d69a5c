"""Staggered adoption: effects by cohort and period, after Callaway and Sant'Anna.

ATT(g, t) is the effect in period t on the units first treated in g: their change
since the last period before g, less the change of units not treated by then.
Only clean comparisons are made, so that effects may differ between cohorts and
grow with time. With covariates the comparison is doubly robust (Sant'Anna & Zhao
2020). Errors come from influence functions, without a bootstrap; every further
number is an average of ATT(g, t) and keeps its influence function.

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
from fairtrial.quasi.fixed_effects import sums_by
from fairtrial.quasi.panel import Panel, panel_of
from fairtrial.stats.result import Interval, check_alpha

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ControlGroup = Literal["never_treated", "not_yet_treated"]
BasePeriod = Literal["varying", "universal"]
SMALL_COHORT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanComparison:
    """With whom a cohort is compared, and since when.

    Attributes:
        control: `never_treated` units, or all `not_yet_treated` ones.
        base: Before the treatment compare with the period before (`varying`), or with the last one before g (`universal`).
        anticipation: Periods before g in which behaviour may already change, >= 0.
    """

    control: ControlGroup = "never_treated"
    base: BasePeriod = "varying"
    anticipation: int = 0

    def __post_init__(self) -> None:
        if self.control not in get_args(ControlGroup):
            raise UsageError(f"control must be one of {list(get_args(ControlGroup))}, got {self.control!r}.")
        if self.base not in get_args(BasePeriod):
            raise UsageError(f"base must be one of {list(get_args(BasePeriod))}, got {self.base!r}.")
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
        n_treated: Units of the cohort.
        n_control: Units they are compared with.
    """

    cohort: float
    time: float
    event_time: int
    effect: float
    std_error: float | None
    interval: Interval | None
    n_treated: int
    n_control: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupTimes:
    """All ATT(g, t) of a panel.

    Attributes:
        effects: By cohort, then by period.
        influence: Influence of each unit on each effect, shape (units, effects); its mean square over units
            divided by their number is the variance.
        first: Place of each unit's first treated period; number of periods for the never treated.
        periods: The periods.
        cluster: Place of each unit's cluster.
        alpha: Error rate of the intervals.
        control: Which units served as controls.
        treated_mean: Mean outcome over treated rows.
        treated_influence: Influence of each unit on that mean, shape (units,).
        rows: Rows that entered.
        findings: What was left out, and what is thin.
    """

    effects: tuple[GroupTime, ...]
    influence: Floats
    first: Ints
    periods: Floats
    cluster: Ints
    alpha: float
    control: ControlGroup
    treated_mean: float
    treated_influence: Floats
    rows: int
    findings: tuple[Finding, ...]

    def std_error(self, influence: Floats) -> float:
        """Standard error of a number by its influence function, shape (units,)."""
        return math.sqrt(float(np.square(self.scores(influence)).sum()))

    def scores(self, influence: Floats) -> Floats:
        """What each cluster adds to the error of a number by its influence function: shape (units,) to shape (clusters,)."""
        return sums_by(self.cluster, influence, int(self.cluster.max()) + 1) / influence.size


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
        ATT(g, t) with their influence functions; normal inference.

    Raises:
        UsageError: Lengths differ, a unit changes its cluster, or `alpha` lies outside (0, 1).
        NotEnoughDataError: No cohort can be compared with anybody.
        DataError: A value is missing, or covariates tell who is treated.

    References:
        Callaway & Sant'Anna (2021), equations 2.4, 2.5 and 2.9; theorem 2 for the influence function.
    """
    check_alpha(alpha)
    wanted = against or CleanComparison()
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
    findings += _thin(panel)
    mean, pull = _treated_mean(panel)
    return GroupTimes(
        effects=tuple(_group_time(cell, panel, effect, influence, members, alpha) for cell, effect, influence in estimated),
        influence=np.column_stack([influence for _, _, influence in estimated]),
        first=panel.first,
        periods=panel.periods,
        cluster=members,
        alpha=alpha,
        control=wanted.control,
        treated_mean=mean,
        treated_influence=pull,
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


def _group_time(cell: _Cell, panel: Panel, effect: float, influence: Floats, cluster: Ints, alpha: float) -> GroupTime:
    """A cell with its error, where it has one: not at the base itself, and not with a single unit on a side."""
    sums = sums_by(cluster, influence, int(cluster.max()) + 1)
    std_error = math.sqrt(float(np.square(sums).sum())) / influence.size
    lone = min(int(cell.treated.sum()), int(cell.control.sum())) < 2
    known = cell.time != cell.base and not lone and std_error > 0.0
    return GroupTime(
        cohort=float(panel.periods[cell.cohort]),
        time=float(panel.periods[cell.time]),
        event_time=cell.time - cell.cohort,
        effect=effect,
        std_error=std_error if known else None,
        interval=inference(effect, std_error, alpha=alpha).interval if known else None,
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


def _thin(panel: Panel) -> list[Finding]:
    """Cohorts of so few units that their effects swing and their errors cannot be believed."""
    sizes = {panel.label(int(g)): int((panel.first == g).sum()) for g in panel.cohorts}
    small = {name: size for name, size in sizes.items() if size < SMALL_COHORT}
    if not small:
        return []
    listed = ", ".join(f"{name} ({size})" for name, size in small.items())
    return [
        Finding(
            code="small_cohorts",
            severity="warning",
            message=f"Cohorts of fewer than {SMALL_COHORT} units: {listed}. Their effects swing widely and their errors are too small.",
            action="Read averages over cohorts, not single cohorts; with one unit a standard error means nothing.",
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
