"""The dashboard in the service's own process: a Streamlit script below `/dashboard`, given by its path.

Its pages ask this service over HTTP like every other client, with the token of who is signed in. What a browser may
load is bound to this origin by the answer's own headers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fairtrial.errors import UsageError

PLACE = "/dashboard"
HINT = "pip install 'fairtrial[service,dashboard]'"

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval' 'unsafe-inline' blob:; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws: wss: data: blob:; frame-ancestors 'none'; base-uri 'self'"
)
"""Nothing is asked of another machine; charts are compiled in the page, and styles are written into it."""

BASE = b"window.__streamlit = { BACKEND_BASE_URL: window.location.origin + '" + PLACE.encode() + b"' };"
"""Tells a page where its server is, so that it does not probe for it."""

OPTIONS: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.address": "127.0.0.1",  # else Streamlit may ask another host for this machine's public address
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "runner.magicEnabled": False,
}

LIGHT = {"primaryColor": "#0a6b5c", "backgroundColor": "#ffffff", "secondaryBackgroundColor": "#f4f4ef", "textColor": "#1b1e23"}
DARK = {"primaryColor": "#4ccab1", "backgroundColor": "#14171b", "secondaryBackgroundColor": "#20252b", "textColor": "#ececea"}


def set_up_streamlit() -> None:
    """Set Streamlit's options for this process: quiet, on this machine, in our colours, light or dark as the browser asks.

    Raises:
        UsageError: Streamlit is not installed.
    """
    try:
        config = import_module("streamlit.config")
    except ImportError as error:
        raise UsageError("The dashboard is drawn by Streamlit, which is not installed.", hint=HINT, code="missing_extra") from error
    colours = {f"theme.{name}.{key}": value for name, given in (("light", LIGHT), ("dark", DARK)) for key, value in given.items()}
    for name, value in (OPTIONS | colours).items():
        config.set_option(name, value)


class MountedDashboard:
    """A Streamlit script as a part of an application.

    Args:
        script: The script.
        address: Where the service is reached from this machine.
        folder: A folder of scorecards to show in the place of a service.

    Raises:
        UsageError: Streamlit is not installed.
    """

    def __init__(self, script: Path, address: str, folder: Path | None = None) -> None:
        set_up_streamlit()
        found = {"address": address, "folder": "" if folder is None else str(folder.resolve())}
        self._app: Any = import_module("streamlit.starlette").App(script, secrets={"fairtrial": found})
        self.routes: list[BaseRoute] = [
            Route("/", _to_dashboard, include_in_schema=False),
            Route(f"{PLACE}/base.js", _base, include_in_schema=False),
            Mount(PLACE, app=_Guarded(self._app)),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """The time in which its pages are served."""
        async with self._app.lifespan()(self._app):
            yield


def _to_dashboard(request: Any) -> Response:
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{PLACE}/{query}")


def _base(request: Any) -> Response:
    del request
    return Response(BASE, media_type="text/javascript", headers={"cache-control": "no-cache"})


class _Guarded:
    """Adds the policy to every page, and to its head the place of its server."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        head: Message | None = None
        page = bytearray()

        async def passed(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = POLICY
                if headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers:
                    head = message
                    return
            elif head is not None and message["type"] == "http.response.body":
                page.extend(message.get("body", b""))
                if message.get("more_body"):
                    return
                body = bytes(page).replace(b"<head>", b'<head><script src="' + PLACE.encode() + b'/base.js"></script>', 1)
                MutableHeaders(scope=head)["content-length"] = str(len(body))
                await send(head)
                message = {"type": "http.response.body", "body": body}
                head = None
            await send(message)

        # A page that is not asked for compressed can be written into.
        asked = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding" or not _is_page(scope)]
        await self.app({**scope, "headers": asked}, receive, passed)


def _is_page(scope: Scope) -> bool:
    return "." not in scope["path"].rsplit("/", 1)[-1]
