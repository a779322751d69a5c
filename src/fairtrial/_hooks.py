"""How a scorecard finds its pictures without knowing the floor that draws them.

The package root sets `load_views` before any other module runs; the reports floor
is loaded when a scorecard is first shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Views(Protocol):
    """What can be made of a scorecard."""

    def repr_html(self, scorecard: Any, /) -> str:
        """A fragment for notebooks."""
        ...

    def explain(self, scorecard: Any, /) -> str:
        """Plain language."""
        ...

    def to_frame(self, scorecard: Any, /) -> Any:
        """A pandas DataFrame, one row per metric and treatment."""
        ...


_loader: Callable[[], Views] | None = None


def set_views(loader: Callable[[], Views]) -> None:
    """Say how the views are loaded."""
    global _loader  # noqa: PLW0603 the one place where the root hands over
    _loader = loader


def views() -> Views:
    """The views, loaded now.

    Raises:
        RuntimeError: The package root was never imported.
    """
    if _loader is None:
        raise RuntimeError("fairtrial's root package sets the views when it is imported.")
    return _loader()
