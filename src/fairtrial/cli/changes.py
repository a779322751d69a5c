"""Verbs on versions: diff, bump."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from pathlib import Path
from typing import Annotated, Literal, cast

import typer
from rich.text import Text

from fairtrial.cli.files import write_text
from fairtrial.cli.options import Catalog, Experiment, Json
from fairtrial.cli.output import out, print_json, say
from fairtrial.cli.targets import find_spec, is_path
from fairtrial.errors import SpecError, UsageError
from fairtrial.spec import ExperimentConfigClient, LoadedSpec
from fairtrial.spec.bumping import Bump, bump_text
from fairtrial.spec.catalog import is_catalog_entry
from fairtrial.spec.catalog_file import version_of, version_order
from fairtrial.spec.diff import SpecChange, SpecDiff, diff_specs
from fairtrial.spec.loader import SpecFile, read_spec_file, read_spec_files
from fairtrial.spec.sources import file_at
from fairtrial.spec.versions import LEVELS, Level, largest, next_version, parse_version

SIGNS = {"added": "+", "removed": "-", "changed": "~"}
COLOURS = {"major": "bold red", "minor": "yellow", "patch": "dim"}
LONGEST_VALUE = 60

Spec = Annotated[
    str,
    typer.Argument(help="A spec file, a name in the catalog, or either as it was: FILE@REVISION, NAME@VERSION.", show_default=False),
]


def diff(old: Spec, new: Spec, experiment: Experiment = None, catalog: Catalog = None, as_json: Json = False) -> int:
    """What changed from one spec to another, and how large a step of the version that calls for.

    MAJOR: a metric, the hypothesis, or anything else that makes the result answer another question. MINOR: what is
    added, and how it is planned. PATCH: texts, dates, owners. Exit 1 if the version did not move as far as the
    changes call for, or if its line in the change log is missing.
    """
    found = diff_specs(find_spec(old, experiment, catalog), find_spec(new, experiment, catalog))
    if as_json:
        print_json(diff_as_json(found))
    else:
        render_diff(found)
    return 1 if found.problems else 0


def bump(
    target: Annotated[str, typer.Argument(help="A spec file, or a name in the catalog given by --catalog.", show_default=False)],
    level: Annotated[
        Literal["patch", "minor", "major"] | None, typer.Option("--level", help="How far; default: what the changes call for.")
    ] = None,
    message: Annotated[str | None, typer.Option("--message", "-m", help="What changed, for the change log; default: the changes.")] = None,
    experiment: Experiment = None,
    catalog: Catalog = None,
    keep: Annotated[
        bool | None,
        typer.Option("--keep/--no-keep", help="Keep the version before under previous_versions; default: in files with config_metadata."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Move the version of a spec and log it, in the file's own text; comments stay.

    The changes are those since the last commit in Git, or since the newest of the file's previous versions. A level
    below what they call for is refused.
    """
    file, key = _file_of(target, experiment, catalog)
    current = file.load(key)
    base, since = _base(file, current)
    changes = diff_specs(base, current).changes if base is not None else ()
    step = _level(current.spec.key, level, largest(change.level for change in changes), since)
    before = current.spec.version if base is None else base.spec.version
    version = next_version(before, step)
    if parse_version(current.spec.version) > parse_version(version):
        raise UsageError(
            f"{current.spec.key!r} went from {before} to {current.spec.version} already, further than {step}.", hint="fairtrial diff"
        )
    wanted = Bump(
        key=current.spec.key, version=version, level=step, day=dt.datetime.now(tz=dt.UTC).date(), description=message or _summary(changes)
    )
    kept = dict(base.raw) if base is not None and _keeps(file, keep, base) else None
    _write(file, key, wanted, sections=is_catalog_entry(current.raw), kept=kept)
    if as_json:
        print_json({"experiment": wanted.key, "file": str(file.path), "from": before, "to": version, "level": step, "compared_with": since})
    else:
        line = Text.assemble(f"{wanted.key}  {before} → {version}  ", (step, COLOURS[step]), (f"  {file.path}", "dim"))
        out().print(line, soft_wrap=True)
    if base is None:
        say("Note:", "there is no earlier version to compare with, neither in Git nor in the file.", style="bold yellow")
    return 0


def diff_as_json(found: SpecDiff) -> dict[str, object]:
    """A diff as data."""
    return {
        "experiment": found.key,
        "old_version": found.old_version,
        "new_version": found.new_version,
        "level": found.needed,
        "needed_version": found.needed_version,
        "version_ok": not found.problems,
        "problems": [problem.text for problem in found.problems],
        "changes": [
            {"path": change.path, "kind": change.kind, "level": change.level, "before": change.before, "after": change.after}
            for change in found.changes
        ],
    }


def render_diff(found: SpecDiff) -> None:
    """A diff for people."""
    called = f"{found.key}  {found.old_version} → {found.new_version}"
    count = len(found.changes)
    says = "no change" if found.needed is None else f"{count} {'change' if count == 1 else 'changes'}, {found.needed}"
    out().print(Text(f"{called}  {says}"), soft_wrap=True)
    for change in found.changes:
        out().print(Text.assemble("  ", (f"{change.level.upper():<5}", COLOURS[change.level]), f"  {change_line(change)}"), soft_wrap=True)
    for problem in found.problems:
        out().print(Text.assemble(("Version:", "bold red"), f" {problem.text}"), soft_wrap=True)


def change_line(change: SpecChange) -> str:
    """A change in a line: where, from what, to what."""
    values = [_value(value) for value in (change.before, change.after) if value is not None]
    return f"{SIGNS[change.kind]} {change.path}  {' → '.join(values)}".rstrip()


def _value(value: object) -> str:
    if isinstance(value, dict):  # something whole: what it says of itself
        fields = cast("dict[str, object]", value)
        value = {key: inner for key, inner in fields.items() if inner not in (None, "", [], {})}
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _file_of(target: str, experiment: str | None, catalog: str | None) -> tuple[SpecFile, str]:
    """The file that holds an experiment, and the key it stands under."""
    if not is_path(target):
        if catalog is None:
            raise UsageError(
                f"The catalog that fairtrial carries is not yours to change; whose {target!r} is meant?",
                hint="Name a file, or your catalog: --catalog experiments.",
            )
        if str(catalog).startswith(("package:", "git+")):
            raise UsageError(f"A catalog of that kind is read-only, got {catalog!r}.", hint="Name a file or a folder.")
        file = ExperimentConfigClient(catalog).home(target)
        return file, target
    files = read_spec_files(target)
    keys = {key: file for file in files for key in file.entries}
    if experiment is None and len(keys) > 1:
        raise UsageError(f"{target!r} holds {len(keys)} experiments: {list(keys)}.", hint="Name one of them (--experiment).")
    key = next(iter(keys)) if experiment is None else experiment
    if key not in keys:
        raise UsageError(f"{target!r} holds no experiment {key!r}: {list(keys)}.", hint="Check the name.")
    return keys[key], key


def _base(file: SpecFile, current: LoadedSpec) -> tuple[LoadedSpec | None, str | None]:
    """What the spec was before: in the last commit, else the newest of its previous versions."""
    try:
        was = file_at(file.path, "HEAD", missing_ok=True)
        if was is not None:
            for old in read_spec_files(was.place):
                if current.spec.key in old.entries:
                    return old.load(current.spec.key), "HEAD"
    except SpecError as error:
        raise SpecError(f"As it was at HEAD: {error.message}", hint="Commit a spec that keeps the rules, then change it.") from error
    except UsageError:
        pass  # no repository, no commit yet, or no such file then
    older = sorted(file.previous.get(current.spec.key, ()), key=lambda entry: version_order(version_of(entry)))
    return (file.load(current.spec.key, older[-1]), "previous_versions") if older else (None, None)


def _level(key: str, asked: Level | None, needed: Level | None, since: str | None) -> Level:
    if asked is None and needed is None:
        raise UsageError(f"Nothing of {key!r} has changed, so the step must be said.", hint="--level patch, minor or major.")
    if asked is not None and needed is not None and LEVELS.index(asked) < LEVELS.index(needed):
        raise UsageError(
            f"The changes of {key!r} since {since} are {needed}, so its version cannot move by {asked}.",
            hint=f"--level {needed}; `fairtrial diff` lists the changes.",
            code="level_too_small",
        )
    return asked or needed or "patch"


def _summary(changes: tuple[SpecChange, ...]) -> str:
    said = [f"{change.kind} {change.path}" for change in changes[:5]]
    more = f" and {len(changes) - 5} more" if len(changes) > 5 else ""
    text = f"{', '.join(said)}{more}." if said else "No change of the spec."
    return text[0].upper() + text[1:]


def _keeps(file: SpecFile, keep: bool | None, base: LoadedSpec) -> bool:
    """Whether the version before goes to previous_versions: not when it stands there already."""
    if keep is False:
        return False
    older = [version_of(entry) for entry in file.previous.get(base.spec.key, ())]
    return base.spec.version not in older and (keep is True or bool(file.change_log))


def _write(file: SpecFile, key: str, wanted: Bump, *, sections: bool, kept: dict[str, object] | None) -> None:
    """Write the new text, once it is known to read as meant."""
    with file.path.open(encoding="utf-8", newline="") as stream:
        text = stream.read()
    new = bump_text(text, wanted, sections=sections, keep=kept)
    with tempfile.TemporaryDirectory(prefix="fairtrial-") as folder:
        trial = Path(folder) / file.path.name
        trial.write_text(new, encoding="utf-8", newline="")
        try:
            read = version_of(read_spec_file(trial).entries[key])
        except (SpecError, KeyError) as error:
            raise UsageError(f"The version in {file.path.name} cannot be moved by machine: {error}.", hint="Write it by hand.") from error
    if read != wanted.version:
        raise UsageError(f"The version in {file.path.name} cannot be moved by machine: it reads {read}.", hint="Write it by hand.")
    write_text(file.path, new)
