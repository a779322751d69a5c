"""Change single values in a YAML text: comments, order and quotes of everything else stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import yaml

from fairtrial.errors import SpecError

Path = Sequence[str]


@dataclass(slots=True, kw_only=True)
class Node:
    """A part of the text.

    Attributes:
        kind: What it is; an alias is not followed.
        start: Where it begins.
        end: Where it ends; of a block, where its last value ends.
        flow: Whether it is written in braces or brackets.
        column: Where the first key of a mapping, or the first dash, stands.
        keys: Of a mapping: its values by key.
        items: Of a sequence: its values.
        text: Of a scalar: its value.
    """

    kind: Literal["mapping", "sequence", "scalar", "alias"]
    start: int
    end: int
    flow: bool = False
    column: int = 0
    keys: dict[str, Node] = field(default_factory=dict[str, "Node"])
    items: list[Node] = field(default_factory=list["Node"])
    text: str = ""


def set_value(text: str, path: Path, value: object) -> str:
    """The text with one value changed or added.

    Args:
        text: YAML.
        path: Keys down to the value; mappings on the way that are missing are made, an alias on
            the way is written out, so that what shares it does not change.
        value: What to put there: a scalar, list or mapping.

    Raises:
        SpecError: Something other than a mapping stands on the way.
    """
    node, depth = _tree(text), 0
    while depth < len(path) and node.kind == "mapping" and path[depth] in node.keys:
        node, depth = node.keys[path[depth]], depth + 1
    if depth == len(path):
        return text[: node.start] + _written(value) + text[node.end :]
    for key in reversed(path[depth + 1 :]):
        value = {key: value}
    if node.kind == "alias" or (node.kind == "scalar" and node.text in {"", "null", "~"}):
        old = _value_at(text, path[:depth])
        merged = _merged(old, {path[depth]: value})
        return text[: node.start] + (" " if node.kind == "scalar" and not node.text else "") + _written(merged) + text[node.end :]
    if node.kind != "mapping":
        raise SpecError(f"{'.'.join(path[:depth])} must be a mapping to write {path[depth]!r} into it.")
    return _added(text, node, f"{path[depth]}: {_written(value)}")


def append_item(text: str, path: Path, value: object) -> str:
    """The text with an item at the end of a list.

    Raises:
        SpecError: There is no list at the path.
    """
    node = _tree(text)
    for key in path:
        if node.kind != "mapping" or key not in node.keys:
            raise SpecError(f"There is no {'.'.join(path)} to add a line to.")
        node = node.keys[key]
    if node.kind != "sequence":
        raise SpecError(f"{'.'.join(path)} must be a list to add a line to it.")
    if node.flow or not node.items:
        return _added(text, node, _written(value))
    return _added(text, node, f"- {_written(value)}")


def _added(text: str, node: Node, line: str) -> str:
    """A line at the end of a block, or a further part between braces."""
    if node.flow:
        inside = text[node.start + 1 : node.end - 1]
        kept = inside.rstrip()
        comma = "" if not kept.strip() or kept.endswith(",") else ","
        room = " " if inside.endswith(" ") and kept.strip() else ""
        return f"{text[: node.start + 1]}{kept}{comma}{' ' if kept.strip() else ''}{line}{room}{text[node.end - 1 :]}"
    after = text.find("\n", node.end - 1) if text[node.end - 1 : node.end] == "\n" else text.find("\n", node.end)
    place = len(text) if after < 0 else after
    return f"{text[:place]}\n{' ' * node.column}{line}{text[place:]}"


def _written(value: object) -> str:
    """A value on one line."""
    made = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9).strip()
    return made.removesuffix("...").strip()


def _merged(old: object, new: Mapping[str, object]) -> dict[str, object]:
    made: dict[str, object] = dict(cast("Mapping[str, object]", old)) if isinstance(old, Mapping) else {}
    for key, value in new.items():
        made[key] = _merged(made.get(key), cast("Mapping[str, object]", value)) if isinstance(value, Mapping) else value
    return made


def _value_at(text: str, path: Path) -> object:
    value: object = yaml.safe_load(text)
    for key in path:
        value = cast("Mapping[str, object]", value)[key]
    return value


def _tree(text: str) -> Node:
    """The first document of a text."""
    events = [
        event
        for event in yaml.parse(text, Loader=yaml.SafeLoader)
        if not isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent | yaml.DocumentStartEvent | yaml.DocumentEndEvent)
    ]
    if not events:
        raise SpecError("There is nothing in the file to write into.")
    return _node(events, 0)[0]


def _node(events: Sequence[yaml.Event], at: int) -> tuple[Node, int]:
    """The node that begins with an event, and the place of the event after it."""
    event = events[at]
    start, end = _start(event).index, _end(event).index
    if isinstance(event, yaml.AliasEvent):
        return Node(kind="alias", start=start, end=end), at + 1
    if isinstance(event, yaml.ScalarEvent):
        return Node(kind="scalar", start=start, end=end, text=str(event.value)), at + 1
    return _mapping(events, at) if isinstance(event, yaml.MappingStartEvent) else _sequence(events, at)


def _mapping(events: Sequence[yaml.Event], at: int) -> tuple[Node, int]:
    first = cast("yaml.MappingStartEvent", events[at])
    node = Node(kind="mapping", start=_start(first).index, end=_end(first).index, flow=bool(first.flow_style))
    at += 1
    if not isinstance(events[at], yaml.MappingEndEvent):
        node.column = _start(events[at]).column
    while not isinstance(events[at], yaml.MappingEndEvent):
        key, at = _node(events, at)
        value, at = _node(events, at)
        node.keys[key.text] = value
        node.end = max(value.end, key.end)
    if node.flow:
        node.end = _end(events[at]).index
    return node, at + 1


def _sequence(events: Sequence[yaml.Event], at: int) -> tuple[Node, int]:
    first = cast("yaml.SequenceStartEvent", events[at])
    node = Node(kind="sequence", start=_start(first).index, end=_end(first).index, flow=bool(first.flow_style))
    node.column = _start(first).column
    at += 1
    while not isinstance(events[at], yaml.SequenceEndEvent):
        item, at = _node(events, at)
        node.items.append(item)
        node.end = item.end
    if node.flow:
        node.end = _end(events[at]).index
    return node, at + 1


def _start(event: yaml.Event) -> yaml.Mark:
    return cast("yaml.Mark", event.start_mark)


def _end(event: yaml.Event) -> yaml.Mark:
    return cast("yaml.Mark", event.end_mark)
