"""Studies of methods on raw values: means, lifts, ranks and quantiles."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError
from fairtrial.simulation.calibration.samples import GRID, Estimator, Told, TwoArms, few_spend, skewed, two_arm_case
from fairtrial.simulation.calibration.study import Case, Study
from fairtrial.stats.batch import BatchMoments, Present
from fairtrial.stats.contrast import MeanContrast, linear_contrast
from fairtrial.stats.lift import lift_interval
from fairtrial.stats.quantiles import QuantileSummary, order_statistic_interval, quantile_test
from fairtrial.stats.ranks import mann_whitney_test

Floats = NDArray[np.float64]


def mean_studies() -> tuple[Study, ...]:
    """Studies of methods for two samples of numbers."""
    large = TwoArms(name="rare 3000", words="5% spend, 3,000 units an arm", shape=few_spend, n_control=3000, n_treatment=3000)
    means = "It rejects a true null hypothesis of equal means with probability alpha, and its interval covers the difference"
    return (
        _study("welch", "Welch's t test", f"{means}.", _welch, (*GRID, large)),
        _study("student", "Student's t test", f"{means}, where both arms have one variance.", _student, (*GRID, large)),
        _lift("delta", "Lift by the delta method"),
        _lift("log", "Lift on the log scale"),
        _lift("fieller", "Fieller's interval of the lift"),
        _ranks(),
        _quantiles(),
    )


def row_moments(values: Floats, *others: Floats, present: Present = (True, False, False, False)) -> BatchMoments:
    """Moments of every row of samples, shape (runs,).

    Args:
        values: Outcomes, shape (runs, n).
        others: The further columns that `present` names, in its order, of the same shape.
        present: Which of the four columns there are.

    Raises:
        UsageError: Columns and layout do not agree.
    """
    places = np.flatnonzero(present)
    if places.size != 1 + len(others):
        raise UsageError(f"The layout {present} has {places.size} columns, got {1 + len(others)}.")
    runs, n = values.shape
    stacked = np.stack([values, *others], axis=-1)
    means = stacked.mean(axis=1)
    deviations = stacked - means[:, None, :]
    mean = np.zeros((runs, 4))
    mean[:, 1], mean[:, 3] = 1.0, 1.0
    mean[:, places] = means
    cross = np.zeros((runs, 4, 4))
    cross[:, places[:, None], places] = np.einsum("rni,rnj->rij", deviations, deviations)
    return BatchMoments(n=np.zeros(runs) + n, mean=mean, cross=cross, present=present)


def _study(method: str, title: str, promise: str, estimator: Estimator, grid: tuple[TwoArms, ...], note: str = "") -> Study:
    cases = tuple(two_arm_case(arms, estimator, truth=lambda arms: arms.shift) for arms in grid)
    return Study(method=method, title=title, promise=promise, cases=cases, note=note)


def told(contrast: MeanContrast, alpha: float) -> Told:
    """What is undefined neither rejects nor claims anything."""
    low, high = contrast.interval(alpha=alpha)
    return np.nan_to_num(contrast.p_value(), nan=1.0), np.nan_to_num(low, nan=-np.inf), np.nan_to_num(high, nan=np.inf)


def _welch(control: Floats, treatment: Floats, alpha: float) -> Told:
    return told(linear_contrast(row_moments(control), row_moments(treatment)), alpha)


def _student(control: Floats, treatment: Floats, alpha: float) -> Told:
    return told(linear_contrast(row_moments(control), row_moments(treatment), variances="equal"), alpha)


def _lift(method: Literal["delta", "log", "fieller"], title: str) -> Study:
    def estimator(control: Floats, treatment: Floats, alpha: float) -> Told:
        bounds = lift_interval(linear_contrast(row_moments(control), row_moments(treatment)), alpha=alpha, method=method)
        return None, bounds.low, bounds.high

    return Study(
        method=f"lift_{method}",
        title=title,
        promise="Its interval covers the relative lift of two means with probability 1 - alpha.",
        cases=tuple(two_arm_case(arms, estimator, truth=lambda arms: arms.shift / arms.mean) for arms in GRID),
        note="Where the interval is not defined it claims nothing, and counts as one that covers.",
    )


def _ranks() -> Study:
    def estimator(control: Floats, treatment: Floats, alpha: float) -> Told:  # noqa: ARG001 an estimator's
        return np.array([mann_whitney_test(c, t).p_value for c, t in zip(control, treatment, strict=True)]), None, None

    # of two arms with other spreads the null hypothesis of one distribution is not true
    grid = [arms for arms in GRID if arms.wider == 1.0]
    return Study(
        method="mann_whitney",
        title="Mann-Whitney test",
        promise="It rejects with probability alpha when both arms have the same distribution.",
        cases=tuple(two_arm_case(arms, estimator, truth=lambda arms: arms.shift, cost="dear") for arms in grid),
        note="It is no test of means: arms with equal means and other distributions are rejected more often, and rightly so.",
    )


def _quantiles() -> Study:
    def case(probability: float, arms: TwoArms) -> Case:
        def summary(values: Floats) -> QuantileSummary:
            found = order_statistic_interval(values, probability).interval
            return QuantileSummary(n=values.size, value=float(np.quantile(values, probability)), interval=found)

        def estimator(control: Floats, treatment: Floats, alpha: float) -> Told:
            tests = [quantile_test(summary(c), summary(t), alpha=alpha) for c, t in zip(control, treatment, strict=True)]
            ends = np.array([(test.p_value, test.interval.low, test.interval.high) for test in tests])
            return ends[:, 0], ends[:, 1], ends[:, 2]

        return two_arm_case(arms, estimator, truth=lambda arms: arms.shift, cost="dear")

    def arms(name: str, words: str, n_control: int, n_treatment: int) -> TwoArms:
        return TwoArms(name=name, words=words, shape=skewed, n_control=n_control, n_treatment=n_treatment)

    return Study(
        method="quantile_difference",
        title="Difference of two quantiles",
        promise="It rejects a true null hypothesis of equal quantiles with probability alpha, and its interval covers the difference.",
        cases=(
            case(0.5, arms("median 50", "median of log-normal outcomes, 50 units an arm", 50, 50)),
            case(0.5, arms("median 1000", "median of log-normal outcomes, 1,000 units an arm", 1000, 1000)),
            case(0.9, arms("p90 100", "90th percentile, 100 units an arm", 100, 100)),
            case(0.9, arms("p90 1000", "90th percentile, 1,000 units an arm", 1000, 1000)),
            case(0.99, arms("p99 1000", "99th percentile, 1,000 units an arm", 1000, 1000)),
            case(0.9, arms("p90 95/5", "90th percentile, 1,900 against 100 units", 1900, 100)),
        ),
    )
