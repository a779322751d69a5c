"""What every part of a spec shares: frozen, no unknown keys, names that are names."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class SpecModel(BaseModel):
    """A part of a spec: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True, use_attribute_docstrings=True)


def _check_key(value: str) -> str:
    if value != value.strip():
        raise ValueError("must not begin or end with white space")
    if value.isdecimal():
        raise ValueError("must not be all digits (those are the ids of experiments made by the service)")
    if any(unicodedata.category(ch) in {"Cc", "Zl", "Zp"} for ch in value):
        raise ValueError("must not hold control characters or line breaks")
    return value


ExperimentKey = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_check_key)]
"""Name of an experiment: 1-200 characters, any script, not all digits."""

Name = Annotated[str, Field(min_length=1, max_length=200)]
"""Name of an arm, a metric, a column or a table: 1-200 characters."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""A fraction of units in [0, 1]."""
