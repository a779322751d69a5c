"""Read files of a Git repository as they were at a revision; nothing is checked out and nothing is changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fairtrial.errors import UsageError

SECONDS = 60
"""Longest time that one question to Git may take."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository with its history.

    Attributes:
        root: Its top folder, or a bare repository.
    """

    root: Path

    @classmethod
    def around(cls, path: Path) -> Repository | None:
        """The repository that a file or folder lies in; None where it is in none, or there is no Git."""
        folder = path if path.is_dir() else path.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        try:
            done = _run(folder, "rev-parse", "--show-toplevel")
        except UsageError:
            return None
        return cls(Path(os.fsdecode(done.stdout).rstrip("\n"))) if done.returncode == 0 else None

    def commit(self, revision: str) -> str:
        """The commit that a branch, tag or hash names.

        Raises:
            UsageError: There is none.
        """
        done = _run(self.root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        if done.returncode:
            tags = _run(self.root, "tag", "--list").stdout.decode("utf-8", "replace").split()
            raise UsageError(
                f"A revision is a commit, tag or branch of the Git repository; there is no {revision!r}.",
                hint=f"Tags: {tags[-10:]}." if tags else "git log",
                code="unknown_revision",
            )
        return done.stdout.decode("ascii").strip()

    def inside(self, path: Path) -> str:
        """A path as the repository calls it: from its top, with slashes."""
        real = Path(os.path.realpath(path))
        return real.relative_to(os.path.realpath(self.root)).as_posix()

    def files(self, commit: str, under: str = "") -> list[str]:
        """Paths of the files of a commit below a folder, or the file of that path."""
        where = [] if under in {"", "."} else ["--", under]
        done = _run(self.root, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, *where)
        return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name] if done.returncode == 0 else []

    def read(self, commit: str, path: str) -> bytes | None:
        """What a file held in a commit; None when it was not there."""
        done = _run(self.root, "cat-file", "blob", f"{commit}:{path}")
        return done.stdout if done.returncode == 0 else None

    def _folder(self, commit: str, path: str) -> list[str]:
        """The files of a commit in the folder of a file."""
        parent, slash, _ = path.rpartition("/")
        return [name for name in self.files(commit, parent + slash) if name.rpartition("/")[0] == parent]

    def history(self, commit: str, under: str = "") -> Iterator[str]:
        """Commits that touched a path, from `commit` back."""
        where = [] if under in {"", "."} else ["--", under]
        yield from _run(self.root, "log", "--format=%H", commit, *where).stdout.decode("ascii").split()

    def lay_out(self, commit: str, under: str, folder: Path, suffixes: tuple[str, ...]) -> Path:
        """Write the files of a commit below a path into an empty folder, as they were; beside a file those of its folder.

        Returns:
            Where the path stands now: a folder, or the file.

        Raises:
            UsageError: It was not there.
        """
        names = self.files(commit, under)
        for name in self._folder(commit, under) if names == [under] else names:
            if name.endswith(suffixes) and (data := self.read(commit, name)) is not None:
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        if not names:
            raise UsageError(
                f"There is no {under or 'file'!r} in the Git repository at {commit[:12]}.", hint="git ls-tree -r --name-only REV"
            )
        place = folder / under
        place.mkdir(parents=True, exist_ok=True) if not place.exists() else None
        return place


def clone(url: str, into: Path) -> Repository:
    """A bare copy of a repository.

    Raises:
        UsageError: It cannot be had.
    """
    done = _run(into.parent, "clone", "--quiet", "--bare", "--", url, str(into))
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(f"The Git repository {url} must be readable: {said[-1] if said else 'it is not'}.", hint="Check the address.")
    return Repository(into)


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        return subprocess.run(  # noqa: S603 - arguments are a list, and revisions and paths cannot be options
            ["git", *arguments],  # noqa: S607
            cwd=folder,
            env=environment,
            capture_output=True,
            check=False,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise UsageError("Reading a revision needs the program `git`, which is not installed.", hint="Install Git.") from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"Git must answer within {SECONDS} seconds, it did not: git {arguments[0]}.") from error
