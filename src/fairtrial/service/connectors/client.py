"""An HTTP client that a connected system cannot hang, flood or lie to.

Every request has a bound on its time as a whole (a slow drip keeps resetting the usual
time-outs), on its length, and on its repeats. A page that was cut off, a body that is
no JSON and fewer rows than were announced are errors, never a short answer. The key
goes to the address it was given for alone: redirects are not followed, and no message
of an error holds anything that the other side said.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import ipaddress
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import msgspec
from pydantic import SecretStr

from fairtrial.errors import ConnectorError, UsageError
from fairtrial.service.connectors.deadline import DeadlineTransport

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})|[0-9A-Fa-f:.]{2,45}")
ROWS = ("data", "items", "results")
"""Where a page keeps its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where a system is and how it knows us.

    Attributes:
        base_url: Its address; HTTPS, or this machine.
        api_key: The key; never shown.
        auth_header: The header that carries it; as a bearer token in `Authorization`, bare in any other.
    """

    base_url: str
    api_key: SecretStr
    auth_header: str = "Authorization"

    @property
    def headers(self) -> dict[str, str]:
        """What identifies us."""
        key = self.api_key.get_secret_value()
        return {self.auth_header: f"Bearer {key}" if self.auth_header.lower() == "authorization" else key}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much a system may take of us.

    Attributes:
        read_seconds: Longest silence.
        total_seconds: Longest request as a whole.
        tries: Requests for one answer, the first included.
        wait_seconds: Longest wait between two of them; a system that asks for more is given up.
        body_bytes: Longest answer.
        page_rows: Rows asked for at a time.
        rows: Rows of one list.
    """

    read_seconds: float = 20.0
    total_seconds: float = 60.0
    tries: int = 3
    wait_seconds: float = 30.0
    body_bytes: int = 100_000_000
    page_rows: int = 1000
    rows: int = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Talks to one system.

    Attributes:
        connection: Where and by which key.
        bounds: How much it may take.
        transport: How bytes travel; None for the network.
        sleep: Waits; tests pass one that does not.
    """

    connection: Connection
    bounds: Bounds = field(default_factory=Bounds)
    transport: httpx.BaseTransport | None = None
    sleep: Callable[[float], None] = time.sleep

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """The JSON at a path; a failure that may pass is tried again.

        Raises:
            ConnectorError: The system failed, refused us or answered what is no JSON.
        """
        return self._ask("GET", path, params=dict(params or {}), repeatable=True)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """What the system answers to a body; tried again only where it said that it did nothing (429).

        Raises:
            ConnectorError: The system failed, refused us or answered what is no JSON.
        """
        return self._ask("POST", path, json=dict(body), repeatable=False)

    def rows(self, path: str, params: Mapping[str, str | int] | None = None) -> Iterator[Any]:
        """Every row of a list, page by page.

        A page is a list, or an object with its rows as `data`, `items` or `results`, perhaps with
        `next_cursor` for the page after it and the `total` of the list.

        Raises:
            ConnectorError: A page is none, or the list ends before its total.
        """
        seen, cursors, cursor = 0, set[str](), None
        announced: int | None = None
        while True:
            asked = {**(params or {}), "limit": self.bounds.page_rows, **({} if cursor is None else {"cursor": cursor})}
            found, cursor, total = _page(self.get(path, asked))
            announced = announced if total is None else total
            seen += len(found)
            if seen > self.bounds.rows:
                raise ConnectorError(f"A list must not exceed {self.bounds.rows} rows.", hint="Ask for a smaller segment or period.")
            yield from found
            if cursor is None:
                break
            if cursor in cursors or not found:
                raise ConnectorError("The pages of the list lead in a circle or to nothing.", code="connector_malformed")
            cursors.add(cursor)
        if announced is not None and seen < announced:
            raise ConnectorError(
                f"The list ended after {seen} of {announced} rows.", hint="Try again later.", code="connector_incomplete", retriable=True
            )

    def _ask(self, method: str, path: str, *, repeatable: bool, **given: Any) -> Any:
        tries = self.bounds.tries
        for attempt in range(1, tries + 1):
            error, wait = None, min(self.bounds.wait_seconds, 0.5 * 2**attempt)
            try:
                return self._once(method, path, given)
            except _AskedToWaitError as asked:
                error, wait = asked.error, wait if asked.seconds is None else asked.seconds
                if wait > self.bounds.wait_seconds:
                    raise error from None
            except ConnectorError as failed:
                if not (failed.retriable and repeatable):
                    raise
                error = failed
            if attempt == tries:
                raise error
            self.sleep(wait)
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, given: dict[str, Any]) -> Any:
        until = time.monotonic() + self.bounds.total_seconds
        timeout = httpx.Timeout(self.bounds.read_seconds, connect=min(5.0, self.bounds.read_seconds))
        base = self.connection.base_url.rstrip("/")
        try:
            with (
                httpx.Client(transport=self.transport or DeadlineTransport(until), timeout=timeout, trust_env=not is_local(base)) as client,
                client.stream(method, base + path, headers=self.connection.headers, **given) as response,
            ):
                _check_status(response)
                return _decoded(self._body(response, until))
        except httpx.TimeoutException:
            raise _late() from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError):  # also an answer that was cut off
            raise ConnectorError(
                "The connected system could not be reached, or hung up half-way.", hint="Try again later.", retriable=True
            ) from None

    def _body(self, response: httpx.Response, until: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > self.bounds.body_bytes:
                raise ConnectorError(f"An answer must not exceed {self.bounds.body_bytes} bytes.")
            if time.monotonic() > until:
                raise _late()
        return bytes(body)


class _AskedToWaitError(Exception):
    """The system asked us to come back later."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__()
        self.seconds = seconds
        hint = "Try again later." if seconds is None else f"Try again in {seconds:g} seconds."
        self.error = ConnectorError(
            "The connected system has had too many requests of ours.", hint=hint, code="connector_busy", retriable=True
        )


def _late() -> ConnectorError:
    return ConnectorError(
        "The connected system took too long to answer.", hint="Try again later.", code="connector_timeout", retriable=True
    )


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if response.is_success:
        return
    if status in {401, 403}:
        raise ConnectorError(f"The connected system refused our key ({status}).", hint="Connect it anew.", code="connector_refused")
    if status == 404:
        raise ConnectorError("The connected system knows no such thing (404).", code="connector_not_found")
    if status == 429:
        raise _AskedToWaitError(_seconds(response.headers.get("retry-after")))
    if response.is_redirect:
        raise ConnectorError(f"The connected system moved ({status}); redirects are not followed.", hint="Connect it at its new address.")
    raise ConnectorError(f"The connected system answered {status}.", hint="Try again later.", retriable=status >= 500)


def _seconds(text: str | None) -> float | None:
    """`Retry-After`: seconds, or a date."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdecimal():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return max(0.0, (aware - dt.datetime.now(dt.UTC)).total_seconds())


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise ConnectorError("The connected system must answer in JSON, this is none.", code="connector_malformed") from None


def _page(page: Any) -> tuple[list[Any], str | None, int | None]:
    if isinstance(page, list):
        return cast("list[Any]", page), None, None
    if isinstance(page, dict):
        found = cast("dict[str, Any]", page)
        rows = next((found[name] for name in ROWS if isinstance(found.get(name), list)), None)
        cursor, total = found.get("next_cursor"), found.get("total")
        if rows is not None and isinstance(cursor, str | None) and (total is None or type(total) is int):
            return rows, cursor or None, total
    raise ConnectorError("A page must be a list, or an object with its rows as `data`.", code="connector_malformed")


def check_address(url: str) -> str:
    """An address that a key may go to: HTTPS, or this machine, without a user or a query.

    Raises:
        UsageError: It is another.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError, ValueError) as error:
        raise UsageError("base_url must be a URL.", hint="https://cdp.example.com") from error
    if not HOST.fullmatch(parsed.host) or not (parsed.scheme == "https" or (parsed.scheme == "http" and is_local(url))):
        raise UsageError("base_url must begin with https://; http:// is for this machine alone.", hint="https://cdp.example.com")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise UsageError("base_url must hold no user, query or fragment.", hint="https://cdp.example.com")
    return str(parsed).rstrip("/")


def is_local(url: str) -> bool:
    """Whether an address is on this machine."""
    host = httpx.URL(url).host
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
