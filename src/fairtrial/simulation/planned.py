"""What the rule knows of a simulated look besides its data: where it stands, and what the plan's method promises at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.evaluation import planned_looks
from fairtrial.evaluation.batch import null_effect
from fairtrial.evaluation.control import PlannedLook
from fairtrial.evaluation.design import design_of, primary_alpha
from fairtrial.evaluation.status import planned_units
from fairtrial.metrics import ArmContrast
from fairtrial.simulation.batch_compare import Test, planned_effects
from fairtrial.simulation.looks import SimulatedLook
from fairtrial.simulation.replicates import arms_in_order
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.plan import PLANNED_LOOKS, SEQUENTIAL
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.sequential.boundaries import critical_value

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookState:
    """Where a look stands in its plan; the same for every reading.

    Attributes:
        complete: Whether the plan's sample or longest run has been reached.
        planned: Whether any size was planned.
        min_days_met: Whether the shortest run has been reached.
        max_days_reached: Whether the longest run has been reached.
        live: Whether units are being assigned.
        fractions: Shares of the planned information at the looks so far, this one last, in a plan with planned looks.
        control: What p-values and intervals promise at this look of such a plan; None in others.
        futility_bound: Z of the primary metric, better being positive, below which this look gives up; None without one.
    """

    complete: bool
    planned: bool = True
    min_days_met: bool = True
    max_days_reached: bool = False
    live: bool = False
    fractions: tuple[float, ...] = ()
    control: PlannedLook | None = None
    futility_bound: float | None = None

    def looks_left(self, spec: ExperimentSpec) -> bool:
        """Whether the plan may look again."""
        return spec.plan.method in SEQUENTIAL and not self.complete and not self.max_days_reached


def look_state(spec: ExperimentSpec, looks: Sequence[SimulatedLook], place: int) -> LookState:
    """The state of one of the looks of a simulated design.

    Args:
        spec: The experiment.
        looks: All looks of the design.
        place: Which of them.
    """
    look = looks[place]
    fractions, control, bound = (), None, None
    if spec.plan.method in PLANNED_LOOKS:
        fractions = tuple(_information(spec, earlier) for earlier in looks[: place + 1])
        given_up = [planned_looks.futility_at(spec, fractions[: k + 1]) for k in range(place)] if spec.plan.sequential.binding else []
        control = planned_control(spec, fractions, tuple(bound for bound in given_up if bound is not None), final=look.complete)
        bound = None if look.complete or fractions[-1] >= 1.0 else planned_looks.futility_at(spec, fractions)
    return LookState(
        complete=look.complete,
        min_days_met=look.min_days_met,
        max_days_reached=look.max_days_reached,
        live=look.live,
        fractions=fractions,
        control=control,
        futility_bound=bound,
    )


def planned_control(spec: ExperimentSpec, fractions: tuple[float, ...], given_up: tuple[float, ...] = (), *, final: bool) -> PlannedLook:
    """How a planned look tests.

    Args:
        spec: An experiment whose plan has planned looks.
        fractions: Shares of the planned information at the looks so far, increasing, this one last.
        given_up: Binding futility bounds of the earlier looks, which simulated experiments obey; none where none binds.
        final: Whether no look comes after it.

    Raises:
        UsageError: The shares are not looks.
    """
    return planned_looks.planned_control(spec, fractions, given_up, final=final)[0]


def gave_up(spec: ExperimentSpec, primary: Test, look: LookState) -> Booleans | None:
    """Whether results lie below the look's futility bound, shape (runs, treatments); None where there is no bound."""
    if look.futility_bound is None:
        return None
    margin, contrast = null_effect(spec, spec.primary), primary.contrast
    sign = 1.0 if spec.primary.direction == "increase" else -1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return sign * (contrast.effect - margin) / _error_at(contrast, margin) < look.futility_bound


def _error_at(contrast: ArmContrast, margin: float) -> Floats:
    """Standard error under the null hypothesis."""
    return contrast.std_error_at(margin) if isinstance(contrast, ProportionContrast) else contrast.std_error


def power_left(spec: ExperimentSpec, primary: Test, look: LookState) -> Floats | None:
    """Conditional power at the last look if the planned effect were true, shape (runs, treatments).

    Phi((z sqrt(t) + drift (1 - t) - c) / sqrt(1 - t)) with z and the drift in standard errors of
    the whole plan (Jennison & Turnbull 2000, section 10.2); under a non-inferiority objective
    if the arms did not differ.

    Returns:
        NaN where there is no estimate; None where the plan does not ask.
    """
    plan = spec.plan
    if look.control is None or look.complete or plan.sequential.futility != "conditional_power":
        return None
    inferiority = plan.objective == "non_inferiority"
    if plan.mde is None and not inferiority:
        return None
    margin, contrast = null_effect(spec, spec.primary), primary.contrast
    error = _error_at(contrast, margin)
    distance = np.full(error.shape, abs(margin)) if inferiority else planned_effects(spec, spec.primary, contrast)
    design = design_of(spec, alpha=primary_alpha(spec))
    needed = critical_value(design, look.fractions, 1.0, final=True)
    sign = 1.0 if spec.primary.direction == "increase" else -1.0
    share = look.fractions[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        z = sign * (contrast.effect - margin) / error
        drift = distance / (error * np.sqrt(share))
        power = np.asarray(special.ndtr((z * np.sqrt(share) + drift * (1.0 - share) - needed) / np.sqrt(1.0 - share)), dtype=np.float64)
    return np.where(np.isfinite(power), power, np.nan)


def _information(spec: ExperimentSpec, look: SimulatedLook) -> float:
    """Share of the planned information that a look has."""
    plan = spec.plan
    if plan.sequential.information == "days" and look.days is not None and plan.max_days is not None:
        return min(look.days / plan.max_days, 1.0)
    planned, _, _ = planned_units(spec)
    if planned is None:
        return look.share
    shares = (n / planned[arm] for arm, n in zip(arms_in_order(spec), look.units, strict=True) if planned[arm] > 0)
    return min(1.0, *shares)
