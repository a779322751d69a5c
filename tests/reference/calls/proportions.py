"""Calls of ours behind the reference functions of proportions and tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CALLS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
