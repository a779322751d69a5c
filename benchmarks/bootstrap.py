"""Bootstrap of two arms of a million units: ours against drawing every unit again, in NumPy and in SciPy.

    python benchmarks/bootstrap.py [--rounds 3] [--units 1000000]

The naive ways take minutes, so they run with few resamples and their time is multiplied up to 2,000
(their cost is the same for each resample); the table says with how many. Reading and bucketing the
rows is a case of its own: in a warehouse it is part of the one scan.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from fairtrial.stats.resampling.buckets import bucket_sums
from fairtrial.stats.resampling.order import quantile_bootstrap
from fairtrial.stats.resampling.smooth import smooth_bootstrap
from harness import compare, machine, measure, table

RESAMPLES = 2_000
BUCKETS = 1_000
PROBABILITY = 0.95
SCALED = {"NumPy, unit by unit": 10, "scipy.stats.bootstrap": 10, "NumPy quantiles": 4, "scipy.stats.bootstrap, quantiles": 4}
"""Resamples that a naive case really draws."""

MEANS = (
    "Welch from the rows",
    "bucketing in memory",
    "fairtrial, from buckets",
    "fairtrial, ratio",
    "NumPy, unit by unit",
    "scipy.stats.bootstrap",
)
QUANTILES = ("np.partition, both arms", "fairtrial, quantiles", "NumPy quantiles", "scipy.stats.bootstrap, quantiles")


def arms(units: int) -> np.ndarray:
    return np.random.default_rng(1).lognormal(size=(2, units))


def means(case: str, units: int) -> dict[str, float | str]:
    rng, y = np.random.default_rng(2), arms(units)
    ids = rng.integers(0, BUCKETS, size=units)
    if case == "Welch from the rows":
        return measure(lambda: float(np.sqrt(sum(x.var() / x.size for x in y))))
    if case == "bucketing in memory":
        return measure(lambda: sum(bucket_sums(x, ids, buckets=BUCKETS).units for x in y))
    if case == "fairtrial, from buckets":
        sums = [bucket_sums(x, ids, buckets=BUCKETS) for x in y]
        return measure(lambda: smooth_bootstrap(*sums, resamples=RESAMPLES, rng=rng).interval(method="studentised"))
    if case == "fairtrial, ratio":
        pairs = [bucket_sums(np.column_stack([x, 1.0 + x % 1.0]), ids, buckets=BUCKETS) for x in y]
        return measure(lambda: smooth_bootstrap(*pairs, "ratio_difference", resamples=RESAMPLES, rng=rng).interval(method="studentised"))
    drawn = SCALED[case]
    if case == "NumPy, unit by unit":

        def naive() -> float:
            draws = [y[1][rng.integers(0, units, units)].mean() - y[0][rng.integers(0, units, units)].mean() for _ in range(drawn)]
            return float(np.std(draws))

        return measure(naive)
    return measure(lambda: _scipy(y, drawn, lambda x, axis: x.mean(axis=axis)))


def quantiles(case: str, units: int) -> dict[str, float | str]:
    rng, y = np.random.default_rng(2), arms(units)
    rank = int(PROBABILITY * (units - 1))
    if case == "np.partition, both arms":
        return measure(lambda: float(np.partition(y[1], rank)[rank] - np.partition(y[0], rank)[rank]))
    if case == "fairtrial, quantiles":
        return measure(lambda: quantile_bootstrap(*y, PROBABILITY, resamples=RESAMPLES, rng=rng).interval())
    drawn = SCALED[case]
    if case == "NumPy quantiles":

        def naive() -> float:
            draws = [np.subtract(*(np.quantile(x[rng.integers(0, units, units)], PROBABILITY) for x in y)) for _ in range(drawn)]
            return float(np.std(draws))

        return measure(naive)
    return measure(lambda: _scipy(y, drawn, lambda x, axis: np.quantile(x, PROBABILITY, axis=axis)))


def _scipy(y: np.ndarray, drawn: int, statistic) -> float:
    from scipy import stats

    found = stats.bootstrap(
        tuple(y), lambda c, t, axis: statistic(t, axis) - statistic(c, axis), n_resamples=drawn, method="percentile", batch=2, rng=3
    )
    return float(found.standard_error)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--case")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--units", type=int, default=1_000_000)
    given = parser.parse_args()
    if given.case:
        print(json.dumps((means if given.case in MEANS else quantiles)(given.case, given.units)))
        return
    print(f"Machine: {machine()}.\nCommand: python benchmarks/bootstrap.py --rounds {given.rounds} --units {given.units}.\n")
    print(f"Naive cases ran with {SCALED} resamples; their times are multiplied up to {RESAMPLES}.\n")
    for title, cases, ours in (
        (f"Difference of means, 2 x {given.units} units, {RESAMPLES} resamples", MEANS, "fairtrial, from buckets"),
        (f"Difference of 95% quantiles, 2 x {given.units} units, {RESAMPLES} resamples", QUANTILES, "fairtrial, quantiles"),
    ):
        found = compare(__file__, cases, ["--units", str(given.units)], rounds=given.rounds)
        for case in set(cases) & set(SCALED):
            for clock in ("wall", "cpu"):
                found[case][clock] = float(found[case][clock]) * RESAMPLES / SCALED[case]
        print(table(title, found, ours))


if __name__ == "__main__":
    main()
