"""What the tests of the spec floor share."""

from __future__ import annotations

import copy

import pytest

from fairtrial.spec import get_experiment_config

SHORT = {
    "key": "checkout",
    "arms": {"control": 0.5, "treatment": 0.5},
    "metrics": [{"key": "converted", "kind": "proportion"}],
    "plan": {"mde": 0.05, "baseline": 0.1},
}

MODEL = {
    "name": "ranker_test",
    "champion_model": "v1",
    "challenger_models": ["v2"],
    "traffic_allocation": {"v1": 0.9, "v2": 0.1},
    "primary_metric": "clicked",
    "secondary_metrics": ["dwell_seconds"],
    "guardrail_metrics": {"error_rate": [0, 0.01]},
    "min_sample_size": 1000,
    "max_duration_days": 21,
}


@pytest.fixture
def short() -> dict:
    """A short spec in normal form."""
    return copy.deepcopy(SHORT)


@pytest.fixture
def model() -> dict:
    """A model experiment, as a file would hold it."""
    return copy.deepcopy(MODEL)


@pytest.fixture
def entry() -> dict:
    """An entry of the catalog in the long form."""
    return get_experiment_config("free_shipping_threshold_test")
