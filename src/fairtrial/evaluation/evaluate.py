"""evaluate(): one reading of an experiment's data into one scorecard, as a pure function."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fairtrial.decisions import Decision, best_treatment, decide
from fairtrial.diagnostics import Finding, check_allocation, check_intake, check_outcomes, check_results
from fairtrial.errors import DataError, UnknownNameError
from fairtrial.evaluation.card import arm_summaries, by_severity, comparison_of, heading_of
from fairtrial.evaluation.compare import Compared, Pair, compare
from fairtrial.evaluation.credible import loss_is_small
from fairtrial.evaluation.evidence import Situation, gather_evidence, improvement, policy_of
from fairtrial.evaluation.factorial import factor_effects, factorial_findings
from fairtrial.evaluation.guard import read_guardrails
from fairtrial.evaluation.impact import business_impact
from fairtrial.evaluation.looks import Look, standing
from fairtrial.evaluation.planned_looks import after_stop, giving_up, gone_on, planned_looks, power_left
from fairtrial.evaluation.scorecard import Comparison, Guardrail, Incremental, LookStatus, PlanStatus, Scorecard
from fairtrial.evaluation.seasons import seasonal_findings
from fairtrial.evaluation.segment_findings import segment_findings
from fairtrial.evaluation.segments import read_segments
from fairtrial.evaluation.sequence import sequence_status
from fairtrial.evaluation.status import plan_status
from fairtrial.metrics import build_metrics
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import adds_up
from fairtrial.stats.reading import Reading
from fairtrial.stats.result import Estimate, Interval


def evaluate(
    spec: ExperimentSpec, reading: Reading, looks: Sequence[Look] = (), *, as_of: dt.datetime | None = None, seen: Sequence[Finding] = ()
) -> Scorecard:
    """Judge one reading by the spec's own rules.

    Args:
        spec: The experiment.
        reading: Arm statistics of every arm of the spec.
        looks: Earlier looks, oldest first.
        as_of: Moment of this look, aware; None when it does not matter (no schedule).
        seen: What the reader of the data found beside the arm statistics; a critical finding makes the verdict invalid.

    Returns:
        The scorecard; the same reading always gives the same one.

    Raises:
        UnknownNameError: The reading lacks an arm of the spec.
        DataError: No arm has any unit.
    """
    units = _units(spec, reading)
    metrics = build_metrics(spec, stratified=reading.stratified)
    control, look = planned_looks(spec, units, looks, as_of)
    compared = compare(spec, metrics, reading.arms, control)
    look = giving_up(spec, compared.results, units, look)
    srm, findings = check_allocation(units, spec.shares, spec.allocation, paired=spec.paired)
    findings += [*seen, *_triggered(spec, reading)]
    findings += check_intake(reading.intake)
    findings += gone_on(spec, looks)
    findings += seasonal_findings(spec, as_of)
    factorial = factor_effects(spec, metrics, reading.arms)
    findings += factorial_findings(spec, factorial, reading.arms)
    findings += check_outcomes(reading.arms, [metric.key for metric in spec.metrics])
    status, planned = _status(spec, compared, units, as_of, look)
    findings += check_results(
        {pair: result for pair, result in compared.results.items() if isinstance(result, Estimate)},
        planned=status.planned_from != "none",
        complete=status.complete,
    )
    segments = read_segments(spec, metrics, reading, compared.results, look)
    findings += segment_findings(segments)
    comparisons = _comparisons(spec, compared, look)
    critical = tuple(finding.message for finding in findings if finding.severity == "critical")
    situation = Situation(status=status, invalid=critical, units=units, live=_live(spec, as_of))
    decisions = _decisions(spec, compared, comparisons, situation)
    in_force = standing(looks, decisions, method=spec.plan.method, binding=spec.plan.sequential.binding)
    spoken_for = best_treatment(in_force, {t: _lower_bound(spec, compared, t) for t in spec.treatments})
    return Scorecard(
        **heading_of(spec, as_of),
        unit=_unit_name(spec),
        looks=len(looks),
        error_control=spec.plan.method,
        decision=in_force[spoken_for],
        treatment=spoken_for,
        decisions=in_force,
        arms=arm_summaries(spec, units, shares=spec.shares, planned=planned),
        plan=status,
        srm=srm,
        comparisons=comparisons,
        incremental=_incremental(spec, compared),
        findings=by_severity(findings),
        intake=reading.intake,
        best=dict(compared.best),
        segments=segments,
        factorial=factorial,
        impact=business_impact(spec, comparisons, status, invalid=bool(critical)),
    )


def _units(spec: ExperimentSpec, reading: Reading) -> dict[str, int]:
    """Units by arm, in the spec's order."""
    for arm in spec.arms:
        if arm.key not in reading.arms:
            raise UnknownNameError.among("arm", arm.key, reading.arms)
    units = {arm.key: reading.arms[arm.key].n for arm in spec.arms}
    if sum(units.values()) == 0:
        raise DataError("No arm of the experiment has any unit.", hint="Check data.arm, data.where and the arms' names.")
    return units


def _triggered(spec: ExperimentSpec, reading: Reading) -> list[Finding]:
    """In a triggered analysis the assigned units must have their planned shares too."""
    assigned = reading.intake.assigned
    if not assigned:
        return []
    return check_allocation({arm.key: assigned.get(arm.key, 0) for arm in spec.arms}, spec.shares, spec.allocation, what="assigned units")[
        1
    ]


def _status(
    spec: ExperimentSpec, compared: Compared, units: Mapping[str, int], as_of: dt.datetime | None, look: LookStatus | None
) -> tuple[PlanStatus, dict[str, int] | None]:
    """Where the plan stands, read at the primary metric's control where that is known; and planned units by arm."""
    pairs = [(spec.primary.key, treatment) for treatment in spec.treatments]
    known = [(result, compared.control_sds.get(pair)) for pair in pairs if isinstance(result := compared.results[pair], Estimate)]
    value, spread = (known[0][0].control, known[0][1]) if known else (None, None)
    return plan_status(
        spec,
        units,
        as_of=as_of,
        control_value=value,
        control_sd=spread,
        look=look,
        settled=loss_is_small(spec, compared.posteriors, compared.results),
        sequence=sequence_status(spec),
    )


def _comparisons(spec: ExperimentSpec, compared: Compared, look: LookStatus | None) -> tuple[Comparison, ...]:
    """One row per metric and treatment, in the spec's order."""
    guardrails = _guardrails(spec, compared)
    rows: list[Comparison] = []
    for metric in spec.metrics:
        for treatment in spec.treatments:
            result = compared.results[metric.key, treatment]
            rows.append(
                replace(
                    comparison_of(spec, metric, treatment, result),
                    guardrail=guardrails.get((metric.key, treatment)),
                    posterior=compared.posteriors.get((metric.key, treatment)),
                    after_stop=after_stop(spec, result, look) if metric.role == "primary" else None,
                )
            )
    return tuple(rows)


def _guardrails(spec: ExperimentSpec, compared: Compared) -> dict[Pair, Guardrail]:
    """State of every guardrail for every treatment."""
    metrics = [metric for metric in spec.metrics if metric.role == "guardrail"]
    states: dict[Pair, Guardrail] = {}
    for treatment in spec.treatments:
        results = {metric.key: compared.results[metric.key, treatment] for metric in metrics}
        values = {metric.key: compared.treatment_intervals.get((metric.key, treatment)) for metric in metrics}
        for key, guardrail in read_guardrails(metrics, results, values, alpha=spec.plan.alpha).items():
            states[key, treatment] = guardrail
    return states


def _decisions(spec: ExperimentSpec, compared: Compared, comparisons: Sequence[Comparison], situation: Situation) -> dict[str, Decision]:
    """The decision table's verdict on each treatment by itself."""
    decisions: dict[str, Decision] = {}
    for treatment in spec.treatments:
        pair = (spec.primary.key, treatment)
        evidence = gather_evidence(
            spec,
            treatment,
            compared.results[pair],
            watch=compared.watch.get(treatment),
            conditional_power=power_left(spec, compared.results[pair], compared.effects.get(pair), situation.status.sequential),
            guardrails=[row.guardrail for row in comparisons if row.treatment == treatment and row.guardrail is not None],
            situation=situation,
        )
        decisions[treatment] = decide(evidence, policy_of(spec, compared.results[pair]))
    return decisions


def _live(spec: ExperimentSpec, as_of: dt.datetime | None) -> bool:
    """Whether units are being assigned: said by the status, else by the schedule."""
    if spec.status is not None:
        return spec.status == "running"
    if spec.schedule is None or as_of is None:
        return False
    return as_of >= spec.schedule.start and (spec.schedule.end is None or as_of < spec.schedule.end)


def _lower_bound(spec: ExperimentSpec, compared: Compared, treatment: str) -> float | None:
    """Lower end of the treatment's improvement on the primary metric; None where there is none."""
    result = compared.results[spec.primary.key, treatment]
    return improvement(result, spec.primary).low if isinstance(result, Estimate) else None


def _incremental(spec: ExperimentSpec, compared: Compared) -> tuple[Incremental, ...]:
    """What each treatment added to its own arm, for a primary metric whose units add up."""
    if not adds_up(spec.primary):
        return ()
    rows: list[Incremental] = []
    for treatment in spec.treatments:
        result = compared.results[spec.primary.key, treatment]
        if isinstance(result, Estimate):
            n = result.n_treatment
            rows.append(
                Incremental(
                    metric=spec.primary.key,
                    treatment=treatment,
                    value=result.effect * n,
                    interval=Interval(low=result.interval.low * n, high=result.interval.high * n),
                    share=result.effect / result.treatment if result.treatment > 0 else None,
                )
            )
    return tuple(rows)


def _unit_name(spec: ExperimentSpec) -> str:
    """What the spec calls a unit, for people."""
    data = spec.data
    if data is None or data.shape == "aggregates":
        return "unit"
    return (data.assignments.unit if data.shape == "logs" else data.unit) or "row"
