"""Studies of designs other than two independent samples: pairs, strata of rates, factorial experiments."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from fairtrial.simulation.calibration.one_by_one import claimed, repeated
from fairtrial.simulation.calibration.samples import ALPHA, POWERED
from fairtrial.simulation.calibration.study import Case, Study
from fairtrial.stats.factorial import FactorialAnalysis, factorial_effects
from fairtrial.stats.means import paired_t_test
from fairtrial.stats.moments import Moments
from fairtrial.stats.paired import PairCounts, mcnemar_test, signed_rank_test
from fairtrial.stats.result import Estimate
from fairtrial.stats.stratified_rates import mantel_haenszel_test

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Three = tuple[bool | None, bool | None, bool | None]


def design_studies() -> tuple[Study, ...]:
    """Studies of paired t, signed ranks, McNemar, Mantel-Haenszel and 2^k factorial effects."""
    return _paired(), _signed_ranks(), _mcnemar(), _mantel_haenszel(), _factorial()


def _pair_case(name: str, words: str, n: int, law: str, test: str) -> Case:
    """Pairs with a level of their own; their differences follow a law with standard deviation 1."""
    effect = POWERED / float(np.sqrt(n))

    def analyse(before: Floats, after: Floats) -> Estimate:
        return signed_rank_test(before, after) if test == "ranks" else paired_t_test(before, after)

    def once(rng: np.random.Generator) -> Three:
        before, noise = 2.0 * rng.standard_normal(n), rng.standard_normal(n)
        if law == "heavy":
            noise = rng.standard_t(3.0, n) / np.sqrt(3.0)
        elif law == "skewed":
            noise = (np.exp(noise) - np.exp(0.5)) / 2.1612
        elif law == "ties":
            before, noise = np.round(before), rng.choice([-1.0, 0.0, 1.0], size=n, p=[0.3, 0.4, 0.3])
        return claimed(lambda: analyse(before, before + noise), lambda: analyse(before, before + noise + effect), truth=effect)

    return repeated(name, words, once, cost="dear")


def _paired() -> Study:
    return Study(
        method="paired_t",
        title="Paired t test",
        promise="It rejects a true null hypothesis of no mean difference with probability alpha, and its interval covers the difference.",
        cases=(
            _pair_case("normal 5", "normal differences, 5 pairs", 5, "normal", "t"),
            _pair_case("normal 50", "normal differences, 50 pairs", 50, "normal", "t"),
            _pair_case("heavy 20", "differences with heavy tails (Student's t with 3 degrees of freedom), 20 pairs", 20, "heavy", "t"),
            _pair_case("skewed 20", "log-normal differences, 20 pairs", 20, "skewed", "t"),
            _pair_case("skewed 300", "log-normal differences, 300 pairs", 300, "skewed", "t"),
            _pair_case("ties 30", "differences of -1, 0 and 1, 30 pairs", 30, "ties", "t"),
        ),
        note="Pairs do not help against skew: it is the differences that must be near normal on average.",
    )


def _signed_ranks() -> Study:
    return Study(
        method="signed_ranks",
        title="Wilcoxon's signed ranks",
        promise="Where differences are symmetric, it rejects a true null hypothesis with probability alpha at most and covers the shift.",
        cases=(
            _pair_case("normal 10", "normal differences, 10 pairs", 10, "normal", "ranks"),
            _pair_case("normal 50", "normal differences, 50 pairs", 50, "normal", "ranks"),
            _pair_case("normal 100", "normal differences, 100 pairs: the normal law of the ranks", 100, "normal", "ranks"),
            _pair_case("heavy 20", "differences with heavy tails, 20 pairs", 20, "heavy", "ranks"),
            _symmetric_ties("ties 30", "differences of -2 to 2, many of them 0, 30 pairs", 30),
            _pair_case("skewed 50", "log-normal differences with mean 0, 50 pairs: not symmetric", 50, "skewed", "ranks"),
        ),
        note="It is no test of means: skewed differences with mean 0 are not centred at 0 for it, and are rejected rightly.",
    )


def _symmetric_ties(name: str, words: str, n: int) -> Case:
    def once(rng: np.random.Generator) -> Three:
        before = np.round(2.0 * rng.standard_normal(n))
        noise = rng.choice([-2.0, -1.0, 0.0, 1.0, 2.0], size=n, p=[0.1, 0.2, 0.4, 0.2, 0.1])
        return claimed(lambda: signed_rank_test(before, before + noise), lambda: signed_rank_test(before, before + noise + 1.0), truth=1.0)

    return repeated(name, words, once)


def _mcnemar() -> Study:
    def case(name: str, words: str, n: int, both: float, differ: float) -> Case:
        """`both` answer 1 twice, `differ` only once; under the effect more of those under the treatment."""
        shift = min(POWERED * float(np.sqrt(differ / n)), 0.9 * differ)

        def counts(rng: np.random.Generator, effect: float) -> PairCounts:
            shares = [both, (differ - effect) / 2.0, (differ + effect) / 2.0, 1.0 - both - differ]
            drawn = [int(count) for count in rng.multinomial(n, shares)]
            return PairCounts(both=drawn[0], control_only=drawn[1], treatment_only=drawn[2], neither=drawn[3])

        def once(rng: np.random.Generator) -> Three:
            null, moved = counts(rng, 0.0), counts(rng, shift)
            return claimed(lambda: mcnemar_test(null), lambda: mcnemar_test(moved), truth=shift)

        return repeated(name, words, once)

    return Study(
        method="mcnemar",
        title="McNemar's test with Tango's interval",
        promise="It rejects a true null hypothesis of equal rates with probability alpha, and its interval covers the difference.",
        cases=(
            case("20, half differ", "20 pairs, half of them answer differently", 20, 0.25, 0.5),
            case("50, 20% differ", "50 pairs, a fifth of them answer differently: 10", 50, 0.4, 0.2),
            case("100, 5% differ", "100 pairs, 5 of them answer differently", 100, 0.4, 0.05),
            case("1000, 5% differ", "1,000 pairs, 50 of them answer differently", 1000, 0.1, 0.05),
            case("1000, 1% differ", "1,000 pairs, 10 of them answer differently", 1000, 0.02, 0.01),
        ),
        note="What counts is how many pairs answer differently, not how many there are. Without any the test is refused.",
    )


def _mantel_haenszel() -> Study:
    def case(name: str, words: str, rates: tuple[float, ...], sizes: tuple[tuple[int, int], ...]) -> Case:
        rate, n = np.array(rates), np.array(sizes)
        weight = n.prod(axis=1) / n.sum(axis=1)
        effect = POWERED * float(np.sqrt((weight**2 * rate * (1.0 - rate) * (1.0 / n).sum(axis=1)).sum()) / weight.sum())
        effect = min(effect, float(1.0 - rate.max()))

        def strata(control: Ints, treatment: Ints) -> list[tuple[int, int, int, int]]:
            columns = np.column_stack([control, n[:, 0], treatment, n[:, 1]])
            return [(int(a), int(b), int(c), int(d)) for a, b, c, d in columns]

        def once(rng: np.random.Generator) -> Three:
            control = rng.binomial(n[:, 0], rate)
            null, moved = (strata(control, rng.binomial(n[:, 1], rate + at)) for at in (0.0, effect))
            return claimed(lambda: mantel_haenszel_test(null), lambda: mantel_haenszel_test(moved), truth=effect)

        return repeated(name, words, once, cost="dearest")

    return Study(
        method="mantel_haenszel",
        title="Mantel-Haenszel test of rates in strata",
        promise="It rejects a true null of equal rates in all strata with probability alpha, and its interval covers the difference.",
        cases=(
            case("5 strata, 100", "5 strata with rates 5% to 50%, 100 units an arm in each", (0.05, 0.1, 0.2, 0.3, 0.5), ((100, 100),) * 5),
            case("5 strata, 10", "5 strata with rates 20% to 60%, 10 units an arm in each", (0.2, 0.3, 0.4, 0.5, 0.6), ((10, 10),) * 5),
            case("60 strata, 1", "60 strata with one unit an arm in each, rate 30%", (0.3,) * 60, ((1, 1),) * 60),
            case("rare", "4 strata with rate 1%, 100 units an arm in each", (0.01,) * 4, ((100, 100),) * 4),
            case("95/5", "4 strata with rates 2% to 20%, 475 against 25 units in each", (0.02, 0.05, 0.1, 0.2), ((475, 25),) * 4),
            case(
                "shares differ", "2 strata with rates 5% and 40%, of 500 against 20 and 20 against 500", (0.05, 0.4), ((500, 20), (20, 500))
            ),
        ),
        note="In the last case arms hold the strata in other shares, which a plain comparison of rates takes for an effect.",
    )


def _factorial() -> Study:
    def case(name: str, words: str, factors: int, n: tuple[int, ...], law: str = "normal", effects: int = 0) -> Case:
        names = [f"f{i}" for i in range(factors)]
        cells = list(itertools.product((0, 1), repeat=factors))
        sizes = n * (len(cells) // len(n))
        size = POWERED * float(np.sqrt(sum(1.0 / s for s in sizes)) / 2.0 ** (factors - 1))

        def analyse(rng: np.random.Generator, moved: float) -> FactorialAnalysis:
            moments: dict[tuple[int, ...], Moments] = {}
            for cell, units in zip(cells, sizes, strict=True):
                noise = rng.standard_normal(units)
                if law == "skewed":
                    noise = (np.exp(noise) - np.exp(0.5)) / 2.1612
                scale = 3.0 if law == "wider" and cell[0] else 1.0
                others = sum(cell[1 : 1 + effects]) * 5.0 * size
                moments[cell] = Moments.from_values(scale * noise + others + moved * cell[0])
            return factorial_effects(moments, names, correction="holm", alpha=ALPHA)

        def once(rng: np.random.Generator) -> Three:
            null, found = analyse(rng, 0.0), analyse(rng, size)
            real = set(names[1 : 1 + effects])
            wrong = any(contrast.p_adjusted < ALPHA for contrast in null.contrasts if contrast.name not in real)
            first = found[names[0]]
            # of one contrast the interval at its local level covers at least 1 - alpha
            return wrong, not first.interval.excludes(size), first.p_adjusted < ALPHA

        return repeated(name, words, once)

    return Study(
        method="factorial",
        title="Effects and interactions of a 2^k experiment, Holm's correction",
        promise="It keeps the probability of any false rejection among all effects and interactions at alpha.",
        cases=(
            case("2x2, 10", "2 factors, 10 units a cell", 2, (10,)),
            case("2x2, 100", "2 factors, 100 units a cell", 2, (100,)),
            case("2x2x2, 20", "3 factors, 20 units a cell, 7 contrasts", 3, (20,)),
            case("2x2x2, 2 real", "3 factors, 20 units a cell, two of them with large effects", 3, (20,), effects=2),
            case("uneven", "2 factors, cells of 200, 50, 50 and 10 units", 2, (200, 50, 50, 10)),
            case("wider, uneven", "the same, outcomes three times as wide under the first factor", 2, (200, 50, 50, 10), "wider"),
            case("skewed 50", "2 factors, log-normal outcomes, 50 units a cell", 2, (50,), "skewed"),
            case("skewed, uneven", "2 factors, log-normal outcomes, cells of 200, 50, 50 and 10", 2, (200, 50, 50, 10), "skewed"),
        ),
        note="Size is that of any false rejection; power is that of the first factor's effect. Coverage is that of its interval.",
    )
