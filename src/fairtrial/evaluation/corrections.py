"""Many comparisons: which p-values are one family, and the level at which each interval then stands.

The primary metric's treatments are a family, the secondary metrics' comparisons another;
guardrails are in none, so that no warning is lost. A gate joins the two: secondary
metrics are then tested with the alpha that the primary metric hands on. Corrections
read p-values alone, whatever test or look they come from; only Dunnett's also needs how much
of each comparison's error is the control's, and is kept to a single look; and a weighted Bonferroni's
the weights that the spec gives its treatments and secondary metrics, over their sum.

References: Dunnett (1955), JASA 50, 1096-1121; Dmitrienko, Tamhane & Bretz (2009),
Multiple Testing Problems in Pharmaceutical Statistics, ch. 5 (gatekeeping).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fairtrial.evaluation.batch import Pair
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import Role
from fairtrial.spec.plan import Correction
from fairtrial.spec.weights import weights_of
from fairtrial.stats.gatekeeping import gatekeep_roles
from fairtrial.stats.many_to_one import many_to_one
from fairtrial.stats.multiplicity import adjust, adjust_weighted_bonferroni
from fairtrial.stats.result import Alternative
from fairtrial.stats.tails import critical_value, p_value_of

SMALLEST, LARGEST = 1e-300, 1.0 - 1e-12
"""p-values beyond have no normal quantile that a double can hold."""


FAMILY_WISE: Mapping[Correction, Literal["bonferroni", "holm", "hochberg"]] = {
    "bonferroni": "bonferroni",
    "holm": "holm",
    "hochberg": "hochberg",
}
"""Corrections that go with a gate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One comparison's p-value before correction, and what Dunnett's correction needs of it.

    Attributes:
        p_value: Before correction; NaN where there is none.
        alternative: Sides of its test.
        n_control: Units of the control.
        n_treatment: Units of the treatment.
    """

    p_value: float
    alternative: Alternative
    n_control: float
    n_treatment: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Where a comparison stands after correction.

    Attributes:
        alpha: Error rate of its interval.
        p_adjusted: p-value after correction; None where none applies.
        correction: Name of the correction.
    """

    alpha: float
    p_adjusted: float | None = None
    correction: str | None = None


def corrected(spec: ExperimentSpec, claims: Mapping[Pair, Claim]) -> dict[Pair, Level]:
    """The level, adjusted p-value and correction of each comparison.

    Args:
        spec: The experiment.
        claims: By metric and treatment.
    """
    plan = spec.plan
    levels = {pair: Level(alpha=plan.alpha) for pair in claims}
    if plan.gatekeeping != "none":
        return levels | _gated(spec, claims)
    families: tuple[tuple[Role, Correction], ...] = (("primary", plan.correction), ("secondary", plan.secondary_correction))
    for role, method in families:
        family = _family(spec, claims, (role,))
        if len(family) > 1 and method != "none":
            levels |= _one_family(spec, claims, family, method)
    return levels


def _family(spec: ExperimentSpec, claims: Mapping[Pair, Claim], roles: Sequence[Role]) -> list[Pair]:
    keys = {metric.key for metric in spec.metrics if metric.role in roles}
    return [pair for pair, claim in claims.items() if pair[0] in keys and not math.isnan(claim.p_value)]


def _one_family(spec: ExperimentSpec, claims: Mapping[Pair, Claim], family: Sequence[Pair], method: Correction) -> dict[Pair, Level]:
    alpha, p_values = spec.plan.alpha, [claims[pair].p_value for pair in family]
    match method:
        case "none":
            return {}
        case "dunnett":
            return _dunnett(claims, family, alpha)
        case "weighted-bonferroni":
            adjusted = adjust_weighted_bonferroni(p_values, weights_of(family, spec.metrics, spec.arms), alpha=alpha)
        case _:
            adjusted = adjust(p_values, method, alpha=alpha)
    return _named(family, adjusted.p_adjusted.tolist(), adjusted.local_alpha.tolist(), method)


def _dunnett(claims: Mapping[Pair, Claim], family: Sequence[Pair], alpha: float) -> dict[Pair, Level]:
    """Comparisons as normal statistics of their p-values, correlated through the control that they share."""
    chosen = [claims[pair] for pair in family]
    side: Alternative = "two-sided" if chosen[0].alternative == "two-sided" else "greater"
    p_values = np.clip([claim.p_value for claim in chosen], SMALLEST, LARGEST)
    statistics = critical_value(p_values, math.inf, side)
    shared = [math.sqrt(claim.n_treatment / (claim.n_treatment + claim.n_control)) for claim in chosen]
    found = many_to_one(statistics, np.ones(len(chosen)), shared, alpha=alpha, alternative=side)
    local = p_value_of(found.critical_value, math.inf, side)
    return _named(family, found.p_adjusted.tolist(), local.tolist(), "dunnett")


def _gated(spec: ExperimentSpec, claims: Mapping[Pair, Claim]) -> dict[Pair, Level]:
    plan = spec.plan
    family = _family(spec, claims, ("primary", "secondary"))
    if len(family) < 2 or plan.gatekeeping == "none":
        return {}
    roles = [spec.metric(metric).role for metric, _ in family]
    p_values = [claims[pair].p_value for pair in family]
    found = gatekeep_roles(p_values, roles, gate=plan.gatekeeping, correction=FAMILY_WISE.get(plan.correction, "holm"), alpha=plan.alpha)
    raw, adjusted = np.array(p_values), found.p_adjusted
    # alpha p / p_adjusted: where the gate is shut, an interval wide enough to leave nothing out
    local = np.divide(plan.alpha * raw, adjusted, out=found.local_alpha.copy(), where=adjusted > 0.0)
    return _named(family, adjusted.tolist(), np.maximum(local, SMALLEST).tolist(), f"{plan.gatekeeping}-gatekeeping")


def _named(family: Sequence[Pair], p_values: Sequence[float], levels: Sequence[float], method: str) -> dict[Pair, Level]:
    ends = zip(family, p_values, levels, strict=True)
    return {pair: Level(alpha=level, p_adjusted=p, correction=method) for pair, p, level in ends}
