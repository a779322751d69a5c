"""The plan as it is shown: what was called for, what came, and what that could show."""

from __future__ import annotations

from fairtrial.evaluation.scorecard import Comparison, LookStatus, PlanStatus, Scorecard, SequenceStatus
from fairtrial.reports.formatting import Kind, clean, count, magnitude, power, relative, share
from fairtrial.reports.view_models import PlanView
from fairtrial.reports.words import CORRECTIONS, objective_words, phrase, sentence

ORIGINS = {"sample_size": "declared in the plan", "power": "called for by alpha, power and MDE", "none": "no plan was recorded"}


OF_A_DESIGN = "Nobody was randomised, so power was not planned: the width of the interval says what this design can tell apart."
"""The power statement of a quasi-experiment."""


def plan_view(scorecard: Scorecard) -> PlanView:
    """The plan of a scorecard, with its power statement and its settings."""
    plan = scorecard.plan
    kind = _primary_kind(scorecard.comparisons)
    progress = None if not plan.planned_n else min(plan.actual_n / plan.planned_n, 1.0)
    return PlanView(
        sentence=sentence(plan.reason),
        powered=_powered(plan, kind) if scorecard.evidence_grade is None else OF_A_DESIGN,
        progress=progress,
        progress_text=_progress(plan),
        facts=_facts(scorecard, kind),
    )


def _primary_kind(comparisons: tuple[Comparison, ...]) -> Kind:
    kinds: list[Kind] = [c.kind for c in comparisons if c.role == "primary"]
    return kinds[0] if kinds else "mean"


def _progress(plan: PlanStatus) -> str:
    if not plan.planned_n:
        return f"{count(plan.actual_n)} units came; no number was planned"
    if plan.actual_n >= plan.planned_n:
        return f"{count(plan.actual_n)} units came; {count(plan.planned_n)} were planned"
    return f"{count(plan.actual_n)} of {count(plan.planned_n)} planned units came ({share(plan.actual_n / plan.planned_n)})"


def _powered(plan: PlanStatus, kind: Kind) -> str:
    parts: list[str] = []
    if plan.objective == "non_inferiority" and plan.power_at_mde is not None:
        told = f"{count(plan.actual_n)} units show the treatment to be within the margin with power {power(plan.power_at_mde)}"
        parts.append(f"If the arms do not differ, {told}.")
    elif plan.planned_mde is not None and plan.power_at_mde is not None:
        mde, units = _mde(plan, kind), count(plan.actual_n)
        parts.append(f"If the true effect is {mde}, as planned for, {units} units detect it with power {power(plan.power_at_mde)}.")
    if plan.detectable_effect is not None:
        lift = "" if plan.detectable_lift is None else f" (a lift of {relative(plan.detectable_lift)})"
        parts.append(f"The smallest effect they detect with power {power(plan.power)} is {magnitude(kind, plan.detectable_effect)}{lift}.")
    if parts and plan.method == "bayesian":
        whose = f"a two-sided test at alpha {share(plan.alpha)}, not of this plan"
        parts.insert(0, f"What follows is true of {whose}: its own rule is measured by fairtrial oc.")
    if not parts:
        return "What these units could detect cannot be said: there is no primary estimate or no spread to go by."
    return " ".join(parts)


def _objective(plan: PlanStatus) -> str:
    """The objective alone, in words."""
    return plan.objective.replace("_", "-")


def _mde(plan: PlanStatus, kind: Kind) -> str:
    if plan.planned_mde is None:
        return "none declared"
    return f"{relative(plan.planned_mde)} of the control" if plan.mde_kind == "relative" else magnitude(kind, plan.planned_mde)


def _facts(scorecard: Scorecard, kind: Kind) -> tuple[tuple[str, str], ...]:
    plan = scorecard.plan
    tested = plan.method != "bayesian"
    planned = "none recorded" if plan.planned_n is None else f"{count(plan.planned_n)} ({ORIGINS[plan.planned_from]})"
    facts = [
        ("Planned units", planned),
        ("Analysed units", count(plan.actual_n)),
        ("Smallest effect planned for", _mde(plan, kind)),
        ("Power at that effect", "not known" if plan.power_at_mde is None else power(plan.power_at_mde)),
        ("Smallest detectable effect", _detectable(plan, kind)),
        ("Test", objective_words(plan.objective, plan.alternative) if tested else f"none, posteriors are read for {_objective(plan)}"),
        ("Alpha and planned power", f"{share(plan.alpha)} and {power(plan.power)}{'' if tested else ' (of the planned size only)'}"),
        ("Method", phrase(plan.method)),
        ("Correction over treatments", CORRECTIONS.get(plan.correction, phrase(plan.correction))),
        ("Correction over secondaries", CORRECTIONS.get(plan.secondary_correction, phrase(plan.secondary_correction))),
        ("Looks before this one", count(scorecard.looks)),
    ]
    if plan.sequential is not None:
        facts += _look_facts(plan.sequential)
    if plan.sequence is not None:
        facts.append(("Read at any look by", _sequence(plan.sequence, plan.method)))
    if plan.days is not None:
        facts.append(("Days since start", f"{plan.days:,.4g}"))
    if not plan.min_days_met:
        facts.append(("Shortest run", "not reached yet"))
    if plan.max_days_reached:
        facts.append(("Longest run", "reached"))
    return tuple((name, clean(value)) for name, value in facts)


def _look_facts(look: LookStatus) -> list[tuple[str, str]]:
    planned = ", ".join(share(part) for part in look.planned)
    past = ", ".join(share(part) for part in look.past) or "none"
    origin = " (as planned: no earlier scorecard was given)" if look.assumed else ""
    last = ", the last look" if look.final else ""
    return [
        ("Planned looks at", f"{planned} of the information"),
        ("Earlier looks at", f"{past}{origin}"),
        ("This look at", f"{share(look.information)} of the information{last}"),
        ("Spending", phrase(look.spending)),
        ("Alpha spent so far", share(look.alpha_spent)),
        ("Boundary at this look", f"z {look.critical_value:.4g}, p {look.nominal_alpha:.3g} before correction"),
        ("Giving up", _futility(look)),
    ]


def _futility(look: LookStatus) -> str:
    """The futility rule, and what it says at this look."""
    if look.futility == "none":
        return "never: the plan has no futility rule"
    if look.futility != "beta_spending":
        return "when the power left at the planned effect is too small; not binding"
    rule = f"{phrase(look.futility_spending or '')} spending of the type II error, {'binding' if look.binding else 'not binding'}"
    lowered = "; earlier looks obeyed it, so the boundary came down" if look.obeyed else ""
    if look.futility_bound is None:
        return f"{rule}; no bound at this look{lowered}"
    crossed = f", {', '.join(look.given_up)} below it" if look.given_up else ", nobody below it"
    return f"{rule}; bound z {look.futility_bound:.4g}{crossed}{lowered}"


SEQUENCES = {
    "msprt": "the mSPRT, tuned to the planned effect",
    "asymptotic": "an asymptotic confidence sequence",
    "bernoulli": "an exact Bernoulli sequence",
}


def _sequence(sequence: SequenceStatus, method: str) -> str:
    """The sequence behind intervals that hold at every look, and where it is tightest."""
    tuned = "" if sequence.tuned_for is None else f", tightest at {count(round(sequence.tuned_for))} units"
    return f"{SEQUENCES[sequence.name]}{tuned}{' (harm and guardrails)' if method == 'hybrid' else ''}"


def _detectable(plan: PlanStatus, kind: Kind) -> str:
    if plan.detectable_effect is None:
        return "not known"
    lift = "" if plan.detectable_lift is None else f", a lift of {relative(plan.detectable_lift)}"
    return f"{magnitude(kind, plan.detectable_effect)}{lift}"
