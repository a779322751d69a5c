"""Read specs from a file, a folder of files, or a file with an `experiments:` mapping."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import yaml

from fairtrial.errors import SpecError, UnknownNameError, UsageError
from fairtrial.spec.catalog import is_catalog_entry, translate_catalog_entry
from fairtrial.spec.catalog_file import ValidationRules, read_catalog_file
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.model_experiment import is_model_experiment, translate_model_experiment
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
    """

    path: Path
    entries: Mapping[str, Mapping[str, object]]
    previous: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict[str, "Sequence[Mapping[str, object]]"])
    rules: ValidationRules = field(default_factory=ValidationRules)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSpec:
    """A spec and where it came from.

    Attributes:
        spec: In normal form.
        path: The file it was read from.
        raw: The file's own mapping for this experiment.
    """

    spec: ExperimentSpec
    path: Path
    raw: Mapping[str, object]

    @property
    def base(self) -> Path:
        """The folder that relative data sources count from."""
        return self.path.parent


def parse_spec(
    raw: object, *, what: str = "experiment spec", name: str | None = None, rules: ValidationRules | None = None
) -> ExperimentSpec:
    """Build a spec from a mapping in normal form, in the catalog's form or in that of `ExperimentConfig`.

    Args:
        raw: The mapping.
        what: What is being read, for messages.
        name: Key under which the mapping stands in its file; it must agree with the spec's own,
            and stands for it in a normal form that has none.
        rules: Ranges that an entry of the catalog's form keeps.

    Raises:
        SpecError: A rule is broken; the message lists all that are.
    """
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
        for key, raw in file.entries.items():
            what = f"spec {shortened(key)} in {file.path.name}" if key else f"spec in {file.path.name}"
            try:
                spec = parse_spec(raw, what=what, name=key or None, rules=file.rules)
            except SpecError as error:
                broken.append(error)
            else:
                found[spec.key] = LoadedSpec(spec=spec, path=file.path, raw=raw)
    if len(broken) > 1:
        raise SpecError("\n".join(error.message for error in broken), hint=" ".join(dict.fromkeys(e.hint for e in broken if e.hint)))
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
    files = sorted(f for f in place.iterdir() if f.suffix in SUFFIXES) if place.is_dir() else [place]
    read = [_read_spec_file(file) for file in files]
    homes: dict[str, str] = {}
    for file in read:
        for key in file.entries:
            if key and key in homes:
                raise SpecError(f"Experiment keys must be unique: {key!r} stands in {homes[key]} and in {file.path.name}.")
            homes[key] = file.path.name
    if not homes:
        raise UsageError(f"No spec in {str(path)!r}: it holds no {', '.join(SUFFIXES)} file with an experiment.")
    return read


def read_mapping(file: Path) -> Mapping[str, object]:
    """The mapping in a YAML or JSON file.

    Raises:
        SpecError: The file is too large, is not text, is not YAML or JSON, or is no mapping.
    """
    if not file.is_file():
        raise SpecError(f"A spec file is a file of text; {file.name} is something else.")
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
        raise SpecError(f"{file.name} is not valid {'JSON' if file.suffix == '.json' else 'YAML'}: {error}.") from error
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


def _read_spec_file(path: Path) -> SpecFile:
    raw = read_mapping(path)
    if "experiments" not in raw:
        return SpecFile(path=path, entries={entry_key(raw): raw})
    entries = raw["experiments"]
    if not isinstance(entries, Mapping):
        raise SpecError(f"`experiments` maps keys to specs; in {path.name} it is {_kind(entries)}.")
    own = {str(key): entry for key, entry in cast("Mapping[object, object]", entries).items()}
    for key, entry in own.items():
        if not isinstance(entry, Mapping):
            raise SpecError(f"The spec {key!r} in {path.name} must be a mapping, got {_kind(entry)}.")
    file = read_catalog_file({**raw, "experiments": own}, what=f"file {path.name}")
    return SpecFile(path=path, entries=cast("Mapping[str, Mapping[str, object]]", own), previous=file.previous_versions, rules=file.rules)


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
    return SpecError(f"{name} is not valid YAML: {place}{problem.replace('<stream end>', 'the end of the file')}{within}.", hint=hint)


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
