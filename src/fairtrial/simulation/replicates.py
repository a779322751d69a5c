"""Arm statistics of many imagined readings of one experiment: what simulation judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.metrics import Metric
from fairtrial.metrics.family import ArmContrast, Means, Proportions
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.stats.batch import BatchMoments, Present
from fairtrial.stats.contrast import linear_contrast
from fairtrial.stats.proportions import ProportionContrast

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replicates:
    """Arm statistics by metric; the control is the first arm, then the treatments in declared order.

    Attributes:
        units: Units analysed, shape (runs, arms).
        moments: By metric key, batches of shape (runs, arms) in the layout of the metric.
    """

    units: Floats
    moments: Mapping[str, BatchMoments]

    def __post_init__(self) -> None:
        if self.units.ndim != 2 or self.units.shape[1] < 2:
            raise UsageError(f"Units are of shape (runs, arms) with two arms or more, got {self.units.shape}.")
        for key, moments in self.moments.items():
            if moments.n.shape != self.units.shape:
                raise UsageError(f"Moments of {key!r} must have shape {self.units.shape}, got {moments.n.shape}.")

    def of(self, key: str) -> BatchMoments:
        """The batch of a metric.

        Raises:
            UnknownNameError: It was not simulated.
        """
        if key not in self.moments:
            raise UnknownNameError.among("simulated metric", key, self.moments)
        return self.moments[key]

    def __add__(self, other: Replicates) -> Replicates:
        """The same experiments after more units have come."""
        moments = {key: batch + other.of(key) for key, batch in self.moments.items()}
        return Replicates(units=self.units + other.units, moments=moments)


def arms_in_order(spec: ExperimentSpec) -> tuple[str, ...]:
    """Arm keys as `Replicates` orders them: the control, then the treatments."""
    return (spec.control, *spec.treatments)


def layout_of(metric: Metric) -> Present:
    """Which of numerator, denominator, covariate and its denominator a metric has."""
    family = metric.family
    return family.present if isinstance(family, Means) else (True, False, False, False)


def contrast_of(metric: Metric, moments: BatchMoments) -> ArmContrast:
    """Every treatment against the control, shape (runs, treatments).

    Args:
        metric: How it is compared.
        moments: Batch of shape (runs, arms), the control first.
    """
    control, treatments = part(moments, slice(0, 1)), part(moments, slice(1, None))
    if isinstance(metric.family, Proportions):
        return ProportionContrast(
            successes_control=np.rint(control.mean[..., 0] * control.n),
            n_control=control.n,
            successes_treatment=np.rint(treatments.mean[..., 0] * treatments.n),
            n_treatment=treatments.n,
            ci_method=metric.family.ci_method,
        )
    variances = metric.family.variances if isinstance(metric.family, Means) else "unequal"
    return linear_contrast(control, treatments, variances=variances)


UNITS_HINT = "Try the rule with a test of moments (`welch`, `delta`); `fairtrial aa` tries a test of units on history."
"""What to do where a test cannot be run on drawn moments."""


def why_not_simulated(metric: Metric) -> str:
    """Why a metric's test cannot be run on drawn moments; empty where it can."""
    family, key = metric.family, metric.spec.key
    if isinstance(family, Proportions):
        return ""
    if not isinstance(family, Means):
        return f"The test of {key!r} reads single units, and only moments are drawn."
    return f"{key!r} is adjusted by several covariates, and one is simulated." if family.several else ""


def part(moments: BatchMoments, arms: slice) -> BatchMoments:
    """Some arms of a batch."""
    return BatchMoments(n=moments.n[:, arms], mean=moments.mean[:, arms], cross=moments.cross[:, arms], present=moments.present)


def simple_moments(n: Floats, mean: Floats, m2: Floats) -> BatchMoments:
    """A batch of one column (a plain mean or proportion) from counts, means and centred sums of squares of one shape."""
    means = np.zeros((*n.shape, 4))
    means[..., 0], means[..., 1], means[..., 3] = mean, 1.0, 1.0
    cross = np.zeros((*n.shape, 4, 4))
    cross[..., 0, 0] = m2
    return BatchMoments(n=n, mean=means, cross=cross, present=(True, False, False, False))
