"""How to read a report: what each number means, and what it does not.

The explanations follow Greenland et al. (2016), European Journal of Epidemiology
31, 337-350 (misreadings of p-values and intervals) and Wasserstein & Lazar (2016),
The American Statistician 70, 129-133. Only what applies to the scorecard at hand
is said.
"""

from __future__ import annotations

from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.formatting import clean, level
from fairtrial.reports.words import CORRECTIONS
from fairtrial.stats.result import Estimate

Paragraph = tuple[str, str]

INTERVALS = {
    "fixed": (
        "A {level} interval comes from a method that catches the true effect in {level} of experiments analysed once, at the planned end. "
        "It holds the effects that this data does not contradict. It is not a {level} probability that the truth lies inside this one."
    ),
    "group_sequential": (
        "These intervals are adjusted for the planned interim looks: over many experiments {level} of them hold the true effect. "
        "The promise covers the planned looks only, and is not a probability about this one interval."
    ),
    "always_valid": (
        "These intervals hold the true effect at every look at once in {level} of experiments, so watching and stopping early is allowed. "
        "They are wider for it, and are not a probability about this one interval."
    ),
    "hybrid": (
        "The intervals of the primary and secondary metrics are adjusted for the planned looks, those of the guardrails may be read at "
        "every look: over many experiments {level} of them hold the true effect. Harm on the primary metric is watched at every look, too."
    ),
    "bayesian": (
        "These are credible intervals: given the model and its prior, the effect lies inside with probability {level}. "
        "How often such intervals miss over many experiments is not controlled."
    ),
}


GUARDRAILS_ARE_TESTED = (
    "Guardrails are tested, in a Bayesian plan too: their intervals are confidence intervals of a single look, and looking more "
    "often alarms more often."
)
NOT_A_PROBABILITY = "It is not the probability that there is no effect, and one minus it is not the probability that there is one."


def how_to_read(scorecard: Scorecard) -> tuple[Paragraph, ...]:
    """Explanations that fit this scorecard, as (heading, paragraph)."""
    estimates = [c.estimate for c in scorecard.comparisons if c.estimate is not None]
    parts: list[Paragraph] = [_change(scorecard)]
    if estimates:
        parts.append(_interval(scorecard, estimates))
    if any(e.p_value is not None for e in estimates):
        parts.append(_p_value(scorecard))
    if any(c.posterior is not None for c in scorecard.comparisons):
        parts.append(_chance())
    if any(c.reading == "inconclusive" for c in scorecard.comparisons):
        parts.append(_inconclusive())
    if any(e.p_adjusted is not None for e in estimates):
        parts.append(_correction(scorecard))
    if any(c.guardrail is not None for c in scorecard.comparisons):
        parts.append(_guardrails())
    if scorecard.plan.power_at_mde is not None or scorecard.plan.detectable_effect is not None:
        parts.append(_power())
    parts.append(_srm(scorecard))
    return tuple(parts)


def interval_meaning(error_control: str, level: str) -> str:
    """What an interval at `level` promises under this error control, and what it does not."""
    return INTERVALS.get(error_control, INTERVALS["fixed"]).format(level=level)


def _change(scorecard: Scorecard) -> Paragraph:
    text = f"Every change is the treatment minus {clean(scorecard.control)}. The lift is that change divided by the control's value. "
    text += "Points (pp) are differences of percentages: from 2% to 3% is +1 pp and a lift of +50%."
    if any(c.direction == "decrease" for c in scorecard.comparisons):
        text += " Where lower is better, the number keeps its sign and the plot is mirrored: right is always better."
    return "Change and lift", text


def _interval(scorecard: Scorecard, estimates: list[Estimate]) -> Paragraph:
    levels = {e.alpha for e in estimates}
    shown = level(next(iter(levels))) if len(levels) == 1 else level(scorecard.plan.alpha)
    text = interval_meaning(scorecard.error_control, shown)
    if scorecard.error_control == "bayesian" and any(c.guardrail is not None for c in scorecard.comparisons):
        text += f" {GUARDRAILS_ARE_TESTED}"
    if any(e.alternative != "two-sided" for e in estimates):
        text += " One-sided tests give one end only; towards the other side nothing is claimed."
    if len(levels) > 1:
        text += " Corrected comparisons stand at stricter levels, which are named beside them."
    return "The interval", text


def _p_value(scorecard: Scorecard) -> Paragraph:
    null = (
        "the treatment were worse by exactly the margin"
        if scorecard.plan.objective == "non_inferiority"
        else "the treatment changed nothing"
    )
    return (
        "The p-value",
        f"How often a difference at least this far out would come by chance if {null} and the test's assumptions hold. {NOT_A_PROBABILITY}",
    )


def _chance() -> Paragraph:
    text = "The posterior probability that the treatment is better, given the model, the data and the prior named beside it. The expected "
    text += "loss is what one would lose on average by choosing the treatment, over all that is still possible. Neither is a p-value, and "
    return "Chance and expected loss", text + "how often acting on them goes wrong over many experiments is not controlled."


def _inconclusive() -> Paragraph:
    return (
        "Inconclusive",
        "Not shown to be better, not shown to be worse. That is not the same as no effect: all that the interval holds is still possible.",
    )


def _correction(scorecard: Scorecard) -> Paragraph:
    plan = scorecard.plan
    parts: list[str] = []
    if plan.correction != "none":
        parts.append(f"{CORRECTIONS.get(plan.correction, plan.correction)} over the treatments on the primary metric")
    if plan.secondary_correction != "none":
        parts.append(f"{CORRECTIONS.get(plan.secondary_correction, plan.secondary_correction)} over the secondary metrics")
    used = " and ".join(parts) or "a declared method"
    guarded = any(c.guardrail is not None for c in scorecard.comparisons)
    uncorrected = " Guardrails are not corrected, so that no warning is lost." if guarded else ""
    return (
        "Several comparisons",
        f"The more comparisons, the more will look like an effect by chance. Adjusted p-values allow for that, by {used}.{uncorrected}",
    )


def _guardrails() -> Paragraph:
    text = "PASS says that no harm beyond what is tolerated was seen; only “proven non-inferior” says that the data rules it out. "
    text += "UNAVAILABLE is never a pass. The dashed line in the plot is the harm tolerated."
    return "Guardrails", text


def _power() -> Paragraph:
    text = "The probability that an experiment of this size finds an effect of the stated size. "
    return "Power", text + "It is computed for the planned effect, never for the one seen."


def _srm(scorecard: Scorecard) -> Paragraph:
    text = "When the arms' shares differ from the plan by more than chance allows, units were lost or sorted on the way, "
    text += "and no effect can be trusted. The check of shares looks for that."
    return "Shares", text + (" It could not be made here." if scorecard.srm.status == "skipped" else "")
