"""What to change about an experiment that does not fit, and how its length follows its assumptions.

There are five honest levers: a larger minimum detectable effect, more traffic, a
covariate (CUPED), a longer run, less power. The effect that is hoped for is none: it
is not ours to change, and a smaller one needs more units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal

from fairtrial.errors import UsageError
from fairtrial.evaluation.feasibility import Assessment, TrafficFigures, run_of
from fairtrial.evaluation.feasibility_sizes import Sizes, size_experiment
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.stats.duration import Feasibility, whole_weeks
from fairtrial.stats.result import Unavailable

Lever = Literal["larger_mde", "more_traffic", "cuped", "longer", "less_power"]
LARGEST_STEP = 20.0
"""Times its planned size beyond which no effect is tried."""
LEAST_POWER = 0.7
"""Power below which an experiment is not worth its time (XC-12)."""
STRONGEST_COVARIATE = 0.95
"""Correlation beyond which no covariate is expected."""
MDE_STEPS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
TRAFFIC_STEPS = (0.5, 0.75, 1.0, 1.5, 2.0)
POWERS = (0.7, 0.8, 0.9)
BASELINE_STEPS = (0.8, 0.9, 1.0, 1.1, 1.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One lever, moved so far that the experiment fits its longest run.

    Attributes:
        lever: Which.
        text: How far, in a sentence.
    """

    lever: Lever
    text: str

    def as_data(self) -> dict[str, str]:
        """The lever and its sentence by name."""
        return {name: str(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityRow:
    """The experiment with one number changed.

    Attributes:
        varied: `mde`, `daily_users`, `power` or `baseline`.
        value: The number (of the MDE: on the plan's own scale).
        total: Units in all; None where there is no such plan.
        final_days: Whole weeks to plan; None where they cannot be told.
        status: Whether that fits the longest run.
        planned: Whether it is the number of the plan.
    """

    varied: Literal["mde", "daily_users", "power", "baseline"]
    value: float
    total: int | None
    final_days: int | None
    status: Feasibility | None
    planned: bool


def what_to_change(found: Assessment) -> tuple[Change, ...]:
    """Levers for an experiment that is not feasible, each by itself enough where it says so; none for one that fits."""
    most = found.spec.plan.max_days
    if found.status != "NOT_FEASIBLE" or most is None:
        return ()
    days = _days_allowed(found, int(most))
    made = [_larger_mde(found), _more_traffic(found, days), _cuped(found, days), _longer(found), _less_power(found)]
    return tuple(change for change in made if change is not None)


def sensitivity_table(found: Assessment) -> tuple[SensitivityRow, ...]:
    """Units and days as one number of the plan moves and the others stay."""
    spec, traffic = found.spec, found.traffic
    rows: list[SensitivityRow] = []
    if spec.plan.mde is not None:
        rows += [
            _row(found, "mde", step * spec.plan.mde, _with(spec, mde=step * spec.plan.mde), traffic, step == 1.0) for step in MDE_STEPS
        ]
    powers = sorted({*POWERS, spec.plan.power})
    rows += [_row(found, "power", power, _with(spec, power=power), traffic, power == spec.plan.power) for power in powers]
    for step in TRAFFIC_STEPS:
        rows.append(_row(found, "daily_users", step * traffic.daily, spec, scaled(traffic, step), step == 1.0))
    if (base := spec.plan.baseline) is not None:
        rows += [_row(found, "baseline", step * base, _with(spec, baseline=step * base), traffic, step == 1.0) for step in BASELINE_STEPS]
    return tuple(rows)


def days_by_mde(found: Assessment, power: float) -> list[tuple[float, float]]:
    """Days against the effect, for a chart: (MDE on the plan's scale, final days)."""
    planned = found.spec.plan.mde
    if planned is None:
        return []
    points: list[tuple[float, float]] = []
    for k in range(13):
        mde = planned * (0.5 + k / 8)
        row = _row(found, "mde", mde, _with(found.spec, mde=mde, power=power), found.traffic, planned=False)
        if row.final_days is not None:
            points.append((mde, float(row.final_days)))
    return points


def scaled(traffic: TrafficFigures, factor: float) -> TrafficFigures:
    """The same traffic, so many times as much."""
    return replace(traffic, daily=traffic.daily * factor, distinct=tuple(factor * units for units in traffic.distinct))


def _row(
    found: Assessment,
    varied: Literal["mde", "daily_users", "power", "baseline"],
    value: float,
    spec: ExperimentSpec,
    traffic: TrafficFigures,
    planned: bool,  # noqa: FBT001
) -> SensitivityRow:
    sizes = _sized(found, spec)
    if sizes is None:
        return SensitivityRow(varied=varied, value=value, total=None, final_days=None, status=None, planned=planned)
    run = run_of(sizes.arms, traffic, spec, found.buffer)
    total = sum(sizes.arms.values())
    return SensitivityRow(varied=varied, value=value, total=total, final_days=run.final_days, status=run.status, planned=planned)


def _with(spec: ExperimentSpec, **plan: float | None) -> ExperimentSpec:
    return spec.model_copy(update={"plan": spec.plan.model_copy(update=plan)})


def _sized(found: Assessment, spec: ExperimentSpec) -> Sizes | None:
    """Sizes at the same figures; the primary's stand in the spec already."""
    figures = {key: one for key, one in found.figures.items() if key != spec.primary.key}
    try:
        sizes = size_experiment(spec, figures)
    except UsageError:
        return None
    return None if isinstance(sizes, Unavailable) else sizes


def _fits(found: Assessment, spec: ExperimentSpec) -> bool:
    sizes = _sized(found, spec)
    return sizes is not None and run_of(sizes.arms, found.traffic, spec, found.buffer).status != "NOT_FEASIBLE"


def _days_allowed(found: Assessment, most: int) -> int:
    """Days of taking in units after which the planned whole weeks still fit the longest run; 0 for none."""
    return next((days for days in range(most, 0, -1) if whole_weeks(days, daily_cv=found.traffic.cv)[1] <= most), 0)


def _units_allowed(found: Assessment, days: int) -> float:
    """Units that come in so many days."""
    curve = found.traffic.distinct
    if not curve or days == 0:
        return found.traffic.daily * days
    last = curve[min(days, len(curve)) - 1]
    beyond = max(0, days - len(curve))
    pace = (curve[-1] - curve[max(len(curve) - 8, 0)]) / min(7, max(len(curve) - 1, 1))
    return last + beyond * max(pace, 0.0)


def _larger_mde(found: Assessment) -> Change | None:
    plan = found.spec.plan
    if plan.mde is None or plan.objective != "superiority":
        return None
    mde = _first(lambda factor: _fits(found, _with(found.spec, mde=factor * (plan.mde or 0.0))))
    if mde is None:
        return None
    size = _rounded_up(mde * plan.mde)
    shown = f"{100 * size:.4g}% of the control" if plan.mde_kind == "relative" else f"{size:.4g}"
    now = f"{100 * plan.mde:.4g}%" if plan.mde_kind == "relative" else f"{plan.mde:.4g}"
    return Change(lever="larger_mde", text=f"ask for a larger minimum detectable effect: {shown} instead of {now} fits")


def _first(fits: Callable[[float], bool]) -> float | None:
    """Smallest factor above 1 that fits, to a thousandth; None where none up to the largest does."""
    low, high = 1.0, 1.0
    while not fits(high):
        if high >= LARGEST_STEP:
            return None
        low, high = high, high * 1.25
    while high - low > 1e-3 * high:
        middle = (low + high) / 2.0
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _rounded_up(value: float) -> float:
    """Three significant digits, never below."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return math.ceil(value / unit - 1e-9) * unit


def _more_traffic(found: Assessment, days: int) -> Change | None:
    available = _units_allowed(found, days)
    if available <= 0.0:
        return None
    needed = found.traffic.daily * found.run.target_total / available
    now = f"{found.traffic.daily:,.0f}"
    text = f"bring in more traffic (more regions, more pages): {math.ceil(needed):,} eligible users a day, not {now}"
    return Change(lever="more_traffic", text=text)


def _cuped(found: Assessment, days: int) -> Change | None:
    """The correlation that a covariate needs, on top of one that is planned."""
    share = _units_allowed(found, days) / found.run.target_total
    had = found.spec.plan.covariate_correlation or 0.0
    correlation = math.sqrt(max(0.0, 1.0 - share * (1.0 - had**2)))
    if found.decided_by != found.spec.primary.key:
        return None
    if correlation <= STRONGEST_COVARIATE:
        text = f"adjust for a covariate (CUPED): one that correlates by {math.ceil(correlation * 100) / 100:.2f} with the metric is enough"
    else:
        saved = 1.0 - 0.5**2
        text = f"adjust for a covariate (CUPED): it helps, one that correlates by 0.50 leaves {saved:.0%} of the units, but is not enough"
    return Change(lever="cuped", text=text)


def _longer(found: Assessment) -> Change | None:
    if found.run.final_days is None:
        return None
    return Change(lever="longer", text=f"let it run longer: {found.run.final_days} days instead of at most {found.spec.plan.max_days:g}")


def _less_power(found: Assessment) -> Change | None:
    spec = found.spec
    if spec.plan.power <= LEAST_POWER:
        return None
    if not _fits(found, _with(spec, power=LEAST_POWER)):
        sizes = _sized(found, _with(spec, power=LEAST_POWER))
        if sizes is None:
            return None
        run = run_of(sizes.arms, found.traffic, spec, found.buffer)
        days = "too many" if run.final_days is None else f"{run.final_days}"
        return Change(lever="less_power", text=f"plan with less power: at {LEAST_POWER:.0%} it takes {days} days, by itself not enough")
    low, high = LEAST_POWER, spec.plan.power
    while high - low > 1e-3:
        middle = (low + high) / 2.0
        low, high = (middle, high) if _fits(found, _with(spec, power=middle)) else (low, middle)
    return Change(lever="less_power", text=f"plan with less power: {math.floor(low * 100):d}% instead of {spec.plan.power:.0%} fits")
