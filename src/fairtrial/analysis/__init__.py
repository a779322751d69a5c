"""Reads a source and evaluates it. Names are loaded when they are first used: a service that never reads a warehouse loads no engine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairtrial.analysis.effects_by_feature import ConditionalEffects, ForestOptions, conditional_effects
    from fairtrial.analysis.effects_by_segment import HurtLevel, SegmentEffects, segment_effects
    from fairtrial.analysis.frame import analyze, count, mean, proportion, ratio
    from fairtrial.analysis.interactions import Located, Scan, analyze_interaction, scan_interactions
    from fairtrial.analysis.long_term import HorizonValue, long_term_value
    from fairtrial.analysis.model_experiment import ExperimentAnalyzer
    from fairtrial.analysis.model_options import ModelOptions
    from fairtrial.analysis.quality import Check, Quality
    from fairtrial.analysis.quick import QuickAnalysis, quick_analysis, run_quick_analysis
    from fairtrial.analysis.quickstart import lay_out_example
    from fairtrial.analysis.run import analyze_spec
    from fairtrial.analysis.statistics import ExperimentData, StatisticalResult, analyze_subgroups, create_experiment_data, quick_ttest

_HOMES = {
    "Check": "quality",
    "ConditionalEffects": "effects_by_feature",
    "ExperimentAnalyzer": "model_experiment",
    "ExperimentData": "statistics",
    "ForestOptions": "effects_by_feature",
    "HorizonValue": "long_term",
    "HurtLevel": "effects_by_segment",
    "Located": "interactions",
    "ModelOptions": "model_options",
    "Quality": "quality",
    "QuickAnalysis": "quick",
    "Scan": "interactions",
    "SegmentEffects": "effects_by_segment",
    "StatisticalResult": "statistics",
    "analyze": "frame",
    "analyze_interaction": "interactions",
    "analyze_spec": "run",
    "analyze_subgroups": "statistics",
    "conditional_effects": "effects_by_feature",
    "count": "frame",
    "create_experiment_data": "statistics",
    "lay_out_example": "quickstart",
    "long_term_value": "long_term",
    "mean": "frame",
    "proportion": "frame",
    "quick_analysis": "quick",
    "quick_ttest": "statistics",
    "ratio": "frame",
    "run_quick_analysis": "quick",
    "scan_interactions": "interactions",
    "segment_effects": "effects_by_segment",
}

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


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fairtrial.analysis' has no attribute {name!r}")
    return getattr(import_module(f"fairtrial.analysis.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
