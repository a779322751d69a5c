"""Studies of sequences that need no normal law, and of giving up by beta spending."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairtrial.simulation.calibration.samples import ALPHA, POWERED
from fairtrial.simulation.calibration.study import Case, Simulated, Study, joined
from fairtrial.stats.sequential.bernoulli import bernoulli_confidence_sequence, rate_lift_sequence
from fairtrial.stats.sequential.boundaries import GroupSequentialDesign, SpendingFunction, actual_boundaries
from fairtrial.stats.sequential.futility import FutilityRule, futility_bound, planned_futility

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

ANY_LOOK = "However often one looks, it rejects a true null hypothesis with probability alpha at most, and covers at all looks at once."
CHUNK = 400_000
BETA = 0.2


def sequence_studies() -> tuple[Study, ...]:
    """Studies of exact sequences of a rate and of a lift, and of futility's two errors."""
    return _one_rate(), _exact_lift(), _futility_size(), _futility_power()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looks:
    """Evenly spaced looks at units that bring an outcome of 0 or 1.

    Attributes:
        rate: Under the null hypothesis; of the control.
        last: Units at the last look, of both arms together where there are two.
        every: Units between looks.
        share: Probability that a unit is treated.
        drift: How much both rates change from the first look to the last, as a share of themselves.
    """

    rate: float
    last: int
    every: int
    share: float = 0.5
    drift: float = 0.0

    @property
    def units(self) -> NDArray[np.int64]:
        """At every look."""
        return np.arange(self.every, self.last + 1, self.every, dtype=np.int64)

    def case(self, name: str, words: str, one: Callable[[int, np.random.Generator], Simulated]) -> Case:
        """The case, in batches."""
        step = max(1, CHUNK // self.units.size)

        def simulate(runs: int, rng: np.random.Generator) -> Simulated:
            return joined([one(min(step, runs - start), rng) for start in range(0, runs, step)])

        return Case(name=name, words=f"{words}, {self.units.size} looks", simulate=simulate, cost="dear")


def _ever(outside: Booleans) -> Booleans:
    return np.asarray(outside.any(axis=1))


def _one_rate() -> Study:
    def case(name: str, words: str, looks: _Looks) -> Case:
        moved = looks.rate + POWERED * float(np.sqrt(looks.rate * (1.0 - looks.rate) / looks.last))

        def outside(rng: np.random.Generator, runs: int, rate: float, of: float) -> tuple[Booleans, Booleans]:
            counts = np.cumsum(rng.binomial(looks.every, rate, (runs, looks.units.size)), axis=1)
            found = bernoulli_confidence_sequence(counts, looks.units, n_opt=looks.last, alpha=ALPHA)
            return _ever((found.low > of) | (found.high < of)), _ever((found.low > looks.rate) | (found.high < looks.rate))

        def one(runs: int, rng: np.random.Generator) -> Simulated:
            wrong, _ = outside(rng, runs, looks.rate, looks.rate)
            missed, seen = outside(rng, runs, moved, moved)
            return Simulated(rejected_null=wrong, covered=~missed, rejected_effect=seen)

        return looks.case(name, words, one)

    return Study(
        method="bernoulli_sequence",
        title="Exact sequence of one rate",
        promise=ANY_LOOK,
        cases=(
            case("50%, every unit", "rate 50%, looked at after every one of 200 units", _Looks(rate=0.5, last=200, every=1)),
            case("5%, 1000", "rate 5%, looked at every 10 of 1,000 units", _Looks(rate=0.05, last=1000, every=10)),
            case("1%, 5000", "rate 1%, looked at every 50 of 5,000 units", _Looks(rate=0.01, last=5000, every=50)),
            case("0.1%, 20k", "rate 0.1%, looked at every 200 of 20,000 units", _Looks(rate=0.001, last=20_000, every=200)),
        ),
        note="Exact means that alpha is a ceiling, at any rate and from the first unit on. Looks that were never taken are paid for.",
    )


def _exact_lift() -> Study:
    def case(name: str, words: str, looks: _Looks) -> Case:
        spread = looks.rate * looks.last * looks.share * (1.0 - looks.share)
        lift = POWERED / float(np.sqrt(spread))

        def outside(rng: np.random.Generator, runs: int, true: float, of: float) -> tuple[Booleans, Booleans]:
            level = looks.rate * np.linspace(1.0, 1.0 + looks.drift, looks.units.size)
            treated = rng.binomial(looks.every, looks.share, (runs, looks.units.size))
            control = np.cumsum(rng.binomial(looks.every - treated, level), axis=1)
            treatment = np.cumsum(rng.binomial(treated, np.minimum(level * (1.0 + true), 1.0)), axis=1)
            events = looks.rate * looks.last
            found = rate_lift_sequence(control, treatment, treatment_share=looks.share, events_opt=events, alpha=ALPHA)
            return _ever((found.low > of) | (found.high < of)), _ever((found.low > 0.0) | (found.high < 0.0))

        def one(runs: int, rng: np.random.Generator) -> Simulated:
            wrong, _ = outside(rng, runs, 0.0, 0.0)
            missed, seen = outside(rng, runs, lift, lift)
            return Simulated(rejected_null=wrong, covered=~missed, rejected_effect=seen)

        return looks.case(name, words, one)

    return Study(
        method="exact_lift_sequence",
        title="Exact sequence of a lift of rates",
        promise=ANY_LOOK,
        cases=(
            case("5%, 4000", "rate 5%, 4,000 units of both arms", _Looks(rate=0.05, last=4000, every=100)),
            case("0.5%, 20k", "rate 0.5%, 20,000 units of both arms", _Looks(rate=0.005, last=20_000, every=200)),
            case("30%, every unit", "rate 30%, looked at after every one of 300 units", _Looks(rate=0.3, last=300, every=1)),
            case("1%, 95/5", "rate 1%, 20,000 units, one in twenty treated", _Looks(rate=0.01, last=20_000, every=200, share=0.05)),
            case("5%, drifting", "rate 5% that doubles from first look to last", _Looks(rate=0.05, last=4000, every=100, drift=1.0)),
        ),
        note="Units are assigned by lot at a fixed share, and both rates may drift together: only their ratio must stand.",
    )


def _paths(rng: np.random.Generator, runs: int, fractions: tuple[float, ...], drift: float) -> Floats:
    """Z at every look of experiments whose Z at full information has this mean, shape (runs, looks)."""
    times = np.array(fractions)
    steps = np.sqrt(np.diff(times, prepend=0.0)) * rng.standard_normal((runs, times.size))
    return (np.cumsum(steps, axis=1) + drift * times) / np.sqrt(times)


def _succeeds(z: Floats, efficacy: Floats, futility: Floats) -> Booleans:
    """Whether success comes before a look falls below its futility bound."""
    above, below = z >= efficacy, z < futility
    below[:, -1] = ~above[:, -1]
    return np.asarray(_first(above) < _first(below), dtype=np.bool_)


def _first(there: Booleans) -> NDArray[np.int64]:
    """Place of each row's first look that is there; the number of looks where none is."""
    none = np.int64(there.shape[1])
    return np.asarray(np.where(there.any(axis=1), np.argmax(there, axis=1), none), dtype=np.int64)


def _even(looks: int) -> tuple[float, ...]:
    return tuple((k + 1) / looks for k in range(looks))


def _futility_size() -> Study:
    def case(name: str, words: str, looks: int, spending: SpendingFunction, *, binding: bool, obeyed: bool) -> Case:
        def simulate(runs: int, rng: np.random.Generator) -> Simulated:
            design = GroupSequentialDesign(alpha=ALPHA, sides=1, spending=spending, information_fractions=_even(looks))
            plan = planned_futility(design, FutilityRule(beta=BETA, spending=spending, binding=binding))
            bounds = plan.futility if obeyed else np.full(looks, -np.inf)
            null, seen = (_succeeds(_paths(rng, runs, _even(looks), at), plan.efficacy, bounds) for at in (0.0, plan.drift))
            return Simulated(rejected_null=null, rejected_effect=seen)

        return Case(name=name, words=words, simulate=simulate)

    obf, pocock = "lan-demets-obrien-fleming", "lan-demets-pocock"
    return Study(
        method="futility_size",
        title="Futility by beta spending: false wins",
        promise="One-sided, success is declared without an effect with probability alpha at most; binding bounds ask to be obeyed.",
        cases=(
            case("2 looks", "2 looks, O'Brien-Fleming spending, not binding, obeyed", 2, obf, binding=False, obeyed=True),
            case("5 looks", "5 looks, O'Brien-Fleming spending, not binding, obeyed", 5, obf, binding=False, obeyed=True),
            case("5 looks, ignored", "5 looks, O'Brien-Fleming spending, not binding, ignored", 5, obf, binding=False, obeyed=False),
            case("Pocock, ignored", "5 looks, Pocock spending, not binding, ignored", 5, pocock, binding=False, obeyed=False),
            case("binding", "5 looks, Pocock spending, binding, obeyed", 5, pocock, binding=True, obeyed=True),
            case("binding, ignored", "5 looks, Pocock spending, binding, IGNORED", 5, pocock, binding=True, obeyed=False),
        ),
        note="Bounds that do not bind may be ignored; obeyed, they make false wins rarer than alpha. Binding ones must be obeyed.",
    )


def _futility_power() -> Study:
    def case(
        name: str,
        words: str,
        fractions: tuple[float, ...],
        spending: SpendingFunction,
        taken: tuple[float, ...] | None = None,
        *,
        two: bool = False,
    ) -> Case:
        def simulate(runs: int, rng: np.random.Generator) -> Simulated:
            design = GroupSequentialDesign(alpha=ALPHA, sides=2 if two else 1, spending=spending, information_fractions=fractions)
            rule = FutilityRule(beta=BETA, spending=spending)
            plan = planned_futility(design, rule)
            looks, efficacy, futility = fractions, plan.efficacy, plan.futility
            if taken is not None:
                looks, efficacy = taken, np.asarray(actual_boundaries(design, taken, final=True).critical)
                futility = np.array([futility_bound(design, rule, taken[: k + 1]) for k in range(len(taken) - 1)] + [-np.inf])
            won = _succeeds(_paths(rng, runs, looks, plan.drift), efficacy, futility)
            return Simulated(covered=won, rejected_effect=won)

        return Case(name=name, words=words, simulate=simulate)

    obf, pocock = "lan-demets-obrien-fleming", "lan-demets-pocock"
    return Study(
        method="futility_power",
        title="Futility by beta spending: missed wins",
        promise="Obeyed, it misses the planned effect with probability beta = 20%.",
        alpha=BETA,
        cases=(
            case("2 looks", "2 looks, O'Brien-Fleming spending", _even(2), obf),
            case("5 looks", "5 looks, O'Brien-Fleming spending", _even(5), obf),
            case("5 looks, Pocock", "5 looks, Pocock spending", _even(5), pocock),
            case("two-sided", "5 looks, O'Brien-Fleming spending, two-sided", _even(5), obf, two=True),
            case("late first look", "looks at 60%, 80% and all of the information", (0.6, 0.8, 1.0), obf),
            case("other looks", "5 even looks planned, looks at 30%, 55%, 90% and all taken", _even(5), obf, (0.3, 0.55, 0.9, 1.0)),
        ),
        note="Alpha is beta here: what is called coverage is the share that finds the planned effect, with the information planned for it.",
    )
