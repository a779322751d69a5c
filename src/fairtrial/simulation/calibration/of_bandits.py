"""Studies of estimates after adaptation: plain means, inverse propensities, augmented scores; and of off-policy values.

Two arms with rewards of 0 or 1 are played for some hundred rounds. The policy sees what came before, every
round or in batches, with a floor under both arms; its propensities are logged, and the methods read the log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.bandits.adaptive import AdaptiveLog, arm_contrast, arm_means
from fairtrial.bandits.best_arm import thompson_probabilities_by_draws
from fairtrial.bandits.offpolicy import evaluate_policy
from fairtrial.bandits.posteriors import BetaPosteriors
from fairtrial.bandits.weights import ActionLog
from fairtrial.simulation.calibration.one_by_one import claimed, repeated
from fairtrial.simulation.calibration.samples import ALPHA, POWERED
from fairtrial.simulation.calibration.study import Case, Simulated, Study, joined
from fairtrial.stats.proportions import ProportionContrast
from fairtrial.stats.result import Interval
from fairtrial.stats.tails import critical_value

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Answers = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Whether the difference 0 was rejected, and whether the interval holds the truth, an entry a run."""

RATE = 0.3
DRAWS = 200
CHUNK = 500
OFFERED = "After a policy that adapts, it rejects a true null hypothesis with probability alpha, and its interval covers the difference."
DECLINED = "It makes NO promise after adaptation; what is lost is measured here to be known."


def bandit_studies() -> tuple[Study, ...]:
    """Studies of four readings of an adaptive log, and of off-policy values."""
    stand = "Those of the weighted scores are asymptotic: they ask for a floor and some hundred rounds."
    return (
        _study("bandit_naive", "Plain means of a bandit's arms", DECLINED, _naive, "Two rates compared as if arms had been drawn by lot."),
        _study(
            "bandit_ipw", "Inverse-propensity means of a bandit's arms", OFFERED, _scored("uniform", 0.0), "Scores without a prediction."
        ),
        _study(
            "bandit_aipw",
            "Augmented inverse-propensity means, even weights",
            OFFERED,
            _scored("uniform", None),
            "Predictions are running means.",
        ),
        _study(
            "bandit_adaptive", "Augmented inverse-propensity means, adaptive weights", OFFERED, _scored("variance_stabilizing", None), stand
        ),
        _worse_arm(),
        _off_policy(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bandit:
    """A policy over two arms.

    Attributes:
        rounds: How many.
        batch: Rounds between updates.
        floor: Smallest share of an arm.
        policy: `thompson`, `greedy` (epsilon-greedy), or `even`.
    """

    rounds: int
    batch: int
    floor: float
    policy: Literal["thompson", "greedy", "even"] = "thompson"

    @property
    def effect(self) -> float:
        """What an even split would see with power 80%."""
        return POWERED * float(np.sqrt(RATE * (1.0 - RATE) * 4.0 / self.rounds))

    def play(self, rng: np.random.Generator, runs: int, rates: tuple[float, float]) -> tuple[Ints, Floats, Floats]:
        """Actions and rewards, shape (runs, rounds), and the second arm's propensities."""
        won, pulled = np.zeros((runs, 2)), np.zeros((runs, 2))
        actions, rewards, shares = np.empty((runs, self.rounds), np.int64), np.empty((runs, self.rounds)), np.empty((runs, self.rounds))
        for start in range(0, self.rounds, self.batch):
            part = slice(start, min(start + self.batch, self.rounds))
            share = self._share(rng, won, pulled)
            chosen = (rng.random((runs, part.stop - start)) < share[:, None]).astype(np.int64)
            reward = (rng.random(chosen.shape) < np.array(rates)[chosen]).astype(np.float64)
            actions[:, part], rewards[:, part], shares[:, part] = chosen, reward, share[:, None]
            pulled += np.column_stack([(1 - chosen).sum(axis=1), chosen.sum(axis=1)])
            won += np.column_stack([(reward * (1 - chosen)).sum(axis=1), (reward * chosen).sum(axis=1)])
        return actions, rewards, shares

    def _share(self, rng: np.random.Generator, won: Floats, pulled: Floats) -> Floats:
        if self.policy == "even":
            return np.zeros(won.shape[0]) + 0.5
        if self.policy == "greedy":
            means = (won + 0.5) / (pulled + 1.0)
            gap = means[:, 1] - means[:, 0]
            best = np.where(gap > 0.0, 1.0, np.where(gap < 0.0, 0.0, 0.5))
        else:
            best = thompson_probabilities_by_draws(BetaPosteriors(a=1.0 + won, b=1.0 + pulled - won), rng=rng, draws=DRAWS)[:, 1]
        return self.floor + (1.0 - 2.0 * self.floor) * best


Reading = Callable[[Ints, Floats, Floats, float], Answers]
"""From actions, rewards, the second arm's propensities, and the true difference."""


def _naive(actions: Ints, rewards: Floats, shares: Floats, truth: float) -> Answers:  # noqa: ARG001 a reading's
    second = actions.sum(axis=1).astype(np.float64)
    contrast = ProportionContrast(
        successes_control=(rewards * (1 - actions)).sum(axis=1),
        n_control=actions.shape[1] - second,
        successes_treatment=(rewards * actions).sum(axis=1),
        n_treatment=second,
    )
    with np.errstate(all="ignore"):
        low, high = contrast.interval(alpha=ALPHA)
        rejected = np.nan_to_num(contrast.p_value(), nan=1.0) < ALPHA
    return rejected, ~((low > truth) | (high < truth))


def _scored(weighting: Literal["uniform", "variance_stabilizing"], model: float | None) -> Reading:
    def read(actions: Ints, rewards: Floats, shares: Floats, truth: float) -> Answers:
        rejected, inside = np.empty(actions.shape[0], np.bool_), np.empty(actions.shape[0], np.bool_)
        predicted = None if model is None else np.full(2, model)
        for run, log in enumerate(zip(actions, rewards, shares, strict=True)):
            found = arm_contrast(_log(*log), treatment=1, outcome_model=predicted, weighting=weighting, alpha=ALPHA)
            rejected[run], inside[run] = found.p_value < ALPHA, not found.interval.excludes(truth)
        return rejected, inside

    return read


def _log(actions: Ints, rewards: Floats, shares: Floats) -> AdaptiveLog:
    return AdaptiveLog.of(actions, rewards, np.column_stack([1.0 - shares, shares]))


def _study(method: str, title: str, promise: str, read: Reading, note: str) -> Study:
    def case(name: str, words: str, bandit: _Bandit) -> Case:
        def simulate(runs: int, rng: np.random.Generator) -> Simulated:
            return joined([one(min(CHUNK, runs - start), rng) for start in range(0, runs, CHUNK)])

        def one(runs: int, rng: np.random.Generator) -> Simulated:
            null, _ = read(*bandit.play(rng, runs, (RATE, RATE)), 0.0)
            seen, inside = read(*bandit.play(rng, runs, (RATE, RATE + bandit.effect)), bandit.effect)
            return Simulated(rejected_null=null, covered=inside, rejected_effect=seen)

        return Case(name=name, words=words, simulate=simulate, cost="dearer")

    return Study(
        method=method,
        title=title,
        promise=promise,
        cases=(
            case("even", "an even split for 500 rounds, no adaptation", _Bandit(rounds=500, batch=500, floor=0.5, policy="even")),
            case("10 batches, floor 20%", "Thompson sampling in 10 batches of 50, floor 20%", _Bandit(rounds=500, batch=50, floor=0.2)),
            case("10 batches, floor 5%", "Thompson sampling in 10 batches of 50, floor 5%", _Bandit(rounds=500, batch=50, floor=0.05)),
            case("10 batches, floor 1%", "Thompson sampling in 10 batches of 50, floor 1%", _Bandit(rounds=500, batch=50, floor=0.01)),
            case("2 batches of 50", "Thompson sampling in 2 batches of 50, floor 5%", _Bandit(rounds=100, batch=50, floor=0.05)),
            case("20 batches of 100", "Thompson sampling in 20 batches of 100, floor 5%", _Bandit(rounds=2000, batch=100, floor=0.05)),
            case(
                "greedy, every round",
                "epsilon-greedy (10% to the other arm), updated every round for 500",
                _Bandit(rounds=500, batch=1, floor=0.1, policy="greedy"),
            ),
        ),
        note=f"Two arms with rewards of 0 or 1 at 30%. {note}",
    )


def _worse_arm() -> Study:
    """Coverage of the mean of the arm that the policy learns to leave."""

    def case(name: str, words: str, bandit: _Bandit, *, plain: bool) -> Case:
        def inside(log: AdaptiveLog) -> bool:
            found = arm_means(log, alpha=ALPHA)[0]
            if not plain:
                return not found.interval.excludes(RATE)
            if found.naive is None:
                return True
            half = float(critical_value(ALPHA, np.inf)) * np.sqrt(found.naive * (1.0 - found.naive) / found.pulls)
            return bool(abs(found.naive - RATE) <= half)

        def simulate(runs: int, rng: np.random.Generator) -> Simulated:
            answers: list[bool] = []
            for start in range(0, runs, CHUNK):
                logs = zip(*bandit.play(rng, min(CHUNK, runs - start), (RATE, RATE + bandit.effect)), strict=True)
                answers += [inside(_log(*log)) for log in logs]
            return Simulated(covered=np.array(answers))

        return Case(name=name, words=words, simulate=simulate, cost="dearer")

    low, high = _Bandit(rounds=500, batch=50, floor=0.05), _Bandit(rounds=500, batch=50, floor=0.2)
    every, least = _Bandit(rounds=500, batch=1, floor=0.1, policy="greedy"), _Bandit(rounds=500, batch=50, floor=0.01)
    return Study(
        method="bandit_worse_arm",
        title="Mean of the arm that a bandit leaves",
        promise="By adaptive weights its interval covers the worse arm's mean with probability 1 - alpha; the plain one promises nothing.",
        cases=(
            case("floor 20%", "adaptive weights, 10 batches of 50, floor 20%", high, plain=False),
            case("floor 5%", "adaptive weights, 10 batches of 50, floor 5%", low, plain=False),
            case("floor 1%", "adaptive weights, 10 batches of 50, floor 1%", least, plain=False),
            case("greedy", "adaptive weights, epsilon-greedy (10%) updated every round", every, plain=False),
            case("plain, floor 20%", "plain mean and Wald's interval, 10 batches of 50, floor 20%", high, plain=True),
            case("plain, floor 5%", "plain mean and Wald's interval, 10 batches of 50, floor 5%", low, plain=True),
            case("plain, floor 1%", "plain mean and Wald's interval, 10 batches of 50, floor 1%", least, plain=True),
            case("plain, greedy", "plain mean and Wald's interval, epsilon-greedy updated every round", every, plain=True),
        ),
        note="A run of bad luck ends an arm, and its plain mean keeps it: it lies too low.",
    )


class _Value:
    """A value's interval, read as a claim about it."""

    def __init__(self, interval: Interval | None) -> None:
        self.interval = Interval(low=-np.inf, high=np.inf) if interval is None else interval
        self.p_value: float | None = None


def _off_policy() -> Study:
    means = np.array([0.1, 0.2, 0.3, 0.4])

    def case(name: str, words: str, n: int, logged: tuple[float, ...], reading: Literal["ips", "snips", "dr"]) -> Case:
        target = np.array([0.1, 0.1, 0.1, 0.7])
        truth = float(target @ means)

        def once(rng: np.random.Generator) -> tuple[None, bool | None, None]:
            actions = rng.choice(4, size=n, p=logged)
            rewards = (rng.random(n) < means[actions]).astype(np.float64)
            log = ActionLog.of(actions, rewards, np.array(logged)[actions], arms=4)
            found = evaluate_policy(log, target, outcome_model=np.full(4, 0.25), alpha=ALPHA)
            value = getattr(found, reading)
            _, inside, _ = claimed(None, lambda: _Value(None if value is None else value.interval), truth=truth)
            return None, inside, None

        return repeated(name, words, once)

    even, rare = (0.25, 0.25, 0.25, 0.25), (0.49, 0.3, 0.2, 0.01)
    return Study(
        method="off_policy",
        title="Value of another policy from a log",
        promise="With the propensities that were used, its interval covers the other policy's value with probability 1 - alpha.",
        cases=(
            case("ips, even 200", "IPS, 200 rows of an even log", 200, even, "ips"),
            case("snips, even 200", "SNIPS, 200 rows of an even log", 200, even, "snips"),
            case("dr, even 200", "doubly robust with a crude model, 200 rows of an even log", 200, even, "dr"),
            case("snips, rare 10000", "SNIPS, 10,000 rows, the target's favourite logged in 1%", 10_000, rare, "snips"),
            case("ips, rare 1000", "IPS, 1,000 rows, the target's favourite logged in 1%", 1000, rare, "ips"),
            case("snips, rare 1000", "SNIPS, 1,000 rows, the target's favourite logged in 1%", 1000, rare, "snips"),
            case("dr, rare 1000", "doubly robust with a crude model, 1,000 rows, the favourite in 1%", 1000, rare, "dr"),
        ),
        note=(
            "The target plays the best of four arms 7 times in 10. "
            "Ten rows of an arm that carries 70% of the value do not make a normal interval."
        ),
    )
