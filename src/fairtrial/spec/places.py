"""In which line of a file a value stands: YAML and JSON by their nodes, each rule by the keys and names that it speaks of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import yaml

from fairtrial.errors import Problem, SpecError
from fairtrial.spec.problems import spec_error

Steps = Sequence[int | str]

DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.\w+|\[\d+\])+")
QUOTED = re.compile(r"'([^']+)'")
WORD = re.compile(r"[A-Za-z_]\w+")
NAMED_BY = ("key", "name", "use")
"""Keys by which an item of a list is called."""


def node_of(text: str) -> yaml.Node | None:
    """The tree of a YAML or JSON text with the places of its values; None when it has none."""
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)  # pyright: ignore[reportUnknownMemberType]
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def items_of(node: yaml.Node) -> Iterator[tuple[yaml.Node | None, yaml.Node]]:
    """Keys and values of a mapping, or nothing and the items of a list."""
    if isinstance(node, yaml.MappingNode):
        yield from cast("list[tuple[yaml.Node, yaml.Node]]", node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from ((None, item) for item in cast("list[yaml.Node]", node.value))


def child(node: yaml.Node, step: int | str) -> tuple[yaml.Node, yaml.Node] | None:
    """Where a step leads: the node that says it (a key, or the item), and its value.

    A name leads into a list of named items, an index into a mapping by order: both are short forms of each other.
    """
    pairs = [(key or value, value) for key, value in items_of(node)]
    if isinstance(step, int):
        return pairs[step] if 0 <= step < len(pairs) else None
    for key, value in items_of(node):
        if (key is not None and text_of(key) == step) or (key is None and _called(value) == step):
            return key or value, value
    return None


def text_of(node: yaml.Node) -> str | None:
    """The text of a plain value; None of a list or mapping."""
    return cast("str", node.value) if isinstance(node, yaml.ScalarNode) else None


def line_of(node: yaml.Node) -> int:
    """Line where a node begins, from 1."""
    return cast("int", node.start_mark.line) + 1


def _called(node: yaml.Node) -> str | None:
    names = {text_of(key): text_of(value) for key, value in items_of(node) if key is not None}
    return next((names[by] for by in NAMED_BY if names.get(by)), text_of(node))


def follow(node: yaml.Node, steps: Steps) -> tuple[int, yaml.Node]:
    """The deepest node on the way along `steps`, and how many of them led to it; the node is the one that says the last."""
    said, here = node, node
    for depth, step in enumerate(steps):
        found = child(here, step)
        if found is None:
            return depth, said
        said, here = found
    return len(steps), said


def line_in(file: Path, key: str | None, problem: Problem) -> int | None:
    """The line of a file that a problem of one of its experiments is about; None when the file cannot be read."""
    try:
        top = node_of(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return None
    return None if top is None else locate(problem, *entry_node(top, key))


def entry_node(top: yaml.Node, key: str | None) -> tuple[yaml.Node, yaml.Node]:
    """The node that names an experiment of a file, and its own: the file's where it holds one alone."""
    for section in ("experiments", "metric_catalog"):
        homes = child(top, section)
        found = None if homes is None or key is None else child(homes[1], key)
        if found is not None:
            return found
    return top, top


def locate(problem: Problem, said: yaml.Node, entry: yaml.Node) -> int:
    """The line of the file that a problem is about; the entry's first line when it names nothing that stands there."""
    depth, node = follow(entry, problem.path)
    if depth:
        return line_of(node)
    ways = [[int(part) if part.isdecimal() else part for part in re.findall(r"\w+", way)] for way in DOTTED.findall(problem.text)]
    reached = sorted((follow(entry, way) for way in ways), key=lambda found: -found[0])
    if reached and reached[0][0]:
        return line_of(reached[0][1])
    words = [*QUOTED.findall(problem.text), *(word for word in WORD.findall(problem.text) if "_" in word or child(entry, word))]
    for word in words:
        found = next((node for node in _all(entry) if text_of(node) == word), None)
        if found is not None:
            return line_of(found)
    return line_of(said)


def located(error: SpecError, file: Path, key: str | None, *, what: str) -> SpecError:
    """The same error, each of its problems with the line of the file.

    Args:
        error: What was found.
        file: The file that was read.
        key: The experiment in it; None for the file as a whole.
        what: What was read, for the message.
    """
    if any(problem.line is not None for problem in error.problems):
        return error
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return error
    top = node_of(text)
    if top is None:
        return error
    said, entry = entry_node(top, key)
    if not error.problems or error.problems[0].text == error.message:
        line = locate(error.problems[0] if error.problems else Problem(error.message), said, entry)
        return SpecError(f"{error.message} (line {line})", hint=error.hint, code=error.code, problems=[Problem(error.message, line=line)])
    return spec_error(what, [replace(problem, line=locate(problem, said, entry)) for problem in error.problems])


def _all(node: yaml.Node) -> Iterator[yaml.Node]:
    """Every key and value below a node, in the order of the file."""
    left, seen = [node], set[int]()
    while left:
        here = left.pop()
        if id(here) in seen:  # an alias
            continue
        seen.add(id(here))
        yield here
        left.extend(reversed([part for pair in items_of(here) for part in pair if part is not None]))
