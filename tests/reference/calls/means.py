"""Calls of ours behind the reference functions of tests and intervals of means, ratios and adjusted means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CALLS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
