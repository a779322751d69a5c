"""Runs a page of the documentation as a reader would: its files, its Python, its commands, in their order.

- A block with a `title` is a file: it is written into the page's folder.
- `python`: executed in one namespace a page; with `>>>` as a doctest.
- `console`: every `$ command` runs through the real program, in a terminal of 80 columns;
  the lines below it are what it must print. A line of `...` stands for any lines, `...` in a
  line for any text, and a command without lines may print what it likes. A command must
  exit with 0 unless `$ echo $?` follows. A service started by `... &` is the real process, on
  a free port that stands for the page's 8000; `curl` talks to it, and it ends with the page.
- `yaml` without a title: part of a spec; with a small spec around it, it must be valid.
- `sh`: what a reader does around the program; targets of make and extras must exist.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import textwrap
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import yaml

from fairtrial import parse_spec
from fairtrial.cli import main

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
COLUMNS = "80"
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=indent)(?P=ticks) *$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')
PROGRAM = Path(sys.executable).parent / "fairtrial"
STEP = "· "
PORT = "127.0.0.1:8000"
LISTENING = re.compile(r"^Listening on http://(\S+).*$", re.MULTILINE)
START_SECONDS = 120
BASE = {"key": "example", "arms": ["control", "treatment"], "metrics": [{"key": "converted", "kind": "proportion", "role": "primary"}]}
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    title: str | None
    text: str

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A `$` line and what the page shows below it."""

    text: str
    expected: tuple[str, ...]


@dataclass(kw_only=True)
class Shell:
    """Runs commands in the current folder and remembers the last exit code.

    Attributes:
        replace: Text of a page by what stands for it on this machine.
        installed: Whether `fairtrial` is the installed program, a process of its own, or its main function in this one.
    """

    replace: dict[str, str] = field(default_factory=dict[str, str])
    installed: bool = False
    code: int = 0
    started: list[subprocess.Popen[str]] = field(default_factory=list["subprocess.Popen[str]"])

    def here(self, text: str) -> str:
        """A text of the page with what stands for it on this machine."""
        for shown, real in self.replace.items():
            text = text.replace(shown, real)
        return text

    def run(self, command: str) -> str:
        """What the command prints; talk about steps is left out."""
        command = self.here(command)
        words = shlex.split(command, comments=True)
        if words[-1] == "&":
            return self._start(words[1:-1])
        target = None
        if len(words) > 2 and words[-2] == ">":
            target, words = Path(words[-1]), words[:-2]
        printed, talk = self._call(words)
        if target is not None:
            target.write_text(printed, encoding="utf-8")
            printed = ""
        told = "".join(line for line in talk.splitlines(keepends=True) if not line.startswith(STEP))
        for shown, real in self.replace.items():
            printed, told = printed.replace(real, shown), told.replace(real, shown)
        return printed + told

    def _start(self, arguments: list[str]) -> str:
        """Start a service behind the page; what it says until it listens."""
        process = subprocess.Popen([PROGRAM, *arguments, "--port", "0"], stderr=subprocess.PIPE, text=True)
        self.started.append(process)
        self.code = 0
        said, until = "", time.monotonic() + START_SECONDS
        assert process.stderr is not None
        while not (found := LISTENING.search(said)):
            line = process.stderr.readline()
            assert line, f"the service ended with {process.wait()}:\n{said}"
            assert time.monotonic() < until, f"the service was not ready in {START_SECONDS} s"
            said += line
        self.replace[PORT] = found[1]
        threading.Thread(target=_drain, args=(process.stderr,), daemon=True).start()  # a full pipe would stop it
        return said.replace(found[1], PORT)

    def close(self) -> None:
        """End what was started."""
        for process in self.started:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _call(self, words: list[str]) -> tuple[str, str]:
        program, arguments = words[0], words[1:]
        if words == ["echo", "$?"]:
            return f"{self.code}\n", ""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            if program == "fairtrial" and self.installed:
                done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)
                out.write(done.stdout)
                err.write(done.stderr)
                self.code = done.returncode
            elif program == "fairtrial":
                self.code = _exit_code(lambda: main(arguments))
            elif program == "python":
                self.code = _exit_code(lambda: runpy.run_path(arguments[0], run_name="__main__"))
            elif program == "curl":
                done = subprocess.run(words, capture_output=True, text=True, check=False)
                out.write(done.stdout if done.stdout.endswith("\n") else f"{done.stdout}\n")
                err.write(done.stderr)
                self.code = done.returncode
            elif program == "cat":
                self.code = 0
                out.write("".join(Path(name).read_text(encoding="utf-8") for name in arguments))
            elif program == "ls":
                self.code = 0
                out.write("".join(f"{path.name}\n" for path in sorted(Path(*arguments).iterdir())))
            else:
                raise AssertionError(f"a page may run fairtrial, curl, python, cat, ls and echo $?, not {program!r}")
        return out.getvalue(), err.getvalue()


def _drain(stream: IO[str]) -> None:
    with stream:
        stream.read()


def _exit_code(call: Callable[[], object]) -> int:
    try:
        call()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [block_at(page, text, match) for match in FENCE.finditer(text)]


def block_at(page: Path, text: str, match: re.Match[str]) -> Block:
    """The block that a match of FENCE found."""
    info = match["info"].strip()
    title = TITLE.search(info)
    return Block(
        page=page.relative_to(ROOT).as_posix(),
        line=text.count("\n", 0, match.start()) + 1,
        language=info.split(" ")[0],
        title=title[1] if title else None,
        text=textwrap.dedent(match["text"]),
    )


def commands_of(block: Block) -> list[Command]:
    """The commands of a console block with the lines shown below each."""
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(text=line[2:], expected=()))
        elif found:
            found[-1] = Command(text=found[-1].text, expected=(*found[-1].expected, line.rstrip()))
    return found


def run_page(
    page: Path, folder: Path, *, replace: Mapping[str, str] | None = None, without: tuple[str, ...] = (), installed: bool = False
) -> int:
    """Run every block of a page in `folder`.

    Args:
        page: The Markdown file.
        folder: An empty folder.
        replace: Text of the page that stands for something of this machine (an address), by its text here.
        without: Blocks that hold one of these texts are passed over.
        installed: Whether commands run as the installed program, in processes of their own.

    Returns:
        How many commands and pieces of Python were run.
    """
    shell, names, ran = Shell(replace=dict(replace or {}), installed=installed), {"__name__": "__main__"}, 0
    with contextlib.chdir(folder), terminal(), contextlib.closing(shell):
        for block in blocks_of(page):
            if not any(text in block.text for text in without):
                ran += run_block(block, shell, names)
    return ran


@contextlib.contextmanager
def terminal() -> Iterator[None]:
    """A terminal of 80 columns, without settings of this machine."""
    before = dict(os.environ)
    os.environ["COLUMNS"] = COLUMNS
    for name in [name for name in os.environ if name.startswith("FAIRTRIAL_")]:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run_block(block: Block, shell: Shell, names: dict[str, Any]) -> int:
    """Run one block; how many commands and pieces of Python it was."""
    if block.title is not None:
        target = Path(block.title)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text, encoding="utf-8")
        return 0
    if block.language == "console":
        return _run_console(block, shell)
    if block.language == "python":
        _run_python(replace(block, text=shell.here(block.text)), names)
        return 1
    if block.language == "yaml":
        parse_spec({**BASE, **yaml.safe_load(block.text)}, what=f"part of a spec at {block.place}")
    elif block.language == "sh":
        check_shell(block)
    return 0


def _run_console(block: Block, shell: Shell) -> int:
    commands = commands_of(block)
    for index, command in enumerate(commands):
        printed = shell.run(command.text)
        asked = index + 1 < len(commands) and commands[index + 1].text == "echo $?"
        assert shell.code == 0 or asked or command.text == "echo $?", f"{block.place}: `{command.text}` exits with {shell.code}:\n{printed}"
        wrong = difference(command.expected, printed)
        assert not wrong, f"{block.place}: `{command.text}` {wrong}\n--- it prints\n{printed}"
    return len(commands)


def _run_python(block: Block, names: dict[str, Any]) -> None:
    if ">>>" not in block.text:
        exec(compile(block.text, block.place, "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(block.text, names, block.place, block.page, block.line)
    test.globs = names  # one namespace a page
    told: list[str] = []
    result = doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=told.append, clear_globs=False)
    assert result.failed == 0, f"{block.place}\n{''.join(told)}"


def difference(expected: tuple[str, ...], printed: str) -> str:
    """How what was printed differs from what a page shows; empty when it does not."""
    shown = list(expected)
    while shown and not shown[-1]:
        shown.pop()
    if not shown:
        return ""
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else _line_pattern(line) for line in shown)
    if re.fullmatch(rf"\n*{pattern}\n*", "".join(f"{line.rstrip()}\n" for line in printed.splitlines())):
        return ""
    missing = [line for line in shown if line != "..." and not re.search(rf"^{_line_pattern(line)}", _flat(printed), re.MULTILINE)]
    return f"does not print {missing!r}" if missing else "prints these lines, but not in this order or not alone"


def _flat(printed: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in printed.splitlines())


def _line_pattern(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.split("...")) + r"\n"


def check_shell(block: Block) -> None:
    """Commands around the program: their targets and extras must exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        if not words or words[:2] == ["git", "clone"] or words[0] == "cd":
            continue
        if words[0] == "make":
            assert set(words[1:]) <= targets, f"{block.place}: no such target: {line}"
        elif words[:2] == ["pip", "install"]:
            for extra in re.findall(r"fairtrial\[([\w,]+)\]", line):
                assert set(extra.split(",")) <= project["project"]["optional-dependencies"].keys(), f"{block.place}: no such extra: {line}"
        else:
            raise AssertionError(f"{block.place}: nothing checks {line!r}")
