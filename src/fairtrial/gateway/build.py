"""Puts a gateway together from an experiment and a database."""

from __future__ import annotations

import datetime as dt
import os
import socket
from collections.abc import Callable
from pathlib import Path

from fairtrial.gateway.app import GatewayApp
from fairtrial.gateway.keeper import Keeper
from fairtrial.gateway.mirror import Mirror
from fairtrial.gateway.shipping import Shipment
from fairtrial.gateway.traffic import Traffic
from fairtrial.gateway.upstream import Upstream
from fairtrial.serving.desk import Desk
from fairtrial.serving.log import SHADOW_FOLDER, PredictionLog
from fairtrial.serving.records import feature_log
from fairtrial.serving.router import TrafficRouter
from fairtrial.spec.model_file import ModelExperiment
from fairtrial.storage import Database


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def build_gateway(
    served: ModelExperiment,
    database: Database,
    folder: str | Path,
    *,
    targets: tuple[str, ...] = (),
    hash_key: str = "",
    clock: Callable[[], dt.datetime] = _utc_now,
) -> GatewayApp:
    """A gateway, not yet open.

    Args:
        served: The experiment.
        database: Open, its tables up to date; the caller closes it.
        folder: Of the prediction log.
        targets: Names of the alert targets.
        hash_key: Secret of hashed features.
        clock: The time.

    Raises:
        UsageError: Features are to be hashed and there is no secret.
        StorageError: The log cannot be written.
    """
    config, serving = served.config, served.serving
    place = Path(folder)
    features = feature_log(serving.features, hash_key)
    predictions = PredictionLog(place, config.name)
    shadow_log = PredictionLog(place / SHADOW_FOLDER, config.name, owner=predictions.owner)
    mirror = Mirror(serving.shadow, Upstream(serving.models, serving.reading), shadow_log)
    traffic = Traffic(
        served=served,
        router=TrafficRouter(config, seed=serving.seed),
        upstream=Upstream(serving.models, serving.reading),
        mirror=mirror,
        predictions=predictions,
        features=features,
        clock=clock,
    )
    desk = Desk(database, served, place, who=f"gateway:{socket.gethostname()}:{os.getpid()}", targets=targets)
    keeper = Keeper(traffic, desk, Shipment(place, predictions.owner, database), shadow_log, database)
    traffic.on_event = keeper.note
    return GatewayApp(traffic, keeper)
