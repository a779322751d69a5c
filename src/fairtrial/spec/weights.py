"""Weights of hypotheses: which share of a family's error rate each treatment or secondary metric is given.

They belong to the correction `weighted-bonferroni` alone, and are divided by their sum over the family.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairtrial.spec.metric import MetricSpec
from fairtrial.spec.plan import PlanSpec, VariantSpec

WEIGHTED = "weighted-bonferroni"


def weights_of(pairs: Sequence[tuple[str, str]], metrics: Sequence[MetricSpec], arms: Sequence[VariantSpec]) -> list[float]:
    """The weight of each comparison: its metric's times its treatment's, 1 for either where none is declared.

    Args:
        pairs: Metric and treatment of each comparison.
        metrics: Of the experiment.
        arms: Of the experiment.

    Returns:
        Weights > 0, not normalised.
    """
    of_metric = {metric.key: 1.0 if metric.weight is None else metric.weight for metric in metrics}
    of_arm = {arm.key: 1.0 if arm.weight is None else arm.weight for arm in arms}
    return [of_metric[metric] * of_arm[arm] for metric, arm in pairs]


def check_weights(plan: PlanSpec, metrics: Sequence[MetricSpec], arms: Sequence[VariantSpec], control: str) -> None:
    """Refuse weights that no correction reads, and a weighted correction without them.

    Raises:
        ValueError: Either is the case, weights are given for some and not for all, or the plan has no p-values to correct.
    """
    weighed = [arm.key for arm in arms if arm.weight is not None]
    of_metrics = [metric.key for metric in metrics if metric.weight is not None]
    used = WEIGHTED in {plan.correction, plan.secondary_correction}
    if not used:
        if weighed or of_metrics:
            raise ValueError(
                f"weight belongs to correction or secondary_correction: {WEIGHTED}, and is given to {weighed + of_metrics}; "
                "set the correction, or leave the weights out"
            )
        return
    if plan.method == "bayesian":
        raise ValueError(f"{WEIGHTED} shares out the error rate of tests, a bayesian plan has none; leave correction and weights out")
    if plan.sequential.futility == "beta_spending":
        raise ValueError(f"futility: beta_spending has one bound for all treatments, {WEIGHTED} a level for each; use bonferroni")
    _arms_weighed(plan, arms, control, weighed)
    _metrics_weighed(plan, metrics, of_metrics, arms_weighed=bool(weighed))


def _arms_weighed(plan: PlanSpec, arms: Sequence[VariantSpec], control: str, weighed: Sequence[str]) -> None:
    treatments = [arm.key for arm in arms if arm.key != control]
    if control in weighed:
        raise ValueError(f"the control '{control}' is in every comparison and has no weight of its own; leave it out")
    if weighed and len(weighed) < len(treatments):
        raise ValueError(f"give a weight to every treatment or to none: {[key for key in treatments if key not in weighed]} lack one")
    if plan.correction == WEIGHTED and not weighed:
        raise ValueError(f"correction {WEIGHTED} needs a `weight` on every treatment, as {{key: {treatments[0]}, weight: 2}}; or use holm")


def _metrics_weighed(plan: PlanSpec, metrics: Sequence[MetricSpec], weighed: Sequence[str], *, arms_weighed: bool) -> None:
    secondary = [metric.key for metric in metrics if metric.role == "secondary"]
    if other := [key for key in weighed if key not in secondary]:
        raise ValueError(f"{other} cannot have a weight: only secondary metrics share an error rate with each other")
    if weighed and plan.secondary_correction != WEIGHTED:
        raise ValueError(f"the weights of {list(weighed)} belong to secondary_correction: {WEIGHTED}; set it, or leave them out")
    if weighed and len(weighed) < len(secondary):
        raise ValueError(f"give a weight to every secondary metric or to none: {[key for key in secondary if key not in weighed]} lack one")
    if plan.secondary_correction == WEIGHTED and not (weighed or arms_weighed):
        raise ValueError(f"secondary_correction {WEIGHTED} needs a `weight` on every secondary metric or every treatment; or use holm")
