"""A study of the probability to be best: sets of arms that hold the best one with probability 1 - alpha.

Probabilities p_i that an arm is best are right when, over arms drawn from the prior, an arm with
p_i is best in a share p_i of experiments. All of them are measured at once by a set: arms enter by falling
probability until the set's sum reaches 1 - alpha, the last one by a coin whose chance brings it to exactly
that. The set then holds the best arm with probability 1 - alpha if, and only if, the probabilities add up as said.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fairtrial.simulation.calibration.one_by_one import repeated
from fairtrial.simulation.calibration.samples import ALPHA
from fairtrial.simulation.calibration.study import Case, Study
from fairtrial.stats.bayes.best_arm import best_event_rate, best_mean, best_rate

Floats = NDArray[np.float64]
LOOKS = 5
SURE = 0.95


def best_arm_studies() -> tuple[Study, ...]:
    """The study of the probability to be best."""
    return (
        Study(
            method="probability_best",
            title="Probability to be the best arm",
            promise="Over arms drawn from the prior, arms whose probabilities add up to 1 - alpha hold the best one that often.",
            cases=(
                _rates("4 rates, 50", "4 arms, rates from Beta(1, 1), 50 units each", (1.0, 1.0), (50,) * 4),
                _rates("10 rare rates", "10 arms, rates from Beta(2, 98), 300 units each", (2.0, 98.0), (300,) * 10),
                _rates("95/5", "3 arms, rates from Beta(2, 98), of 1,900, 50 and 50 units", (2.0, 98.0), (1900, 50, 50)),
                _events("4 event rates", "4 arms, event rates from Gamma(2, 4), 20 units each"),
                _means("6 means", "6 arms, means from N(0, 1) with standard errors from 0.2 to 1"),
                _rates(
                    "stopped early", "4 rare rates, stopped at the first of 5 looks with an arm at 95%", (2.0, 98.0), (500,) * 4, peek=True
                ),
                _rates(
                    "alike, flat prior",
                    "4 arms, rates from Beta(50, 950), read with a flat prior, 300 units",
                    (50.0, 950.0),
                    (300,) * 4,
                    (1.0, 1.0),
                ),
                _rates(
                    "apart, strong prior", "4 arms, rates from Beta(1, 9), read with Beta(50, 950)", (1.0, 9.0), (300,) * 4, (50.0, 950.0)
                ),
            ),
            note=(
                "Coverage is that of the set of arms, the coin included. Under the right prior it holds at whatever moment one stops. "
                "Where arms differ less than the prior thinks, the leader's probability is too high: nothing in the data of one "
                "experiment shows it."
            ),
        ),
    )


def chances_to_enter(prob_best: Floats) -> Floats:
    """Chance of each arm to be in the set that is worth exactly 1 - alpha: 1, then that of the coin, then 0.

    Args:
        prob_best: Probabilities of the arms, summing to 1, shape (k,).

    Returns:
        Shape (k,); weighted by `prob_best` they sum to 1 - alpha.
    """
    order = np.argsort(-prob_best, kind="stable")
    before = np.cumsum(prob_best[order]) - prob_best[order]
    chances = np.empty_like(prob_best)
    chances[order] = np.clip((1.0 - ALPHA - before) / np.maximum(prob_best[order], np.finfo(np.float64).tiny), 0.0, 1.0)
    return chances


def _holds(prob_best: Floats, best: int, rng: np.random.Generator) -> bool:
    return bool(rng.random() < chances_to_enter(prob_best)[best])


def _case(name: str, words: str, once: Callable[[np.random.Generator], bool]) -> Case:
    return repeated(name, words, lambda rng: (None, once(rng), None))


def _rates(
    name: str,
    words: str,
    law: tuple[float, float],
    sizes: tuple[int, ...],
    prior: tuple[float, float] | None = None,
    *,
    peek: bool = False,
) -> Case:
    """Rates drawn from a beta law, and read with a beta prior: the same, unless another is given."""
    a, b = prior or law
    n = np.array(sizes)

    def once(rng: np.random.Generator) -> bool:
        true = rng.beta(*law, n.size)
        looks = LOOKS if peek else 1
        won, units = np.zeros(n.size), np.zeros(n.size)
        prob = np.full(n.size, 1.0 / n.size)
        for _ in range(looks):
            won, units = won + rng.binomial(n // looks, true), units + n // looks
            prob = best_rate(a + won, b + units - won).prob_best
            if float(prob.max()) >= SURE:
                break
        return _holds(prob, int(true.argmax()), rng)

    return _case(name, words, once)


def _events(name: str, words: str) -> Case:
    def once(rng: np.random.Generator) -> bool:
        true = rng.gamma(2.0, 0.25, 4)
        return _holds(best_event_rate(2.0 + rng.poisson(20.0 * true), np.full(4, 24.0)).prob_best, int(true.argmax()), rng)

    return _case(name, words, once)


def _means(name: str, words: str) -> Case:
    errors = np.linspace(0.2, 1.0, 6)

    def once(rng: np.random.Generator) -> bool:
        true = rng.standard_normal(6)
        seen = true + errors * rng.standard_normal(6)
        kept = 1.0 / (1.0 + errors**2)
        return _holds(best_mean(kept * seen, errors * np.sqrt(kept)).prob_best, int(true.argmax()), rng)

    return _case(name, words, once)
