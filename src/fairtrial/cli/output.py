"""How the program speaks: data on stdout, talk on stderr, errors in three lines."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from fairtrial.errors import FairtrialError

Report = Callable[[str], None]


def out() -> Console:
    """The console for data."""
    return Console(file=sys.stdout, soft_wrap=False, width=_width(sys.stdout.isatty()))


def talk() -> Console:
    """The console for talk."""
    return Console(file=sys.stderr, stderr=True, highlight=False)


def any_text() -> None:
    """Where the terminal's encoding lacks a character, print an escape in its place; where a stream is closed, nothing."""
    sys.stdout = _open_or_nowhere(sys.stdout)
    sys.stderr = _open_or_nowhere(sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _open_or_nowhere(stream: TextIO | None) -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8") if stream is None else stream


def say(label: str, text: str, *, style: str = "") -> None:
    """A line of talk: what it is, and the text as it stands, for names may look like markup."""
    talk().print(Text.assemble((label, style), " ", text), soft_wrap=True)


def print_json(value: object) -> None:
    """Strict JSON on stdout."""
    print_data(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_data(text: str) -> None:
    """Text for programs on stdout, in UTF-8 whatever the terminal's encoding: JSON and YAML have no other."""
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(text + "\n")
        return
    sys.stdout.flush()
    binary.write((text + "\n").encode("utf-8"))
    binary.flush()


def fail(error: FairtrialError, *, as_json: bool) -> None:
    """Say what rule was broken, what came, and what to do."""
    if as_json:
        sys.stderr.write(json.dumps({"code": error.code, "detail": error.message, "hint": error.hint}, ensure_ascii=False) + "\n")
        return
    say("Error:", error.message, style="bold red")
    if error.hint:
        say("What to do:", error.hint, style="bold")


@contextmanager
def steps(*, quiet: bool = False) -> Generator[Report]:
    """A line per step, with the time it took, while work goes on."""
    console = talk()
    if quiet:
        yield lambda _: None
        return
    if not console.is_terminal:
        dot = "·" if console.encoding.lower().startswith("utf") else "-"
        yield lambda text: console.print(f"{dot} {text}", markup=False)
        return
    with Progress(
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        running: list[object] = []

        def report(text: str) -> None:
            for task in progress.tasks:
                if not task.finished:
                    progress.update(task.id, total=1, completed=1)
            running.append(progress.add_task(text, total=None))

        yield report
        for task in progress.tasks:
            progress.update(task.id, total=1, completed=1)


def _width(terminal: bool) -> int | None:
    """Piped output keeps to 100 columns unless COLUMNS says otherwise."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    return None if terminal and not columns else 100
