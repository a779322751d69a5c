"""Everything that can be set, in one object made from the environment once."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fairtrial.errors import UsageError
from fairtrial.service.access.limiting import parse_limit
from fairtrial.service.access.tokens import check_address
from fairtrial.storage import DEFAULT_URL

LOOPBACK_NAMES = {"localhost"}
TARGET_NAME = re.compile(r"[a-z0-9_-]{1,50}")
WEB_ADDRESS = re.compile(r"https?://[A-Za-z0-9.\-:\[\]]+(/[A-Za-z0-9._~\-/]*)?")
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")


class Settings(BaseSettings):
    """Settings of the service; each is read from `FAIRTRIAL_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="FAIRTRIAL_", extra="ignore", frozen=True, env_nested_delimiter="__", use_attribute_docstrings=True
    )

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
    jwks_url: str = ""
    """Where your identity provider publishes its keys (`jwks_uri`); with it, its tokens are accepted. HTTPS, or this machine."""
    jwks_file: Path | None = None
    """The same keys in a file, instead of `jwks_url`."""
    jwt_issuer: str = ""
    """What a token must have as `iss`; needed with `jwks_url` or `jwks_file`."""
    jwt_audience: str = ""
    """What a token must have among its `aud`; needed with `jwks_url` or `jwks_file`."""
    jwt_role_claim: Annotated[str, Field(min_length=1)] = "role"
    """The claim that holds the role, or a list of which the highest counts; dots go down into objects, as in `realm_access.roles`."""
    rate_limit: str = ""
    """Requests of one caller (a token, else an address) to this process, such as `600/minute`; empty for no limit."""
    failed_auth_limit: str = "60/minute"
    """Refused tokens of one address, after which it waits; a token that was proven before goes on. Empty for no limit."""
    cors_origins: str = ""
    """Web origins, comma-separated, whose pages may call the API with a token; empty for none."""
    webhook_secrets: dict[str, SecretStr] = Field(default_factory=dict[str, SecretStr])
    """Secrets of the sources of webhooks, each of 16 characters or more: a JSON object, or one variable each, `..._SECRETS__SHOP=...`."""
    webhook_window_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    """How far the signed time of a webhook may lie from its arrival."""

    catalog: Path | None = None
    """File or folder of experiment configurations that the service reads, once; default: the catalog that ships."""
    warehouse: str = ""
    """Address of the warehouse, such as `duckdb:////data/warehouse.duckdb`: `POST /configs/{name}/analysis` reads an experiment's
    units from its table of that name, and writes results into it when asked."""
    hash_key: SecretStr = SecretStr("")
    """Secret of the features that a model experiment logs as a hash, 16 to 64 bytes; `fairtrial gateway` reads it too."""
    scheduler: bool = True
    """Run the jobs in this process: nightly report, checks, alerts, delivery. Turn it off where cron does, or another process."""
    alert_targets: dict[str, SecretStr] = Field(default_factory=dict[str, SecretStr])
    """Where alerts go: name to Apprise address (`mailto://...`, `slack://...`, `jsons://...`), as JSON or `..._TARGETS__OPS=...`."""
    dashboard: Path | None = None
    """The Streamlit script that is served below `/dashboard`; `fairtrial serve` names its own."""
    alert_base_url: str = ""
    """Where people reach this service, such as `https://experiments.example`; alerts then carry links."""

    @field_validator("rate_limit", "failed_auth_limit")
    @classmethod
    def _is_limit(cls, text: str) -> str:
        parse_limit(text)
        return text

    @field_validator("webhook_secrets")
    @classmethod
    def _are_secrets(cls, given: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in given.items():
            if len(secret.get_secret_value()) < 16:
                raise ValueError(f"webhook_secrets: the secret of {name!r} must have 16 characters or more")
        return {name.lower(): secret for name, secret in given.items()}

    @field_validator("alert_targets")
    @classmethod
    def _are_targets(cls, given: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, address in given.items():
            if not TARGET_NAME.fullmatch(name.lower()):
                raise ValueError(f"alert_targets: a name has letters, digits, `-` and `_`, up to 50, got {name[:60]!r}")
            if "://" not in address.get_secret_value():
                raise ValueError(f"alert_targets: the address of {name!r} must be one of Apprise, such as jsons://host/path")
        return {name.lower(): address for name, address in given.items()}

    @field_validator("alert_base_url")
    @classmethod
    def _is_web_address(cls, text: str) -> str:
        return check_base_url(text)

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, text: str) -> str:
        if any(not ORIGIN.fullmatch(origin) for origin in origins_in(text)):
            raise ValueError("cors_origins must be origins such as https://app.example, separated by commas; `*` is not one")
        return text

    @model_validator(mode="after")
    def _provider_is_whole(self) -> Settings:
        if self.jwks_url and self.jwks_file is not None:
            raise ValueError("set jwks_url or jwks_file, not both")
        if (self.jwks_url or self.jwks_file is not None) and not (self.jwt_issuer and self.jwt_audience):
            raise ValueError("jwks_url and jwks_file need jwt_issuer and jwt_audience: else a token made for another service would do")
        if self.jwks_url:
            check_address(self.jwks_url)
        return self

    @model_validator(mode="after")
    def _off_is_local(self) -> Settings:
        if self.auth_mode == "off" and not is_loopback(self.host):
            raise ValueError(f"auth_mode off is for loopback addresses alone, host is {self.host!r}")
        return self


def check_base_url(text: str) -> str:
    """A web address without user, query or a slash at its end; or nothing.

    Raises:
        ValueError: It is something else.
    """
    if text and not WEB_ADDRESS.fullmatch(text):
        raise ValueError("the base URL must be a web address such as https://experiments.example, without user or query")
    return text.rstrip("/")


def origins_in(text: str) -> list[str]:
    """The origins of a comma-separated list."""
    return [origin for part in text.split(",") if (origin := part.strip())]


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
