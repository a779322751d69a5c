"""Studies of two designs that borrow chance: a jump at a cutoff, and an instrument.

The curved outcomes are models 1 and 2 of Calonico, Cattaneo & Titiunik (2014), Econometrica 82,
2295-2326, section 6: polynomials fitted to the elections of Lee and the poverty programme of Ludwig and
Miller, the running variable 2 Beta(2, 4) - 1, normal errors with standard deviation 0.1295.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray

from fairtrial.quasi import RddEstimate, late_2sls, sharp_rdd
from fairtrial.simulation.calibration.one_by_one import Claim, Told, claimed, repeated
from fairtrial.simulation.calibration.samples import ALPHA, POWERED
from fairtrial.simulation.calibration.study import Case, Study
from fairtrial.stats.result import Interval
from fairtrial.stats.tails import critical_value

Floats = NDArray[np.float64]
Curve = tuple[tuple[float, ...], tuple[float, ...]]
"""Coefficients of the outcome left and right of the cutoff, by rising power, without the jump."""

STRAIGHT: Curve = ((0.0, 0.5), (0.0, 0.5))
ELECTIONS: Curve = ((0.48, 1.27, 7.18, 20.21, 21.54, 7.33), (0.48, 0.84, -3.00, 7.99, -9.01, 3.56))
POVERTY: Curve = ((3.71, 2.30, 3.28, 1.45, 0.23, 0.03), (3.71, 18.49, -54.81, 74.30, -45.02, 9.83))
ERROR = 0.1295
JUMP = 0.15


def cutoff_studies() -> tuple[Study, ...]:
    """Studies of regression discontinuity, with and without bias correction, and of instruments."""
    return _rdd(), _rdd_cer(), _conventional(), _instrument(), _two_stage()


class _Conventional:
    """What the local polynomials say without correction."""

    def __init__(self, found: RddEstimate) -> None:
        self.interval: Interval = found.interval_conventional
        self.p_value: float | None = 0.0 if found.interval_conventional.excludes(0.0) else 1.0


def _jump_case(
    name: str,
    words: str,
    curve: Curve,
    n: int,
    read: Callable[[RddEstimate], Told],
    *,
    skew: bool = False,
    values: int | None = None,
    bandwidths: Literal["mse", "cer"] = "mse",
) -> Case:
    """A sharp design; `values` rounds the running variable to so many values a side."""

    def once(rng: np.random.Generator) -> Claim:
        x = 2.0 * rng.beta(2.0, 4.0, n) - 1.0
        if values is not None:
            x = (np.floor(x * values) + 0.5) / values
        noise = rng.standard_normal(n)
        y = np.where(x < 0.0, polyval(x, curve[0]), polyval(x, curve[1])) + ERROR * (
            (np.exp(noise) - np.exp(0.5)) / 2.1612 if skew else noise
        )
        return claimed(None, lambda: read(sharp_rdd(y + JUMP * (x >= 0.0), x, bandwidths=bandwidths)), truth=JUMP)

    return repeated(name, words, once)


def _rdd() -> Study:
    def case(name: str, words: str, curve: Curve, n: int, *, skew: bool = False, values: int | None = None) -> Case:
        return _jump_case(name, words, curve, n, lambda found: found.estimate, skew=skew, values=values)

    return Study(
        method="sharp_rdd",
        title="Jump at a cutoff, robust bias-corrected interval",
        promise="Where nothing else jumps at the cutoff, its interval covers the jump there with probability 1 - alpha.",
        cases=(
            case("straight 300", "a straight outcome, 300 rows", STRAIGHT, 300),
            case("straight 1000", "a straight outcome, 1,000 rows", STRAIGHT, 1000),
            case("elections 500", "the bend of the elections, 500 rows", ELECTIONS, 500),
            case("elections 2000", "the bend of the elections, 2,000 rows", ELECTIONS, 2000),
            case("poverty 500", "the sharp bend of the poverty programme, 500 rows", POVERTY, 500),
            case("poverty 2000", "the sharp bend of the poverty programme, 2,000 rows", POVERTY, 2000),
            case("skewed 500", "the bend of the elections, log-normal errors, 500 rows", ELECTIONS, 500, skew=True),
            case("20 values", "the bend of the elections, a running variable of 20 values a side, 2,000 rows", ELECTIONS, 2000, values=20),
        ),
        note=(
            "It moves with the jump, so that its size is one minus its coverage. Bandwidths are chosen anew in every experiment. "
            "The bends are models 1 and 2 of Calonico, Cattaneo and Titiunik (2014)."
        ),
    )


def _rdd_cer() -> Study:
    def case(name: str, words: str, curve: Curve, n: int, *, skew: bool = False) -> Case:
        return _jump_case(name, words, curve, n, lambda found: found.estimate, skew=skew, bandwidths="cer")

    return Study(
        method="sharp_rdd_cer",
        title="Jump at a cutoff, bandwidths for coverage",
        promise="Where nothing else jumps at the cutoff, its interval covers the jump there with probability 1 - alpha.",
        cases=(
            case("straight 300", "a straight outcome, 300 rows", STRAIGHT, 300),
            case("straight 1000", "a straight outcome, 1,000 rows", STRAIGHT, 1000),
            case("elections 500", "the bend of the elections, 500 rows", ELECTIONS, 500),
            case("elections 2000", "the bend of the elections, 2,000 rows", ELECTIONS, 2000),
            case("poverty 500", "the sharp bend of the poverty programme, 500 rows", POVERTY, 500),
            case("poverty 2000", "the sharp bend of the poverty programme, 2,000 rows", POVERTY, 2000),
            case("skewed 500", "the bend of the elections, log-normal errors, 500 rows", ELECTIONS, 500, skew=True),
        ),
        note=(
            "The same cases with `bandwidth: cer`: narrower windows, chosen for the error of coverage instead of that of the point "
            "(Calonico, Cattaneo and Farrell 2020)."
        ),
    )


def _conventional() -> Study:
    def case(name: str, words: str, curve: Curve, n: int) -> Case:
        return _jump_case(name, words, curve, n, _Conventional)

    return Study(
        method="rdd_conventional",
        title="Jump at a cutoff without bias correction",
        promise="Where the outcome is straight at the cutoff, its interval covers the jump with probability 1 - alpha.",
        cases=(
            case("straight 500", "a straight outcome, 500 rows", STRAIGHT, 500),
            case("elections 500", "the bend of the elections, 500 rows", ELECTIONS, 500),
            case("elections 2000", "the bend of the elections, 2,000 rows", ELECTIONS, 2000),
            case("poverty 500", "the sharp bend of the poverty programme, 500 rows", POVERTY, 500),
        ),
        note="It is here to show why the robust interval is the one reported: the bandwidth that is best for the point leaves bias.",
    )


class _TwoStage:
    """The two-stage estimate with its own normal interval, whatever the first stage."""

    def __init__(self, effect: float, std_error: float) -> None:
        reach = float(critical_value(ALPHA, np.inf)) * std_error
        self.interval = Interval(low=effect - reach, high=effect + reach)
        self.p_value: float | None = 0.0 if self.interval.excludes(0.0) else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lottery:
    """A fair lottery among units, or among whole clusters, that moves some of them into a treatment.

    Attributes:
        n: Units.
        share: Of units that the lottery moves; for a dose, by how many standard deviations it moves it.
        clusters: Drawn as wholes; None: units are.
        dose: The treatment is a dose that goes with the outcome by 0.95; else a third take it anyway, those with a high outcome first.
    """

    n: int
    share: float
    clusters: int | None = None
    dose: bool = False

    @property
    def effect(self) -> float:
        """Seen in most experiments where the first stage is strong."""
        inflation = 1.0 if self.clusters is None else 1.0 + 0.1 * (self.n / self.clusters - 1.0)
        return POWERED * 2.0 * float(np.sqrt(inflation / self.n)) / self.share

    @property
    def members(self) -> NDArray[np.int64] | None:
        """The cluster of each unit."""
        return None if self.clusters is None else np.repeat(np.arange(self.clusters), self.n // self.clusters)

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Outcome without the treatment, treatment, lot."""
        own, noise, members = rng.standard_normal(self.n), rng.standard_normal(self.n), self.members
        if members is None or self.clusters is None:
            lot = rng.permutation(np.arange(self.n) % 2)
        else:
            lot = rng.permutation(np.arange(self.clusters) % 2)[members]
            own = np.sqrt(0.1) * rng.standard_normal(self.clusters)[members] + np.sqrt(0.9) * own
        if self.dose:
            return own, self.share * lot + 0.95 * own + np.sqrt(1.0 - 0.95**2) * noise, lot
        rank = 0.8 * own + 0.6 * noise
        taken = (rank > np.quantile(rank, 0.67)) | ((lot == 1) & (rank > np.quantile(rank, 0.67 - self.share)))
        return own, taken.astype(np.float64), lot

    def case(self, name: str, words: str, *, plain: bool = False) -> Case:
        """The case of the estimate as it is reported, or with its two-stage error whatever the first stage."""
        effect, members = self.effect, self.members

        def once(rng: np.random.Generator) -> Claim:
            own, treatment, lot = self.draw(rng)

            def read(y: Floats) -> Told:
                found = late_2sls(y, treatment, lot, cluster=members)
                return _TwoStage(found.itt / found.compliance, found.std_error) if plain else found.estimate

            return claimed(lambda: read(own), lambda: read(own + effect * treatment), truth=effect)

        return repeated(name, words, once)


def _instrument() -> Study:
    return Study(
        method="late_2sls",
        title="Effect by an instrument; Anderson-Rubin's interval where the first stage is weak",
        promise="With a valid instrument of any strength, it rejects a true null hypothesis with probability alpha and covers the effect.",
        cases=(
            _Lottery(n=500, share=0.6).case("moves 60%, 500", "a lottery that moves 60% of 500 units"),
            _Lottery(n=50, share=0.6).case("moves 60%, 50", "a lottery that moves 60% of 50 units"),
            _Lottery(n=500, share=0.2).case("moves 20%, 500", "a lottery that moves 20% of 500 units (F about 20)"),
            _Lottery(n=500, share=0.1).case("moves 10%, 500", "a lottery that moves 10% of 500 units (F about 5)"),
            _Lottery(n=500, share=0.02).case("moves 2%, 500", "a lottery that moves 2% of 500 units"),
            _Lottery(n=500, share=0.13, dose=True).case("dose, weak", "a dose that goes with the outcome by 0.95, first stage F about 2"),
            _Lottery(n=500, share=0.6, clusters=10).case("10 clusters", "a lottery among 10 clusters of 50 that moves 60%"),
            _Lottery(n=800, share=0.6, clusters=40).case("40 clusters", "a lottery among 40 clusters of 20 that moves 60%"),
        ),
        note="Those who take the treatment anyway do better without it too, so that comparing takers with others is wrong by far.",
    )


def _two_stage() -> Study:
    return Study(
        method="two_stage_plain",
        title="Effect by an instrument, two-stage error whatever the first stage",
        promise="With a STRONG instrument, it rejects a true null hypothesis with probability alpha and covers the effect.",
        cases=(
            _Lottery(n=500, share=0.6).case("moves 60%, 500", "a lottery that moves 60% of 500 units", plain=True),
            _Lottery(n=500, share=0.1).case("moves 10%, 500", "a lottery that moves 10% of 500 units (F about 5)", plain=True),
            _Lottery(n=500, share=0.02).case("moves 2%, 500", "a lottery that moves 2% of 500 units", plain=True),
            _Lottery(n=500, share=0.27, dose=True).case("dose, F 9", "a dose that goes with the outcome by 0.95, F about 9", plain=True),
            _Lottery(n=500, share=0.13, dose=True).case("dose, weak", "the same, F about 2", plain=True),
        ),
        note=(
            "It is here to show why a weak first stage brings Anderson-Rubin's interval into the scorecard. With a moderate "
            "tie between treatment and outcome its test errs little; with a strong tie and a weak instrument it errs often."
        ),
    )
