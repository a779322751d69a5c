"""The real program before two real MLServers, with thousands of requests: split, stickiness, shadow, failures, ramp.

One test plays one story with each phase resting on the last, for starting the servers is what takes time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from gateway_scene import CHALLENGER, CHAMPION, NAME, PATIENT, spec
from running_service import free_port
from scipy import stats
from small_models import SmallModel, running

from fairtrial.serving import read_log

pytestmark = pytest.mark.models

PROGRAM = str(Path(sys.executable).parent / "fairtrial")
MODELS = Path(__file__).parents[2] / ".venv-models" / "bin"
AT_ONCE = 16
PATIENCE = 30.0  # how long a gateway waits for a model: more than a busy machine needs, reached only by waiting for a dead one


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Two MLServers, each with a model of its own: addresses and processes by model, and rows to ask about."""
    if not (MODELS / "mlserver").exists():
        pytest.skip("there is no MLServer (make test-models)")
    folder = tmp_path_factory.mktemp("models")
    ports = [[str(free_port()) for _ in range(3)] for _ in range(2)]
    subprocess.run(
        [MODELS / "python", Path(__file__).with_name("train_models.py"), folder, *(",".join(three) for three in ports)], check=True
    )
    processes = {model: start_server(folder / name) for model, name in ((CHAMPION, "champion"), (CHALLENGER, "challenger"))}
    addresses = {name: f"http://127.0.0.1:{three[0]}" for name, three in zip((CHAMPION, CHALLENGER), ports, strict=True)}
    rows = json.loads((folder / "rows.json").read_text())
    try:
        for address in addresses.values():
            asyncio.run(until_ready(f"{address}/v2/models/fraud/ready"))
        yield addresses, processes, rows
    finally:
        for process in processes.values():  # those that a test started anew among them
            end(process)


def start_server(folder):
    log = (folder / "server.log").open("ab")
    process = subprocess.Popen([MODELS / "mlserver", "start", folder], stdout=log, stderr=log, cwd=folder)
    log.close()
    return process


def end(process):
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
        process.kill()
    process.wait(20)


async def until_ready(address, seconds=120):
    until = time.monotonic() + seconds
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < until:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(address) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)
    raise AssertionError(f"{address} was not ready in time")


class Gateways:
    """Processes of the real program that share a database and a log."""

    def __init__(self, folder, addresses, **serving):
        self.folder = folder
        raw = spec(addresses, reading={"output": "predict_proba", "position": -1}, timeout_seconds=PATIENCE, p95_limit=PATIENT, **serving)
        (folder / "fraud.json").write_text(json.dumps(raw))
        self.processes = {}

    def start(self):
        port = free_port()
        log = (self.folder / "gateway.log").open("ab")
        command = [PROGRAM, "gateway", "fraud.json", "--port", str(port), "--database", "sqlite:///models.db"]
        self.processes[port] = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        log.close()
        asyncio.run(until_ready(f"http://127.0.0.1:{port}/v2/health/ready"))
        return port

    def kill(self, port):
        process = self.processes.pop(port)
        process.kill()
        process.wait(20)

    def stop(self):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(60)
        self.processes.clear()


async def ask(ports, users, rows):
    """Each user once at one of the gateways in turn: status, model and seconds by user."""
    found = {}
    waiting = list(enumerate(users))

    async def work(session):
        while waiting:
            i, user = waiting.pop()
            tensor = {"name": "x", "shape": [1, 30], "datatype": "FP64", "data": rows[i % len(rows)]}
            body = {"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}
            started = time.perf_counter()
            address = f"http://127.0.0.1:{ports[i % len(ports)]}/v2/models/{NAME}/infer"
            async with session.post(address, json=body, headers={"X-User-Id": user}) as answer:
                told = await answer.json()
            found[user] = answer.status, answer.headers.get("x-fairtrial-model"), time.perf_counter() - started, told

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(work(session) for _ in range(AT_ONCE)))
    return found


def asked(ports, users, rows):
    return asyncio.run(ask(ports, users, rows))


def status(port):
    async def read():
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/status") as answer:
            return await answer.json()

    return asyncio.run(read())


def until(port, condition, seconds=60):
    end_at = time.monotonic() + seconds
    while time.monotonic() < end_at:
        found = status(port)
        if condition(found):
            return found
        time.sleep(0.2)
    raise AssertionError(f"it did not come to that: {found}")


def models(found):
    return {user: model for user, (_, model, _, _) in found.items()}


STAGES = [
    {"name": "shadow", "kind": "shadow", "min_minutes": 0, "min_requests": 300},
    {"name": "quarter", "kind": "canary", "share": 0.25, "min_minutes": 0, "min_requests": 200},
    {"name": "half", "kind": "ramp", "share": 0.5, "min_minutes": 0, "min_requests": 200},
    {"name": "all", "kind": "ramp", "share": 1.0, "min_minutes": 0, "min_requests": 200},
]
WATCH = {"check_seconds": 0.5, "min_requests": 100, "canary_limits": {}}


@pytest.fixture
def gateways(tmp_path, servers):
    made = []

    def make(**serving):
        folder = tmp_path / f"g{len(made)}"
        folder.mkdir()
        made.append(Gateways(folder, servers[0], **serving))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_a_good_challenger_goes_from_the_shadow_to_all_traffic(servers, gateways):
    """ML-05, ML-10, ML-11, ML-24, ML-34: by two gateways, through a kill -9 of one of them; no request fails, nobody moves back."""
    _, _, rows = servers
    group = gateways(shadow={"share": 0.5, "timeout_seconds": PATIENCE}, rollout={"stages": STAGES, "watch": WATCH})
    first, second = group.start(), group.start()
    users = [f"user_{i}" for i in range(1500)]
    too_few = asked([first, second], users[:250], rows)
    assert set(models(too_few).values()) == {CHAMPION}
    shadowed = too_few | asked([first, second], users[250:900], rows)
    assert {code for code, *_ in shadowed.values()} == {200}
    told = until(first, lambda seen: seen["stage"] == "quarter")
    agreement = told["shadow"][CHALLENGER]
    assert agreement["compared"] == agreement["requests"] > 100
    assert agreement["divergence_rate"] < 0.05
    until(second, lambda seen: seen["stage"] == "quarter")

    quarter = asked([first, second], users, rows)
    assert {code for code, *_ in quarter.values()} == {200}
    share = sum(model == CHALLENGER for model in models(quarter).values())
    if status(first)["stage"] == "quarter":
        assert stats.chisquare([len(users) - share, share], [0.75 * len(users), 0.25 * len(users)]).pvalue > 0.001
    group.kill(second)
    third = group.start()
    for port in (first, third):  # a step reaches every gateway within a second, not at once
        until(port, lambda seen: seen["stage"] in {"half", "all"})
    for _ in range(6):
        if status(first)["status"] == "completed":
            break
        later = asked([first, third], users[:600], rows)
        assert {code for code, *_ in later.values()} == {200}
        back = [user for user, model in models(later).items() if model == CHAMPION and models(quarter)[user] == CHALLENGER]
        assert back == [], status(first)
        time.sleep(1.0)
    until(first, lambda seen: seen["status"] == "completed")
    last = asked([first, third], users[:200], rows)
    assert set(models(last).values()) == {CHALLENGER}
    group.stop()
    log = read_log(group.folder / "experiment_logs")
    assert log.broken == 0
    ids = {row["prediction_id"] for row in log.rows}
    assert len(ids) == len(log.rows)
    assert sum(len(part) for part in (shadowed, quarter, last)) <= len(ids)
    assert all(0.0 <= row["prediction"] <= 1.0 for row in log.rows)


def test_a_challenger_that_is_frozen_or_killed_costs_no_request_and_stays_stopped(servers, gateways):
    """Frozen (too slow for anybody): the champion's users do not wait for it. Killed: no user sees it. Stopped within a check, for good."""
    addresses, processes, rows = servers
    half = [{"name": "half", "kind": "canary", "share": 0.25, "gate": "approval"}]
    group = gateways(shadow={"share": 0.5, "timeout_seconds": PATIENCE}, rollout={"stages": half, "watch": WATCH})
    port = group.start()
    users = [f"user_{i}" for i in range(800)]
    before = asked([port], users, rows)
    assert {code for code, *_ in before.values()} == {200}
    ours = {user for user, model in models(before).items() if model == CHAMPION}
    processes[CHALLENGER].send_signal(signal.SIGSTOP)
    frozen = asked([port], sorted(ours)[:400], rows)
    assert {(code, model) for code, model, *_ in frozen.values()} == {(200, CHAMPION)}
    assert max(seconds for _, _, seconds, _ in frozen.values()) < PATIENCE, "a user of the champion waited for the challenger"
    processes[CHALLENGER].send_signal(signal.SIGCONT)
    asyncio.run(until_ready(f"{addresses[CHALLENGER]}/v2/models/fraud/ready"))

    processes[CHALLENGER].kill()
    processes[CHALLENGER].wait(20)
    killed = asked([port], users, rows)
    assert {code for code, *_ in killed.values()} == {200}
    assert set(models(killed).values()) == {CHAMPION}
    told = until(port, lambda seen: seen["status"] == "stopped")
    assert "error_rate" in told["reason"]
    group.kill(port)
    again = group.start()
    assert status(again)["status"] == "stopped"
    processes[CHALLENGER] = start_server(Path(processes[CHALLENGER].args[2]))
    asyncio.run(until_ready(f"{addresses[CHALLENGER]}/v2/models/fraud/ready"))
    assert set(models(asked([again], users[:300], rows)).values()) == {CHAMPION}


def test_a_challenger_that_is_wrong_is_stopped_by_a_guardrail_on_its_predictions(servers, gateways, tmp_path):
    """A model that answers quickly and without errors, and wrongly: its mean prediction lies beyond the guardrail."""
    addresses, _, rows = servers
    model = SmallModel(lambda _: 0.99)
    with running(model) as wrong:
        group = Gateways(tmp_path, {CHAMPION: addresses[CHAMPION], CHALLENGER: wrong})
        raw = json.loads((tmp_path / "fraud.json").read_text())
        raw["guardrail_metrics"] = {"prediction": [0.3, 0.9]}
        raw["serving"]["reading"] = {"position": -1}
        raw["serving"]["rollout"] = {"stages": [{"name": "c", "kind": "canary", "share": 0.25, "gate": "approval"}], "watch": WATCH}
        (tmp_path / "fraud.json").write_text(json.dumps(raw))
        port = group.start()
        try:
            answers = asked([port], [f"user_{i}" for i in range(1200)], rows)
            assert {code for code, *_ in answers.values()} == {200}
            told = until(port, lambda seen: seen["status"] == "stopped")
            assert "prediction of" in told["reason"]
            assert "above its limit 0.9" in told["reason"]
        finally:
            group.stop()
    assert (tmp_path / "gateway.log").stat().st_size < 1_000_000
