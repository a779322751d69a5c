"""A holdout experiment as a spec: the form of Part II in the one form that everything else reads."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

from fairtrial.service.experiments.schemas import ExperimentCreate, PlanInputs, PlanOut
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.loader import parse_spec
from fairtrial.stats.power_proportions import sample_size_two_proportions

TREATMENT, CONTROL = "treatment", "control"
DEFAULT_TREATMENT_RATE = 0.5

WINDOW_DAYS = {"email": 14.0, "push": 7.0, "app_push": 7.0, "sms": 3.0}
"""Conversion window by channel (HO-29)."""

OTHER_WINDOW_DAYS = 14.0

PLANNER_READY = {"email", "push", "sms", "whatsapp", "onsite", "in_app", "app_push"}
"""Channels whose messages can be held back by us (HO-32)."""

NOT_SUPPORTED = {"direct", "unknown"}
"""Channels that nobody sends, so nobody can hold them back."""

Capability = Literal["planner_ready", "manual_only", "not_supported"]

CONVERTED = "converted"
"""The primary metric: 1 when a profile converted within its window."""

VALUE = "value"
"""The secondary metric: value of all counted outcomes of a profile."""


def holdout_shares(treatment_rate: float) -> dict[str, Fraction]:
    """Treatment and control, exactly: 0.8 is four fifths, as it is written."""
    rate = Fraction(str(treatment_rate))
    return {TREATMENT: rate, CONTROL: 1 - rate}


def execution_capability(channel: str | None) -> Capability:
    """Whether a channel's messages can be held back by the planner, by hand, or not at all."""
    name = (channel or "unknown").lower()
    if name in PLANNER_READY:
        return "planner_ready"
    return "not_supported" if name in NOT_SUPPORTED else "manual_only"


def conversion_window_days(channel: str | None, policy: dict[str, Any] | None) -> float:
    """Days after the end in which an outcome still counts: the policy's own, else the channel's."""
    given = (policy or {}).get("conversion_window_days")
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given)
    return WINDOW_DAYS.get((channel or "").lower(), OTHER_WINDOW_DAYS)


def planned(asked: PlanInputs) -> PlanOut | None:
    """What baseline and effect call for; None while one of them is not known."""
    if asked.baseline_rate_estimate is None or asked.mde_target is None:
        return None
    share = asked.treatment_rate or DEFAULT_TREATMENT_RATE
    size = sample_size_two_proportions(
        asked.baseline_rate_estimate, asked.mde_target, alpha=asked.alpha, power=asked.power, treatment_share=share
    )
    return PlanOut(
        total_sample_size=size.total,
        treatment_size=size.n_treatment_ceil,
        control_size=size.n_control_ceil,
        alpha=asked.alpha,
        power=asked.power,
        mde=asked.mde_target,
        treatment_rate=share,
    )


def holdout_spec(asked: ExperimentCreate, key: str) -> ExperimentSpec:
    """The experiment as a spec: treatment first (DESIGN 5), conversion decides, value explains.

    Raises:
        SpecError: The form asks for what no spec allows.
    """
    share = asked.treatment_rate or DEFAULT_TREATMENT_RATE
    direction = "decrease" if asked.mde_target is not None and asked.mde_target < 0 else "increase"
    plan: dict[str, Any] = {
        "method": "fixed" if asked.stop_rule == "fixed_horizon" else asked.stop_rule,
        "alpha": asked.alpha,
        "power": asked.power,
    }
    if asked.baseline_rate_estimate is not None:
        plan["baseline"] = asked.baseline_rate_estimate
    if asked.mde_target is not None:
        plan |= {"mde": abs(asked.mde_target), "mde_kind": "absolute"}
    if asked.min_runtime_days is not None:
        plan["min_days"] = asked.min_runtime_days
    adjusted = {} if asked.covariate is None else {"covariate": asked.covariate}
    raw: dict[str, Any] = {
        "key": key,
        "kind": "holdout",
        "name": asked.name,
        "arms": [{"key": arm, "allocation": float(part)} for arm, part in holdout_shares(share).items()],
        "metrics": [
            {"key": CONVERTED, "kind": "proportion", "role": "primary", "direction": direction, **adjusted},
            {"key": VALUE, "kind": "mean", "role": "secondary", "direction": direction, **adjusted},
        ],
        "plan": plan,
    }
    if asked.strata:
        raw["assignment"] = {"method": asked.assignment_method, "strata": asked.strata}
    if asked.start_at is not None:
        raw["schedule"] = {"start": asked.start_at, "end": asked.end_at}
    return parse_spec(raw)
