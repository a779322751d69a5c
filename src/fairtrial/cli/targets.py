"""What an experiment is called on the command line: a path, or a name in the catalog."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from fairtrial.errors import UsageError
from fairtrial.spec import ExperimentConfigClient, LoadedSpec, load_spec, load_specs
from fairtrial.spec.access import ExperimentConfigError
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.loader import SUFFIXES
from fairtrial.spec.sources import GIT, PACKAGE, file_at


def find_spec(target: str, experiment: str | None = None, catalog: str | Path | None = None) -> LoadedSpec:
    """The spec that `target` means.

    Args:
        target: Path of a file or folder of specs, or a name in the catalog; with `@` behind it a path at a revision
            of its Git repository, or a version of the name.
        experiment: Name of one among several in the file or folder.
        catalog: Where names are looked up; default: the catalog that ships.

    Raises:
        UsageError: There is no such path or revision.
        ExperimentConfigError: There is no such name or version; the message lists those there are.
    """
    check_target(target)
    place, at, then = target.rpartition("@")
    if at and not os.path.exists(target):  # noqa: PTH110
        if is_path(place):
            source = file_at(Path(place), then)
            return replace(load_spec(source.place, experiment), path=Path(place))
        return ExperimentConfigClient(catalog).load_version(place, then)
    if is_path(target):
        return load_spec(target, experiment)
    try:
        return ExperimentConfigClient(catalog).load(target)
    except ExperimentConfigError as error:
        raise with_near_file(error, target) from error


def with_near_file(error: ExperimentConfigError, target: str) -> ExperimentConfigError:
    """The error of a name that is not in the catalog; names the file here that may be meant."""
    near = [name for suffix in SUFFIXES if os.path.isfile(name := f"{target}{suffix}")]  # noqa: PTH113 - never an error
    return ExperimentConfigError(error.message, hint=f"There is a file of that name: {near[0]}.") if near else error


def check_target(target: str) -> None:
    """Refuse a target that says nothing.

    Raises:
        UsageError: It is empty, as of a shell variable that is not set.
    """
    if not target.strip():
        raise UsageError(f"A spec is named by its file, a folder or a name in the catalog, got {target!r}.", hint="fairtrial list")


def find_specs(place: str | Path | None = None) -> dict[str, LoadedSpec]:
    """Every spec of a file or folder; default: the catalog that ships."""
    client = ExperimentConfigClient(place)
    return {name: client.load(name) for name in client.list_available_experiments()}


def find_many(target: str, catalog: str | Path | None = None) -> list[LoadedSpec]:
    """Every spec that `target` means: those of a file or folder, of a catalog elsewhere, or the one of a name.

    Raises:
        UsageError: There is no such place or name.
        SpecError: A rule is broken; the message lists all that are.
    """
    check_target(target)
    if target.startswith((PACKAGE, GIT)):
        return list(find_specs(target).values())
    if is_path(target) and os.path.exists(target):  # noqa: PTH110
        return list(load_specs(target).values())
    return [find_spec(target, catalog=catalog)]


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
