"""Verbs on specs: validate, list, show, schema."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.text import Text

from fairtrial.cli.options import Catalog, Experiment, Json, Target
from fairtrial.cli.output import fail, out, print_data, print_json
from fairtrial.cli.targets import check_target, find_spec, find_specs, is_path
from fairtrial.errors import SpecError
from fairtrial.spec import load_specs, spec_schema


def validate(target: Target, catalog: Catalog = None, as_json: Json = False) -> int:
    """Check specs: every rule that is broken, and what to do. Exit 1 if one is."""
    try:
        check_target(target)
        if is_path(target):
            specs = load_specs(target)
        else:
            found = find_spec(target, catalog=catalog)
            specs = {found.spec.key: found}
    except SpecError as error:
        if as_json:
            print_json({"valid": False, "code": error.code, "detail": error.message, "hint": error.hint})
        else:
            fail(error, as_json=False)
        return 1
    if as_json:
        print_json({"valid": True, "experiments": [{"key": key, "spec_hash": found.spec.spec_hash} for key, found in specs.items()]})
        return 0
    mark = "✓" if out().encoding.lower().startswith("utf") else "ok"
    for key, found in specs.items():
        done = Text.assemble((mark, "green"), f" {key}  ", (f"{found.path.name}  {found.spec.spec_hash[:12]}", "dim"))
        out().print(done, soft_wrap=True)
    return 0


def list_experiments(
    place: Annotated[Path | None, typer.Argument(help="A file or folder of specs; default: the catalog.", show_default=False)] = None,
    catalog: Catalog = None,
    as_json: Json = False,
) -> int:
    """Name the experiments there are."""
    specs = find_specs(place or catalog)
    if as_json:
        rows = [
            {"key": k, "name": f.spec.name, "kind": f.spec.kind, "version": f.spec.version, "status": f.spec.status}
            for k, f in specs.items()
        ]
        print_json({"experiments": rows})
        return 0
    width = max(len(key) for key in specs)
    for key, found in specs.items():
        says = found.spec.name or found.spec.hypothesis or found.spec.description
        line = Text(f"{key:<{width}}  {found.spec.kind:<8} {found.spec.version:<8} {says}".rstrip())
        out().print(line, no_wrap=True, overflow="ellipsis")
    return 0


def show(
    target: Target,
    experiment: Experiment = None,
    catalog: Catalog = None,
    raw: Annotated[bool, typer.Option("--raw", help="Print the file's own text as data, not the normal form.")] = False,
    as_json: Json = False,
) -> int:
    """Show a spec for people; with --json or --raw as data."""
    found = find_spec(target, experiment, catalog)
    if as_json:
        print_json(found.spec.model_dump(mode="json", exclude_defaults=True))
    elif raw:
        print_data(yaml.safe_dump(dict(found.raw), sort_keys=False, allow_unicode=True).rstrip("\n"))
    else:
        import_module("fairtrial.reports.spec_text").render_spec(found.spec, out())
    return 0


def schema(as_json: Json = False) -> int:  # noqa: ARG001 - JSON is all it prints; every verb takes the switch
    """Print the JSON Schema of a spec, for editors and CI."""
    print_json(spec_schema())
    return 0
