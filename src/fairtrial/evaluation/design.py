"""The group-sequential design that a spec declares."""

from __future__ import annotations

from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.stats.sequential.boundaries import GroupSequentialDesign


def design_of(spec: ExperimentSpec, *, alpha: float) -> GroupSequentialDesign:
    """The plan's looks and spending at an error rate of both sides together, or of the one side tested.

    Args:
        spec: An experiment whose plan has planned looks.
        alpha: Error rate in (0, 1).
    """
    plan = spec.plan.sequential
    return GroupSequentialDesign(
        alpha=alpha,
        sides=1 if spec.plan.alternative == "one-sided" else 2,
        spending=plan.spending,
        information_fractions=plan.fractions,
        gamma=plan.shape if plan.spending == "hwang-shih-decani" else None,
        rho=plan.shape if plan.spending == "kim-demets" else None,
    )
