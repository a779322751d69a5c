"""`fairtrial gateway`: a proxy in front of the models of an experiment."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from fairtrial.cli.options import Json
from fairtrial.cli.output import print_data
from fairtrial.cli.serve import KEEP_ALIVE_SECONDS, address_of, listen, tune
from fairtrial.gateway.build import build_gateway
from fairtrial.service.logs import set_up_logs
from fairtrial.service.settings import read_settings
from fairtrial.spec.model_file import load_model_experiment
from fairtrial.storage import open_database, upgrade


def gateway(
    spec: Annotated[Path, typer.Argument(help="File with the experiment and its `serving:` block.")],
    experiment: Annotated[str | None, typer.Option(help="Which experiment, when the file holds several.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65_535)] = 8080,
    log: Annotated[Path, typer.Option(help="Folder of the prediction log.")] = Path("experiment_logs"),
    database: Annotated[str | None, typer.Option(help="sqlite:///FILE or postgresql://...; better set FAIRTRIAL_DATABASE_URL.")] = None,
    as_json: Json = False,
) -> int:
    """Route predictions to champion and challengers; stop it with Ctrl-C, what is under way is finished first."""
    served = load_model_experiment(spec, experiment)
    settings = read_settings(database_url=database)
    set_up_logs(settings.log_level, settings.log_format)
    opened = open_database(settings.database_url.get_secret_value())
    try:
        upgrade(opened)
        targets = tuple(sorted(settings.alert_targets))
        app = build_gateway(served, opened, log, targets=targets, hash_key=settings.hash_key.get_secret_value())
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=30,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            server_header=False,
            date_header=False,
            lifespan="on",
        )
        with listen(host, port) as listening:
            address = address_of(listening)
            if as_json:
                print_data(json.dumps({"address": address, "experiment": served.config.name, "log": str(log)}))
            print(f"{served.config.name} on {opened.safe_url}, predictions are logged in {log}", file=sys.stderr)
            print(f"Listening on {address} - where it stands: {address}/status", file=sys.stderr)
            tune()
            server = uvicorn.Server(config)
            server.run(sockets=[listening])
            return 0 if server.started else 1
    finally:
        opened.close()
