"""From a scorecard to what is shown: pure, one view for terminal, HTML and notebook.

All wording and formatting is decided here and in the modules beside it, so that
no two outputs can disagree on a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fairtrial.diagnostics.allocation import SrmCheck
from fairtrial.diagnostics.finding import Finding
from fairtrial.evaluation.scorecard import ArmSummary, Comparison, Incremental, Scorecard
from fairtrial.reports.axis import Domain, axis, domain, mark
from fairtrial.reports.factorial_view import factorial_view
from fairtrial.reports.formatting import DASH, clean, count, effect_style, estimate_style, level, p_statement, precise, share, tick
from fairtrial.reports.guide import how_to_read
from fairtrial.reports.impact_view import impact_views
from fairtrial.reports.plan_view import plan_view
from fairtrial.reports.provenance import intake_facts, provenance
from fairtrial.reports.rows import effect_span, lift_span, row
from fairtrial.reports.segment_view import segments_view
from fairtrial.reports.view_models import (
    ArmView,
    AxisView,
    CheckView,
    FindingView,
    GroupView,
    HeroView,
    IncrementalView,
    MetricView,
    RowView,
    ScorecardView,
    VerdictView,
)
from fairtrial.reports.words import KINDS, ROLE_TITLES, SEVERITIES, arm_name, headline, phrase, sentence, verdict_label, verdict_tone
from fairtrial.stats.result import Interval

ROLES = ("primary", "guardrail", "secondary")
SEVERITY_ORDER: Mapping[str, int] = {"critical": 0, "warning": 1, "info": 2}
UNTRUSTED = "The data failed a check: the numbers below are shown for diagnosis only."


def view(scorecard: Scorecard) -> ScorecardView:
    """Everything a report of `scorecard` shows, written out."""
    trusted = scorecard.decision.state != "invalid"
    axis_view, groups = _groups(scorecard)
    estimates = [c.estimate for c in scorecard.comparisons if c.estimate is not None]
    levels = {row.level for group in groups for metric in group.metrics for row in metric.rows if row.level}
    return ScorecardView(
        title=clean(scorecard.name or scorecard.experiment),
        key=clean(scorecard.experiment),
        kind=KINDS.get(scorecard.kind, phrase(scorecard.kind)),
        hypothesis=clean(scorecard.hypothesis),
        as_of=clean(scorecard.as_of or ""),
        summary=_summary(scorecard),
        trusted=trusted,
        control=clean(scorecard.control),
        verdict=_verdict(scorecard, scorecard.treatment),
        verdicts=tuple(_verdict(scorecard, key) for key in scorecard.decisions) if len(scorecard.decisions) > 1 else (),
        hero=_hero(scorecard),
        axis=axis_view,
        groups=groups,
        one_level=levels.pop() if len(levels) == 1 else "",
        adjusted=any(e.p_adjusted is not None for e in estimates),
        believed=any(c.posterior is not None for c in scorecard.comparisons),
        arms=tuple(_arm(arm) for arm in scorecard.arms),
        srm=_srm(scorecard.srm),
        plan=plan_view(scorecard),
        findings=tuple(_finding(f) for f in sorted(scorecard.findings, key=lambda f: SEVERITY_ORDER[f.severity])),
        no_findings="The checks that could be made on this data found nothing to report.",
        incremental=tuple(_incremental(i, scorecard) for i in scorecard.incremental) if trusted else (),
        how_to_read=how_to_read(scorecard),
        provenance=provenance(scorecard),
        intake=intake_facts(scorecard.intake),
        intake_notes=tuple(sentence(text) for text in scorecard.intake.notes),
        factorial=factorial_view(scorecard),
        segments=segments_view(scorecard),
        impact=impact_views(scorecard),
    )


def _summary(scorecard: Scorecard) -> str:
    treatments = [clean(arm.key) for arm in scorecard.arms if arm.role == "treatment"]
    named = arm_name(treatments[0]) if len(treatments) == 1 else f"{len(treatments)} treatments"
    unit = clean(scorecard.unit)
    units = "units" if unit in {"", "unit", "units"} else f"units ({unit})"
    return f"{named} against {arm_name(scorecard.control)}, {count(scorecard.intake.units)} {units}"


def _verdict(scorecard: Scorecard, treatment: str) -> VerdictView:
    decision = scorecard.decision if treatment == scorecard.treatment else scorecard.decisions[treatment]
    guarded = any(c.guardrail is not None for c in scorecard.comparisons)
    facts: list[tuple[str, str]] = []
    if decision.confidence is not None:
        facts.append(("Confidence", decision.confidence.lower()))
    facts += [("Risk", decision.risk_level), ("Decision rule", decision.rule)]
    return VerdictView(
        treatment=clean(treatment),
        label=verdict_label(decision),
        tone=verdict_tone(decision),
        headline=headline(
            decision,
            treatment,
            scorecard.primary,
            guarded=guarded,
            objective=scorecard.plan.objective,
            believed=scorecard.error_control == "bayesian",
        ),
        reasons=tuple(sentence(text) for text in decision.reasoning),
        next_steps=tuple(sentence(text) for text in decision.next_steps),
        facts=tuple(facts),
    )


def _groups(scorecard: Scorecard) -> tuple[AxisView | None, tuple[GroupView, ...]]:
    spans = {(c.metric, c.treatment): span for c in scorecard.comparisons if (span := lift_span(c)) is not None}
    scale = domain(tuple(spans.values()))
    mirrored = any(c.direction == "decrease" and (c.metric, c.treatment) in spans for c in scorecard.comparisons)
    axis_view = None if scale is None else _lift_axis(scale, mirrored=mirrored)
    groups: list[GroupView] = []
    for role in ROLES:
        of_role = [c for c in scorecard.comparisons if c.role == role]
        keys = list(dict.fromkeys(c.metric for c in of_role))
        metrics = tuple(_metric([c for c in of_role if c.metric == key], spans, scale, scorecard) for key in keys)
        if metrics:
            title, hint = ROLE_TITLES[role]
            groups.append(GroupView(title=title, hint=hint, metrics=metrics))
    return axis_view, tuple(groups)


def _metric(
    comparisons: Sequence[Comparison],
    spans: Mapping[tuple[str, str], object],
    scale: Domain | None,
    scorecard: Scorecard,
) -> MetricView:
    alpha, trusted = scorecard.plan.alpha, scorecard.decision.state != "invalid"
    rows: list[RowView] = []
    for comparison in comparisons:
        span = lift_span(comparison) if (comparison.metric, comparison.treatment) in spans else None
        placed = mark(span, scale) if span is not None and scale is not None else None
        shown = row(comparison, alpha=alpha, mark=placed, trusted=trusted)
        tested = scorecard.error_control == "bayesian" and comparison.posterior is None and comparison.estimate is not None
        # in a column of chances a guardrail's p-value says what it is
        rows.append(replace(shown, p_final=shown.p_says) if tested else shown)
    first = rows[0]
    return MetricView(metric=first.metric, role=first.role, lower_is_better=first.lower_is_better, rows=tuple(rows))


def _lift_axis(scale: Domain, *, mirrored: bool) -> AxisView:
    title = "Change relative to the control" + (", turned so that better is to the right" if mirrored else "")
    return axis(scale, lambda value, step: tick("lift", value, step, signed=not mirrored), mirrored=mirrored, title=title)


def _hero(scorecard: Scorecard) -> HeroView | None:
    wanted = [c for c in scorecard.comparisons if c.role == "primary" and c.treatment == scorecard.treatment]
    if not wanted:
        return None
    comparison = wanted[0]
    shown = row(comparison, alpha=scorecard.plan.alpha, mark=None, trusted=scorecard.decision.state != "invalid")
    span = effect_span(comparison)
    scale = None if span is None else domain([span])
    mirrored = comparison.direction == "decrease"
    axis_view = None
    if scale is not None:
        title = f"Change of {shown.metric}" + (", turned so that better is to the right" if mirrored else "")
        axis_view = axis(scale, lambda v, s: tick(comparison.kind, v, s, signed=not mirrored), mirrored=mirrored, title=title)
    return HeroView(
        row=shown,
        control=clean(scorecard.control),
        axis=axis_view,
        mark=None if span is None or scale is None else mark(span, scale),
        sentence=_hero_sentence(comparison, scorecard),
        caution=_caution(scorecard),
    )


def _hero_sentence(comparison: Comparison, scorecard: Scorecard) -> str:
    e = comparison.estimate
    metric, treatment = clean(comparison.metric), clean(comparison.treatment)
    if e is None:
        return f"There is no estimate of {metric} for {arm_name(treatment)}."
    size = estimate_style(comparison.kind, e).signed(abs(e.effect)).lstrip("+")
    moved = f"{size} higher than" if e.effect > 0 else f"{size} lower than" if e.effect < 0 else "the same as"
    opening = f"With {arm_name(treatment)}, {metric} was {moved} with {arm_name(scorecard.control)}"
    if scorecard.decision.state == "invalid":
        return f"{opening}, in data that failed a check."
    so_far = "" if scorecard.plan.complete else " so far"
    endings = {
        "better": f"an improvement{so_far}.",
        "worse": f"a change for the worse{so_far}.",
        "inconclusive": f"not enough{so_far} to tell an improvement from none, or from harm.",
        "unavailable": "not judged.",
    }
    return f"{opening}: {endings[comparison.reading]}"


def _caution(scorecard: Scorecard) -> str:
    if scorecard.decision.state == "invalid":
        return "Do not read this number: the data failed a check."
    if not scorecard.plan.complete and scorecard.error_control == "fixed":
        return "Not final: the plan is not complete, and its error rate holds only at the planned end."
    return ""


def _arm(arm: ArmSummary) -> ArmView:
    return ArmView(
        name=clean(arm.key),
        role=arm.role,
        n=count(arm.n),
        planned_share=DASH if arm.planned_share is None else share(arm.planned_share),
        observed_share=share(arm.observed_share),
        planned_n=DASH if arm.planned_n is None else count(arm.planned_n),
        share_width=min(max(arm.observed_share, 0.0), 1.0),
        planned_width=None if arm.planned_share is None else min(max(arm.planned_share, 0.0), 1.0),
    )


def _srm(srm: SrmCheck) -> CheckView:
    titles = {
        "ok": "Shares agree with the plan",
        "warning": "Shares are a little off the plan",
        "mismatch": "Sample ratio mismatch",
        "skipped": "Shares were not checked",
    }
    figures = ""
    if srm.chi_square is not None and srm.p_value is not None:
        df = "" if srm.df is None else f" on {srm.df} df"
        size = f" {precise(srm.chi_square, 4)}" if srm.chi_square >= 0.01 else " below 0.01"
        figures = f"Chi-square{size}{df}, {p_statement(srm.p_value)}."
    reason = "" if srm.status == "ok" else sentence(srm.reason)
    state = "critical" if srm.status == "mismatch" else srm.status
    return CheckView(state=state, title=titles[srm.status], sentence=f"{reason} {figures}".strip())


def _finding(finding: Finding) -> FindingView:
    about = [f"metric {clean(finding.metric)}"] if finding.metric else []
    about += [f"arm {clean(finding.arm)}"] if finding.arm else []
    numbers = tuple((phrase(name), _figure(value)) for name, value in finding.numbers.items())
    return FindingView(
        severity=finding.severity,
        label=SEVERITIES[finding.severity],
        code=finding.code,
        message=sentence(finding.message),
        action=sentence(finding.action),
        about=", ".join(about),
        numbers=numbers,
    )


def _figure(value: float | str | None) -> str:
    if value is None:
        return DASH
    if isinstance(value, str):
        return clean(value)
    return count(value) if isinstance(value, int) else precise(value, 4)


def _incremental(item: Incremental, scorecard: Scorecard) -> IncrementalView:
    metric, treatment = clean(item.metric), clean(item.treatment)
    alpha = next(
        (c.estimate.alpha for c in scorecard.comparisons if c.metric == item.metric and c.treatment == item.treatment and c.estimate), None
    )
    style = effect_style("mean", item.value, item.interval)
    value = style.signed(item.value)
    added = f"added an estimated {value} to the total of {metric}"
    verb = added if item.value > 0.0 else f"changed the total of {metric} by an estimated {value}"
    ends = Interval(low=item.interval.low, high=item.interval.high)
    part = "" if item.share is None or item.value <= 0.0 else f", {share(item.share)} of its own total"
    open_end = "" if item.interval.excludes(0.0) else " No change at all is not ruled out."
    at = "" if alpha is None else f"{level(alpha)} interval "
    return IncrementalView(
        metric=metric,
        treatment=treatment,
        value=value,
        interval=style.span(ends),
        share=share(item.share) if part and item.share is not None else "",
        sentence=f"{arm_name(treatment)} {verb} ({at}{style.between(ends)}){part}.{open_end}",
    )
