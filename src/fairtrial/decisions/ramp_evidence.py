"""What a step of a staged rollout rests on: summaries of two arms, and the policy they are read by (AD-10, AD-17)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from fairtrial.errors import UnknownNameError, UsageError
from fairtrial.stats.result import check_alpha

Direction = Literal["lower", "higher"]
"""Which side of the control is better."""

Monitoring = Literal["fixed", "continuous"]
"""Whether guardrails are read once, or may be read every day."""

RolloutSpending = Literal["lan_demets_obrien_fleming", "lan_demets_pocock"]
"""How the error rate is spent over the looks."""

LADDER = (0.05, 0.10, 0.25, 0.50, 1.0)
"""Shares of the treatment, stage by stage, where none are declared (AD-14)."""

FAR, NEAR = 1e30, 1e-30
"""Sizes of the largest number that is taken, and of the smallest but 0: what is reckoned with them stays finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanArm:
    """A mean over users.

    Attributes:
        n: Users, >= 0.
        mean: Their mean.
        sd: Standard deviation between them, divisor n - 1, >= 0.
    """

    n: int
    mean: float
    sd: float

    def __post_init__(self) -> None:
        check_whole("n", self.n)
        check_number("mean", self.mean)
        if check_number("sd", self.sd) < 0.0:
            raise UsageError(f"sd must be >= 0, got {self.sd}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RateArm:
    """A rate over users.

    Attributes:
        n: Users, >= 0.
        events: Users with the event, in 0..n.
    """

    n: int
    events: int

    def __post_init__(self) -> None:
        if check_whole("events", self.events) > check_whole("n", self.n):
            raise UsageError(f"events must lie in 0..n, got {self.events} of {self.n}.", hint="Pass counts of users, not rates.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A difference that was estimated already: stages combined, errors by session, a quantile.

    Attributes:
        effect: Treatment less control, in the metric's unit.
        std_error: Its standard error over users, > 0.
        control: Value of the control.
        treatment: Value of the treatment.
        n_control: Users of the control.
        n_treatment: Users of the treatment.
        lift_std_error: Standard error of effect / control; None takes `std_error` / control.
        treatment_std_error: Standard error of the treatment's own value, for an absolute limit; None where it is not known.
    """

    effect: float
    std_error: float
    control: float
    treatment: float
    n_control: int
    n_treatment: int
    lift_std_error: float | None = None
    treatment_std_error: float | None = None

    def __post_init__(self) -> None:
        for name in ("effect", "control", "treatment"):
            check_number(name, getattr(self, name), near=0.0)
        for name in ("n_control", "n_treatment"):
            check_whole(name, getattr(self, name))
        for name in ("std_error", "lift_std_error", "treatment_std_error"):
            value = getattr(self, name)
            if value is not None and check_number(name, value, near=0.0) <= 0.0:
                raise UsageError(f"{name} must be > 0, got {value}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryEvidence:
    """What the primary metric says so far.

    Attributes:
        metric: Its name.
        direction: Which way is better; it is declared, never guessed from the name.
        control: The control's users; None when `contrast` is given.
        treatment: The treatment's users.
        contrast: The estimate, where stages were combined.
        practical_threshold: Smallest relative improvement worth a rollout, >= 0; at 0 any that is proven.
        strong_threshold: Relative improvement that makes it a strong one; None when none was declared.
    """

    metric: str
    direction: Direction
    control: MeanArm | None = None
    treatment: MeanArm | None = None
    contrast: Contrast | None = None
    practical_threshold: float = 0.0
    strong_threshold: float | None = None

    def __post_init__(self) -> None:
        _check_direction(self.direction)
        _check_one_form(self.metric, self.control, self.treatment, self.contrast)
        for name in ("practical_threshold", "strong_threshold"):
            value = getattr(self, name)
            if value is not None and check_number(name, value) < 0.0:
                raise UsageError(f"{name} must be >= 0, got {value}.", hint="Improvements are fractions: 0.02 is 2%.")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailEvidence:
    """What one guardrail says so far.

    Attributes:
        metric: Its name.
        direction: Which way is better.
        margin: Harm tolerated, >= 0, in the metric's unit; None where only `max_value` is declared.
        control: The control's users; None with no data, or when `contrast` is given.
        treatment: The treatment's users.
        contrast: The estimate, where it is none of means or rates of users.
        max_value: Absolute limit of the treatment's own value (a lower one where higher is better); None for none.
        min_n: Users an arm must have before the guardrail says anything.
    """

    metric: str
    direction: Direction
    margin: float | None = 0.0
    control: MeanArm | RateArm | None = None
    treatment: MeanArm | RateArm | None = None
    contrast: Contrast | None = None
    max_value: float | None = None
    min_n: int = 100

    def __post_init__(self) -> None:
        _check_direction(self.direction)
        if type(self.control) is not type(self.treatment) or (self.control is not None and self.contrast is not None):
            raise UsageError(f"Guardrail {self.metric!r} takes both arms in one form, or a contrast.")
        if self.margin is not None and check_number("margin", self.margin) < 0.0:
            raise UsageError(f"margin must be >= 0, got {self.margin}.", hint="A margin is the harm that is tolerated.")
        if self.max_value is not None:
            check_number("max_value", self.max_value)
        if self.margin is None and self.max_value is None:
            raise UsageError(f"Guardrail {self.metric!r} needs a margin or a max_value.")
        check_whole("min_n", self.min_n)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutEvidence:
    """Everything that one decision rests on.

    Attributes:
        stage: Share of the treatment now, in (0, 1].
        next_stage: Share of the next stage, above `stage`; None after the last.
        day: Day of the rollout, from 0 (nothing is complete yet).
        stage_days: Days in this stage.
        primary: The primary metric.
        guardrails: The guardrails, with and without data.
        look_days: Days of the looks that were taken before this one, rising; None for one a day from the first look on.
        information: Share of the planned information in hand, in (0, 1]; None takes day / max_days.
        users: Users of this stage by arm (control, treatment), for sample ratios and the stage's minimum; None takes the primary's.
        daily_users: Users a day, for what a stop saves; None where it is not known.
    """

    stage: float
    next_stage: float | None
    day: int
    stage_days: int
    primary: PrimaryEvidence
    guardrails: tuple[GuardrailEvidence, ...] = ()
    look_days: tuple[int, ...] | None = None
    information: float | None = None
    users: tuple[int, int] | None = None
    daily_users: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 < check_number("stage", self.stage) <= 1.0:
            raise UsageError(f"stage must lie in (0, 1], got {self.stage}.", hint="A share of users: 0.25.")
        if self.next_stage is not None and not self.stage < check_number("next_stage", self.next_stage) <= 1.0:
            raise UsageError(f"next_stage must lie above stage {self.stage} and at most at 1, got {self.next_stage}.")
        check_whole("day", self.day)
        check_whole("stage_days", self.stage_days)
        if self.look_days is not None and (
            any(a >= b for a, b in zip(self.look_days, self.look_days[1:], strict=False))
            or any(not 1 <= day < self.day for day in self.look_days)
        ):
            raise UsageError(f"look_days must rise from 1 on and lie before day {self.day}, got {list(self.look_days)}.")
        if self.information is not None and not 0.0 < check_number("information", self.information) <= 1.0:
            raise UsageError(f"information must lie in (0, 1], got {self.information}.")
        for n in self.users or ():
            check_whole("users", n)
        if self.daily_users is not None and check_number("daily_users", self.daily_users) < 0.0:
            raise UsageError(f"daily_users must be >= 0, got {self.daily_users}.")
        names = [guardrail.metric for guardrail in self.guardrails]
        if len(set(names)) != len(names):
            raise UsageError(f"Each guardrail may be named once, got {names}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPolicy:
    """The rules by which evidence is read.

    Attributes:
        min_days: Days before anything may be concluded but harm.
        max_days: Days after which the test of the primary metric ends.
        min_stage_days: Days in a stage before the next.
        alpha: Two-sided error rate of the primary metric over all looks.
        spending: How it is spent.
        first_look_day: Day of the first look; None for `min_days`.
        monitoring: `continuous` makes guardrails' intervals hold however often they are read.
        guardrail_alpha: Error rate of each guardrail's interval; they are not corrected, they must stay sensitive.
        kill_threshold: Relative worsening of the primary estimate at which traffic is taken back though the data cannot be
            trusted; None for none.
        min_trials: Users of the treatment in a stage before the next.
        max_step: Largest raise of the share at one update, in (0, 1].
        min_weight: Smallest share either arm keeps until the rollout is decided, in [0, 0.5).
        preset: Name of the preset these come from, if they do.
    """

    min_days: int = 7
    max_days: int = 14
    min_stage_days: int = 1
    alpha: float = 0.05
    spending: RolloutSpending = "lan_demets_obrien_fleming"
    first_look_day: int | None = None
    monitoring: Monitoring = "fixed"
    guardrail_alpha: float = 0.05
    kill_threshold: float | None = None
    min_trials: int = 0
    max_step: float = 1.0
    min_weight: float = 0.0
    preset: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("min_days", 1), ("max_days", 1), ("min_stage_days", 0), ("min_trials", 0)):
            check_whole(name, getattr(self, name), least=least)
        if self.min_days > self.max_days:
            raise UsageError(f"min_days must not lie above max_days, got {self.min_days} and {self.max_days}.")
        if self.first_look_day is not None and not self.min_days <= check_whole("first_look_day", self.first_look_day) <= self.max_days:
            raise UsageError(f"first_look_day must lie in min_days..max_days, got {self.first_look_day}.")
        check_alpha(self.alpha)
        check_alpha(self.guardrail_alpha)
        if self.spending not in ("lan_demets_obrien_fleming", "lan_demets_pocock"):
            raise UnknownNameError.among("spending function", self.spending, ("lan_demets_obrien_fleming", "lan_demets_pocock"))
        if self.monitoring not in ("fixed", "continuous"):
            raise UnknownNameError.among("monitoring", self.monitoring, ("fixed", "continuous"))
        if self.kill_threshold is not None and check_number("kill_threshold", self.kill_threshold) <= 0.0:
            raise UsageError(f"kill_threshold must be > 0, got {self.kill_threshold}.", hint="A relative worsening: 0.1 is 10% worse.")
        if not 0.0 < check_number("max_step", self.max_step) <= 1.0:
            raise UsageError(f"max_step must lie in (0, 1], got {self.max_step}.")
        if not 0.0 <= check_number("min_weight", self.min_weight) < 0.5:
            raise UsageError(f"min_weight must lie in [0, 0.5), got {self.min_weight}.")

    @property
    def first_look(self) -> int:
        """Day of the first look."""
        return self.min_days if self.first_look_day is None else self.first_look_day


PRESETS: Mapping[str, Mapping[str, float | int]] = {
    "safe": {"min_trials": 1_000, "max_step": 0.10, "min_weight": 0.05},
    "neutral": {"min_trials": 200, "max_step": 0.25, "min_weight": 0.05},
    "explore": {"min_trials": 50, "max_step": 0.50, "min_weight": 0.10},
}
"""How fast traffic may move (AD-17): users of the treatment before a raise, the largest raise, the least share of an arm."""


def preset_policy(preset: str, base: RolloutPolicy | None = None) -> RolloutPolicy:
    """A policy with the limits of a preset.

    Args:
        preset: `safe`, `neutral` or `explore`.
        base: Policy whose other rules are kept.

    Raises:
        UnknownNameError: No such preset.
    """
    if preset not in PRESETS:
        raise UnknownNameError.among("preset", preset, PRESETS)
    limits = PRESETS[preset]
    return replace(
        base or RolloutPolicy(),
        min_trials=int(limits["min_trials"]),
        max_step=float(limits["max_step"]),
        min_weight=float(limits["min_weight"]),
        preset=preset,
    )


def check_number(name: str, value: object, *, near: float = NEAR) -> float:
    """Return a number, or raise when it is none, is not finite, or is beyond what can be squared.

    Raises:
        UsageError: It is.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > FAR:
        raise UsageError(f"{name} must be a finite number of at most {FAR:g} in size, got {value!r}.")
    if value != 0.0 and abs(value) < near:
        raise UsageError(f"{name} must be 0 or at least {near:g} in size, got {value!r}.")
    return float(value)


def check_whole(name: str, value: object, *, least: int = 0) -> int:
    """Return a whole number, or raise when it is none or too small.

    Raises:
        UsageError: It is.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**62:
        raise UsageError(f"{name} must be a whole number >= {least}, got {value!r}.")
    return value


def _check_direction(direction: str) -> None:
    if direction not in ("lower", "higher"):
        raise UnknownNameError.among("direction", direction, ("lower", "higher"))


def _check_one_form(metric: str, control: object, treatment: object, contrast: object) -> None:
    if (control is None) != (treatment is None):
        raise UsageError(f"Metric {metric!r} needs both arms, or neither.")
    if control is not None and contrast is not None:
        raise UsageError(f"Metric {metric!r} takes two arms or a contrast, not both.")
