"""The OpenAPI document: what FastAPI reads off the routes, and the role of each."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI

from fairtrial.service.access.route_roles import roles_of

ROLE = "x-role"
"""Key of an operation's least role; absent where none is asked for."""


CONVERTER = re.compile(r":\w+}")
"""What a declared path says of a parameter beyond its name: `{unit:path}`."""


def show_roles(app: FastAPI) -> None:
    """Have the document of an application say the role of each operation; it is made when first asked for."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        made = app.openapi_schema is None
        document = plain()
        if made:
            _mark(app, document)
        return document

    app.openapi = openapi  # pyright: ignore[reportAttributeAccessIssue] # how FastAPI's own documentation says it


def _mark(app: FastAPI, document: dict[str, Any]) -> None:
    for route in roles_of(app.routes):
        operations = document["paths"].get(CONVERTER.sub("}", route.path), {})
        for method in route.methods:
            if route.role is not None and method.lower() in operations:
                operations[method.lower()][ROLE] = route.role.name
