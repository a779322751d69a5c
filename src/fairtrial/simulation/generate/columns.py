"""Columns of a made-up table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fairtrial.errors import UsageError

Column = list[str] | NDArray[np.generic]


def put(columns: dict[str, Column], name: str, column: Column) -> None:
    """Add a column.

    Raises:
        UsageError: The name is taken.
    """
    if name in columns:
        raise UsageError(
            f"Each column of generated data has one meaning, {name!r} would have two.", hint="Name another in a copy of the spec."
        )
    columns[name] = column
