"""Effects without randomisation: each estimate says what design it rests on."""

from fairtrial.quasi.aggregate import AggregateDid, aggregate_did
from fairtrial.quasi.counterfactual import CounterfactualSeries, counterfactual_series
from fairtrial.quasi.density import DensityTest, density_test
from fairtrial.quasi.did import CellMean, TwoByTwo, TwoWayDid, did_2x2, did_from_cells, did_two_way
from fairtrial.quasi.estimate import EvidenceGrade, QuasiEstimate
from fairtrial.quasi.event_study import EventStudy, event_study
from fairtrial.quasi.imputation import ImputedDid, impute_did
from fairtrial.quasi.instruments import LateEstimate, late_2sls
from fairtrial.quasi.interrupted import SegmentedRegression, segmented_regression
from fairtrial.quasi.rdd import RddEstimate, sharp_rdd
from fairtrial.quasi.rdd_bandwidth import Bandwidths
from fairtrial.quasi.rdd_checks import RddCheck, check_findings, covariate_jumps, donut, placebo_cutoffs
from fairtrial.quasi.staggered import CleanComparison, GroupTimes, att_gt
from fairtrial.quasi.synthetic_control import SyntheticControl, synthetic_control

__all__ = [
    "AggregateDid",
    "Bandwidths",
    "CellMean",
    "CleanComparison",
    "CounterfactualSeries",
    "DensityTest",
    "EventStudy",
    "EvidenceGrade",
    "GroupTimes",
    "ImputedDid",
    "LateEstimate",
    "QuasiEstimate",
    "RddCheck",
    "RddEstimate",
    "SegmentedRegression",
    "SyntheticControl",
    "TwoByTwo",
    "TwoWayDid",
    "aggregate_did",
    "att_gt",
    "check_findings",
    "counterfactual_series",
    "covariate_jumps",
    "density_test",
    "did_2x2",
    "did_from_cells",
    "did_two_way",
    "donut",
    "event_study",
    "impute_did",
    "late_2sls",
    "placebo_cutoffs",
    "segmented_regression",
    "sharp_rdd",
    "synthetic_control",
]
