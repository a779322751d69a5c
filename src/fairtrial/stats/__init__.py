"""Statistics: sufficient statistics, tests, intervals, corrections, power; numpy and scipy only.

The names most used stand here; each module says the rest.
"""

from fairtrial.stats.cuped import cuped_test
from fairtrial.stats.means import student_test, welch_test
from fairtrial.stats.moments import CoMoments, Moments
from fairtrial.stats.multiplicity import adjust
from fairtrial.stats.power_means import mde_two_means, power_two_means, sample_size_two_means
from fairtrial.stats.power_proportions import (
    calculate_sample_size,
    calculate_sample_size_by_arm,
    estimate_sample_size,
    mde_two_proportions,
    power_two_proportions,
    sample_size_two_proportions,
)
from fairtrial.stats.proportion_intervals import newcombe_interval, score_interval, wilson_interval
from fairtrial.stats.proportions import two_proportion_test
from fairtrial.stats.ratio import ratio_test
from fairtrial.stats.resampling.samples import bootstrap_interval
from fairtrial.stats.result import Estimate, Interval, Unavailable
from fairtrial.stats.srm import srm_test

__all__ = [
    "CoMoments",
    "Estimate",
    "Interval",
    "Moments",
    "Unavailable",
    "adjust",
    "bootstrap_interval",
    "calculate_sample_size",
    "calculate_sample_size_by_arm",
    "cuped_test",
    "estimate_sample_size",
    "mde_two_means",
    "mde_two_proportions",
    "newcombe_interval",
    "power_two_means",
    "power_two_proportions",
    "ratio_test",
    "sample_size_two_means",
    "sample_size_two_proportions",
    "score_interval",
    "srm_test",
    "student_test",
    "two_proportion_test",
    "welch_test",
    "wilson_interval",
]
