"""Reads a source and evaluates it."""

from fairtrial.analysis.frame import analyze, count, mean, proportion, ratio
from fairtrial.analysis.quickstart import lay_out_example
from fairtrial.analysis.run import analyze_spec
from fairtrial.analysis.segment_effects import HurtLevel, SegmentEffects, segment_effects

__all__ = [
    "HurtLevel",
    "SegmentEffects",
    "analyze",
    "analyze_spec",
    "count",
    "lay_out_example",
    "mean",
    "proportion",
    "ratio",
    "segment_effects",
]
