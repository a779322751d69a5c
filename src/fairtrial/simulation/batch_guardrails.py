"""Guardrails of many readings at once: what `evaluation.guard` reads of one.

The state of a guardrail is said by `decisions.guardrail_state` alone, asked by paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairtrial.decisions.guardrails import MIN_UNITS, SEVERITY, guardrail_state, is_non_inferior
from fairtrial.evaluation.control import AnyLook
from fairtrial.evaluation.exact_rates import ExactRates
from fairtrial.simulation.batch_compare import Test, lift_method_of
from fairtrial.simulation.batch_corrections import adjust_rows
from fairtrial.simulation.paths import Flags, Intervals, Numbers, by_paths
from fairtrial.spec.metric import MetricSpec
from fairtrial.spec.plan import LiftMethod
from fairtrial.stats.lift import relative_lift
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.tails import critical_value
from fairtrial.stats.wilson import wilson_low

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

UNAVAILABLE = SEVERITY.index("UNAVAILABLE")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GuardrailStates:
    """States of one guardrail, shape (runs, treatments).

    Attributes:
        codes: Places in `decisions.guardrails.SEVERITY`.
        non_inferior: Whether harm beyond the margin is ruled out; false where unavailable.
    """

    codes: NDArray[np.intp]
    non_inferior: Booleans


def read_guardrails(tests: Mapping[str, Test], *, alpha: float, lift_method: LiftMethod) -> dict[str, GuardrailStates]:
    """State of every guardrail for every treatment of every reading.

    Args:
        tests: The guardrail metrics' tests, by metric key.
        alpha: Error rate of each guardrail.
        lift_method: The plan's.

    Returns:
        By metric key.
    """
    confirmed = _confirmed(tests, alpha)
    states: dict[str, GuardrailStates] = {}
    for key, test in tests.items():
        fields, available = _harm(test, alpha, lift_method)
        shape, size = available.shape, available.size
        fields["confirmed"] = Flags(values=confirmed.get(key, np.zeros(shape, dtype=np.bool_)).ravel())
        fields["available"] = Flags(values=available.ravel())
        codes, safe = np.full(size, UNAVAILABLE), np.zeros(size, dtype=np.bool_)
        for rows, (code, non_inferior) in by_paths(fields, size, _read):
            codes[rows], safe[rows] = code, non_inferior
        states[key] = GuardrailStates(codes=codes.reshape(shape), non_inferior=safe.reshape(shape))
    return states


def _read(reading: Any) -> tuple[int, bool]:
    if not reading.available:
        return UNAVAILABLE, False
    return SEVERITY.index(guardrail_state(reading)), is_non_inferior(reading)


def _confirmed(tests: Mapping[str, Test], alpha: float) -> dict[str, Booleans]:
    """Guardrails without margin whose effect stays significant after Holm over all of them."""
    strict = [key for key, test in tests.items() if _margin(test.metric) == 0.0]
    if not strict:
        return {}
    stacked = np.stack([tests[key].p_value for key in strict], axis=-1)
    adjusted, _ = adjust_rows(stacked.reshape(-1, len(strict)), "holm", alpha=alpha)
    significant = (adjusted < alpha).reshape(stacked.shape)
    return {key: significant[..., i] for i, key in enumerate(strict)}


def _margin(metric: MetricSpec) -> float | None:
    return 0.0 if metric.margin is None and metric.max_value is None else metric.margin


def _harm(test: Test, alpha: float, lift_method: LiftMethod) -> tuple[dict[str, object], Booleans]:
    """Fields of a `HarmReading`, and where there is one."""
    metric, contrast = test.metric, test.contrast
    alphas = np.full(contrast.effect.shape, alpha)
    if metric.margin_kind == "relative":
        method = lift_method_of(lift_method, contrast)
        bounds = test.control.lift(contrast, alpha=alphas, alternative="two-sided", method=method)
        known = bounds.defined & (contrast.control > 0)
        effect = np.where(known, relative_lift(contrast), np.nan)
        low, high = bounds.low, bounds.high
    else:
        effect = contrast.effect
        low, high = test.control.interval(contrast, alpha=alphas, alternative="two-sided")
        known = ~np.isnan(low)
    enough = np.minimum(contrast.n_control, contrast.n_treatment) >= MIN_UNITS
    available = enough & known & ~contrast.undefined & ~np.isnan(test.p_value)
    if metric.direction == "increase":
        effect, low, high = -effect, -high, -low
    fields: dict[str, object] = {
        "harm": Numbers(values=effect.ravel()),
        "interval": Intervals(low=low.ravel(), high=high.ravel()),
        "margin": _margin(metric),
    }
    return fields | _beyond(test, alpha), available


def _beyond(test: Test, alpha: float) -> dict[str, object]:
    """Whether the treatment's value, any part of its interval, and all of it lie beyond the limit."""
    names = "beyond_limit", "possibly_beyond_limit", "surely_beyond_limit"
    limit = test.metric.max_value
    if limit is None:
        return dict.fromkeys(names, False)
    sign = 1.0 if test.metric.direction == "decrease" else -1.0
    low, high = _own_interval(test, alpha)
    worse = sign * (low - limit) > 0, sign * (high - limit) > 0
    answers = sign * (test.contrast.treatment - limit) > 0, worse[0] | worse[1], worse[0] & worse[1]
    return {name: Flags(values=answer.ravel()) for name, answer in zip(names, answers, strict=True)}


def _own_interval(test: Test, alpha: float) -> tuple[Floats, Floats]:
    """Interval of the treatment's own value: Wilson's for a rate, else normal."""
    contrast, levels = test.contrast, np.full(test.contrast.effect.shape, alpha)
    if isinstance(test.control, ExactRates) and isinstance(contrast, ProportionContrast):
        return test.control.own_rate(contrast, alpha=alpha)
    if isinstance(test.control, AnyLook):
        levels = test.control.nominal_of(contrast, alpha=alpha)
    reach = critical_value(levels, np.inf)
    if isinstance(contrast, ProportionContrast):
        x, n = contrast.successes_treatment, np.maximum(contrast.n_treatment, 1.0)
        return wilson_low(x, n, reach), 1.0 - wilson_low(n - x, n, reach)
    half = reach * np.sqrt(contrast.treatment_variance)
    return contrast.treatment - half, contrast.treatment + half
