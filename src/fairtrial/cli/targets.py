"""What an experiment is called on the command line: a path, or a name in the catalog."""

from __future__ import annotations

from pathlib import Path

from fairtrial.spec import ExperimentConfigClient, LoadedSpec, load_spec
from fairtrial.spec.loader import SUFFIXES


def find_spec(target: str, experiment: str | None = None, catalog: Path | None = None) -> LoadedSpec:
    """The spec that `target` means.

    Args:
        target: Path of a file or folder of specs, or a name in the catalog.
        experiment: Name of one among several in the file or folder.
        catalog: File or folder to look names up in; default: the catalog that ships.

    Raises:
        UsageError: There is no such path.
        ExperimentConfigError: There is no such name; the message lists the names there are.
    """
    if is_path(target):
        return load_spec(target, experiment)
    return ExperimentConfigClient(catalog).load(target)


def find_specs(place: Path | None = None) -> dict[str, LoadedSpec]:
    """Every spec of a file or folder; default: the catalog that ships."""
    client = ExperimentConfigClient(place)
    return {name: client.load(name) for name in client.list_available_experiments()}


def is_path(target: str) -> bool:
    """Whether a target names a place and not an experiment."""
    return Path(target).exists() or Path(target).suffix in SUFFIXES or "/" in target or "\\" in target
