"""Whether a scorecard can be made again: the same spec, the same data, the same program, the same numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

ROUNDING = 1e-9
"""Relative difference of two numbers that counts as rounding: another processor or number of threads may add in another order."""

CAUSES = {
    "spec": "The spec is not the one that the scorecard was made by.",
    "data": "The data is not what it was.",
    "version": "Another version of fairtrial made it.",
}
OF_ORIGIN = {"spec_hash": "spec", "intake.fingerprint": "data", "code_version": "version"}
"""Fields that name where a scorecard comes from, and what it means when they differ."""

MISSING = "(absent)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place where two scorecards differ.

    Attributes:
        path: Its names, joined by dots; places of lists in brackets.
        before: What the stored one says.
        now: What the new one says.
    """

    path: str
    before: object
    now: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What came of making a scorecard again.

    Attributes:
        result: `equal` to the last bit; `equal_but_rounding`, numbers within 1e-9 of each other; or `different`.
        causes: Which of `spec`, `data` and `version` are not what they were.
        differences: Every other place that differs beyond rounding, in the order of the scorecard.
    """

    result: Literal["equal", "equal_but_rounding", "different"]
    causes: tuple[str, ...]
    differences: tuple[Difference, ...]

    @property
    def reproduced(self) -> bool:
        """Whether the scorecard says what it said."""
        return self.result != "different"


def compare_scorecards(before: Mapping[str, Any], now: Mapping[str, Any]) -> Verification:
    """Compare a stored scorecard with one made again.

    Args:
        before: The stored one, as its JSON is read.
        now: The new one, likewise.
    """
    found = list(_differences(before, now, ""))
    real = [one for one in found if not _is_rounding(one)]
    causes = tuple(OF_ORIGIN[one.path] for one in real if one.path in OF_ORIGIN)
    return Verification(
        result="equal" if not found else "different" if real else "equal_but_rounding",
        causes=causes,
        differences=tuple(one for one in real if one.path not in OF_ORIGIN),
    )


def _differences(before: object, now: object, path: str) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        old, new = cast("Mapping[str, object]", before), cast("Mapping[str, object]", now)
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _differences(old.get(name, MISSING), new.get(name, MISSING), f"{path}.{name}" if path else name)
    elif isinstance(before, list) and isinstance(now, list):
        olds, news = cast("list[object]", before), cast("list[object]", now)
        for place in range(max(len(olds), len(news))):
            yield from _differences(_at(olds, place), _at(news, place), f"{path}[{place}]")
    elif before != now or isinstance(before, bool) != isinstance(now, bool):
        yield Difference(path=path, before=cast("object", before), now=now)


def _at(values: list[object], place: int) -> object:
    return values[place] if place < len(values) else MISSING


def _is_rounding(one: Difference) -> bool:
    numbers = [value for value in (one.before, one.now) if isinstance(value, int | float) and not isinstance(value, bool)]
    return (
        len(numbers) == 2 and any(isinstance(value, float) for value in numbers) and math.isclose(*numbers, rel_tol=ROUNDING, abs_tol=0.0)
    )
