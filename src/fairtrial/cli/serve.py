"""`fairtrial serve`: the whole service in one process."""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
from typing import Annotated, Literal

import typer
import uvicorn
from sqlalchemy import func, select

from fairtrial.cli.options import Json
from fairtrial.cli.output import print_data
from fairtrial.errors import ConnectorError
from fairtrial.service import create_app
from fairtrial.service.logs import set_up_logs
from fairtrial.service.settings import read_settings
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
    as_json: Json = False,
) -> int:
    """Start the service; stop it with Ctrl-C, what is under way is finished first."""
    settings = read_settings(host=host, port=port, auth_mode=auth, database_url=database)
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
        app = create_app(settings, database=opened, jobs=True)
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=30, server_header=False)
        with listen(settings.host, settings.port) as listening:
            address = address_of(listening)
            if as_json:
                said = {"address": address, "database": opened.safe_url, "auth_mode": settings.auth_mode, "api_keys": keys}
                print_data(json.dumps(said))
            print(f"Listening on {address} - its API is described at {address}/docs", file=sys.stderr)
            tune()
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        opened.close()
    return 0


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
