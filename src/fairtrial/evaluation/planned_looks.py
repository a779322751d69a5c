"""This look in a plan with planned looks: what it may conclude, and what the looks left could still show."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fairtrial.diagnostics import Finding
from fairtrial.evaluation.control import PlannedLook
from fairtrial.evaluation.design import design_of, futility_rule_of, primary_alpha
from fairtrial.evaluation.evidence import MIN_ARM_UNITS
from fairtrial.evaluation.looks import Look
from fairtrial.evaluation.progress import progress_of
from fairtrial.evaluation.scorecard import AfterStop, LookStatus
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.plan import PLANNED_LOOKS
from fairtrial.stats.result import Estimate, Interval, Unavailable
from fairtrial.stats.sequential.binding_levels import binding_boundaries, binding_levels
from fairtrial.stats.sequential.boundaries import Boundaries, actual_boundaries, critical_value
from fairtrial.stats.sequential.conditional_power import conditional_power
from fairtrial.stats.sequential.futility import futility_bound
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
    sequential = spec.plan.sequential
    given_up = _obeyed(spec, looks, progress.past)
    control, boundary = planned_control(spec, progress.fractions, given_up, final=progress.final)
    status = LookStatus(
        information=progress.information,
        past=progress.past,
        assumed=progress.assumed,
        planned=sequential.fractions,
        final=progress.final,
        spending=sequential.spending,
        alpha_spent=float(boundary.cumulative_alpha[-1]),
        nominal_alpha=float(boundary.nominal_p[-1]),
        critical_value=float(boundary.critical[-1]),
        futility=sequential.futility,
        futility_spending=sequential.futility_spending if sequential.futility == "beta_spending" else None,
        futility_bound=None if progress.final else futility_at(spec, progress.fractions),
        binding=sequential.binding,
        obeyed=given_up,
    )
    return control, status


def planned_control(
    spec: ExperimentSpec, fractions: tuple[float, ...], given_up: tuple[float, ...] = (), *, final: bool
) -> tuple[PlannedLook, Boundaries]:
    """How a planned look tests, and the boundary of the primary metric.

    Args:
        spec: An experiment whose plan has planned looks.
        fractions: Shares of the planned information at the looks so far, increasing, this one last.
        given_up: Z below which each earlier look gave up for good; none where no bound binds, or not all obeyed it.
        final: Whether no look comes after it.

    Raises:
        UsageError: The shares are not looks.
    """
    design = design_of(spec, alpha=spec.plan.alpha)
    levels = look_levels(design, fractions, final=final)
    if not given_up:
        return PlannedLook(levels=levels), actual_boundaries(design, fractions, final=final)
    gained = binding_levels(design, fractions, given_up, final=final)
    return PlannedLook(levels=levels, gained=gained), binding_boundaries(design, fractions, given_up, final=final)


def futility_at(spec: ExperimentSpec, fractions: tuple[float, ...]) -> float | None:
    """Z of the primary metric, better being positive, below which the last of these looks gives up; None without a rule.

    Args:
        spec: An experiment whose plan has planned looks.
        fractions: Shares of the planned information at the looks so far, the last one below 1.
    """
    rule = futility_rule_of(spec)
    return None if rule is None else futility_bound(design_of(spec, alpha=primary_alpha(spec)), rule, fractions)


def _obeyed(spec: ExperimentSpec, looks: Sequence[Look], past: Sequence[float]) -> tuple[float, ...]:
    """The binding bounds that earlier looks really held the treatment against; nothing where one of them was not obeyed.

    A look that nobody shows was not seen to give anybody up, so it brings nothing down.
    """
    if not spec.plan.sequential.binding or any(look.given_up for look in looks):
        return ()
    bounds = {look.information: -math.inf if look.futility_bound is None else look.futility_bound for look in looks}
    found = tuple(bounds.get(share, -math.inf) for share in past)
    return () if all(math.isinf(bound) for bound in found) else found


def giving_up(
    spec: ExperimentSpec, results: Mapping[tuple[str, str], Estimate | Unavailable], units: Mapping[str, int], look: LookStatus | None
) -> LookStatus | None:
    """This look with the treatments that lie below its futility bound.

    Args:
        spec: The experiment.
        results: Comparisons by metric and treatment.
        units: Units by arm.
        look: This look, in a plan with planned looks.
    """
    if look is None or look.futility_bound is None:
        return look
    enough = [t for t in spec.treatments if min(units[spec.control], units[t]) >= MIN_ARM_UNITS]
    judged = {t: _standardised(spec, results[spec.primary.key, t]) for t in enough}
    below = tuple(t for t, z in judged.items() if z is not None and z < look.futility_bound)
    blind = len(judged) < len(spec.treatments) or None in judged.values()
    return replace(look, given_up=below, futility_bound=None if look.binding and blind else look.futility_bound)


def gone_on(spec: ExperimentSpec, looks: Sequence[Look]) -> list[Finding]:
    """What to know of a plan whose binding futility bound was crossed at an earlier look, and that went on."""
    crossed = next((look for look in looks if look.given_up), None)
    if not spec.plan.sequential.binding or crossed is None:
        return []
    when = f"the look of {crossed.as_of}" if crossed.as_of else "an earlier look"
    return [
        Finding(
            code="futility_ignored",
            severity="warning",
            message=f"At {when} {crossed.given_up[0]} fell below the binding futility bound, which ended the plan; units came on.",
            action="Keep the decision of that look: alpha rests on it. To be free to go on, plan with binding: false.",
            arm=crossed.given_up[0],
            numbers={"information": crossed.information, "futility_bound": crossed.futility_bound},
        )
    ]


def _standardised(spec: ExperimentSpec, primary: Estimate | Unavailable) -> float | None:
    """Distance from the null in standard errors, better being positive; None where there is no estimate."""
    if isinstance(primary, Unavailable) or not primary.std_error:
        return None
    sign = 1.0 if spec.primary.direction == "increase" else -1.0
    return sign * (primary.effect - primary.margin) / primary.std_error


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
    if look is None or look.final or plan.sequential.futility != "conditional_power":
        return None
    if isinstance(primary, Unavailable) or not primary.std_error:
        return None
    inferiority = plan.objective == "non_inferiority"
    distance = abs(primary.margin) if inferiority else planned_effect
    if distance is None or (plan.mde is None and not inferiority):
        return None
    sign = 1.0 if spec.primary.direction == "increase" else -1.0
    design = design_of(spec, alpha=primary_alpha(spec))
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
    if look.obeyed:
        critical = binding_boundaries(design, fractions, look.obeyed, final=look.final).critical
    else:
        critical = actual_boundaries(design, fractions, final=look.final).critical
    mirrored = primary.alternative == "less"
    sign = -1.0 if mirrored else 1.0
    found = stagewise_estimate(
        sign * primary.effect,
        primary.std_error,
        fractions=fractions,
        critical=critical.tolist(),
        given_up=look.obeyed,
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
