"""Studies of corrections for several comparisons: family-wise error, false discoveries, power."""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fairtrial.simulation.calibration.samples import ALPHA, POWERED
from fairtrial.simulation.calibration.study import Case, Simulated, Study
from fairtrial.stats.many_to_one import many_to_one
from fairtrial.stats.multiplicity import Method, adjust

Floats = NDArray[np.float64]

FALSE_DISCOVERY = {"benjamini-hochberg", "benjamini-yekutieli"}
INDEPENDENT_ONLY = {"sidak", "holm-sidak"}


def family_studies() -> tuple[Study, ...]:
    """A study for every correction, and one of Dunnett's."""
    return (*(_correction(method) for method in get_args(Method) if method != "none"), _dunnett())


def _scores(rng: np.random.Generator, runs: int, k: int, correlation: float) -> Floats:
    """Equally correlated standard normals, shape (runs, k); below 0 the correlation is -1 / (k - 1)."""
    own = rng.standard_normal((runs, k))
    if correlation < 0.0:
        return (own - own.mean(axis=1, keepdims=True)) / np.sqrt(1.0 - 1.0 / k)
    return np.sqrt(correlation) * rng.standard_normal((runs, 1)) + np.sqrt(1.0 - correlation) * own


def _correction(method: Method) -> Study:
    discoveries = method in FALSE_DISCOVERY

    def case(name: str, words: str, k: int, true_effects: int, correlation: float) -> Case:
        def simulate(runs: int, rng: np.random.Generator) -> Simulated:
            z = _scores(rng, runs, k, correlation)
            z[:, :true_effects] += POWERED
            p_values = np.asarray(2.0 * special.ndtr(-np.abs(z)), dtype=np.float64)
            rejected = adjust(p_values, method, alpha=ALPHA).p_adjusted < ALPHA
            wrong = rejected[:, true_effects:]
            if discoveries and true_effects:
                # the false discovery rate as a share: a rejected hypothesis is drawn from each family that rejects any
                among = rejected.sum(axis=1)
                error = rng.random(runs) * np.maximum(among, 1) < wrong.sum(axis=1)
            else:
                error = wrong.any(axis=1)
            return Simulated(rejected_null=np.asarray(error, dtype=np.bool_), rejected_effect=rejected[:, 0] if true_effects else None)

        return Case(name=name, words=words, simulate=simulate)

    what = "false discoveries among its rejections, on average," if discoveries else "the probability of any false rejection"
    needs = " where comparisons are independent" if method in INDEPENDENT_ONLY else ""
    return Study(
        method=method.replace("-", "_"),
        title=method.title(),
        promise=f"It keeps {what} at alpha{needs}.",
        cases=(
            case("5 nulls", "5 independent comparisons, none with an effect", 5, 0, 0.0),
            case("5 nulls, r 0.5", "5 comparisons with correlation 0.5, as with one control", 5, 0, 0.5),
            case("5 nulls, r < 0", "5 comparisons with correlation -0.25", 5, 0, -1.0),
            case("20 nulls", "20 independent comparisons, none with an effect", 20, 0, 0.0),
            case("20, 5 real", "20 comparisons, 5 with an effect that one test sees with power 80%", 20, 5, 0.0),
            case("20, 5 real, r 0.5", "20 comparisons with correlation 0.5, 5 with an effect", 20, 5, 0.5),
            case("20, 18 real", "20 comparisons, 18 with an effect", 20, 18, 0.0),
        ),
        note="Size is the error that is promised: any false rejection, or the share of false ones. Power is that of the first real effect.",
    )


def _dunnett() -> Study:
    def case(name: str, words: str, sizes: tuple[int, ...]) -> Case:
        units = np.array(sizes, dtype=np.float64)

        shift = POWERED * np.sqrt(1.0 / units[0] + 1.0 / units[1])
        df = units.sum() - units.size
        errors = np.sqrt(1.0 / units[0] + 1.0 / units[1:])
        # the critical value depends on sizes and degrees of freedom alone
        reach = many_to_one(np.zeros(errors.size), errors, 1.0 / np.sqrt(units[0]), df=df, alpha=ALPHA).critical_value

        def simulate(runs: int, rng: np.random.Generator) -> Simulated:
            means = rng.standard_normal((runs, units.size)) / np.sqrt(units)
            sd = np.sqrt(rng.chisquare(df, runs) / df)[:, None]
            statistic = (means[:, 1:] - means[:, :1]) / (sd * errors)
            inside = np.abs(statistic) <= reach
            moved = statistic[:, 0] + shift / (sd[:, 0] * errors[0])
            return Simulated(rejected_null=~inside.all(axis=1), covered=inside.all(axis=1), rejected_effect=np.abs(moved) > reach[0])

        return Case(name=name, words=words, simulate=simulate)

    return Study(
        method="dunnett",
        title="Dunnett's test",
        promise="It keeps any false rejection over all treatments at probability alpha, and its intervals cover all effects at once.",
        cases=(
            case("3 arms of 10", "3 treatments and a control, 10 units each", (10, 10, 10, 10)),
            case("5 arms of 100", "5 treatments and a control, 100 units each", (100,) * 6),
            case("large control", "3 treatments of 50, a control of 500", (500, 50, 50, 50)),
            case("small control", "3 treatments of 500, a control of 50", (50, 500, 500, 500)),
        ),
    )
