"""One line of a change log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fairtrial.spec.base import Name, SpecModel
from fairtrial.spec.plan import Day


class Change(SpecModel):
    """One line of the change log."""

    version: str
    """Version that the change made."""
    date: Day
    """The day it was made."""
    experiment: Name | None = None
    """Whose version it is; left out: the file's, or the experiment's that the log belongs to."""
    level: Literal["major", "minor", "patch"] | None = None
    """How large the step was."""
    description: str = Field(min_length=1)
    """What was changed, and why."""
