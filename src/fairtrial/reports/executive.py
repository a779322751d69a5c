"""One page for those who decide: what to do, why, how sure, and what comes next (XC-49)."""

from __future__ import annotations

from dataclasses import dataclass

from fairtrial.analysis.quality import Quality
from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.formatting import clean, count, precise
from fairtrial.reports.html import environment, squeeze, stylesheet
from fairtrial.reports.view_models import ScorecardView
from fairtrial.reports.views import view
from fairtrial.reports.words import sentence

STEPS = 3
TITLES = {
    "bottom_line_recommendation": "Bottom line",
    "key_finding": "Key finding",
    "statistical_confidence": "How sure",
    "sample_quality": "Quality of the data",
    "business_impact": "Business impact",
    "risk_assessment": "Risk",
    "implementation_timeline": "When",
}
AFTERWARDS = (
    "Store the scorecard with the decision: `fairtrial verify` makes it again.",
    "Tell the owners of the other experiments on the same users what was decided.",
    "Look at the guardrails again two weeks after the decision.",
)
"""Steps that every decision has, where the verdict asks for fewer than three."""
TIMELINES = {
    "STRONG_LAUNCH": "Now, to everybody; keep the guardrails on watch for two weeks.",
    "LAUNCH": "From now on in stages, such as 25%, 50% and 100% over two to three weeks, each after a look at the guardrails.",
    "CONSIDER_LAUNCH": "After its gain has been weighed against what it costs to launch and keep; nothing is lost by waiting for that.",
    "NO_LAUNCH": "No launch. The units are free for the next experiment.",
    "ROLLBACK": "Today: take the treatment off, then look for the cause.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutiveSummary:
    """A result in eight answers, each a sentence or a few.

    Attributes:
        title: Name of the experiment.
        untrusted: Whether the data failed a check, so that the numbers serve diagnosis alone.
        executive_next_steps: Three.
    """

    title: str
    untrusted: bool
    bottom_line_recommendation: str
    key_finding: str
    statistical_confidence: str
    sample_quality: str
    business_impact: str
    risk_assessment: str
    implementation_timeline: str
    executive_next_steps: tuple[str, ...]


def executive_summary(card: Scorecard, quality: Quality | None = None) -> ExecutiveSummary:
    """What an executive asks of a result.

    Args:
        card: The result.
        quality: The checks around it, where they were made.
    """
    shown = view(card)
    return ExecutiveSummary(
        title=shown.title,
        untrusted=not shown.trusted,
        bottom_line_recommendation=f"{shown.verdict.label.capitalize()}. {shown.verdict.headline}",
        key_finding=_finding(shown),
        statistical_confidence=_confidence(card, shown),
        sample_quality=_sample(shown, quality),
        business_impact=_impact(card, shown),
        risk_assessment=_risk(card, shown),
        implementation_timeline=_timeline(card),
        executive_next_steps=(*shown.verdict.next_steps, *AFTERWARDS)[:STEPS],
    )


def executive_markdown(summary: ExecutiveSummary) -> str:
    """The page as Markdown."""
    parts = [f"# {summary.title}: executive summary"]
    parts += [f"**{title}.** {text}" for title, text in answers(summary)]
    parts.append("**Next steps**")
    return "\n\n".join(parts) + "\n\n" + "\n".join(f"{i}. {step}" for i, step in enumerate(summary.executive_next_steps, 1)) + "\n"


def executive_page(summary: ExecutiveSummary, card: Scorecard) -> str:
    """The page as one self-contained HTML document: no script, no request."""
    shown = view(card)
    css = stylesheet("forest.css") + stylesheet("report.css")
    page = environment().get_template("executive.html.j2").render(s=summary, v=shown, answers=answers(summary), css=css)
    return squeeze(page)


def answers(summary: ExecutiveSummary) -> list[tuple[str, str]]:
    """(title, text) of every answer but the steps."""
    return [(title, getattr(summary, name)) for name, title in TITLES.items()]


def _finding(shown: ScorecardView) -> str:
    if shown.hero is None:
        return "There is no comparison to speak of."
    row = shown.hero.row
    if row.why_unavailable:
        return f"{shown.hero.sentence} {row.why_unavailable}"
    lift = f" (lift {row.lift_says})" if row.lift_says else ""
    caution = f" {shown.hero.caution}" if shown.hero.caution else ""
    return f"{shown.hero.sentence} The {row.level} interval is {row.interval_words}{lift}.{caution}"


def _confidence(card: Scorecard, shown: ScorecardView) -> str:
    level = card.decision.confidence
    said = "No confidence can be stated." if level is None else f"{level.capitalize()}."
    row = None if shown.hero is None else shown.hero.row
    numbers = "" if row is None or row.why_unavailable else f" {sentence(row.p_says)[0].upper()}{sentence(row.p_says)[1:]}"
    return f"{said}{numbers} {shown.plan.powered}".strip()


def _sample(shown: ScorecardView, quality: Quality | None) -> str:
    units = ", ".join(f"{arm.name} {arm.n}" for arm in shown.arms)
    checks = ""
    if quality is not None:
        troubled = [check.message for check in quality.checks if check.status in {"warn", "fail"}]
        made = sum(check.status != "not_checked" for check in quality.checks)
        checks = f" {made} of {len(quality.checks)} checks could be made; " + (
            "all passed." if not troubled else "these stand out: " + " ".join(clean(text) for text in troubled)
        )
    return f"Units: {units}. {shown.srm.sentence} {shown.plan.sentence}{checks}"


def _impact(card: Scorecard, shown: ScorecardView) -> str:
    told = [item for item in shown.impact if item.treatment == clean(card.treatment)]
    if told:
        return " ".join(f"{item.sentence} {item.why_unavailable}".strip() for item in told)
    found = " ".join(item.sentence for item in shown.incremental if item.treatment == clean(card.treatment))
    return f"{found} The spec says nothing of what that is worth (`business`).".strip()


def _risk(card: Scorecard, shown: ScorecardView) -> str:
    rows = [row for group in shown.groups for metric in group.metrics for row in metric.rows if row.guardrail is not None]
    told = [f"{row.metric} {row.guardrail.status}" for row in rows if row.guardrail is not None and row.treatment == clean(card.treatment)]
    guarded = f" Guardrails: {', '.join(told)}." if told else " No guardrails were declared, so harm to other metrics was not watched."
    return f"{card.decision.risk_level.capitalize()}.{guarded}"


def _timeline(card: Scorecard) -> str:
    verdict, plan = card.decision.verdict, card.plan
    if verdict is None:
        return "Not before the data is sound and complete."
    if verdict != "EXTEND_TEST":
        return TIMELINES[verdict]
    if plan.planned_n is None or plan.actual_n >= plan.planned_n:
        return "Go on to the next planned look."
    left = plan.planned_n - plan.actual_n
    if plan.days is None or plan.days <= 0 or plan.actual_n == 0:
        return f"Go on: {count(left)} units of the plan are still to come."
    days = plan.days * left / plan.actual_n
    return f"Go on: {count(left)} units of the plan are still to come, about {precise(days, 2)} days at the pace so far."
