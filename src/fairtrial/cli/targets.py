"""What an experiment is called on the command line: a path, or a name in the catalog."""

from __future__ import annotations

import os
from pathlib import Path

from fairtrial.errors import UsageError
from fairtrial.spec import ExperimentConfigClient, LoadedSpec, load_spec
from fairtrial.spec.access import ExperimentConfigError
from fairtrial.spec.experiment import ExperimentSpec
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
    check_target(target)
    if is_path(target):
        return load_spec(target, experiment)
    try:
        return ExperimentConfigClient(catalog).load(target)
    except ExperimentConfigError as error:
        near = [name for suffix in SUFFIXES if os.path.isfile(name := f"{target}{suffix}")]  # noqa: PTH113 - never an error
        if near:
            raise ExperimentConfigError(error.message, hint=f"There is a file of that name: {near[0]}.") from error
        raise


def check_target(target: str) -> None:
    """Refuse a target that says nothing.

    Raises:
        UsageError: It is empty, as of a shell variable that is not set.
    """
    if not target.strip():
        raise UsageError(f"A spec is named by its file, a folder or a name in the catalog, got {target!r}.", hint="fairtrial list")


def find_specs(place: Path | None = None) -> dict[str, LoadedSpec]:
    """Every spec of a file or folder; default: the catalog that ships."""
    client = ExperimentConfigClient(place)
    return {name: client.load(name) for name in client.list_available_experiments()}


def randomised(found: LoadedSpec, verb: str) -> ExperimentSpec:
    """The spec, of an experiment that assigns its units.

    Args:
        found: The spec.
        verb: Who asks, such as `fairtrial oc`.

    Raises:
        UsageError: Nobody is assigned in it: its design reads what happened by itself.
    """
    if found.spec.design is not None:
        raise UsageError(
            f"`{verb}` is for experiments that assign units at random, {found.spec.key!r} is of kind {found.spec.kind!r}, "
            "in which nobody is assigned.",
            hint="`fairtrial analyze` reads it; its checks (pre-trends, placebos) stand where planning and re-randomising cannot.",
        )
    return found.spec


def is_path(target: str) -> bool:
    """Whether a target names a place and not an experiment."""
    return os.path.exists(target) or Path(target).suffix in SUFFIXES or "/" in target or "\\" in target  # noqa: PTH110
