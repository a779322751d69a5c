"""The real program killed in the middle of its work: no prediction that was answered is lost, and none is stored twice."""

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
from gateway_scene import NAME, V2, spec
from running_service import free_port

from fairtrial.serving import read_log
from fairtrial.storage import open_database
from fairtrial.storage.predictions import read_predictions

PROGRAM = str(Path(sys.executable).parent / "fairtrial")


def start(folder):
    port = free_port()
    log = (folder / "gateway.log").open("ab")
    command = [PROGRAM, "gateway", "fraud.json", "--port", str(port), "--database", "sqlite:///models.db"]
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    log.close()
    return port, process


async def until_live(port, process):
    until = time.monotonic() + 60
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < until:
            assert process.poll() is None
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"http://127.0.0.1:{port}/healthz"):
                    return
            await asyncio.sleep(0.05)
    raise AssertionError("the gateway was not ready in time")


async def stream(port, process, first, *, most, end):
    """Ask without a pause; end the process in the middle. The ids of the predictions that were answered."""
    await until_live(port, process)
    told, users = [], iter(range(first, first + most))

    async def ask(session):
        for i in users:
            try:
                async with session.post(
                    f"http://127.0.0.1:{port}/v2/models/{NAME}/infer", json=V2, headers={"X-User-Id": f"user_{i}"}
                ) as answer:
                    await answer.read()
                    told.append(answer.headers["x-fairtrial-prediction-id"])
            except aiohttp.ClientError:
                return
            if len(told) == most // 2:
                end(process)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(ask(session) for _ in range(8)))
    process.wait(60)
    return told


@pytest.mark.parametrize("end", [subprocess.Popen.kill, subprocess.Popen.terminate], ids=["killed", "stopped"])
def test_no_answered_prediction_is_lost_and_none_is_stored_twice(scene, tmp_path, end):
    (tmp_path / "fraud.json").write_text(json.dumps(spec(scene.addresses)))
    told = []
    for turn in range(2):
        port, process = start(tmp_path)
        try:
            told += asyncio.run(stream(port, process, turn * 10_000, most=1_200, end=end))
        finally:
            process.kill()
            process.wait(20)
    assert len(told) >= 1_200
    read = read_log(tmp_path / "experiment_logs")
    assert set(told) <= {row["prediction_id"] for row in read.rows}
    assert read.broken == 0
    port, process = start(tmp_path)
    try:
        asyncio.run(until_live(port, process))
        process.terminate()
        assert process.wait(60) in {0, -signal.SIGTERM}  # uvicorn hands the signal on once it is done
    finally:
        process.kill()
    database = open_database(f"sqlite:///{tmp_path}/models.db")
    with database.reading() as session:
        stored = [row["prediction_id"] for row in read_predictions(session, NAME, None, None)]
    database.close()
    assert sorted(stored) == sorted(row["prediction_id"] for row in read.rows)
