"""Specs to start from, by category and name, with their comments."""

from __future__ import annotations

import re
from importlib import resources

from fairtrial.errors import UnknownNameError
from fairtrial.spec.loader import parse_spec

HOME = resources.files("fairtrial.spec").joinpath("shipped", "templates")

MINIMAL = "minimal"
"""The template without a category."""

KEY = re.compile(r"^key: .*$", re.MULTILINE)


def list_templates() -> dict[str, str]:
    """What each template is for, by `category/name`; the minimal one first."""
    names = [MINIMAL]
    for category in sorted((folder for folder in HOME.iterdir() if folder.is_dir()), key=lambda folder: folder.name):
        names += sorted(f"{category.name}/{file.name.removesuffix('.yaml')}" for file in category.iterdir() if file.name.endswith(".yaml"))
    return {name: _text(name).splitlines()[0].removeprefix("# ") for name in names}


def template_text(name: str, *, key: str | None = None) -> str:
    """The text of a template.

    Args:
        name: `category/name`, or `minimal`.
        key: The key that the experiment gets; default: the template's own.

    Raises:
        UnknownNameError: There is no such template.
        SpecError: The key is none.
    """
    known = list_templates()
    if name not in known:
        raise UnknownNameError.among("template", name, known, code="unknown_template")
    text = _text(name)
    if key is None:
        return text
    parse_spec(
        {"key": key, "arms": ["control", "treatment"], "metrics": [{"key": "bought", "kind": "proportion"}]}
    )  # refuses what is no key
    return KEY.sub(lambda _: f"key: {_quoted(key)}", text, count=1)


def _text(name: str) -> str:
    return HOME.joinpath(*f"{name}.yaml".split("/")).read_text(encoding="utf-8")


def _quoted(key: str) -> str:
    return (
        key if re.fullmatch(r"[A-Za-z][\w-]*", key) and key.lower() not in {"true", "false", "null"} else "'" + key.replace("'", "''") + "'"
    )
