"""Studies of methods for two rates: proportions by five methods, Fisher's exact test, events over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.simulation.calibration.samples import ALPHA, POWERED
from fairtrial.simulation.calibration.study import Case, Simulated, Study
from fairtrial.stats.inversion import CiMethod
from fairtrial.stats.lift import lift_interval
from fairtrial.stats.proportions import ProportionContrast, fisher_exact_p
from fairtrial.stats.rates import Events, poisson_rate_difference, poisson_rate_ratio_test

Floats = NDArray[np.float64]
Reader = Callable[[ProportionContrast], tuple[Floats | None, Floats | None, Floats | None]]
"""p-values (NaN where there is none), lower and upper ends; None where the method has none."""

SCORE = "It rejects a true null hypothesis of equal rates with probability alpha, and its interval covers the difference."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rates:
    """Two arms with a common rate; under the effect the treatment's is larger, as far as it goes."""

    name: str
    words: str
    rate: float
    n_control: int
    n_treatment: int

    @property
    def moved(self) -> float:
        """The treatment's rate under the effect."""
        spread = self.rate * (1.0 - self.rate) * (1.0 / self.n_control + 1.0 / self.n_treatment)
        return min(self.rate + POWERED * float(np.sqrt(spread)), (1.0 + self.rate) / 2.0)


GRID = (
    _Rates(name="50%, 20", words="rate 50%, 20 units an arm", rate=0.5, n_control=20, n_treatment=20),
    _Rates(name="10%, 50", words="rate 10%, 50 units an arm", rate=0.1, n_control=50, n_treatment=50),
    _Rates(name="5%, 1000", words="rate 5%, 1,000 units an arm", rate=0.05, n_control=1000, n_treatment=1000),
    _Rates(name="1%, 300", words="rate 1%, 300 units an arm: 3 events expected", rate=0.01, n_control=300, n_treatment=300),
    _Rates(name="0.1%, 20k", words="rate 0.1%, 20,000 units an arm", rate=0.001, n_control=20_000, n_treatment=20_000),
    _Rates(name="5%, 95/5", words="rate 5%, 9,500 against 500 units", rate=0.05, n_control=9500, n_treatment=500),
    _Rates(name="1%, 95/5", words="rate 1%, 9,500 against 500 units: 5 events expected", rate=0.01, n_control=9500, n_treatment=500),
    _Rates(name="98%, 95/5", words="rate 98%, 1,900 against 100 units", rate=0.98, n_control=1900, n_treatment=100),
)


def rate_studies() -> tuple[Study, ...]:
    """Studies of methods for two rates."""
    wald = "The textbook interval; it is here to show why it is not the default."
    return (
        _proportions("score", "Pooled z test and the score interval", "score"),
        _proportions("miettinen_nurminen", "Miettinen-Nurminen interval", "miettinen-nurminen"),
        _proportions("newcombe", "Newcombe's interval", "newcombe"),
        _proportions("agresti_caffo", "Agresti-Caffo interval", "agresti-caffo"),
        _proportions("wald", "Wald's interval", "wald", note=wald),
        _fisher(),
        _plan_test(),
        _lift(),
        _poisson(),
    )


def _proportions(method: str, title: str, ci_method: CiMethod, *, note: str = "") -> Study:
    def read(contrast: ProportionContrast) -> tuple[Floats, Floats, Floats]:
        low, high = contrast.interval(alpha=ALPHA)
        return contrast.p_value(), low, high

    return _study(method, title, SCORE, read, ci_method=ci_method, note=note)


def _fisher() -> Study:
    def read(contrast: ProportionContrast) -> tuple[Floats, None, None]:
        return fisher_exact_p(contrast), None, None

    promise = "It never rejects a true null hypothesis of equal rates with more than probability alpha."
    return _study("fisher_exact", "Fisher's exact test", promise, read)


def _plan_test() -> Study:
    def read(contrast: ProportionContrast) -> tuple[Floats, None, None]:
        return np.where(contrast.small_counts, fisher_exact_p(contrast, where=contrast.small_counts), contrast.p_value()), None, None

    return _study(
        "two_proportions",
        "The test of a plan: pooled z, Fisher's where counts are small",
        "It rejects a true null hypothesis of equal rates with probability alpha.",
        read,
        note="This is what `evaluate` runs: Fisher's test where an expected count is below 5, the pooled z test elsewhere.",
    )


def _lift() -> Study:
    def read(contrast: ProportionContrast) -> tuple[None, Floats, Floats]:
        bounds = lift_interval(contrast, alpha=ALPHA, method="log")
        return None, bounds.low, bounds.high

    cases = tuple(_case(rates, read, ci_method="score", truth=lambda rates: rates.moved / rates.rate - 1.0) for rates in GRID)
    return Study(
        method="lift_log_rates",
        title="Katz's interval of a relative lift of rates",
        promise="Its interval covers the relative lift with probability 1 - alpha.",
        cases=cases,
        note="Where a rate is 0 the interval is not defined; it claims nothing, and counts as one that covers.",
    )


def _study(method: str, title: str, promise: str, read: Reader, *, ci_method: CiMethod = "score", note: str = "") -> Study:
    cases = tuple(_case(rates, read, ci_method=ci_method, truth=lambda rates: rates.moved - rates.rate) for rates in GRID)
    return Study(method=method, title=title, promise=promise, cases=cases, note=note)


def _case(rates: _Rates, read: Reader, *, ci_method: CiMethod, truth: Callable[[_Rates], float]) -> Case:
    def simulate(runs: int, rng: np.random.Generator) -> Simulated:
        n_c, n_t = np.full(runs, float(rates.n_control)), np.full(runs, float(rates.n_treatment))
        control = rng.binomial(rates.n_control, rates.rate, runs).astype(np.float64)
        p_null, _, _ = read(_contrast(control, n_c, rng.binomial(rates.n_treatment, rates.rate, runs), n_t, ci_method))
        p_value, low, high = read(_contrast(control, n_c, rng.binomial(rates.n_treatment, rates.moved, runs), n_t, ci_method))
        wanted = truth(rates)
        covered = None if low is None or high is None else ~((low > wanted) | (high < wanted))
        return Simulated(
            rejected_null=None if p_null is None else np.nan_to_num(p_null, nan=1.0) < ALPHA,
            covered=covered,
            rejected_effect=None if p_value is None else np.nan_to_num(p_value, nan=1.0) < ALPHA,
        )

    return Case(name=rates.name, words=rates.words, simulate=simulate)


def _contrast(
    control: Floats, n_control: Floats, treatment: NDArray[np.int64], n_treatment: Floats, ci_method: CiMethod
) -> ProportionContrast:
    return ProportionContrast(
        successes_control=control,
        n_control=n_control,
        successes_treatment=treatment.astype(np.float64),
        n_treatment=n_treatment,
        ci_method=ci_method,
    )


def _poisson() -> Study:
    def case(name: str, words: str, expected: float, exposure: tuple[float, float], *, exact: bool, spread: float = 0.0) -> Case:
        rate = expected / exposure[0]
        shift = POWERED * float(np.sqrt(rate / exposure[0] + rate / exposure[1]))

        def events(rng: np.random.Generator, at: float, time: float) -> int:
            own = at * (rng.gamma(1.0 / spread, spread) if spread else 1.0)
            return int(rng.poisson(own * time))

        def simulate(runs: int, rng: np.random.Generator) -> Simulated:
            test = poisson_rate_ratio_test if exact else poisson_rate_difference
            null = np.zeros(runs, dtype=np.bool_)
            seen = np.zeros(runs, dtype=np.bool_)
            for run in range(runs):
                control = Events(count=events(rng, rate, exposure[0]), exposure=exposure[0])
                for answers, at in ((null, rate), (seen, rate + shift)):
                    treatment = Events(count=events(rng, at, exposure[1]), exposure=exposure[1])
                    answers[run] = control.count + treatment.count > 0 and test(control, treatment).p_value < ALPHA
            return Simulated(rejected_null=null, rejected_effect=seen)

        return Case(name=name, words=words, simulate=simulate, cost="dear")

    return Study(
        method="poisson_rates",
        title="Two Poisson rates",
        promise="It rejects a true null hypothesis of equal event rates with probability alpha.",
        cases=(
            case("difference, 5", "normal test of the difference, 5 events expected an arm", 5.0, (100.0, 100.0), exact=False),
            case("difference, 100", "normal test of the difference, 100 events expected an arm", 100.0, (100.0, 100.0), exact=False),
            case("difference, 95/5", "normal test of the difference, 95 events against 5", 95.0, (95.0, 5.0), exact=False),
            case("exact, 5", "exact conditional test, 5 events expected an arm", 5.0, (100.0, 100.0), exact=True),
            case("exact, 100", "exact conditional test, 100 events expected an arm", 100.0, (100.0, 100.0), exact=True),
            case(
                "overdispersed",
                "normal test, 100 events expected, arms' rates vary by 20%",
                100.0,
                (100.0, 100.0),
                exact=False,
                spread=0.04,
            ),
        ),
        note="Events that come in bursts, or from users who differ, are not Poisson's: compare means of users instead.",
    )
