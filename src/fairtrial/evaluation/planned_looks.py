"""This look in a plan with planned looks: what it may conclude, and what the looks left could still show."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence

from fairtrial.evaluation.control import PlannedLook
from fairtrial.evaluation.design import design_of
from fairtrial.evaluation.looks import Look
from fairtrial.evaluation.progress import progress_of
from fairtrial.evaluation.scorecard import AfterStop, LookStatus
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.plan import PLANNED_LOOKS
from fairtrial.stats.result import Estimate, Interval, Unavailable
from fairtrial.stats.sequential.boundaries import actual_boundaries, critical_value
from fairtrial.stats.sequential.conditional_power import conditional_power
from fairtrial.stats.sequential.levels import look_levels
from fairtrial.stats.sequential.stagewise import stagewise_estimate


def planned_looks(
    spec: ExperimentSpec, units: Mapping[str, int], looks: Sequence[Look], as_of: dt.datetime | None
) -> tuple[PlannedLook | None, LookStatus | None]:
    """How this look tests, and where it stands; nothing in a plan without planned looks.

    Raises:
        UsageError: The plan has looks but no size to place them by.
    """
    if spec.plan.method not in PLANNED_LOOKS:
        return None, None
    progress = progress_of(spec, units, looks, as_of)
    design = design_of(spec, alpha=spec.plan.alpha)
    boundary = actual_boundaries(design, progress.fractions, final=progress.final)
    status = LookStatus(
        information=progress.information,
        past=progress.past,
        assumed=progress.assumed,
        planned=design.information_fractions,
        final=progress.final,
        spending=spec.plan.sequential.spending,
        alpha_spent=float(boundary.cumulative_alpha[-1]),
        nominal_alpha=float(boundary.nominal_p[-1]),
        critical_value=float(boundary.critical[-1]),
    )
    return PlannedLook(levels=look_levels(design, progress.fractions, final=progress.final)), status


def power_left(
    spec: ExperimentSpec, primary: Estimate | Unavailable, planned_effect: float | None, look: LookStatus | None
) -> float | None:
    """Conditional power at the last look if the planned effect were true; None where the plan does not ask or say.

    Args:
        spec: The experiment.
        primary: The treatment's estimate on the primary metric.
        planned_effect: The MDE in the metric's unit, > 0.
        look: This look.

    Returns:
        Probability in [0, 1] that the last look shows a benefit. Under a non-inferiority
        objective, if the arms did not differ.
    """
    plan = spec.plan
    if look is None or look.final or plan.sequential.futility == "none" or isinstance(primary, Unavailable) or not primary.std_error:
        return None
    inferiority = plan.objective == "non_inferiority"
    distance = abs(primary.margin) if inferiority else planned_effect
    if distance is None or (plan.mde is None and not inferiority):
        return None
    sign = 1.0 if spec.primary.direction == "increase" else -1.0
    corrected = plan.correction != "none" and len(spec.treatments) > 1
    design = design_of(spec, alpha=plan.alpha / len(spec.treatments) if corrected else plan.alpha)
    fractions = (*look.past, look.information)
    return conditional_power(
        sign * (primary.effect - primary.margin) / primary.std_error,
        look.information,
        critical_value(design, fractions, 1.0, final=True),
        drift=distance / (primary.std_error * math.sqrt(look.information)),
    )


def after_stop(spec: ExperimentSpec, primary: Estimate | Unavailable, look: LookStatus | None) -> AfterStop | None:
    """Inference that allows for the looks, once a boundary is crossed or the last look is reached; else None.

    The plain estimate of a trial that stopped because it looked good is biased upward.
    The stagewise ordering gives a median-unbiased one, with an interval of level 1 - alpha.

    Args:
        spec: The experiment.
        primary: The treatment's estimate on the primary metric.
        look: This look.
    """
    if look is None or isinstance(primary, Unavailable) or not primary.std_error or primary.p_value is None:
        return None
    crossed = (primary.p_value if primary.p_adjusted is None else primary.p_adjusted) < spec.plan.alpha
    if not (crossed or look.final):
        return None
    design = design_of(spec, alpha=primary.alpha)
    fractions = (*look.past, look.information)
    mirrored = primary.alternative == "less"
    sign = -1.0 if mirrored else 1.0
    found = stagewise_estimate(
        sign * primary.effect,
        primary.std_error,
        fractions=fractions,
        critical=actual_boundaries(design, fractions, final=look.final).critical.tolist(),
        sides=design.sides,
        alpha=primary.alpha,
        null=sign * primary.margin,
    )
    ends = (found.interval.low, found.interval.high)
    return AfterStop(
        effect=sign * found.effect,
        interval=Interval(low=-ends[1], high=-ends[0]) if mirrored else Interval(low=ends[0], high=ends[1]),
        p_value=found.p_value,
        alpha=primary.alpha,
    )
