"""What the factors of a factorial experiment do, as it is shown: main effects, interactions, effects at each level.

Every number is written out here; terminal, HTML and plain language lay it out.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairtrial.evaluation.factorial import FactorEffect, FactorialResult
from fairtrial.evaluation.scorecard import PlanStatus, Scorecard
from fairtrial.reports.formatting import TIMES, clean, effect_style, level, p_statement, p_value
from fairtrial.reports.view_models import FactorialView, FactorMetricView, FactorRowView, Tone
from fairtrial.reports.words import CORRECTIONS, phrase, sentence

ARROW = "\N{RIGHTWARDS ARROW}"


def factorial_view(scorecard: Scorecard) -> FactorialView | None:
    """The effects of a scorecard's factors; None where it has none."""
    found = scorecard.factorial
    if found is None:
        return None
    trusted, alpha = scorecard.decision.state != "invalid", scorecard.plan.alpha
    keys = list(dict.fromkeys(comparison.metric for comparison in scorecard.comparisons))
    metrics = tuple(_metric(scorecard, found, key, trusted=trusted) for key in keys)
    interacting = [f" {TIMES} ".join(clean(name) for name in effect.factors) for effect in found.interactions]
    return FactorialView(
        sentence=_how(scorecard, found),
        caution=_caution(scorecard.plan, interacting, trusted=trusted),
        metrics=metrics,
        simple=tuple(_row(effect, found, alpha, trusted=trusted) for effect in found.simple_effects),
        simple_note=_family_words(found.simple_effects, "shown here"),
    )


def _metric(scorecard: Scorecard, found: FactorialResult, key: str, *, trusted: bool) -> FactorMetricView:
    effects = [effect for effect in found.effects if effect.metric == key]
    comparison = next(c for c in scorecard.comparisons if c.metric == key)
    gone = found.unavailable.get(key)
    return FactorMetricView(
        metric=clean(key),
        role=comparison.role,
        lower_is_better=comparison.direction == "decrease",
        rows=tuple(_row(effect, found, scorecard.plan.alpha, trusted=trusted) for effect in effects),
        why_unavailable="" if gone is None else sentence(gone.reason),
    )


def _row(effect: FactorEffect, found: FactorialResult, alpha: float, *, trusted: bool) -> FactorRowView:
    style = effect_style(effect.kind, effect.effect, effect.interval)
    final = effect.p_value if effect.p_adjusted is None else effect.p_adjusted
    said = {"better": "better", "worse": "worse", "interacts": "they interact", "inconclusive": "inconclusive"}[effect.reading]
    reading = said if trusted else "not judged"
    tone: Tone = effect.reading if trusted and effect.reading != "interacts" else "inconclusive"
    name = _name(effect, found)
    p_says = p_statement(final, alpha) if effect.p_adjusted is None else f"adjusted {p_statement(final, alpha)}"
    ends = f"{level(effect.alpha)} interval {style.between(effect.interval)}"
    method = f"test: {phrase(effect.method)}, two-sided; interval: t"
    return FactorRowView(
        name=name,
        tone=tone,
        reading=reading,
        change=style.signed(effect.effect),
        interval=style.span(effect.interval),
        level=level(effect.alpha),
        p=p_value(final, alpha),
        spoken=f"{name}: {style.signed(effect.effect)} ({ends}), {p_says}: {reading}.",
        methods=method if effect.correction is None else f"{method}; correction: {CORRECTIONS[effect.correction]}",
    )


def _name(effect: FactorEffect, found: FactorialResult) -> str:
    """`price: full -> discount`, `button x price`, or the first with the levels of the others behind it."""
    if len(effect.factors) > 1:
        return f" {TIMES} ".join(clean(name) for name in effect.factors)
    factor = "".join(effect.factors)
    first, second = (clean(name) for name in found.factors[factor])
    held = ", ".join(f"{clean(name)} {clean(own)}" for name, own in effect.at.items())
    return f"{clean(factor)}: {first} {ARROW} {second}" + (f", at {held}" if held else "")


def _how(scorecard: Scorecard, found: FactorialResult) -> str:
    primary = [effect for effect in found.effects if effect.metric == scorecard.primary]
    family = _family_words(primary, f"on {clean(scorecard.primary)}")
    return f"Each main effect is an average over the levels of the other factors, read off all units. {family} The verdict is of cells."


def _family_words(effects: Sequence[FactorEffect], where: str) -> str:
    if not effects:
        return ""
    correction = effects[0].correction
    if correction is None:
        return f"The {len(effects)} effects {where} are not corrected for their number."
    return f"The {len(effects)} effects {where} are one family: p-values and intervals are corrected by {CORRECTIONS[correction]}."


def _caution(plan: PlanStatus, interacting: Sequence[str], *, trusted: bool) -> str:
    if not trusted:
        return "Do not read these numbers: the data failed a check."
    said: list[str] = []
    if interacting:
        one = len(interacting) == 1
        said.append(
            f"{', '.join(interacting)}: {'this interaction is' if one else 'these interactions are'} significant, so main effects alone "
            "mislead. Read the effects at each level, and choose a cell."
        )
    if not plan.complete:
        said.append("Not final: the plan is not complete, and the error rate of these effects holds only at its end.")
    return " ".join(said)
