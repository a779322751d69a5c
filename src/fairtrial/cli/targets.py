"""What an experiment is called on the command line: a path, or a name in the catalog."""

from __future__ import annotations

from pathlib import Path

from fairtrial.spec import ExperimentConfigError, LoadedSpec, load_spec, load_specs
from fairtrial.spec.access import shipped_catalog
from fairtrial.spec.loader import SUFFIXES


def find_spec(target: str, experiment: str | None = None, catalog: Path | None = None) -> LoadedSpec:
    """The spec that `target` means.

    Args:
        target: Path of a file or folder of specs, or a name in the catalog.
        experiment: Name of one among several in the file or folder.
        catalog: File or folder to look names up in; default: the catalog that ships.

    Raises:
        UsageError: No such path or name; the message lists the names there are.
    """
    if is_path(target):
        return load_spec(target, experiment)
    specs = find_specs(catalog)
    if target not in specs:
        raise ExperimentConfigError.among_experiments(target, specs)
    return specs[target]


def find_specs(place: Path | None = None) -> dict[str, LoadedSpec]:
    """Every spec of a file or folder; default: the catalog that ships."""
    return load_specs(place if place is not None else shipped_catalog())


def is_path(target: str) -> bool:
    """Whether a target names a place and not an experiment."""
    return Path(target).exists() or Path(target).suffix in SUFFIXES or "/" in target or "\\" in target
