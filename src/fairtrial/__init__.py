"""fairtrial: plan, run, check, decide and report any experiment, and trust the answer.

    >>> import fairtrial
    >>> fairtrial.welch_test(fairtrial.Moments(n=100, mean=50.0, m2=9900.0), fairtrial.Moments(n=110, mean=53.0, m2=15696.0)).effect
    3.0

Names are loaded when they are first used, so importing the package is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairtrial._hooks import Views, set_views
from fairtrial._version import __version__

if TYPE_CHECKING:
    from fairtrial.analysis import analyze, analyze_spec, count, mean, proportion, ratio
    from fairtrial.errors import FairtrialError
    from fairtrial.evaluation import Scorecard, evaluate
    from fairtrial.spec import ExperimentSpec, load_spec, load_specs, parse_spec
    from fairtrial.stats import Moments, two_proportion_test, welch_test

_HOMES = {
    "ExperimentSpec": "fairtrial.spec",
    "FairtrialError": "fairtrial.errors",
    "Moments": "fairtrial.stats",
    "Scorecard": "fairtrial.evaluation",
    "analyze": "fairtrial.analysis",
    "analyze_spec": "fairtrial.analysis",
    "count": "fairtrial.analysis",
    "evaluate": "fairtrial.evaluation",
    "load_spec": "fairtrial.spec",
    "load_specs": "fairtrial.spec",
    "mean": "fairtrial.analysis",
    "parse_spec": "fairtrial.spec",
    "proportion": "fairtrial.analysis",
    "ratio": "fairtrial.analysis",
    "two_proportion_test": "fairtrial.stats",
    "welch_test": "fairtrial.stats",
}

__all__ = [
    "ExperimentSpec",
    "FairtrialError",
    "Moments",
    "Scorecard",
    "__version__",
    "analyze",
    "analyze_spec",
    "count",
    "evaluate",
    "load_spec",
    "load_specs",
    "mean",
    "parse_spec",
    "proportion",
    "ratio",
    "two_proportion_test",
    "welch_test",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fairtrial' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def _load_views() -> Views:
    return import_module("fairtrial.reports.show")  # pyright: ignore[reportReturnType]


set_views(_load_views)
