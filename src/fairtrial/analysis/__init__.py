"""Reads a source and evaluates it."""

from fairtrial.analysis.conditional_effects import ConditionalEffects, ForestOptions, conditional_effects
from fairtrial.analysis.frame import analyze, count, mean, proportion, ratio
from fairtrial.analysis.interactions import Located, Scan, analyze_interaction, scan_interactions
from fairtrial.analysis.long_term import HorizonValue, long_term_value
from fairtrial.analysis.model_experiment import ExperimentAnalyzer
from fairtrial.analysis.model_options import ModelOptions
from fairtrial.analysis.quality import Check, Quality
from fairtrial.analysis.quick import QuickAnalysis, quick_analysis, run_quick_analysis
from fairtrial.analysis.quickstart import lay_out_example
from fairtrial.analysis.run import analyze_spec
from fairtrial.analysis.segment_effects import HurtLevel, SegmentEffects, segment_effects
from fairtrial.analysis.statistics import ExperimentData, StatisticalResult, analyze_subgroups, create_experiment_data, quick_ttest

__all__ = [
    "Check",
    "ConditionalEffects",
    "ExperimentAnalyzer",
    "ExperimentData",
    "ForestOptions",
    "HorizonValue",
    "HurtLevel",
    "Located",
    "ModelOptions",
    "Quality",
    "QuickAnalysis",
    "Scan",
    "SegmentEffects",
    "StatisticalResult",
    "analyze",
    "analyze_interaction",
    "analyze_spec",
    "analyze_subgroups",
    "conditional_effects",
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
    "scan_interactions",
    "segment_effects",
]
