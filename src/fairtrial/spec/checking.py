"""Check every spec of a place and keep going: what is wrong, in which file and line, and what to do.

Beside the rules of each spec: names that two experiments share, prerequisites that are not
there or lead in a circle, metrics of the metric catalog, the steps between the versions of
a file, and the step since a revision of the Git repository.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from fairtrial.errors import Problem, SpecError, UsageError, did_you_mean
from fairtrial.spec.catalog import entry_warnings, is_catalog_entry, parse_catalog_entry
from fairtrial.spec.catalog_file import version_of, version_order
from fairtrial.spec.diff import diff_specs
from fairtrial.spec.loader import LoadedSpec, SpecFile, files_beside, read_spec_file, spec_paths, with_metrics
from fairtrial.spec.places import line_in
from fairtrial.spec.sources import file_at

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One thing that a check has to say.

    Attributes:
        file: The file it is about.
        line: The line in it, from 1; None when it is about the file as a whole.
        severity: An `error` breaks a rule, a `warning` is worth knowing.
        code: Stable, machine-readable name.
        message: The rule, what came, and what to write instead.
        experiment: The experiment it is about; None for the file.
    """

    file: Path
    line: int | None
    severity: Severity
    code: str
    message: str
    experiment: str | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        specs: The specs that keep every rule of their own, by key.
        complaints: In the order of files and lines.
    """

    specs: Mapping[str, LoadedSpec]
    complaints: Sequence[Complaint]

    @property
    def errors(self) -> list[Complaint]:
        """The complaints that say that a rule is broken."""
        return [complaint for complaint in self.complaints if complaint.severity == "error"]


def check_specs(place: str | Path, *, only: str | None = None, against: str | None = None) -> Checked:
    """Check a file, or every spec file of a folder.

    Args:
        place: The file or folder.
        only: Check this experiment alone, and what its file says of it.
        against: A revision of the Git repository; versions must have moved as far as the changes since then call for.

    Raises:
        UsageError: There is no such place, it holds no spec file, or there is no such revision.
    """
    path = Path(place)
    if not path.exists():
        raise UsageError(f"A spec is a YAML or JSON file or a folder of them; there is no {str(place)!r}.", hint="Check the path.")
    paths = spec_paths(path)
    if not paths:
        raise UsageError(f"No spec in {str(place)!r}: it holds no YAML or JSON file.", hint="fairtrial init")
    found: list[Complaint] = []
    files = _joined(list(_read(paths, found)), found)
    specs = _specs(files, found, only=only)
    found += [complaint for file in files for complaint in _metric_complaints(file)]
    found += _prerequisite_complaints(files, specs)
    found += [complaint for file in files for complaint in _previous_complaints(file, specs)]
    if against is not None:
        found += _against(path, against, specs)
    if only is not None:
        found = [complaint for complaint in found if complaint.experiment in {only, None}]
    order = {file: i for i, file in enumerate(paths)}
    found.sort(key=lambda complaint: (order.get(complaint.file, 0), complaint.line or 0))
    if not specs and not found:
        raise UsageError(f"No spec in {str(place)!r}: it holds no experiment.", hint="fairtrial init")
    return Checked(specs=specs, complaints=list(dict.fromkeys(found)))


def _read(paths: Sequence[Path], found: list[Complaint]) -> Iterator[SpecFile]:
    for path in paths:
        try:
            yield read_spec_file(path)
        except SpecError as error:
            found += _complaints(error, path, None)


def _joined(files: list[SpecFile], found: list[Complaint]) -> list[SpecFile]:
    """The files, each knowing all metrics; without them where two define one."""
    homes: dict[str, Path] = {}
    for file in files:
        for key in file.entries:
            if key and key in homes:
                text = f"Experiment keys must be unique: {key!r} stands in {homes[key].name} too. Rename one of them."
                found.append(_complaint(file.path, key, Problem(text), "duplicate"))
            homes.setdefault(key, file.path)
    try:
        return with_metrics(files)
    except SpecError as error:
        found += _complaints(error, files[-1].path, None)
        return files


def _specs(files: Sequence[SpecFile], found: list[Complaint], *, only: str | None) -> dict[str, LoadedSpec]:
    specs: dict[str, LoadedSpec] = {}
    for file in files:
        for key, raw in file.entries.items():
            if only is not None and key != only:
                continue
            try:
                loaded = file.load(key)
            except SpecError as error:
                found += _complaints(error, file.path, key or None)
                continue
            specs.setdefault(loaded.spec.key, loaded)
            if is_catalog_entry(raw):
                entry = parse_catalog_entry(loaded.raw, what="", rules=file.rules)
                for text in entry_warnings(entry, file.rules):
                    found.append(_complaint(file.path, key, Problem(f"{text}."), "note", "warning"))
    return specs


def _metric_complaints(file: SpecFile) -> Iterator[Complaint]:
    for name in file.definitions:
        try:
            file.metrics.metric(name)
        except SpecError as error:
            for complaint in _complaints(error, file.path, None):
                line = line_in(file.path, name, error.problems[0] if error.problems else Problem(error.message))
                yield Complaint(file=file.path, line=line, severity="error", code=error.code, message=complaint.message)


def _prerequisite_complaints(files: Sequence[SpecFile], specs: Mapping[str, LoadedSpec]) -> Iterator[Complaint]:
    asked = {key: list(_prerequisites(entry)) for file in files for key, entry in file.entries.items()}
    if len(files) == 1 and not asked.keys() >= {name for names in asked.values() for name in names}:
        asked = {key: list(_prerequisites(entry)) for file in files_beside(files[0].path) for key, entry in file.entries.items()} | asked
    known = list(asked)
    for key, loaded in specs.items():
        for name in loaded.spec.prerequisites:
            if name not in known:
                hint = did_you_mean(name, known)
                text = f"{key!r} has the prerequisite {name!r}, which is not in the catalog. {hint}".rstrip()
                yield _complaint(loaded.path, key, Problem(text, _prerequisite_path(loaded)), "unknown_prerequisite")
        circle = _circle(key, asked)
        if circle:
            text = f"Prerequisites must not lead in a circle: {' -> '.join(circle)}. Take one of them out."
            yield _complaint(loaded.path, key, Problem(text, _prerequisite_path(loaded)), "cyclic_prerequisite")


def _prerequisite_path(loaded: LoadedSpec) -> tuple[str, ...]:
    return ("metadata", "prerequisite_experiments") if is_catalog_entry(loaded.raw) else ("prerequisites",)


def _prerequisites(entry: Mapping[str, object]) -> Iterator[str]:
    metadata = entry.get("metadata")
    section = cast("Mapping[str, object]", metadata).get("prerequisite_experiments") if isinstance(metadata, Mapping) else None
    names = section if is_catalog_entry(entry) else entry.get("prerequisites")
    if isinstance(names, str):
        yield names
    elif isinstance(names, list):
        yield from (str(name) for name in cast("list[object]", names))


def _circle(start: str, asked: Mapping[str, Sequence[str]]) -> list[str]:
    """The way from an experiment back to itself by prerequisites; empty when there is none."""
    left: list[list[str]] = [[start]]
    seen: set[str] = set()
    while left:
        way = left.pop()
        for name in asked.get(way[-1], ()):
            if name == start:
                return [*way, name]
            if name not in seen:
                seen.add(name)
                left.append([*way, name])
    return []


def _previous_complaints(file: SpecFile, specs: Mapping[str, LoadedSpec]) -> Iterator[Complaint]:
    """Older versions that break a rule, and steps between versions that are smaller than their changes."""
    for key, older in file.previous.items():
        if key not in specs or specs[key].path != file.path:
            continue
        chain = [specs[key]]
        for raw in sorted(older, key=lambda entry: version_order(version_of(entry)), reverse=True):
            try:
                chain.append(file.load(key, raw))
            except SpecError as error:
                said = f"Of version {version_of(raw)}: {error.message}"
                yield _complaint(file.path, key, Problem(said, error.problems[0].path if error.problems else ()), error.code)
        for new, old in itertools.pairwise(chain):
            yield from _step_complaints(old, new)


def _step_complaints(old: LoadedSpec, new: LoadedSpec) -> Iterator[Complaint]:
    for problem in diff_specs(old, new).problems:
        path = ("metadata", "config_version") if is_catalog_entry(new.raw) and problem.path == ("version",) else problem.path
        yield _complaint(new.path, new.spec.key, Problem(problem.text, path), "version")


def _against(path: Path, revision: str, specs: Mapping[str, LoadedSpec]) -> Iterator[Complaint]:
    """Steps since a revision that are smaller than the changes since then."""
    was = file_at(path, revision, missing_ok=True)
    if was is None:
        return
    before: Mapping[str, LoadedSpec] = check_specs(was.place).specs
    for key, loaded in specs.items():
        if key in before:
            yield from _step_complaints(before[key], loaded)


def _complaints(error: SpecError, path: Path, key: str | None) -> list[Complaint]:
    """What an error says, one complaint for each rule; its hint goes to the last."""
    problems = error.problems or (Problem(error.message),)
    hints = ["" for _ in problems[1:]] + [error.hint]
    return [
        _complaint(path, key, Problem(f"{problem.text} {hint}".rstrip(), problem.path, problem.line), error.code)
        for problem, hint in zip(problems, hints, strict=True)
    ]


def _complaint(path: Path, key: str | None, problem: Problem, code: str, severity: Severity = "error") -> Complaint:
    line = problem.line if problem.line is not None else line_in(path, key, problem)
    return Complaint(file=path, line=line, severity=severity, code=code, message=problem.text, experiment=key)
