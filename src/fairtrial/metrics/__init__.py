"""Metrics: what each kind needs read and how it is compared."""

from fairtrial.metrics.family import ArmContrast, Family
from fairtrial.metrics.metric import Metric, build_metric, build_metrics, builds, known_kinds
from fairtrial.metrics.needs import Column, Needs
from fairtrial.metrics.unit_comparison import UnitComparison

__all__ = ["ArmContrast", "Column", "Family", "Metric", "Needs", "UnitComparison", "build_metric", "build_metrics", "builds", "known_kinds"]
