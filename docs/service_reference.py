"""The generated parts of the pages on the service: settings, endpoints, and the OpenAPI document itself."""

from __future__ import annotations

import json
import types
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr

from fairtrial.service import Settings, create_app

METHODS = ("get", "post", "put", "patch", "delete")


def service_settings(name: str) -> str:
    """Every setting: variable, type, default, meaning."""
    del name
    lines: list[str] = []
    for field, info in Settings.model_fields.items():
        default = info.get_default(call_default_factory=True)
        shown = default.get_secret_value() if isinstance(default, SecretStr) else default
        said = "none" if shown in (None, "", {}, []) else f"`{shown}`"
        if not info.description:
            raise SystemExit(f"The setting {field} has no meaning: give the field a docstring.")
        lines += [
            f"`FAIRTRIAL_{field.upper()}`",
            f':   <span class="type">{_kind(info.annotation)} · default {said}</span>',
            "",
            f"    {' '.join(info.description.split())}",
            "",
        ]
    return "\n".join(lines).rstrip()


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if isinstance(annotation, types.UnionType):
        return " or ".join(_kind(part) for part in get_args(annotation) if part is not type(None))
    words = {int: "whole number", float: "number", bool: "true or false", str: "text", SecretStr: "text, kept secret"}
    return words.get(annotation, "JSON object" if get_origin(annotation) is dict else "path")


def document() -> dict[str, Any]:
    """The OpenAPI document of the application."""
    return create_app(Settings(database_url=SecretStr("sqlite://"))).openapi()


def openapi_text() -> str:
    """The document as it is kept in the repository."""
    return json.dumps(document(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def endpoints(name: str) -> str:
    """Every operation by what it is about, with its role; those below /api stand below /api/v1."""
    del name
    groups: dict[str, list[str]] = {}
    paths: dict[str, dict[str, Any]] = document()["paths"]
    for path, operations in paths.items():
        if path.startswith("/api/") and not path.startswith("/api/v1/") and f"/api/v1{path.removeprefix('/api')}" in paths:
            continue
        for method in METHODS:
            if method in operations:
                one = operations[method]
                what = " ".join((one.get("description") or one["summary"]).split("\n\n")[0].split()).replace("|", "\\|")
                row = f"| `{method.upper()} {path}` | {one.get('x-role', 'none')} | {what} |"
                groups.setdefault((one.get("tags") or ["other"])[0], []).append(row)
    parts: list[str] = []
    for group in sorted(groups):
        parts += [f"### {group.capitalize()}", "", "| operation | role | what it does |", "| --- | --- | --- |", *groups[group], ""]
    return "\n".join(parts).rstrip()
