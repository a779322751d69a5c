"""Bearer tokens of an identity provider: JWTs signed by RS256 or ES256, proven by its published keys (JWKS).

The keys come from a URL or a file. They are kept for ten minutes; a token that names a
key which is not among them has the set read anew, at most every half minute, so a
rotation at the provider is followed at once and a flood of invented key ids is not
passed on. While the provider does not answer, the keys that are known go on serving
for a day.

The algorithm is never taken from the token: a key serves the one algorithm of its
kind, symmetric keys in the set are passed over, and `none` proves nothing (RFC 8725).
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, RSAKey

from fairtrial.errors import ConnectorError, UnknownNameError, UsageError
from fairtrial.service.access.roles import Actor, Role

ALGORITHM_OF = {"RSA": "RS256", "EC": "ES256"}
"""The one algorithm that a kind of key serves."""

LONGEST = 8_192
LEEWAY_SECONDS = 30
FRESH_SECONDS = 600.0
STALE_SECONDS = 86_400.0
AGAIN_SECONDS = 30.0
TIMEOUT_SECONDS = 5.0
LARGEST_SET = 1_000_000
REMEMBERED = 10_000
SMALLEST_RSA = 2_048

PublicKey = RSAKey | ECKey
ReadKeys = Callable[[], bytes]
"""Fetches the text of the key set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What a token must say.

    Attributes:
        issuer: Its `iss`, to the letter.
        audience: Must be among its `aud`.
        role_claim: Where its role or roles stand; dots go down into objects (`realm_access.roles`).
    """

    issuer: str
    audience: str
    role_claim: str = "role"


def keys_from_url(url: str, transport: httpx.BaseTransport | None = None) -> ReadKeys:
    """Reads the set over HTTP; redirects are not followed, for the address is the trust.

    Args:
        url: The provider's `jwks_uri`.
        transport: What carries the request; tests bring their own.
    """

    def read() -> bytes:
        with httpx.Client(timeout=TIMEOUT_SECONDS, transport=transport, trust_env=False) as client, client.stream("GET", url) as answer:
            answer.raise_for_status()
            text = b""
            for piece in answer.iter_bytes():
                text += piece
                if len(text) > LARGEST_SET:
                    raise ConnectorError(f"A key set must not exceed {LARGEST_SET} bytes.", code="jwks_unreadable")
            return text

    return read


def keys_from_file(path: Path) -> ReadKeys:
    """Reads the set from a file, anew when it is looked up anew."""
    return path.read_bytes


@dataclass(slots=True)
class KeySource:
    """The provider's public keys, read when needed and kept for a while."""

    read: ReadKeys
    _keys: tuple[PublicKey, ...] = ()
    _read_at: dt.datetime | None = None
    _tried_at: dt.datetime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def find(self, kid: str | None, algorithm: str, now: dt.datetime) -> PublicKey | None:
        """The key that may have signed such a token; without a key id only where one key alone fits.

        Raises:
            ConnectorError: No keys are known and the provider does not give any.
        """
        found = self._among(kid, algorithm)
        if found is not None and self._age(now) < FRESH_SECONDS:
            return found
        self._renew(now)
        return self._among(kid, algorithm)

    def _among(self, kid: str | None, algorithm: str) -> PublicKey | None:
        fitting = [key for key in self._keys if ALGORITHM_OF[key.key_type] == algorithm and kid in {None, key.kid}]
        return fitting[0] if len(fitting) == 1 or (fitting and kid is not None) else None

    def _age(self, now: dt.datetime) -> float:
        return float("inf") if self._read_at is None else (now - self._read_at).total_seconds()

    def _renew(self, now: dt.datetime) -> None:
        with self._lock:
            waited = self._tried_at is None or (now - self._tried_at).total_seconds() >= AGAIN_SECONDS
            if waited:
                self._tried_at = now
                with contextlib.suppress(httpx.HTTPError, OSError, ConnectorError):  # what is known serves on, for a day
                    self._keys, self._read_at = public_keys(self.read()), now
            if self._age(now) > STALE_SECONDS:
                self._keys = ()
                raise ConnectorError(
                    "The identity provider must give its keys (JWKS), it does not.",
                    hint="Look at FAIRTRIAL_JWKS_URL or FAIRTRIAL_JWKS_FILE; API keys work meanwhile.",
                    code="jwks_unreadable",
                    retriable=True,
                )


def public_keys(text: bytes) -> tuple[PublicKey, ...]:
    """The keys of a set that may prove a token: RSA from 2,048 bits on and P-256, for signing.

    Args:
        text: A JWK set.

    Raises:
        ConnectorError: It is not one.
    """
    try:
        listed = json.loads(text)["keys"]
        return tuple(key for entry in listed if isinstance(entry, dict) and (key := _public_key(cast("dict[str, Any]", entry))) is not None)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConnectorError("A key set must be a JSON object with the list `keys`.", code="jwks_unreadable") from error


def _public_key(entry: Mapping[str, Any]) -> PublicKey | None:
    kind = entry.get("kty")
    if kind not in ALGORITHM_OF or entry.get("use", "sig") != "sig" or entry.get("alg", ALGORITHM_OF[kind]) != ALGORITHM_OF[kind]:
        return None
    if kind == "EC" and entry.get("crv") != "P-256":
        return None
    try:
        if kind == "RSA" and len(base64.urlsafe_b64decode(f"{entry['n']}===")) * 8 < SMALLEST_RSA:
            return None
        key = JWKRegistry.import_key(dict(entry))
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, RSAKey | ECKey) else None


@dataclass(slots=True)
class TokenProver:
    """Proves tokens of one provider, remembering those it has proven until they expire."""

    source: KeySource
    rules: TokenRules
    _proven: dict[bytes, tuple[Actor, dt.datetime]] = field(default_factory=dict[bytes, tuple[Actor, dt.datetime]], repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def actor(self, token: str, now: dt.datetime) -> Actor | None:
        """Whose token this is; None when it proves nothing.

        Raises:
            ConnectorError: The provider's keys cannot be had.
        """
        known = self.remembered(token, now)
        if known is not None:
            return known
        claims = self._claims(token, now)
        if claims is None:
            return None
        role = role_in(claims, self.rules.role_claim)
        if role is None:
            return None
        actor = Actor(name=f"user:{claims['sub']}"[:200], role=role)
        self._remember(token, actor, claims["exp"], now)
        return actor

    def remembered(self, token: str, now: dt.datetime) -> Actor | None:
        """Whose token this is if that was proven lately."""
        found = self._proven.get(_mark(token))
        return found[0] if found is not None and now < found[1] else None

    def _remember(self, token: str, actor: Actor, expires: float, now: dt.datetime) -> None:
        seconds = min(expires + LEEWAY_SECONDS - now.timestamp(), FRESH_SECONDS)
        with self._lock:
            if len(self._proven) >= REMEMBERED:
                self._proven.clear()
            self._proven[_mark(token)] = actor, now + dt.timedelta(seconds=seconds)

    def _claims(self, token: str, now: dt.datetime) -> Mapping[str, Any] | None:
        if len(token) > LONGEST or not token.isascii():
            return None
        try:
            header = jws.extract_compact(token.encode()).headers()
            algorithm, kid = header.get("alg"), header.get("kid")
            if algorithm not in ALGORITHM_OF.values() or not isinstance(kid, str | None):
                return None
            key = self.source.find(kid, cast("str", algorithm), now)
            if key is None:
                return None
            claims: dict[str, Any] = jwt.decode(token, key, algorithms=[cast("str", algorithm)]).claims
            jwt.JWTClaimsRegistry(
                now=int(now.timestamp()),
                leeway=LEEWAY_SECONDS,
                iss={"essential": True, "value": self.rules.issuer},
                aud={"essential": True, "value": self.rules.audience},
                exp={"essential": True},
                sub={"essential": True},
            ).validate(claims)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            return None  # whatever a hostile token makes the parsers say, it proves nothing
        return claims if "\x00" not in claims["sub"] and claims["sub"].isprintable() else None


def role_in(claims: Mapping[str, Any], where: str) -> Role | None:
    """The highest role that a token's claim names; None when it names none of ours."""
    found: object = claims
    for step in where.split("."):
        found = cast("Mapping[str, object]", found).get(step) if isinstance(found, Mapping) else None
    names = cast("list[object]", found) if isinstance(found, list) else [found]
    roles: list[Role] = []
    for name in names:
        try:
            roles.append(Role.named(str(name)))
        except UnknownNameError:
            continue
    return max(roles, default=None)


def looks_like_jwt(token: str) -> bool:
    """Whether a token has the three parts of a JWT; an API key has none of its dots."""
    return token.count(".") == 2


def check_address(url: str) -> None:
    """A key set is fetched by HTTPS, or from this machine.

    Raises:
        UsageError: The URL is of another kind.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise UsageError("jwks_url must be a URL.") from error
    local = parsed.host in {"127.0.0.1", "::1", "localhost"}
    if parsed.scheme != "https" and not (parsed.scheme == "http" and local):
        raise UsageError(f"jwks_url must begin with https://, got the scheme {parsed.scheme!r}.")


def _mark(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
