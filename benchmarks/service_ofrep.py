"""Decisions as flags: in this process, and over HTTP from the real program, with the server's own CPU beside the clock.

    python benchmarks/service_ofrep.py [--seconds 5] [--connections 16] [--only in-process|http]

The driver shares the machine with the server, so the CPU that the server spends on a request is told too:
its inverse is what one core free of the driver can serve.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from fairtrial.assignment import Allocation, Routing
from fairtrial.service.flags.evaluate import evaluate_flag
from fairtrial.service.flags.flag import Source, make_flag
from fairtrial.service.snapshot import Snapshot
from fairtrial.spec import parse_spec
from harness import machine

PROGRAM = str(Path(sys.executable).parent / "fairtrial")
SPEC = {
    "key": "checkout",
    "arms": [{"key": "control", "allocation": 0.5, "value": False}, {"key": "treatment", "allocation": 0.5, "value": True}],
    "metrics": [{"key": "ordered", "kind": "proportion"}],
    "plan": {"baseline": 0.05, "mde": 0.1},
}
RULES = {
    "include": [
        {"attribute": "country", "operator": "in", "value": ["IT", "FR"]},
        {"attribute": "age", "operator": "at_least", "value": 18},
    ],
    "exclude": [{"attribute": "plan", "operator": "equals", "value": "free"}],
}
ATTRIBUTES = {"country": "IT", "age": 33, "plan": "pro"}


def flag_of(spec: dict):
    parsed = parse_spec(spec)
    routing = Routing(allocation=Allocation.from_shares(parsed.key, parsed.shares))
    source = Source(
        experiment_id=1,
        version=1,
        status="running",
        environment="production",
        logs=False,
        spec=parsed,
        routing=routing,
        forced={},
        stored={},
    )
    return make_flag(source)


def nanoseconds(work, units: list[str]) -> tuple[float, float]:
    """Median and 99th percentile of one call; an empty call is taken off."""
    clock = time.perf_counter_ns

    def run(call) -> list[int]:
        times = []
        for unit in units:
            began = clock()
            call(unit)
            times.append(clock() - began)
        return sorted(times)

    run(work)
    empty, found = run(lambda _: None), run(work)
    return statistics.median(found) - statistics.median(empty), found[int(len(found) * 0.99)] - statistics.median(empty)


def in_process() -> None:
    units = [f"user-{i}" for i in range(50_000)]
    plain, ruled = flag_of(SPEC), flag_of({**SPEC, "eligibility": RULES})
    snapshot = Snapshot(flags={"production": {"checkout": plain}})
    bodies = {unit: f'{{"context":{{"targetingKey":"{unit}","country":"IT","age":33}}}}'.encode() for unit in units}
    print("| in this process | p50 us | p99 us |\n| --- | ---: | ---: |")
    for name, work in (
        ("decision", lambda unit: plain.decide(unit, ATTRIBUTES)),
        ("decision with three rules of eligibility", lambda unit: ruled.decide(unit, ATTRIBUTES)),
        ("OFREP body in, OFREP body out", lambda unit: evaluate_flag(snapshot, "production", "checkout", bodies[unit], lambda *_: None)),
    ):
        p50, p99 = nanoseconds(work, units)
        print(f"| {name} | {p50 / 1e3:.2f} | {p99 / 1e3:.2f} |")


class Caller(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, requests: list[bytes], latencies: list[float], until: float, bad: list[bytes]) -> None:
        self.requests, self.latencies, self.until, self.bad = requests, latencies, until, bad
        self.turn, self.asked, self.transport = 0, 0.0, None
        self.answer = b""

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.turn = (self.turn + 1) % len(self.requests)
        self.asked = time.perf_counter()
        self.transport.write(self.requests[self.turn])

    def data_received(self, data: bytes) -> None:
        self.answer += data
        head, _, body = self.answer.partition(b"\r\n\r\n")
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not length or len(body) < int(length):
            return
        now = time.perf_counter()
        self.latencies.append(now - self.asked)
        if not head.startswith(b"HTTP/1.1 200"):
            self.bad.append(head)
        self.answer = b""
        if now < self.until:
            self.ask()
        else:
            self.transport.close()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def drive(port: int, requests: list[bytes], connections: int, seconds: float) -> tuple[list[float], list[bytes]]:
    latencies: list[float] = []
    bad: list[bytes] = []
    until = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    for number in range(connections):
        share = requests[number::connections]
        await loop.create_connection(lambda share=share: Caller(share, latencies, until, bad), "127.0.0.1", port)
    await asyncio.sleep(seconds + 0.5)
    return latencies, bad


def asked(token: str, unit: str, path: str) -> bytes:
    body = f'{{"context":{{"targetingKey":"{unit}","country":"IT","age":33}}}}'.encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def over_http(seconds: float, connections: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "FAIRTRIAL_DATABASE_URL": f"sqlite:///{folder}/bench.db", "FAIRTRIAL_LOG_LEVEL": "warning"}
        token = subprocess.run(
            [PROGRAM, "token", "create", "--role", "ADMIN"], env=env, capture_output=True, text=True, check=True
        ).stdout.strip()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen([PROGRAM, "serve", "--port", str(port)], env=env, stderr=subprocess.DEVNULL)
        try:
            _measure(server, port, token, seconds, connections)
        finally:
            server.terminate()
            server.wait(20)


def launch(port: int, token: str) -> None:
    """An experiment that runs, to be asked about."""
    http = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            http.get("/readyz").raise_for_status()
            break
        except httpx.HTTPError:
            time.sleep(0.1)
    http.post("/api/v1/experiments", json={"spec": SPEC, "log_assignments": False}).raise_for_status()
    http.post("/api/v1/experiments/checkout/status", json={"status": "running"}).raise_for_status()


def _measure(server: subprocess.Popen, port: int, token: str, seconds: float, connections: int) -> None:
    launch(port, token)
    print(f"\n| over HTTP, {connections} connections | requests/s | p50 ms | p99 ms | server CPU us/request | not 200 |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, path in (("one flag", "/ofrep/v1/evaluate/flags/checkout"), ("all flags (one)", "/ofrep/v1/evaluate/flags")):
        requests = [asked(token, f"user-{i}", path) for i in range(4096)]
        asyncio.run(drive(port, requests, connections, 1.0))
        before = cpu_seconds(server.pid)
        latencies, bad = asyncio.run(drive(port, requests, connections, seconds))
        spent = cpu_seconds(server.pid) - before
        latencies.sort()
        p50, p99 = (latencies[int(len(latencies) * part)] * 1e3 for part in (0.5, 0.99))
        n = len(latencies)
        print(f"| {name} | {n / seconds:,.0f} | {p50:.2f} | {p99:.2f} | {spent / n * 1e6:.0f} | {len(bad)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", choices=["in-process", "http"])
    given = parser.parse_args()
    print(f"### Decisions as flags ({machine()})\n")
    if given.only != "http":
        in_process()
    if given.only != "in-process":
        over_http(given.seconds, given.connections)


if __name__ == "__main__":
    main()
