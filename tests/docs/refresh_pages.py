"""Bring what pages show up to date with what the program prints: `python tests/docs/refresh_pages.py [PAGE ...]`.

For when a wording of the program has changed on purpose. What a page leaves out (`...`)
stays left out. Read the difference before you commit it: a page's text may rest on it.
"""

from __future__ import annotations

import contextlib
import difflib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from page_runner import DOCS, FENCE, ROOT, Block, Shell, block_at, commands_of, difference, run_block, terminal

ENGINES = ("spark://local", "postgresql://analyst@db")
"""Commands that need an engine are left as they are."""


def refresh(page: Path) -> bool:
    """Run a page and rewrite the outputs that differ; whether there were any."""
    text = page.read_text(encoding="utf-8")
    pieces: list[str] = []
    done = 0
    shell, names = Shell(), {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), terminal():
        for match in FENCE.finditer(text):
            block = block_at(page, text, match)
            if any(engine in block.text for engine in ENGINES):
                continue
            if block.language == "console" and block.title is None:
                indent = match["indent"]
                fresh = "".join(f"{indent}{line}".rstrip() + "\n" for line in _console(block, shell))
                pieces += [text[done : match.start("text")], fresh]
                done = match.end("text")
            else:
                run_block(block, shell, names)
    renewed = "".join([*pieces, text[done:]])
    if renewed != text:
        page.write_text(renewed, encoding="utf-8")
    return renewed != text


def _console(block: Block, shell: Shell) -> list[str]:
    lines: list[str] = []
    for command in commands_of(block):
        printed = shell.run(command.text)
        shown = list(command.expected)
        lines += [f"$ {command.text}", *(renewed_lines(shown, printed) if difference(command.expected, printed) else shown)]
    return lines


def renewed_lines(shown: Sequence[str], printed: str) -> list[str]:
    """The parts of `printed` that stand where the shown parts stood."""
    lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
    if "..." not in shown:
        return lines
    renewed: list[str] = []
    start = 0
    for part in _parts(shown):
        if part == ["..."]:
            renewed.append("...")
            continue
        first = _nearest(part[0], lines, start)
        last = first + len(part) - 1 if len(part) == 1 else _nearest(part[-1], lines, first)
        renewed += [_as_shown(line, part) for line in lines[first : last + 1]]
        start = last + 1
    return renewed


def _as_shown(line: str, part: Sequence[str]) -> str:
    """The page's own line with `...` in it, where that still fits."""
    return next((known for known in part if "..." in known and not difference((known,), line)), line)


def _parts(shown: Sequence[str]) -> list[list[str]]:
    parts: list[list[str]] = []
    for line in shown:
        if line == "..." or not parts or parts[-1] == ["..."]:
            parts.append([line])
        else:
            parts[-1].append(line)
    return parts


def _nearest(wanted: str, lines: Sequence[str], start: int) -> int:
    """Index of the line from `start` on that is most like `wanted`; the first of equals."""
    likeness = [difflib.SequenceMatcher(None, wanted, line).ratio() for line in lines[start:]]
    return start + max(range(len(likeness)), key=likeness.__getitem__)


if __name__ == "__main__":
    named = [Path(name).resolve() for name in sys.argv[1:]] or [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    for changed in filter(refresh, named):
        print(changed.relative_to(ROOT))
