"""Read specs from a file, a folder of files, or a file with an `experiments:` mapping."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

from fairtrial.errors import SpecError, UnknownNameError, UsageError
from fairtrial.spec.catalog import is_catalog_entry, translate_catalog_entry
from fairtrial.spec.experiment import ExperimentSpec
from fairtrial.spec.problems import validated

SUFFIXES = (".yaml", ".yml", ".json")
LARGEST_FILE = 10_000_000
"""Bytes; a spec is text written by people, so a larger file is something else opened by mistake."""


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


def parse_spec(raw: object, *, what: str = "experiment spec") -> ExperimentSpec:
    """Build a spec from a mapping in normal form or in the catalog's form.

    Raises:
        SpecError: A rule is broken; the message lists all that are.
    """
    if is_catalog_entry(raw):
        return translate_catalog_entry(cast("Mapping[str, object]", raw), what=what)
    return validated(ExperimentSpec, raw, what=what)


def load_specs(path: str | Path) -> dict[str, LoadedSpec]:
    """Read every spec of a file or folder, by key, in the order of files and entries.

    Raises:
        UsageError: There is no such file or folder, or it holds no spec.
        SpecError: A file is not YAML or JSON, a spec breaks a rule, or two share a key.
    """
    place = Path(path)
    if not place.exists():
        raise UsageError(f"A spec is a YAML or JSON file or a folder of them; there is no {str(path)!r}.", hint="Check the path.")
    files = sorted(f for f in place.iterdir() if f.suffix in SUFFIXES) if place.is_dir() else [place]
    found: dict[str, LoadedSpec] = {}
    for file in files:
        for loaded in _load_file(file):
            if loaded.spec.key in found:
                other = found[loaded.spec.key].path
                raise SpecError(f"Experiment keys must be unique: {loaded.spec.key!r} stands in {other.name} and in {file.name}.")
            found[loaded.spec.key] = loaded
    if not found:
        raise UsageError(f"No spec in {str(path)!r}: it holds no {', '.join(SUFFIXES)} file with an experiment.")
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
        raise UsageError(f"{str(path)!r} holds {len(specs)} experiments: {list(specs)}.", hint="Name one.")
    return next(iter(specs.values()))


def read_mapping(file: Path) -> Mapping[str, object]:
    """The mapping in a YAML or JSON file.

    Raises:
        SpecError: The file is too large, is not text, is not YAML or JSON, or is no mapping.
    """
    if file.stat().st_size > LARGEST_FILE:
        raise SpecError(f"A spec file is at most {LARGEST_FILE // 1_000_000} MB of text; {file.name} has {file.stat().st_size:,} bytes.")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(f"A spec file is UTF-8 text; {file.name} is not.") from error
    try:
        raw: object = json.loads(text, object_pairs_hook=_unique_pairs) if file.suffix == ".json" else yaml.load(text, Loader=_SpecYaml)  # noqa: S506
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise SpecError(f"{file.name} is not valid {'JSON' if file.suffix == '.json' else 'YAML'}: {error}") from error
    if not isinstance(raw, Mapping):
        raise SpecError(f"A spec file holds a mapping of keys to values; {file.name} holds {_kind(raw)}.")
    return cast("Mapping[str, object]", raw)


def _load_file(file: Path) -> list[LoadedSpec]:
    raw = read_mapping(file)
    if "experiments" not in raw:
        return [LoadedSpec(spec=parse_spec(raw, what=f"spec in {file.name}"), path=file, raw=raw)]
    entries = raw["experiments"]
    if not isinstance(entries, Mapping):
        raise SpecError(f"`experiments` maps keys to specs; in {file.name} it is {_kind(entries)}.")
    loaded: list[LoadedSpec] = []
    for key, entry in cast("Mapping[str, object]", entries).items():
        what = f"spec {str(key)!r} in {file.name}"
        if not isinstance(entry, Mapping):
            raise SpecError(f"The {what} must be a mapping, got {_kind(entry)}.")
        own = cast("Mapping[str, object]", entry)
        keyed = own if is_catalog_entry(own) or "key" in own else {"key": str(key), **own}
        spec = parse_spec(keyed, what=what)
        if spec.key != key:
            raise SpecError(f"The {what} calls itself {spec.key!r}; the two names must agree.")
        loaded.append(LoadedSpec(spec=spec, path=file, raw=own))
    return loaded


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
