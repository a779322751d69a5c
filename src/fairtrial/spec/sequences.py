"""What a plan that looks more than once asks of the metrics and arms: exact sequences and binding futility.

An exact sequence of two rates knows proportions and the planned chance of each arm, nothing
else; a binding futility bound is obeyed by one treatment, or alpha does not hold. Where a plan asks for
more it is refused with the sequence or setting that serves instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairtrial.spec.data import DataSpec, UnitsData
from fairtrial.spec.metric import MetricSpec, chosen_test
from fairtrial.spec.plan import PlanSpec


def check_sequences(metrics: Sequence[MetricSpec], plan: PlanSpec, data: DataSpec | None, *, treatments: int, allocation: str) -> None:
    """Refuse a sequence or a futility rule that this experiment cannot have.

    Args:
        metrics: Its metrics.
        plan: Its plan.
        data: Its data, where declared.
        treatments: Arms other than the control.
        allocation: Whether the arms' shares are fixed.

    Raises:
        ValueError: Binding futility with several treatments; an exact sequence of what is not a plain
            proportion, without fixed shares, against a margin, or of post-stratified rates.
    """
    if plan.sequential.binding and treatments > 1:
        raise ValueError(
            f"binding futility is for one treatment, there are {treatments}, which may give up at different looks; use binding: false"
        )
    if plan.always_valid.sequence != "bernoulli":
        return
    for metric in metrics:
        if (plan.method == "always_valid" or metric.role != "secondary") and not _plain_rate(metric):
            raise ValueError(f"metric '{metric.key}': sequence bernoulli is of proportions without covariate; use asymptotic or msprt")
    if allocation != "fixed":
        raise ValueError(f"sequence bernoulli needs the arms' planned shares, allocation is {allocation!r}; use asymptotic or msprt")
    if plan.objective == "non_inferiority" and plan.method == "always_valid":
        raise ValueError("sequence bernoulli tests no margin in points (objective: non_inferiority); use asymptotic or msprt")
    if isinstance(data, UnitsData) and data.adjust == "post_stratify":
        raise ValueError("sequence bernoulli counts units as they are and cannot be post-stratified; use asymptotic, or adjust: none")


def _plain_rate(metric: MetricSpec) -> bool:
    """Whether a metric is compared by its counts alone."""
    return metric.kind == "proportion" and chosen_test(metric) == "proportions"
