"""Studies of adjustment: post-stratification, several covariates from moments, and regressions on rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import NotEnoughDataError
from fairtrial.simulation.calibration.one_by_one import Told, claimed, repeated
from fairtrial.simulation.calibration.samples import POWERED
from fairtrial.simulation.calibration.study import Case, Study
from fairtrial.stats.batch import expand
from fairtrial.stats.contrast import linear_contrast
from fairtrial.stats.covariates import covariate_adjusted_test
from fairtrial.stats.moments import CoMoments
from fairtrial.stats.regression import StdErrors, ancova_test, lin_test
from fairtrial.stats.result import Estimate
from fairtrial.stats.single import single_estimate
from fairtrial.stats.strata import post_stratified_moments

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Law = Literal["normal", "skewed", "rare", "wider", "bent"]
ROOTS = {"normal": 1.0, "skewed": 1.0, "rare": 1.0, "wider": 2.0, "bent": 1.5}
"""Residual standard deviation of each law after adjustment, roughly: it sets the effect that is looked for."""
PROMISE = "It rejects a true null hypothesis of no mean effect with probability alpha, and its interval covers the effect."


def covariate_studies() -> tuple[Study, ...]:
    """Studies of post-stratification, several covariates, ANCOVA and Lin's regression."""
    return _stratified(), _several(), _ancova(), _lin()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Units:
    """Units with covariates, assigned by lot in fixed numbers.

    Attributes:
        name: Of the case.
        words: What it is.
        sizes: Units of control and treatment.
        covariates: How many, each explaining alike.
        law: `normal`; `skewed`: log-normal covariates and noise; `rare`: 2% bring a value; `wider`: the treatment's
            noise three times as large; `bent`: the outcome follows the square of the first covariate.
        explained: Share of the outcome's variance that the covariates explain, but where events are rare.
    """

    name: str
    words: str
    sizes: tuple[int, int]
    covariates: int = 2
    law: Law = "normal"
    explained: float = 0.5

    @property
    def effect(self) -> float:
        """Seen in most experiments."""
        spread = ROOTS[self.law] * np.sqrt(1.0 - self.explained) * np.sqrt(1.0 / self.sizes[0] + 1.0 / self.sizes[1])
        return POWERED * float(spread)

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Ints, Floats]:
        """Outcomes without an effect, who is treated, and covariates of shape (n, k)."""
        n = sum(self.sizes)
        x, noise = rng.standard_normal((n, self.covariates)), rng.standard_normal(n)
        treated = (rng.permutation(n) < self.sizes[1]).astype(np.int64)
        if self.law == "rare":
            chance = 0.04 / (1.0 + np.exp(-x.sum(axis=1)))
            return (rng.random(n) < chance) * np.exp(0.5 * noise) * 7.0, treated, x
        if self.law == "skewed":
            x, noise = (np.exp(x) - np.exp(0.5)) / 2.1612, (np.exp(noise) - np.exp(0.5)) / 2.1612
        if self.law == "wider":
            noise = noise * np.where(treated == 1, 3.0, 1.0)
        part = (x[:, 0] ** 2 - 1.0) / np.sqrt(2.0) if self.law == "bent" else x.sum(axis=1) / np.sqrt(self.covariates)
        return np.sqrt(self.explained) * part + np.sqrt(1.0 - self.explained) * noise, treated, x

    def case(self, analyse: Callable[[Floats, Ints, Floats], Told]) -> Case:
        """The case of a method that reads outcome, treatment and covariates."""

        def once(rng: np.random.Generator) -> tuple[bool | None, bool | None, bool | None]:
            y, treated, x = self.draw(rng)
            return claimed(lambda: analyse(y, treated, x), lambda: analyse(y + self.effect * treated, treated, x), truth=self.effect)

        return repeated(self.name, self.words, once)


def _grid(covariates: int = 2) -> tuple[_Units, ...]:
    many = f"{covariates} covariates that explain half"
    return (
        _Units(name="10", words=f"{many}, 10 units an arm", sizes=(10, 10), covariates=covariates),
        _Units(name="50", words=f"{many}, 50 units an arm", sizes=(50, 50), covariates=covariates),
        _Units(name="skewed 100", words="log-normal covariates and noise, 100 units an arm", sizes=(100, 100), law="skewed"),
        _Units(name="rare 500", words="2% bring a value, 500 units an arm", sizes=(500, 500), law="rare", explained=0.0),
        _Units(name="bent 100", words="the outcome follows the square of a covariate, 100 units an arm", sizes=(100, 100), law="bent"),
        _Units(name="wider 95/5", words="950 against 50 units, the treatment's noise tripled", sizes=(950, 50), law="wider"),
        _Units(name="wider 20/80", words="20 against 80 units, the treatment's noise tripled", sizes=(20, 80), law="wider"),
        _Units(name="95/5 skewed", words="log-normal covariates and noise, 950 against 50 units", sizes=(950, 50), law="skewed"),
    )


def _several() -> Study:
    def analyse(y: Floats, treated: Ints, x: Floats) -> Estimate:
        both = np.column_stack([y, x])
        return covariate_adjusted_test(CoMoments.from_values(both[treated == 0]), CoMoments.from_values(both[treated == 1]))

    eight = _Units(name="8 covariates, 20", words="8 covariates that explain half, 20 units an arm", sizes=(20, 20), covariates=8)
    return Study(
        method="several_covariates",
        title="Several covariates from moments (CUPED with a vector)",
        promise=PROMISE,
        cases=tuple(units.case(analyse) for units in (*_grid(), eight)),
    )


def _ancova() -> Study:
    def by(kind: StdErrors) -> Callable[[Floats, Ints, Floats], Told]:
        return lambda y, treated, x: ancova_test(y, treated, x, std_errors=kind)

    skewed = [units for units in _grid() if units.name in {"10", "skewed 100", "95/5 skewed", "wider 95/5", "wider 20/80"}]
    kinds: tuple[StdErrors, ...] = ("classical", "hc2", "hc3")
    cases = [
        _Units(name=f"{kind}, {units.name}", words=f"{kind} errors, {units.words}", sizes=units.sizes, law=units.law).case(by(kind))
        for kind in kinds
        for units in skewed
    ]
    return Study(
        method="ancova",
        title="Analysis of covariance, three kinds of errors",
        promise=f"{PROMISE[:-1]}; with classical errors, where both arms have one variance.",
        cases=tuple(cases),
        note="Degrees of freedom are those of the regression: with few units in ONE arm Student's t has far fewer.",
    )


def _lin() -> Study:
    def analyse(y: Floats, treated: Ints, x: Floats) -> Estimate:
        return lin_test(y, treated, x)

    return Study(
        method="lin",
        title="Lin's regression with HC2 errors",
        promise=PROMISE,
        cases=tuple(units.case(analyse) for units in _grid()),
        note="Degrees of freedom are those of the regression: with few units in ONE arm Student's t has far fewer.",
    )


def _stratified() -> Study:
    def post_stratified(y: Floats, treated: Ints, strata: Ints) -> Estimate:
        names = range(int(np.max(strata)) + 1)
        weights = [np.count_nonzero(strata == name) / strata.size for name in names]
        arms: list[CoMoments] = []
        for arm in (0, 1):
            parts = [y[(treated == arm) & (strata == name)] for name in names]
            if min(part.size for part in parts) < 1:
                raise NotEnoughDataError("A stratum is empty in one arm.", code="thin_stratum")
            arms.append(post_stratified_moments([CoMoments.from_values(part[:, None]) for part in parts], weights))
        return single_estimate(linear_contrast(*(expand([arm]) for arm in arms)), method="post_stratified")

    def case(name: str, words: str, sizes: tuple[int, int], shares: tuple[float, ...], law: Law = "normal") -> Case:
        n = sum(sizes)
        effect = POWERED * float(np.sqrt(1.0 / sizes[0] + (9.0 if law == "wider" else 1.0) / sizes[1]))

        def once(rng: np.random.Generator) -> tuple[bool | None, bool | None, bool | None]:
            strata = rng.choice(len(shares), size=n, p=shares)
            treated = (rng.permutation(n) < sizes[1]).astype(np.int64)
            noise = rng.standard_normal(n)
            if law == "skewed":
                noise = (np.exp(noise) - np.exp(0.5)) / 2.1612
            y = 1.5 * strata + noise * np.where((treated == 1) & (law == "wider"), 3.0, 1.0)
            return claimed(
                lambda: post_stratified(y, treated, strata),
                lambda: post_stratified(y + effect * treated, treated, strata),
                truth=effect,
            )

        return repeated(name, words, once)

    even = (0.25,) * 4
    return Study(
        method="post_stratification",
        title="Post-stratified difference of means",
        promise=PROMISE,
        cases=(
            case("4 strata, 400", "4 even strata, 400 units an arm", (400, 400), even),
            case("4 strata, 30", "4 even strata, 30 units an arm", (30, 30), even),
            case("4 strata, 16", "4 even strata, 16 units an arm", (16, 16), even),
            case("thin stratum", "strata of 60%, 37% and 3%, 100 units an arm", (100, 100), (0.6, 0.37, 0.03)),
            case("95/5", "4 even strata, 950 against 50 units", (950, 50), even),
            case("wider 95/5", "the same, the treatment's noise tripled", (950, 50), even, "wider"),
            case("skewed 100", "4 even strata, log-normal noise, 100 units an arm", (100, 100), even, "skewed"),
            case("95/5 skewed", "4 even strata, log-normal noise, 950 against 50 units", (950, 50), even, "skewed"),
        ),
        note="A stratum with one unit in an arm is refused: that claims nothing, and counts as an interval that covers.",
    )
