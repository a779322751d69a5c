"""New text for a file of specs with some values of one experiment changed: checked before it is written.

Comments stay. Nothing but the named experiment, and a line in the change log, may have
changed when the new text is read again; else the text is refused and nothing is written.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from fairtrial.errors import ConflictError, SpecError
from fairtrial.spec.loader import LoadedSpec, load_specs, read_mapping, read_spec_files
from fairtrial.spec.yaml_edit import append_item, set_value


def rewritten(found: LoadedSpec, values: Sequence[tuple[tuple[str, ...], object]], *, change: Mapping[str, object]) -> str:
    """The file's text with values of one experiment changed.

    Args:
        found: The experiment and its file.
        values: Paths below the experiment's own mapping, and what to put there.
        change: The line for the file's change log, where it keeps one.

    Raises:
        ConflictError: The experiment is running, so that its spec is frozen.
        SpecError: The new spec breaks a rule, or another experiment shares what would change.
    """
    key = found.spec.key
    if found.spec.status == "running":
        raise ConflictError(
            f"Experiment {key!r} is running: its spec is frozen.", hint="Write a new version for the next run.", code="spec_is_frozen"
        )
    text = found.path.read_text(encoding="utf-8")
    raw = read_mapping(found.path)
    catalog = "experiments" in raw
    prefix = ("experiments", key) if catalog else ()
    logged = catalog and "change_log" in cast("Mapping[str, object]", raw.get("config_metadata") or {})
    if found.path.suffix == ".json":
        return _checked(found, _json(raw, prefix, values, change if logged else None))
    for path, value in values:
        text = set_value(text, (*prefix, *path), value)
    return _checked(found, append_item(text, ("config_metadata", "change_log"), dict(change)) if logged else text)


def _json(
    raw: Mapping[str, object],
    prefix: tuple[str, ...],
    values: Sequence[tuple[tuple[str, ...], object]],
    change: Mapping[str, object] | None,
) -> str:
    document = cast("dict[str, object]", json.loads(json.dumps(raw)))
    for path, value in values:
        place = document
        *way, last = (*prefix, *path)
        for name in way:
            place = cast("dict[str, object]", place.setdefault(name, {}))
        place[last] = value
    if change is not None:
        cast("list[object]", cast("dict[str, object]", document["config_metadata"])["change_log"]).append(dict(change))
    return json.dumps(document, indent=2, ensure_ascii=False, default=_date) + "\n"


def _date(value: object) -> str:
    if isinstance(value, dt.date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _checked(found: LoadedSpec, text: str) -> str:
    """The text, if every spec in it is valid and no other experiment has changed.

    Raises:
        SpecError: It is not so.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / found.path.name
        copy.write_text(text, encoding="utf-8")
        load_specs(copy)
        (new,), (old,) = read_spec_files(copy), read_spec_files(found.path)
    touched = [name for name, entry in old.entries.items() if name != found.spec.key and new.entries.get(name) != entry]
    if touched:
        raise SpecError(
            f"{touched} share a section with {found.spec.key!r} through an anchor, and would change with it; nothing was written.",
            hint="Write the section out in one of them.",
        )
    return text
