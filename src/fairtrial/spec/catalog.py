"""The catalog form of an experiment, translated into the normal form."""

from __future__ import annotations

from collections.abc import Mapping

from fairtrial.errors import SpecError
from fairtrial.spec.experiment import ExperimentSpec


def is_catalog_entry(raw: object) -> bool:
    """Whether a mapping is written in the catalog's form."""
    return isinstance(raw, Mapping) and "business_justification" in raw


def translate_catalog_entry(raw: Mapping[str, object], *, what: str) -> ExperimentSpec:
    """Translate a catalog entry into the normal form."""
    raise SpecError(f"The {what} cannot be read: {sorted(raw)}.")
