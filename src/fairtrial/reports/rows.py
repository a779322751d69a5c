"""One comparison as a row: its numbers written out, its reading in words, its place on the axis."""

from __future__ import annotations

import math

from fairtrial.evaluation.scorecard import Comparison, Guardrail
from fairtrial.reports.axis import Span, oriented
from fairtrial.reports.formatting import (
    DASH,
    NumberStyle,
    clean,
    count,
    effect_style,
    estimate_style,
    level,
    level_style,
    lift_style,
    magnitude,
    p_statement,
    p_value,
    power,
    precise,
    relative,
)
from fairtrial.reports.view_models import GuardrailView, MarkView, RowView
from fairtrial.reports.words import CORRECTIONS, ERROR_CONTROL, READINGS, note, phrase, sentence
from fairtrial.stats.result import Estimate, Interval

SAID_BY_THE_MARK = "no_relative_effect"
"""The note that stands where the mark is missing, and need not stand twice."""


def lift_span(comparison: Comparison) -> Span | None:
    """The relative effect to draw; None without one, or without its interval: a point alone would look certain."""
    e = comparison.estimate
    if e is None or e.lift is None or e.lift_interval is None:
        return None
    ends = e.lift_interval
    lower_is_better = comparison.direction == "decrease"
    point, low, high = oriented(e.lift, ends.low, ends.high, lower_is_better=lower_is_better)
    margin, text = _margin(comparison, e)
    scaled = margin / abs(e.control) if margin is not None and e.control != 0.0 else None
    return Span(point=point, low=low, high=high, margin=scaled, margin_text=text, primary=comparison.role == "primary")


def effect_span(comparison: Comparison) -> Span | None:
    """The effect itself to draw, in the metric's unit; None when there is none."""
    e = comparison.estimate
    if e is None:
        return None
    point, low, high = oriented(e.effect, e.interval.low, e.interval.high, lower_is_better=comparison.direction == "decrease")
    margin, text = _margin(comparison, e)
    return Span(point=point, low=low, high=high, margin=margin, margin_text=text, primary=True)


def row(comparison: Comparison, *, alpha: float, mark: MarkView | None, trusted: bool = True) -> RowView:
    """A comparison as it is shown.

    Args:
        comparison: The comparison.
        alpha: Error rate against which corrected p-values are read, in (0, 1).
        mark: Its place on the shared axis, if it has one.
        trusted: Whether the data passed its checks; when not, the row is not judged.
    """
    e = comparison.estimate
    if e is None:
        return _unavailable(comparison)
    reading = READINGS[comparison.reading] if trusted else "not judged"
    effect = estimate_style(comparison.kind, e)
    levels = level_style(comparison.kind, effect_style(comparison.kind, *_levels_apart(e)))
    lift, lift_interval = _lift(e)
    p_says = _evidence(comparison, e, alpha)
    return RowView(
        metric=clean(comparison.metric),
        kind=comparison.kind,
        role=comparison.role,
        lower_is_better=comparison.direction == "decrease",
        treatment=clean(comparison.treatment),
        tone=comparison.reading if trusted else "unavailable",
        reading=reading,
        control_value=levels.plain(e.control),
        treatment_value=levels.plain(e.treatment),
        n_control=count(e.n_control),
        n_treatment=count(e.n_treatment),
        change=effect.signed(e.effect),
        interval=effect.span(e.interval),
        interval_words=effect.between(e.interval),
        level=level(e.alpha),
        lift=lift,
        lift_interval=lift_interval,
        lift_says=_lift_says(lift, lift_interval),
        p=DASH if e.p_value is None else p_value(e.p_value, e.alpha),
        p_adjusted=DASH if e.p_adjusted is None else p_value(e.p_adjusted, alpha),
        p_final=_in_the_table(comparison, e, alpha),
        p_says=p_says,
        spoken=f"{_spoken(comparison, e, effect, p_says)}: {reading}.",
        mark=mark,
        mark_missing="" if mark is not None else _why_not_drawn(e),
        why_unavailable="",
        guardrail=_guardrail(comparison.guardrail, comparison),
        exact=_exact(e),
        methods=_methods(e),
        notes=(*(note(code) for code in e.notes if code != SAID_BY_THE_MARK), *_beside(comparison, effect)),
    )


def _evidence(comparison: Comparison, e: Estimate, alpha: float) -> str:
    """The p-value that counts, or what a posterior says in its place."""
    believed = comparison.posterior
    if believed is not None:
        loss = magnitude(comparison.kind, believed.expected_loss)
        said = f"chance to be better {power(believed.chance_to_win)}, expected loss {loss}"
        if believed.rope_inside is not None:
            said += f", chance that the change is practically nothing {power(believed.rope_inside)}"
        return said
    if e.p_adjusted is not None:
        return f"adjusted {p_statement(e.p_adjusted, alpha)}"
    return "no p-value" if e.p_value is None else p_statement(e.p_value, e.alpha)


def _beside(comparison: Comparison, style: NumberStyle) -> tuple[str, ...]:
    """What stands beside an estimate: inference that allows for the looks, or the prior."""
    said: list[str] = []
    stop, believed = comparison.after_stop, comparison.posterior
    if stop is not None:
        numbers = f"{style.signed(stop.effect)}, {level(stop.alpha)} interval {style.span(stop.interval)}, {p_statement(stop.p_value)}"
        said.append(f"Allowing for the looks taken, the median-unbiased estimate is {numbers}.")
    if believed is not None:
        said.append(f"Prior: {clean(believed.prior)}.")
    return tuple(said)


def _in_the_table(comparison: Comparison, e: Estimate, alpha: float) -> str:
    if comparison.posterior is not None:
        return power(comparison.posterior.chance_to_win)
    if e.p_adjusted is not None:
        return p_value(e.p_adjusted, alpha)
    return DASH if e.p_value is None else p_value(e.p_value, e.alpha)


def _why_not_drawn(e: Estimate) -> str:
    if e.lift is None:
        return "no relative effect: " + ("the control's value is not positive" if e.control <= 0 else "this test gives none")
    return "the lift has no interval"


def _levels_apart(e: Estimate) -> tuple[float, Interval]:
    """What says how finely the arms' own values are shown: the effect, or their difference where the effect is a ratio."""
    if "geometric_means" not in e.notes:
        return e.effect, e.interval
    apart = e.treatment - e.control
    return apart, Interval(low=-abs(apart), high=abs(apart))


def _unavailable(comparison: Comparison) -> RowView:
    gone = comparison.unavailable
    reason = sentence(gone.reason if gone is not None else "no estimate")
    metric, treatment = clean(comparison.metric), clean(comparison.treatment)
    return RowView(
        metric=metric,
        kind=comparison.kind,
        role=comparison.role,
        lower_is_better=comparison.direction == "decrease",
        treatment=treatment,
        tone="unavailable",
        reading=READINGS["unavailable"],
        control_value=DASH,
        treatment_value=DASH,
        n_control=DASH,
        n_treatment=DASH,
        change=DASH,
        interval=DASH,
        interval_words=DASH,
        level="",
        lift=DASH,
        lift_interval=DASH,
        lift_says="",
        p=DASH,
        p_adjusted=DASH,
        p_final=DASH,
        p_says="not tested",
        spoken=f"{metric}, {treatment}: not available. {reason}",
        mark=None,
        mark_missing=reason,
        why_unavailable=reason,
        guardrail=_guardrail(comparison.guardrail, comparison),
        exact=(("code", phrase(gone.code) if gone is not None else "unknown"),),
        methods="",
        notes=(),
    )


def _lift(e: Estimate) -> tuple[str, str]:
    if e.lift is None:
        return DASH, DASH
    style = lift_style(e.lift, e.lift_interval)
    return style.signed(e.lift), style.span(e.lift_interval) if e.lift_interval is not None else DASH


def _lift_says(lift: str, lift_interval: str) -> str:
    return "" if lift == DASH else f"{lift}, without an interval" if lift_interval == DASH else f"{lift} {lift_interval}"


def _spoken(comparison: Comparison, e: Estimate, style: NumberStyle, p_says: str) -> str:
    lift = _lift_says(*_lift(e))
    of_control = f", lift {lift}" if lift else ""
    return (
        f"{clean(comparison.metric)}, {clean(comparison.treatment)}: {style.signed(e.effect)} "
        f"({level(e.alpha)} interval {style.between(e.interval)}){of_control}, {p_says}"
    )


def _margin(comparison: Comparison, e: Estimate) -> tuple[float | None, str]:
    """The margin in force as an effect turned so that positive is better, in the metric's unit."""
    guardrail = comparison.guardrail
    if guardrail is not None and guardrail.margin is not None and guardrail.margin > 0.0:
        size = guardrail.margin * abs(e.control) if guardrail.scale == "relative" else guardrail.margin
        return -size, f"harm tolerated: {_harm(guardrail, comparison, guardrail.margin)}"
    if e.margin != 0.0:
        signed = -e.margin if comparison.direction == "decrease" else e.margin
        return signed, f"non-inferiority margin: {magnitude(comparison.kind, e.margin)}"
    return None, ""


def _harm(guardrail: Guardrail, comparison: Comparison, size: float) -> str:
    """A harm tolerated, on the guardrail's own scale."""
    return f"{relative(size)} of the control" if guardrail.scale == "relative" else magnitude(comparison.kind, size)


def _guardrail(guardrail: Guardrail | None, comparison: Comparison) -> GuardrailView | None:
    if guardrail is None:
        return None
    margin = "no harm tolerated" if guardrail.margin == 0.0 else ""
    if guardrail.margin is not None and guardrail.margin > 0.0:
        margin = f"tolerates a harm of {_harm(guardrail, comparison, guardrail.margin)}"
    proven = {True: "proven non-inferior", False: "not proven non-inferior", None: ""}[guardrail.non_inferior]
    return GuardrailView(status=guardrail.status, reason=sentence(guardrail.reason), margin=margin, non_inferior=proven)


def _exact(e: Estimate) -> tuple[tuple[str, str], ...]:
    """Every number of the estimate as computed; rates and lifts are fractions, as in scorecard.json."""
    pairs: list[tuple[str, float | None]] = [
        ("effect", e.effect),
        ("std error", e.std_error),
        ("low", e.interval.low),
        ("high", e.interval.high),
        ("p", e.p_value),
        ("adjusted p", e.p_adjusted),
        ("statistic", e.statistic),
        ("df", e.df),
        ("control", e.control),
        ("treatment", e.treatment),
        ("lift", e.lift),
        ("lift low", e.lift_interval.low if e.lift_interval else None),
        ("lift high", e.lift_interval.high if e.lift_interval else None),
        ("alpha", e.alpha),
        ("margin", e.margin if e.margin != 0.0 else None),
        ("CUPED theta", e.theta),
        ("variance reduction", e.variance_reduction),
    ]
    exact = [(name, precise(value)) for name, value in pairs if value is not None and not math.isnan(value)]
    return (*exact, ("n control", count(e.n_control)), ("n treatment", count(e.n_treatment)))


def _methods(e: Estimate) -> str:
    sided = {"two-sided": "two-sided", "greater": "one-sided: treatment greater", "less": "one-sided: treatment less"}[e.alternative]
    test = f"model: {phrase(e.method)}" if e.error_control == "bayesian" else f"test: {phrase(e.method)}, {sided}"
    parts = [test, f"interval: {phrase(e.interval_method)}"]
    if e.lift_method is not None:
        parts.append(f"lift interval: {phrase(e.lift_method)}")
    if e.correction is not None:
        parts.append(f"correction: {CORRECTIONS.get(e.correction, phrase(e.correction))}")
    return "; ".join((*parts, f"error control: {ERROR_CONTROL[e.error_control]}"))
