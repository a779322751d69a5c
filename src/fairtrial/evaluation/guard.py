"""Guardrails: the estimates of guardrail metrics read as harm against their margins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fairtrial.decisions.guardrails import MIN_UNITS, HarmReading, guardrail_state, is_non_inferior
from fairtrial.evaluation.scorecard import Guardrail
from fairtrial.spec.metric import MetricSpec
from fairtrial.stats.multiplicity import adjust
from fairtrial.stats.result import Estimate, Interval, Unavailable


def read_guardrails(
    metrics: Sequence[MetricSpec],
    results: Mapping[str, Estimate | Unavailable],
    treatment_values: Mapping[str, Interval | None],
    *,
    alpha: float,
) -> dict[str, Guardrail]:
    """State of every guardrail of one treatment.

    Args:
        metrics: The guardrail metrics.
        results: Their comparisons for this treatment, by metric.
        treatment_values: Interval of the treatment's own value, for metrics with a limit.
        alpha: Error rate of each guardrail; guardrails are not corrected, they must stay sensitive.

    Returns:
        By metric key.
    """
    confirmed = _confirmed(metrics, results, alpha)
    return {
        metric.key: _read(metric, results[metric.key], treatment_values.get(metric.key), confirmed=metric.key in confirmed)
        for metric in metrics
    }


def oriented(interval: Interval, *, increase_is_better: bool) -> Interval:
    """The interval of the improvement: mirrored when lower is better."""
    return interval if increase_is_better else Interval(low=-interval.high, high=-interval.low)


def _confirmed(metrics: Sequence[MetricSpec], results: Mapping[str, Estimate | Unavailable], alpha: float) -> set[str]:
    """Guardrails without margin whose effect stays significant after Holm over all of them."""
    strict: list[tuple[str, float]] = []
    for metric in metrics:
        result = results[metric.key]
        if _margin(metric) == 0.0 and isinstance(result, Estimate) and result.p_value is not None:
            strict.append((metric.key, result.p_value))
    if not strict:
        return set()
    adjusted = adjust([p for _, p in strict], "holm", alpha=alpha).p_adjusted
    return {key for (key, _), p in zip(strict, adjusted, strict=True) if p < alpha}


def _read(metric: MetricSpec, result: Estimate | Unavailable, value: Interval | None, *, confirmed: bool) -> Guardrail:
    relative = metric.margin_kind == "relative"
    scale = metric.margin_kind
    if isinstance(result, Unavailable):
        return _by_limit(metric, result, value)
    effect, bounds = (result.lift, result.lift_interval) if relative else (result.effect, result.interval)
    if effect is None or bounds is None or min(result.n_control, result.n_treatment) < MIN_UNITS:
        why = f"{metric.key} has fewer than {MIN_UNITS} units in an arm" if effect is not None else f"{metric.key} has no relative effect"
        return Guardrail(status="UNAVAILABLE", harm=None, interval=None, margin=metric.margin, scale=scale, non_inferior=None, reason=why)
    decrease = metric.direction == "decrease"
    harm = oriented(bounds, increase_is_better=decrease)
    estimate = effect if decrease else -effect
    margin = _margin(metric)
    beyond, possibly, surely = _beyond(metric, result.treatment, value)
    reading = HarmReading(
        harm=estimate,
        interval=harm,
        margin=margin,
        confirmed=confirmed,
        beyond_limit=beyond,
        possibly_beyond_limit=possibly,
        surely_beyond_limit=surely,
    )
    state = guardrail_state(reading)
    return Guardrail(
        status=state,
        harm=estimate,
        interval=harm,
        margin=margin,
        scale=scale,
        non_inferior=is_non_inferior(reading),
        reason=_sentence(metric, state, reading, relative=relative),
    )


def _by_limit(metric: MetricSpec, result: Unavailable, value: Interval | None) -> Guardrail:
    """A guardrail whose arms cannot be compared: a limit is still read against the treatment's own interval.

    Nobody erred in either arm: there is no difference to test, but an interval of the rate that lies below its limit.
    """
    blind = Guardrail(
        status="UNAVAILABLE",
        harm=None,
        interval=None,
        margin=metric.margin,
        scale=metric.margin_kind,
        non_inferior=None,
        reason=result.reason,
    )
    if metric.max_value is None or metric.margin is not None or value is None or result.code != "no_variance":
        return blind
    _, possibly, surely = _beyond(metric, value.low, value)
    told = f"the interval of its value ({value.low:.4g} to {value.high:.4g}) lies"
    if surely:
        return replace(
            blind, status="ALERT", non_inferior=False, reason=f"guardrail {metric.key} is in alarm: {told} beyond {metric.max_value:g}"
        )
    if not possibly:
        return replace(blind, status="PASS", non_inferior=True, reason=f"guardrail {metric.key} passes: {told} within {metric.max_value:g}")
    return blind


def _margin(metric: MetricSpec) -> float | None:
    """Harm tolerated; None where only a limit was declared."""
    return 0.0 if metric.margin is None and metric.max_value is None else metric.margin


def _beyond(metric: MetricSpec, value: float, interval: Interval | None) -> tuple[bool, bool, bool]:
    """Whether the treatment's value, any part of its interval, and all of it lie beyond the limit."""
    limit = metric.max_value
    if limit is None:
        return False, False, False
    sign = 1.0 if metric.direction == "decrease" else -1.0
    ends = (value, value) if interval is None else (interval.low, interval.high)
    worse = [sign * (end - limit) > 0 for end in ends]
    return sign * (value - limit) > 0, any(worse) or interval is None, interval is not None and all(worse)


def _sentence(metric: MetricSpec, state: str, reading: HarmReading, *, relative: bool) -> str:
    def show(value: float) -> str:
        """A difference with its sign and unit."""
        return f"{100 * value:+.2f}%" if relative else f"{value:+.4g}"

    span = f"{show(reading.interval.low)} to {show(reading.interval.high)}"
    words = {"PASS": "passes", "WARNING": "warns", "ALERT": "is in alarm", "UNAVAILABLE": "has no data"}[state]
    limit = f", limit {metric.max_value:g}" if metric.max_value is not None else ""
    margin = "" if reading.margin is None else f", margin {show(reading.margin)}"
    return f"guardrail {metric.key} {words}: harm {show(reading.harm)} ({span}){margin}{limit}"
