"""Experiments as code: read the configurations of a catalog, the shipped one by default.

A configuration is handed out as the file's own plain mapping, deep-copied and
fit for JSON (dates as ISO text). Older versions stand in the file under
`previous_versions`, so that a consumer can pin one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import ClassVar, cast

from fairtrial._version import __version__
from fairtrial.errors import UnknownNameError, UsageError, did_you_mean
from fairtrial.spec.catalog import entry_warnings, is_catalog_entry, parse_catalog_entry
from fairtrial.spec.catalog_file import ValidationRules, version_of
from fairtrial.spec.catalog_model import CatalogEntry
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.loader import LoadedSpec, SpecFile, entry_key, parse_spec, read_spec_files
from fairtrial.spec.metric_catalog import MetricCatalog
from fairtrial.spec.sources import CatalogSource, open_catalog

SHIPPED = resources.files("fairtrial.spec").joinpath("shipped", "experiments.yaml")
"""The catalog that the package carries."""


class ExperimentConfigError(UnknownNameError):
    """There is no such experiment, or no such version of it.

    Its text is the message alone, without the hint.
    """

    default_code: ClassVar[str] = "unknown_experiment"

    def __str__(self) -> str:
        return self.message


class ExperimentConfigClient:
    """Reads the configurations of one file or folder, once, when it is made."""

    def __init__(self, path: str | Path | None = None) -> None:
        """Open a catalog.

        Args:
            path: A file or folder of specs in any form, `package:NAME`, or `git+file:///REPOSITORY@REVISION`
                (see `fairtrial.spec.sources`); default: the shipped catalog.

        Raises:
            UsageError: There is no such file or folder, or it holds no spec.
            SpecError: A file cannot be read, or two experiments share a name.
        """
        if path is None:
            with resources.as_file(SHIPPED) as file:
                self._source = CatalogSource(file)
                self._files = read_spec_files(file)
        else:
            self._source = open_catalog(path)
            self._files = read_spec_files(self._source.place)
        for file in self._files:
            if "" in file.entries:
                file.parse("")  # says what is missing, its name among it
        self._homes: dict[str, SpecFile] = {key: file for file in self._files for key in file.entries}

    def list_available_experiments(self) -> list[str]:
        """Names of the experiments, in the order of files and entries."""
        return list(self._homes)

    def list_versions(self, name: str) -> list[str]:
        """Versions of an experiment that can be read, the current one first; of a catalog in Git, those of its history too.

        Raises:
            ExperimentConfigError: There is no such experiment.
        """
        return list(dict.fromkeys([*self._versions(name), *(version_of(entry) for entry, _ in self._past(name))]))

    @property
    def files(self) -> list[SpecFile]:
        """The files of the catalog, as they were written."""
        return list(self._files)

    @property
    def place(self) -> Path:
        """Where the files are."""
        return self._source.place

    @property
    def metrics(self) -> MetricCatalog:
        """The metrics that the catalog defines."""
        return self._files[0].metrics

    def home(self, name: str) -> SpecFile:
        """The file of an experiment.

        Raises:
            ExperimentConfigError: There is no such experiment.
        """
        self._versions(name)
        return self._homes[name]

    def get_experiment_config(self, name: str, version: str | None = None) -> dict[str, object]:
        """The file's own mapping of one experiment, with dates as ISO text.

        Args:
            name: The experiment.
            version: A version of it; default: the current one. In a catalog in Git also a version of its history,
                and a tag, branch or commit.

        Raises:
            ExperimentConfigError: There is no such experiment or version.
        """
        return cast("dict[str, object]", _plain(self._entry(name, version)))

    def get_experiment_spec(self, name: str, version: str | None = None) -> ExperimentSpec:
        """The same experiment in normal form.

        Raises:
            ExperimentConfigError: There is no such experiment or version.
            SpecError: It breaks a rule.
        """
        entry, file = self._found(name, version)
        return file.parse(name, entry)

    def load(self, name: str) -> LoadedSpec:
        """The current version of an experiment with the file that it comes from.

        Raises:
            ExperimentConfigError: There is no such experiment.
            SpecError: It breaks a rule.
        """
        return self.load_version(name, None)

    def load_version(self, name: str, version: str | None) -> LoadedSpec:
        """A version of an experiment with the file that it comes from; None is the current one.

        Raises:
            ExperimentConfigError: There is no such experiment or version.
            SpecError: It breaks a rule.
        """
        entry, file = self._found(name, version)
        return file.load(name, entry)

    def validate_experiment_config(self, config: str | Mapping[str, object]) -> bool:
        """Check one experiment, all its versions included, against every rule.

        Args:
            config: The name of an experiment, or a configuration.

        Returns:
            True; a broken rule raises.

        Raises:
            ExperimentConfigError: There is no experiment of that name.
            SpecError: A rule is broken; the message lists all that are.
        """
        if isinstance(config, str):
            for version in self._versions(config):
                self.get_experiment_spec(config, version)
        else:
            _check_mapping(config)
        return True

    def experiment_config_warnings(self, config: str | Mapping[str, object]) -> list[str]:
        """What is allowed in a configuration but worth knowing, one sentence each.

        Raises:
            ExperimentConfigError: There is no experiment of that name.
            SpecError: A rule is broken.
        """
        if isinstance(config, str):
            entry, rules = self._entry(config, None), self._homes[config].rules
        else:
            entry, rules = config, ValidationRules()
        if not is_catalog_entry(entry):
            return []
        return entry_warnings(parse_catalog_entry(entry, what="experiment config", rules=rules), rules)

    def get_catalog_entry(self, name: str) -> CatalogEntry:
        """The current version of an experiment written in the catalog's form, typed; it knows traffic and calendar.

        Raises:
            ExperimentConfigError: There is no such experiment.
            SpecError: It breaks a rule, or is written in another form.
        """
        return parse_catalog_entry(self._entry(name, None), what=f"experiment {name!r}", name=name, rules=self._homes[name].rules)

    def _entry(self, name: str, version: str | None) -> Mapping[str, object]:
        """An experiment with the metrics that it uses filled in."""
        entry, file = self._found(name, version)
        return file.metrics.resolved(entry, what=f"experiment {name!r}")

    def _found(self, name: str, version: str | None) -> tuple[Mapping[str, object], SpecFile]:
        """An experiment as it was written, and the file: of now, of its previous versions, or of the past in Git."""
        versions = self._versions(name)
        if version is None:
            return next(iter(versions.values())), self._homes[name]
        if version in versions:
            return versions[version], self._homes[name]
        for entry, file in self._past(name):
            if version_of(entry) == version:
                return entry, file
        try:
            for file in self._source.at(version):
                if name in file.entries:
                    return file.entries[name], file
        except UsageError:
            pass  # no revision of that name: said below with the versions there are
        known = self.list_versions(name)
        message = f"Experiment {name!r} has no version {version!r}. Available versions: {known}"
        raise ExperimentConfigError(message, hint=did_you_mean(version, known), code="unknown_version")

    def _past(self, name: str) -> Iterator[tuple[Mapping[str, object], SpecFile]]:
        """The entries of an experiment in the commits of the catalog, newest first."""
        for commit in self._source.history():
            try:
                files = self._source.at(commit)
            except UsageError:
                continue  # a commit whose specs cannot be read hides none of the others
            yield from ((file.entries[name], file) for file in files if name in file.entries)

    def _versions(self, name: str) -> dict[str, Mapping[str, object]]:
        if name not in self._homes:
            known = list(self._homes)
            hint = f"{did_you_mean(name, known)} fairtrial list".strip()
            raise ExperimentConfigError(f"Experiment {name!r} not found. Available experiments: {known}", hint=hint)
        file = self._homes[name]
        return {version_of(entry): entry for entry in (file.entries[name], *file.previous.get(name, ()))}


def get_experiment_config(name: str, version: str | None = None, *, catalog: str | Path | None = None) -> dict[str, object]:
    """Configuration of an experiment of a catalog, by default the shipped one; see `ExperimentConfigClient`."""
    return _opened(catalog).get_experiment_config(name, version)


def list_available_experiments(*, catalog: str | Path | None = None) -> list[str]:
    """Names of the experiments of a catalog, by default the shipped one, in the order of its files."""
    return _opened(catalog).list_available_experiments()


def validate_experiment_config(config: str | Mapping[str, object]) -> bool:
    """Check a shipped experiment or a configuration; see `ExperimentConfigClient.validate_experiment_config`."""
    return _shipped().validate_experiment_config(config)


def experiment_config_warnings(config: str | Mapping[str, object]) -> list[str]:
    """What is worth knowing of a configuration; see `ExperimentConfigClient.experiment_config_warnings`."""
    return _shipped().experiment_config_warnings(config)


def get_package_version() -> str:
    """Version of the installed package."""
    return __version__


def _opened(catalog: str | Path | None) -> ExperimentConfigClient:
    return _shipped() if catalog is None else ExperimentConfigClient(catalog)


@cache
def _shipped() -> ExperimentConfigClient:
    return ExperimentConfigClient()


def _check_mapping(config: Mapping[str, object]) -> None:
    """Check a configuration in any form; one that is in none is taken for the catalog's."""
    if is_catalog_entry(config) or "arms" in config or "key" in config or "champion_model" in config:
        parse_spec(config, what=f"experiment config {entry_key(config)!r}")
    else:
        parse_catalog_entry(config, what="experiment config")


def _plain(value: object) -> object:
    """A deep copy fit for JSON: keys are text, dates are ISO text, aware times end in Z."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("list[object]", value)]
    if isinstance(value, dt.datetime):
        utc = value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
        return utc.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, dt.date) else value
