"""Calls of ours behind the reference functions of other platforms' bucketing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fairtrial.assignment.compat import (
    equal_weights,
    growthbook_bucket_ranges,
    growthbook_choose_variation,
    growthbook_hash,
    growthbook_in_namespace,
    planout_bernoulli,
    planout_hash,
    planout_random_integer,
    planout_uniform,
    planout_uniform_choice,
    planout_weighted_choice,
)
from fairtrial.errors import UsageError

Inputs = dict[str, Any]
Outputs = dict[str, Any]


def _hash(inputs: Inputs) -> Outputs:
    """The vectors hash UTF-8; an unknown version, which we refuse, is null there."""
    try:
        return {"hash": growthbook_hash(inputs["value"], seed=inputs["seed"], version=inputs["version"], text="utf-8")}
    except UsageError:
        return {"hash": None}


def _bucket_range(inputs: Inputs) -> Outputs:
    return {"ranges": growthbook_bucket_ranges(inputs["variations"], coverage=inputs["coverage"], weights=inputs["weights"])}


def _choose_variation(inputs: Inputs) -> Outputs:
    chosen = growthbook_choose_variation(inputs["hash"], inputs["ranges"])
    return {"variation": -1 if chosen is None else chosen}


def _in_namespace(inputs: Inputs) -> Outputs:
    return {"in_namespace": growthbook_in_namespace(inputs["user_id"], inputs["namespace"], inputs["start"], inputs["end"], text="utf-8")}


def _salts(inputs: Inputs) -> dict[str, str]:
    return {"experiment_salt": inputs["experiment_salt"], "parameter_salt": inputs["parameter_salt"]}


def _planout_random(inputs: Inputs) -> Outputs:
    unit, salts = inputs["unit"], _salts(inputs)
    return {
        "hash_int": str(planout_hash(unit, **salts)),
        "uniform": planout_uniform(unit, **salts),
        "random_integer_0_100000": planout_random_integer(unit, **salts, low=0, high=100_000),
        "bernoulli_p_0_3": planout_bernoulli(unit, **salts, probability=0.3),
    }


CALLS: dict[str, Callable[[Inputs], Outputs]] = {
    "growthbook_hash": _hash,
    "growthbook_bucket_range": _bucket_range,
    "growthbook_choose_variation": _choose_variation,
    "growthbook_in_namespace": _in_namespace,
    "equal_weights": lambda inputs: {"weights": equal_weights(inputs["variations"])},
    "planout_uniform_choice": lambda inputs: {"choice": planout_uniform_choice(inputs["unit"], inputs["choices"], **_salts(inputs))},
    "planout_weighted_choice": lambda inputs: {
        "choice": planout_weighted_choice(inputs["unit"], inputs["choices"], inputs["weights"], **_salts(inputs))
    },
    "planout_random": _planout_random,
}
