"""Printing on one console: its width, its encoding, and no markup read from names."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fairtrial.reports.text_plot import ASCII, UNICODE, ascii_text

WIDEST = 150

TONES = {"better": "green", "worse": "red", "inconclusive": "", "unavailable": "dim"}
VERDICTS = {"good": "green", "caution": "yellow", "wait": "blue", "neutral": "cyan", "bad": "red", "invalid": "magenta"}
CHECKS = {"ok": "green", "warning": "yellow", "critical": "bold red", "skipped": "dim", "info": "cyan"}
STATUSES = {"PASS": "green", "WARNING": "yellow", "ALERT": "bold red", "UNAVAILABLE": "magenta"}


class Pen:
    """Writes to one console: knows its width and whether it can print more than ASCII.

    Attributes:
        width: Columns to use.
        plain: Whether only ASCII can be printed.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.width = min(console.width, WIDEST)
        self.plain = not console.encoding.lower().startswith("utf")
        self.glyphs = ASCII if self.plain else UNICODE

    def text(self, words: str, style: str = "") -> Text:
        """Words as they are: no markup is read from them."""
        return Text(ascii_text(words) if self.plain else words, style=style)

    def join(self, *parts: tuple[str, str]) -> Text:
        """Several (words, style) on one line."""
        line = Text()
        for words, style in parts:
            line.append_text(self.text(words, style))
        return line

    def out(self, *lines: RenderableType, indent: int = 0) -> None:
        """Print lines, wrapped to the width."""
        for line in lines:
            self.console.print(Padding(line, (0, 0, 0, indent), expand=False) if indent else line, width=self.width, highlight=False)

    def heading(self, title: str, hint: str = "") -> None:
        """A blank line and a heading."""
        self.out(Text(), self.join((title, "bold"), (f"  {hint}" if hint else "", "dim")))

    def items(self, items: Iterable[tuple[RenderableType, RenderableType]], *, indent: int = 2) -> None:
        """A list: a mark (or a name) and a text that wraps beside it."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1, overflow="fold")
        for first, second in items:
            grid.add_row(first, second)
        self.out(grid, indent=indent)
