"""Studies of resampling: the bootstrap's intervals and randomisation tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import DataError, UsageError
from fairtrial.simulation.calibration.samples import Estimator, Told, TwoArms, few_spend, normal, skewed, two_arm_case
from fairtrial.simulation.calibration.study import Study
from fairtrial.stats.resampling.distribution import IntervalMethod
from fairtrial.stats.resampling.permutation import studentised_permutation_test
from fairtrial.stats.resampling.samples import bootstrap_interval

Floats = NDArray[np.float64]

RESAMPLES = 1_000
NOTHING = -np.inf, np.inf

GRID = (
    TwoArms(name="normal 10", words="normal outcomes, 10 units an arm", shape=normal, n_control=10, n_treatment=10),
    TwoArms(name="skewed 30", words="log-normal outcomes, 30 units an arm", shape=skewed, n_control=30, n_treatment=30),
    TwoArms(name="skewed 300", words="log-normal outcomes, 300 units an arm", shape=skewed, n_control=300, n_treatment=300),
    TwoArms(name="rare 300", words="5% spend, 300 units an arm", shape=few_spend, n_control=300, n_treatment=300),
    TwoArms(name="95/5 skewed", words="log-normal outcomes, 950 against 50 units", shape=skewed, n_control=950, n_treatment=50),
)


def resampling_studies() -> tuple[Study, ...]:
    """Studies of the bootstrap and of the permutation test."""
    covers = "Its interval covers the difference with probability 1 - alpha."
    return (
        _study("bootstrap_studentised", "Studentised bootstrap of a mean", covers, _bootstrap("studentised", None)),
        _study("bootstrap_percentile", "Percentile bootstrap of a mean", covers, _bootstrap("percentile", None)),
        _study("bootstrap_bca", "BCa bootstrap of a mean", covers, _bootstrap("bca", None)),
        _study("bootstrap_median", "Percentile bootstrap of a median", covers, _bootstrap("percentile", 0.5), GRID[:3]),
        _study(
            "permutation",
            "Studentised permutation test",
            "It rejects with probability alpha when nobody is affected, at any size of sample.",
            _permutation,
        ),
    )


def _study(method: str, title: str, promise: str, estimator: Estimator, grid: tuple[TwoArms, ...] = GRID) -> Study:
    return Study(
        method=method,
        title=title,
        promise=promise,
        cases=tuple(two_arm_case(arms, estimator, truth=lambda arms: arms.shift, cost="dearest") for arms in grid),
        note=f"{RESAMPLES:,} resamples an analysis; an interval that is refused claims nothing, and counts as one that covers.",
    )


def _bootstrap(method: IntervalMethod, quantile: float | None) -> Estimator:
    def estimator(control: Floats, treatment: Floats, alpha: float) -> Told:
        rng = np.random.default_rng(control.shape[0])
        ends: list[tuple[float, float]] = []
        for c, t in zip(control, treatment, strict=True):
            try:
                found = bootstrap_interval(c, t, quantile=quantile, method=method, alpha=alpha, resamples=RESAMPLES, rng=rng)
            except (DataError, UsageError):
                ends.append(NOTHING)  # refused, so nothing is claimed
            else:
                ends.append((found.interval.low, found.interval.high))
        bounds = np.array(ends)
        return None, bounds[:, 0], bounds[:, 1]

    return estimator


def _permutation(control: Floats, treatment: Floats, alpha: float) -> Told:  # noqa: ARG001 an estimator's
    rng = np.random.default_rng(control.shape[0])
    pairs = zip(control, treatment, strict=True)
    return np.array([studentised_permutation_test(c, t, resamples=RESAMPLES, rng=rng) for c, t in pairs]), None, None
