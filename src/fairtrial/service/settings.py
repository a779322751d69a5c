"""Everything that can be set, in one object made from the environment once."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fairtrial.errors import UsageError
from fairtrial.storage import DEFAULT_URL

LOOPBACK_NAMES = {"localhost"}


class Settings(BaseSettings):
    """Settings of the service; each is read from `FAIRTRIAL_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="FAIRTRIAL_", extra="ignore", frozen=True, env_nested_delimiter="__")

    database_url: SecretStr = SecretStr(DEFAULT_URL)
    """`sqlite:///file.db` or `postgresql://user:password@host/name`."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one."""
    auth_mode: Literal["on", "off"] = "on"
    """`off` lets every caller do everything, for trying things out; it binds to loopback addresses only."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe line that is logged."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text on a terminal, else one JSON object a line."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 10_000_000
    """Longest request body; uploads of files have `max_upload_bytes`."""
    max_upload_bytes: Annotated[int, Field(ge=1024)] = 1_000_000_000
    """Longest uploaded file."""

    @model_validator(mode="after")
    def _off_is_local(self) -> Settings:
        if self.auth_mode == "off" and not is_loopback(self.host):
            raise ValueError(f"auth_mode off is for loopback addresses alone, host is {self.host!r}")
        return self


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_settings(**given: object) -> Settings:
    """Settings from the environment, those given by name before it.

    Raises:
        UsageError: A setting breaks a rule; it is named, its value is not shown.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        where = f"FAIRTRIAL_{name.upper()}: " if name else ""
        raise UsageError(f"{where}{first['msg'].removeprefix('Value error, ')}.", hint="See the reference of settings.") from error
