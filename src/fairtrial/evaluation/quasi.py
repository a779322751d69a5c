"""evaluate_quasi(): estimates of a quasi-experiment into the same scorecard as an experiment, as a pure function.

The decision table is the experiments'; what it says is then held to the design:
a weak design never carries a launch, and no quasi-experiment is sure. Which
design the numbers rest on stands in `evidence_grade` and among the findings.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace

from fairtrial.decisions import Decision, Evidence, decide
from fairtrial.decisions.decision import Confidence
from fairtrial.diagnostics.allocation import SrmCheck
from fairtrial.diagnostics.finding import Finding
from fairtrial.evaluation.card import arm_summaries, by_severity, comparison_of, declared_of, heading_of
from fairtrial.evaluation.evidence import improvement, is_significant, policy_of
from fairtrial.evaluation.guard import oriented
from fairtrial.evaluation.scorecard import PlanStatus, Scorecard
from fairtrial.quasi.estimate import EvidenceGrade, QuasiEstimate
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.stats.reading import Intake
from fairtrial.stats.result import Estimate, Unavailable

READ_ONCE = "A quasi-experiment is read once, on the data that there are; no size was planned."
DESIGNS: Mapping[str, str] = {
    "did": "difference in differences",
    "staggered_did": "difference in differences with staggered adoption",
    "rdd": "regression discontinuity",
    "synthetic_control": "synthetic control",
    "iv": "instrumental variable",
    "interrupted_series": "interrupted series",
}


def evaluate_quasi(
    spec: ExperimentSpec,
    results: Mapping[str, QuasiEstimate | Unavailable],
    intake: Intake,
    *,
    adjusted: Mapping[str, float] | None = None,
    as_of: dt.datetime | None = None,
) -> Scorecard:
    """Judge a quasi-experiment's estimates by the spec's rules and by their design.

    Args:
        spec: The quasi-experiment.
        results: By metric key, every metric of the spec: the estimate, or why there is none.
        intake: The account of the reading.
        adjusted: Corrected p-values by metric, where the plan's correction (or its gate) applies; the estimate's interval
            stands at its own level.
        as_of: Moment of the reading, aware; None where it does not matter.

    Returns:
        The scorecard; the same estimates always give the same one.
    """
    treatment = spec.treatments[0]
    estimates = {key: _estimate(spec, key, result, adjusted or {}) for key, result in results.items()}
    primary = results[spec.primary.key]
    grade = primary.grade if isinstance(primary, QuasiEstimate) else None
    findings = _findings(results, grade)
    decision = _decision(spec, estimates[spec.primary.key], findings, grade)
    sizes = (0, 0) if isinstance(primary, Unavailable) else (primary.n_control, primary.n_treated)
    return Scorecard(
        **heading_of(spec, as_of),
        unit=getattr(spec.design, "unit", None) or "row",
        looks=0,
        error_control="fixed",
        decision=decision,
        treatment=treatment,
        decisions={treatment: decision},
        arms=arm_summaries(spec, dict(zip((spec.control, treatment), sizes, strict=True))),
        plan=_plan(spec, intake),
        srm=SrmCheck(status="skipped", chi_square=None, df=None, p_value=None, reason="nobody was randomised, so no shares were planned"),
        comparisons=tuple(comparison_of(spec, metric, treatment, estimates[metric.key]) for metric in spec.metrics),
        incremental=(),
        findings=by_severity(findings),
        intake=intake,
        evidence_grade=grade,
    )


def _estimate(spec: ExperimentSpec, key: str, result: QuasiEstimate | Unavailable, adjusted: Mapping[str, float]) -> Estimate | Unavailable:
    """A metric's estimate as the scorecard holds it: the lift by the plan's method, the p-value after correction."""
    if isinstance(result, Unavailable):
        return result
    asked = spec.plan.lift_method
    estimate = result.to_estimate(lift_method="delta" if asked == "auto" else asked)
    if key in adjusted:
        gate = spec.plan.gatekeeping
        name = spec.plan.secondary_correction if gate == "none" else f"{gate}-gatekeeping"
        return replace(estimate, p_adjusted=adjusted[key], correction=name)
    return estimate


def _decision(spec: ExperimentSpec, primary: Estimate | Unavailable, findings: list[Finding], grade: EvidenceGrade | None) -> Decision:
    """The decision table's verdict on the primary metric, held to what the design carries."""
    estimate = primary if isinstance(primary, Estimate) else None
    interval = None if estimate is None else improvement(estimate, spec.primary)
    ends = None if estimate is None else estimate.lift_interval
    lifts = None if ends is None else oriented(ends, increase_is_better=spec.primary.direction == "increase")
    significant = estimate is not None and is_significant(estimate, spec.plan.alpha)
    sign = 1.0 if spec.primary.direction == "increase" else -1.0
    evidence = Evidence(
        invalid=tuple(finding.message for finding in findings if finding.severity == "critical"),
        insufficient=primary.reason if isinstance(primary, Unavailable) else None,
        effect=None if estimate is None else sign * estimate.effect,
        interval=interval,
        lift=None if estimate is None or estimate.lift is None else sign * estimate.lift,
        lift_interval=lifts,
        significant=significant,
        harm_interval=interval if significant else None,
        guardrails=None,
        guardrails_non_inferior=True,
        guardrail_reasons=(),
        planned=False,
        plan_complete=True,
        fixed_horizon=True,
        looks_left=False,
        conditional_power=None,
        min_days_met=True,
        max_days_reached=True,
        live=spec.status == "running",
    )
    decision = decide(evidence, policy_of(spec, primary))
    return decision if grade is None else held_to_design(decision, grade)


def held_to_design(decision: Decision, grade: EvidenceGrade) -> Decision:
    """A decision as far as its design carries it.

    Args:
        decision: What the table said.
        grade: What design the estimate rests on.

    Returns:
        A launch on a `weak` design becomes one to consider; confidence is at most low on a weak design,
        medium on a moderate one, medium-high on a strong one. The design joins the reasons.
    """
    most: Confidence = {"weak": "LOW", "moderate": "MEDIUM", "strong": "MEDIUM-HIGH"}[grade.level]  # pyright: ignore[reportAssignmentType]
    order: tuple[Confidence, ...] = ("LOW", "MEDIUM", "MEDIUM-HIGH", "HIGH")
    confidence = None if decision.confidence is None else min(decision.confidence, most, key=order.index)
    weak_launch = grade.level == "weak" and decision.verdict in {"STRONG_LAUNCH", "LAUNCH"}
    reason = f"the evidence is {grade.level}: {DESIGNS[grade.design]}, nobody was randomised"
    return replace(
        decision,
        verdict="CONSIDER_LAUNCH" if weak_launch else decision.verdict,
        reason="weak_design" if weak_launch else decision.reason,
        confidence=confidence,
        reasoning=(*decision.reasoning, reason),
        next_steps=(*decision.next_steps, "Where it can be done, randomise: an experiment needs none of the design's assumptions."),
    )


def _findings(results: Mapping[str, QuasiEstimate | Unavailable], grade: EvidenceGrade | None) -> list[Finding]:
    """What the design is and rests on, then what its checks saw, by metric."""
    found: list[Finding] = []
    if grade is not None:
        found.append(
            Finding(
                code="evidence_grade",
                severity="warning" if grade.level == "weak" else "info",
                message=f"The evidence is {grade.level}: {DESIGNS[grade.design]}, nobody was randomised. It rests on: {grade.rests_on}",
                action=f"Ask whether that holds here. {grade.because}",
            )
        )
    for key, result in results.items():
        if isinstance(result, QuasiEstimate):
            found += [replace(finding, metric=key) for finding in result.findings]
    return found


def _plan(spec: ExperimentSpec, intake: Intake) -> PlanStatus:
    """The plan as far as a design that is read once has one."""
    return PlanStatus(
        planned_n=None,
        planned_from="none",
        actual_n=intake.units,
        complete=True,
        min_days_met=True,
        max_days_reached=False,
        days=None,
        power_at_mde=None,
        detectable_effect=None,
        detectable_lift=None,
        correction="none",
        reason=READ_ONCE,
        **declared_of(spec.plan),
    )
