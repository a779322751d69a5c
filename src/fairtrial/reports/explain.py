"""A scorecard in plain language: a few short paragraphs that claim what the method allows and no more."""

from __future__ import annotations

from collections.abc import Sequence

from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.guide import interval_meaning
from fairtrial.reports.view_models import HeroView, RowView, ScorecardView
from fairtrial.reports.views import view

MOST_NAMED = 6


def explain(scorecard: Scorecard) -> str:
    """What was tested, what was found, how sure it is, and what was not tested.

    Args:
        scorecard: The result to explain.

    Returns:
        Paragraphs separated by blank lines, without markup.
    """
    shown = view(scorecard)
    paragraphs = [
        _asked(shown),
        _answered(shown),
        _number(shown.hero, shown, scorecard),
        _guardrails(shown),
        _others(shown),
        _factors(shown),
        " ".join(item.sentence for item in shown.incremental) if shown.trusted else "",
        _impact(shown),
        _power(shown),
        _missing(shown),
        _warnings(shown),
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _asked(shown: ScorecardView) -> str:
    hypothesis = f" The idea: {shown.hypothesis}" if shown.hypothesis else ""
    stop = "" if shown.title[-1] in ".!?" else "."
    return f"{shown.title}{stop} This compares {shown.summary}.{hypothesis}"


def _answered(shown: ScorecardView) -> str:
    label = "" if shown.verdict.headline.startswith("No verdict") else f"{shown.verdict.label.capitalize()}. "
    because = f" Why: {' '.join(shown.verdict.reasons)}" if shown.verdict.reasons else ""
    return f"{label}{shown.verdict.headline}{because}"


def _number(hero: HeroView | None, shown: ScorecardView, scorecard: Scorecard) -> str:
    if hero is None:
        return ""
    row = hero.row
    if row.why_unavailable:
        return f"{hero.sentence} {row.why_unavailable}"
    if not shown.trusted:
        return f"{hero.sentence} {hero.caution}"
    lift = f", a lift of {row.lift_says}" if row.lift_says else ""
    parts = [hero.sentence, f"The {row.level} interval is {row.interval_words}{lift} ({row.p_says})."]
    parts.append(interval_meaning(scorecard.error_control, row.level))
    if hero.caution:
        parts.append(hero.caution)
    return " ".join(parts)


def _rows(shown: ScorecardView, role: str) -> list[RowView]:
    return [row for group in shown.groups for metric in group.metrics for row in metric.rows if row.role == role]


def _guardrails(shown: ScorecardView) -> str:
    rows = [row for row in _rows(shown, "guardrail") if row.guardrail is not None]
    if not rows:
        return "No guardrails were declared, so harm to other metrics was not watched." if not _rows(shown, "guardrail") else ""
    told: list[str] = []
    for status in ("ALERT", "WARNING", "UNAVAILABLE", "PASS"):
        named = [f"{row.metric} ({row.treatment})" for row in rows if row.guardrail is not None and row.guardrail.status == status]
        if named:
            told.append(f"{status}: {_listed(named)}")
    return f"Guardrails. {'; '.join(told)}. A pass means that no harm beyond the margin was seen, not that there is none."


def _others(shown: ScorecardView) -> str:
    hero = None if shown.hero is None else shown.hero.row
    rows = _rows(shown, "secondary")
    if hero is not None:
        rows = [row for row in _rows(shown, "primary") if row.treatment != hero.treatment] + rows
    rows = [row for row in rows if not row.why_unavailable]
    if not rows or not shown.trusted:
        return ""
    told: list[str] = []
    for tone, words in (("better", "moved for the better"), ("worse", "moved for the worse")):
        named = [f"{row.metric} with {row.treatment} ({row.change}, {row.p_says})" for row in rows if row.tone == tone]
        if named:
            told.append(f"{_listed(named)} {words}.")
    still = sum(row.tone == "inconclusive" for row in rows)
    if still:
        which = "The other comparison is" if len(rows) == 1 else f"{still} of {len(rows)} other comparisons are"
        told.append(f"{which} inconclusive, which is not the same as no effect.")
    return " ".join(told)


def _factors(shown: ScorecardView) -> str:
    found = shown.factorial
    if found is None or not shown.trusted:
        return ""
    rows = [row for metric in found.metrics if metric.role == "primary" for row in metric.rows]
    told = " ".join(row.spoken for row in (*rows[:MOST_NAMED], *found.simple[:MOST_NAMED]))
    return f"Factors. {found.sentence} {found.caution} {told}".replace("  ", " ").strip()


def _impact(shown: ScorecardView) -> str:
    """What the effects are worth, with the assumptions told once: they are the spec's."""
    if not shown.impact:
        return ""
    told = [f"{one.sentence} {one.why_unavailable}".strip() for one in shown.impact]
    assumed = list(dict.fromkeys(text for one in shown.impact for text in one.assumptions))
    return f"Business impact. {' '.join([*told, *assumed])}"


def _power(shown: ScorecardView) -> str:
    return f"{shown.plan.sentence} {shown.plan.powered}".strip()


def _missing(shown: ScorecardView) -> str:
    gone = [row for group in shown.groups for metric in group.metrics for row in metric.rows if row.why_unavailable]
    parts = [f"{row.metric} for {row.treatment}: {row.why_unavailable}" for row in gone[:MOST_NAMED]]
    if len(gone) > MOST_NAMED:
        parts.append(f"And {len(gone) - MOST_NAMED} more.")
    if shown.srm.state == "skipped":
        parts.append(f"Shares of the arms: {shown.srm.sentence}")
    return f"Not tested. {' '.join(parts)}" if parts else ""


def _warnings(shown: ScorecardView) -> str:
    serious = [f for f in shown.findings if f.severity != "info"]
    return " ".join(f"{f.label}: {f.message} {f.action}" for f in serious)


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:MOST_NAMED])
    if len(names) > MOST_NAMED:
        return ", ".join(shown) + f" and {len(names) - MOST_NAMED} more"
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" and {shown[-1]}"
