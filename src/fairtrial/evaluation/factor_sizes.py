"""How many units the effects of factors call for: a main effect is read off all units, an interaction needs four times as many.

With all cells alike the variance of a main effect is 4 s^2 / N, that of an experiment of two halves; each
further factor in an interaction doubles the standard error. Unequal shares multiply both by the mean over
the cells of (equal share / share). The error rate is the plan's over the number of effects of the primary
metric's family: Bonferroni's, which is safe for Holm and Hochberg too.

Reference: Box, Hunter & Hunter (2005), Statistics for Experimenters, sections 5.3-5.4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fairtrial.evaluation.planned_test import PlannedTest
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.factorial import FACTORIAL
from fairtrial.stats.power import round_up


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorSizes:
    """Units in all cells together by which effects of the planned size are detected with the planned power.

    Attributes:
        main_effect: For a main effect.
        interaction: For an interaction of two factors of the same size; None where the spec asks for main effects alone.
        effects: Effects in the primary metric's family.
        alpha: Error rate of each, after correction.
    """

    main_effect: int
    interaction: int | None
    effects: int
    alpha: float


def factor_sizes(
    spec: ExperimentSpec, test: PlannedTest, effect: float, shares: Mapping[str, float], variance_factor: float
) -> FactorSizes | None:
    """Units for a main effect and for an interaction of the size that the plan names.

    Args:
        spec: The experiment.
        test: What a comparison of two cells would test; its error rate is not looked at.
        effect: The smallest effect planned for, in the metric's unit.
        shares: Of the cells, each above 0.
        variance_factor: Variance after the covariate, over that of plain units.

    Returns:
        The sizes; None where the experiment is not factorial.

    Raises:
        UsageError: The effect leaves the metric's range.
    """
    if spec.kind != FACTORIAL:
        return None
    k, plan = len(spec.factors), spec.plan
    effects = sum(math.comb(k, order) for order in range(1, spec.interactions + 1))
    alpha = plan.alpha if plan.correction == "none" else plan.alpha / effects
    halves = 2.0 * replace(test, alpha=alpha).units(effect, 0.5).n_control
    uneven = sum(1.0 / share for share in shares.values()) / 4**k
    units = halves * uneven * variance_factor
    return FactorSizes(
        main_effect=round_up(units), interaction=round_up(4.0 * units) if spec.interactions > 1 else None, effects=effects, alpha=alpha
    )
