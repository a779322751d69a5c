"""Corrections over the families of many readings at once: what `evaluation.corrections` makes of one.

Every reading is a family of its own; comparisons that could not be made are left out of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fairtrial.evaluation.corrections import FAMILY_WISE, SMALLEST
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import Role
from fairtrial.spec.plan import Correction
from fairtrial.spec.weights import weights_of
from fairtrial.stats.gatekeeping import gatekeep_roles
from fairtrial.stats.many_to_one import many_to_one
from fairtrial.stats.multiplicity import adjust, adjust_weighted_bonferroni
from fairtrial.stats.result import Alternative
from fairtrial.stats.tails import p_value_of

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
OneFamily = Callable[[Floats, Places], tuple[Floats, Floats]]
"""From p-values (rows, k) of comparisons at these places of the family: adjusted p-values and local levels."""


def corrected_replicates(
    spec: ExperimentSpec, p_values: Mapping[str, Floats], *, alternative: Alternative, shared: Floats
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Adjusted p-values and levels of every comparison, under the plan's corrections.

    Args:
        spec: The experiment.
        p_values: By metric key, shape (runs, treatments), NaN where there is none.
        alternative: Sides of the primary metric's test.
        shared: Share of the primary comparisons' standard errors that is the control's, shape (runs, treatments).

    Returns:
        By metric key, of the same shapes. Dunnett's adjusted p-values are alpha p / level, which lie below
        alpha exactly when his do.
    """
    plan = spec.plan
    adjusted = dict(p_values)
    levels = {key: np.full(p.shape, plan.alpha) for key, p in p_values.items()}
    roles: dict[str, Role] = {key: spec.metric(key).role for key in p_values}

    def take(wanted: Sequence[Role], one: OneFamily) -> None:
        keys = [key for key in p_values if roles[key] in wanted]
        if keys:
            found, local = _by_pattern(np.concatenate([p_values[key] for key in keys], axis=1), plan.alpha, one)
            adjusted.update(zip(keys, np.split(found, len(keys), axis=1), strict=True))
            levels.update(zip(keys, np.split(local, len(keys), axis=1), strict=True))

    if plan.gatekeeping != "none":
        gated: list[Role] = [roles[key] for key in p_values if roles[key] in {"primary", "secondary"} for _ in range(shared.shape[1])]
        take(("primary", "secondary"), lambda p, places: _gate(spec, p, [gated[int(place)] for place in places]))
        return adjusted, levels
    if plan.correction == "dunnett":
        take(("primary",), lambda p, places: _dunnett(p, shared[:, places], plan.alpha, alternative))
    else:
        take(("primary",), _family_of(spec, plan.correction, [(spec.primary.key, arm) for arm in spec.treatments]))
    secondaries = [(key, arm) for key in p_values if roles[key] == "secondary" for arm in spec.treatments]
    take(("secondary",), _family_of(spec, plan.secondary_correction, secondaries))
    return adjusted, levels


def _family_of(spec: ExperimentSpec, method: Correction, pairs: Sequence[tuple[str, str]]) -> OneFamily:
    """The correction of a family whose places are these pairs of metric and treatment."""
    if method != "weighted-bonferroni":
        return _stepwise(method, spec.plan.alpha)
    weights = np.array(weights_of(pairs, spec.metrics, spec.arms))

    def one(p_values: Floats, places: Places) -> tuple[Floats, Floats]:
        result = adjust_weighted_bonferroni(p_values, weights[places], alpha=spec.plan.alpha)
        return result.p_adjusted, result.local_alpha

    return one


def adjust_rows(p_values: Floats, method: Correction, *, alpha: float) -> tuple[Floats, Floats]:
    """Correct every row as a family of its own, leaving out what is NaN.

    Args:
        p_values: Shape (rows, k).
        method: A correction of p-values alone; with fewer than two in a row nothing is corrected.
        alpha: Error rate of a family.

    Returns:
        Adjusted p-values (NaN where the raw one is) and local levels, of the same shape.
    """
    return _by_pattern(p_values, alpha, _stepwise(method, alpha))


def _by_pattern(p_values: Floats, alpha: float, one: OneFamily) -> tuple[Floats, Floats]:
    """Apply a correction to rows in which the same comparisons are known."""
    adjusted, levels = p_values.copy(), np.full(p_values.shape, alpha)
    patterns, which = np.unique(~np.isnan(p_values), axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        if pattern.sum() > 1:
            place = np.ix_(which.ravel() == i, pattern)
            adjusted[place], levels[place] = one(p_values[place], np.flatnonzero(pattern))
    return adjusted, levels


def _stepwise(method: Correction, alpha: float) -> OneFamily:
    def one(p_values: Floats, _: Places) -> tuple[Floats, Floats]:
        match method:
            case "none" | "dunnett" | "weighted-bonferroni":
                return p_values, np.full(p_values.shape, alpha)
            case _:
                result = adjust(p_values, method, alpha=alpha)
                return result.p_adjusted, result.local_alpha

    return one


def _gate(spec: ExperimentSpec, p_values: Floats, roles: Sequence[Role]) -> tuple[Floats, Floats]:
    plan = spec.plan
    gate = "serial" if plan.gatekeeping == "serial" else "parallel"
    found = gatekeep_roles(p_values, roles, gate=gate, correction=FAMILY_WISE.get(plan.correction, "holm"), alpha=plan.alpha)
    local = np.divide(plan.alpha * p_values, found.p_adjusted, out=found.local_alpha.copy(), where=found.p_adjusted > 0.0)
    return found.p_adjusted, np.maximum(local, SMALLEST)


def _dunnett(p_values: Floats, shared: Floats, alpha: float, alternative: Alternative) -> tuple[Floats, Floats]:
    """Levels by Dunnett's critical value, which depends on the arms' sizes alone."""
    side: Alternative = "two-sided" if alternative == "two-sided" else "greater"
    levels = np.empty_like(p_values)
    sizes, which = np.unique(shared[: p_values.shape[0]], axis=0, return_inverse=True)
    for i, own in enumerate(sizes):
        found = many_to_one(np.zeros(own.size), np.ones(own.size), own, alpha=alpha, alternative=side)
        levels[which.ravel() == i] = p_value_of(found.critical_value, math.inf, side)
    return np.minimum(alpha * p_values / levels, 1.0), levels
