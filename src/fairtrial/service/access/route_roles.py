"""Which role each route asks for, read off the routes themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Mount

from fairtrial.service.access.roles import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRole:
    """A route and who may use it.

    Attributes:
        path: Its path as declared, prefix and all.
        methods: Its methods, sorted.
        role: The least role; None where the route asks for none by a dependency.
        mounted: Whether it is a whole application mounted at the path, which sees to itself.
    """

    path: str
    methods: tuple[str, ...]
    role: Role | None
    mounted: bool = False


def roles_of(routes: Sequence[BaseRoute], prefix: str = "") -> Iterator[RouteRole]:
    """Every route with its role, those of mounted applications too.

    Args:
        routes: Of an application.
        prefix: Where it is mounted.
    """
    for context in iter_route_contexts(routes):
        found = cast("Any", context)
        original = found.original_route
        if isinstance(original, Mount):
            yield RouteRole(path=prefix + original.path, methods=(), role=None, mounted=True)
            yield from roles_of(original.routes or (), prefix + original.path)
            continue
        methods = tuple(sorted(getattr(found, "methods", None) or ()))
        yield RouteRole(path=prefix + str(found.path), methods=methods, role=_role(getattr(found, "dependant", None)))


def _role(dependant: Any) -> Role | None:
    """The highest role that a route's dependencies ask for, at any depth."""
    if dependant is None:
        return None
    own = getattr(dependant.call, "role", None)
    found = [own, *(_role(inner) for inner in dependant.dependencies)]
    return max((role for role in found if isinstance(role, Role)), default=None)
