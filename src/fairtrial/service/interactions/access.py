"""Who may ask about interactions: a DEVELOPER at least, with an answer of its own to others (IN-15)."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Depends

from fairtrial.errors import AccessError
from fairtrial.service.access.roles import Actor, Role
from fairtrial.service.dependencies import AsViewer


def _developer(actor: AsViewer) -> Actor:
    if actor.role < Role.DEVELOPER:
        raise AccessError(
            f"Interaction endpoints need role {Role.DEVELOPER.name}, got {actor.role.name}.",
            hint="Ask an ADMIN for the role.",
            code="role_too_low",
        )
    return actor


cast("Any", _developer).role = Role.DEVELOPER

AsInteractionReader = Annotated[Actor, Depends(_developer)]
"""A DEVELOPER or an ADMIN."""
