"""One comparison of units: its arms, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError
from fairtrial.metrics import UnitComparison
from fairtrial.spec.metric import REGRESSIONS
from fairtrial.stats.batch import expand
from fairtrial.stats.contrast import MeanContrast, linear_contrast
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.reading import OutcomeStats
from fairtrial.stats.result import Alternative, Unavailable

Floats = NDArray[np.float64]
Pair = tuple[str, str]
"""Metric key and treatment key."""

NOTHING = Unavailable(code="no_variance", reason="The metric does not vary within the arms, so nothing can be inferred.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitTask:
    """One comparison: its arms, and how it is asked.

    Attributes:
        metric: Key of the metric.
        family: Which test.
        treatment: Key of the treatment.
        control: Statistics of the control.
        treated: Statistics of the treatment.
        alternative: Sides of the test.
        margin: Effect under the null hypothesis.
        alpha: Level of the plan.
        seed: What the draws are made from.
    """

    metric: str
    family: UnitComparison
    treatment: str
    control: OutcomeStats
    treated: OutcomeStats
    alternative: Alternative
    margin: float
    alpha: float
    seed: int

    @property
    def pair(self) -> Pair:
        """Metric and treatment."""
        return self.metric, self.treatment

    @property
    def rows(self) -> tuple[Floats, Floats]:
        """The units' numbers of both arms, shape (n, columns).

        Raises:
            UsageError: The reading holds none.
        """
        if self.control.rows is None or self.treated.rows is None:
            raise not_read(self, "the units' own numbers")
        return self.control.rows, self.treated.rows

    @property
    def values(self) -> tuple[Floats, Floats]:
        """The one number of each unit, of both arms."""
        control, treated = self.rows
        return control[:, 0], treated[:, 0]

    @property
    def rng(self) -> np.random.Generator:
        """A generator at its first draw."""
        return np.random.default_rng(self.seed)


def not_read(task: UnitTask, what: str) -> UsageError:
    """The error of a reading that lacks what a test reads."""
    return UsageError(
        f"Test '{task.family.test}' of metric '{task.metric}' reads {what}, and the reading holds none.",
        hint="Read the data by the metric's own needs.",
    )


def contrast_of(task: UnitTask) -> MeanContrast:
    """The comparison of the same columns by moments: values of both arms, and whether anything varies."""
    if task.family.test in REGRESSIONS:  # of the plain outcome
        own, other = (CoMoments.of(arm.moments.column()) for arm in (task.control, task.treated))
        return linear_contrast(expand([own]), expand([other]))
    layout = (True, task.family.ratio, task.family.adjusted, False)
    return linear_contrast(expand([task.control.moments], layout), expand([task.treated.moments], layout))
