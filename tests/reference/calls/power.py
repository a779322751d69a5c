"""Calls of ours behind the reference functions of power, sample size and minimum detectable effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CALLS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
