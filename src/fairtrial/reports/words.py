"""The words of a report: verdicts, readings and notes as a person says them.

They claim what the method allows and no more: a result that is not significant
is "inconclusive", never "no effect"; an unavailable number says why.
"""

from __future__ import annotations

from collections.abc import Mapping

from fairtrial.decisions.decision import Decision
from fairtrial.reports.formatting import clean
from fairtrial.reports.view_models import VerdictTone

READINGS: Mapping[str, str] = {"better": "better", "worse": "worse", "inconclusive": "inconclusive", "unavailable": "unavailable"}

KINDS: Mapping[str, str] = {
    "ab_test": "A/B test",
    "holdout": "Holdout experiment",
    "factorial": "Factorial experiment",
    "did": "Difference in differences",
    "rdd": "Regression discontinuity",
    "synthetic_control": "Synthetic control",
    "iv": "Instrumental variable",
    "interrupted_series": "Interrupted series",
}

METRIC_KINDS: Mapping[str, str] = {
    "proportion": "share of units",
    "mean": "mean per unit",
    "count": "events per unit",
    "ratio": "ratio of sums",
    "quantile": "quantile over units",
}

VERDICT_TONES: Mapping[str, VerdictTone] = {
    "STRONG_LAUNCH": "good",
    "LAUNCH": "good",
    "CONSIDER_LAUNCH": "caution",
    "EXTEND_TEST": "wait",
    "NO_LAUNCH": "neutral",
    "ROLLBACK": "bad",
}

HEADLINES: Mapping[tuple[str, str], str] = {
    ("STRONG_LAUNCH", ""): "Launch {t}: even the low end of the interval is large enough to matter, and every guardrail is proven safe.",
    ("STRONG_LAUNCH", "unguarded"): "Launch {t}: even the low end of the interval is large enough to matter; no guardrail was declared.",
    ("LAUNCH", ""): "Launch {t}: an improvement large enough to matter.",
    ("LAUNCH", "not_worse"): "Launch {t}: it is not worse by more than the margin.",
    ("CONSIDER_LAUNCH", ""): "Consider {t}: it improves {m}; whether by enough is for you to weigh.",
    ("EXTEND_TEST", ""): "Keep the experiment running: there is no answer yet.",
    ("EXTEND_TEST", "plan_incomplete"): "Keep the experiment running: the plan is not complete.",
    ("EXTEND_TEST", "promising"): "Keep the experiment running: promising so far, not yet an answer.",
    ("EXTEND_TEST", "guardrail_unavailable"): "Keep the experiment running: a guardrail could not be measured.",
    ("NO_LAUNCH", ""): "Do not launch {t} on this evidence.",
    ("NO_LAUNCH", "inconclusive"): "Do not launch {t} on this evidence: an improvement is not shown, nor is it ruled out.",
    (
        "NO_LAUNCH",
        "may_be_worse",
    ): "Do not launch {t} on this evidence: that it is not worse by more than the margin is not shown, nor ruled out.",
    ("NO_LAUNCH", "futile"): "Do not launch {t}: an improvement large enough to matter is ruled out.",
    ("NO_LAUNCH", "harm"): "Do not launch {t}: it makes {m} worse.",
    ("NO_LAUNCH", "guardrail"): "Do not launch {t}: it harms a guardrail.",
    ("NO_LAUNCH", "guardrail_unavailable"): "Do not launch {t}: a guardrail could not be measured.",
    ("ROLLBACK", ""): "Take {t} off now.",
    ("ROLLBACK", "harm"): "Take {t} off now: it makes {m} worse.",
    ("ROLLBACK", "guardrail"): "Take {t} off now: it harms a guardrail.",
}

WITHIN_A_MARGIN: Mapping[tuple[str, str], str] = {("NO_LAUNCH", "inconclusive"): "may_be_worse"}
"""What is said where the plan was to show that a loss stays within a margin."""

BELIEVED_HEADLINES: Mapping[tuple[str, str], str] = {
    ("LAUNCH", "practical"): "Launch {t}: very probably an improvement, and estimated large enough to matter.",
    ("LAUNCH", "not_worse"): "Launch {t}: very probably not worse by more than the margin.",
    ("CONSIDER_LAUNCH", "small"): "Consider {t}: it very probably improves {m}; whether by enough is for you to weigh.",
    ("NO_LAUNCH", "futile"): "Do not launch {t}: an improvement large enough to matter is improbable.",
    ("NO_LAUNCH", "harm"): "Do not launch {t}: it very probably makes {m} worse.",
    ("ROLLBACK", "harm"): "Take {t} off now: it very probably makes {m} worse.",
}
"""The same where a posterior speaks: given its model and prior, and with no error rate behind it."""

ROLE_TITLES: Mapping[str, tuple[str, str]] = {
    "primary": ("Primary metric", "carries the decision"),
    "guardrail": ("Guardrails", "can stop a launch"),
    "secondary": ("Secondary metrics", "explain; they do not decide"),
}

SEVERITIES: Mapping[str, str] = {"critical": "Critical", "warning": "Warning", "info": "Note"}

ERROR_CONTROL: Mapping[str, str] = {
    "fixed": "fixed horizon, valid at the one planned look",
    "group_sequential": "group sequential, valid at the planned looks",
    "always_valid": "always valid, at any number of looks",
    "hybrid": "hybrid: benefit valid at the planned looks, harm watched at every look",
    "bayesian": "Bayesian, frequentist error not controlled",
}

NOTES: Mapping[str, str] = {
    "small_counts": "Some expected counts are below 5, so the p-value is Fisher's exact one and may disagree with the interval.",
    "poisson_variance": "No standard deviation was planned, so the variance of the counts is taken as their mean (Poisson).",
    "planned_as_test": "The size is that of a test at this alpha and power; a Bayesian plan has neither: measure it by `fairtrial oc`.",
    "planned_as_score": "The size is that of the score test; the test that the spec names (exact, or within strata) has no formula here.",
    "zero_rate": "No unit of one arm has the outcome, so the lift has no interval.",
    "odds_ratios_differ": "The strata's odds ratios differ (Breslow-Day-Tarone, p < 0.05): the difference is their mean, not that of each.",
    "geometric_means": "The change is that of the geometric mean, in percent of the control's: the logarithms were compared.",
    "tied_ranks": "Many units of both arms share a value, so no shift describes the difference: p-value and interval may disagree.",
    "tied_quantile": "Many units share the quantile's value, so its error is known only roughly.",
    "tied_pairs": "Many pairs differ by exactly the null value, so the interval ends there without holding it.",
    "lift_without_interval": "What the lift is relative to is not known well enough for an interval, or its error is not known at all.",
    "no_relative_effect": "The control's value is not positive, so there is no relative effect.",
}

CORRECTIONS: Mapping[str, str] = {
    "none": "none",
    "bonferroni": "Bonferroni",
    "holm": "Holm",
    "hochberg": "Hochberg",
    "dunnett": "Dunnett",
    "serial-gatekeeping": "serial gatekeeping",
    "parallel-gatekeeping": "parallel gatekeeping",
    "benjamini-hochberg": "Benjamini-Hochberg",
    "benjamini-yekutieli": "Benjamini-Yekutieli",
    "weighted-bonferroni": "weighted Bonferroni",
}

STARTERS = frozenset(
    (
        "a",
        "an",
        "all",
        "even",
        "every",
        "guardrail",
        "it",
        "its",
        "no",
        "nobody",
        "none",
        "not",
        "only",
        "shares",
        "sizes",
        "some",
        "the",
        "there",
        "this",
        "too",
        "units",
    )
)
"""First words of a sentence that may be capitalised; any other may be a name and is left alone."""


def sentence(text: str) -> str:
    """A phrase as a sentence: a plain first word capitalised, a full stop at the end."""
    text = clean(text)
    if not text:
        return ""
    first = text.split(" ", 1)[0]
    if first.lower() in STARTERS:
        text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?…" else f"{text}."


def arm_name(key: str) -> str:
    """An arm in a sentence: its own name, or "arm 3" where the name is a bare number."""
    name = clean(key)
    return f"arm {name}" if name.isdecimal() else name


def phrase(code: str) -> str:
    """A stable code as words: "benjamini_hochberg" is "benjamini hochberg"."""
    return clean(code.replace("_", " "))


def note(code: str) -> str:
    """What a note's code means, for a person; an unknown code is shown as words."""
    return NOTES.get(code) or sentence(phrase(code).capitalize())


def verdict_label(decision: Decision) -> str:
    """The verdict in capitals, or that there is none."""
    if decision.verdict is not None:
        return decision.verdict.replace("_", " ")
    return "NO VERDICT" if decision.state == "invalid" else "NO VERDICT YET"


def verdict_tone(decision: Decision) -> VerdictTone:
    """The meaning of the verdict, from which its colour follows."""
    if decision.verdict is None:
        return "invalid" if decision.state == "invalid" else "wait"
    if decision.verdict == "NO_LAUNCH" and decision.reason in {"harm", "guardrail"}:
        return "bad"
    return VERDICT_TONES[decision.verdict]


def headline(
    decision: Decision, treatment: str, metric: str, *, guarded: bool, objective: str = "superiority", believed: bool = False
) -> str:
    """The verdict as one sentence.

    Args:
        decision: The decision.
        treatment: Whom it speaks of.
        metric: Key of the primary metric.
        guarded: Whether any guardrail was declared.
        objective: What the plan set out to show.
        believed: Whether a posterior stands in the place of a test.
    """
    if decision.state == "invalid":
        return "No verdict: the data cannot be trusted."
    if decision.verdict is None:
        return "No verdict yet: there is too little data."
    variant = decision.reason if guarded or decision.verdict != "STRONG_LAUNCH" else "unguarded"
    if objective == "non_inferiority":
        variant = WITHIN_A_MARGIN.get((decision.verdict, variant), "not_worse" if decision.verdict == "LAUNCH" else variant)
    key = (decision.verdict, variant)
    template = (BELIEVED_HEADLINES.get(key) if believed else None) or HEADLINES.get(key) or HEADLINES[decision.verdict, ""]
    return template.format(t=arm_name(treatment), m=clean(metric))


def objective_words(objective: str, alternative: str) -> str:
    """Objective and sidedness in words: "superiority, two-sided"."""
    return f"{objective.replace('_', '-')}, {clean(alternative)}"
