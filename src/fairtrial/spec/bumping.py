"""Move the version of a spec and log it, in the file's own text: every comment and every blank line stays."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import yaml

from fairtrial.errors import UsageError
from fairtrial.spec.places import child, entry_node, items_of, node_of
from fairtrial.spec.versions import Level

BY_HAND = "Write the version and its line in the change log by hand."


@dataclass(frozen=True, slots=True, kw_only=True)
class Bump:
    """A step of a version.

    Attributes:
        key: The experiment.
        version: The version it makes.
        level: How large the step is.
        day: The day of it.
        description: What changed.
    """

    key: str
    version: str
    level: Level
    day: dt.date
    description: str


def bump_text(text: str, bump: Bump, *, sections: bool, keep: Mapping[str, object] | None = None) -> str:
    """The text of a spec file after a step of a version.

    Args:
        text: The file's text.
        bump: The step.
        sections: Whether the experiment is written in the catalog form, with its version under `metadata`.
        keep: The experiment as it was, to stand under `previous_versions`.

    Raises:
        UsageError: The version or the log stands in an alias, where a change would reach other experiments.
    """
    text = _set_version(text, bump, sections=sections)
    text = _log(text, bump, sections=sections)
    return text if keep is None else _keep(text, bump.key, keep)


def _entry(text: str, key: str) -> tuple[yaml.Node, yaml.Node]:
    """The file's mapping, and the experiment's."""
    top = node_of(text)
    if top is None:
        raise UsageError("The version of a file that is not YAML or JSON cannot be moved.", hint="fairtrial validate FILE")
    return top, entry_node(top, key)[1]


def _set_version(text: str, bump: Bump, *, sections: bool) -> str:
    _, entry = _entry(text, bump.key)
    home = entry
    if sections:
        found = child(entry, "metadata")
        if found is None:
            return _append(text, entry, "metadata", {"config_version": bump.version})
        home = _own(found, entry)
    name = "config_version" if sections else "version"
    found = child(home, name)
    if found is None:
        return _insert_first(text, home, name, bump.version)
    value = _own(found, entry)
    start, end = _span(value)
    quote = text[start] if text[start] in "'\"" else ""
    return f"{text[:start]}{quote}{bump.version}{quote}{text[end:]}"


def _log(text: str, bump: Bump, *, sections: bool) -> str:
    top, entry = _entry(text, bump.key)
    line: dict[str, object] = {"version": bump.version, "date": bump.day}
    shared = child(top, "config_metadata") if child(top, "experiments") else None
    if shared is not None:
        home = shared[1]
        line["experiment"] = bump.key
    else:
        found = child(entry, "metadata") if sections else None
        home = entry if found is None else _own(found, entry)
    line |= {"level": bump.level, "description": bump.description}
    found = child(home, "change_log")
    if found is None:
        return _append(text, home, "change_log", [line])
    log = _own(found, home)
    if any(_says(item, bump) for _, item in items_of(log)):
        return text
    return _add_item(text, log, line)


def _says(item: yaml.Node, bump: Bump) -> bool:
    """Whether a line of the log is about this version."""
    said = {name: found[1].value for name in ("version", "experiment") if (found := child(item, name)) is not None}
    return said.get("version") == bump.version and said.get("experiment", bump.key) == bump.key


def _keep(text: str, key: str, was: Mapping[str, object]) -> str:
    top, _ = _entry(text, key)
    found = child(top, "previous_versions")
    if found is None:
        return _append(text, top, "previous_versions", {key: [dict(was)]})
    mine = child(found[1], key)
    if mine is None:
        return _append(text, found[1], key, [dict(was)])
    return _add_item(text, mine[1], dict(was))


def _span(node: yaml.Node) -> tuple[int, int]:
    return cast("int", node.start_mark.index), cast("int", node.end_mark.index)


def _own(found: tuple[yaml.Node, yaml.Node], within: yaml.Node) -> yaml.Node:
    """The value of a key, which stands behind it and in no other place."""
    key, value = found
    if not _span(key)[1] <= _span(value)[0] <= _span(within)[1]:
        raise UsageError(f"{key.value!r} is an alias of another place in the file, which would change too.", hint=BY_HAND)
    return value


def _is_flow(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and bool(node.flow_style)


def _content_end(text: str, node: yaml.Node) -> int:
    """Where the last character of a node's own text stands, its line's comment included."""
    if isinstance(node, yaml.CollectionNode) and not _is_flow(node) and node.value:
        key, value = list(items_of(node))[-1]
        last = value if key is None or _span(value)[0] >= _span(key)[1] else key  # an alias ends where it is said
        return _content_end(text, last)
    end = len(text[: _span(node)[1]].rstrip())
    line_end = text.find("\n", end)
    return len(text) if line_end < 0 else line_end - (1 if text[line_end - 1] == "\r" else 0)


def _insert_first(text: str, mapping: yaml.Node, name: str, value: str) -> str:
    """A new key near the top of a mapping: behind its first line, where that is a plain value."""
    pairs = list(items_of(mapping))
    if _is_flow(mapping) or not pairs:
        start = _span(mapping)[0] + 1
        return f"{text[:start]}{json.dumps(name)}: {json.dumps(value)}{', ' if pairs else ''}{text[start:]}"
    key, first = pairs[0]
    indent = " " * _column(mapping)
    if isinstance(first, yaml.ScalarNode) and key is not None:
        end = _content_end(text, first)
        return f"{text[:end]}{_newline(text)}{indent}{name}: {value}{text[end:]}"
    start = _span(mapping)[0]
    return f"{text[:start]}{name}: {value}{_newline(text)}{indent}{text[start:]}"


def _append(text: str, mapping: yaml.Node, name: str, value: object) -> str:
    """A new key at the end of a mapping."""
    if _is_flow(mapping):
        return _into_flow(text, mapping, f"{json.dumps(name)}: {_as_json(value)}")
    return _after(text, mapping, _block({name: value}), indent=_column(mapping))


def _add_item(text: str, sequence: yaml.Node, value: object) -> str:
    """A new item at the end of a list."""
    if _is_flow(sequence) or not list(items_of(sequence)):
        return _into_flow(text, sequence, _as_json(value))
    return _after(text, sequence, _block([value]), indent=_column(sequence))


def _into_flow(text: str, node: yaml.Node, new: str) -> str:
    items = list(items_of(node))
    close = _span(node)[1] - 1
    if not items:
        return f"{text[:close]}{new}{text[close:]}"
    end = max(_span(value)[1] for _, value in items if _span(value)[1] <= close)
    return f"{text[:end]}, {new}{text[end:]}"


def _after(text: str, node: yaml.Node, block: str, *, indent: int) -> str:
    end = _content_end(text, node)
    newline = _newline(text)
    lines = newline.join(" " * indent + line for line in block.splitlines())
    return f"{text[:end]}{newline}{lines}{text[end:] or newline}"


def _column(node: yaml.Node) -> int:
    return cast("int", node.start_mark.column)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


class _Block(yaml.SafeDumper):
    """YAML without aliases, lists set in below their key."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, indentless=False)


def _block(value: object) -> str:
    dumped = yaml.dump(value, Dumper=_Block, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=False)
    return dumped.rstrip("\n")


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=lambda day: cast("dt.date", day).isoformat())
