"""Reads a source and evaluates it."""

from fairtrial.analysis.frame import analyze, count, mean, proportion, ratio
from fairtrial.analysis.quickstart import lay_out_example
from fairtrial.analysis.run import analyze_spec

__all__ = ["analyze", "analyze_spec", "count", "lay_out_example", "mean", "proportion", "ratio"]
