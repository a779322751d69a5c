"""When an output of ours passes for the one expected: the rule of the reference values.

A number passes when `|got - expected| <= max(abs, rel * |expected|)`, lists and
objects element by element, booleans, strings and null exactly. Infinite values
are written "Infinity" and "-Infinity"; `*_ceil` integers are exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

INFINITE = {"Infinity": math.inf, "-Infinity": -math.inf}


def mismatches(got: Mapping[str, Any], expected: Mapping[str, Any], tolerance: Mapping[str, Any]) -> list[str]:
    """Each expected output that ours misses, as a sentence; empty when all pass.

    Outputs that we do not return are passed over, but one at least must be there.
    """
    shared = [key for key in expected if key in got]
    if not shared:
        return [f"none of the expected outputs {sorted(expected)} is returned, ours are {sorted(got)}"]
    return [line for key in shared for line in _differences(got[key], expected[key], tolerance, (key,))]


def _differences(got: Any, expected: Any, tolerance: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    got = got.tolist() if isinstance(got, np.ndarray | np.generic) else got
    if isinstance(expected, dict):
        if not isinstance(got, Mapping) or not expected.keys() <= got.keys():
            yield _line(path, got, expected)
        else:
            for key, value in expected.items():
                yield from _differences(got[key], value, tolerance, (*path, key))
    elif isinstance(expected, list):
        if not isinstance(got, list | tuple) or len(got) != len(expected):
            yield _line(path, got, expected)
        else:
            for index, value in enumerate(expected):
                yield from _differences(got[index], value, tolerance, (*path, str(index)))
    elif not _equal(got, expected, *_limits(path, tolerance)):
        yield _line(path, got, expected)


def _limits(path: tuple[str, ...], tolerance: Mapping[str, Any]) -> tuple[float, float]:
    """Relative and absolute tolerance at `path`; the innermost key with one of its own decides."""
    if path[-1].endswith("_ceil"):
        return 0.0, 0.0
    per_key = tolerance.get("per_key", {})
    own = next((per_key[key] for key in reversed(path) if key in per_key), tolerance)
    return own.get("rel", 0.0), own.get("abs", 0.0)


def _equal(got: Any, expected: Any, rel: float, abs_: float) -> bool:
    if isinstance(expected, str) and expected in INFINITE and not isinstance(got, str):
        return _is_number(got) and got == INFINITE[expected]
    if not _is_number(expected):
        return type(got) is type(expected) and got == expected
    return _is_number(got) and math.isfinite(got) and abs(got - expected) <= max(abs_, rel * abs(expected))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _line(path: tuple[str, ...], got: Any, expected: Any) -> str:
    return f"{'.'.join(path)}: got {got!r}, expected {expected!r}"
