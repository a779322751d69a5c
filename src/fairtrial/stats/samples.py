"""Raw values of one arm, checked before a test that needs more than moments reads them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairtrial.errors import DataError


def sample_of(values: ArrayLike) -> NDArray[np.float64]:
    """The values as a flat array of doubles.

    Args:
        values: One number a unit, shape (n,), n >= 1.

    Returns:
        The array, shape (n,).

    Raises:
        DataError: The values are not flat, none, or not all finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise DataError(f"A sample must be a flat array of at least one value, got shape {array.shape}.")
    broken = int(array.size - np.isfinite(array).sum())
    if broken:
        raise DataError(f"A sample must be finite, got {broken} NaN or infinite values of {array.size}.")
    return array
