"""`fairtrial serve`: the whole service in one process."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer
import uvicorn
from sqlalchemy import func, select

from fairtrial.service import create_app
from fairtrial.service.logs import set_up_logs
from fairtrial.service.settings import read_settings
from fairtrial.storage import open_database, upgrade
from fairtrial.storage.tables import ApiKey


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one. [default: 8000]")] = None,
    auth: Annotated[
        Literal["on", "off"] | None, typer.Option(help="`off` lets every caller on this machine do everything: for trying it out.")
    ] = None,
    database: Annotated[str | None, typer.Option(help="sqlite:///FILE or postgresql://...; better set FAIRTRIAL_DATABASE_URL.")] = None,
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
        app = create_app(settings, database=opened)
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=30,
            server_header=False,
        )
    finally:
        opened.close()
    return 0
