"""What a scorecard's own methods call: `_repr_html_`, `explain()` and `to_frame()`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fairtrial.evaluation.scorecard import Scorecard
from fairtrial.reports.explain import explain
from fairtrial.reports.notebook import repr_html

__all__ = ["explain", "repr_html", "to_frame"]


def to_frame(scorecard: Scorecard) -> Any:
    """One row per metric and treatment, as a pandas DataFrame; pandas is loaded here and not before."""
    return import_module("fairtrial.reports.frames").to_frame(scorecard)
