"""Calls of ours behind the reference functions of the bootstrap; every run is seeded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from fairtrial.errors import DataError
from fairtrial.stats.resampling.buckets import unit_sums
from fairtrial.stats.resampling.distribution import BootstrapDistribution
from fairtrial.stats.resampling.order import quantile_bootstrap_one_sample
from fairtrial.stats.resampling.samples import sample_bootstrap_one_sample
from fairtrial.stats.resampling.smooth import bootstrap_std_error_of_mean, smooth_bootstrap, smooth_bootstrap_one_sample

Inputs = dict[str, Any]
Outputs = dict[str, Any]

RESAMPLES = 50_000
"""Well above the least that the vectors ask for, so that ours has little Monte Carlo error of its own."""

OF_A_SAMPLE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sd": lambda x: x.std(axis=-1, ddof=1),
    "std": lambda x: x.std(axis=-1, ddof=1),
    "standard_deviation": lambda x: x.std(axis=-1, ddof=1),
    "variance": lambda x: x.var(axis=-1, ddof=1),
}
"""Statistics that are resampled unit by unit; the mean and quantiles have ways of their own."""


def _resamples(inputs: Inputs) -> int:
    return max(RESAMPLES, inputs.get("min_resamples", 0))


def _read(found: BootstrapDistribution, inputs: Inputs) -> Outputs:
    outputs: Outputs = {"estimate": found.estimate, "se": found.std_error, "bias": found.bias}
    for method in ("percentile", "basic", "studentised", "bca"):
        with contextlib.suppress(DataError):  # a method that this statistic or sample does not allow
            interval = found.interval(method=method, alpha=1.0 - inputs.get("confidence_level", 0.95))
            outputs |= {f"{method}_lower": interval.low, f"{method}_upper": interval.high}
    return outputs


def one_sample(inputs: Inputs) -> Outputs:
    sample, rng, resamples = inputs["sample"], np.random.default_rng(2022), _resamples(inputs)
    statistic = inputs["statistic"]
    if statistic == "mean":
        found = smooth_bootstrap_one_sample(unit_sums(sample), resamples=resamples, rng=rng)
    elif statistic in OF_A_SAMPLE:
        found = sample_bootstrap_one_sample(sample, OF_A_SAMPLE[statistic], resamples=resamples, rng=rng)
    else:
        probability = 0.5 if statistic == "median" else inputs.get("probability", inputs.get("quantile"))
        found = quantile_bootstrap_one_sample(sample, probability, resamples=resamples, rng=rng)
    return _read(found, inputs) | {statistic: found.estimate}


def difference_in_means(inputs: Inputs) -> Outputs:
    control, treatment = unit_sums(inputs["control"]), unit_sums(inputs["treatment"])
    found = smooth_bootstrap(control, treatment, resamples=_resamples(inputs), rng=np.random.default_rng(2022))
    return _read(found, inputs) | {"difference": found.estimate}


def std_error_of_mean(inputs: Inputs) -> Outputs:
    return {"se": bootstrap_std_error_of_mean(inputs["sample"]), "mean": float(np.mean(inputs["sample"]))}


CALLS: dict[str, Callable[[Inputs], Outputs]] = {
    "bootstrap_ci_difference_in_means": difference_in_means,
    "bootstrap_ci_one_sample": one_sample,
    "bootstrap_exact_se_of_mean": std_error_of_mean,
}
