"""From the bodies of requests to the evidence and the rules that decide, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fairtrial.analysis.rollout_days import GuardrailRule, RolloutRules
from fairtrial.decisions.ramp import decide_rollout
from fairtrial.decisions.ramp_evidence import (
    GuardrailEvidence,
    MeanArm,
    Monitoring,
    PrimaryEvidence,
    RateArm,
    RolloutEvidence,
    RolloutPolicy,
    preset_policy,
)
from fairtrial.service.rollouts.schemas import DecideIn, DecisionOut, Limits, MeanArmIn, MeanGuardrailIn, RateGuardrailIn, RolloutIn


def decide(body: DecideIn) -> DecisionOut:
    """The decision by summary statistics.

    Raises:
        UsageError: A number breaks its rule.
    """
    primary = body.primary
    evidence = RolloutEvidence(
        stage=body.stage,
        next_stage=body.next_stage,
        day=body.day,
        stage_days=body.stage_days,
        primary=PrimaryEvidence(
            metric=primary.metric,
            direction=primary.direction,
            control=_mean(primary.control),
            treatment=_mean(primary.treatment),
            practical_threshold=primary.practical_threshold,
            strong_threshold=primary.strong_threshold,
        ),
        guardrails=tuple(_guardrail(one) for one in body.guardrails),
        look_days=None if body.look_days is None else tuple(body.look_days),
        information=body.information,
        daily_users=body.daily_users,
    )
    return DecisionOut.model_validate(decide_rollout(evidence, policy_of(body, body.monitoring)).to_dict())


def policy_of(limits: Limits, monitoring: Monitoring) -> RolloutPolicy:
    """The policy of a body; limits that are given replace the preset's.

    Raises:
        UsageError: The days contradict each other.
    """
    policy = RolloutPolicy(
        min_days=limits.min_days,
        max_days=limits.max_days,
        min_stage_days=limits.min_stage_days,
        alpha=limits.alpha,
        spending=limits.spending,
        first_look_day=limits.first_look_day,
        monitoring=monitoring,
        kill_threshold=limits.kill_threshold,
    )
    if limits.preset is not None:
        policy = preset_policy(limits.preset, policy)
    given: dict[str, Any] = {name: getattr(limits, name) for name in ("min_trials", "max_step", "min_weight")}
    return replace(policy, **{name: value for name, value in given.items() if value is not None})


def rules_of(body: RolloutIn) -> RolloutRules:
    """The rules of a rollout; its guardrails are read every day.

    Raises:
        UsageError: A rule contradicts another.
        UnknownNameError: There is no such metric.
    """
    return RolloutRules(
        name=body.name,
        stages=tuple(body.stages),
        policy=policy_of(body, "continuous"),
        primary=body.primary.metric,
        direction=body.primary.direction,
        practical_threshold=body.primary.practical_threshold,
        strong_threshold=body.primary.strong_threshold,
        guardrails=tuple(
            GuardrailRule(
                metric=one.metric,
                margin=0.0 if one.margin is None and one.max_value is None else one.margin,
                max_value=one.max_value,
                direction=one.direction,
                min_n=one.min_n,
            )
            for one in body.guardrails
        ),
        seed=body.seed,
    )


def _mean(arm: MeanArmIn) -> MeanArm:
    return MeanArm(n=arm.n, mean=arm.mean, sd=arm.sd)


def _guardrail(body: MeanGuardrailIn | RateGuardrailIn) -> GuardrailEvidence:
    control: MeanArm | RateArm | None
    treatment: MeanArm | RateArm | None
    if isinstance(body, MeanGuardrailIn):
        control, treatment = (None if arm is None else _mean(arm) for arm in (body.control, body.treatment))
    else:
        control, treatment = (None if arm is None else RateArm(n=arm.n, events=arm.events) for arm in (body.control, body.treatment))
    return GuardrailEvidence(
        metric=body.metric,
        direction=body.direction,
        margin=0.0 if body.margin is None and body.max_value is None else body.margin,
        control=control,
        treatment=treatment,
        max_value=body.max_value,
        min_n=body.min_n,
    )
