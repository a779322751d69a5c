"""Why a rule applied and what to do next, in sentences."""

from __future__ import annotations

from collections.abc import Mapping

from fairtrial.decisions.decision import State, Verdict
from fairtrial.decisions.evidence import Evidence, Policy
from fairtrial.stats.result import Interval

CREDIBLE_STEPS: Mapping[str, tuple[str, ...]] = {
    "plan_incomplete": (
        "Let the experiment run until its plan is complete.",
        "Do not stop on a good or a bad day: no error rate is controlled here, and every look more is a chance more to stop on luck.",
    ),
    "futile": ("Do not launch: given the model and its prior, an effect worth launching is improbable.", "Try a bolder change."),
}
"""Next steps of a Bayesian plan, where those of a plan that controls its error would claim too much."""

LAUNCHES = frozenset({"strong", "practical", "small"})
MEASURE_IT = "How often this rule launches a change without effect is not controlled: `fairtrial oc` measures it."


def reasoning(rule: str, evidence: Evidence, policy: Policy) -> tuple[str, ...]:
    """Sentences in the order in which they weighed."""
    if rule == "0":
        return evidence.invalid
    sentences: list[str] = [] if evidence.insufficient is None else [evidence.insufficient]
    guardrails = _on_guardrails(rule, evidence)
    measured: list[str] = []
    if evidence.interval is not None:
        measured = [_on_interval(evidence, policy), *_on_size(evidence, policy)]
    sentences += [*guardrails, *measured] if rule in {"1", "4"} else [*measured, *guardrails]
    if not evidence.planned:
        sentences.append(
            "no plan was recorded, so the data is read as complete"
            if evidence.plan_complete
            else "no size was planned, and what ends the plan has not come yet"
        )
    elif not evidence.plan_complete:
        sentences.append("the plan is not complete" if evidence.fixed_horizon else "the plan has looks left")
    if not evidence.min_days_met:
        sentences.append("the shortest planned run has not been reached")
    if rule in {"9", "10"} and evidence.looks_left and evidence.conditional_power is not None:
        left, side = f"{evidence.conditional_power:.2f}", "at least" if rule == "9" else "below"
        sentences.append(f"the power left at the planned MDE is {left}, {side} the {policy.futility_power:g} that is worth going on for")
    if rule in {"9", "10"} and evidence.looks_left and evidence.gave_up is not None:
        side = "below" if evidence.gave_up else "not below"
        sentences.append(f"the result is {side} the futility bound of this look")
    return tuple(sentences)


def next_steps(
    verdict: Verdict | None, reason: str, state: State, evidence: Evidence, *, own: tuple[str, ...] | None = None, mitigate: bool = False
) -> tuple[str, ...]:
    """What to do now, most urgent first.

    Args:
        verdict: The verdict.
        reason: Its code.
        state: Whether there can be one.
        evidence: What it rests on.
        own: Steps that the plan has in place of the usual ones.
        mitigate: Whether a guardrail's warning asks for a step of its own.
    """
    if state == "invalid":
        stop = ("Stop the traffic: a guardrail is in alarm.",) if evidence.live and evidence.guardrails == "ALERT" else ()
        return (*stop, "Do not read the effects: find and mend the cause first.", "Run the experiment again once the data is sound.")
    steps: dict[str, tuple[str, ...]] = {
        "not_enough_data": ("Rerun with more units, or choose a metric that more units reach.",),
        "plan_incomplete": (
            "Let the experiment run to its planned size.",
            "Do not stop on a good or a bad day: the plan controls the error.",
        ),
        "promising": ("Go on to the next look.", "Stop when a look says so, not before: the plan controls the error."),
        "guardrail": ("Find out why the guardrail moved before anything else.", "Mend it and test again."),
        "harm": ("Find out why the treatment does worse.",),
        "guardrail_unavailable": ("Get the guardrail's data: no data is not a pass.",),
        "strong": (
            "Launch.",
            "Keep the guardrails on watch after the launch." if evidence.guardrails else "Name guardrails to watch after the launch.",
        ),
        "practical": ("Launch in stages while guardrails are monitored.",),
        "small": ("Weigh the gain against what it costs to launch and to keep.",),
        "held_back": ("Do not launch: by the plan's own decision table this is not enough.", "Try a bolder change."),
        "futile": ("Do not launch: an effect worth launching is ruled out.", "Try a bolder change."),
        "inconclusive": ("Do not launch on this evidence.", "Plan a larger test, use a covariate, or choose a more sensitive metric."),
    }
    chosen = steps[reason]
    if reason == "futile" and evidence.looks_left and evidence.gave_up:
        chosen = ("Stop: the plan gives up below this look's futility bound.", "Try a bolder change.")
    if reason == "futile" and evidence.looks_left and evidence.conditional_power is not None:
        chosen = ("Stop: the looks that are left would hardly show the planned effect, were it true.", "Try a bolder change.")
    if not evidence.error_controlled:
        chosen = CREDIBLE_STEPS.get(reason, chosen)
    if own is not None:
        chosen = own
    if not evidence.error_controlled and reason in LAUNCHES:
        chosen = (*chosen, MEASURE_IT)
    if verdict == "ROLLBACK":
        chosen = ("Take the treatment off now.", *chosen)
    if mitigate and evidence.guardrails == "WARNING":
        chosen = (*chosen, "Mitigate the guardrail warning first: " + "; ".join(evidence.guardrail_reasons) + ".")
    return chosen


def _on_guardrails(rule: str, evidence: Evidence) -> list[str]:
    if evidence.guardrails is None:
        return ["no guardrails were declared"] if rule in {"5", "6", "7"} else []
    if evidence.guardrails == "PASS":
        proven = "" if evidence.guardrails_non_inferior else ", though not every one is proven non-inferior"
        return [f"all guardrails pass{proven}"]
    return list(evidence.guardrail_reasons)


def _on_interval(evidence: Evidence, policy: Policy) -> str:
    interval = evidence.interval
    if interval is None:
        return ""
    which = "interval" if evidence.error_controlled else "credible interval"
    null = -policy.margin if policy.objective == "non_inferiority" else 0.0
    what = f"the margin -{policy.margin:g}" if policy.objective == "non_inferiority" else "0"
    if evidence.significant and interval.low > null:
        return f"the improvement's {which} lies above {what}"
    if interval.high < null:
        return f"the improvement's {which} lies below {what}: the treatment does worse"
    if not evidence.significant and interval.excludes(null):
        return f"the improvement's interval excludes {what}, but the exact test on these small counts is not significant"
    return f"the improvement's {which} includes {what}"


def _on_size(evidence: Evidence, policy: Policy) -> list[str]:
    if policy.objective == "non_inferiority":
        return []
    if policy.practical is None:
        return ["no practical threshold and no planned MDE were declared, so the size of the effect was not judged"]
    relative = policy.scale == "relative"
    size = evidence.lift if relative else evidence.effect
    bounds = evidence.lift_interval if relative else evidence.interval
    if size is None or bounds is None:
        return ["the control's value is not positive, so a relative threshold cannot be read; declare practical_threshold_absolute"]
    source = "the planned MDE" if policy.origin == "planned_mde" else "the practical threshold"
    said = [_compare(size, bounds, policy.practical, source, relative=relative)]
    if policy.strong is not None and evidence.significant and bounds.low > policy.strong:
        said.append(
            f"even the interval's low end of {_show(bounds.low, relative=relative)} lies above {_show(policy.strong, relative=relative)}"
        )
    return said


def _compare(size: float, bounds: Interval, threshold: float, source: str, *, relative: bool) -> str:
    estimated, wanted = _show(size, relative=relative), _show(threshold, relative=relative)
    if size >= threshold:
        return f"the estimated improvement of {estimated} reaches {source} of {wanted}"
    if bounds.high < threshold:
        return f"the whole interval lies below {source} of {wanted}"
    if size < 0:
        return f"the estimate is a loss of {_show(-size, relative=relative)}, and {source} is an improvement of {wanted}"
    return f"the estimated improvement of {estimated} is below {source} of {wanted}"


def _show(value: float, *, relative: bool) -> str:
    return f"{100 * value:.3g}%" if relative else f"{value:.4g}"
