"""What a decision rests on, and the policy it is read by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fairtrial.decisions.decision import Confidence, GuardrailState, Risk, Verdict
from fairtrial.stats.result import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One treatment's evidence, turned so that positive is better whatever the metric's direction.

    Attributes:
        invalid: Why the data cannot be trusted, one sentence each; empty when it can.
        insufficient: Why the primary metric has no estimate yet; None when it has one.
        effect: Improvement in the primary metric's unit.
        interval: Interval of `effect` in force, after correction.
        lift: Improvement relative to the control; None where the control's value is not positive.
        lift_interval: Its interval in force.
        significant: Whether p < alpha after correction (the interval's exclusion of 0 is read only together with it).
        harm_interval: The interval that harm is read from: the one in force, or the always-valid one of a
            fixed plan that is not complete and of a hybrid plan; None where there is none, or where
            the one in force is not backed by its p-value.
        guardrails: Worst of the guardrails' states; None when none is declared.
        guardrails_non_inferior: Whether every guardrail's interval lies within its margin.
        guardrail_reasons: One sentence for each guardrail that does not pass.
        planned: Whether any plan of size was recorded.
        plan_complete: Whether the plan's sample or its longest run has been reached (or, in a Bayesian
            plan, its stopping rule).
        fixed_horizon: Whether nothing but harm may be concluded before the plan is complete.
        looks_left: Whether a sequential plan may look again.
        conditional_power: Probability to show a benefit in the looks left if the planned MDE were true;
            None where it is not asked for or not known.
        min_days_met: Whether the shortest run has been reached.
        max_days_reached: Whether the longest run has been reached.
        live: Whether units are being assigned now.
        gave_up: Whether the primary result lies below this look's futility bound; None where there is no such bound.
        error_controlled: Whether the plan's method controls how often it errs; a Bayesian one does not, and its
            intervals are credible ones.
    """

    invalid: tuple[str, ...]
    insufficient: str | None
    effect: float | None
    interval: Interval | None
    lift: float | None
    lift_interval: Interval | None
    significant: bool
    harm_interval: Interval | None
    guardrails: GuardrailState | None
    guardrails_non_inferior: bool
    guardrail_reasons: tuple[str, ...]
    planned: bool
    plan_complete: bool
    fixed_horizon: bool
    looks_left: bool
    conditional_power: float | None
    min_days_met: bool
    max_days_reached: bool
    live: bool
    gave_up: bool | None = None
    error_controlled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What a plan has one row of the table say instead; None leaves the row's own word.

    Attributes:
        verdict: As careful as the row's own, or more (`decisions.rules.ALLOWED`).
        confidence: How sure the verdict is said to be.
        risk: Risk of acting on it.
        next_steps: What to do now.
    """

    verdict: Verdict | None = None
    confidence: Confidence | None = None
    risk: Risk | None = None
    next_steps: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The thresholds by which evidence is read.

    Attributes:
        objective: `non_inferiority` reads the interval against `-margin`.
        margin: Loss tolerated under non-inferiority, in the metric's unit, >= 0.
        practical: Smallest improvement worth launching; None when none was declared.
        strong: Improvement that makes a launch a strong one; None when none was declared.
        scale: Scale of `practical` and `strong`.
        origin: Where `practical` comes from, for the reasoning.
        futility_power: Conditional power below which going on is futile.
        overrides: What the plan changed in the table, by number of the rule; a verdict that is less careful than the
            row's own is not obeyed.
    """

    objective: Literal["superiority", "non_inferiority"] = "superiority"
    margin: float = 0.0
    practical: float | None = None
    strong: float | None = None
    scale: Literal["relative", "absolute"] = "relative"
    origin: Literal["declared", "planned_mde", "none"] = "none"
    futility_power: float = 0.2
    overrides: Mapping[str, Override] = field(default_factory=dict[str, Override])
