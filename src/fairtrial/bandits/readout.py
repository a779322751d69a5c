"""What the log of a running bandit says: arms and contrasts after adaptation, by period and in all, and the fixed slice's plain estimates.

Three readings of a contrast stand side by side, for each holds where another does not:

    adaptive   AIPW with variance-stabilising weights: the shortest interval after adaptation, if rewards do not drift
    over_time  AIPW with equal weights: the difference averaged over the decisions, also when rewards drift
    fixed      difference of means within the fixed slice, errors by unit: no model, no propensities, fewest decisions

Decisions are taken as independent given the arm in the first two; the third counts a unit that came back once.
Sources: `bandits.adaptive`; errors by unit: Liang & Zeger (1986), Biometrika 73, 13-22.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fairtrial.bandits.adaptation import best_of
from fairtrial.bandits.adaptive import AdaptiveLog, ArmMean, Weighting, arm_contrast, arm_mean
from fairtrial.bandits.plans import Cap
from fairtrial.bandits.state import BanditState
from fairtrial.errors import DataError
from fairtrial.spec.bandit import BanditSpec
from fairtrial.stats.result import Interval, Unavailable, check_alpha
from fairtrial.stats.tails import interval_of, p_value_of

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BanditLog:
    """Decisions whose reward is known, in their order.

    Attributes:
        actions: Index of the arm, shape (n,).
        rewards: As they were sent, shape (n,).
        propensities: Of every arm, shape (n, K).
        periods: Number of the period, shape (n,).
        fixed: Whether it fell into the fixed slice, shape (n,).
        units: A number for the unit, shape (n,).
        held: By period, the arms that a guardrail held down in it.
    """

    actions: Integers
    rewards: Floats
    propensities: Floats
    periods: Integers
    fixed: Flags
    units: Integers
    held: Mapping[int, Mapping[str, Cap]] = field(default_factory=dict[int, Mapping[str, Cap]])

    @property
    def n(self) -> int:
        """Decisions."""
        return self.rewards.size

    def where(self, kept: Flags) -> BanditLog:
        """Some of them."""
        return BanditLog(
            actions=self.actions[kept],
            rewards=self.rewards[kept],
            propensities=self.propensities[kept],
            periods=self.periods[kept],
            fixed=self.fixed[kept],
            units=self.units[kept],
            held=self.held,
        )

    def state(self, arms: tuple[str, ...]) -> BanditState:
        """Their rewards by arm."""
        if self.n == 0:
            return BanditState.empty(arms)
        found = BanditState.from_log(arms, self.actions, self.rewards)
        return replace(found, rewards=tuple(replace(arm, inverse_weighted=None if arm.n else 0.0) for arm in found.rewards))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An arm's mean reward minus the control's.

    Attributes:
        difference: The estimate, in the reward's unit.
        std_error: Its standard error.
        interval: Normal interval.
        p_value: Two-sided, of no difference.
        n: Decisions that it rests on.
    """

    difference: float
    std_error: float
    interval: Interval
    p_value: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One arm against the control, in three readings."""

    arm: str
    adaptive: Difference | Unavailable
    over_time: Difference | Unavailable
    fixed: Difference | Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodReading:
    """Arms in one period."""

    period: int
    n: int
    arms: dict[str, ArmMean | Unavailable]


@dataclass(frozen=True, slots=True, kw_only=True)
class BestArmVerdict:
    """Which arm is best.

    Attributes:
        arm: The arm with the largest posterior probability to be best.
        probability_best: By arm.
        expected_loss: By arm, of choosing it.
        stop: Whether the spec's stop rule is met by these numbers; None without a rule.
        basis: What the posterior is of.
    """

    arm: str
    probability_best: dict[str, float]
    expected_loss: dict[str, float]
    stop: bool | None
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BanditReading:
    """All that the log says."""

    n: int
    arms: dict[str, ArmMean | Unavailable]
    contrasts: tuple[Contrast, ...]
    periods: tuple[PeriodReading, ...]
    best: BestArmVerdict | Unavailable


def read_bandit(spec: BanditSpec, log: BanditLog, *, capped: dict[str, Cap] | None = None, alpha: float = 0.05) -> BanditReading:
    """Read the log of a bandit.

    Args:
        spec: The bandit.
        log: Its decisions with their rewards.
        capped: Arms that a guardrail holds down; they cannot be the best.
        alpha: Error rate in (0, 1) of each interval.

    Raises:
        UsageError: `alpha` is out of range.
    """
    check_alpha(alpha)
    weighting: Weighting = "uniform" if spec.policy.contextual else "variance_stabilizing"
    control = spec.arms.index(spec.control)
    others = [arm for arm in range(len(spec.arms)) if arm != control]
    return BanditReading(
        n=log.n,
        arms={spec.arms[arm]: _mean(log, arm, weighting, alpha, None) for arm in range(len(spec.arms))},
        contrasts=tuple(_contrast(spec, log, (arm, control), weighting, alpha) for arm in others),
        periods=tuple(_period(spec, log, int(number), alpha) for number in np.unique(log.periods)),
        best=best_arm(spec, log.state(spec.arms), capped or {}),
    )


def best_arm(spec: BanditSpec, state: BanditState, capped: dict[str, Cap]) -> BestArmVerdict | Unavailable:
    """Which arm is best, by the posterior of the mean rewards; it is not moved by when or why an arm was pulled."""
    try:
        arms, found = best_of(spec, state, capped)
    except DataError as error:
        return Unavailable(code=error.code, reason=error.message)
    leader = int(np.argmax(found.prob_best))
    rule = spec.stop
    met = None
    if rule is not None:
        sure = rule.probability is None or float(found.prob_best[leader]) >= rule.probability
        cheap = rule.expected_loss is None or float(found.expected_loss[leader]) <= rule.expected_loss
        met = sure and cheap
    return BestArmVerdict(
        arm=arms[leader],
        probability_best=dict(zip(arms, found.prob_best.tolist(), strict=True)),
        expected_loss=dict(zip(arms, found.expected_loss.tolist(), strict=True)),
        stop=met,
        basis="posterior of mean rewards, uniform prior" if spec.reward.kind == "proportion" else "posterior of mean rewards, normal prior",
    )


def fixed_difference(log: BanditLog, treatment: int, control: int, *, alpha: float = 0.05) -> Difference:
    """Difference of two arms' means in the fixed slice, errors by unit.

    Args:
        log: Decisions of the slice, both arms possible in each.
        treatment: Index of the one arm.
        control: Index of the other.
        alpha: Error rate.

    Raises:
        DataError: An arm has fewer than two decisions or units, or rewards do not vary.
    """
    with_it, without = log.actions == treatment, log.actions == control
    n, m = int(with_it.sum()), int(without.sum())
    if min(n, m) < 2:
        raise DataError(f"The fixed slice needs two rewards in each arm, got {n} and {m}.", code="too_few_rows")
    means = float(log.rewards[with_it].mean()), float(log.rewards[without].mean())
    influence = np.where(with_it, (log.rewards - means[0]) / n, 0.0) - np.where(without, (log.rewards - means[1]) / m, 0.0)
    _, codes = np.unique(log.units, return_inverse=True)
    by_unit = np.bincount(codes, weights=influence)
    clusters = by_unit.size
    variance = float(np.square(by_unit).sum()) * clusters / (clusters - 1) if clusters > 1 else 0.0
    if not variance > 0.0:
        raise DataError("Rewards of the fixed slice do not vary, so there is no standard error.", code="no_variance")
    return _difference(means[0] - means[1], math.sqrt(variance), n + m, alpha)


def _difference(value: float, std_error: float, n: int, alpha: float) -> Difference:
    low, high = interval_of(value, std_error, math.inf, alpha=alpha)
    p_value = p_value_of(value / std_error, math.inf).item()
    return Difference(difference=value, std_error=std_error, interval=Interval(low=low.item(), high=high.item()), p_value=p_value, n=n)


def _mean(log: BanditLog, arm: int, weighting: Weighting, alpha: float, model: Floats | None) -> ArmMean | Unavailable:
    try:
        return arm_mean(_adaptive(log), arm, outcome_model=model, weighting=weighting, alpha=alpha)
    except DataError as error:
        return Unavailable(code=error.code, reason=error.message)


def _adaptive(log: BanditLog) -> AdaptiveLog:
    if log.n < 3:
        raise DataError(f"An estimate needs at least three rewards, got {log.n}.", code="too_few_rows")
    return AdaptiveLog.of(log.actions, log.rewards, log.propensities, may_be_out=True)


def _contrast(spec: BanditSpec, log: BanditLog, pair: tuple[int, int], weighting: Weighting, alpha: float) -> Contrast:
    treatment, control = pair
    both = log.where((log.propensities[:, treatment] > 0.0) & (log.propensities[:, control] > 0.0))
    return Contrast(
        arm=spec.arms[treatment],
        adaptive=_adapted(both, pair, weighting, alpha),
        over_time=_adapted(both, pair, "uniform", alpha),
        fixed=_fixed(spec, log, pair, alpha),
    )


def _adapted(log: BanditLog, pair: tuple[int, int], weighting: Weighting, alpha: float) -> Difference | Unavailable:
    try:
        found = arm_contrast(_adaptive(log), treatment=pair[0], control=pair[1], weighting=weighting, alpha=alpha)
    except DataError as error:
        return Unavailable(code=error.code, reason=error.message)
    return Difference(difference=found.difference, std_error=found.std_error, interval=found.interval, p_value=found.p_value, n=log.n)


def _fixed(spec: BanditSpec, log: BanditLog, pair: tuple[int, int], alpha: float) -> Difference | Unavailable:
    if spec.slice == 0.0:
        return Unavailable(code="no_fixed_slice", reason="The bandit has no fixed slice.")
    in_slice = log.where(log.fixed)
    both = [
        number for number in np.unique(in_slice.periods).tolist() if not {spec.arms[arm] for arm in pair} & set(log.held.get(number, {}))
    ]
    try:
        return fixed_difference(in_slice.where(np.isin(in_slice.periods, both)), pair[0], pair[1], alpha=alpha)
    except DataError as error:
        return Unavailable(code=error.code, reason=error.message)


def _period(spec: BanditSpec, log: BanditLog, number: int, alpha: float) -> PeriodReading:
    now, before = log.where(log.periods == number), log.where(log.periods < number)
    known = before.state(spec.arms)
    overall = float(before.rewards.mean()) if before.n else 0.0
    model = np.array([arm.mean if arm.n else overall for arm in known.rewards]) if before.n else None
    arms = {name: _mean(now, arm, "uniform", alpha, model) for arm, name in enumerate(spec.arms)}
    return PeriodReading(period=number, n=now.n, arms=arms)
