"""What a catalog file says beside its experiments: version, ranges, changes, older versions.

A catalog file holds `experiments` (key to entry), `config_metadata` (its own
version, the ranges that its entries keep, the log of changes) and
`previous_versions` (key to the entries that the current one replaced, each with
its own `metadata.config_version`), so that a consumer can pin a version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, cast

from pydantic import AfterValidator, Field

from fairtrial.errors import SpecError
from fairtrial.spec.base import SpecModel
from fairtrial.spec.changes import Change
from fairtrial.spec.problems import validated

MAX_ARMS_IN_RANGE = 4
"""Above this many arms an equal split leaves the range of allocations anyway, so it does not bind."""


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"a range is [low, high], got {list(bounds)}")
    return bounds


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Smallest and largest value allowed, both included."""


class ValidationRules(SpecModel):
    """Ranges that every entry of a catalog keeps; a file may set its own."""

    significance_level: Range = (0.01, 0.10)
    statistical_power: Range = (0.70, 0.95)
    effect_size: Range = (0.01, 1.0)
    """Of the relative effect that the test is sized for."""
    allocation: Range = (0.1, 0.9)
    """Not for holdouts and not for more than four arms."""
    business_significance_threshold: Range = (0.01, 1.0)
    guardrail_threshold_warning: Annotated[float, Field(gt=0)] = 0.5
    """A guardrail threshold beyond this, in absolute value, is warned of."""


class ConfigMetadata(SpecModel):
    """About the catalog file as a whole."""

    version: str
    schema_version: Literal["1", "1.0"]
    """Version of the catalog's form."""
    validation_rules: ValidationRules = ValidationRules()
    change_log: tuple[Change, ...] = ()


class CatalogFile(SpecModel):
    """The top level of a file of experiments."""

    experiments: dict[str, dict[str, object]]
    metric_catalog: dict[str, dict[str, object]] = Field(default_factory=dict[str, "dict[str, object]"])
    """Metrics that specs of the same catalog refer to by name."""
    config_metadata: ConfigMetadata | None = None
    previous_versions: dict[str, tuple[dict[str, object], ...]] = Field(default_factory=dict[str, "tuple[dict[str, object], ...]"])

    @property
    def rules(self) -> ValidationRules:
        """The ranges in force."""
        return self.config_metadata.validation_rules if self.config_metadata else ValidationRules()


def read_catalog_file(raw: Mapping[str, object], *, what: str) -> CatalogFile:
    """Check the top level of a file of experiments; the entries are left as they are.

    Args:
        raw: The file's mapping, with the key `experiments`.
        what: The file, for messages.

    Raises:
        SpecError: An unknown key, a wrong type, an older version of an experiment that
            is not there or without a version of its own, or a change that is not logged.
    """
    file = validated(CatalogFile, raw, what=what)
    for key, older in file.previous_versions.items():
        if key not in file.experiments:
            raise SpecError(f"previous_versions holds older versions of experiments of the file; {what} has no experiment {key!r}.")
        versions = [version_of(entry) for entry in (file.experiments[key], *older)]
        if len(set(versions)) < len(versions):
            raise SpecError(f"Versions of one experiment must differ; those of {key!r} in {what} are {versions}.")
        newest = max(versions, key=version_order)
        if newest != versions[0]:
            raise SpecError(f"The current version must be the newest; {key!r} in {what} is {versions[0]}, but {newest} is a previous one.")
        logged = {(change.experiment, change.version) for change in (file.config_metadata.change_log if file.config_metadata else ())}
        logged |= {(key, version) for entry in (file.experiments[key], *older) for version in own_changes(entry)}
        silent = [version for version in versions if version != min(versions, key=version_order) and (key, version) not in logged]
        if silent:
            hint = f"Add {{version: {silent[0]}, date: ..., experiment: {key}, description: ...}} to config_metadata.change_log."
            raise SpecError(f"A new version needs a line in the change log; {what} has none for {key!r} {silent[0]}.", hint=hint)
    return file


def version_of(entry: Mapping[str, object]) -> str:
    """The version that an entry states, in either form; "1.0.0" when it states none."""
    metadata = entry.get("metadata")
    stated = cast("Mapping[str, object]", metadata).get("config_version") if isinstance(metadata, Mapping) else entry.get("version")
    return "1.0.0" if stated is None else str(stated)


def own_changes(entry: Mapping[str, object]) -> list[str]:
    """Versions that an entry has lines for in a change log of its own."""
    metadata = entry.get("metadata")
    log = cast("Mapping[str, object]", metadata).get("change_log") if isinstance(metadata, Mapping) else entry.get("change_log")
    lines = cast("list[object]", log) if isinstance(log, list) else []
    return [str(cast("Mapping[str, object]", line).get("version")) for line in lines if isinstance(line, Mapping)]


def version_order(version: str) -> tuple[int, ...]:
    """Numbers of a version, for sorting; what is no number sorts before all."""
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else (-1,)
