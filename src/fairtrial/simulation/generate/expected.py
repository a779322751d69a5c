"""What the plan expects of each metric, and what is assumed where it is silent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from fairtrial.errors import UsageError
from fairtrial.evaluation.status import planned_units
from fairtrial.simulation.generate.recipe import MOST, Recipe
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric import MetricSpec

ASSUMED = {"proportion": 0.10, "count": 1.0, "ratio": 0.10, "mean": 10.0, "quantile": 10.0}
"""The control's value of a metric of which nothing is said, by kind."""
ASSUMED_UNITS = 20_000
ASSUMED_CORRELATION = 0.5


@dataclass(frozen=True, slots=True)
class Expected:
    """The plan, read for drawing.

    Attributes:
        spec: The experiment.
        assumed: Sentences on what was assumed, added to as questions are asked.
    """

    spec: ExperimentSpec
    assumed: list[str] = field(default_factory=list[str])

    def assume(self, sentence: str) -> None:
        """Note an assumption, once."""
        if sentence not in self.assumed:
            self.assumed.append(sentence)

    def mean(self, metric: MetricSpec) -> float:
        """The control's value of a metric, > 0; a rate below 1.

        Raises:
            UsageError: The planned one is not.
        """
        plan = self.spec.plan
        if metric is self.spec.primary and plan.baseline is not None:
            value = plan.baseline
        else:
            value = _inside_limit(metric)
            self.assume(f"The control's {metric.key} is {value:g}: the plan does not say.")
        if metric.kind == "proportion" and not 0.0 < value < 1.0:
            raise UsageError(
                f"The baseline of {metric.key!r} must be a rate in (0, 1), got {value:g}.", hint="Rates are fractions, not percent."
            )
        if value <= 0.0:
            raise UsageError(
                f"Data are generated for baselines above 0, that of {metric.key!r} is {value:g}.",
                hint="Set plan.baseline in a copy of the spec.",
            )
        return value

    def sd(self, metric: MetricSpec, mean: float) -> float:
        """The standard deviation of a metric of kind mean, > 0."""
        planned = self.planned_sd(metric)
        if planned is None:
            self.assume(f"The standard deviation of {metric.key} is as large as its mean: the plan does not say.")
        return mean if planned is None else planned

    def planned_sd(self, metric: MetricSpec) -> float | None:
        """The standard deviation that the plan names, for its primary metric."""
        return self.spec.plan.baseline_sd if metric is self.spec.primary else None

    def effect(self, recipe: Recipe) -> float:
        """Relative effect on the primary metric: the one asked for, or the planned MDE in the good direction.

        Raises:
            UsageError: The planned one would take the metric to 0 or below.
        """
        if recipe.effect is not None:
            return recipe.effect
        plan, primary = self.spec.plan, self.spec.primary
        if plan.mde is None:
            self.assume(f"{primary.key} is not changed: the plan names no MDE.")
            return 0.0
        size = plan.mde / self.mean(primary) if plan.mde_kind == "absolute" else plan.mde
        if primary.direction == "decrease" and size >= 1.0:
            raise UsageError(f"A decrease by {size:.0%} leaves nothing of {primary.key!r}.", hint="Name a smaller one by --effect.")
        return size if primary.direction == "increase" else -size

    def units(self, recipe: Recipe, *, analysed: float = 1.0) -> int:
        """How many units: those asked for, or the planned size, of which the share `analysed` counts."""
        if recipe.units is not None:
            return recipe.units
        planned, _, _ = planned_units(self.spec)
        if planned is None:
            self.assume(f"There are {ASSUMED_UNITS:,} units: no size follows from the plan.")
            return ASSUMED_UNITS
        size = math.ceil(_enough(planned) / analysed)
        self.assume(f"There are {size:,} units: the planned {sum(planned.values()):,} and more, so that every arm is filled.")
        if size > MOST:
            raise UsageError(f"The plan calls for {size:,} units, at most {MOST:,} are generated.", hint="Ask for fewer by --units.")
        return size

    def correlation(self, recipe: Recipe, what: str = "What is known before assignment") -> float:
        """Of what is known before assignment, or of `what`, with the outcome."""
        planned = self.spec.plan.covariate_correlation
        if recipe.correlation is not None:
            return recipe.correlation
        if planned is None:
            self.assume(f"{what} has a correlation of {ASSUMED_CORRELATION:g} with the outcome: the plan does not say.")
        return ASSUMED_CORRELATION if planned is None else planned


def _enough(planned: Mapping[str, int]) -> int:
    """Units of which the scarcest arm gets its share to three standard deviations."""
    return math.ceil(sum(planned.values()) * (1.0 + 3.0 / math.sqrt(max(1, min(planned.values())))))


def _inside_limit(metric: MetricSpec) -> float:
    """A value of the kind; of a guardrail with a limit, one that is well on its good side."""
    limit = metric.max_value
    if limit is None or limit <= 0.0:
        return ASSUMED[metric.kind]
    if metric.direction == "decrease":
        return limit / 2.0
    return math.fsum((1.0, limit)) / 2.0 if metric.kind == "proportion" else 2.0 * limit
