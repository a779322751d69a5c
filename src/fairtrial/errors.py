"""Every error that fairtrial raises on purpose, as one tree.

FairtrialError
├── UsageError (also a ValueError)     the caller can fix it
│   ├── SpecError                      an experiment file breaks a rule
│   └── UnknownNameError               a name that is not there; says which are
├── DataError                          the data cannot answer
│   └── NotEnoughDataError             more data would answer
├── ConflictError                      legal, but in the wrong state
├── AccessError                        not allowed
├── ConnectorError                     somebody else's system failed
└── StorageError                       our own database failed; nothing was stored

A message states the rule, then what came; `hint` says what to do. `code` is
stable and machine-readable. Nothing here knows of HTTP or of exit codes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar


class FairtrialError(Exception):
    """Root of all errors raised on purpose.

    Attributes:
        code: Stable machine-readable name of the error.
        message: The rule and what came instead.
        hint: What to do about it; empty when there is nothing to add.
    """

    default_code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.default_code

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(FairtrialError, ValueError):
    """An argument, option or file breaks a rule; the caller can fix it."""

    default_code = "usage"


@dataclass(frozen=True, slots=True)
class Problem:
    """One rule that a file breaks.

    Attributes:
        text: The rule, what came, and what to write instead.
        path: Keys and indices that lead to it from the top of the experiment.
        line: Line of the file, from 1; None when it is not known.
    """

    text: str
    path: tuple[int | str, ...] = ()
    line: int | None = None


class SpecError(UsageError):
    """An experiment spec breaks a rule.

    Attributes:
        problems: The rules it breaks, each with its place; empty when the message says all there is.
    """

    default_code = "spec"

    def __init__(self, message: str, *, hint: str = "", code: str = "", problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, hint=hint, code=code)
        self.problems = tuple(problems)


class UnknownNameError(UsageError):
    """A name that does not exist."""

    default_code = "unknown_name"

    @classmethod
    def among(cls, what: str, name: str, known: Iterable[str], *, code: str = "") -> UnknownNameError:
        """Build the error for `name`, listing what is known and the nearest match.

        Args:
            what: The thing named, with its article left out ("metric", "column").
            name: The name that came.
            known: The names that exist, in the order to show them.
            code: Machine-readable code, if not the default.
        """
        names = list(known)
        return cls(f"No {what} named {name!r}. Known: {names}.", hint=did_you_mean(name, names), code=code)


class DataError(FairtrialError):
    """The data cannot answer the question."""

    default_code = "data"


class NotEnoughDataError(DataError):
    """The data cannot answer yet; more of it would."""

    default_code = "not_enough_data"


class ConflictError(FairtrialError):
    """The request is legal but the object is in the wrong state."""

    default_code = "conflict"


class AccessError(FairtrialError):
    """The caller may not do this."""

    default_code = "access"


class ConnectorError(FairtrialError):
    """Somebody else's system failed.

    Attributes:
        retriable: Whether trying again may help.
    """

    default_code = "connector"

    def __init__(self, message: str, *, hint: str = "", code: str = "", retriable: bool = False) -> None:
        super().__init__(message, hint=hint, code=code)
        self.retriable = retriable


class StorageError(FairtrialError):
    """The service's own database failed; nothing of the transaction was kept."""

    default_code = "storage"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggest the known name nearest to `name`, or nothing.

    Returns:
        A sentence such as "Did you mean 'alpha'?", or the empty string.
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else ""
