"""Studies of one treated unit or series: synthetic control's placebo ranks, interrupted series with and without controls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fairtrial.quasi import counterfactual_series, segmented_regression, synthetic_control
from fairtrial.quasi.counterfactual import SeriesModel
from fairtrial.simulation.calibration.one_by_one import claimed, repeated
from fairtrial.simulation.calibration.samples import POWERED
from fairtrial.simulation.calibration.study import Case, Study

Floats = NDArray[np.float64]


def series_studies() -> tuple[Study, ...]:
    """Studies of synthetic control, segmented regression, and counterfactual series by two models."""
    return _synthetic(), _segmented(), _counterfactual("local_level"), _counterfactual("least_squares")


def _lasting(rng: np.random.Generator, shape: tuple[int, ...], rho: float) -> Floats:
    """First-order autoregressions along the last axis, variance 1 throughout."""
    noise = rng.standard_normal(shape)
    values = np.empty(shape)
    values[..., 0] = noise[..., 0]
    for t in range(1, shape[-1]):
        values[..., t] = rho * values[..., t - 1] + np.sqrt(1.0 - rho**2) * noise[..., t]
    return values


def _synthetic() -> Study:
    def case(
        name: str,
        words: str,
        donors: int,
        before: int,
        *,
        outside: float = 0.0,
        rougher: float = 1.0,
        lasting: float = 0.5,
    ) -> Case:
        periods, after = before + 10, 10
        unit, time = np.repeat(np.arange(donors + 1), periods), np.tile(np.arange(periods), donors + 1)
        post = np.tile(np.arange(periods) >= before, (donors + 1, 1))
        effect = 1.5

        def once(rng: np.random.Generator) -> tuple[bool | None, bool | None, bool | None]:
            factors = np.cumsum(rng.standard_normal((2, periods)), axis=1) / np.sqrt(10.0)
            loadings = rng.random((donors + 1, 2))
            loadings[0] += outside
            noise = 0.5 * _lasting(rng, (donors + 1, periods), lasting)
            noise[0] *= rougher
            y = loadings @ factors + noise
            moved = y + effect * (post & (np.arange(donors + 1) == 0)[:, None])
            return claimed(
                lambda: synthetic_control(y.ravel(), unit, time, treated=0, start=before).estimate,
                lambda: synthetic_control(moved.ravel(), unit, time, treated=0, start=before).estimate,
                truth=effect,
            )

        words = f"{words}, {before} periods before and {after} after"
        return repeated(name, words, once, cost="dearest")

    return Study(
        method="synthetic_control",
        title="Synthetic control with placebo ranks",
        promise="If the treated unit is one among its donors but for the treatment, it rejects a true null with probability alpha at most.",
        cases=(
            case("20 donors", "20 donors", 20, 20),
            case("40 donors", "40 donors", 40, 20),
            case("10 donors", "10 donors: no rank can be significant", 10, 20),
            case("8 before", "20 donors", 20, 8),
            case("lasting shocks", "20 donors, shocks with autocorrelation 0.9", 20, 20, lasting=0.9),
            case("rougher", "20 donors, the treated unit's own shocks doubled", 20, 20, rougher=2.0),
            case("outside", "20 donors, the treated unit outside the mixture of donors", 20, 20, outside=1.0),
        ),
        note=(
            "Two common factors that wander, loadings drawn alike for all units. With J donors p-values are multiples of 1 / (J + 1), "
            "and only those below alpha reject: 1/21 at 20 donors, 1/41 and 2/41 at 40. Coverage is that of the interval."
        ),
    )


def _segmented() -> Study:
    def case(name: str, words: str, n: int, start: int, rho: float, lags: int | None = None) -> Case:
        after = n - start
        lasts = (1.0 + rho) / (1.0 - rho)
        effect = POWERED * float(np.sqrt(4.0 * lasts * (1.0 / start + 1.0 / after)))

        def once(rng: np.random.Generator) -> tuple[bool | None, bool | None, bool | None]:
            y = 10.0 + 0.05 * np.arange(n) + _lasting(rng, (n,), rho)
            moved = y + effect * (np.arange(n) >= start)
            return claimed(
                lambda: segmented_regression(y, start=start, lags=lags).estimate,
                lambda: segmented_regression(moved, start=start, lags=lags).estimate,
                truth=effect,
            )

        return repeated(name, words, once)

    return Study(
        method="segmented_regression",
        title="Interrupted series: level and slope before and after",
        promise="Where the trend would have gone on, it rejects a true null with probability alpha, whatever the autocorrelation.",
        cases=(
            case("60, independent", "60 periods, 40 of them before, independent", 60, 40, 0.0),
            case("24, independent", "24 periods, 12 of them before, independent", 24, 12, 0.0),
            case("200, rho 0.3", "200 periods, 100 before, autocorrelation 0.3", 200, 100, 0.3),
            case("60, rho 0.3", "60 periods, 40 before, autocorrelation 0.3", 60, 40, 0.3),
            case("60, rho 0.6", "60 periods, 40 before, autocorrelation 0.6", 60, 40, 0.6),
            case("200, rho 0.6", "200 periods, 100 before, autocorrelation 0.6", 200, 100, 0.6),
            case("200, rho 0.6, 20 lags", "the same with 20 lags", 200, 100, 0.6, 20),
            case("60, rho 0.9", "60 periods, 40 before, autocorrelation 0.9", 60, 40, 0.9),
            case("24, rho 0.6", "24 periods, 12 of them before, autocorrelation 0.6", 24, 12, 0.6),
            case("24, rho 0.9", "24 periods, 12 of them before, autocorrelation 0.9", 24, 12, 0.9),
            case("120, rho 0.6", "120 periods, 60 before, autocorrelation 0.6", 120, 60, 0.6),
            case("60, 3 lags", "60 periods, 40 before, independent, Newey-West with 3 lags", 60, 40, 0.0, 3),
        ),
        note=(
            "Errors are autoregressive, of unknown strength, but where a case names lags: those are Newey-West's, and too small where "
            "shocks last or periods are few. In 24 periods an autocorrelation of 0.9 is not seen; the report says so (`short_series`)."
        ),
    )


def _counterfactual(model: SeriesModel) -> Study:
    def case(
        name: str, words: str, n: int, start: int, *, wander: float = 0.0, rho: float = 0.0, controls: int = 2, lags: int | None = None
    ) -> Case:
        effect = POWERED * float(np.sqrt((1.0 + rho) / (1.0 - rho) * (1.0 / start + 1.0 / (n - start)) + wander**2 * (n - start) / 3.0))

        def once(rng: np.random.Generator) -> tuple[bool | None, bool | None, bool | None]:
            x = np.cumsum(rng.standard_normal((n, controls)), axis=0) / 3.0
            level = np.cumsum(wander * rng.standard_normal(n))
            y = 5.0 + x.sum(axis=1) + level + _lasting(rng, (n,), rho)
            moved = y + effect * (np.arange(n) >= start)
            return claimed(None, lambda: counterfactual_series(moved, x, start=start, model=model, lags=lags).estimate, truth=effect)

        return repeated(name, words, once, cost="dearest" if model == "local_level" else "dearer")

    wanders = model == "local_level"
    lagged = case("20+10, 4 lags", "a relation that stands, 20 periods before and 10 after, Newey-West with 4 lags", 30, 20, lags=4)
    return Study(
        method=f"counterfactual_{model}",
        title=f"Series against control series, {'a level that wanders' if wanders else 'a fixed relation'}",
        promise=(
            "Where control series are untouched and the relation "
            f"{'wanders as a random walk or stands' if wanders else 'stands'}, it rejects a true null hypothesis with probability alpha."
        ),
        cases=(
            case("stands, 70+30", "a relation that stands, 70 periods before and 30 after", 100, 70),
            case("stands, 20+10", "a relation that stands, 20 periods before and 10 after", 30, 20),
            case("wanders, 70+30", "a level that wanders by 0.2 a period, 70 periods before and 30 after", 100, 70, wander=0.2),
            case("wanders, 20+10", "the same, 20 periods before and 10 after", 30, 20, wander=0.2),
            case("rho 0.6, 70+30", "a relation that stands, shocks with autocorrelation 0.6", 100, 70, rho=0.6),
            case("6 controls, 20+10", "a relation that stands, 6 control series, 20 periods before", 30, 20, controls=6),
            *(() if wanders else (lagged,)),
        ),
        note=(
            "Two control series that wander themselves, and shocks of variance 1. The estimate moves with the effect, so that its size is "
            "one minus its coverage."
        ),
    )
