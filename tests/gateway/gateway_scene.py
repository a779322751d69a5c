"""A gateway in this process before two small model servers, and requests through its ASGI door."""

import asyncio
import contextlib
import json

from small_models import SmallModel, running

from fairtrial.gateway.build import build_gateway
from fairtrial.spec.model_file import parse_model_experiment
from fairtrial.storage import open_database, upgrade

CHAMPION, CHALLENGER = "fraud_detector_v1.3", "fraud_detector_v2.0"
NAME = "fraud_model_v2_test"
TO_CHALLENGER, TO_CHAMPION = "user_22", "user_1"
V2 = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.5]}]}
PATIENT = 30_000
"""A limit of latency that no pause of a busy machine breaks, for tests that are not about latency."""
CANARY = [{"name": "canary", "kind": "canary", "share": 0.05, "gate": "approval"}]


def spec(addresses, **serving):
    protocol = serving.pop("protocol", "v2")
    models = {name: {"url": address, "protocol": protocol, "model": "fraud"} for name, address in addresses.items()}
    rollout = serving.pop("rollout", {"stages": CANARY})
    slowest = serving.pop("p95_limit", 200)
    return {
        "name": NAME,
        "champion_model": CHAMPION,
        "challenger_models": [CHALLENGER],
        "traffic_allocation": {CHAMPION: 0.95, CHALLENGER: 0.05},
        "primary_metric": "conversion_rate",
        "secondary_metrics": [],
        "guardrail_metrics": {"p95_latency_ms": [0, slowest], "error_rate": [0, 0.01]},
        "min_sample_size": 4802,
        "max_duration_days": 14,
        "serving": {"models": models, "shadow": {"share": 0.0}, "rollout": rollout, **serving},
    }


class Scene:
    """Two model servers, and gateways before them that share a database and a log folder."""

    def __init__(self, tmp_path, champion, challenger, addresses):
        self.tmp_path, self.champion, self.challenger, self.addresses = tmp_path, champion, challenger, addresses
        self.folder = tmp_path / "log"
        self.url = f"sqlite:///{tmp_path}/models.db"

    def run(self, play, **serving):
        """Play an async function with an open gateway; what it returns."""
        raw = spec(self.addresses, **({"p95_limit": PATIENT} | serving))

        async def whole():
            async with self.gateway(raw) as gateway:
                return await play(gateway)

        return asyncio.run(whole())

    @contextlib.asynccontextmanager
    async def gateway(self, raw, **options):
        database = open_database(self.url)
        upgrade(database)
        options = {"hash_key": "a secret of the operator", **options}
        app = build_gateway(parse_model_experiment(raw), database, self.folder, **options)
        await app._open()
        try:
            yield Door(app)
        finally:
            await app._close()
            database.close()


class Door:
    """Calls an ASGI application as a server does."""

    def __init__(self, app):
        self.app, self.traffic, self.keeper = app, app.traffic, app.keeper

    async def post(self, body=V2, user=TO_CHAMPION, path=f"/v2/models/{NAME}/infer", headers=(), chunks=None):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = [(b"content-type", b"application/json"), *headers]
        if user is not None:
            given.append((b"x-user-id", user.encode()))
        if chunks is None:
            given.append((b"content-length", str(len(raw)).encode()))
        return await self.call("POST", path, given, chunks or [raw])

    async def get(self, path):
        return await self.call("GET", path, [], [b""])

    async def call(self, method, path, headers, chunks):
        messages = [{"type": "http.request", "body": part, "more_body": at < len(chunks) - 1} for at, part in enumerate(chunks)]
        if chunks[-1] is None:
            messages[-1] = {"type": "http.disconnect"}
        sent = []

        async def receive():
            return messages.pop(0)

        async def send(message):
            sent.append(message)

        await self.app({"type": "http", "method": method, "path": path, "headers": headers}, receive, send)
        if not sent:
            return None
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        assert headers["content-length"] == str(len(sent[1]["body"]))
        return Answered(sent[0]["status"], headers, sent[1]["body"])

    async def round(self):
        """One round of the keeper, its check not waited for."""
        self.keeper._checked = float("-inf")
        await asyncio.to_thread(self.keeper._round)


class Answered:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def model(self):
        return self.headers.get("x-fairtrial-model")


@contextlib.contextmanager
def two_models(tmp_path):
    champion, challenger = SmallModel(0.2), SmallModel(0.25)
    with running(champion) as first, running(challenger) as second:
        yield Scene(tmp_path, champion, challenger, {CHAMPION: first, CHALLENGER: second})
