"""A scorecard from its JSON form: what a service answers, or a file that an analysis left."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from fairtrial.errors import DataError
from fairtrial.evaluation.scorecard import Scorecard

ENDS = {"low", "high"}


def read_scorecard(given: Mapping[str, Any]) -> Scorecard:
    """The scorecard that `to_dict` or `to_json` wrote down.

    Raises:
        DataError: It is none, or one of another version.
    """
    try:
        return msgspec.convert(_with_ends(given), Scorecard, strict=False)
    except msgspec.ValidationError as error:
        raise DataError(f"This is not a scorecard of this version: {error}.", hint="Analyse the experiment again.") from error


def _with_ends(part: Any) -> Any:
    """The same with the infinite ends of intervals, which JSON cannot hold."""
    if isinstance(part, list):
        return [_with_ends(inner) for inner in cast("list[Any]", part)]
    if not isinstance(part, Mapping):
        return part
    given = cast("Mapping[str, Any]", part)
    if set(given) == ENDS:
        return {
            "low": -math.inf if given["low"] is None else given["low"],
            "high": math.inf if given["high"] is None else given["high"],
        }
    return {name: _with_ends(inner) for name, inner in given.items()}
