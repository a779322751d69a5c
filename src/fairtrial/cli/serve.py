"""`fairtrial serve`: the whole service with its dashboard in one process. `fairtrial dashboard`: the dashboard alone."""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import typer
import uvicorn
from sqlalchemy import func, select
from starlette.applications import Starlette
from starlette.types import ASGIApp

from fairtrial.cli.options import Json
from fairtrial.cli.output import print_data, steps
from fairtrial.dashboard import SCRIPT
from fairtrial.errors import ConnectorError, UsageError
from fairtrial.service import create_app
from fairtrial.service.clock import utc_now
from fairtrial.service.dashboard import MountedDashboard
from fairtrial.service.demo import fill_demo
from fairtrial.service.logs import set_up_logs
from fairtrial.service.settings import Settings, is_loopback, read_settings
from fairtrial.storage import open_database, upgrade
from fairtrial.storage.tables import ApiKey

SWITCH_SECONDS = 0.001
"""How long a thread that wants Python's lock waits for it: the writers need it between two statements, briefly."""


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one. [default: 8000]")] = None,
    auth: Annotated[
        Literal["on", "off"] | None, typer.Option(help="`off` lets every caller on this machine do everything: for trying it out.")
    ] = None,
    database: Annotated[str | None, typer.Option(help="sqlite:///FILE or postgresql://...; better set FAIRTRIAL_DATABASE_URL.")] = None,
    dashboard: Annotated[bool, typer.Option("--dashboard/--no-dashboard", help="Serve the dashboard at /dashboard too.")] = True,
    demo: Annotated[bool, typer.Option("--demo", help="Fill a new database with simulated experiments and let everybody in.")] = False,
    as_json: Json = False,
) -> int:
    """Start the service; stop it with Ctrl-C, what is under way is finished first."""
    with ExitStack() as stack:
        if demo:
            auth = auth or "off"
            folder = stack.enter_context(TemporaryDirectory(prefix="fairtrial-demo-"))
            database = database or os.environ.get("FAIRTRIAL_DATABASE_URL") or f"sqlite:///{folder}/demo.db"
        settings = read_settings(host=host, port=port, auth_mode=auth, database_url=database)
        if dashboard and settings.dashboard is None and find_spec("streamlit") is not None:
            settings = settings.model_copy(update={"dashboard": SCRIPT})
        return _serve(settings if dashboard else settings.model_copy(update={"dashboard": None}), demo=demo, as_json=as_json)


def _serve(settings: Settings, *, demo: bool, as_json: bool) -> int:
    set_up_logs(settings.log_level, settings.log_format)
    opened = open_database(settings.database_url.get_secret_value())
    try:
        upgrade(opened)
        with opened.reading() as session:
            keys = session.scalar(select(func.count()).select_from(ApiKey)) or 0
        print(f"fairtrial on {opened.safe_url}", file=sys.stderr)
        if settings.auth_mode == "off":
            print("NO AUTHENTICATION: everybody on this machine may do everything. Use it for trying things out.", file=sys.stderr)
        elif not keys:
            print("No API key exists yet. Make the first: fairtrial token create --role ADMIN", file=sys.stderr)
        if demo:
            with steps() as say:
                fill_demo(opened, now=utc_now(), say=say)
        with listen(settings.host, settings.port) as listening:
            address = address_of(listening)
            app = create_app(settings, database=opened, jobs=True, address=from_here(address))
            if as_json:
                said = {"address": address, "database": opened.safe_url, "auth_mode": settings.auth_mode, "api_keys": keys}
                print_data(json.dumps(said))
            print(f"Listening on {address} - its API is described at {address}/docs", file=sys.stderr)
            if settings.dashboard is not None:
                print(f"Dashboard: {from_here(address)}/dashboard", file=sys.stderr)
            tune()
            run_server(app, listening)
    finally:
        opened.close()
    return 0


def dashboard(
    source: Annotated[str, typer.Argument(help="Address of a service, or a folder of scorecards.")] = "http://127.0.0.1:8000",
    host: Annotated[str, typer.Option(help="Address to listen on: one of this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8501,
    as_json: Json = False,
) -> int:
    """Start the dashboard alone, over a service that runs elsewhere or over a folder of scorecards."""
    if not is_loopback(host):
        raise UsageError(f"The dashboard alone listens on this machine only, got host {host!r}.", hint="Put a server with TLS before it.")
    address, folder = (source, None) if "://" in source else ("", Path(source))
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{source!r} is neither the address of a service (http://...) nor a folder.")
    mounted = MountedDashboard(SCRIPT, address.rstrip("/"), folder)
    with listen(host, port) as listening:
        own = address_of(listening)
        if as_json:
            print_data(json.dumps({"address": own, "dashboard": f"{own}/dashboard", "source": source}))
        print(f"Listening on {own} - the dashboard is at {own}/dashboard", file=sys.stderr)
        run_server(Starlette(routes=mounted.routes, lifespan=lambda _: mounted.running()), listening)
    return 0


KEEP_ALIVE_SECONDS = 75
"""How long a connection without a request is kept: longer than load balancers keep theirs, so that it is they who end it."""


def run_server(app: ASGIApp, listening: socket.socket) -> None:
    """Serve until the process is told to stop."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=30, timeout_keep_alive=KEEP_ALIVE_SECONDS, server_header=False
    )
    uvicorn.Server(config).run(sockets=[listening])


def from_here(address: str) -> str:
    """An address as this machine reaches it: one that stands for all of them becomes the loopback one."""
    return address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on.

    Raises:
        ConnectorError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConnectorError(
            f"Cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}.", hint="Choose another --port; 0 takes a free one."
        ) from error


def address_of(listening: socket.socket) -> str:
    """Where a socket is reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def tune() -> None:
    """Set the interpreter up for many short-lived rows: what is loaded by now stays, so no collection walks it again."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
