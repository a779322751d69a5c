"""Bodies of the routes of API keys; none but the answer to making one holds the key."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from fairtrial.service.bodies import Body, Text, Time
from fairtrial.service.settings import ORIGIN

RoleName = Literal["VIEWER", "ANALYST", "DEVELOPER", "ADMIN"]
Origins = Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=50)]


class KeyCreate(Body):
    """A key that is asked for."""

    name: Text
    role: RoleName = "VIEWER"
    expires_at: Time | None = None
    """Default: never."""
    kind: Literal["server", "client"] = "server"
    """`client`: held by a browser, reads flags alone; VIEWER."""
    origins: Origins = Field(default_factory=list[str])
    """Web origins from which a client key may call; empty: any."""
    environment: Text = "production"

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, origins: list[str]) -> list[str]:
        if any(not ORIGIN.fullmatch(origin) for origin in origins):
            raise ValueError("origins must look like https://app.example, with neither a path nor a slash at the end")
        return origins


class KeyChange(Body):
    """What becomes of a key: fields that are left out stay."""

    name: Text | None = None
    role: RoleName | None = None
    expires_at: Time | None = None
    """When it ends; a moment that has passed ends it at once."""

    @model_validator(mode="after")
    def _says_something(self) -> KeyChange:
        if self.name is None and self.role is None and self.expires_at is None:
            raise ValueError("must give name, role or expires_at")
        return self


class KeyOut(BaseModel):
    """A key without its secret."""

    public_id: str
    name: str
    role: RoleName
    kind: Literal["server", "client"]
    origins: list[str]
    environment: str
    state: Literal["in_force", "revoked", "expired"]
    created_at: Time
    created_by: str
    expires_at: Time | None
    revoked_at: Time | None


class KeyMade(KeyOut):
    """A key just made."""

    token: str
    """Send it as `Authorization: Bearer <token>`. It is shown this once."""


class KeyList(BaseModel):
    """Keys, newest first."""

    items: list[KeyOut]
    total: int
