"""Reads a source and evaluates it."""

from fairtrial.analysis.frame import analyze, count, mean, proportion, ratio
from fairtrial.analysis.long_term import HorizonValue, long_term_value
from fairtrial.analysis.quality import Check, Quality
from fairtrial.analysis.quick import QuickAnalysis, quick_analysis, run_quick_analysis
from fairtrial.analysis.quickstart import lay_out_example
from fairtrial.analysis.run import analyze_spec
from fairtrial.analysis.segment_effects import HurtLevel, SegmentEffects, segment_effects
from fairtrial.analysis.statistics import ExperimentData, StatisticalResult, analyze_subgroups, create_experiment_data, quick_ttest

__all__ = [
    "Check",
    "ExperimentData",
    "HorizonValue",
    "HurtLevel",
    "Quality",
    "QuickAnalysis",
    "SegmentEffects",
    "StatisticalResult",
    "analyze",
    "analyze_spec",
    "analyze_subgroups",
    "count",
    "create_experiment_data",
    "lay_out_example",
    "long_term_value",
    "mean",
    "proportion",
    "quick_analysis",
    "quick_ttest",
    "ratio",
    "run_quick_analysis",
    "segment_effects",
]
