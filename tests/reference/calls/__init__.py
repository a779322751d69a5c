"""From the name of a reference function to a call of ours: one table, merged from all modules here.

Each module exports `CALLS`, a mapping from a vector's `function` to a callable
that takes the vector's `inputs` and returns the outputs that we offer, under the
names of the vector's `expected`. A call returns every output it can sensibly
offer; the harness compares those that a vector expects.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Call = Callable[[dict[str, Any]], dict[str, Any]]


def merge(tables: Iterable[Mapping[str, Call]]) -> dict[str, Call]:
    """One table of all; a function mapped twice is an error, for one of the two would never run."""
    merged: dict[str, Call] = {}
    for table in tables:
        twice = sorted(merged.keys() & table.keys())
        if twice:
            raise ValueError(f"A reference function has one call, got two for {twice}.")
        merged |= table
    return merged


TABLE = merge(importlib.import_module(f"calls.{module.name}").CALLS for module in pkgutil.iter_modules(__path__))
