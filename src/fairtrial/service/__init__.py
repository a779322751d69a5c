"""The REST service: one ASGI process over one database.

Its names are loaded when they are first used: the verbs of the command line that only touch the database need no application.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairtrial.service.app import create_app
    from fairtrial.service.settings import Settings

_HOMES = {"Settings": "fairtrial.service.settings", "create_app": "fairtrial.service.app"}

__all__ = ["Settings", "create_app"]


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fairtrial.service' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
