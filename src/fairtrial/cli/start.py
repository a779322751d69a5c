"""`fairtrial init`: a spec to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from fairtrial.cli.files import check_outputs, write_text
from fairtrial.cli.options import Json
from fairtrial.cli.output import out, print_data, print_json, say
from fairtrial.errors import UsageError
from fairtrial.spec.loader import SUFFIXES
from fairtrial.spec.templates import MINIMAL, list_templates, template_text


def init(
    path: Annotated[
        Path | None, typer.Argument(help="File to write; default: the experiment's key with .yaml.", show_default=False)
    ] = None,
    template: Annotated[str, typer.Option("--template", "-t", help="Which template: see --list.")] = MINIMAL,
    key: Annotated[str | None, typer.Option("--key", help="Name of the experiment; default: the template's.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the templates and write nothing.")] = False,
    to_stdout: Annotated[bool, typer.Option("--stdout", help="Print the spec and write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: Json = False,
) -> int:
    """Write a commented spec to start from. Every template is valid as it is and can be sized."""
    if listed:
        _list(as_json=as_json)
        return 0
    text = template_text(template, key=key)
    if to_stdout:
        print_data(text.rstrip("\n"))
        return 0
    file = path or Path(f"{key or template.rpartition('/')[2]}.yaml")
    if file.suffix not in SUFFIXES[:2]:
        raise UsageError(f"A spec with comments is a YAML file, got {str(file)!r}.", hint=f"Such as {file.with_suffix('.yaml')}.")
    if file.exists() and not force:
        raise UsageError(f"{str(file)!r} is there already.", hint="Name another file, or write over it with --force.")
    file.parent.mkdir(parents=True, exist_ok=True)
    check_outputs({"PATH": file}, [])
    write_text(file, text)
    if as_json:
        print_json({"file": str(file), "template": template})
    else:
        say("Written:", f"{file} (template {template})")
        say("Next:", f"fairtrial validate {file}, then fairtrial power {file}")
    return 0


def _list(*, as_json: bool) -> None:
    templates = list_templates()
    if as_json:
        print_json({"templates": [{"name": name, "about": about} for name, about in templates.items()]})
        return
    width = max(len(name) for name in templates)
    for name, about in templates.items():
        out().print(Text(f"{name:<{width}}  {about}"), soft_wrap=True)
