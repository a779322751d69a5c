"""One update of a bandit: from what its periods earned to the plan of the next, with the constraints that acted.

In order: a guardrail takes an arm down at once; with too few rewards nothing else moves; then what the policy wants is
lifted to the floor and approached by the largest step allowed. Safety comes first: what a guardrail frees goes to the
others in proportion, and no step is too large for that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fairtrial.bandits.allocation import limit_step
from fairtrial.bandits.linear import LinearArm
from fairtrial.bandits.plans import DEFAULT_NOISE, Acted, Cap, Plan, within_limits
from fairtrial.bandits.posteriors import BetaPosteriors, NormalPosteriors, Posteriors, beta_posteriors, normal_posteriors
from fairtrial.bandits.registry import build_policy
from fairtrial.bandits.state import ArmRewards, BanditState
from fairtrial.errors import DataError
from fairtrial.spec.bandit import BanditConstraint, BanditSpec
from fairtrial.stats.bayes.best_arm import BestArm, best_mean, best_rate
from fairtrial.stats.tails import upper_quantile

Floats = NDArray[np.float64]
NEAR = 1e-12
"""Shares that differ by less are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known at the end of a period.

    Attributes:
        periods: Rewards by arm of each period, the oldest first, the one that ends last.
        metrics: By metric and arm, values that came with rewards.
        models: Sums of the linear models by arm, faded; for contextual policies.
    """

    periods: Sequence[BanditState]
    metrics: Mapping[str, Mapping[str, ArmRewards]]
    models: tuple[LinearArm, ...] = ()

    @property
    def total(self) -> BanditState:
        """All periods together, nothing faded."""
        return sum(self.periods[1:], start=self.periods[0])


def faded(periods: Sequence[BanditState], *, discount: float = 1.0, window: int | None = None) -> BanditState:
    """Rewards of periods with the older ones weighing less.

    Args:
        periods: The oldest first.
        discount: Weight of one period ago, in (0, 1]; its powers before.
        window: How many of the latest count; None for all.

    Returns:
        A state whose pulls are effective ones, rounded to whole numbers.
    """
    kept = periods[-window:] if window else periods
    if discount == 1.0:
        return sum(kept[1:], start=kept[0])
    weights = [discount**age for age in range(len(kept) - 1, -1, -1)]
    arms = kept[-1].arms
    return BanditState(
        arms=arms,
        rewards=tuple(
            _weighted([(weight, state.rewards[arm]) for weight, state in zip(weights, kept, strict=True)]) for arm in range(len(arms))
        ),
    )


def _weighted(parts: Sequence[tuple[float, ArmRewards]]) -> ArmRewards:
    pulls = sum(weight * part.n for weight, part in parts)
    n = round(pulls)
    if n == 0:
        return ArmRewards()
    mean = sum(weight * part.n * part.mean for weight, part in parts) / pulls
    m2 = sum(weight * (part.m2 + part.n * (part.mean - mean) ** 2) for weight, part in parts)
    return ArmRewards(n=n, mean=mean, m2=m2 * n / pulls, inverse_weighted=None)


def upward(spec: BanditSpec, state: BanditState) -> BanditState:
    """The state with larger rewards being better, and within [0, 1] where the reward has bounds."""
    low, high = spec.reward.bounds
    bounded = math.isfinite(low) and math.isfinite(high)
    scale = high - low if bounded else 1.0
    offset = low if bounded else 0.0
    down = spec.reward.direction == "decrease"

    def turned(arm: ArmRewards) -> ArmRewards:
        if arm.n == 0:
            return arm
        mean = (arm.mean - offset) / scale
        mean = (1.0 - mean if bounded else -mean) if down else mean
        return ArmRewards(n=arm.n, mean=mean, m2=arm.m2 / scale**2, inverse_weighted=None)

    return BanditState(arms=state.arms, rewards=tuple(turned(arm) for arm in state.rewards))


def posteriors_of(spec: BanditSpec, state: BanditState) -> Posteriors:
    """Posteriors of the arms' mean rewards as they were sent: beta for proportions, else normal about the mean of all.

    Raises:
        DataError: Rewards of kind mean do not vary within arms, or are too few to tell.
    """
    if spec.reward.kind == "proportion":
        return beta_posteriors(state)
    mean, variance = _normal_prior(state)
    return normal_posteriors(state, prior_mean=mean, prior_variance=variance)


def best_of(spec: BanditSpec, state: BanditState, capped: Mapping[str, Cap]) -> tuple[tuple[str, ...], BestArm]:
    """Which arm is best among those that no guardrail holds down.

    Returns:
        The arms that were compared; with a single one left, it and the control.

    Raises:
        DataError: As `posteriors_of`.
    """
    arms = tuple(arm for arm in spec.arms if arm not in capped)
    arms = arms if len(arms) > 1 else tuple(arm for arm in spec.arms if arm == spec.control or arm in arms)
    if len(arms) < 2:
        raise DataError("The guardrails have left no arm to compare with the control.", code="no_arm_left")
    found = posteriors_of(spec, BanditState(arms=arms, rewards=tuple(state.rewards[spec.arms.index(arm)] for arm in arms)))
    direction = spec.reward.direction
    if isinstance(found, BetaPosteriors):
        return arms, best_rate(found.a, found.b, direction=direction)
    return arms, _best_normal(found, direction)


def _best_normal(found: NormalPosteriors, direction: str) -> BestArm:
    return best_mean(found.mean, found.sd, direction="decrease" if direction == "decrease" else "increase")


def _normal_prior(state: BanditState) -> tuple[float, float]:
    """A prior worth one reward, about the mean of all."""
    pulls = float(state.pulls.sum())
    df = sum(arm.n - 1 for arm in state.rewards if arm.n > 1)
    variance = sum(arm.m2 for arm in state.rewards) / df if df else 0.0
    if variance <= 0.0:
        raise DataError("Rewards must vary within arms before they can be weighed.", hint="Wait for rewards.", code="no_variance")
    return float(state.reward_sums.sum()) / pulls, variance


def broken(spec: BanditSpec, known: Known, before: Mapping[str, Cap]) -> tuple[dict[str, Cap], list[Acted]]:
    """Arms that guardrails hold down from now on, and what to say of those that were not before.

    Args:
        spec: The bandit.
        known: What came with the rewards.
        before: Arms held down so far; those that are out stay out.
    """
    capped: dict[str, Cap] = {arm: cap for arm, cap in before.items() if cap == "out"}
    acted: list[Acted] = []
    for constraint in spec.constraints:
        for arm in spec.arms:
            seen = known.metrics.get(constraint.metric, {}).get(arm)
            if arm == spec.control or seen is None or capped.get(arm) == "out":
                continue
            said = _beyond(constraint, seen)
            if said:
                where = "out" if constraint.then == "out" else f"its floor of {spec.floor:g}"
                capped[arm] = constraint.then
                acted.append(Acted(constraint="guardrail", arm=arm, text=f"{constraint.metric} of {arm} {said}: it is held at {where}."))
    for arm, cap in before.items():
        if cap == "out" and not any(one.arm == arm for one in acted):
            acted.append(Acted(constraint="guardrail", arm=arm, text=f"{arm} was taken out before and stays out."))
    return capped, acted


def _beyond(constraint: BanditConstraint, seen: ArmRewards) -> str:
    """How a metric is beyond its limit; nothing where that is not shown."""
    if seen.n < constraint.min_trials:
        return ""
    width = float(upper_quantile(1.0 - constraint.confidence, math.inf)) * math.sqrt(seen.m2 / (seen.n - 1) / seen.n)
    if constraint.max_value is not None and seen.mean - width > constraint.max_value:
        return f"is {seen.mean:.6g} over {seen.n} values, above its limit {constraint.max_value:g}"
    if constraint.min_value is not None and seen.mean + width < constraint.min_value:
        return f"is {seen.mean:.6g} over {seen.n} values, below its limit {constraint.min_value:g}"
    return ""


def next_plan(spec: BanditSpec, known: Known, before: Plan) -> Plan:
    """The plan of the next period.

    Args:
        spec: The bandit.
        known: What its periods earned so far.
        before: The plan of the period that ends.
    """
    capped, acted = broken(spec, known, before.capped)
    previous = np.array([before.shares[arm] for arm in spec.arms])
    if capped != before.capped:
        previous = within_limits(spec, previous, capped)
    few = [arm for arm, seen in zip(spec.arms, known.total.rewards, strict=True) if arm not in capped and seen.n < spec.trials]
    if few:
        acted.append(
            Acted(constraint="min_trials", text=f"Shares wait until every arm has {spec.trials} rewards; {', '.join(few)} have fewer.")
        )
        return _plan(spec, previous, acted, capped, before if before.models else None)
    if spec.policy.contextual:
        return _contextual(spec, known, before, (previous, capped, acted))
    try:
        wanted = _wanted(spec, faded(known.periods, discount=spec.drift.discount, window=spec.drift.window))
    except DataError as error:
        acted.append(Acted(constraint="no_rewards", text=error.message))
        return _plan(spec, previous, acted, capped, None)
    limited = within_limits(spec, wanted, capped)
    raised = [
        arm for arm, share, want in zip(spec.arms, limited, wanted, strict=True) if arm not in capped and share > want and want < spec.floor
    ]
    if raised:
        acted.append(Acted(constraint="min_weight", text=f"No arm in play gets less than {spec.floor:g}: {', '.join(raised)} would have."))
    shares = limit_step(limited, previous, max_step=spec.step)
    if np.abs(shares - limited).max() > NEAR:
        acted.append(Acted(constraint="max_step", text=f"No share changes by more than {spec.step:g} at an update."))
    return Plan(shares=_named(spec, shares), wanted=_named(spec, wanted), acted=tuple(acted), capped=capped)


def _plan(spec: BanditSpec, shares: Floats, acted: list[Acted], capped: dict[str, Cap], models_of: Plan | None) -> Plan:
    plan = Plan(shares=_named(spec, shares), acted=tuple(acted), capped=capped)
    if models_of is None:
        return plan
    return replace(plan, trust=models_of.trust, models=models_of.models, noise_variance=models_of.noise_variance)


def _contextual(spec: BanditSpec, known: Known, before: Plan, moved: tuple[Floats, dict[str, Cap], list[Acted]]) -> Plan:
    previous, capped, acted = moved
    trust = min(1.0, before.trust + spec.step)
    if trust < 1.0:
        acted.append(Acted(constraint="max_step", text=f"The models rule {trust:g} of the adaptive part, {spec.step:g} more at an update."))
    noise = DEFAULT_NOISE
    if spec.reward.kind == "mean":
        total = known.total
        df = sum(arm.n - 1 for arm in total.rewards if arm.n > 1)
        noise = sum(arm.m2 for arm in total.rewards) / df if df else 0.0
        if noise <= 0.0:
            acted.append(Acted(constraint="no_rewards", text="Rewards must vary within arms before they can be weighed."))
            return _plan(spec, previous, acted, capped, before if before.models else None)
    return Plan(shares=_named(spec, previous), acted=tuple(acted), capped=capped, trust=trust, models=known.models, noise_variance=noise)


def _wanted(spec: BanditSpec, state: BanditState) -> Floats:
    """What the policy wants, shape (K,)."""
    name, options = spec.policy.name, spec.policy.options
    turned = upward(spec, state)
    if name == "ucb":
        return build_policy("ucb1").propensities(turned)
    if name == "epsilon_greedy":
        return build_policy(name, options).propensities(turned)
    known = {**options}
    if spec.reward.kind == "mean":
        mean, variance = _normal_prior(turned)
        return build_policy(_known_as(name), {**known, "family": "normal", "prior_mean": mean, "prior_variance": variance}).propensities(
            turned
        )
    return build_policy(_known_as(name), known).propensities(turned)


def _known_as(name: str) -> str:
    return "top_two_thompson" if name == "top_two" else name


def _named(spec: BanditSpec, shares: Floats) -> dict[str, float]:
    return dict(zip(spec.arms, shares.tolist(), strict=True))
