"""Where a catalog may be: a file, a folder, a Python package, or a Git repository at a revision.

- `experiments/` - a folder, or one file.
- `package:acme_experiments` - the spec files beside an installed package, or what an entry
  point of the group `fairtrial.catalogs` names.
- `git+file:///srv/experiments.git@v1.2.0#subdirectory=specs` - a repository as it was at a
  tag, branch or commit; `git+https:` and `git+ssh:` go over the network.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module, metadata, resources
from pathlib import Path
from typing import cast, overload
from urllib.parse import unquote, urlsplit

from fairtrial.errors import UsageError, did_you_mean
from fairtrial.spec.git import Repository, clone
from fairtrial.spec.loader import SUFFIXES, SpecFile, read_spec_files

PACKAGE = "package:"
GIT = "git+"
GROUP = "fairtrial.catalogs"
"""Entry points by which a package offers a catalog."""

GIT_ADDRESS = re.compile(r"git\+(?P<url>(?:file|https|ssh)://[^#]+?)(?:@(?P<revision>[^@/#][^@#]*))?(?:#subdirectory=(?P<under>[^#]+))?")


class LaidOut:
    """A folder of its own, removed when it is forgotten."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="fairtrial-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class CatalogSource:
    """A catalog as files that can be read.

    Attributes:
        place: The file or folder.
        repository: Where its history is; None when it has none.
        commit: Of the repository, when it is read at one.
        under: Path of the catalog in the repository.
        holder: What keeps a laid out copy until the catalog is forgotten.
    """

    place: Path
    repository: Repository | None = None
    commit: str = ""
    under: str = ""
    holder: object = None

    @cached_property
    def past(self) -> dict[str, list[SpecFile]]:
        """Files by commit, as far as they were read."""
        return {}

    def at(self, revision: str) -> list[SpecFile]:
        """The files of the catalog as they were at another revision.

        Raises:
            UsageError: There is no history, no such revision, or no catalog in it.
            SpecError: It could not be read then.
        """
        if self.repository is None:
            raise UsageError(f"The catalog {str(self.place)!r} is in no Git repository, so it has no revision {revision!r}.")
        commit = self.repository.commit(revision)
        if commit not in self.past:
            with tempfile.TemporaryDirectory(prefix="fairtrial-") as folder:
                self.past[commit] = read_spec_files(self.repository.lay_out(commit, self.under, Path(folder), SUFFIXES))
        return self.past[commit]

    def history(self) -> list[str]:
        """Commits that changed the catalog, newest first."""
        return [] if self.repository is None else list(self.repository.history(self.commit or "HEAD", self.under))


def open_catalog(place: str | Path) -> CatalogSource:
    """Find a catalog; see the module for what may name one.

    Raises:
        UsageError: It cannot be found.
    """
    text = str(place)
    if text.startswith(PACKAGE):
        return CatalogSource(_package(text.removeprefix(PACKAGE)))
    if text.startswith(GIT):
        return _git(text)
    path = Path(place)
    repository = Repository.around(path) if path.exists() else None
    if repository is None:
        return CatalogSource(path)
    try:
        return CatalogSource(path, repository=repository, under=repository.inside(path))
    except ValueError:
        return CatalogSource(path)


@overload
def file_at(path: Path, revision: str) -> CatalogSource: ...
@overload
def file_at(path: Path, revision: str, *, missing_ok: bool) -> CatalogSource | None: ...
def file_at(path: Path, revision: str, *, missing_ok: bool = False) -> CatalogSource | None:
    """A spec file or folder as it was at a revision of the repository it lies in.

    Args:
        path: The file or folder, as it is called now.
        revision: A commit, tag or branch.
        missing_ok: Whether it may not have been there; then the answer is None.

    Raises:
        UsageError: It lies in no repository, or was not there.
    """
    repository = Repository.around(path)
    if repository is None:
        raise UsageError(f"{str(path)!r} lies in no Git repository, so it has no revision {revision!r}.", hint="Leave out the @.")
    commit, under = repository.commit(revision), repository.inside(path)
    if missing_ok and not repository.files(commit, under):
        return None
    folder = LaidOut()
    place = repository.lay_out(commit, under, folder.path, SUFFIXES)
    return CatalogSource(place, repository=repository, commit=commit, under=under, holder=folder)


def _git(text: str) -> CatalogSource:
    match = GIT_ADDRESS.fullmatch(text)
    if match is None:
        raise UsageError(
            f"A catalog in Git is written git+file:///folder@REVISION, git+https://... or git+ssh://..., got {text!r}.",
            hint="Add #subdirectory=experiments where it is not at the top.",
        )
    url, under = match["url"], (match["under"] or "").strip("/")
    if ".." in Path(under).parts:
        raise UsageError(f"A subdirectory lies in the repository, got {under!r}.")
    folder = LaidOut()
    if url.startswith("file://"):
        root = Path(unquote(urlsplit(url).path))
        if not root.is_dir():
            raise UsageError(f"A catalog in Git is a folder with a repository; there is no {str(root)!r}.", hint="Check the path.")
        repository = Repository(root)
    else:
        repository = clone(url, folder.path / "repository.git")
    commit = repository.commit(match["revision"] or "HEAD")
    files = folder.path / "files"
    files.mkdir()
    return CatalogSource(
        repository.lay_out(commit, under, files, SUFFIXES), repository=repository, commit=commit, under=under, holder=folder
    )


def _package(name: str) -> Path:
    offered = {point.name: point for point in metadata.entry_points(group=GROUP)}
    target = offered[name].value if name in offered else name
    module, _, attribute = target.partition(":")
    try:
        if attribute:
            found: object = getattr(import_module(module), attribute)
            return Path(str(found() if callable(found) else found))
        files = resources.files(module)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        hint = did_you_mean(name, offered) or f"Install it; catalogs that installed packages offer: {sorted(offered)}."
        raise UsageError(f"A catalog package must be installed, {name!r} is not: {error}.", hint=hint, code="unknown_catalog") from error
    if not isinstance(files, Path):
        folders = cast("list[Path]", list(getattr(files, "_paths", [])))
        if len(folders) != 1:
            raise UsageError(f"The catalog package {name!r} must be installed as files in one folder.", hint="Install it unzipped.")
        files = folders[0]
    return files
