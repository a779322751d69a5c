"""How the program speaks: data on stdout, talk on stderr, errors in three lines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from fairtrial.errors import FairtrialError

Report = Callable[[str], None]


def out() -> Console:
    """The console for data."""
    return Console(file=sys.stdout, soft_wrap=False, width=_width(sys.stdout.isatty()))


def talk() -> Console:
    """The console for talk."""
    return Console(file=sys.stderr, stderr=True, highlight=False)


def print_json(value: object) -> None:
    """Strict JSON on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def fail(error: FairtrialError, *, as_json: bool) -> None:
    """Say what rule was broken, what came, and what to do."""
    if as_json:
        sys.stderr.write(json.dumps({"code": error.code, "detail": error.message, "hint": error.hint}, ensure_ascii=False) + "\n")
        return
    console = talk()
    console.print("[bold red]Error:[/]", error.message, markup=True, soft_wrap=True)
    if error.hint:
        console.print("[bold]What to do:[/]", error.hint, soft_wrap=True)


@contextmanager
def steps(*, quiet: bool = False) -> Generator[Report]:
    """A line per step, with the time it took, while work goes on."""
    console = talk()
    if quiet:
        yield lambda _: None
        return
    if not console.is_terminal:
        yield lambda text: console.print(f"· {text}", markup=False)
        return
    with Progress(
        SpinnerColumn(finished_text="[green]✓"), TextColumn("{task.description}"), TimeElapsedColumn(), console=console
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
    if terminal or "COLUMNS" in os.environ:
        return None
    return 100
