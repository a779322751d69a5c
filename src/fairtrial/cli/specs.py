"""Verbs on specs: validate, list, show, schema."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import typer
import yaml
from rich.text import Text

from fairtrial.cli.options import Catalog, Experiment, Json, Target
from fairtrial.cli.output import out, print_data, print_json, say, talk
from fairtrial.cli.targets import check_target, find_spec, find_specs, is_path, with_near_file
from fairtrial.errors import SpecError, UsageError
from fairtrial.spec import ExperimentConfigClient, ExperimentConfigError, spec_schema
from fairtrial.spec.checking import Checked, check_specs
from fairtrial.spec.metric_catalog import uses_of
from fairtrial.spec.sources import open_catalog


def validate(
    target: Annotated[
        str | None, typer.Argument(help="A spec file, a folder of them, or a name in the catalog.", show_default=False)
    ] = None,
    catalog: Catalog = None,
    form: Annotated[
        Literal["text", "json", "github"],
        typer.Option("--format", help="How complaints are printed: for people, as data, or as annotations of GitHub Actions."),
    ] = "text",
    against: Annotated[
        str | None,
        typer.Option("--against", help="A Git revision: versions must have moved as far as the changes since then call for."),
    ] = None,
    warehouse: Annotated[
        str | None, typer.Option("--warehouse", help="Check a warehouse instead: its connection, and its tables of results.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Check specs: every rule that is broken, in which file and line, and what to do. Exit 1 if one is.

    Beside the rules of each spec: names used twice, prerequisites that are not there or lead in a circle, metrics of
    the metric catalog, steps of versions. Warnings do not fail.
    """
    if (target is None) == (warehouse is None):
        raise UsageError("validate checks specs or a warehouse; name one of them.", hint="fairtrial validate experiments/")
    if warehouse is not None:
        return _check_warehouse(warehouse, as_json=as_json or form == "json")
    target = target or ""
    check_target(target)
    checked = check_specs(target, against=against) if is_path(target) else _checked_name(target, catalog, against)
    shape = "json" if as_json else form
    {"text": _print_text, "json": _print_json, "github": _print_github}[shape](checked)
    return 1 if checked.errors else 0


def _check_warehouse(url: str, *, as_json: bool) -> int:
    """Print what stands of the tables of results; 1 if one of them could not be written."""
    from fairtrial.warehouse.results import check_results, without_secrets  # noqa: PLC0415 - loads the engines

    found = check_results(url)
    if as_json:
        rows = [{"table": one.name, "exists": one.exists, "misfits": list(one.misfits)} for one in found]
        print_json({"warehouse": without_secrets(url), "tables": rows})
    else:
        for one in found:
            state = "; ".join(one.misfits) or ("ready" if one.exists else "not there yet, the first write makes it")
            out().print(Text.assemble(one.name, "  ", (state, "bold red" if one.misfits else "green")), soft_wrap=True)
    return 1 if any(one.misfits for one in found) else 0


def _checked_name(name: str, catalog: str | None, against: str | None) -> Checked:
    """One experiment of a catalog, checked with what the catalog says of it."""
    try:
        client = ExperimentConfigClient(catalog)
    except SpecError:
        return check_specs(open_catalog(catalog or "").place, only=name, against=against)
    try:
        client.home(name)
    except ExperimentConfigError as error:
        raise with_near_file(error, name) from error
    return check_specs(client.place, only=name, against=against)


def _print_text(checked: Checked) -> None:
    mark = "✓" if out().encoding.lower().startswith("utf") else "ok"
    broken = {complaint.experiment for complaint in checked.errors}
    for complaint in checked.complaints:
        where = f"{shown(complaint.file)}:{complaint.line}" if complaint.line else str(shown(complaint.file))
        style = "bold red" if complaint.severity == "error" else "yellow"
        line = Text.assemble((f"{complaint.severity.capitalize()}:", style), f" {where}  {complaint.message}")
        talk().print(line, soft_wrap=True)
    for key, found in checked.specs.items():
        if key not in broken:
            done = Text.assemble((mark, "green"), f" {key}  ", (f"{found.path.name}  {found.spec.spec_hash[:12]}", "dim"))
            out().print(done, soft_wrap=True)


def _print_json(checked: Checked) -> None:
    rows = [
        {
            "file": str(shown(complaint.file)),
            "line": complaint.line,
            "severity": complaint.severity,
            "code": complaint.code,
            "message": complaint.message,
            "experiment": complaint.experiment,
        }
        for complaint in checked.complaints
    ]
    specs = [{"key": key, "version": f.spec.version, "spec_hash": f.spec.spec_hash} for key, f in checked.specs.items()]
    print_json({"valid": not checked.errors, "experiments": specs, "problems": rows})


def _print_github(checked: Checked) -> None:
    """Workflow commands, which GitHub shows at the line of the change."""
    for complaint in checked.complaints:
        title = f"fairtrial: {complaint.experiment or complaint.file.name}"
        fields = {"file": str(shown(complaint.file)), "line": complaint.line, "title": title}
        place = ",".join(f"{name}={_property(value)}" for name, value in fields.items() if value is not None)
        print_data(f"::{complaint.severity} {place}::{_escaped(complaint.message)}")
    count = len(checked.errors)
    print_data(f"::notice title=fairtrial::experiments read: {len(checked.specs)}, rules broken: {count}")


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: object) -> str:
    return _escaped(str(value)).replace(":", "%3A").replace(",", "%2C")


def shown(path: Path) -> Path:
    """A path as it is read best: from the current folder, where it lies below it."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except (ValueError, OSError):
        return path


def list_experiments(
    place: Annotated[str | None, typer.Argument(help="A file or folder of specs; default: the catalog.", show_default=False)] = None,
    catalog: Catalog = None,
    metrics: Annotated[bool, typer.Option("--metrics", help="Name the metrics of the metric catalog instead.")] = False,
    as_json: Json = False,
) -> int:
    """Name the experiments there are, or with --metrics the metrics that specs may refer to."""
    if metrics:
        return _list_metrics(ExperimentConfigClient(place or catalog), as_json=as_json)
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


def _list_metrics(client: ExperimentConfigClient, *, as_json: bool) -> int:
    """The metric catalog: what each metric is, who answers for it, which experiments use it."""
    catalog = client.metrics
    read = {name: catalog.metric(name) for name in catalog.definitions}
    users = {name: [key for file in client.files for key, entry in file.entries.items() if name in uses_of(entry)] for name in read}
    if as_json:
        rows = [
            {
                "name": name,
                "kind": found.metric.kind,
                "description": found.metric.description,
                "owner": found.owner,
                "certified": found.certified,
                "used_by": users[name],
                "file": str(shown(catalog.homes[name])),
            }
            for name, found in read.items()
        ]
        print_json({"metrics": rows})
        return 0
    if not read:
        say("No metrics:", "no file of this catalog has a `metric_catalog`.", style="bold yellow")
        return 0
    width = max(len(name) for name in read)
    for name, found in read.items():
        certified = "certified" if found.certified else ""
        used = f"used by {len(users[name])}" if users[name] else "not used"
        line = f"{name:<{width}}  {found.metric.kind:<10} {certified:<9}  {found.owner or '-':<14}  {used:<10}  {found.metric.description}"
        out().print(Text(line.rstrip()), no_wrap=True, overflow="ellipsis")
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
