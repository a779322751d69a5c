"""What an adaptive algorithm would play next, given an experiment's counts (IN-32). Nothing is changed by asking."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from fairtrial.bandits import ArmRewards, BanditState, build_policy
from fairtrial.errors import DataError
from fairtrial.service.experiments.holdout import CONVERTED
from fairtrial.service.experiments.lifecycle import get_experiment
from fairtrial.service.monitoring.checks import primary_of
from fairtrial.service.monitoring.schemas import Algorithm, AllocationOut
from fairtrial.service.results.reading import Counted, count
from fairtrial.stats.moments import Moments

FLOOR = 0.1
"""Smallest share of an arm, where none is asked for; with more than ten arms half an even share."""

MOST_EXACT = 64
"""Arms up to which Thompson's weights are computed; more are drawn."""

DRAWS = 100_000


def read_allocation(
    session: Session, reference: str, *, algorithm: Algorithm, floor: float | None, epsilon: float, seed: int
) -> AllocationOut:
    """Weights of the arms.

    Args:
        session: An open session.
        reference: Id or key.
        algorithm: What chooses.
        floor: Smallest share of an arm, at most 1 / arms; None for 0.1, and for none with `fixed`.
        epsilon: Share of even exploration, for `epsilon_greedy`.
        seed: Of the draws.

    Raises:
        NotFoundError: There is no such experiment.
        UsageError: The floor is above 1 / arms.
        DataError: The rewards are none that the algorithm can take.
    """
    counted = count(session, get_experiment(session, reference))
    state = state_of(counted)
    arms = len(state.arms)
    least = floor if floor is not None else 0.0 if algorithm == "fixed" else min(FLOOR, 0.5 / arms)
    policy = build_policy(algorithm, _options(counted, state, algorithm, epsilon, seed), floor=least)
    weights = policy.propensities(state)
    return AllocationOut(
        experiment_id=counted.row.key,
        algorithm=algorithm,
        metric=primary_of(counted.spec),
        weights=dict(zip(state.arms, weights.tolist(), strict=True)),
        counts={key: arm.n for key, arm in counted.counts.arms.items()},
        floor=least,
        epsilon=epsilon if algorithm == "epsilon_greedy" else None,
        seed=seed,
    )


def state_of(counted: Counted) -> BanditState:
    """The primary metric by arm, the control first, as rewards."""
    keys = [counted.spec.control, *counted.spec.treatments]
    arms = [counted.counts.arms[key] for key in keys]
    if primary_of(counted.spec) == CONVERTED:
        return BanditState.from_sums(keys, [arm.n for arm in arms], [float(arm.converters) for arm in arms])
    return BanditState(arms=tuple(keys), rewards=tuple(_rewards(arm.value) for arm in arms))


def _rewards(value: Moments | None) -> ArmRewards:
    return ArmRewards() if value is None else ArmRewards(n=value.n, mean=value.mean, m2=value.m2, inverse_weighted=None)


def _options(counted: Counted, state: BanditState, algorithm: Algorithm, epsilon: float, seed: int) -> dict[str, Any]:
    if algorithm == "epsilon_greedy":
        return {"epsilon": epsilon}
    if algorithm == "fixed":
        shares = counted.spec.shares
        return {} if shares is None else {"shares": tuple(shares[arm] for arm in state.arms)}
    if algorithm == "ucb1":
        return {}
    options: dict[str, Any] = {"seed": seed, "draws": None if len(state.arms) <= MOST_EXACT else DRAWS}
    return options if primary_of(counted.spec) == CONVERTED else options | _normal(state)


def _normal(state: BanditState) -> dict[str, Any]:
    """A prior worth one unit, about the mean of all.

    Raises:
        DataError: Rewards do not vary, so nothing tells how wide it is.
    """
    pulls = float(state.pulls.sum())
    df = sum(arm.n - 1 for arm in state.rewards if arm.n > 1)
    variance = sum(arm.m2 for arm in state.rewards) / df if df else 0.0
    if variance <= 0.0:
        raise DataError("Thompson sampling needs values that vary within arms.", hint="Wait for outcomes.", code="no_variance")
    return {"family": "normal", "prior_mean": float(state.reward_sums.sum()) / pulls, "prior_variance": variance}
