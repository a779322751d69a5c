"""Roles, one ordered ladder for every route (G-7, IN-16), and who is calling."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from fairtrial.errors import UnknownNameError


class Role(IntEnum):
    """What a caller may do; each rung may do all that those below may."""

    VIEWER = 1
    ANALYST = 2
    DEVELOPER = 3
    ADMIN = 4

    @classmethod
    def named(cls, name: str) -> Role:
        """The role of that name, in any case.

        Raises:
            UnknownNameError: There is none.
        """
        try:
            return cls[name.upper()]
        except KeyError:
            raise UnknownNameError.among("role", name, [role.name for role in cls]) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A caller whose identity is proven.

    Attributes:
        name: Who, as the audit log writes it: `key:<public id>`, `user:<subject>` or `local`.
        role: What they may do.
        kind: `server`, or `client` for a key that a browser holds (OFREP alone).
        environment: Environment that a client key reads.
        origins: Web origins from which a client key may call; empty: any.
    """

    name: str
    role: Role
    kind: str = "server"
    environment: str = "production"
    origins: tuple[str, ...] = ()


LOCAL = Actor(name="local", role=Role.ADMIN)
"""Every caller when `auth_mode` is `off`."""
