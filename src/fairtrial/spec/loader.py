"""Read specs from a file, a folder of files, or a file with an `experiments:` mapping."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import yaml

from fairtrial.errors import Problem, SpecError, UnknownNameError, UsageError
from fairtrial.spec.catalog import is_catalog_entry, translate_catalog_entry
from fairtrial.spec.catalog_file import Change, ValidationRules, read_catalog_file
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.metric_catalog import MetricCatalog, uses_of
from fairtrial.spec.model_experiment import is_model_experiment, translate_model_experiment
from fairtrial.spec.places import located
from fairtrial.spec.problems import shortened, validated

MOST_VALUES = 300_000
"""Values in one file, every alias counted as what it stands for."""

SUFFIXES = (".yaml", ".yml", ".json")
LARGEST_FILE = 10_000_000
"""Bytes; a spec is text written by people, so a larger file is something else opened by mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecFile:
    """A file of specs, its entries as they were written.

    Attributes:
        path: The file.
        entries: By key, in the file's order.
        previous: By key, the entries that the current one replaced.
        rules: Ranges that entries of the catalog's form keep.
        definitions: Metrics that the file defines, by name.
        metrics: Those of all files that were read with it, to which its entries refer.
        change_log: Changes that the file states of its experiments.
    """

    path: Path
    entries: Mapping[str, Mapping[str, object]]
    previous: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict[str, "Sequence[Mapping[str, object]]"])
    rules: ValidationRules = field(default_factory=ValidationRules)
    definitions: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, "Mapping[str, object]"])
    metrics: MetricCatalog = field(default_factory=MetricCatalog)
    change_log: Sequence[Change] = ()

    def parse(self, key: str, raw: Mapping[str, object] | None = None) -> ExperimentSpec:
        """The spec of an entry, its metrics found and its broken rules told with their lines.

        Args:
            key: Of the entry.
            raw: The entry, or an older version of it; default: the current one.

        Raises:
            SpecError: A rule is broken.
        """
        what = f"spec {shortened(key)} in {self.path.name}" if key else f"spec in {self.path.name}"
        try:
            return parse_spec(
                self.entries[key] if raw is None else raw, what=what, name=key or None, rules=self.rules, metrics=self.metrics
            )
        except SpecError as error:
            if raw is not None and raw is not self.entries[key]:
                raise
            raise located(error, self.path, key, what=what) from error

    def load(self, key: str, raw: Mapping[str, object] | None = None) -> LoadedSpec:
        """The spec of an entry with where it came from; the arguments are those of `parse`.

        Raises:
            SpecError: A rule is broken.
        """
        spec = self.parse(key, raw)
        entry = self.metrics.resolved(self.entries[key] if raw is None else raw, what=f"spec {shortened(key)}")
        log = [line for line in self.change_log if line.experiment == spec.key]
        return LoadedSpec(spec=spec, path=self.path, raw=entry, change_log=[*log, *spec.change_log])


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSpec:
    """A spec and where it came from.

    Attributes:
        spec: In normal form.
        path: The file it was read from.
        raw: The file's own mapping for this experiment, the metrics that it uses filled in.
        change_log: Lines of the file's and the spec's own change log about it.
    """

    spec: ExperimentSpec
    path: Path
    raw: Mapping[str, object]
    change_log: Sequence[Change] = ()

    @property
    def base(self) -> Path:
        """The folder that relative data sources count from."""
        return self.path.parent


def parse_spec(
    raw: object,
    *,
    what: str = "experiment spec",
    name: str | None = None,
    rules: ValidationRules | None = None,
    metrics: MetricCatalog | None = None,
) -> ExperimentSpec:
    """Build a spec from a mapping in normal form, in the catalog's form or in that of `ExperimentConfig`.

    Args:
        raw: The mapping.
        what: What is being read, for messages.
        name: Key under which the mapping stands in its file; it must agree with the spec's own,
            and stands for it in a normal form that has none.
        rules: Ranges that an entry of the catalog's form keeps.
        metrics: The metrics that the spec may refer to by `use`.

    Raises:
        SpecError: A rule is broken; the message lists all that are.
    """
    if isinstance(raw, Mapping):
        raw = (metrics or MetricCatalog()).resolved(cast("Mapping[str, object]", raw), what=what)
    if is_model_experiment(raw):
        spec = translate_model_experiment(cast("Mapping[str, object]", _with_default(raw, "name", name)), what=what)
    elif is_catalog_entry(raw):
        spec = translate_catalog_entry(cast("Mapping[str, object]", raw), what=what, name=name, rules=rules)
    else:
        spec = validated(ExperimentSpec, _with_default(raw, "key", name), what=what)
    if name is not None and spec.key != name:
        raise SpecError(f"The {what} calls itself {spec.key!r}; the two names must agree.")
    return spec


def load_specs(path: str | Path) -> dict[str, LoadedSpec]:
    """Read every spec of a file or folder, by key, in the order of files and entries.

    Raises:
        UsageError: There is no such file or folder, or it holds no spec.
        SpecError: A file is not YAML or JSON, a spec breaks a rule, or two share a key.
    """
    found: dict[str, LoadedSpec] = {}
    broken: list[SpecError] = []
    for file in read_spec_files(path):
        for key in file.entries:
            try:
                loaded = file.load(key)
            except SpecError as error:
                broken.append(error)
            else:
                found[loaded.spec.key] = loaded
    if len(broken) > 1:
        hint = " ".join(dict.fromkeys(error.hint for error in broken if error.hint))
        raise SpecError(
            "\n".join(error.message for error in broken), hint=hint, problems=[problem for error in broken for problem in error.problems]
        )
    if broken:
        raise broken[0]
    return found


def load_spec(path: str | Path, key: str | None = None) -> LoadedSpec:
    """Read one spec; `key` chooses among several.

    Raises:
        UnknownNameError: No spec has that key.
        UsageError: There are several and no key was given.
        SpecError: A rule is broken.
    """
    specs = load_specs(path)
    if key is not None:
        if key not in specs:
            raise UnknownNameError.among("experiment", key, specs)
        return specs[key]
    if len(specs) > 1:
        raise UsageError(f"{str(path)!r} holds {len(specs)} experiments: {list(specs)}.", hint="Name one of them (--experiment).")
    return next(iter(specs.values()))


def read_spec_files(path: str | Path) -> list[SpecFile]:
    """Read a file, or every spec file of a folder, without checking the entries.

    Returns:
        The files that hold entries, sorted by name.

    Raises:
        UsageError: There is no such file or folder, or it holds no spec.
        SpecError: A file is not YAML or JSON, or two entries share a key.
    """
    place = Path(path)
    if not place.exists():
        raise UsageError(f"A spec is a YAML or JSON file or a folder of them; there is no {str(path)!r}.", hint="Check the path.")
    read = with_metrics([read_spec_file(file) for file in spec_paths(place)])
    homes: dict[str, str] = {}
    for file in read:
        for key in file.entries:
            if key and key in homes:
                raise SpecError(
                    f"Experiment keys must be unique: {key!r} stands in {homes[key]} and in {file.path.name}.", code="duplicate"
                )
            homes[key] = file.path.name
    if not homes:
        raise UsageError(f"No spec in {str(path)!r}: it holds no {', '.join(SUFFIXES)} file with an experiment.")
    return read


def spec_paths(place: Path) -> list[Path]:
    """The spec files of a folder, sorted by name; a file stands for itself."""
    return sorted(f for f in place.iterdir() if f.suffix in SUFFIXES) if place.is_dir() else [place]


def with_metrics(files: Sequence[SpecFile]) -> list[SpecFile]:
    """Files that were read together, each knowing the metrics that any of them defines.

    A file that was read alone and uses a metric which it does not define knows those of the files beside it.

    Raises:
        SpecError: Two files define one metric.
    """
    definitions: dict[str, Mapping[str, object]] = {}
    homes: dict[str, Path] = {}
    beside = files_beside(files[0].path) if len(files) == 1 and _asks_for_more(files[0]) else []
    for file in (*files, *beside):
        for name, definition in file.definitions.items():
            if name in homes:
                raise SpecError(
                    f"Metrics are defined once: {name!r} stands in {homes[name].name} and in {file.path.name}.", code="duplicate"
                )
            definitions[name], homes[name] = definition, file.path
    catalog = MetricCatalog(definitions, homes)
    return [replace(file, metrics=catalog) for file in files]


def files_beside(path: Path) -> list[SpecFile]:
    """The other spec files in the folder of a file; one that cannot be read is not what was asked for, and left out."""
    found: list[SpecFile] = []
    for other in spec_paths(path.parent):
        if other.name != path.name:
            with suppress(SpecError):
                found.append(read_spec_file(other))
    return found


def _asks_for_more(file: SpecFile) -> bool:
    """Whether a file uses a metric, or builds on one, that it does not define."""
    entries = [*file.entries.values(), *(entry for older in file.previous.values() for entry in older)]
    asked = [name for entry in entries for name in uses_of(entry)]
    asked += [str(definition["extends"]) for definition in file.definitions.values() if "extends" in definition]
    return not file.definitions.keys() >= set(asked)


def read_mapping(file: Path) -> Mapping[str, object]:
    """The mapping in a YAML or JSON file.

    Raises:
        SpecError: The file is too large, is not text, is not YAML or JSON, or is no mapping.
    """
    if not file.is_file():
        what = "is something else" if file.exists() else "is not there"
        raise SpecError(f"A spec file is a file of text; {file.name} {what}.", hint="Check the path.")
    if file.stat().st_size > LARGEST_FILE:
        raise SpecError(f"A spec file is at most {LARGEST_FILE // 1_000_000} MB of text; {file.name} has {file.stat().st_size:,} bytes.")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"A spec file is UTF-8 text; {file.name} is not.") from error
    except OSError as error:
        raise SpecError(f"A spec file must be readable; {file.name} is not: {error.strerror}.", hint="Check its permissions.") from error
    try:
        raw: object = json.loads(text, object_pairs_hook=_unique_pairs) if file.suffix == ".json" else yaml.load(text, Loader=_SpecYaml)  # noqa: S506
    except SpecError as error:
        raise SpecError(f"In {file.name}: {error.message}", hint=error.hint) from error
    except yaml.MarkedYAMLError as error:
        raise _yaml_error(file.name, error) from error
    except (yaml.YAMLError, ValueError) as error:
        form, line = ("JSON", getattr(error, "lineno", None)) if file.suffix == ".json" else ("YAML", None)
        message = f"{file.name} is not valid {form}: {error}."
        raise SpecError(message, problems=[Problem(message, line=line)]) from error
    except RecursionError as error:
        raise SpecError(f"A spec is a few levels deep; {file.name} nests without end.") from error
    _check_values(raw, file.name)
    if not isinstance(raw, Mapping):
        raise SpecError(f"A spec file holds a mapping of keys to values; {file.name} holds {_kind(raw)}.", hint=FORM_HINT)
    return cast("Mapping[str, object]", raw)


def _check_values(raw: object, file_name: str) -> None:
    """Refuse a short file that aliases unfold into a huge one, or into itself, and text that cannot be written."""
    left, seen = [raw], 0
    while left:
        value = left.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise SpecError(f"A spec file holds at most {MOST_VALUES:,} values; {file_name} unfolds to more.", hint="Look at its aliases.")
        if isinstance(value, Mapping):
            left.extend(cast("Mapping[object, object]", value).values())
            left.extend(cast("Mapping[object, object]", value))
        elif isinstance(value, list):
            left.extend(cast("list[object]", value))
        elif isinstance(value, str) and not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise SpecError(f"Text must be whole characters; {file_name} has the half of one in {value!r}.")


def read_spec_file(path: Path) -> SpecFile:
    """Read one file without checking its entries; `with_metrics` joins it to the others.

    Raises:
        SpecError: It is not YAML or JSON, or its top level breaks a rule.
    """
    raw = read_mapping(path)
    if "experiments" not in raw and "metric_catalog" not in raw:
        return SpecFile(path=path, entries={entry_key(raw): raw})
    own = _section(raw, "experiments", path)
    definitions = _section(raw, "metric_catalog", path)
    what = f"file {path.name}"
    try:
        file = read_catalog_file({**raw, "experiments": own, "metric_catalog": definitions}, what=what)
    except SpecError as error:
        raise located(error, path, None, what=what) from error
    return SpecFile(
        path=path,
        entries=own,
        previous=file.previous_versions,
        rules=file.rules,
        definitions=definitions,
        change_log=file.config_metadata.change_log if file.config_metadata else (),
    )


def _section(raw: Mapping[str, object], name: str, path: Path) -> dict[str, Mapping[str, object]]:
    """The mapping of key to mapping under `name`, empty where the file has none."""
    section = raw.get(name, {})
    thing = "spec" if name == "experiments" else "metric"
    if not isinstance(section, Mapping):
        raise SpecError(f"`{name}` maps keys to {thing}s; in {path.name} it is {_kind(section)}.")
    own = {str(key): entry for key, entry in cast("Mapping[object, object]", section).items()}
    for key, entry in own.items():
        if not isinstance(entry, Mapping):
            error = SpecError(f"The {thing} {key!r} in {path.name} must be a mapping, got {_kind(entry)}.")
            raise located(error, path, key, what="")
    return cast("dict[str, Mapping[str, object]]", own)


def entry_key(raw: Mapping[str, object]) -> str:
    """The key that a spec calls itself, in any of the three forms; empty when it has none."""
    design = raw.get("design")
    if is_catalog_entry(raw) and isinstance(design, Mapping):
        key = cast("Mapping[str, object]", design).get("experiment_name")
    else:
        key = raw.get("name") if is_model_experiment(raw) else raw.get("key")
    return "" if key is None else str(key)


def _with_default(raw: object, name: str, value: str | None) -> object:
    """A mapping with `value` under `name`, when it has nothing there of its own."""
    if value is None or not isinstance(raw, Mapping) or name in raw:
        return cast("object", raw)
    return {name: value, **cast("Mapping[str, object]", raw)}


FORM_HINT = "It begins with lines such as `key: checkout` and `arms: [control, treatment]`; `fairtrial schema` has all of them."

YAML_HINTS = (
    ("\\t", "YAML indents with spaces, never with tabs."),
    ("mapping values are not allowed", "Put text that holds a colon in quotes, and begin keys of one level in one column."),
    ("single document", "Keep one document a file; several experiments stand under `experiments:`, by key."),
    ("stream end", "A bracket, brace or quote is open at the end of the file: close it."),
    ("expected <block end>", "Begin keys of one level in one column."),
    ("cannot start any token", "Put text that begins with a sign in quotes."),
    ("given twice", "Keep one of the two."),
)
"""What to do about what the parser says."""


def _yaml_error(name: str, error: yaml.MarkedYAMLError) -> SpecError:
    """What is wrong with a file's YAML, and in which line."""
    mark = error.problem_mark or error.context_mark
    place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    problem = error.problem or error.context or "it cannot be read"
    began = error.context_mark
    within = "" if error.problem is None or error.context is None else f" ({error.context}"
    if within:
        within += ")" if began is None or mark is None or began.line == mark.line else f" begun in line {began.line + 1})"
    hint = next((hint for sign, hint in YAML_HINTS if sign in f"{error.context} {problem}"), "")
    message = f"{name} is not valid YAML: {place}{problem.replace('<stream end>', 'the end of the file')}{within}."
    return SpecError(message, hint=hint, problems=[Problem(message, line=None if mark is None else mark.line + 1)])


class _SpecYaml(yaml.SafeLoader):
    """YAML whose only booleans are true and false (an arm may be named `on`), without repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:  # noqa: FBT001, FBT002
        seen: set[object] = set()
        for key_node, _ in node.value:
            key: object = self.construct_object(key_node, deep=True)  # pyright: ignore[reportUnknownMemberType]
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_yaml_timestamp(self, node: yaml.ScalarNode) -> dt.date:
        try:
            return super().construct_yaml_timestamp(node)
        except ValueError as error:  # a date such as 2024-02-31
            raise yaml.constructor.ConstructorError(None, None, f"{node.value!r} is no date: {error}", node.start_mark) from error


_SpecYaml.add_constructor("tag:yaml.org,2002:timestamp", _SpecYaml.construct_yaml_timestamp)


_SpecYaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_SpecYaml.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def _unique_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    mapping: dict[str, object] = {}
    for key, value in pairs:
        if key in mapping:
            raise SpecError(f"Key {key!r} is given twice.")
        mapping[key] = value
    return mapping


def _kind(value: object) -> str:
    return {"NoneType": "nothing", "list": "a list", "str": "text"}.get(type(value).__name__, f"a {type(value).__name__}")
