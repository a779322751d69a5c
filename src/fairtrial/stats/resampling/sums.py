"""Statistics that are smooth functions of an arm's sums: means, ratios, lifts, and differences adjusted by a covariate.

Each takes the moments of both arms in many resamples at once and returns one
value a resample. Any function of the same form may take their place, if it is
smooth in the means and cross-products; a quantile is not (see `order`).

References: Deng, Knoblich & Lu (2018), KDD, section 2 (ratios); Deng, Xu, Kohavi
& Walker (2013), WSDM, section 3 (CUPED).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UnknownNameError, UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArmMoments:
    """Moments of one arm in many resamples.

    Attributes:
        n: Units, shape (...,).
        mean: Means of the columns, shape (..., k).
        cross: Centred cross-products of the columns, shape (..., k, k); None where products were not kept.
    """

    n: Floats
    mean: Floats
    cross: Floats | None = None


Statistic = Callable[[ArmMoments, ArmMoments], Floats]
"""From the moments of control and treatment, shapes (...,), to values, shape (...,)."""

SmoothStatistic = Literal["mean_difference", "mean_lift", "ratio_difference", "ratio_lift", "cuped_difference", "cuped_lift"]
"""Columns: outcome; numerator and denominator; outcome and covariate."""

Value = Callable[[ArmMoments], Floats]


def mean_of(arm: ArmMoments) -> Floats:
    """Mean of the first column."""
    return arm.mean[..., 0]


def ratio_of(arm: ArmMoments) -> Floats:
    """Mean of the first column over mean of the second; infinite or NaN where that is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return arm.mean[..., 0] / arm.mean[..., 1]


def mean_difference(control: ArmMoments, treatment: ArmMoments) -> Floats:
    """Mean of the treatment - mean of the control."""
    return mean_of(treatment) - mean_of(control)


def mean_lift(control: ArmMoments, treatment: ArmMoments) -> Floats:
    """Mean of the treatment / mean of the control - 1."""
    return _lift(mean_of(control), mean_of(treatment))


def ratio_difference(control: ArmMoments, treatment: ArmMoments) -> Floats:
    """Ratio of sums of the treatment - that of the control."""
    return ratio_of(treatment) - ratio_of(control)


def ratio_lift(control: ArmMoments, treatment: ArmMoments) -> Floats:
    """Ratio of sums of the treatment / that of the control - 1."""
    return _lift(ratio_of(control), ratio_of(treatment))


def cuped_difference(control: ArmMoments, treatment: ArmMoments) -> Floats:
    """Difference of means adjusted by a covariate, its coefficient pooled within arms and fitted anew in each resample.

    References:
        Deng, Xu, Kohavi & Walker (2013), WSDM, section 3.2.
    """
    return mean_difference(control, treatment) - _theta(control, treatment) * (treatment.mean[..., 1] - control.mean[..., 1])


def cuped_lift(control: ArmMoments, treatment: ArmMoments) -> Floats:
    """Lift of means, both adjusted to the covariate's mean over all units."""
    theta = _theta(control, treatment)
    both = (control.n * control.mean[..., 1] + treatment.n * treatment.mean[..., 1]) / (control.n + treatment.n)
    adjusted = (arm.mean[..., 0] - theta * (arm.mean[..., 1] - both) for arm in (control, treatment))
    return _lift(*adjusted)


NAMED: dict[str, Statistic] = {
    "mean_difference": mean_difference,
    "mean_lift": mean_lift,
    "ratio_difference": ratio_difference,
    "ratio_lift": ratio_lift,
    "cuped_difference": cuped_difference,
    "cuped_lift": cuped_lift,
}
VALUES: dict[str, Value] = {"mean_difference": mean_of, "ratio_difference": ratio_of, "mean": mean_of, "ratio": ratio_of}
COLUMNS = {"mean": 1, "ratio": 2, "cuped": 2}
"""Columns that a statistic needs, by the first word of its name."""


def named_statistic(statistic: str, *, columns: int, products: bool) -> Statistic:
    """The statistic of that name, if the columns serve it.

    Args:
        statistic: A name of `SmoothStatistic`.
        columns: Columns at hand.
        products: Whether sums of products are at hand.

    Returns:
        The function.

    Raises:
        UnknownNameError: No such statistic.
        UsageError: It needs other columns, or products.
    """
    if statistic not in NAMED:
        raise UnknownNameError.among("statistic", statistic, get_args(SmoothStatistic))
    check_columns(statistic, columns=columns)
    if statistic.startswith("cuped") and not products:
        raise UsageError(f"{statistic!r} needs sums of products.", hint="Build the sums with products=True.")
    return NAMED[statistic]


def check_columns(statistic: str, *, columns: int) -> None:
    """Raise unless the columns are as many as a named statistic reads.

    Raises:
        UsageError: They are not.
    """
    needed = COLUMNS[statistic.partition("_")[0]]
    if columns != needed:
        raise UsageError(f"{statistic!r} reads {needed} column{'s' if needed > 1 else ''}, got {columns}.")


def _lift(control: Floats, treatment: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return treatment / control - 1.0


def _theta(control: ArmMoments, treatment: ArmMoments) -> Floats:
    if control.cross is None or treatment.cross is None:
        raise UsageError("A covariate's coefficient needs sums of products.", hint="Build the sums with products=True.")
    xy = control.cross[..., 0, 1] + treatment.cross[..., 0, 1]
    xx = control.cross[..., 1, 1] + treatment.cross[..., 1, 1]
    return np.divide(xy, xx, out=np.zeros_like(xx), where=xx > 0.0)
