"""What decides in one period of a bandit: shares, or models with their trust; and the draw of one unit's arm.

A plan is made once at the end of the period before and never changes, so the probability of every arm in every
decision is known for ever. A decision falls into the fixed slice, which is split evenly over the arms that no guardrail
holds down, or into the adaptive part; what is logged is the probability over both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from fairtrial.bandits.allocation import with_floor
from fairtrial.bandits.linear import LinearArm, LinearState
from fairtrial.bandits.policies import LinearThompson, LinUcb
from fairtrial.errors import UsageError
from fairtrial.spec.bandit import BanditSpec

Floats = NDArray[np.float64]
Cap = Literal["floor", "out"]

DEFAULT_NOISE = 0.25
"""The largest variance of a proportion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """A constraint that kept the shares from what the policy wanted.

    Attributes:
        constraint: `guardrail`, `min_trials`, `max_step`, `min_weight`, `no_rewards` or `paused`.
        arm: The arm it is about; None for all.
        text: What happened, in words.
    """

    constraint: str
    text: str
    arm: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What decides in a period.

    Attributes:
        shares: By arm, of the adaptive part; with models, those of a decision that they do not rule.
        wanted: What the policy wanted; None where it was not asked, or where models decide.
        acted: Constraints that acted, in order.
        capped: Arms that a guardrail holds down.
        trust: Share of the adaptive part that the models rule; 0 without any.
        models: Sums of the linear models by arm.
        noise_variance: Of `linear_thompson`.
    """

    shares: Mapping[str, float]
    wanted: Mapping[str, float] | None = None
    acted: tuple[Acted, ...] = ()
    capped: Mapping[str, Cap] = field(default_factory=dict[str, Cap])
    trust: float = 0.0
    models: tuple[LinearArm, ...] = ()
    noise_variance: float = DEFAULT_NOISE

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "shares": dict(self.shares),
            "wanted": None if self.wanted is None else dict(self.wanted),
            "acted": [asdict(one) for one in self.acted],
            "capped": dict(self.capped),
            "trust": self.trust,
            "models": [{"n": arm.n, "gram": arm.gram.tolist(), "response": arm.response.tolist()} for arm in self.models],
            "noise_variance": self.noise_variance,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Plan:
        """As it was stored."""
        models = tuple(
            LinearArm(
                n=int(arm["n"]), gram=np.asarray(arm["gram"], dtype=np.float64), response=np.asarray(arm["response"], dtype=np.float64)
            )
            for arm in cast("Sequence[Mapping[str, Any]]", raw["models"])
        )
        acted = tuple(Acted(**one) for one in raw["acted"])
        return cls(
            shares=raw["shares"],
            wanted=raw["wanted"],
            acted=acted,
            capped=raw["capped"],
            trust=raw["trust"],
            models=models,
            noise_variance=raw["noise_variance"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A unit's arm.

    Attributes:
        arm: Its name.
        propensity: The probability that it had, over the slice and the adaptive part.
        fixed: Whether it fell into the fixed slice.
    """

    arm: str
    propensity: float
    fixed: bool


def first_plan(spec: BanditSpec) -> Plan:
    """Before anything is known: an even split."""
    return Plan(shares={arm: 1.0 / len(spec.arms) for arm in spec.arms})


def features_of(spec: BanditSpec, context: Mapping[str, float]) -> Floats:
    """A context as the models see it: 1, then each feature brought to [0, 1].

    Raises:
        UsageError: A feature is missing, unknown or outside its bounds.
    """
    odd = [*(name for name in spec.context if name not in context), *(name for name in context if name not in spec.context)]
    if odd:
        raise UsageError(
            f"A context has the features {list(spec.context)}, got {list(context)}.", hint=f"Look at {odd}.", code="bad_context"
        )
    scaled = [1.0]
    for name, bounds in spec.context.items():
        value = context[name]
        if not bounds.low <= value <= bounds.high:
            raise UsageError(f"The feature {name!r} must lie in [{bounds.low:g}, {bounds.high:g}], got {value:g}.", code="bad_context")
        scaled.append((value - bounds.low) / (bounds.high - bounds.low))
    return np.array(scaled)


def adaptive_shares(spec: BanditSpec, plan: Plan, context: Floats | None = None) -> Floats:
    """Probability of each arm in the adaptive part, shape (K,).

    Args:
        spec: The bandit.
        plan: Of the period.
        context: As `features_of` makes it, where models decide.
    """
    shares = np.array([plan.shares[arm] for arm in spec.arms])
    if not plan.models or context is None or plan.trust == 0.0:
        return shares
    state = LinearState(arms=spec.arms, models=plan.models).at(context)
    options: dict[str, Any] = {**spec.policy.options}
    policy = (
        LinUcb(**options)
        if spec.policy.name == "linucb"
        else LinearThompson(**{"noise_variance": cast("Any", plan.noise_variance), **options})
    )
    wanted = within_limits(spec, policy.propensities(state), plan.capped)
    return (1.0 - plan.trust) * shares + plan.trust * wanted


def within_limits(spec: BanditSpec, wanted: Floats, capped: Mapping[str, Cap]) -> Floats:
    """Shares with every arm in play at the floor at least, arms held at the floor on it, and those that are out at 0.

    Args:
        spec: The bandit.
        wanted: What the policy wants, shape (K,).
        capped: Arms that a guardrail holds down; never the control.
    """
    free = np.array([arm not in capped for arm in spec.arms])
    held = np.array([spec.floor if capped.get(arm) == "floor" else 0.0 for arm in spec.arms])
    rest = 1.0 - float(held.sum())
    of_free = np.where(free, wanted, 0.0)
    total = float(of_free.sum())
    count = int(free.sum())
    of_free = of_free / total if total > 0.0 else free / count
    shares = held.copy()
    shares[free] = rest if count == 1 else rest * with_floor(of_free[free], floor=min(spec.floor / rest, 1.0 / count))
    return shares / shares.sum()


def slice_shares(spec: BanditSpec, plan: Plan) -> Floats:
    """Probability of each arm in the fixed slice: even over the arms that no guardrail holds down, shape (K,)."""
    free = np.array([0.0 if arm in plan.capped else 1.0 for arm in spec.arms])
    return free / free.sum()


def propensities(spec: BanditSpec, plan: Plan, context: Floats | None = None) -> Floats:
    """Probability of each arm over slice and adaptive part, shape (K,), summing to 1."""
    found = spec.slice * slice_shares(spec, plan) + (1.0 - spec.slice) * adaptive_shares(spec, plan, context)
    return found / found.sum()


def draw(spec: BanditSpec, plan: Plan, places: tuple[float, float], context: Floats | None = None) -> Drawn:
    """A unit's arm.

    Args:
        spec: The bandit.
        plan: Of the period.
        places: Two numbers in [0, 1], uniform and independent: the first says whether it is in the slice, the second which arm.
        context: As `features_of` makes it, where models decide.
    """
    fixed = places[0] < spec.slice
    part = slice_shares(spec, plan) if fixed else adaptive_shares(spec, plan, context)
    ends = np.cumsum(part)
    last = int(np.flatnonzero(part > 0.0)[-1])
    chosen = min(int(np.searchsorted(ends, places[1], side="right")), last)
    return Drawn(arm=spec.arms[chosen], propensity=float(propensities(spec, plan, context)[chosen]), fixed=bool(fixed))
