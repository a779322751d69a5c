"""The group-sequential design that a spec declares, and its rule for giving up."""

from __future__ import annotations

from collections.abc import Sequence

from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.weights import WEIGHTED, weights_of
from fairtrial.stats.sequential.boundaries import GroupSequentialDesign
from fairtrial.stats.sequential.futility import FutilityRule


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


def primary_alpha(spec: ExperimentSpec) -> float:
    """Error rate that one treatment's comparison on the primary metric can count on, after a correction."""
    plan = spec.plan
    corrected = plan.correction != "none" and len(spec.treatments) > 1
    return plan.alpha / len(spec.treatments) if corrected else plan.alpha


def local_alphas(spec: ExperimentSpec, treatments: Sequence[str]) -> dict[str, float]:
    """Error rate that each treatment's comparison on the primary metric can count on, after the plan's correction.

    Alpha over the number of treatments, Bonferroni's, which is safe for Holm, Hochberg and Dunnett too; its
    share by weight where the correction is weighted.

    Args:
        spec: The experiment.
        treatments: Those that are compared, at least one.
    """
    plan = spec.plan
    if plan.correction == WEIGHTED:
        weights = weights_of([(spec.primary.key, key) for key in treatments], spec.metrics, spec.arms)
        return {key: plan.alpha * (weight / sum(weights)) for key, weight in zip(treatments, weights, strict=True)}
    corrected = plan.correction != "none" and len(treatments) > 1
    return dict.fromkeys(treatments, plan.alpha / len(treatments) if corrected else plan.alpha)


def futility_rule_of(spec: ExperimentSpec) -> FutilityRule | None:
    """How the plan spends its type II error on giving up; None where it does not."""
    plan = spec.plan.sequential
    if plan.futility != "beta_spending":
        return None
    return FutilityRule(
        beta=1.0 - spec.plan.power,
        spending=plan.futility_spending,
        gamma=plan.futility_shape if plan.futility_spending == "hwang-shih-decani" else None,
        rho=plan.futility_shape if plan.futility_spending == "kim-demets" else None,
        binding=plan.binding,
    )
