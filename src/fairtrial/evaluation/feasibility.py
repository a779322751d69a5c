"""Can the experiment be run: units, days and dates, from what is assumed or was measured (XC-13 to XC-18).

Pure: traffic and figures come in as numbers with their source, whoever read them, and
the answer states that source. The same function serves the command, the service and Python.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fairtrial.errors import UsageError
from fairtrial.evaluation.calendar import CalendarRecommendation, disturbed, recommend_starts
from fairtrial.evaluation.feasibility_sizes import GuardrailSize, MetricFigures, Sizes, size_experiment
from fairtrial.evaluation.planning import ExperimentPlan
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.feasibility import FeasibilitySpec
from fairtrial.stats.accumulation import days_until
from fairtrial.stats.duration import Feasibility, experiment_duration_days, judge_duration, whole_weeks
from fairtrial.stats.power import check_positive, round_up
from fairtrial.stats.result import Unavailable
from fairtrial.stats.roi import mde_from_roi

TEST_TYPES = {"proportion": "conversion", "mean": "continuous", "count": "count", "ratio": "ratio"}
BASELINE_TOLERANCE = 0.2
"""Share of the planned baseline by which the measured one may differ before it is warned of (XC-17)."""
UNSTEADY_CV = 0.5
"""Coefficient of variation of the daily traffic beyond which days are a guess."""
DEFAULT_SPEC = FeasibilitySpec()
SPEC_SOURCE, REQUEST_SOURCE, SYNTHETIC_SOURCE = "spec", "request", "synthetic"

HINTS = {
    "no_mde": "Write it as plan.mde: the smallest lift worth detecting, such as 0.05 (5% of the control).",
    "no_baseline": "Write it as plan.baseline: the control's value in a period like the coming one.",
    "no_sd": "Write it as plan.baseline_sd: the standard deviation of the metric over units.",
    "no_margin": "Write it as the primary metric's margin: the largest harm that is still acceptable.",
    "no_traffic": "Write it as feasibility.daily_units (traffic_analysis.daily_eligible_users in a catalog), or measure it: --source.",
    "impossible_target": "Look at plan.baseline and plan.mde: together they must give a value that the metric can have.",
    "unknown_allocation": "`fairtrial analyze` reads designs and data of which no shares are planned.",
}
"""What to do about a plan that says too little, by the code of what it lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficFigures:
    """Eligible units a day.

    Attributes:
        daily: Mean number a day.
        cv: Coefficient of variation from day to day.
        data_source: `spec`, `request`, `synthetic`, or the address that was read.
        distinct: Distinct units after 1, 2, ... days, where measured; else units are taken to come once.
        period: First and last day that was measured.
        notes: What a reader must know of the source.
    """

    daily: float
    cv: float
    data_source: str
    distinct: tuple[float, ...] = ()
    period: tuple[dt.date, dt.date] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How long a number of units takes.

    Attributes:
        target_per_arm: Units by arm with the buffer.
        target_total: Their sum.
        required_days: Days until they have come; None when nobody new comes any more.
        adjusted_days: Days with the allowance for varying traffic.
        final_days: Whole weeks to plan.
        status: Whether that fits.
        reasons: Why not.
        beyond: Whether the days lie beyond those measured.
    """

    target_per_arm: Mapping[str, int]
    target_total: int
    required_days: int | None
    adjusted_days: int | None
    final_days: int | None
    status: Feasibility
    reasons: tuple[str, ...]
    beyond: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """Whether an experiment can be run.

    Attributes:
        spec: The experiment, with the figures that were taken.
        declared: The experiment as declared.
        at: Moment of the assessment: the reference date, or now.
        plan: The primary metric's plan.
        arms: Units by arm.
        decided_by: The metric that needs most units.
        guardrails: Guardrails with their sizes.
        traffic: What the days rest on.
        figures: What was measured, by metric.
        buffer: Factor on the units.
        run: How long it takes.
        status: FEASIBLE, MARGINAL or NOT_FEASIBLE.
        reasons: Why not FEASIBLE.
        assumptions_met: Whether every assumption held.
        warnings: What should be looked at.
        notes: What should be known.
        calendar: Starts that fit; none where it is not feasible.
        roi_mde: Smallest lift that earns what is demanded; None where nothing is.
    """

    spec: ExperimentSpec
    declared: ExperimentSpec
    at: dt.datetime
    plan: ExperimentPlan
    arms: Mapping[str, int]
    decided_by: str
    guardrails: tuple[GuardrailSize, ...]
    traffic: TrafficFigures
    figures: Mapping[str, MetricFigures]
    buffer: float
    run: Run
    status: Feasibility
    reasons: tuple[str, ...]
    assumptions_met: bool
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    calendar: tuple[CalendarRecommendation, ...]
    roi_mde: float | None = None

    @property
    def synthetic(self) -> bool:
        """Whether its numbers were made up."""
        return self.traffic.data_source == SYNTHETIC_SOURCE


def assess_feasibility(
    spec: ExperimentSpec,
    *,
    at: dt.datetime,
    traffic: TrafficFigures | None = None,
    figures: Mapping[str, MetricFigures] | None = None,
    buffer: float | None = None,
) -> Assessment | Unavailable:
    """Units, days, dates and whether they fit.

    Args:
        spec: The experiment, with its plan and `feasibility`.
        at: The moment; its day is the first on which a run may start.
        traffic: Traffic asked for or measured; default: what the spec says.
        figures: By metric: what was measured; it comes before what the spec assumes.
        buffer: Factor on the units; default: the spec's.

    Returns:
        The assessment; `Unavailable` with the code of what the spec does not say (`no_traffic`,
        or one of `plan_experiment`).

    Raises:
        UsageError: A number of the traffic or the buffer lies outside its range.
    """
    measured = figures or {}
    known = spec.feasibility or DEFAULT_SPEC
    sizes = size_experiment(spec, measured)
    if isinstance(sizes, Unavailable):
        return sizes
    taken = traffic or traffic_of(spec)
    if taken is None:
        return Unavailable(code="no_traffic", reason="Nothing says how many eligible units come in a day.")
    factor = _checked(taken, known.buffer if buffer is None else buffer)
    run = run_of(sizes.arms, taken, spec, factor)
    failed, warnings = _assumptions(sizes, taken, measured, run, spec)
    status: Feasibility = "MARGINAL" if failed and run.status == "FEASIBLE" else run.status
    day = at.date()
    fits = status != "NOT_FEASIBLE" and run.final_days is not None
    calendar = recommend_starts(day, run.final_days, avoid=known.avoid_periods) if fits and run.final_days else ()
    return Assessment(
        spec=sizes.spec,
        declared=spec,
        at=at,
        plan=sizes.plan,
        arms=sizes.arms,
        decided_by=sizes.decided_by,
        guardrails=sizes.guardrails,
        traffic=taken,
        figures=measured,
        buffer=factor,
        run=run,
        status=status,
        reasons=(*run.reasons, *failed),
        assumptions_met=not failed,
        warnings=(*warnings, *_seasons(spec, known)),
        notes=_notes(sizes, taken, known, run, dated=bool(calendar) or not fits),
        calendar=calendar,
        roi_mde=None if known.roi is None else roi_effect(known),
    )


def traffic_of(spec: ExperimentSpec) -> TrafficFigures | None:
    """The traffic that a spec states; None where it states none."""
    known = spec.feasibility
    if known is None or known.daily_units is None:
        return None
    notes = (f"traffic as the spec states it: {known.traffic_source}",) if known.traffic_source else ()
    return TrafficFigures(daily=known.daily_units, cv=known.daily_cv or 0.0, data_source=SPEC_SOURCE, notes=notes)


def roi_effect(known: FeasibilitySpec) -> float:
    """Smallest lift that earns what the spec demands of a launch.

    Raises:
        UsageError: The spec demands nothing.
    """
    if known.roi is None:
        raise UsageError("The spec states no return that a launch must earn.", hint="Add feasibility.roi: cost and annual_revenue.")
    roi = known.roi
    return mde_from_roi(roi.cost, roi.annual_revenue, required_multiple=roi.required_multiple, payback_years=roi.payback_years)


def run_of(arms: Mapping[str, int], traffic: TrafficFigures, spec: ExperimentSpec, buffer: float) -> Run:
    """How long units take at a traffic (XC-17); distinct units where their accumulation was measured."""
    target = {key: round_up(n * buffer) for key, n in arms.items()}
    total = sum(target.values())
    found = days_until(total, traffic.distinct) if traffic.distinct else (experiment_duration_days(total, traffic.daily), False)
    least, most = spec.plan.min_days, spec.plan.max_days
    if found is None:
        why = f"no new eligible units came in the last days measured: {total:,} are needed and {traffic.distinct[-1]:,.0f} came"
        return Run(
            target_per_arm=target,
            target_total=total,
            required_days=None,
            adjusted_days=None,
            final_days=None,
            status="NOT_FEASIBLE",
            reasons=(why,),
            beyond=True,
        )
    required = round_up(found[0])
    adjusted, final = whole_weeks(required, daily_cv=traffic.cv, minimum_days=1 if least is None else round_up(least))
    status, reasons = judge_duration(final, traffic.daily, None if most is None else int(most))
    return Run(
        target_per_arm=target,
        target_total=total,
        required_days=required,
        adjusted_days=adjusted,
        final_days=final,
        status=status,
        reasons=reasons,
        beyond=found[1],
    )


def _checked(traffic: TrafficFigures, buffer: float) -> float:
    check_positive("daily_eligible_users", traffic.daily)
    if not 0.0 <= traffic.cv <= 5.0:
        raise UsageError(f"The coefficient of variation of the daily traffic must lie in [0, 5], got {traffic.cv:g}.")
    if not 1.0 <= buffer <= 3.0:
        raise UsageError(f"buffer must lie in [1, 3], got {buffer:g}.", hint="1.1 adds ten percent to the units.")
    return buffer


def _assumptions(
    sizes: Sizes, traffic: TrafficFigures, figures: Mapping[str, MetricFigures], run: Run, spec: ExperimentSpec
) -> tuple[list[str], list[str]]:
    """Assumptions that failed, and warnings."""
    failed: list[str] = []
    warnings: list[str] = []
    if traffic.data_source == SYNTHETIC_SOURCE:
        warnings.append("SYNTHETIC numbers: nothing here was measured")
    measured, planned = figures.get(spec.primary.key), spec.plan.baseline
    if measured is not None and planned is not None and abs(measured.value - planned) > BASELINE_TOLERANCE * abs(planned):
        says = f"the measured baseline of '{spec.primary.key}' is {measured.value:.6g}, the spec assumes {planned:.6g}"
        failed.append(f"{says}: they differ by more than 20%")
        warnings.append(f"{says}; sizes are taken from the measured one")
    if traffic.cv > UNSTEADY_CV:
        failed.append(f"daily traffic varies by {traffic.cv:.0%} from day to day, so days are a guess")
    if run.beyond and run.required_days is not None:
        failed.append(f"{run.required_days} days lie beyond the {len(traffic.distinct)} measured; the pace of the last week is carried on")
    fallback = None if spec.feasibility is None else spec.feasibility.variance_fallback
    if fallback == "cv_1" and measured is None and spec.plan.baseline_sd is None:
        warnings.append("the standard deviation is the declared fallback: as large as the mean (coefficient of variation 1)")
    if "poisson_variance" in sizes.plan.notes:
        says = "the variance is not known: it is taken as the mean (Poisson), and counts of people vary more as a rule"
        (warnings if fallback == "poisson" else failed).append(says)
    return failed, warnings


def _seasons(spec: ExperimentSpec, known: FeasibilitySpec) -> list[str]:
    """Periods to avoid that the declared schedule touches."""
    schedule = spec.schedule
    if schedule is None or schedule.end is None:
        return []
    first, last = schedule.start.date(), (schedule.end - dt.timedelta(microseconds=1)).date()
    found = {period.reason or f"{period.start} to {period.end}": None for period, _, _ in disturbed(first, last, avoid=known.avoid_periods)}
    return [f"the declared dates {first} to {last} touch a period to avoid: {reason}" for reason in found]


def _notes(sizes: Sizes, traffic: TrafficFigures, known: FeasibilitySpec, run: Run, *, dated: bool) -> tuple[str, ...]:
    notes = list(traffic.notes)
    if traffic.period is not None:
        first, last = traffic.period
        notes.append(f"measured from {first} to {last}; the plan holds for periods like it, other seasons need a new measurement")
    if traffic.distinct:
        notes.append("days follow the distinct units that came within so many days; who comes back is counted once")
    if sizes.decided_by != sizes.spec.primary.key:
        notes.append(f"guardrail '{sizes.decided_by}' needs more units than the primary metric, and decides")
    if sizes.plan.variance_factor != 1.0:
        notes.append(f"the covariate and clusters make the units {sizes.plan.variance_factor:.3f} times those without")
    if not dated:
        notes.append(f"no Monday within a year keeps all {run.final_days} days clear of periods to avoid")
    return (*notes, *known.notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeasibilityDocument:
    """The assessment as data (XC-15); what POST /configs/{name}/power answers and `--output` writes."""

    experiment_name: str
    config_version: str
    analysis_timestamp: str
    statistical_parameters: Mapping[str, float | str | None]
    sample_size_requirements: Mapping[str, object]
    traffic_analysis: Mapping[str, object]
    duration_requirements: Mapping[str, float | None]
    feasibility_assessment: Mapping[str, object]
    calendar_recommendations: Sequence[Mapping[str, str]]
    notes: Sequence[str] = ()
    measured: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict[str, "Mapping[str, float | None]"])
    synthetic: bool = False


def feasibility_document(found: Assessment, *, changes: Sequence[Mapping[str, str]] = ()) -> FeasibilityDocument:
    """The assessment as data, with what to change where it does not fit."""
    plan, run, traffic = found.plan, found.run, found.traffic
    relative = None if not plan.baseline else plan.effect / abs(plan.baseline)
    most = found.spec.plan.max_days
    return FeasibilityDocument(
        experiment_name=found.spec.key,
        config_version=found.spec.version,
        analysis_timestamp=found.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        statistical_parameters={
            "test_type": TEST_TYPES.get(found.spec.primary.kind, found.spec.primary.kind),
            "baseline": plan.baseline,
            "target": plan.target,
            "relative_effect": relative,
            "absolute_effect": plan.effect,
            "alpha": found.spec.plan.alpha,
            "power": plan.power,
            "alternative": plan.alternative,
            "alpha_per_comparison": plan.alpha,
            "standard_deviation": found.spec.plan.baseline_sd,
            "variance_factor": plan.variance_factor,
            "method": plan.method,
            "mde_from_roi": found.roi_mde,
        },
        sample_size_requirements={
            "per_variant": max(found.arms.values()),
            "total": sum(found.arms.values()),
            "buffer": found.buffer,
            "target_per_variant": max(run.target_per_arm.values()),
            "target_total": run.target_total,
            "by_variant": dict(found.arms),
            "decided_by": found.decided_by,
            "guardrails": [
                {"metric": one.metric, "total": one.total, "margin": one.margin, "code": one.code, "reason": one.reason}
                for one in found.guardrails
            ],
        },
        traffic_analysis={
            "daily_eligible_users": _whole(traffic.daily),
            "daily_per_variant": traffic.daily / len(found.arms),
            "coefficient_of_variation": traffic.cv,
            "data_source": traffic.data_source,
            "distinct_units_by_day": list(traffic.distinct) or None,
            "period": None if traffic.period is None else [day.isoformat() for day in traffic.period],
        },
        duration_requirements={
            "required_days": run.required_days,
            "variability_adjusted_days": run.adjusted_days,
            "final_duration_days": run.final_days,
            "business_maximum_days": None if most is None else _whole(most),
        },
        feasibility_assessment={
            "status": found.status,
            "reasons": list(found.reasons),
            "assumptions_met": found.assumptions_met,
            "warnings": list(found.warnings),
            "what_to_change": [dict(change) for change in changes],
        },
        calendar_recommendations=[
            {"start_date": one.start_date.isoformat(), "end_date": one.end_date.isoformat(), "reason": one.reason} for one in found.calendar
        ],
        notes=list(found.notes),
        measured={
            key: {"value": one.value, "standard_deviation": one.sd, "covariate_correlation": one.correlation, "units": one.units}
            for key, one in found.figures.items()
        },
        synthetic=found.synthetic,
    )


def _whole(value: float) -> float:
    """A whole number as one."""
    return int(value) if float(value).is_integer() else value
