"""Studies of methods that read two columns a unit, or units in clusters: CUPED, ratios, cluster-robust errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.simulation.calibration.of_means import row_moments
from fairtrial.simulation.calibration.samples import ALPHA, CHUNK, POWERED
from fairtrial.simulation.calibration.study import Case, Simulated, Study, joined
from fairtrial.stats.batch import Present
from fairtrial.stats.clusters import cluster_robust_difference
from fairtrial.stats.contrast import linear_contrast
from fairtrial.stats.result import Estimate

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int], float], tuple[Floats, Floats]]
"""Two columns of units, shape (runs, n) each, whose value is moved by an effect."""

CUPED: Present = (True, False, True, False)
RATIO: Present = (True, True, False, False)


def pair_studies() -> tuple[Study, ...]:
    """Studies of CUPED, of ratios of sums, and of few clusters."""
    return _cuped(), _ratio(), _clusters()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """Two arms of units with two columns; `effect` is seen with a power of about 80%."""

    name: str
    words: str
    draw: Draw
    n_control: int
    n_treatment: int
    effect: float

    def case(self, present: Present) -> Case:
        def simulate(runs: int, rng: np.random.Generator) -> Simulated:
            step = max(1, CHUNK // (2 * (self.n_control + self.n_treatment)))
            return joined([self._one(min(step, runs - start), present, rng) for start in range(0, runs, step)])

        return Case(name=self.name, words=self.words, simulate=simulate)

    def _one(self, runs: int, present: Present, rng: np.random.Generator) -> Simulated:
        control = row_moments(*self.draw(rng, (runs, self.n_control), 0.0), present=present)
        same = row_moments(*self.draw(rng, (runs, self.n_treatment), 0.0), present=present)
        moved = row_moments(*self.draw(rng, (runs, self.n_treatment), self.effect), present=present)
        null, found = linear_contrast(control, same), linear_contrast(control, moved)
        low, high = found.interval(alpha=ALPHA)
        return Simulated(
            rejected_null=null.p_value() < ALPHA,
            covered=~((low > self.effect) | (high < self.effect)),
            rejected_effect=found.p_value() < ALPHA,
        )


def _cuped() -> Study:
    def related(rho: float, *, skew: bool) -> Draw:
        def draw(rng: np.random.Generator, size: tuple[int, int], effect: float) -> tuple[Floats, Floats]:
            before, noise = rng.standard_normal(size), rng.standard_normal(size)
            if skew:
                before, noise = (np.exp(before) - np.exp(0.5)) / 2.1612, (np.exp(noise) - np.exp(0.5)) / 2.1612
            return rho * before + np.sqrt(1.0 - rho**2) * noise + effect, before

        return draw

    def pairs(name: str, words: str, rho: float, n_control: int, n_treatment: int, *, skew: bool = False) -> Case:
        effect = POWERED * float(np.sqrt((1.0 - rho**2) * (1.0 / n_control + 1.0 / n_treatment)))
        return _Pairs(
            name=name, words=words, draw=related(rho, skew=skew), n_control=n_control, n_treatment=n_treatment, effect=effect
        ).case(CUPED)

    return Study(
        method="cuped",
        title="CUPED",
        promise="It rejects a true null hypothesis with probability alpha, and its interval covers the effect.",
        cases=(
            pairs("rho 0.5, 10", "correlation 0.5, 10 units an arm", 0.5, 10, 10),
            pairs("rho 0.5, 30", "correlation 0.5, 30 units an arm", 0.5, 30, 30),
            pairs("rho 0.9, 100", "correlation 0.9, 100 units an arm", 0.9, 100, 100),
            pairs("rho 0, 100", "a covariate that explains nothing, 100 units an arm", 0.0, 100, 100),
            pairs("skewed 100", "log-normal covariate and noise, correlation 0.7, 100 units an arm", 0.7, 100, 100, skew=True),
            pairs("skewed 1000", "log-normal covariate and noise, correlation 0.7, 1,000 units an arm", 0.7, 1000, 1000, skew=True),
            pairs("95/5", "correlation 0.7, 950 against 50 units", 0.7, 950, 50),
            pairs("95/5 skewed", "log-normal covariate and noise, correlation 0.7, 950 against 50 units", 0.7, 950, 50, skew=True),
        ),
    )


def _ratio() -> Study:
    def clicks(rng: np.random.Generator, size: tuple[int, int], effect: float) -> tuple[Floats, Floats]:
        """Sessions of a user, and clicks in them: 20% on average, each user with a rate of its own."""
        sessions = 1 + rng.poisson(2.0, size)
        own = np.clip(rng.beta(2.0, 8.0, size) + effect, 0.0, 1.0)
        return rng.binomial(sessions, own).astype(np.float64), sessions.astype(np.float64)

    def heavy(rng: np.random.Generator, size: tuple[int, int], effect: float) -> tuple[Floats, Floats]:
        """Orders of a user by a long-tailed law, and their value, which does not depend on their number."""
        orders = np.ceil(np.exp(0.8 * rng.standard_normal(size)))
        return orders * (1.0 + effect + 0.5 * rng.standard_normal(size)), orders

    def case(name: str, words: str, draw: Draw, n_control: int, n_treatment: int, sd: float) -> Case:
        effect = POWERED * sd * float(np.sqrt(1.0 / n_control + 1.0 / n_treatment))
        return _Pairs(name=name, words=words, draw=draw, n_control=n_control, n_treatment=n_treatment, effect=effect).case(RATIO)

    return Study(
        method="ratio_delta",
        title="Ratio of sums by the delta method",
        promise="It rejects a true null hypothesis of equal ratios with probability alpha, and its interval covers the difference.",
        cases=(
            case("clicks 20", "clicks a session, 20 users an arm", clicks, 20, 20, 0.285),
            case("clicks 100", "clicks a session, 100 users an arm", clicks, 100, 100, 0.285),
            case("clicks 1000", "clicks a session, 1,000 users an arm", clicks, 1000, 1000, 0.285),
            case("clicks 95/5", "clicks a session, 1,900 against 100 users", clicks, 1900, 100, 0.285),
            case("orders 100", "value an order, long-tailed numbers of orders, 100 users an arm", heavy, 100, 100, 0.66),
            case("orders 1000", "value an order, long-tailed numbers of orders, 1,000 users an arm", heavy, 1000, 1000, 0.66),
        ),
        note="At effects near the largest, users' rates of clicks are cut at 1, which moves the truth by less than 1% of the effect.",
    )


def _rejects(estimate: Estimate) -> bool:
    return estimate.p_value is not None and estimate.p_value < ALPHA


def _clusters() -> Study:
    def case(name: str, words: str, groups: tuple[int, int], size: int, icc: float) -> Case:
        effect = POWERED * float(np.sqrt((icc + (1.0 - icc) / size) * (1.0 / groups[0] + 1.0 / groups[1])))
        treated = np.repeat([0.0, 1.0], [groups[0] * size, groups[1] * size])
        members = np.repeat(np.arange(sum(groups)), size)

        def simulate(runs: int, rng: np.random.Generator) -> Simulated:
            told_of: list[tuple[bool, bool, bool]] = []
            for _ in range(runs):
                shared = np.sqrt(icc) * rng.standard_normal(sum(groups))
                outcome = shared[members] + np.sqrt(1.0 - icc) * rng.standard_normal(members.size)
                null = cluster_robust_difference(outcome, treated, members, correction="CR2")
                moved = cluster_robust_difference(outcome + effect * treated, treated, members, correction="CR2")
                inside = moved.interval.low <= effect <= moved.interval.high
                told_of.append((_rejects(null), inside, _rejects(moved)))
            answers = np.array(told_of, dtype=np.bool_)
            return Simulated(rejected_null=answers[:, 0], covered=answers[:, 1], rejected_effect=answers[:, 2])

        return Case(name=name, words=words, simulate=simulate, cost="dear")

    return Study(
        method="cluster_robust",
        title="Cluster-robust difference (CR2)",
        promise="It rejects a true null hypothesis with probability alpha when whole clusters are randomised.",
        cases=(
            case("4+4 clusters", "4 clusters of 20 an arm, intraclass correlation 0.1", (4, 4), 20, 0.1),
            case("10+10 clusters", "10 clusters of 20 an arm", (10, 10), 20, 0.1),
            case("30+30 clusters", "30 clusters of 20 an arm", (30, 30), 20, 0.1),
            case("18+2 clusters", "18 clusters against 2", (18, 2), 20, 0.1),
            case("10+10, icc 0.5", "10 clusters of 20 an arm, intraclass correlation 0.5", (10, 10), 20, 0.5),
        ),
    )
