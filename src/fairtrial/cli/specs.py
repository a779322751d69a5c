"""Verbs on specs: validate, list, show, schema, version."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
import yaml

from fairtrial._version import __version__
from fairtrial.cli.options import Catalog, Experiment, Json, Target
from fairtrial.cli.output import fail, out, print_json
from fairtrial.cli.targets import find_spec, find_specs, is_path
from fairtrial.errors import SpecError
from fairtrial.spec import load_specs, spec_schema


def validate(target: Target, catalog: Catalog = None, as_json: Json = False) -> int:
    """Check specs: every rule that is broken, and what to do. Exit 1 if one is."""
    try:
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
    for key, found in specs.items():
        out().print(f"[green]✓[/] {key}  [dim]{found.path.name}  {found.spec.spec_hash[:12]}[/]", highlight=False)
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
        out().print(f"{key:<{width}}  {found.spec.version:<8} {found.spec.name}", highlight=False, markup=False)
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
        out().file.write(yaml.safe_dump(dict(found.raw), sort_keys=False, allow_unicode=True))
    else:
        import_module("fairtrial.reports.spec_text").render_spec(found.spec, out())
    return 0


def schema() -> int:
    """Print the JSON Schema of a spec, for editors and CI."""
    print_json(spec_schema())
    return 0


def version(as_json: Json = False) -> int:
    """Print the version."""
    if as_json:
        print_json({"version": __version__})
    else:
        out().print(__version__, highlight=False)
    return 0
