"""A bandit run in memory by the same plans as the service: to rehearse a spec, and to measure what its estimates keep.

Rewards come at once, or some periods late; the arms' true means may change from period to period.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.bandits.adaptation import Known, next_plan
from fairtrial.bandits.plans import Plan, adaptive_shares, first_plan, propensities, slice_shares
from fairtrial.bandits.readout import BanditLog
from fairtrial.bandits.state import BanditState
from fairtrial.errors import UsageError
from fairtrial.spec.bandit import BanditSpec

Floats = NDArray[np.float64]
MOST_DECISIONS = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BanditRun:
    """A run.

    Attributes:
        log: Every decision with its reward.
        plans: By period.
        regret: Sum over decisions of the best arm's true mean in the period minus the arm's, >= 0.
    """

    log: BanditLog
    plans: tuple[Plan, ...]
    regret: float


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is true.

    Attributes:
        means: True mean reward by arm.
        sd: Standard deviation of rewards of kind mean.
        change: Added to the means of each period, given its number; None for nothing.
        late_periods: Rewards are known so many periods after their decision.
    """

    means: Mapping[str, float]
    sd: float = 1.0
    change: Callable[[int], Mapping[str, float]] | None = None
    late_periods: int = 0

    def at(self, period: int, arms: Sequence[str]) -> Floats:
        """True means in a period, shape (K,)."""
        shift: Mapping[str, float] = {} if self.change is None else self.change(period)
        return np.array([self.means[arm] + shift.get(arm, 0.0) for arm in arms])


def run_bandit(spec: BanditSpec, world: World, *, periods: int, decisions: int, rng: np.random.Generator) -> BanditRun:
    """Run a bandit without contexts.

    Args:
        spec: The bandit.
        world: What is true.
        periods: How many, >= 1.
        decisions: In each, >= 1.
        rng: Source of draws.

    Raises:
        UsageError: The policy is contextual, an arm has no mean, or a mean is no probability.
    """
    _check(spec, world, periods, decisions)
    sign = 1.0 if spec.reward.direction == "increase" else -1.0
    plan = first_plan(spec)
    plans: list[Plan] = []
    states: list[BanditState] = []
    parts: list[BanditLog] = []
    regret = 0.0
    for number in range(1, periods + 1):
        truth = world.at(number, spec.arms)
        part = _period(spec, plan, truth, world.sd, (number, decisions), rng)
        regret += float((sign * truth).max() * decisions - (sign * truth)[part.actions].sum())
        parts.append(part)
        plans.append(plan)
        states.append(part.state(spec.arms))
        told = [
            state if age >= world.late_periods else BanditState.empty(spec.arms)
            for age, state in zip(range(number - 1, -1, -1), states, strict=True)
        ]
        plan = next_plan(spec, Known(periods=told, metrics={}), plan)
    return BanditRun(log=_joined(parts), plans=tuple(plans), regret=regret)


def _period(spec: BanditSpec, plan: Plan, truth: Floats, sd: float, size: tuple[int, int], rng: np.random.Generator) -> BanditLog:
    number, n = size
    fixed = rng.random(n) < spec.slice
    ends = np.cumsum(np.where(fixed[:, None], slice_shares(spec, plan), adaptive_shares(spec, plan)), axis=1)
    actions = (rng.random(n)[:, None] * ends[:, -1:] >= ends).sum(axis=1)
    rewards = (rng.random(n) < truth[actions]).astype(np.float64) if spec.reward.kind == "proportion" else rng.normal(truth[actions], sd)
    return BanditLog(
        actions=actions.astype(np.int64),
        rewards=rewards,
        propensities=np.tile(propensities(spec, plan), (n, 1)),
        periods=np.full(n, number, dtype=np.int64),
        fixed=fixed,
        units=np.arange(n, dtype=np.int64) + (number - 1) * n,
    )


def _joined(parts: Sequence[BanditLog]) -> BanditLog:
    return BanditLog(
        actions=np.concatenate([part.actions for part in parts]),
        rewards=np.concatenate([part.rewards for part in parts]),
        propensities=np.concatenate([part.propensities for part in parts]),
        periods=np.concatenate([part.periods for part in parts]),
        fixed=np.concatenate([part.fixed for part in parts]),
        units=np.concatenate([part.units for part in parts]),
    )


def _check(spec: BanditSpec, world: World, periods: int, decisions: int) -> None:
    if spec.policy.contextual:
        raise UsageError(f"A run is of arms without contexts, the policy is {spec.policy.name!r}.")
    if set(world.means) != set(spec.arms):
        raise UsageError(f"Every arm of {list(spec.arms)} needs a true mean and no other, got {list(world.means)}.")
    if spec.reward.kind == "proportion" and not all(0.0 <= mean <= 1.0 for mean in world.means.values()):
        raise UsageError(f"True means of a proportion lie in [0, 1], got {list(world.means.values())}.")
    if periods < 1 or decisions < 1 or periods * decisions > MOST_DECISIONS:
        raise UsageError(f"A run has 1 to {MOST_DECISIONS:,} decisions, got {periods} periods of {decisions}.")
