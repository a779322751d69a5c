"""What a diagnostic saw: a code, how bad it is, the numbers, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing worth knowing before the result is believed.

    Attributes:
        code: Stable machine-readable name (`srm`, `outlier`, ...).
        severity: `critical` makes the verdict invalid.
        message: One sentence for a person.
        action: What to do about it.
        metric: Metric concerned, if one is.
        arm: Arm concerned, if one is.
        numbers: The figures behind the sentence.
    """

    code: str
    severity: Severity
    message: str
    action: str
    metric: str | None = None
    arm: str | None = None
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict[str, "float | int | str | None"])
