"""A scalar rule run over arrays: once for each way through it, not once for each case.

A rule reads fields and compares them. Asked of many cases at once, a comparison on
which all of them agree is answered as for one case; where they disagree the cases are
parted by the answer and each part goes through the rule again. A table of decisions has
few ways through it, so millions of cases cost a few dozen calls, and the rule itself
stays the only place where it is written down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Rows = NDArray[np.intp]
Told = TypeVar("Told")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Numbers:
    """A number for each case; NaN is None.

    Attributes:
        values: Shape (cases,).
    """

    values: Floats

    def at(self, rows: Rows) -> Answering | None:
        """What a rule sees of these cases."""
        values = self.values[rows]
        return None if agreed(np.isnan(values)) else Answering(values)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intervals:
    """An interval for each case; one with a NaN low end is None.

    Attributes:
        low: Lower ends, shape (cases,).
        high: Upper ends, shape (cases,).
    """

    low: Floats
    high: Floats

    def at(self, rows: Rows) -> AnsweringInterval | None:
        """What a rule sees of these cases."""
        low = self.low[rows]
        return None if agreed(np.isnan(low)) else AnsweringInterval(low=Answering(low), high=Answering(self.high[rows]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flags:
    """A yes or no for each case.

    Attributes:
        values: Shape (cases,).
    """

    values: Booleans

    def at(self, rows: Rows) -> bool:
        """What a rule sees of these cases."""
        return agreed(self.values[rows])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Words:
    """One of a few words (or None) for each case.

    Attributes:
        codes: Place of the case's word in `words`, shape (cases,).
        words: The words.
    """

    codes: NDArray[np.intp]
    words: tuple[str | None, ...]

    def at(self, rows: Rows) -> str | None:
        """What a rule sees of these cases."""
        codes = self.codes[rows]
        first = int(codes[0])
        agreed_on = agreed(codes == first)
        return self.words[first] if agreed_on else None


Column = Numbers | Intervals | Flags | Words


class Parted(Exception):  # noqa: N818 - no error: the cases answer differently
    """Some cases answer yes and some no."""

    def __init__(self, answers: Booleans) -> None:
        super().__init__()
        self.answers = answers


def agreed(answers: Booleans) -> bool:
    """The answer of all cases; raises `Parted` where they differ."""
    if answers.all():
        return True
    if not answers.any():
        return False
    raise Parted(answers)


@dataclass(frozen=True, slots=True, eq=False)
class Answering:
    """Numbers of some cases that a rule may compare, as if they were one number."""

    values: Floats

    def __gt__(self, other: float | Answering) -> bool:
        return agreed(self.values > _plain(other))

    def __ge__(self, other: float | Answering) -> bool:
        return agreed(self.values >= _plain(other))

    def __lt__(self, other: float | Answering) -> bool:
        return agreed(self.values < _plain(other))

    def __le__(self, other: float | Answering) -> bool:
        return agreed(self.values <= _plain(other))

    def __neg__(self) -> Answering:
        return Answering(-self.values)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnsweringInterval:
    """Intervals of some cases whose ends a rule may compare."""

    low: Answering
    high: Answering


class Cases:
    """Some cases as a rule sees them: every field one value, or an object that answers comparisons."""

    __slots__ = ("_fields", "_rows")

    def __init__(self, fields: Mapping[str, object], rows: Rows) -> None:
        self._fields = fields
        self._rows = rows

    def __getattr__(self, name: str) -> Any:
        try:
            field = self._fields[name]
        except KeyError:
            raise AttributeError(name) from None
        return field.at(self._rows) if isinstance(field, Column) else field


def by_paths(fields: Mapping[str, object], size: int, rule: Callable[[Any], Told]) -> list[tuple[Rows, Told]]:
    """Ask a rule about many cases.

    Args:
        fields: By name, what the rule reads: a column with an entry for each case, or a value that all share.
        size: Number of cases, >= 0.
        rule: Takes an object with these fields and returns what it says of it; it may compare numbers and test
            fields, and must not depend on anything else.

    Returns:
        Cases (their places) with what the rule says of them; every case stands in exactly one entry.

    Raises:
        UsageError: A column has another number of entries than `size`.
    """
    for name, column in fields.items():
        _check_length(name, column, size)
    told: list[tuple[Rows, Told]] = []
    waiting = [np.arange(size)] if size else []
    while waiting:
        rows = waiting.pop()
        try:
            told.append((rows, rule(Cases(fields, rows))))
        except Parted as parted:
            waiting += [rows[~parted.answers], rows[parted.answers]]
    return told


def _check_length(name: str, column: object, size: int) -> None:
    match column:
        case Numbers() | Flags():
            length = column.values.shape
        case Intervals():
            length = column.low.shape
        case Words():
            length = column.codes.shape
        case _:
            return
    if length != (size,):
        raise UsageError(f"Column {name!r} must have an entry for each of {size} cases, got shape {length}.")


def _plain(other: float | Answering) -> float | Floats:
    return other.values if isinstance(other, Answering) else other
